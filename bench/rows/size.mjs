// What a page loads to make calls: the bundle of the main classes, as brotli. Offhook's wasm is included.
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";
import { bundle } from "../lib/stage.mjs";
import { BEFORE, LIBRARIES } from "../lib/variants.mjs";

const ENTRIES = {
  offhook: `import { SinchClient } from "offhook"; globalThis.used = [SinchClient];`,
  jssip: `import { UA, WebSocketInterface } from "jssip"; globalThis.used = [UA, WebSocketInterface];`,
  sipjs: `import { UserAgent, Registerer, Inviter } from "sip.js"; globalThis.used = [UserAgent, Registerer, Inviter];`,
};

export async function run() {
  const results = LIBRARIES.map(async ({ name, library }) => {
    const [contents, alias] = library === "before" ? [ENTRIES.offhook, { offhook: `${BEFORE}/index.js` }] : [ENTRIES[library], {}];
    const files = [await bundle({ alias, build: { stdin: { contents, resolveDir: "." } } })];
    if (library === "offhook") files.push(readFileSync(new URL("../../pkg/dist/offhook.wasm", import.meta.url)));
    if (library === "before") files.push(readFileSync(`${BEFORE}/offhook.wasm`));
    return { name, values: [files.map(brotli).reduce((a, b) => a + b) / 1000], failed: [] };
  });
  return [{ title: "JavaScript and wasm of a calling page, brotli", unit: "kB", digits: 1, results: await Promise.all(results) }];
}

const brotli = (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }).length;
