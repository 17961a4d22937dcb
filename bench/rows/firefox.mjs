// The same in Firefox. It gathers candidates in a millisecond, so tuning changes nothing.
import { LIBRARIES } from "../lib/variants.mjs";
import { ringAndSound } from "./ring.mjs";

export const run = (stage) => ringAndSound(stage, "Firefox", LIBRARIES);
