// The SDK fails in the middle of what it does, by a fault of its own: the page hears of it, nothing stays open, and it may begin anew.
import { check, same, soon } from "./lib/check.mjs";

export default function suite(test) {
  for (const where of ["chromium", "firefox"])
    test(`a panic ends the client with an error, and a new one works (${where})`, 120, (world) => panics(world, where));
}

/** Where it fails, in a call of `alice`, who fails, with `bob`: what the page does then. */
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
/** The same, by what comes from outside. */
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
  ];
  for (const { place, act } of places) {
    const call = await alice.call(bob.id);
    await alice.until(call, "onCallEstablished");
    await alice.run(takeTheClockOnce);
    await act();
    slowest = Math.max(slowest, await recovers(alice, place));
    same(await alice.run(() => e2e.calls.at(-1).call.getEndCause()), "FAILURE", `how the call ends after ${place}`);
  }
  await alice.run(() => e2e.client.terminate());
  await alice.run(takeTheClockOnce);
  await alice.run((id) => void e2e.start({ userId: id }), alice.id);
  slowest = Math.max(slowest, await recovers(alice, "start()"));
  // The gateway keeps a request for a page that may come back for 8 s.
  const states = () => bob.run(() => e2e.calls.map((entry) => entry.call.getState()));
  await soon(
    async () =>
      same(
        await states(),
        places.map(() => "ENDED"),
        "bob's calls",
      ),
    15_000,
  );
  await alice.forgive();
  return `${places.length + 1} places; a new client was there after ${slowest} ms at most`;
}

/** The page hears of the panic in `place`, nothing of the client stays open, and a new one signs in. Returns in how many milliseconds. */
async function recovers(alice, place) {
  const began = Date.now();
  await alice
    .wait(() => e2e.faults.length === 1, `an error event of the panic in ${place}`, 2_000)
    .catch(async (error) => {
      throw new Error(`${error.message}; thrown: ${await alice.run(() => e2e.thrown)}`);
    });
  const [fault] = await alice.run(() => e2e.faults.splice(0));
  same([fault.name, fault.domain, fault.code], ["SinchError", 5, 6001], `the error after ${place}`);
  same(await alice.open(), { tracks: 0, peers: 0 }, `what stays open after ${place}`);
  await alice.start({ userId: alice.id });
  const took = Date.now() - began;
  check(took <= 2_000, `${took} ms until a new client has signed in after ${place}`);
  return took;
}

/** The wasm gets no clock the next time that it asks for one, which it takes for impossible. The page's own scripts keep theirs. */
function takeTheClockOnce() {
  const clock = Object.getOwnPropertyDescriptor(window, "performance");
  const get = () => {
    // This getter, the import that asks, the wasm; a listener that the wasm has called is further away.
    const callers = new Error().stack.split("\n").slice(0, 4).join("\n");
    if (!callers.includes("wasm")) return clock.get.call(window);
    Object.defineProperty(window, "performance", clock);
  };
  Object.defineProperty(window, "performance", { configurable: true, get });
}
