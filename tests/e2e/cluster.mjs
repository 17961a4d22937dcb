// Two Kamailio nodes that share locations, with the configuration of deploy/kamailio, and pages that know both: calls across them, and
// what happens when one is killed.
import { bar } from "./lib/bar.mjs";
import { PAIRS, answer, hearEachOther, ring } from "./lib/calls.mjs";
import { check, events, inParallel, same, soon } from "./lib/check.mjs";
import { Kamailio, installed } from "./lib/kamailio.mjs";
import { skip } from "./lib/skip.mjs";
import { pause } from "./lib/world.mjs";

let nodes = null;

export async function setUp() {
  if (installed()) nodes = await Kamailio.cluster();
}

export const tearDown = () => Promise.all((nodes ?? []).map((node) => node.stop()));

export default function suite(test) {
  const on = (name, seconds, run, add = test) =>
    add(name, seconds, (world) => (nodes ? run(nodes[0].behind(world)) : skip("Kamailio is not installed")));
  const each = (run) => (world) => inParallel(PAIRS.map(([from, to]) => run(world, from, to)));
  on("calls from node to node", 40, each(across));
  on(
    "calls from node to node without a GRUU",
    40,
    each((world, from, to) => across(world, from, to, { withoutGruu: true })),
  );
  on(
    "a page that closed at the other node; one that comes online there in time",
    40,
    each((world, from, to) => inParallel([gone(world, from, to), late(world, from, to)])),
  );
  on("a node dies: registered at the other at once, what is up stays up, and it comes back", 120, death, test.timed);
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

async function late(world, from, to) {
  const [alice, id] = [await page(world, from, "alice", 0), world.name("bob")];
  await alice.call(id);
  await pause(1_000);
  same(await alice.events(0), [], "nothing rings yet");
  const bob = await world.user(to, id, { server: false, config: { server: [nodes[1].url] } });
  await Promise.all([bob.until(0, "onIncomingCall"), alice.until(0, "onCallProgressing")]);
  await answer(alice, bob);
  await alice.hangup();
  await bob.until(0, "onCallEnded");
}

/** A page at node `at`, which knows both. */
function page(world, where, stem, at, before) {
  const servers = [nodes[at], nodes[1 - at]].map(({ url }) => url);
  return world.user(where, world.name(stem), { server: false, config: { server: servers }, before });
}

/** The caller at node `at`, the callee at the other one. */
async function ringing(world, from, to, at = 0, before) {
  const [alice, bob] = await Promise.all([page(world, from, "alice", at, before), page(world, to, "bob", 1 - at, before)]);
  return ring(alice, bob);
}

async function talking(world, from, to, at, before) {
  const [alice, bob] = await answer(...(await ringing(world, from, to, at, before)));
  await hearEachOther(alice, bob);
  return [alice, bob];
}

/** Node 0 is killed, with the callers of some calls and the callees of others. */
async function death(world) {
  let times;
  const idle = await Promise.all(["chromium", "firefox", "chromium", "firefox"].map((where) => page(world, where, "carol", 0)));
  const methods = ["UPDATE", "INVITE", "INVITE", "UPDATE"];
  const set = (i) => ({ withoutUpdate: methods[i] === "INVITE" });
  const calls = await Promise.all([0, 1].flatMap((at) => PAIRS.map(([from, to], i) => talking(world, from, to, at, set(2 * at + i)))));
  const rings = await ringing(world, "chromium", "firefox");
  // Of two calls the caller was there, of two the callee.
  const lost = [...idle, ...calls.map(([alice, bob], i) => (i < 2 ? alice : bob))];
  await nodes[0].crash();
  try {
    times = (await Promise.all(lost.map(backIn))).sort((a, b) => a - b);
    const gone = calls.map((call, i) => goesOn([call[0], call[1]], methods[i], call[i < 2 ? 0 : 1], call[i % 2]));
    await inParallel([...gone, ringsOn(rings[0], rings[1])]);
  } finally {
    await nodes[0].begin();
  }
  const median = times[times.length >> 1];
  bar(median, 500, `registered at the other node, the median of ${times}`);
  const began = Date.now();
  const dora = await page(world, "chromium", "carol", 0);
  // It fetches all locations from the other node; until they are there nobody is online.
  await soon(async () => {
    const i = await dora.call(idle[1].id);
    await idle[1]
      .until(0, "onIncomingCall", 500)
      .finally(() => dora.run((n) => e2e.calls[n].call.getState() === "ENDED" || e2e.calls[n].call.hangup(), i));
  }, 10_000);
  return `registered ${median} ms after the loss (median of ${times.join(" ")}); the node that came back found a page after ${Date.now() - began} ms`;
}

/** How long after its socket closed the page was registered again, ms. */
async function backIn(user) {
  await user.wait(
    () => {
      const [since] = window.seen.closed;
      const registered = ({ at, out, text }) => !out && at > since && /^SIP\/2.0 200/.test(text) && /CSeq: \d+ REGISTER/.test(text);
      const answer = window.seen.sip.find(registered);
      return answer && (window.took = Math.round(answer.at - since));
    },
    "the registration at the other node",
    12_000,
  );
  return user.run(() => window.took);
}

/**
 * The call goes on: whoever came back has refreshed the dialog, the remote party can, too, each can put the other on hold where the
 * refresh is an offer, both hear each other, and the end arrives.
 */
async function goesOn([alice, bob], method, moved, who) {
  await answered(moved, method);
  const sides = moved === alice ? [bob, alice] : [alice, bob];
  for (const user of sides) {
    if (method === "INVITE") check(/^a=recvonly/m.test(await refreshes(user, method, true)), `${user.name} holds`);
    const answer = await refreshes(user, method, false);
    check(method !== "INVITE" || /^a=sendrecv/m.test(answer), `${user.name} holds no longer`);
  }
  await hearEachOther(alice, bob);
  await who.hangup();
  await Promise.all([alice, bob].map((user) => user.until(0, "onCallEnded")));
  for (const user of [alice, bob]) same((await user.events(0)).at(-1), "onCallEnded(HUNG_UP)", `the end at ${user.name}`);
}

/**
 * A page whose socket is closed connects again and refreshes the dialog. So soon after it came, the node that lives is no better than the
 * dead one, which is the next in its list: the page returns from there, in Firefox after up to 10 s, as Firefox delays each retry longer.
 */
async function refreshes(user, method, hold) {
  await user.run((holding) => {
    window.holding = holding;
    window.seen.sockets.at(-1).close();
  }, hold);
  return answered(user, method);
}

/** The response to the request that refreshed the dialog over the newest connection: an UPDATE (RFC 3311), or an INVITE where that is not supported. */
async function answered(user, method) {
  const found = (name) => {
    const since = window.seen.closed.at(-1);
    const sip = window.seen.sip.filter(({ at }) => at > since);
    const request = window.seen.sockets.at(-1).readyState === 1 && sip.find(({ out, text }) => out && text.startsWith(`${name} `));
    const number = request && /CSeq: (\d+)/.exec(request.text)[1];
    window.answer = sip.find(({ out, text }) => !out && /^SIP\/2.0 200/.test(text) && text.includes(`CSeq: ${number} ${name}`))?.text;
    return Boolean(window.answer);
  };
  await user.wait(found, `the answer to ${method}`, 20_000, method);
  return user.run(() => window.answer);
}

/** The caller's node died while it rang: the call arrives again by the other one, and rings on. */
async function ringsOn(alice, bob) {
  await answer(alice, bob);
  await hearEachOther(alice, bob);
  await events(bob, 0, ["onIncomingCall", "onCallEstablished"]);
}
