// Calls over trunks with SIPp as the carrier: carriers that are busy, broken, slow, or change their mind.
import { bar } from "./lib/bar.mjs";
import { hearEachOther } from "./lib/calls.mjs";
import { check, ended, events, hears, same, silent, soon } from "./lib/check.mjs";
import { LossyPath } from "./lib/lossy.mjs";
import { Sipp, acknowledge, ask, callee, caller, cancel, field, hear, invite, refuseInvite, rtpOf, say, wait } from "./lib/sipp.mjs";
import { gatewayWith } from "./lib/trunks.mjs";
import { Voice } from "./lib/voice.mjs";

/** Each has an address of its own, as carriers have. The second of a domain is the next route. */
const TRUNKS = {
  plain: { ip: 21, domain: "plain.test" },
  busy: { ip: 22, domain: "busy.test" },
  unused: { ip: 23, domain: "busy.test", priority: 1 },
  full: { ip: 24, domain: "full.test" },
  free: { ip: 25, domain: "full.test", priority: 1 },
  dead: { ip: 26, domain: "dead.test" },
  alive: { ip: 27, domain: "dead.test", priority: 1 },
  digits: { ip: 28, domain: "digits.test", dtmf: "info" },
  lossy: { ip: 29, domain: "lossy.test" },
  crossed: { ip: 30, domain: "crossed.test" },
};
const TONE = 880;

const address = (name, port = 5060) => `127.0.0.${TRUNKS[name].ip}:${port}`;
let gateway = null;
const voices = [];
const peers = [];

export async function setUp() {
  const trunks = Object.entries(TRUNKS).map(([name, { ip, domain, ...more }]) => [
    name,
    { address: address(name), domains: [domain], codecs: ["pcmu"], ...more },
  ]);
  gateway = await gatewayWith(Object.fromEntries(trunks));
}

export async function tearDown() {
  await gateway?.stop();
}

export default function suite(check) {
  const tidied = (add) => (name, seconds, run) => add(name, seconds, (world) => run(world).finally(cleanUp));
  const test = Object.assign(tidied(check), { timed: tidied(check.timed) });
  test("busy: the answer of the trunk arrives whole, and no other way is tried", 20, busy);
  test("not found and declined are final, too", 20, final);
  test.timed("503: the next way at once", 20, nextWay);
  test.timed("silence: the next way after four seconds", 30, silence);
  test("what is heard before the answer, and the answer", 30, earlyMedia);
  test("what is heard before a refusal", 30, earlyRefusal);
  test("the SIP side holds and resumes, DTMF digits are INFO", 40, hold);
  test("both hang up at once", 20, bothHangUp);
  test("a call is taken back on either side", 30, takenBack);
  test("a trunk calls a page on all its devices, in both browsers", 40, incoming);
  test.timed("ports used up: 503 at once, running calls go on, and the next call has the port of one that ended", 30, portsUsedUp);
  test("a path that loses and doubles a quarter of all packets", 60, lossy);
}

const user = (world, where = "chromium", id = world.name("alice")) => world.user(where, id, { server: gateway });

async function carrier(name, scenario, more = {}) {
  const sipp = await Sipp.start({ address: address(name), scenario, ...more });
  peers.push(sipp);
  return sipp;
}

async function voice(name) {
  const made = await Voice.open(address(name).split(":")[0], TONE);
  voices.push(made);
  return made;
}

async function cleanUp() {
  for (const made of voices.splice(0)) made.close();
  await Promise.all(peers.splice(0).map((peer) => peer.stop()));
}

const callSip = (page, domain, headers) => page.call(`sip:desk@${domain}`, { method: "callSip", headers });

async function busy(world) {
  const headers = ['Reason: Q.850;cause=17;text="User busy"', "X-Queue: 3"];
  const [sipp, other] = await Promise.all([
    carrier("busy", callee(hear("INVITE"), say("180 Ringing"), say("486 Busy Here", { headers }), hear("ACK"))),
    carrier("unused", callee(hear("INVITE"))),
  ]);
  const alice = await user(world);
  await callSip(alice, "busy.test", { "x-ticket": "äö 7" });
  await alice.until(0, "onCallEnded");
  await sipp.done();
  const sent = await sipp.gets("INVITE");
  check(field(sent, "x-ticket"), `the header of the page:\n${sent}`);
  const { error } = await ended(alice, 0, "DENIED");
  same([error.code, error.reason, error.message], [486, "Busy Here", "486 Busy Here"], "why it ended");
  const facts = await alice.run(() => e2e.calls[0].call.error.headers);
  const found = Object.entries(facts).find(([name]) => name.toLowerCase() === "x-queue");
  same(`${found?.[1]}`, "3", `the headers of the answer: ${JSON.stringify(facts)}`);
  same(other.got("INVITE"), [], "what the next trunk saw");
}

async function final(world) {
  const alice = await user(world);
  for (const [i, status, code, cause] of [
    [0, "404 Not Found", 404, "FAILURE"],
    [1, "603 Decline", 603, "DENIED"],
  ]) {
    const sipp = await carrier("busy", callee(hear("INVITE"), say(status), hear("ACK")));
    const other = await carrier("unused", callee(hear("INVITE")));
    await callSip(alice, "busy.test");
    await alice.until(i, "onCallEnded");
    await sipp.done();
    const { error } = await ended(alice, i, cause);
    same(error.code, code, "the code");
    same(other.got("INVITE"), [], "what the next trunk saw");
    await cleanUp();
  }
}

/** Rings, and answers with the audio of a Voice. */
const answers = (rtp, ...rest) => callee(hear("INVITE"), say("180 Ringing"), say("200 OK", { rtp }), hear("ACK"), ...rest);
const isHungUp = [hear("BYE"), say("200 OK")];

async function talk(page, i, sipp, spoken) {
  spoken.speak(rtpOf(await sipp.gets("INVITE")));
  await page.until(i, "onCallEstablished");
  await hearEachOther(page, spoken, i);
}

async function nextWay(world) {
  const spoken = await voice("free");
  const broken = await carrier("full", callee(hear("INVITE"), say("503 Service Unavailable"), hear("ACK")));
  const sipp = await carrier("free", answers(spoken.address, ...isHungUp));
  const alice = await user(world);
  await callSip(alice, "full.test");
  await talk(alice, 0, sipp, spoken);
  await alice.hangup();
  await Promise.all([broken.done(), sipp.done()]);
  const took = sipp.messages()[0].at - broken.messages().find(({ text }) => text.startsWith("SIP/2.0 503")).at;
  bar(took, 200, "the next way after the 503");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  return `${took} ms`;
}

async function silence(world) {
  const spoken = await voice("alive");
  const mute = await carrier("dead", callee(hear("INVITE"), wait(20_000)));
  const sipp = await carrier("alive", answers(spoken.address, ...isHungUp));
  const alice = await user(world);
  await callSip(alice, "dead.test");
  await talk(alice, 0, sipp, spoken);
  await alice.hangup();
  await sipp.done();
  const took = sipp.messages()[0].at - mute.messages()[0].at;
  bar(took, 4_300, "the next way after silence", 2_000);
  return `${took} ms`;
}

async function earlyMedia(world) {
  const spoken = await voice("plain");
  const sipp = await carrier(
    "plain",
    callee(
      hear("INVITE"),
      say("183 Session Progress", { rtp: spoken.address }),
      wait(3_000),
      say("200 OK", { rtp: spoken.address }),
      hear("ACK"),
      ...isHungUp,
    ),
  );
  const alice = await user(world);
  await callSip(alice, "plain.test");
  spoken.speak(rtpOf(await sipp.gets("INVITE")));
  await soon(() => hears(alice, 0, spoken));
  check(!sipp.got("ACK").length, "the tone should be heard before the answer");
  await soon(() => hears(spoken, 0, alice), 8_000);
  await alice.hangup();
  await sipp.done();
  await events(alice, 0, ["onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

async function earlyRefusal(world) {
  const spoken = await voice("plain");
  const sipp = await carrier(
    "plain",
    callee(hear("INVITE"), say("183 Session Progress", { rtp: spoken.address }), wait(2_000), say("486 Busy Here"), hear("ACK")),
  );
  const alice = await user(world, "firefox");
  await callSip(alice, "plain.test");
  spoken.speak(rtpOf(await sipp.gets("INVITE")));
  await soon(() => hears(alice, 0, spoken));
  await alice.until(0, "onCallEnded");
  await sipp.done();
  await ended(alice, 0, "DENIED");
}

/** Each digit that the page sends takes the carrier one step further. */
async function hold(world) {
  const spoken = await voice("digits");
  const key = [hear("INFO"), say("200 OK")];
  const again = (direction, version) => [
    ask("INVITE", { rtp: spoken.address, direction, version }),
    hear(100, { optional: true }),
    hear(200),
    ask("ACK"),
  ];
  const steps = [
    ...key,
    ...again("sendonly", 2),
    ...key,
    ...again("sendrecv", 3),
    ...key,
    ...again("inactive", 4),
    ...key,
    ...again("sendrecv", 5),
    ...key,
  ];
  const sipp = await carrier("digits", answers(spoken.address, ...steps, ...isHungUp));
  const alice = await user(world);
  await callSip(alice, "digits.test");
  await talk(alice, 0, sipp, spoken);
  const press = (text) => alice.run((digits) => e2e.calls[0].call.sendDTMF(digits), text);
  // The first 200 is that of the first re-INVITE: the INFO are the gateway's.
  const answered = async (count, direction) => {
    const answer = await sipp.gets("SIP/2.0 200", count);
    check(answer.includes(`a=${direction}`), `answered with another direction than ${direction}:\n${answer}`);
  };
  await press("1");
  await answered(1, "recvonly");
  await soon(() => silent(spoken, 0));
  await hears(alice, 0, spoken); // music on hold
  await press("2");
  await answered(2, "sendrecv");
  await soon(() => hears(spoken, 0, alice));
  await press("3");
  await answered(3, "inactive");
  spoken.hush();
  await Promise.all([soon(() => silent(spoken, 0)), soon(() => silent(alice, 0))]);
  await press("4");
  await answered(4, "sendrecv");
  spoken.speak(rtpOf(await sipp.gets("INVITE")));
  await hearEachOther(alice, spoken);
  await press("#");
  await sipp.gets("INFO", 5);
  same(
    sipp
      .got("INFO")
      .map(({ text }) => /^Signal *= *(\S)/m.exec(text)?.[1])
      .join(""),
    "1234#",
    "the digits",
  );
  await alice.hangup();
  await sipp.done();
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

/** Each has sent BYE before it receives that of the other; the carrier never answers that of the page. */
async function bothHangUp(world) {
  const spoken = await voice("crossed");
  const sipp = await carrier("crossed", answers(spoken.address, hear("BYE"), ask("BYE"), hear(200)));
  const alice = await user(world);
  await callSip(alice, "crossed.test");
  await talk(alice, 0, sipp, spoken);
  await alice.hangup();
  await alice.until(0, "onCallEnded");
  await sipp.done();
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  await soon(async () => same(await alice.open(), { tracks: 0, peers: 0 }, "what the page still holds"));
}

async function takenBack(world) {
  const sipp = await carrier(
    "plain",
    callee(hear("INVITE"), say("180 Ringing"), hear("CANCEL"), say("200 OK"), refuseInvite("487 Request Terminated"), hear("ACK")),
  );
  const alice = await user(world);
  await callSip(alice, "plain.test");
  await alice.until(0, "onCallProgressing");
  await alice.hangup();
  await sipp.done();
  await events(alice, 0, ["onCallProgressing", "onCallEnded(CANCELED)"]);
  await cleanUp();

  const spoken = await voice("plain");
  const to = `sip:${alice.id}@localhost`;
  const caller1 = caller(
    invite(to, { rtp: spoken.address }),
    hear(100, { optional: true }),
    hear(180),
    cancel(to),
    hear(200),
    hear(487),
    acknowledge(to),
  );
  const back = await carrier("plain", caller1, { to: gateway.sip });
  await alice.until(1, "onCallEnded");
  await back.done();
  await events(alice, 1, ["onIncomingCall", "onCallEnded(CANCELED)"]);
}

async function incoming(world) {
  const spoken = await voice("plain");
  const alice = await user(world);
  const other = await user(world, "firefox", alice.id);
  const to = `sip:${alice.id}@localhost`;
  const steps = [
    invite(to, { rtp: spoken.address, headers: ["X-Order: 17"] }),
    hear(100, { optional: true }),
    hear(180),
    hear(180, { optional: true }),
    hear(200),
    ask("ACK"),
    hear("BYE"),
    say("200 OK"),
  ];
  const sipp = await carrier("plain", caller(...steps), { to: gateway.sip });
  await Promise.all([alice, other].map((page) => page.until(0, "onIncomingCall")));
  await other.answer();
  await Promise.all([other.until(0, "onCallEstablished"), alice.until(0, "onCallEnded")]);
  spoken.speak(rtpOf(await sipp.gets("SIP/2.0 200")));
  await hearEachOther(other, spoken);
  await ended(alice, 0, "OTHER_DEVICE_ANSWERED");
  const { remote, domain, headers } = await other.facts(0);
  check(remote.startsWith("+46705550100"), `who calls: ${remote} (${domain})`);
  check(JSON.stringify(headers).toLowerCase().includes("x-order"), `the headers: ${JSON.stringify(headers)}`);
  await other.hangup();
  await sipp.done();
}

/** A gateway with two pairs of ports. */
async function portsUsedUp(world) {
  const spoken = await voice("plain");
  const sipp = await carrier("plain", answers(spoken.address, ...isHungUp), { calls: 3 });
  const trunk = { address: address("plain"), domains: ["plain.test"], codecs: ["pcmu"] };
  const small = await gatewayWith({ plain: trunk }, { media: { ports: "44000-44003" } });
  try {
    const alice = await world.user("chromium", world.name("alice"), { server: small });
    for (const i of [0, 1]) {
      await callSip(alice, "plain.test");
      await alice.until(i, "onCallEstablished");
    }
    spoken.speak(rtpOf(await sipp.gets("INVITE")));
    await soon(() => hears(alice, 0, spoken));
    const began = Date.now();
    await callSip(alice, "plain.test");
    await alice.until(2, "onCallEnded");
    const took = Date.now() - began;
    const { error } = await ended(alice, 2, "FAILURE");
    same(error.message, "50300 No media port is free", "why the third call ended");
    bar(took, 2_000, "refused");
    same(small.log.split("no port is left for a call").length - 1, 1, `lines about it in the log:\n${small.log}`);
    await hears(alice, 0, spoken);
    await alice.hangup(1);
    await callSip(alice, "plain.test");
    await alice.until(3, "onCallEstablished");
    await hears(alice, 0, spoken);
    for (const i of [0, 3]) await alice.hangup(i);
    await sipp.done();
  } finally {
    await small.stop();
  }
}

/** Several calls over a relay between the gateway and the carrier; which packets it loses is the same in each run. */
async function lossy(world) {
  const CALLS = 4;
  const spoken = await voice("lossy");
  // A retransmitted or duplicated 200 is acknowledged again.
  const copies = Array.from({ length: 4 }, () => hear("ACK", { optional: true }));
  const behind = address("lossy", 5070);
  const path = await LossyPath.open(address("lossy"), behind, { loses: 0.25, doubles: 0.25 });
  try {
    const sipp = await carrier("lossy", answers(spoken.address, ...copies, ...isHungUp), {
      address: behind,
      place: address("lossy"),
      calls: CALLS,
      patient: true,
    });
    const alice = await user(world);
    for (let i = 0; i < CALLS; i++) await callSip(alice, "lossy.test");
    for (let i = 0; i < CALLS; i++) await alice.until(i, "onCallEstablished", 30_000);
    // SIPp takes no BYE before the ACK, and retransmits its 200 until one comes.
    const acknowledged = () => new Set(sipp.got("ACK").map(({ text }) => field(text, "Call-ID"))).size;
    await soon(() => same(acknowledged(), CALLS, "calls whose 200 was acknowledged"), 30_000);
    for (let i = 0; i < CALLS; i++) await alice.hangup(i);
    await sipp.done();
    for (let i = 0; i < CALLS; i++) await ended(alice, i, "HUNG_UP");
    check(path.lost > 0 && path.doubled > 0, `lost ${path.lost}, doubled ${path.doubled}`);
    return `lost ${path.lost}, doubled ${path.doubled} packets`;
  } finally {
    path.close();
  }
}
