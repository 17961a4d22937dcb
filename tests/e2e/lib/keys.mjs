// DTMF by RTP (RFC 4733): the receiving browser turns the events into the two tones of each key, and those can be heard.
import { check, soon } from "./check.mjs";

/**
 * `speaker`, muted so that only the keys sound, presses `keys` (no key twice) in call `i`, and `listener` reads them from what it hears.
 * A busy machine stretches sound, and a key of 100 ms may be lost to the ear of the test: it is pressed again. No other key may be
 * heard, and none in another order.
 */
export async function heardKeys(speaker, listener, keys, i = 0) {
  const missing = new Set(keys);
  await speaker.run((n) => e2e.calls[n].call.mute(), i);
  await soon(async () => {
    const heard = listener.run((n, ms) => e2e.keys(n, ms), i, 1_000 + keys.length * 200);
    const sent = await speaker.run(press, i, keys);
    check(sent === keys, `of the keys ${keys} the browser of ${speaker.name} sent "${sent}"`);
    const distinct = (await heard).replace(/(.)\1+/g, "$1");
    check(inOrder(distinct, keys), `the keys ${keys} of ${speaker.name} are heard as "${await heard}"`);
    for (const key of distinct) missing.delete(key);
    check(missing.size === 0, `of the keys ${keys} of ${speaker.name} nobody heard ${[...missing].join("")}`);
  }, 15_000);
  await speaker.run((n) => e2e.calls[n].call.unmute(), i);
}

/** Runs in the page: presses the keys and gives those that its browser says it has sent. */
async function press(i, keys) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { peer } = window.seen.peers.find(({ peer }) => peer.signalingState !== "closed");
  const { dtmf } = peer.getSenders().find((sender) => sender.dtmf);
  let sent = "";
  /** @type {Promise<void>} */
  const done = new Promise((resolve) => {
    dtmf.ontonechange = ({ tone }) => (tone ? (sent += tone) : resolve());
    setTimeout(resolve, 4_000);
  });
  e2e.calls[i].call.sendDTMF(keys);
  await done;
  return sent;
}

/** Whether `some` is `all` with keys left out. */
function inOrder(some, all) {
  let from = 0;
  return [...some].every((key) => (from = all.indexOf(key, from) + 1) > 0);
}
