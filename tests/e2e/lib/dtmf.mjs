// DTMF by RTP (RFC 4733): the receiving browser turns the events into the two tones of each digit, and those are measured.
import { check, soon } from "./check.mjs";

/**
 * `speaker`, muted so that only the digits are heard, sends `digits` (no digit twice) in call `i`, and `listener` reads them from what it hears.
 * A busy machine stretches sound, and a digit of 100 ms may be missed: it is sent again. No other digit may be
 * heard, and none in another order.
 */
export async function heardDigits(speaker, listener, digits, i = 0) {
  const missing = new Set(digits);
  await speaker.run((n) => e2e.calls[n].call.mute(), i);
  await soon(async () => {
    const heard = listener.run((n, ms) => e2e.digits(n, ms), i, 1_000 + digits.length * 200);
    const sent = await speaker.run(send, i, digits);
    check(sent === digits, `of the digits ${digits} the browser of ${speaker.name} sent "${sent}"`);
    const distinct = (await heard).replace(/(.)\1+/g, "$1");
    check(inOrder(distinct, digits), `the digits ${digits} of ${speaker.name} are heard as "${await heard}"`);
    for (const digit of distinct) missing.delete(digit);
    check(missing.size === 0, `of the digits ${digits} of ${speaker.name} nobody heard ${[...missing].join("")}`);
  }, 15_000);
  await speaker.run((n) => e2e.calls[n].call.unmute(), i);
}

/** Runs in the page: sends the digits and returns those that its browser says it has sent. */
async function send(i, digits) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { peer } = window.seen.peers.find(({ peer }) => peer.signalingState !== "closed");
  const { dtmf } = peer.getSenders().find((sender) => sender.dtmf);
  let sent = "";
  /** @type {Promise<void>} */
  const done = new Promise((resolve) => {
    dtmf.ontonechange = ({ tone }) => (tone ? (sent += tone) : resolve());
    setTimeout(resolve, 4_000);
  });
  e2e.calls[i].call.sendDTMF(digits);
  await done;
  return sent;
}

/** Whether `some` is `all` with digits left out. */
function inOrder(some, all) {
  let from = 0;
  return [...some].every((digit) => (from = all.indexOf(digit, from) + 1) > 0);
}
