// Parsing one INVITE in a page, as each library does when it arrives. Offhook's time includes copying the text into the wasm.
import { copyFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { OUT, bundle } from "../lib/stage.mjs";
import { interleave } from "../lib/statistics.mjs";
import { LIBRARIES } from "../lib/variants.mjs";

const MILLISECONDS = 50;

export async function run(stage) {
  const entry = fileURLToPath(new URL("../www/parsers.js", import.meta.url));
  writeFileSync(`${OUT}/site/parsers.js`, await bundle({ build: { entryPoints: [entry] } }));
  writeFileSync(`${OUT}/site/parsers.html`, `<!doctype html><script type="module" src="parsers.js"></script>`);
  copyFileSync(`${OUT}/parser/parser_bg.wasm`, `${OUT}/site/parser.wasm`);
  const figures = [];
  for (const [where, browser] of [
    ["chromium", "Chromium"],
    ["firefox", "Firefox"],
  ]) {
    const tab = await (await stage.browsers.get(where)).newPage();
    await tab.goto(`${stage.site.url}/parsers.html`);
    await tab.waitForFunction(() => window.ready, { polling: 50, timeout: 10_000 });
    const time = ({ library }) => tab.evaluate((name, ms) => window.time(name, ms), library, MILLISECONDS);
    const results = await interleave(LIBRARIES, 20, time);
    figures.push({ title: `reading one INVITE of 1.9 kB, ${browser}`, unit: "µs", digits: 1, results });
    await tab.close();
  }
  return figures;
}
