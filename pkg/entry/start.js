// Where the SDK works, and what is said where it does not. Importing it does nothing on a server, nor in an imitation of a page (jsdom).

/** Whether this is a page of a browser: what servers and imitations lack, the SDK needs. */
export const inPage = ["document", "RTCPeerConnection", "TextDecoder"].every((name) => name in globalThis);

/** Why no client can be made in this page. */
let obstacle = "";

/** Says why no client can be made, or by "" that one can; returns the error. */
export function blockedBy(/** @type {string} */ why) {
  obstacle = why;
  return new Error(why);
}

export function checkStarted() {
  if (!inPage) throw new Error("SinchClient works only in the window of a browser with WebRTC");
  if (obstacle) throw new Error(obstacle);
}
