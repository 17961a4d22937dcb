// Runs the end-to-end tests: real browsers, the real gateway, sound measured.
//
//   node tests/e2e/run.mjs [filter…]      a test runs when its "suite: name" contains one of the filters
//
// OFFHOOK_GATEWAY  path of the gateway's binary (default: target/gateway/, then target/debug/)
// OFFHOOK_SCRIPT   another offhook.js than the gateway's and pkg/dist's
// OFFHOOK_TRACE    the file that gets the SIP of all pages of each failed try, and what the servers that it used say (default:
//                  target/e2e/traces.log)
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { allowBars, isMissed } from "./lib/bar.mjs";
import { Skip } from "./lib/skip.mjs";

// Both lanes at once, each with browsers, a gateway and a network of its own: a test mostly waits, and what one does to its network no other
// lane hears. What has time bars comes late, where the other lane mostly waits.
const LANES = [
  ["sound", "devices", "scenarios", "page", "snippets", "logins", "lives", "faults", "webpeers", "phones", "cluster"],
  ["network", "relay", "inside", "kamailio", "trunks", "names", "carriers", "rogues", "credit", "servers", "originals", "misuses", "drops"],
];
const INSIDE = "OFFHOOK_E2E_INSIDE";
const LANE = "OFFHOOK_E2E_LANE";
const TRACES = process.env.OFFHOOK_TRACE ?? fileURLToPath(new URL("../../target/e2e/traces.log", import.meta.url));

if (process.env[INSIDE]) await inLane(LANES[process.env[LANE]], process.argv.slice(2));
else process.exitCode = await inNamespaces();

/** Runs this file again for each lane where only the loopback exists: no test can reach the world, and no process outlives the run. */
async function inNamespaces() {
  mkdirSync(dirname(TRACES), { recursive: true });
  rmSync(TRACES, { force: true });
  const unshare = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
  // Firefox gathers no candidate unless some route is the default one.
  const prepare = "ip link set lo up && ip route replace default dev lo src 127.0.0.1";
  const possible = spawnSync("unshare", [...unshare, "sh", "-c", prepare]).status === 0;
  const self = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  if (!possible) console.log("# no network namespace of our own (needs root, unshare and ip): the machine's network is used");
  const command = possible ? ["unshare", ...unshare, "sh", "-c", `${prepare} && exec "$@"`, "sh", ...self] : self;
  const environment = { ...process.env, [INSIDE]: possible ? "namespace" : "machine" };
  const results = await Promise.all(LANES.map((_, lane) => runLane(command, { ...environment, [LANE]: lane })));
  for (const name of results.flatMap(({ unsure }) => unsure)) console.log(`# passed only at the ${name}`);
  const [passed, failed, skipped] = ["passed", "failed", "skipped"].map((what) => results.reduce((sum, { count }) => sum + count[what], 0));
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed || !passed ? 1 : 0;
}

/** What a lane says at its end; one that says nothing has failed. */
function runLane(command, env) {
  const child = spawn(command[0], command.slice(1), { stdio: ["inherit", "inherit", "inherit", "ipc"], env });
  let result = null;
  child.on("message", (message) => (result = message));
  return new Promise((resolve) =>
    child.on("close", (code) => {
      if (!result) console.log(`not ok: a lane ended with ${code} and without a word`);
      resolve(result ?? { count: { passed: 0, failed: 1, skipped: 0 }, unsure: [] });
    }),
  );
}

async function inLane(suites, filters) {
  const { World } = await import("./lib/world.mjs");
  const world = new World();
  const count = { passed: 0, failed: 0, skipped: 0 };
  const unsure = [];
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => world.close().finally(() => process.exit(1)));
  try {
    for (const suite of suites) {
      const module = await import(`./${suite}.mjs`);
      const wanted = tests(module).filter(({ name }) => matches(`${suite}: ${name}`, filters));
      if (!wanted.length) continue;
      // First of all: without it nearly nothing runs.
      await world.gateway();
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
  process.send({ count, unsure }, () => process.exit());
}

/** A suite calls `test(name, seconds, async (world) => …)` for each of its tests, and `test.timed(…)` for those that have time bars. */
function tests(module) {
  const list = [];
  const add = (timed) => (name, seconds, run) => list.push({ name, seconds, run, timed });
  module.default(Object.assign(add(false), { timed: add(true) }));
  return list;
}

function matches(name, filters) {
  return filters.length === 0 || filters.some((filter) => name.includes(filter));
}

/**
 * Two browsers and a recording on two busy cores may be late once: what fails is tried up to twice more, and the end of the report says so.
 * With time bars the fastest try would count, so a missed bar is measured twice more and has to hold both times: the median of three counts.
 */
async function runAgain(world, suite, test, unsure) {
  const once = () => {
    allowBars(test.timed);
    return runTest(world, suite, test);
  };
  for (const time of ["first", "second", "third"]) {
    const result = await once();
    if (result !== "failed") {
      if (time !== "first") unsure.push(`${time} try: ${suite}: ${test.name}`);
      return result;
    }
    if (isMissed()) break;
  }
  if (!isMissed()) return "failed";
  for (let again = 0; again < 2; again++) if ((await once()) !== "passed") return "failed";
  unsure.push(`median of three, one time bar missed: ${suite}: ${test.name}`);
  return "passed";
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
    if (result === "failed") {
      const traces = await within(5, world.traces()).catch((reason) => reason.message);
      appendFileSync(TRACES, `\n===== ${suite}: ${name}\n${trouble}\n${traces}\n`);
    }
  }
  const complaints = await within(20, world.tidy()).catch((error) => [`closing the pages: ${error.message}`]);
  if (complaints.length && result === "passed") [result, trouble] = ["failed", complaints.join("\n")];
  else if (complaints.length) trouble += `\n${complaints.join("\n")}`;
  const took = `${((Date.now() - began) / 1000).toFixed(1)} s${note ? `; ${note}` : ""}`;
  const head = result === "failed" ? "not ok" : "ok";
  const line = `${head} ${suite}: ${name}${result === "skipped" ? ` # skipped: ${trouble}` : ` (${took})`}`;
  console.log(result === "failed" ? `${line}\n${indent(trouble)}` : line);
  return result;
}

function where(error) {
  return (error.stack ?? "")
    .split("\n")
    .filter((line) => line.includes("/e2e/"))
    .slice(0, 4)
    .join("\n");
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
