// What the rows play on: a site with one page for each library, browsers, Kamailio, and phones in pages of their own.
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Browsers } from "../../tests/e2e/lib/browsers.mjs";
import { Kamailio } from "../../tests/e2e/lib/kamailio.mjs";
import { serve } from "../../tests/package/site.mjs";
import { BEFORE, VARIANTS } from "./variants.mjs";

const require = createRequire(new URL("../../tests/package.json", import.meta.url));
const { build } = require("esbuild");
const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** Everything that a run makes. */
export const OUT = path("target/bench");
export const DOMAIN = "calls.test";
export const USERS = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`user${i}`, `secret ${i}`]));

/** Where the bundler finds the libraries, which are no dependencies of this folder. */
const PLACES = {
  offhook: path("pkg/dist/index.js"),
  parser: `${OUT}/parser/parser.js`,
  jssip: path("tests/node_modules/jssip"),
  "sip.js": path("tests/node_modules/sip.js"),
};

/** Bundles as a page of today would: minified, for browsers of today. */
export function bundle(options) {
  const common = { bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "none", logLevel: "error", write: false };
  return build({ ...common, alias: { ...PLACES, ...options.alias }, ...options.build }).then(({ outputFiles }) => outputFiles[0].contents);
}

export class Stage {
  /** The pages. */
  site = null;
  /** The one server that all calls go through. */
  kamailio = null;
  browsers = new Browsers();
  #serial = 0;

  static async open() {
    const stage = new Stage();
    rmSync(`${OUT}/site`, { recursive: true, force: true });
    await Promise.all([...new Set(VARIANTS.map(({ library }) => library))].map(page));
    copyFileSync(path("pkg/dist/offhook.wasm"), `${OUT}/site/offhook/offhook.wasm`);
    if (BEFORE) copyFileSync(`${BEFORE}/offhook.wasm`, `${OUT}/site/before/offhook.wasm`);
    stage.site = await serve(`${OUT}/site`);
    stage.kamailio = await Kamailio.start({ domain: DOMAIN, users: USERS });
    return stage;
  }

  /** A tab of `library` in which nobody is signed in yet; `inject` runs before its own scripts. */
  async tab(library, /** @type {{ where?: string, inject?: () => void }} */ { where = "chromium", inject } = {}) {
    const browser = await this.browsers.get(where);
    const tab = await browser.newPage();
    if (inject) await tab.evaluateOnNewDocument(inject);
    await tab.goto(`${this.site.url}/${library}/index.html`);
    await tab.waitForFunction(() => window.bench?.seen("loaded"), { polling: 50, timeout: 10_000 });
    return tab;
  }

  /** A tab with one phone of `variant`, signed in. */
  async phone(
    { library, tuned = false },
    /** @type {{ where?: string, inject?: () => void, [option: string]: any }} */ { where, inject, ...options } = {},
  ) {
    const tab = await this.tab(library, { where, inject });
    const user = this.user();
    await tab.evaluate((o) => bench.start(o), { ...this.account(user), tuned, iceServers: [], ...options });
    return { tab, user };
  }

  /** The next unused name. */
  user() {
    return `user${this.#serial++}`;
  }

  account(user) {
    return { servers: [this.kamailio.url], domain: DOMAIN, user, password: USERS[user] };
  }

  async close() {
    await this.browsers.close();
    await this.kamailio?.stop();
    this.site?.close();
  }
}

async function page(library) {
  const before = library === "before" ? { offhook: `${BEFORE}/index.js` } : {};
  const alias = { phone: path(`bench/www/${BEFORE ? "offhook" : library}.js`), ...before };
  const script = await bundle({ alias, build: { entryPoints: [path("bench/www/page.js")] } });
  mkdirSync(`${OUT}/site/${library}`, { recursive: true });
  writeFileSync(`${OUT}/site/${library}/page.js`, script);
  writeFileSync(
    `${OUT}/site/${library}/index.html`,
    `<!doctype html><title>${library}</title><script type="module" src="page.js"></script>`,
  );
}
