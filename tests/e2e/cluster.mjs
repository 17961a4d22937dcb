// Two Kamailio nodes that share locations, with the configuration of deploy/kamailio, and pages that know both: calls across them, and
// what happens when one is killed.
import { check, events, hears, inParallel, same, soon } from "./lib/check.mjs";
import { Kamailio, installed } from "./lib/kamailio.mjs";
import { skip } from "./lib/skip.mjs";

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
  const each = (run) => (world) => inParallel(PAIRS.map(([from, to]) => run(world, from, to)));
  on("calls from node to node", 40, each(across));
  on("calls from node to node without a GRUU", 40, each((world, from, to) => across(world, from, to, { withoutGruu: true })));
  on("a page that closed at the other node", 30, each(gone));
  on("a node dies: registered at the other at once, what is up stays up, and it comes back", 90, death);
}

async function across(world, from, to, before) {
  const [alice, bob] = await talking(world, from, to, 0, before);
  await alice.hangup();
  await bob.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  await bob.call(alice.id);
  await alice.until(1, "onIncomingCall");
  await alice.hangup(1);
  await bob.until(1, "onCallEnded");
  await events(bob, 1, ["onCallProgressing", "onCallEnded(DENIED)"]);
}

async function gone(world, from, to) {
  const [alice, bob] = await Promise.all([page(world, from, "alice", 0), page(world, to, "bob", 1)]);
  await bob.close();
  await alice.call(bob.id);
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallEnded(TIMEOUT)"]);
}

/** A page at node `at`, which knows both. */
function page(world, where, stem, at, before) {
  const servers = [nodes[at], nodes[1 - at]].map(({ url }) => url);
  return world.user(where, world.name(stem), { server: false, config: { server: servers }, before });
}

/** The caller at node `at`, the callee at the other one. */
async function ringing(world, from, to, at = 0, before) {
  const [alice, bob] = await Promise.all([page(world, from, "alice", at, before), page(world, to, "bob", 1 - at, before)]);
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await alice.until(0, "onCallProgressing");
  return [alice, bob];
}

async function talking(world, from, to, at, before) {
  const [alice, bob] = await ringing(world, from, to, at, before);
  await bob.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  await sound(alice, bob);
  return [alice, bob];
}

const sound = (alice, bob) => Promise.all([soon(() => hears(alice, 0, bob)), soon(() => hears(bob, 0, alice))]);

/** Node 0 is killed, with the callers of some calls and the callees of others. */
async function death(world) {
  let times;
  const idle = await Promise.all(["chromium", "firefox", "chromium", "firefox"].map((where) => page(world, where, "carol", 0)));
  const calls = await Promise.all([0, 1].flatMap((at) => PAIRS.map(([from, to]) => talking(world, from, to, at))));
  // Of two calls the caller was there, of two the callee.
  const lost = [...idle, ...calls.map(([alice, bob], i) => (i < 2 ? alice : bob))];
  await nodes[0].crash();
  try {
    times = (await Promise.all(lost.map(backIn))).sort((a, b) => a - b);
    await inParallel(calls.map(([alice, bob], i) => goesOn(alice, bob, i < 2 ? alice : bob, i % 2 ? alice : bob)));
  } finally {
    await nodes[0].begin();
  }
  const median = times[times.length >> 1];
  check(median <= 500, `registered at the other node after ${times} ms`);
  const began = Date.now();
  const dora = await page(world, "chromium", "carol", 0);
  // It asks the other for all locations; until they are there nobody is online.
  await soon(async () => {
    const i = await dora.call(idle[1].id);
    await idle[1].until(0, "onIncomingCall", 500).finally(() => dora.run((n) => e2e.calls[n].call.getState() === "ENDED" || e2e.calls[n].call.hangup(), i));
  }, 10_000);
  return `registered ${median} ms after the loss (median of ${times.join(" ")}); the node that came back found a page after ${Date.now() - began} ms`;
}

/** How long after its socket closed the page was registered again, ms. */
async function backIn(user) {
  await user.wait(() => {
    const [since] = window.seen.closed;
    const registered = ({ at, out, text }) => !out && at > since && /^SIP\/2.0 200/.test(text) && /CSeq: \d+ REGISTER/.test(text);
    const answer = window.seen.sip.find(registered);
    return answer && (window.took = Math.round(answer.at - since));
  }, "the registration at the other node", 12_000);
  return user.run(() => window.took);
}

/** The call goes on: whoever came back has refreshed the dialog, the other side can, too, both hear each other, and the end arrives. */
async function goesOn(alice, bob, moved, who) {
  await refreshed(moved);
  const other = moved === alice ? bob : alice;
  // The dead node is the next in its list: it goes there in vain, and returns.
  await other.run(() => window.seen.sockets.at(-1).close());
  await refreshed(other);
  await sound(alice, bob);
  await who.hangup();
  await Promise.all([alice, bob].map((user) => user.until(0, "onCallEnded")));
  for (const user of [alice, bob]) same((await user.events(0)).at(-1), "onCallEnded(HUNG_UP)", `the end at ${user.name}`);
}

/** Its new connection has brought the answer to an UPDATE (RFC 3311) of the dialog. */
function refreshed(user) {
  const answered = () => {
    const since = window.seen.closed.at(-1);
    const sip = window.seen.sip.filter(({ at }) => at > since);
    const update = sip.find(({ out, text }) => out && /^UPDATE /.test(text));
    const number = update && /CSeq: (\d+)/.exec(update.text)[1];
    return sip.some(({ out, text }) => !out && /^SIP\/2.0 200/.test(text) && text.includes(`CSeq: ${number} UPDATE`));
  };
  return user.wait(answered, "the answer to an UPDATE", 10_000);
}
