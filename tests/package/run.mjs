// Tests the package as a user gets it: packed, installed into projects of their own, built with their tools, opened in both browsers.
//
//   node tests/package/run.mjs [filter…]     a test runs when its name contains one of the filters
//
// scripts/build-package has to have run before. The last line is "N passed, N failed, N skipped".
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Browsers } from "../e2e/lib/browsers.mjs";
import { frameworkTests } from "./frameworks.mjs";
import { nodeTests } from "./node.mjs";
import { pageTests } from "./pages.mjs";
import { packed } from "./projects.mjs";
import { readmeTests } from "./readme.mjs";
import { typeTests } from "./types.mjs";

const BUILT = new URL("../../pkg/dist/index.js", import.meta.url);
const filters = process.argv.slice(2);
const count = { passed: 0, failed: 0, skipped: 0 };

if (!existsSync(BUILT)) {
  console.log("not ok the package is not built: run scripts/build-package\n0 passed, 1 failed, 0 skipped");
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), "offhook-package-"));
const browsers = new Browsers();
try {
  const { tarball, files } = packed(folder);
  const context = { test, browsers, folder, tarball, files };
  await nodeTests(context);
  await typeTests(context);
  await pageTests(context);
  await frameworkTests(context);
  await readmeTests(context);
} catch (error) {
  count.failed++;
  console.log(`not ok set-up\n    ${error.stack}`);
} finally {
  await browsers.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
process.exit(count.failed || !count.passed ? 1 : 0);

/** Runs one test and says how it went. It fails when `run` throws or takes longer than `seconds`. */
async function test(name, run, seconds = 60) {
  if (filters.length && !filters.some((filter) => name.includes(filter))) return;
  const began = Date.now();
  let timer;
  const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error(`not done after ${seconds} s`)), seconds * 1000)));
  try {
    await Promise.race([run(), late]);
    count.passed++;
    console.log(`ok ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    count.failed++;
    console.log(`not ok ${name}\n${String(error.stack ?? error).replace(/^/gm, "    ")}`);
  } finally {
    clearTimeout(timer);
  }
}
