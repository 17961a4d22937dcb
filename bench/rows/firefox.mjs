// The same in Firefox. It gathers candidates in a millisecond, so tuning changes nothing; and it lets no page listen where there is no
// sound device.
import { calls } from "../lib/calls.mjs";
import { LIBRARIES } from "../lib/variants.mjs";
import { figures } from "./ring.mjs";

export async function run(stage) {
  return figures("Firefox", await calls(stage, { rounds: 20, where: "firefox", variants: LIBRARIES, answers: ["packet"] }));
}
