// Media through a real coturn, with the credentials that the gateway gives to whoever has signed in.
import { check, hears, same, soon } from "./lib/check.mjs";
import { Coturn } from "./lib/coturn.mjs";
import { Gateway } from "./lib/gateway.mjs";

const SECRET = "shared by gateway and relay";
let coturn = null;
let gateway = null;

export async function setUp() {
  coturn = await Coturn.start({ realm: "localhost", secret: SECRET });
  gateway = await Gateway.start({ settings: `[ice]\nservers = ["${coturn.url}"]\nturn_secret = "${SECRET}"\n` });
}

export async function tearDown() {
  await gateway?.stop();
  await coturn?.stop();
}

export default function suite(test) {
  test("chromium calls chromium2 through the relay only", 40, (world) => relayed(world, "chromium", "chromium2"));
  test("chromium calls firefox, and only chromium uses the relay", 40, (world) => relayed(world, "chromium", "firefox", ["chromium"]));
}

async function relayed(world, from, to, relaying = [from, to]) {
  const config = (where) => ({ server: gateway, config: relaying.includes(where) ? { iceTransportPolicy: "relay" } : {} });
  const alice = await world.user(from, world.name("alice"), config(from));
  const bob = await world.user(to, world.name("bob"), config(to));
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await bob.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  await Promise.all([soon(() => hears(alice, 0, bob)), soon(() => hears(bob, 0, alice))]);
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
