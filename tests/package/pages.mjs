// The packed package in real pages, in both browsers: without a bundler, with the usual ones, and under a strict policy.
import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { ALL, FOUND, USE, esbuildBuild, main, page, project, viteBuild, viteServer, webpackBuild } from "./projects.mjs";
import { serve } from "./site.mjs";

const DIST = "node_modules/offhook/dist";
/** No inline script, no eval, no string that becomes script: what docs/pages.md promises to work under. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "connect-src 'self' ws:",
  "img-src data:",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");
/** The same without the right to run wasm. */
const NO_WASM = POLICY.replace(" 'wasm-unsafe-eval'", "");
/** A page that cannot make a client hears why. */
const REFUSED = `try { new SinchClient({ applicationKey: "demo" }); } catch (error) { window.RESULT = { message: error.message }; }`;
const UNSTARTED = `${REFUSED}; window.RESULT.message = RESULT.message.slice(0, 31);`;
/** The same is said by `ready`; the import itself has not failed. */
const unready = (refused) => `ready.catch(({ message }) => { ${refused}; RESULT.ready = message.startsWith(RESULT.message); });`;
const MODULE = `<script type="module" src="main.js"></script>`;

export async function pageTests(context) {
  const sites = [await bare(context), await strict(context), ...(await bundled(context))];
  try {
    for (const name of ["chromium", "firefox"]) {
      for (const { server, cases } of sites) {
        for (const [what, path, expected, watch] of cases) {
          await context.test(`${name}: ${what}`, async () => found(await context.browsers.get(name), server.url + path, expected, watch));
        }
      }
    }
  } finally {
    for (const { server } of sites) await server.close();
  }
}

/** Pages that use the installed files as they are. */
async function bare({ folder, tarball }) {
  const root = project(join(folder, "bare"), tarball, {
    "import/main.js": main(`../${DIST}/index.js`),
    "import/index.html": page(MODULE),
    "inline/main.js": main(`../${DIST}/inline.js`),
    "inline/index.html": page(MODULE),
    "slim/main.js": `import SinchClient, * as all from "../${DIST}/slim.js";\n${USE}\nall.init({ module_or_path: "../${DIST}/offhook.wasm" }).then(() => use(SinchClient, all));`,
    "slim/index.html": page(MODULE),
    "early/main.js": `import SinchClient from "../${DIST}/slim.js";\n${REFUSED}`,
    "early/index.html": page(MODULE),
    "tag/index.html": page(`<script src="../${DIST}/offhook.js"></script><script>${USE}; use(SinchClient);</script>`),
    "latin1/index.html": page(`<script src="../${DIST}/offhook.js"></script><script>${USE}; use(SinchClient);</script>`),
    "map/main.js": main("offhook"),
    "map/index.html": page(`<script type="importmap">{ "imports": { "offhook": "../${DIST}/index.js" } }</script>${MODULE}`),
    "lost/main.js": `import SinchClient, { ready } from "./index.js";\n${unready(REFUSED)}`,
    "lost/index.html": page(MODULE),
    "octets/main.js": main("./index.js"),
    "octets/index.html": page(MODULE),
  });
  for (const place of ["lost", "octets"]) copyFileSync(join(root, DIST, "index.js"), join(root, place, "index.js"));
  copyFileSync(join(root, DIST, "offhook.wasm"), join(root, "octets/offhook.wasm"));
  const server = await serve(root, (path) => {
    if (path === "/octets/offhook.wasm") return { "content-type": "application/octet-stream" };
    return path.startsWith("/latin1/") || path.endsWith("/offhook.js")
      ? { "content-type": path.endsWith(".js") ? "text/javascript" : "text/html; charset=windows-1252" }
      : {};
  });
  const lost = {
    message: `offhook: no wasm at ${server.url}/lost/offhook.wasm (404). Copy offhook.wasm there, or import "offhook/inline".`,
    ready: true,
  };
  const early = {
    message: "offhook/slim: wait for init({ module_or_path }), or call initSync({ module }), before the first use",
  };
  return {
    server,
    cases: [
      ["a bare page imports the package", "/import/index.html", { ...FOUND, exports: `${ALL} ready` }],
      ["a bare page imports it by an import map", "/map/index.html", { ...FOUND, exports: `${ALL} ready` }],
      ["a bare page imports the inline entry", "/inline/index.html", { ...FOUND, exports: `${ALL} ready` }],
      ["a bare page initialises the slim entry", "/slim/index.html", { ...FOUND, exports: `${ALL} init initSync` }],
      ["the slim entry before its initialisation says so", "/early/index.html", early],
      ["a script tag defines SinchClient for the next inline script", "/tag/index.html", { ...FOUND, exports: "" }],
      ["the script tag works in a page that is not UTF-8", "/latin1/index.html", { ...FOUND, exports: "" }],
      ["wasm served as octets works", "/octets/index.html", { ...FOUND, exports: `${ALL} ready` }],
      ["wasm that is not there: the error names the remedy", "/lost/index.html", lost, { faults: false }],
    ],
  };
}

/** The same under a strict policy with Trusted Types: everything works and nothing is reported. */
async function strict({ folder, tarball }) {
  const root = project(join(folder, "strict"), tarball, {
    "watch.js": `window.VIOLATIONS = []; addEventListener("securitypolicyviolation", (e) => VIOLATIONS.push(e.violatedDirective + " " + e.blockedURI + " " + e.sample));`,
    "import/main.js": main(`../${DIST}/index.js`),
    "inline/main.js": main(`../${DIST}/inline.js`),
    "tag/main.js": `${USE}; use(SinchClient);`,
    "import/index.html": page(`<script src="../watch.js"></script>${MODULE}`),
    "inline/index.html": page(`<script src="../watch.js"></script>${MODULE}`),
    "no-wasm/import/main.js": `import SinchClient, { ready } from "../../${DIST}/index.js";\n${unready(UNSTARTED)}`,
    "no-wasm/import/index.html": page(MODULE),
    "no-wasm/inline/main.js": `import SinchClient, { ready } from "../../${DIST}/inline.js";\n${unready(UNSTARTED)}`,
    "no-wasm/inline/index.html": page(MODULE),
    "no-wasm/tag/main.js": UNSTARTED,
    "no-wasm/tag/index.html": page(`<script src="../../${DIST}/offhook.js"></script><script src="main.js"></script>`),
    "tag/index.html": page(
      `<script src="../watch.js"></script><script src="../${DIST}/offhook.js"></script><script src="main.js"></script>`,
    ),
  });
  const server = await serve(root, (path) => ({ "content-security-policy": path.startsWith("/no-wasm/") ? NO_WASM : POLICY }));
  /** @type {Case[]} */
  const cases = [
    ["import", "import"],
    ["inline entry", "inline"],
    ["script tag", "tag"],
  ].map(([what, place]) => [
    `strict policy and Trusted Types: ${what}, no violation`,
    `/${place}/index.html`,
    { ...FOUND, exports: place === "tag" ? "" : `${ALL} ready` },
    { policy: true },
  ]);
  for (const [place, told] of Object.entries({ import: { ready: true }, inline: { ready: true }, tag: {} })) {
    const why = { message: "offhook: the wasm did not start", ...told };
    cases.push([`a policy without wasm: ${place} says so when a client is made`, `/no-wasm/${place}/index.html`, why, { faults: false }]);
  }
  return { server, cases };
}

/** What each bundler makes of a project that imports the package. */
async function bundled(context) {
  const sites = [];
  for (const [what, make, exports = `${ALL} ready`] of BUNDLERS) {
    const server = await make(context).catch((error) => ({ url: `about:blank#${what}-failed`, close: () => {}, error }));
    if (server.error) await context.test(`${what} builds`, () => Promise.reject(server.error));
    else sites.push({ server, cases: [[`${what}`, "/index.html", { ...FOUND, exports }]] });
  }
  return sites;
}

/**
 * @typedef {[what: string, path: string, expected: object, watch?: { faults?: boolean, policy?: boolean }]} Case
 * @typedef {{ folder: string, tarball: string }} Context
 * @typedef {{ url: string, close: () => unknown, error?: Error }} Server
 * @type {[what: string, make: (context: Context) => Promise<Server>, exports?: string][]}
 */
const BUNDLERS = [
  ["Vite build", async (context) => (await viteBuild(user(context, "vite")), serve(join(context.folder, "vite/dist")))],
  ["Vite development server", async (context) => viteServer(user(context, "vite-dev"))],
  [
    "Vite build of the inline entry",
    async (context) => (await viteBuild(user(context, "vite-inline", "offhook/inline")), serve(join(context.folder, "vite-inline/dist"))),
  ],
  ["webpack build", async (context) => (await webpackBuild(user(context, "webpack")), serve(join(context.folder, "webpack/dist")))],
  [
    "webpack build of the inline entry",
    async (context) => (
      await webpackBuild(user(context, "webpack-inline", "offhook/inline")),
      serve(join(context.folder, "webpack-inline/dist"))
    ),
  ],
  ["webpack build of require()", webpackRequire, ""],
  [
    "esbuild bundle of the inline entry",
    async (context) => (
      await esbuildBuild(user(context, "es-inline", "offhook/inline"), { format: "iife" }),
      serve(join(context.folder, "es-inline/dist"))
    ),
  ],
  [
    "esbuild bundle with the wasm copied beside it",
    async (context) => (await esbuildBuild(user(context, "es"), { format: "esm", copyWasm: true }), serve(join(context.folder, "es/dist"))),
  ],
];

const user = ({ folder, tarball }, name, entry = "offhook") =>
  project(join(folder, name), tarball, { "main.js": main(entry), "index.html": page(MODULE) });

async function webpackRequire({ folder, tarball }) {
  const root = project(join(folder, "webpack-require"), tarball, {
    "main.cjs": `const SinchClient = require("offhook");\n${USE}\nuse(SinchClient);`,
  });
  await webpackBuild(root, "./main.cjs");
  return serve(join(root, "dist"));
}

/** Opens the page and compares what it found. Uncaught errors and policy violations fail it, too. */
export async function found(browser, url, expected, { faults: strictFaults = true, policy = false } = {}) {
  const page = await browser.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error.message ?? error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  try {
    await page.goto(url);
    await page
      .waitForFunction("window.RESULT", { polling: 200, timeout: 10_000 })
      .catch(() => Promise.reject(new Error(`no result; errors: ${faults.join("; ") || "none"}`)));
    assert.deepEqual(await page.evaluate("window.RESULT"), expected);
    if (policy) assert.deepEqual(await page.evaluate("window.VIOLATIONS"), []);
    if (strictFaults) assert.deepEqual(faults, []);
  } finally {
    await page.close();
  }
}
