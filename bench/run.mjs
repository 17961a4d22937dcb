// The bench: Offhook beside JsSIP and SIP.js, in one run. scripts/bench builds what it needs and starts it.
//
//   node bench/run.mjs [row…]      rows as below; a run of all of them renews bench/figures.txt and bench/figures.svg
//
// Whoever is measured takes turns with the others, so that what the machine does beside hits all alike. Raw values: target/bench/raw.json.
import { mkdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import { picture } from "./lib/picture.mjs";
import { OUT, Stage } from "./lib/stage.mjs";
import { table } from "./lib/table.mjs";

const ROWS = ["size", "ring", "firefox", "microphone", "stun", "parse", "messages", "idle", "failover", "torture"];
/** No row takes so long unless something hangs. */
const MINUTES = 4;

const wanted = process.argv.slice(2);
const unknown = wanted.filter((row) => !ROWS.includes(row));
if (unknown.length) {
  console.error(`There is no row ${unknown}. These are there: ${ROWS.join(" ")}`);
  process.exit(2);
}

const began = Date.now();
const figures = [];
const stage = await Stage.open();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stage.close().finally(() => process.exit(1)));
try {
  for (const row of ROWS) if (!wanted.length || wanted.includes(row)) figures.push(...(await measure(row)));
} finally {
  await stage.close();
}
report();
process.exit(figures.length && figures.every(({ results }) => results[0].values.length) ? 0 : 1);

async function measure(row) {
  const { run } = await import(`./rows/${row}.mjs`);
  const from = Date.now();
  let late;
  try {
    const timeout = new Promise(
      (_, reject) => (late = setTimeout(() => reject(new Error(`not done after ${MINUTES} minutes`)), MINUTES * 60_000)),
    );
    return await Promise.race([run(stage), timeout]);
  } catch (error) {
    console.error(`${row}: ${error.stack}`);
    return [{ title: row, unit: "", digits: 0, results: [{ name: "Offhook", values: [], failed: [error.message] }] }];
  } finally {
    clearTimeout(late);
    console.log(`${row}: ${((Date.now() - from) / 1000).toFixed(0)} s`);
  }
}

function report() {
  const machine = `${os.cpus().length} × ${os.cpus()[0].model.trim()}, load ${os.loadavg()[0].toFixed(1)} at the end`;
  const took = `${((Date.now() - began) / 60_000).toFixed(0)} minutes`;
  const text = `${table(figures)}\n\n${machine}; ${took}.\n`;
  console.log(`\n${text}`);
  mkdirSync(OUT, { recursive: true });
  writeFileSync(`${OUT}/raw.json`, JSON.stringify({ machine, figures }, null, 1));
  writeFileSync(`${OUT}/figures.txt`, text);
  writeFileSync(`${OUT}/figures.svg`, picture(figures));
  if (wanted.length) return;
  for (const [name, content] of [
    ["figures.txt", text],
    ["figures.svg", picture(figures)],
  ])
    writeFileSync(new URL(name, import.meta.url), content);
}
