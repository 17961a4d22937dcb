// Small assertions that say what was there instead.
import assert from "node:assert/strict";
import { SILENCE, pause } from "./world.mjs";

export const same = (actual, expected, what) => assert.deepEqual(actual, expected, what);

export function check(condition, what) {
  if (!condition) assert.fail(what);
}

/** `expected`: the event names in order, the last with its end cause. */
export async function events(user, i, expected) {
  same(await user.events(i), expected, `events of ${user.name}`);
}

/** Records at `listener` and fails unless the loudest tone is the one of `speaker`'s microphone. */
export async function hears(listener, i, speaker, ms) {
  const heard = await listener.hear(i, ms);
  const right = heard.tone === speaker.tone && heard.share > 0.3 && heard.rms > 5 * SILENCE;
  check(right, `${listener.name} should hear the ${speaker.tone} Hz of ${speaker.name} and hears ${JSON.stringify(heard)}`);
  return heard;
}

export async function silent(listener, i, ms) {
  const heard = await listener.hear(i, ms);
  check(heard.rms < SILENCE, `${listener.name} should hear nothing and hears ${JSON.stringify(heard)}`);
}

/** Waits for all of these and fails with all that failed. */
export async function inParallel(promises) {
  const failed = (await Promise.allSettled(promises)).flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (failed.length) throw Object.assign(failed[0], { message: failed.map(({ message }) => message).join("\n") });
}

/** Tries `f` until it does not throw, at most `ms`: for what is right a little later (a muted track still has packets on the way). */
export async function soon(f, ms = 4_000) {
  const end = Date.now() + ms;
  for (;;) {
    try {
      return await f();
    } catch (error) {
      if (Date.now() > end) throw error;
      await pause(20);
    }
  }
}

const STATES = ["INITIATING", "PROGRESSING", "ESTABLISHED", "ENDED"];
const CAUSES = ["NONE", "TIMEOUT", "DENIED", "NO_ANSWER", "FAILURE", "HUNG_UP", "CANCELED", "OTHER_DEVICE_ANSWERED"];

/** State and cause as strings, as integers and in the details of an ended call must say the same; times must be in order. */
export async function ended(user, i, cause) {
  const facts = await user.facts(i);
  const { details } = facts;
  const number = CAUSES.indexOf(cause);
  const got = { state: facts.state, stateInt: facts.stateInt, cause: facts.cause, causeInt: facts.causeInt, details: details.endCause };
  same(got, { state: "ENDED", stateInt: STATES.indexOf("ENDED"), cause, causeInt: number, details: number }, `the end at ${user.name}`);
  same(facts.times, [details.startedTime, details.establishedTime, details.endedTime], `times at ${user.name}`);
  check(
    typeof details.endedTime === "number" && Math.abs(details.endedTime - Date.now()) < 60_000,
    `endedTime at ${user.name}: ${details.endedTime}`,
  );
  const known = facts.times.filter((time) => time !== null);
  check(
    known.every((time, n) => n === 0 || time >= known[n - 1]),
    `times of ${user.name} are out of order: ${facts.times}`,
  );
  const duration = details.establishedTime === null ? 0 : (details.endedTime - details.establishedTime) / 1000;
  check(Math.abs(details.duration - duration) < 0.01, `duration at ${user.name}: ${details.duration}, not ${duration}`);
  return facts;
}
