// callUser() to the callee's ring, and answer to sound, in both browsers.
import { calls, figure } from "../lib/calls.mjs";
import { LIBRARIES, VARIANTS } from "../lib/variants.mjs";

const ROUNDS = 20;

export async function run(stage) {
  const figures = [];
  for (const [where, browser, variants] of [
    ["chromium", "Chromium", VARIANTS],
    // It gathers candidates in a millisecond: tuning changes nothing.
    ["firefox", "Firefox", LIBRARIES],
  ]) {
    const measured = await calls(stage, { rounds: ROUNDS, where, variants, answers: true });
    figures.push(figure(`call to the callee's ring, ${browser}`, measured, "ring"));
    figures.push(figure(`answer to the first audio packet both ways, ${browser}`, measured, "packet"));
    figures.push(figure(`answer to sound heard both ways, ${browser}`, measured, "sound"));
  }
  return figures;
}
