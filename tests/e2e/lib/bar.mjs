// Time bars: what has to be done within so many milliseconds. Of two tries the faster one would count, so a test with a bar has one try.
import assert from "node:assert/strict";

let allowed = false;

/** Said by the runner before each test: whether it is one that is not tried again. */
export function allowBars(yes) {
  allowed = yes;
}

/** `ms` is at most `most`, and at least `least`. Only in tests that were made with `test.timed`. */
export function bar(ms, most, what, least = 0) {
  if (!allowed) throw new Error(`a time bar (${what}) in a test that is tried again: make it with test.timed`);
  assert(ms >= least && ms <= most, `${what}: ${ms} ms, not ${least} to ${most}`);
}
