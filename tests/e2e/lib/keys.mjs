// DTMF by RTP (RFC 4733): the receiving browser turns the events into the two tones of each key, and those can be heard.
import { check, soon } from "./check.mjs";

/** `speaker`, muted so that only the keys sound, presses `keys` in call `i`, and `listener` reads them from what it hears. */
export async function heardKeys(speaker, listener, keys, i = 0) {
  await speaker.run((n) => e2e.calls[n].call.mute(), i);
  await soon(async () => {
    const heard = listener.run((n, ms) => e2e.keys(n, ms), i, 1_000 + keys.length * 200);
    await speaker.run((n, text) => new Promise((r) => setTimeout(r, 200)).then(() => e2e.calls[n].call.sendDTMF(text)), i, keys);
    check((await heard) === keys, `the keys ${keys} of ${speaker.name} are heard as "${await heard}"`);
  }, 8_000);
  await speaker.run((n) => e2e.calls[n].call.unmute(), i);
}
