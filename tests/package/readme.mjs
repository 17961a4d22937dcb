// The quick start of the README, as it stands there: two pages, the gateway, a call.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Gateway } from "../e2e/lib/gateway.mjs";
import { write } from "./projects.mjs";
import { serve } from "./site.mjs";

const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
const PLAYS = "document.getElementById('incoming').currentTime > 0.5";

export async function readmeTests({ test, browsers, folder }) {
  for (const name of ["chromium", "firefox"]) {
    await test(`${name}: the quick start of the README makes a call, twice, and the console has no error`, async () => {
      const gateway = await Gateway.start();
      const [, html] = /```html\n([\s\S]*?)```/.exec(README);
      write(folder, { "readme/index.html": html.replaceAll("localhost:8080", gateway.address) });
      const site = await serve(join(folder, "readme"));
      try {
        // A reader has tried the demo page before.
        for (const user of ["alice", "bob"]) await signIn(await browsers.get(name), gateway.address, user);
        // The first run finds no users, the second one those of the first.
        for (const run of ["first", "second"]) await call(await browsers.get(name), site.url, run);
      } finally {
        await site.close();
        await gateway.stop();
      }
    });
  }
}

async function signIn(browser, address, user) {
  const page = await browser.newPage();
  try {
    await page.goto(`http://${address}/?user=${user}`);
    await page.click("[data-testid=sign-in]");
    await page.waitForSelector("[data-testid=connection][data-connection=connected]", { timeout: 10_000 });
  } finally {
    await page.close();
  }
}

async function call(browser, url, run) {
  const pages = [];
  const errors = [];
  try {
    for (const hash of ["#martin", ""]) {
      const page = await browser.newPage();
      pages.push(page);
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      page.on("pageerror", (error) => errors.push(String(error)));
      await page.goto(`${url}/index.html${hash}`);
      await page.waitForFunction("client.user.userId && client.connectionState === 'connected'", { polling: 200, timeout: 10_000 });
    }
    const [martin, laura] = pages;
    await laura.evaluate("document.getElementById('call').click()");
    for (const page of pages) await page.waitForFunction(PLAYS, { polling: 200, timeout: 15_000 });
    assert.equal(await martin.evaluate("client.user.userId"), "martin");
    assert.equal(await laura.evaluate("document.compatMode"), "CSS1Compat", "standards mode");
    assert.equal(await laura.evaluate("document.characterSet"), "UTF-8");
    assert.deepEqual(errors, [], `the console of the ${run} run`);
  } finally {
    for (const page of pages) await page.close();
  }
}
