// The SDK fails by a fault of its own: the page is told, nothing stays open, and the client can be started again.
import { check, same, soon } from "./lib/check.mjs";

export default function suite(test) {
  for (const where of ["chromium", "firefox"])
    test(`a panic ends the client with an error, and a new one works (${where})`, 120, (world) => panics(world, where));
}

/** Where it fails, in a call of `alice`, whose SDK fails, with `bob`: what the page does then. */
const PLACES = {
  "hangup()": () => e2e.calls.at(-1).call.hangup(),
  "mute()": () => e2e.calls.at(-1).call.mute(),
  "sendDTMF()": () => e2e.calls.at(-1).call.sendDTMF("1"),
  "callUser()": () => e2e.client.callUser("somebody"),
  "stopActiveConnection()": () => e2e.client.stopActiveConnection(),
  "terminate()": () => e2e.client.terminate(),
  "the network is back": () => dispatchEvent(new Event("online")),
  "the page goes away": () => dispatchEvent(new PageTransitionEvent("pagehide")),
};
/** The same, caused from outside the page. */
const FROM_OUTSIDE = {
  "a message comes": (alice, bob) => bob.run(() => e2e.calls.at(-1).call.hangup()),
  "the WebSocket closes": (alice) => alice.site.cut(),
};

async function panics(world, where) {
  const alice = await world.user(where, world.name("alice"));
  const bob = await world.user(where, world.name("bob"), { config: { capabilities: { multiCall: true } } });
  await bob.run(() => (e2e.answerAtOnce = true));
  let slowest = 0;
  const places = [
    ...Object.entries(PLACES).map(([name, act]) => ({
      place: name,
      act: () => alice.run(`try { (${act})() } catch (error) { e2e.thrown = String(error) }`),
    })),
    ...Object.entries(FROM_OUTSIDE).map(([name, act]) => ({ place: name, act: () => act(alice, bob) })),
    { place: "start()", act: null },
  ];
  for (const { place, act } of places) {
    if (act) {
      const call = await alice.call(bob.id);
      await alice.until(call, "onCallEstablished");
    }
    await alice.run(takeTheClockOnce);
    if (act) await act();
    else await alice.run((id) => void e2e.start({ userId: id }), alice.id);
    const began = Date.now();
    await alice
      .wait(() => e2e.faults.length === 1, `an error event of the panic in ${place}`, 2_000)
      .catch(async (error) => {
        throw new Error(`${error.message}; thrown: ${await alice.run(() => e2e.thrown)}`);
      });
    const [fault] = await alice.run(() => e2e.faults.splice(0));
    same([fault.name, fault.domain, fault.code], ["SinchError", 5, 6001], `the error after ${place}`);
    same(await alice.open(), { tracks: 0, peers: 0 }, `what stays open after ${place}`);
    const last = await alice.run(() => e2e.calls.at(-1)?.call.getEndCause());
    same(last, "FAILURE", `how the call ends after ${place}`);
    await alice.start({ userId: alice.id });
    slowest = Math.max(slowest, Date.now() - began);
    check(Date.now() - began <= 2_000, `${Date.now() - began} ms until a new client has signed in after ${place}`);
    await soon(async () => same(await bob.run(() => e2e.calls.at(-1).call.getState()), "ENDED", `bob's call after ${place}`), 10_000);
  }
  await alice.forgive();
  return `${places.length} places; a new client was there after ${slowest} ms at most`;
}

/** The next reading of the clock returns nothing, which the SDK takes for impossible. */
function takeTheClockOnce() {
  const clock = Object.getOwnPropertyDescriptor(window, "performance");
  const get = () => void Object.defineProperty(window, "performance", clock);
  Object.defineProperty(window, "performance", { configurable: true, get });
}
