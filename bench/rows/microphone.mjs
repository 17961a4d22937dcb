// The same with a microphone that takes half a second to open, as while a person reads the browser's question.
import { calls, rings } from "../lib/calls.mjs";

export async function run(stage) {
  const measured = await calls(stage, { rounds: 20, options: { delay: 500 } });
  return [rings("call to ring, the microphone takes 500 ms", measured)];
}
