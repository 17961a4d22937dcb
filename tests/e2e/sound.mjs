// Two pages talk through the gateway: the right audio at both ends, silence where there must be silence, and a microphone that is closed.
import { hearEachOther, ringing } from "./lib/calls.mjs";
import { check, events, hears, same, silent, soon } from "./lib/check.mjs";

const PAIRS = [
  ["chromium", "chromium2"],
  ["firefox", "firefox2"],
  ["chromium", "firefox"],
  ["firefox", "chromium"],
];

export default function suite(test) {
  for (const [from, to] of PAIRS)
    test(`${from} calls ${to}: each hears the other, and only from the answer on`, 40, (world) => talk(world, from, to));
  for (const where of ["chromium", "firefox"]) {
    test(`muting in ${where} silences that call and leaves another alone`, 40, (world) => muteOne(world, where));
    test(`${where} gives the microphone back after the last call`, 40, (world) => microphone(world, where));
    test(`${where} keeps the microphone that initStream opened`, 30, (world) => initStream(world, where));
  }
}

async function talk(world, from, to) {
  const [alice, bob] = await ringing(world, from, to);
  await Promise.all([silent(alice, 0, 900), silent(bob, 0, 900)]);

  const [before] = [Date.now(), await bob.answer()];
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  const established = Date.now() - before;
  await hearEachOther(alice, bob);

  await alice.run(() => e2e.calls[0].call.mute());
  await soon(() => silent(bob, 0));
  await hears(alice, 0, bob);
  await alice.run(() => e2e.calls[0].call.unmute());
  await soon(() => hears(bob, 0, alice));

  await bob.hangup();
  await Promise.all([alice.until(0, "onCallEnded"), bob.until(0, "onCallEnded")]);
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  return `established ${established} ms after the answer`;
}

/** One page holds two calls (multiCall), to two others; mute in the first call only. */
async function muteOne(world, where) {
  const other = where === "chromium" ? "firefox" : "chromium";
  const names = ["host", "first", "second"].map((stem) => world.name(stem));
  const [host, first, second] = await Promise.all([
    world.user(where, names[0], { config: { capabilities: { multiCall: true } } }),
    world.user(other, names[1]),
    world.user(`${other}2`, names[2]),
  ]);
  for (const [i, user] of [first, second].entries()) {
    await host.call(names[i + 1]);
    await user.until(0, "onIncomingCall");
    await user.answer();
    await host.until(i, "onCallEstablished");
  }
  await Promise.all([hearEachOther(first, host), hearEachOther(second, host, 0, 1)]);

  await host.run(() => e2e.calls[0].call.mute());
  await soon(() => silent(first, 0));
  await hears(second, 0, host);

  // The end of the muted call does not change the other.
  await host.hangup(0);
  await first.until(0, "onCallEnded");
  await hearEachOther(second, host, 0, 1);
}

async function microphone(world, where) {
  const [alice, bob] = await world.pair(where, where);
  for (let i = 0; i < 2; i++) {
    await alice.call(bob.id);
    await bob.until(i, "onIncomingCall");
    same((await bob.open()).tracks, 0, "the callee's microphone is opened by answer(), not before");
    await bob.answer(i);
    await alice.until(i, "onCallEstablished");
    await soon(() => hears(bob, i, alice));
    check((await alice.open()).tracks > 0, "the microphone is open during a call");
    await alice.hangup(i);
    await bob.until(i, "onCallEnded");
    for (const user of [alice, bob]) {
      await soon(async () => same(await user.open(), { tracks: 0, peers: 0 }, `what ${user.name} still holds after call ${i}`));
    }
  }
}

async function initStream(world, where) {
  const [alice, bob] = await world.pair(where, where);
  const kind = await alice.run(async () => (await e2e.client.getCallClient().initStream()).constructor.name);
  same(kind, "MediaStream", "initStream resolves with the stream");
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await bob.answer();
  await alice.until(0, "onCallEstablished");
  await soon(() => hears(bob, 0, alice));
  await alice.hangup();
  await bob.until(0, "onCallEnded");
  await soon(async () => same(await bob.open(), { tracks: 0, peers: 0 }, "the callee held nothing"));
  const states = await alice.run(async () => (await e2e.client.getCallClient().initStream()).getTracks().map((track) => track.readyState));
  same(states, ["live"], "the stream of initStream after the call");
}
