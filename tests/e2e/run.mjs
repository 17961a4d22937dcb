// Runs the end-to-end tests: real browsers, the real gateway, sound measured.
//
//   node tests/e2e/run.mjs [filter…]      a test runs when its "suite: name" contains one of the filters
//
// OFFHOOK_GATEWAY  path of the gateway's binary (default: target/gateway/, then target/debug/)
// OFFHOOK_SCRIPT   another offhook.js than the gateway's and pkg/dist's
// OFFHOOK_TRACE    a file that gets the SIP of all pages of each failed test, and what the servers that it used say
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Skip } from "./lib/skip.mjs";

const SUITES = ["sound", "scenarios", "page", "logins", "relay", "network", "drops", "webpeers", "kamailio", "phones", "cluster"];
const INSIDE = "OFFHOOK_E2E_INSIDE";

if (process.env[INSIDE]) await main();
else process.exitCode = await insideNamespace();

/** Runs this file again where only the loopback exists: no test can reach the world, and no process outlives the run. */
async function insideNamespace() {
  const unshare = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
  // Firefox gathers no candidate unless some route is the default one.
  const prepare = "ip link set lo up && ip route replace default dev lo src 127.0.0.1";
  const possible = spawnSync("unshare", [...unshare, "sh", "-c", prepare]).status === 0;
  const self = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  if (!possible) console.log("# no network namespace of our own (needs root, unshare and ip): the machine's network is used");
  const command = possible ? ["unshare", ...unshare, "sh", "-c", `${prepare} && exec "$@"`, "sh", ...self] : self;
  const child = spawn(command[0], command.slice(1), { stdio: "inherit", env: { ...process.env, [INSIDE]: possible ? "namespace" : "machine" } });
  return new Promise((resolve) => child.on("exit", (code) => resolve(code ?? 1)));
}

async function main() {
  const { World } = await import("./lib/world.mjs");
  const filters = process.argv.slice(2);
  const world = new World();
  const count = { passed: 0, failed: 0, skipped: 0 };
  const unsure = [];
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => world.close().finally(() => process.exit(1)));
  try {
    // First of all: without it nearly nothing runs.
    await world.gateway();
    for (const suite of SUITES) {
      const module = await import(`./${suite}.mjs`);
      const wanted = tests(module).filter(({ name }) => matches(`${suite}: ${name}`, filters));
      if (!wanted.length) continue;
      try {
        await module.setUp?.(world);
        for (const test of wanted) count[await runAgain(world, suite, test, unsure)]++;
      } catch (error) {
        count.failed++;
        console.log(`not ok ${suite}: set-up\n${indent(error.stack)}`);
      } finally {
        await module.tearDown?.(world);
      }
    }
  } catch (error) {
    count.failed++;
    console.log(`not ok: ${error.message}`);
  } finally {
    await world.close();
  }
  for (const name of unsure) console.log(`# passed only at the ${name}`);
  console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  process.exit(count.failed || !count.passed ? 1 : 0);
}

/** A suite calls `test(name, seconds, async (world) => …)` for each of its tests. */
function tests(module) {
  const list = [];
  module.default((name, seconds, run) => list.push({ name, seconds, run }));
  return list;
}

function matches(name, filters) {
  return filters.length === 0 || filters.some((filter) => name.includes(filter));
}

/** Two browsers and a recording on two busy cores may be late once: what fails is tried up to twice more, and the end of the report says so. */
async function runAgain(world, suite, test, unsure) {
  const first = await runTest(world, suite, test);
  if (first !== "failed") return first;
  for (const time of ["second", "third"]) {
    if ((await runTest(world, suite, test)) !== "passed") continue;
    unsure.push(`${time} try: ${suite}: ${test.name}`);
    return "passed";
  }
  return "failed";
}

async function runTest(world, suite, { name, seconds, run }) {
  const began = Date.now();
  let result = "passed";
  let trouble = "";
  let note;
  try {
    note = await within(seconds, run(world));
  } catch (error) {
    result = error instanceof Skip ? "skipped" : "failed";
    trouble = result === "skipped" ? error.message : `${error.message}\n${where(error)}`;
    if (result === "failed" && process.env.OFFHOOK_TRACE) {
      const traces = await within(5, world.traces()).catch((reason) => reason.message);
      appendFileSync(process.env.OFFHOOK_TRACE, `\n===== ${suite}: ${name}\n${trouble}\n${traces}\n`);
    }
  }
  const complaints = await within(20, world.tidy()).catch((error) => [`closing the pages: ${error.message}`]);
  if (complaints.length && result === "passed") [result, trouble] = ["failed", complaints.join("\n")];
  else if (complaints.length) trouble += `\n${complaints.join("\n")}`;
  const took = `${((Date.now() - began) / 1000).toFixed(1)} s${note ? `; ${note}` : ""}`;
  const head = result === "failed" ? "not ok" : "ok";
  console.log(`${head} ${suite}: ${name}${result === "skipped" ? ` # skipped: ${trouble}` : ` (${took})`}`);
  if (result === "failed") console.log(indent(trouble));
  return result;
}

function where(error) {
  return (error.stack ?? "").split("\n").filter((line) => line.includes("/e2e/")).slice(0, 4).join("\n");
}

function indent(text) {
  return text.replace(/^/gm, "    ");
}

async function within(seconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${seconds} s`)), seconds * 1000);
  });
  // A test that lost the race may still fail later; nobody waits for it then.
  promise.catch(() => {});
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
