// Every way a call can go, with its events in order and its end cause on both sides, in both browsers through the gateway; the suite
// "kamailio" runs them through Kamailio.
import { bar } from "./lib/bar.mjs";
import { PAIRS, established, hearEachOther, ringing } from "./lib/calls.mjs";
import { check, ended, events, same, soon } from "./lib/check.mjs";
import { pause } from "./lib/world.mjs";

export const SCENARIOS = {
  "a normal call": normal,
  "the callee hangs up": calleeHangsUp,
  "the caller hangs up while it rings": cancel,
  "the caller hangs up at once": cancelAtOnce,
  "the callee declines": decline,
  "the callee is in a call": busy,
  "no device online": nobodyOnline,
  "a device that comes online in time rings": comesOnline,
  "nobody answers": noAnswer,
  "answered on another device": otherDevice,
  "declined on one of two devices": declinedOnOne,
  "a user who does not exist": unknownUser,
  "what the server does not connect": refusedByServer,
  "why the gateway does not connect it": refusedByGateway,
  "arguments that cannot be right": badArguments,
  "the caller's microphone is refused": callerMicrophoneRefused,
  "the callee's microphone is refused": calleeMicrophoneRefused,
  "the callee's socket is lost while it rings": calleeSocketLost,
  "the caller's socket is lost while it rings": callerSocketLost,
  "a socket is lost during the call": socketLostInCall,
  "both call each other": bothCall,
  "hang up twice, answer twice, answer what was cancelled": twice,
  "headers travel": headers,
};

/** Those that have a time bar. */
export const TIMED = ["no device online"];

export default function suite(test) {
  for (const [name, run] of Object.entries(SCENARIOS)) {
    const add = TIMED.includes(name) ? test.timed : test;
    for (const [from, to] of PAIRS) add(`${name} (${from} calls ${to})`, 30, (world) => run(world, from, to));
  }
  test.timed("no device online, with the 10.5 seconds of a page that sets nothing", 30, defaultTimeout);
  for (const where of ["chromium", "firefox"])
    test(`a microphone that ${where} itself refuses`, 30, (world) => permissionDenied(world, where));
}

const ESTABLISHED = ["onCallProgressing", "onCallEstablished"];

async function normal(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  const now = await Promise.all([alice.facts(), bob.facts()]);
  same(
    now.map(({ state, stateInt, cause, causeInt }) => [state, stateInt, cause, causeInt]),
    Array(2).fill(["ESTABLISHED", 2, "NONE", 0]),
    "during the call",
  );
  same(
    now.map(({ direction, remote, fromId, toId, domain }) => [direction, remote, fromId, toId, domain]),
    [
      [1, bob.id, alice.id, bob.id, "data"],
      [0, alice.id, alice.id, bob.id, "data"],
    ],
    "who and whom",
  );
  check(
    now.every(({ details }) => details.endedTime === null && details.duration >= 0 && details.duration < 60),
    "details of a call that goes on",
  );
  same(now[0].callId, now[1].callId, "one id at both ends");
  await alice.hangup();
  await bothEnd(alice, bob);
  await events(alice, 0, [...ESTABLISHED, "onCallEnded(HUNG_UP)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  for (const user of [alice, bob]) await ended(user, 0, "HUNG_UP");
  for (const [user, states] of [
    [alice, [1, 2, 3]],
    [bob, [null, 2, 3]],
  ]) {
    const log = await user.log();
    check(
      log.every(({ more }) => more !== "another object"),
      "every event brings the same Call object",
    );
    for (const [n, state] of states.entries())
      check(state === null || log[n].stateInt === state, `state in ${log[n].name} at ${user.name}: ${log[n].stateInt}`);
  }
}

async function calleeHangsUp(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  await bob.hangup();
  await bothEnd(alice, bob);
  for (const user of [alice, bob]) await ended(user, 0, "HUNG_UP");
}

async function cancel(world, from, to) {
  const [alice, bob] = await ringing(world, from, to);
  await alice.hangup();
  await bothEnd(alice, bob);
  await events(alice, 0, ["onCallProgressing", "onCallEnded(CANCELED)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEnded(CANCELED)"]);
  for (const user of [alice, bob]) await ended(user, 0, "CANCELED");
}

async function cancelAtOnce(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  const during = await alice.run((id) => {
    const i = e2e.call("callUser", id);
    e2e.calls[i].call.hangup();
    return e2e.names(i);
  }, bob.id);
  same(during, [], "no event inside callUser() or hangup()");
  await alice.until(0, "onCallEnded", 4_000);
  await events(alice, 0, ["onCallEnded(CANCELED)"]);
  await pause(500);
  const seen = (await bob.events(0)).join(" ");
  check(["", "onIncomingCall onCallEnded(CANCELED)"].includes(seen), `the callee sees nothing, or a call that was cancelled: ${seen}`);
}

async function decline(world, from, to) {
  const [alice, bob] = await ringing(world, from, to);
  await bob.hangup();
  await bothEnd(alice, bob);
  await events(alice, 0, ["onCallProgressing", "onCallEnded(DENIED)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEnded(DENIED)"]);
  for (const user of [alice, bob]) await ended(user, 0, "DENIED");
}

/** Bob talks to Carol; who calls him then is denied, and Bob's page is not told. */
async function busy(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  const carol = await world.user(from, world.name("carol"));
  await carol.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await bob.answer();
  await carol.until(0, "onCallEstablished");
  await alice.call(bob.id);
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEnded(DENIED)"]);
  await ended(alice, 0, "DENIED");
  same(await bob.run(() => e2e.calls.length), 1, "calls that the busy page saw");
  same((await carol.facts()).state, "ESTABLISHED", "the call that was there first");
}

async function nobodyOnline(world, from, to) {
  const bob = await away(world, to);
  const alice = await world.user(from, world.name("alice"), { config: { progressTimeout: 1_200 } });
  const began = Date.now();
  await alice.call(bob);
  await alice.until(0, "onCallEnded");
  const took = Date.now() - began;
  await events(alice, 0, ["onCallEnded(TIMEOUT)"]);
  await ended(alice, 0, "TIMEOUT");
  // The timers of a page behind another tick once a second.
  bar(took, 4_000, "ended after 1.2 s", 1_000);
}

async function defaultTimeout(world) {
  const bob = await away(world, "firefox");
  const alice = await world.user("chromium", world.name("alice"));
  const began = Date.now();
  await alice.call(bob);
  await alice.until(0, "onCallEnded", 14_000);
  const took = Date.now() - began;
  await events(alice, 0, ["onCallEnded(TIMEOUT)"]);
  bar(took, 12_000, "ended after 10.5 s", 10_000);
}

/** A page that is being reloaded is away for a moment: the call waits for it. */
async function comesOnline(world, from, to) {
  const id = await away(world, to);
  const alice = await world.user(from, world.name("alice"));
  await alice.call(id);
  await pause(1_000);
  same(await alice.events(0), [], "nothing rings yet");
  const bob = await world.user(to, id);
  await bob.until(0, "onIncomingCall");
  await alice.until(0, "onCallProgressing");
  await bob.answer();
  await alice.until(0, "onCallEstablished");
}

async function noAnswer(world, from, to) {
  const [alice, bob] = await world.pair(from, to, { config: { answerTimeout: 1_500 } });
  await alice.call(bob.id);
  await bothEnd(alice, bob);
  await events(alice, 0, ["onCallProgressing", "onCallEnded(NO_ANSWER)"]);
  await ended(alice, 0, "NO_ANSWER");
  // The caller's timer runs out first, unless the callee's, started later, is rounded the other way.
  const seen = (await bob.events(0)).join(" ");
  check(/^onIncomingCall onCallEnded\((CANCELED|NO_ANSWER)\)$/.test(seen), `at the callee: ${seen}`);
}

async function otherDevice(world, from, to) {
  const [alice, phone] = await world.pair(from, to);
  const laptop = await world.user(from, phone.id);
  await alice.call(phone.id);
  await Promise.all([phone, laptop].map((device) => device.until(0, "onIncomingCall")));
  await phone.answer();
  await alice.until(0, "onCallEstablished");
  await laptop.until(0, "onCallEnded");
  await events(laptop, 0, ["onIncomingCall", "onCallEnded(OTHER_DEVICE_ANSWERED)"]);
  await ended(laptop, 0, "OTHER_DEVICE_ANSWERED");
  await hearEachOther(alice, phone);
  await alice.hangup();
  await phone.until(0, "onCallEnded");
}

async function declinedOnOne(world, from, to) {
  const [alice, phone] = await world.pair(from, to);
  const laptop = await world.user(from, phone.id);
  await alice.call(phone.id);
  await Promise.all([phone, laptop].map((device) => device.until(0, "onIncomingCall")));
  await phone.hangup();
  await Promise.all([alice, phone, laptop].map((user) => user.until(0, "onCallEnded")));
  await events(alice, 0, ["onCallProgressing", "onCallEnded(DENIED)"]);
  await events(phone, 0, ["onIncomingCall", "onCallEnded(DENIED)"]);
  same((await laptop.events(0)).length, 2, "the other device stops ringing");
}

async function unknownUser(world, from) {
  const alice = await world.user(from, world.name("alice"));
  await alice.call(world.name("nobody-ever-"));
  await failed(alice, 0, 404);
}

/** Numbers that are not open, SIP addresses without a trunk, and rooms without a conference server behind the gateway. */
const REFUSED = { callPhoneNumber: ["+4687654321", 40300], callSip: ["alice@elsewhere.example", 50300], callConference: ["a room", 50100] };

async function refusedByServer(world, from) {
  const alice = await world.user(from, world.name("alice"));
  for (const [i, [method, [to]]] of Object.entries(REFUSED).entries()) {
    await alice.call(to, { method });
    const { error } = await failed(alice, i);
    same(await alice.run((n) => e2e.calls[n].call.getRemoteUserId(), i), to, `${method}: who was called`);
    check(error.message.length > 0, `${method}: a reason`);
  }
}

async function refusedByGateway(world, from) {
  const alice = await world.user(from, world.name("alice"));
  for (const [i, [method, [to, code]]] of Object.entries(REFUSED).entries()) {
    await alice.call(to, { method });
    same((await failed(alice, i)).error.code, code, `${method}: the code`);
  }
}

async function badArguments(world, from) {
  const alice = await world.user(from, world.name("alice"));
  const wrong = [
    ["callConference", ""],
    ["callConference", "x".repeat(65)],
    ["callPhoneNumber", "0046123"],
    ["callPhoneNumber", "+46abc"],
    ["callPhoneNumber", ""],
    ["callSip", "nobody"],
    ["callSip", "a@b\r\nVia: x"],
    ["callSip", "a@b.example", { color: "blue" }],
    ["callUser", ""],
    ["callUser", "bob", { "x-a": "1\r\nVia: evil" }],
  ];
  for (const [i, [method, to, headers]] of wrong.entries()) {
    await alice.call(to, { method, headers });
    const { error } = await failed(alice, i);
    same([error.name, error.domain, error.code, error.isError], ["SinchError", 5, 6003, true], `${method}(${JSON.stringify(to)})`);
  }
  check(!(await alice.trace()).includes("> INVITE"), "nothing was sent");
}

async function callerMicrophoneRefused(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  await alice.run(() => (window.microphone.refuse = "NotAllowedError"));
  await alice.call(bob.id);
  await alice.until(0, "onCallEnded");
  const facts = await ended(alice, 0, "FAILURE");
  check(/NotAllowed|microphone|permission/i.test(facts.error?.message ?? ""), `the reason: ${JSON.stringify(facts.error)}`);
  await pause(300);
  const seen = (await bob.events(0)).join(" ");
  check(["", "onIncomingCall onCallEnded(CANCELED)"].includes(seen), `at the callee: ${seen}`);
}

async function calleeMicrophoneRefused(world, from, to) {
  const [alice, bob] = await ringing(world, from, to);
  await bob.run(() => (window.microphone.refuse = "NotAllowedError"));
  await bob.answer();
  await bothEnd(alice, bob);
  await events(bob, 0, ["onIncomingCall", "onCallEnded(FAILURE)"]);
  const facts = await ended(bob, 0, "FAILURE");
  check(/NotAllowed|microphone|permission/i.test(facts.error?.message ?? ""), `the reason: ${JSON.stringify(facts.error)}`);
  const seen = (await alice.events(0)).join(" ");
  check(/^onCallProgressing onCallEnded\((DENIED|FAILURE)\)$/.test(seen), `at the caller: ${seen}`);
}

/** No stub here: the browser's own answer to getUserMedia is no. */
async function permissionDenied(world, where) {
  const bob = await world.user("firefox", world.name("bob"));
  const alice = await world.user(`${where} that refuses`, world.name("alice"));
  await alice.call(bob.id);
  await alice.until(0, "onCallEnded");
  const facts = await ended(alice, 0, "FAILURE");
  check(/NotAllowed|microphone|permission/i.test(facts.error?.message ?? ""), `the reason: ${JSON.stringify(facts.error)}`);
  const seen = await alice.run(() =>
    e2e.client
      .getCallClient()
      .initStream()
      .then(
        () => "a stream",
        (error) => error.name,
      ),
  );
  check(["SinchError", "NotAllowedError"].includes(seen), `initStream() should be refused, too: ${seen}`);
}

async function calleeSocketLost(world, from, to) {
  const [alice, bob] = await ringing(world, from, to);
  bob.site.cut();
  await reconnected(bob);
  await bob.answer();
  await goesOn(alice, bob);
}

async function callerSocketLost(world, from, to) {
  const [alice, bob] = await ringing(world, from, to);
  alice.site.cut();
  await bob.answer();
  await goesOn(alice, bob);
}

async function socketLostInCall(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  for (const user of [alice, bob]) user.site.cut();
  await hearEachOther(alice, bob);
  await Promise.all([reconnected(alice), reconnected(bob)]);
  await goesOn(alice, bob);
}

/** The call is established, with audio, and its end arrives at the remote party. */
async function goesOn(alice, bob) {
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  await hearEachOther(alice, bob);
  await alice.hangup();
  await bothEnd(alice, bob);
  await events(alice, 0, [...ESTABLISHED, "onCallEnded(HUNG_UP)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

/** Two calls cross. However that ends, at most one of them is established, and both pages agree on it. */
async function bothCall(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  await Promise.all([alice.call(bob.id), bob.call(alice.id)]);
  await pause(1_500);
  for (const user of [alice, bob]) {
    // The first page that sees the other's call ring answers it.
    await user.run(() => e2e.calls.forEach(({ call, outgoing }) => !outgoing && call.getState() !== "ENDED" && call.answer()));
  }
  await pause(1_000);
  const states = (user) => user.run(() => Object.fromEntries(e2e.calls.map(({ call }) => [call.getCallId(), call.getState()])));
  const [a, b] = await Promise.all([states(alice), states(bob)]);
  const alive = (calls) => Object.entries(calls).filter(([, state]) => state !== "ENDED");
  const text = JSON.stringify([a, b]);
  check(alive(a).length <= 1 && alive(a).every(([, state]) => state === "ESTABLISHED"), `at most one call, and no half of one: ${text}`);
  same(alive(a), alive(b), "both pages agree");
  for (const user of [alice, bob]) {
    await user.run(() => e2e.calls.forEach(({ call }) => call.getState() !== "ENDED" && call.hangup()));
    await soon(async () => same(await user.open(), { tracks: 0, peers: 0 }, `what ${user.name} still holds`));
  }
  return alive(a).length ? "one call came of it" : "both were denied";
}

async function twice(world, from, to) {
  const [alice, bob] = await ringing(world, from, to);
  await bob.run(() => (e2e.calls[0].call.answer(), e2e.calls[0].call.answer()));
  await alice.until(0, "onCallEstablished");
  await bob.until(0, "onCallEstablished");
  await bob.answer();
  const second = await alice.run(() => {
    e2e.calls[0].call.hangup();
    return e2e.caught(() => e2e.calls[0].call.hangup());
  });
  same([second?.name, second?.domain, second?.code], ["SinchError", 5, 6002], "the second hangup()");
  await bothEnd(alice, bob);
  const muted = await alice.run(() => e2e.caught(() => e2e.calls[0].call.mute()));
  same([muted?.domain, muted?.code], [5, 6002], "mute() of an ended call");

  await alice.call(bob.id);
  await bob.until(1, "onIncomingCall");
  await alice.hangup(1);
  await bob.until(1, "onCallEnded");
  await bob.run(() => e2e.caught(() => e2e.calls[1].call.answer()));
  await pause(300);
  await events(bob, 1, ["onIncomingCall", "onCallEnded(CANCELED)"]);
  for (const user of [alice, bob])
    await soon(async () => same(await user.open(), { tracks: 0, peers: 0 }, `what ${user.name} still holds`));
}

async function headers(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  const sent = { subject: 'Größe, "quoted"; a=b', "x-order": "12", topic: "ünïcode 電話" };
  await alice.call(bob.id, { headers: sent });
  await bob.until(0, "onIncomingCall");
  same((await bob.facts()).headers, sent, "headers at the callee");
  same((await alice.facts()).headers, sent, "headers at the caller");
  await bob.hangup();
  await bothEnd(alice, bob);
  await alice.call(bob.id);
  await bob.until(1, "onIncomingCall");
  same((await bob.facts(1)).headers, {}, "no headers at the callee");
}

const bothEnd = (...users) => Promise.all(users.map((user) => user.until(0, "onCallEnded")));

/** A user who is known to the server and has no page open. */
async function away(world, where) {
  const id = world.name("away");
  const user = await world.user(where, id);
  await user.run(() => e2e.client.terminate());
  await user.close();
  await pause(200);
  return id;
}

async function reconnected(user) {
  await user.wait(() => window.seen.sockets.length > 1 && window.seen.sockets.at(-1).readyState === 1, "a new WebSocket", 5_000);
  await pause(300);
}

async function failed(user, i, code) {
  await user.until(i, "onCallEnded");
  const names = await user.events(i);
  same(names.at(-1), "onCallEnded(FAILURE)", `the end at ${user.name}`);
  const facts = await ended(user, i, "FAILURE");
  const { error, errors, details } = facts;
  check(error?.isError && error.name === "SinchError", `call.error: ${JSON.stringify(error)}`);
  same([errors, details.error], [error, error], "call.errors and details.error are call.error");
  check(!code || `${error.code} ${error.message}`.includes(code), `the error should name ${code}: ${JSON.stringify(error)}`);
  return facts;
}
