// Two Kamailio nodes that share locations, with the configuration of deploy/kamailio, and pages that know both: calls across them, and
// what happens when one is killed.
import { check, events, hears, same, soon } from "./lib/check.mjs";
import { Kamailio, installed } from "./lib/kamailio.mjs";
import { skip } from "./lib/skip.mjs";
import { pause } from "./lib/world.mjs";

const PAIRS = [
  ["chromium", "firefox"],
  ["firefox", "chromium"],
];

let nodes = null;

export async function setUp() {
  if (installed()) nodes = await Kamailio.cluster();
}

export const tearDown = () => Promise.all((nodes ?? []).map((node) => node.stop()));

export default function suite(test) {
  const on = (name, seconds, run) => test(name, seconds, (world) => (nodes ? run(nodes[0].behind(world)) : skip("Kamailio is not installed")));
  for (const [from, to] of PAIRS) on(`a call from node to node (${from} calls ${to})`, 30, (world) => across(world, from, to));
}

async function across(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  await alice.hangup();
  await bob.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

/** A page at node `at`, which knows both. */
function page(world, where, stem, at) {
  const servers = [nodes[at], nodes[1 - at]].map(({ url }) => url);
  return world.user(where, world.name(stem), { server: false, config: { server: servers } });
}

async function established(world, from, to) {
  const [alice, bob] = await Promise.all([page(world, from, "alice", 0), page(world, to, "bob", 1)]);
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await bob.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  await Promise.all([soon(() => hears(alice, 0, bob)), soon(() => hears(bob, 0, alice))]);
  return [alice, bob];
}
