// Calls of one page to another, which nearly every suite begins with.
import { hears, silent, soon } from "./check.mjs";

/** Each browser calls the other. */
export const PAIRS = [
  ["chromium", "firefox"],
  ["firefox", "chromium"],
];

/** Two users of their own; it rings at the second. Options as for `world.pair`. */
export async function ringing(world, from, to, options) {
  return ring(...(await world.pair(from, to, options)));
}

/** The same, and the second has answered. */
export async function established(world, from, to, options) {
  return answer(...(await ringing(world, from, to, options)));
}

/** Alice calls Bob, whose page rings. */
export async function ring(alice, bob) {
  await alice.call(bob.id);
  await Promise.all([bob.until(0, "onIncomingCall"), alice.until(0, "onCallProgressing")]);
  return [alice, bob];
}

/** Bob answers, and both are told so. */
export async function answer(alice, bob) {
  await bob.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  return [alice, bob];
}

/** Each hears the other's tone in its call `i`, or `j`, soon. */
export const hearEachOther = (one, other, i = 0, j = i) =>
  Promise.all([soon(() => hears(one, i, other)), soon(() => hears(other, j, one))]);

/** A phone puts a page on hold, and goes on. */
export async function holds(phone, user) {
  await phone.hold();
  await soon(() => silent(user, 0));
  await phone.resume();
  await hearEachOther(user, phone);
}
