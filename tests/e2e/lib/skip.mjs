/** Thrown by a test that cannot run here; its message says why. */
export class Skip extends Error {}

/** @returns {never} */
export function skip(why) {
  throw new Skip(why);
}
