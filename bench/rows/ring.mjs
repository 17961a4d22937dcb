// call() to the callee's ring, and answer() to sound, in Chromium.
import { VARIANTS } from "../lib/variants.mjs";
import { calls, figure } from "../lib/calls.mjs";

export const run = (stage) => ringAndSound(stage, "Chromium", VARIANTS);

export async function ringAndSound(stage, browser, variants) {
  const measured = await calls(stage, { rounds: 20, where: browser.toLowerCase(), variants, answers: true });
  return [
    figure(`call to the callee's ring, ${browser}`, measured, "ring"),
    figure(`answer to the first audio packet both ways, ${browser}`, measured, "packet"),
    figure(`answer to sound heard both ways, ${browser}`, measured, "sound"),
  ];
}
