// The network and the server fail; calls go on.
import { bar } from "./lib/bar.mjs";
import { PAIRS, established, hearEachOther, ringing } from "./lib/calls.mjs";
import { check, events, same, soon } from "./lib/check.mjs";
import { Gateway } from "./lib/gateway.mjs";
import { pause } from "./lib/world.mjs";

export default function suite(test) {
  test.timed("a connection that went silent is noticed", 60, async (world) =>
    (await Promise.all(PAIRS.map(([from, to]) => silence(world, from, to)))).join("; "),
  );
  for (const [from, to] of PAIRS) {
    const both = `(${from} calls ${to})`;
    test(`the gateway crashes during a call and comes back ${both}`, 40, (world) => crashInCall(world, from, to));
    test(`the gateway crashes while it rings and comes back ${both}`, 40, (world) => crashWhileRinging(world, from, to));
    test(`closing the page ends the call at the other side ${both}`, 40, (world) => pageCloses(world, from, to));
    test(`closing the page while it rings ends the call ${both}`, 30, (world) => callerCloses(world, from, to));
  }
}

async function crashInCall(world, from, to) {
  const gateway = await Gateway.start();
  try {
    const [alice, bob] = await established(world, from, to, { server: gateway });
    await gateway.crash(500);
    await hearEachOther(alice, bob);
    await Promise.all([connected(alice), connected(bob)]);
    await alice.hangup();
    await bob.until(0, "onCallEnded");
    await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
    await bob.call(alice.id);
    await alice.until(1, "onIncomingCall");
  } finally {
    await gateway.stop();
  }
}

/** The transactions of the gateway are lost with it. The call may end or go on, but it must not hang, and both pages must agree. */
async function crashWhileRinging(world, from, to) {
  const gateway = await Gateway.start();
  try {
    const [alice, bob] = await ringing(world, from, to, { server: gateway });
    await gateway.crash(300);
    await Promise.all([connected(alice), connected(bob)]);
    await bob.run(() => e2e.calls[0].call.getState() !== "ENDED" && e2e.calls[0].call.answer());
    await soon(async () => {
      const states = await Promise.all([alice, bob].map(async (user) => (await user.facts()).state));
      check(["ENDED,ENDED", "ESTABLISHED,ESTABLISHED"].includes(`${states}`), `after the crash: ${states}`);
    }, 15_000);
    return `both ${(await alice.facts()).state}`;
  } finally {
    await gateway.stop();
  }
}

/** Nothing is closed and nothing arrives any more, as when a device leaves the network: at most 15 s until the client has reconnected. */
async function silence(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  const began = Date.now();
  alice.site.freeze();
  await alice.wait(() => window.seen.sockets.length > 1 && window.seen.sockets.at(-1).readyState === 1, "a new WebSocket", 40_000);
  const took = Date.now() - began;
  bar(took, 15_000, "reconnected");
  await pause(500);
  await hearEachOther(alice, bob);
  await bob.hangup();
  await alice.until(0, "onCallEnded");
  return `${from} reconnected after ${(took / 1000).toFixed(1)} s`;
}

/** `mute`: the browser cuts off what the page says last, as Firefox does at times. Then the remote party finds out by itself. */
export async function pageCloses(world, from, to, mute = false) {
  const [alice, bob] = await established(world, from, to);
  if (mute) await silenced(alice);
  await alice.tab.close();
  await bob.until(0, "onCallEnded", 15_000);
  await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  await soon(async () => same(await bob.open(), { tracks: 0, peers: 0 }, "what the other side still holds"));
}

const silenced = (user) => user.run(() => seen.sockets.forEach((socket) => (socket.send = () => {})));

export async function callerCloses(world, from, to, mute = false) {
  const [alice, bob] = await ringing(world, from, to);
  await bob.wait(() => seen.peers.some(({ peer }) => peer.connectionState === "connected"), "the path while it rings", 5_000);
  if (mute) await silenced(alice);
  await alice.tab.close();
  await bob.until(0, "onCallEnded", 5_000);
  await events(bob, 0, ["onIncomingCall", "onCallEnded(CANCELED)"]);
}

const connected = (user) =>
  user.wait(() => window.seen.sockets.at(-1).readyState === 1 && e2e.client.connectionState === "connected", "the connection", 12_000);
