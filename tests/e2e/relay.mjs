// Media through a real coturn, with the credentials that the gateway gives to users who have signed in.
import { answer, hearEachOther } from "./lib/calls.mjs";
import { check, hears, same, soon } from "./lib/check.mjs";
import { Coturn, RELAY_PORTS } from "./lib/coturn.mjs";
import { Gateway } from "./lib/gateway.mjs";
import { Outage } from "./lib/network.mjs";

const SECRET = "shared by gateway and relay";
let coturn = null;
let gateway = null;
let tcp = null; // one that names the relay over TCP

export async function setUp() {
  coturn = await Coturn.start({ realm: "localhost", secret: SECRET });
  const settings = (transport) => `[ice]\nservers = ["${coturn.url(transport)}"]\nturn_secret = "${SECRET}"\n`;
  [gateway, tcp] = await Promise.all(["udp", "tcp"].map((transport) => Gateway.start({ settings: settings(transport) })));
}

export async function tearDown() {
  await Promise.all([gateway?.stop(), tcp?.stop()]);
  await coturn?.stop();
}

export default function suite(test) {
  test("chromium calls chromium2 through the relay only", 40, (world) => relayed(world, "chromium", "chromium2"));
  test("chromium calls firefox, and only chromium uses the relay", 40, (world) => relayed(world, "chromium", "firefox", ["chromium"]));
  test("firefox calls chromium through the relay only", 40, (world) => relayed(world, "firefox", "chromium"));
  for (const [from, to] of [
    ["chromium", "firefox"],
    ["firefox", "chromium"],
  ]) {
    test(`where UDP is blocked, calls go through the relay over TCP (${from} calls ${to})`, 60, (world) => withoutUdp(world, from, to));
  }
}

/** Only the relay may send UDP, to itself. */
async function withoutUdp(world, from, to) {
  const block = Outage.begin(`-p udp ! --dport ${RELAY_PORTS}`, `-p udp ! --sport ${RELAY_PORTS}`);
  try {
    const [alice, bob] = await world.pair(from, to, { server: tcp });
    const began = Date.now();
    await alice.call(bob.id);
    await bob.until(0, "onIncomingCall");
    await answer(alice, bob);
    await Promise.all([soon(() => hears(alice, 0, bob), 20_000), soon(() => hears(bob, 0, alice), 20_000)]);
    const took = Date.now() - began;
    for (const user of [alice, bob]) same(await user.run(usedCandidate), "relay", `the kind of the candidate that ${user.name} uses`);
    await alice.hangup();
    await bob.until(0, "onCallEnded");
    return `heard both ways within ${took} ms of the call`;
  } finally {
    block.lift();
  }
}

async function relayed(world, from, to, relaying = [from, to]) {
  const config = (where) => ({ server: gateway, config: relaying.includes(where) ? { iceTransportPolicy: "relay" } : {} });
  const alice = await world.user(from, world.name("alice"), config(from));
  const bob = await world.user(to, world.name("bob"), config(to));
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await answer(alice, bob);
  await hearEachOther(alice, bob);
  same(await alice.run(usedCandidate), "relay", "the kind of the candidate in use");
  check(/ALLOCATE processed, success/.test(coturn.log), "coturn gave out a relay address");
  await alice.hangup();
  await bob.until(0, "onCallEnded");
}

/** The kind of local candidate that the page's open peer connection sends from. */
async function usedCandidate() {
  const { peer } = window.seen.peers.find(({ peer }) => peer.signalingState !== "closed");
  const stats = [...(await peer.getStats()).values()];
  const pair = stats.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
  return stats.find(({ id }) => id === pair?.localCandidateId)?.candidateType;
}
