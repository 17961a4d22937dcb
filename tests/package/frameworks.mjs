// The package where authors of pages have it run without a browser: tests under imitations of a page, and servers that render pages.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Gateway } from "../e2e/lib/gateway.mjs";
import { freePort } from "../e2e/lib/ports.mjs";
import { found } from "./pages.mjs";
import { ALL, FOUND, USE, page, project, viteServer, write } from "./projects.mjs";

const FRAMEWORKS = fileURLToPath(new URL("../frameworks/", import.meta.url));
const { resolve } = createRequire(new URL("../frameworks/package.json", import.meta.url));
const SENTENCE = "SinchClient works only in the window of a browser with WebRTC";
const VM_MODULES = { NODE_OPTIONS: "--experimental-vm-modules" };
const ENVIRONMENTS = { node: "node", jsdom: resolve("jest-environment-jsdom") };

export async function frameworkTests({ test, browsers, tarball }) {
  // Below the tools, whose own imports and settings would not find them elsewhere.
  const folder = mkdtempSync(join(FRAMEWORKS, ".projects-"));
  try {
    await jestTests({ test, folder, tarball });
    await vitestTests({ test, folder, tarball });
    await reactTests({ test, browsers, folder, tarball });
    await nextTests({ test, browsers, folder, tarball });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a test of a page does with the SDK: it imports it, looks at its classes, and is told where it works. */
const meets = (SinchClient) => `
  expect([${SinchClient}.name, ${SinchClient}.Call.name, typeof ${SinchClient}.prototype.callUser]).toEqual(["SinchClient", "Call", "function"]);
  expect(() => new ${SinchClient}({ applicationKey: "demo" })).toThrow(${JSON.stringify(SENTENCE)});`;

async function jestTests({ test, folder, tarball }) {
  const root = project(join(folder, "jest"), tarball, {
    "required.test.cjs": `const SinchClient = require("offhook"); test("required", () => {${meets("SinchClient")}});`,
    "mocked.test.cjs": `jest.mock("offhook"); const SinchClient = require("offhook");
      test("mocked", () => { const client = new SinchClient({}); client.start(); expect(client.start).toHaveBeenCalled(); });`,
    "imported.test.mjs": `import SinchClient from "offhook"; import Inline from "offhook/inline"; import Slim from "offhook/slim";
      test("imported", () => {${["SinchClient", "Inline", "Slim"].map(meets).join("")}});`,
  });
  for (const [name, environment] of Object.entries(ENVIRONMENTS)) {
    await test(`Jest, environment ${name}: importing does nothing, using it says where it works`, () =>
      passed(3, run(root, "jest", ["--ci", "--rootDir", root, "--env", environment, "--no-watchman"], VM_MODULES)));
  }
}

async function vitestTests({ test, folder, tarball }) {
  const root = project(join(folder, "vitest"), tarball, {
    "imported.test.js": `import { expect, test } from "vitest";
      import SinchClient from "offhook"; import Inline from "offhook/inline"; import Slim from "offhook/slim";
      test("imported", () => {${["SinchClient", "Inline", "Slim"].map(meets).join("")}});`,
    "mocked.test.js": `import { expect, test, vi } from "vitest"; import SinchClient from "offhook";
      vi.mock("offhook"); test("mocked", () => { const client = new SinchClient({}); client.start(); expect(client.start).toHaveBeenCalled(); });`,
  });
  // The package as Node loads it, and as Vite transforms it.
  for (const transformed of [false, true]) {
    write(root, {
      "vitest.config.js": `export default { test: { server: { deps: { inline: ${transformed ? `["offhook"]` : "[]"} } } } };`,
    });
    for (const environment of ["node", "jsdom", "happy-dom"]) {
      await test(`Vitest, environment ${environment}${transformed ? ", transformed" : ""}: importing does nothing, using it says where it works`, () =>
        passed(2, run(root, "vitest", ["run", "--root", root, "--environment", environment])));
    }
  }
}

const NEXT = {
  "app/layout.js": `export default ({ children }) => <html lang="en"><head><link rel="icon" href="data:," /></head><body>{children}</body></html>;`,
  // On the server, per request, at module level of a component of the server and of one of the page.
  "app/page.js": `import SinchClient from "offhook";
    import Phone from "./phone";
    export const dynamic = "force-dynamic";
    let told;
    try { new SinchClient({ applicationKey: "demo" }); } catch (error) { told = error.message; }
    export default () => <><p>{SinchClient.name}: {told}</p><Phone /></>;`,
  "app/phone.js": `"use client";
    import { useEffect } from "react";
    import SinchClient, * as all from "offhook";
    let told = "made";
    try { new SinchClient({ applicationKey: "demo" }); } catch (error) { told = error.message; }
    ${USE}
    export default function Phone() {
      useEffect(() => use(SinchClient, all), []);
      return <p suppressHydrationWarning>at module level: {told}</p>;
    }`,
};

async function nextTests({ test, browsers, folder, tarball }) {
  for (const bundler of ["turbopack", "webpack"]) {
    const root = project(join(folder, `next-${bundler}`), tarball, NEXT);
    await test(`Next.js built by ${bundler}: server and page`, async () => {
      await run(root, "next", ["build", `--${bundler}`], NEXT_ENVIRONMENT);
      const server = await nextServer(root);
      try {
        const html = await (await fetch(server.url)).text();
        // Of the component of the server, and of the one of the page, which is rendered there first. React writes a comment between texts.
        for (const before of ["SinchClient", "at module level"])
          assert.match(html, new RegExp(`${before}(<!-- -->)?: (<!-- -->)?${SENTENCE}`));
        for (const name of ["chromium", "firefox"])
          await found(await browsers.get(name), server.url, { ...FOUND, exports: `${ALL} ready` });
      } finally {
        server.close();
      }
    }, 300);
  }
}

/** The component of docs/pages.md, mounted twice as React does in development: one client is left, and a call rings once. */
const REACT = {
  "phone.jsx": /```jsx\n([\s\S]*?)```/.exec(readFileSync(new URL("../../docs/pages.md", import.meta.url), "utf8"))[1],
  "main.jsx": `import { StrictMode } from "react";
    import { createRoot } from "react-dom/client";
    import SinchClient from "offhook";
    import Phone from "./phone.jsx";
    const login = { username: location.hash.slice(1), password: "a secret" };
    window.tickets = 0;
    const ticket = async () => (window.tickets++, (await window.client.newUser(login)).authorization);
    window.messages = [];
    const config = {
      applicationKey: "demo",
      capabilities: { calling: true },
      startActiveConnection: true,
      server: "http://GATEWAY",
      onLogMxpMessage: (message) => window.messages.push(message),
    };
    window.client = new SinchClient(config);
    if (login.username === "alice") ticket().then((userTicket) => window.client.start({ userTicket }));
    else createRoot(document.getElementById("root")).render(<StrictMode><Phone config={config} ticketFromYourBackEnd={ticket} /></StrictMode>);`,
  "index.html": page(`<script type="module" src="main.jsx"></script>`).replace("<body>", `<body><div id="root"></div>`),
};

async function reactTests({ test, browsers, folder, tarball }) {
  for (const name of ["chromium", "firefox"]) {
    await test(`${name}: React StrictMode with the component of docs/pages.md leaves one client, and a call rings once`, async () => {
      const gateway = await Gateway.start();
      const files = { ...REACT, "main.jsx": REACT["main.jsx"].replace("GATEWAY", gateway.address) };
      const server = await viteServer(project(join(folder, `react-${name}`), tarball, files));
      try {
        await strictMode(await browsers.get(name), server.url);
      } finally {
        await server.close();
        await gateway.stop();
      }
    });
  }
}

async function strictMode(browser, url) {
  /** What the console shows in red. */
  const shown = [];
  const open = async (user, until) => {
    const tab = await browser.newPage();
    const said = [];
    tab.on("console", (message) => {
      said.push(message.text());
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) shown.push(message.text());
    });
    tab.on("pageerror", (error) => said.push(String(error)));
    await tab.goto(`${url}/index.html#${user}`);
    await tab
      .waitForFunction(until, { polling: 200, timeout: 20_000 })
      .catch((error) => Promise.reject(new Error(`${user}: ${error.message}; the page said: ${said.join("; ")}`)));
    return tab;
  };
  const count = (pattern) => `window.messages?.filter((message) => ${pattern}.test(message)).length`;
  const bob = await open("bobby", count("/^→ REGISTER/") + " > 0");
  const alice = await open("alice", "window.client?.connectionState === 'connected'");
  try {
    // As long as a client takes to register that should not be there any more.
    await new Promise((done) => setTimeout(done, 1_000));
    await alice.evaluate(`window.call = window.client.callUser("bobby")`);
    await alice.waitForFunction("window.call.getState() === 'ESTABLISHED'", { polling: 200, timeout: 15_000 });
    assert.equal(await bob.evaluate("window.tickets"), 2, "the effect ran twice");
    assert.equal(await bob.evaluate(count("/^→ SIP.2.0 180/")), 1, "rings once");
    await bob.waitForFunction("document.querySelector('audio').currentTime > 0.2", { polling: 200, timeout: 15_000 });
    assert.deepEqual(shown, []);
  } finally {
    await bob.close();
    await alice.close();
  }
}

const NEXT_ENVIRONMENT = { NEXT_TELEMETRY_DISABLED: "1" };

async function nextServer(root) {
  const port = await freePort();
  const program = join(FRAMEWORKS, "node_modules/next/dist/bin/next");
  const env = { ...process.env, NODE_ENV: undefined, ...NEXT_ENVIRONMENT };
  const child = spawn(process.execPath, [program, "start", "--hostname", "127.0.0.1", "--port", String(port)], { cwd: root, env });
  // Also where the test is given up before it is ready.
  process.once("exit", () => child.kill());
  await new Promise((ready, fail) => {
    child.stdout.on("data", (text) => String(text).includes("Ready") && ready(undefined));
    child.on("exit", (code) => fail(new Error(`next start ended with ${code}`)));
  });
  return { url: `http://localhost:${port}/`, close: () => child.kill() };
}

/** Runs a tool of tests/node_modules; what it printed is the message where it fails. */
async function run(cwd, tool, args, env = {}) {
  const options = { cwd, env: { ...process.env, CI: "1", NO_COLOR: "1", NODE_ENV: undefined, ...env } };
  const { stdout, stderr } = await promisify(execFile)(join(FRAMEWORKS, "node_modules/.bin", tool), args, options).catch(
    ({ stdout, stderr }) => Promise.reject(new Error(`${tool} failed:\n${stdout}\n${stderr}`)),
  );
  return stdout + stderr;
}

/** So many tests ran, and none failed: a file that a tool does not find is no failure to it. */
async function passed(count, running) {
  assert.match(await running, new RegExp(`Tests:? +${count} passed`));
}
