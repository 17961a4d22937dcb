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
    await test(`${name}: the quick start of the README makes a call`, async () => {
      const gateway = await Gateway.start();
      const [, html] = /```html\n([\s\S]*?)```/.exec(README);
      write(folder, { "readme/index.html": html.replaceAll("localhost:8080", gateway.address) });
      const site = await serve(join(folder, "readme"));
      try {
        await call(await browsers.get(name), site.url);
      } finally {
        await site.close();
        await gateway.stop();
      }
    });
  }
}

async function call(browser, url) {
  const pages = [];
  try {
    for (const hash of ["#bobby", ""]) {
      const page = await browser.newPage();
      pages.push(page);
      await page.goto(`${url}/index.html${hash}`);
      await page.waitForFunction("client.connectionState === 'connected'", { polling: 200, timeout: 10_000 });
    }
    const [bobby, alice] = pages;
    await alice.evaluate("document.getElementById('call').click()");
    for (const page of pages) await page.waitForFunction(PLAYS, { polling: 200, timeout: 15_000 });
    assert.equal(await bobby.evaluate("client.user.userId"), "bobby");
  } finally {
    for (const page of pages) await page.close();
  }
}
