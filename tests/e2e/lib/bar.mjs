// Time bars: what has to be done within so many milliseconds. Of two tries the faster one would count, so
// a missed bar has to hold in both of two more: the median of three.
import assert from "node:assert/strict";

let allowed = false;
let missed = false;

/** Said by the runner before each try: whether the test is one with time bars. */
export function allowBars(yes) {
  [allowed, missed] = [yes, false];
}

/** Whether one was missed since then. */
export const isMissed = () => missed;

/** `ms` is at most `most`, and at least `least`. Only in tests that were made with `test.timed`. */
export function bar(ms, most, what, least = 0) {
  if (!allowed) throw new Error(`a time bar (${what}) in a test without one: make it with test.timed`);
  missed ||= !(ms >= least && ms <= most);
  assert(ms >= least && ms <= most, `${what}: ${ms} ms, not ${least} to ${most}`);
}
