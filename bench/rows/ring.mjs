// call() to the callee's ring, and answer() to sound, in Chromium.
import { calls, figure } from "../lib/calls.mjs";

export async function run(stage) {
  const measured = await calls(stage, { rounds: 20, answers: ["packet", "sound"] });
  return [...figures("Chromium", measured), figure("answer to sound heard both ways, Chromium", measured, "sound")];
}

export const figures = (browser, measured) => [
  figure(`call to ring, ${browser}`, measured, "ring"),
  figure(`answer to the first audio packet both ways, ${browser}`, measured, "packet"),
];
