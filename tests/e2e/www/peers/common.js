// What the pages of other libraries have in common: calls that the tests see as they see the SDK's (page.js).

/** Notes a call of another library. `call` has `answer()`, `hangup()`, …; the result writes its events down under the SDK's names. */
export function watch(call) {
  const entry = { call, events: [], extra: [], created: performance.now() };
  e2e.calls.push(entry);
  return (name, cause = null) => {
    const main = ["onIncomingCall", "onCallProgressing", "onCallEstablished", "onCallEnded"].includes(name);
    const once = main && entry.events.some((event) => event.name === name);
    if (!once) (main ? entry.events : entry.extra).push({ name, at: performance.now(), cause });
  };
}

/** A page of this library is signed in with the gateway's user names and passwords. */
export function ready(library) {
  e2e.library = library;
  e2e.ready = () => true;
}

/** The names of what else happened to call `i`: DTMF digits, hold. */
e2e.extra = (i) => e2e.calls[i].extra.map(({ name, cause }) => (cause === null ? name : `${name}(${cause})`));

/** From now on a timer of `slow` milliseconds fires after 300: what a library does after 45 s can be seen. */
e2e.hurry = (slow) => {
  const { setTimeout } = window;
  window.setTimeout = (f, ms, ...rest) => setTimeout(f, ms === slow ? 300 : ms, ...rest);
};
