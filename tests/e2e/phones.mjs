// Phones behind Kamailio and rtpengine, with the configuration of deploy/kamailio: baresip (Opus, over TCP) and pjsua2 (G.722 and G.711,
// over UDP) call pages and are called by them, with the sound checked at both ends.
import { Baresip } from "./lib/baresip.mjs";
import { hearEachOther, holds } from "./lib/calls.mjs";
import { check, ended, events, same, soon } from "./lib/check.mjs";
import { Kamailio } from "./lib/kamailio.mjs";
import { Pjsua } from "./lib/pjsua.mjs";
import { Rtpengine } from "./lib/rtpengine.mjs";
import { pause } from "./lib/world.mjs";

const DOMAIN = "calls.test";
/** One phone has a name, the other a number. */
const PHONES = { baresip: "desk", pjsua2: "+4687654321" };
const USERS = Object.fromEntries(
  [...Object.values(PHONES), ...Array.from({ length: 80 }, (_, i) => `page${i}`)].map((id) => [id, `secret-${id}`]),
);
/** How a page calls a phone. */
const WAYS = {
  "chromium baresip": ["callUser", "desk"],
  "firefox baresip": ["callSip", "sip:desk@calls.test"],
  "chromium pjsua2": ["callPhoneNumber", "+4687654321"],
  "firefox pjsua2": ["callUser", "+4687654321"],
};

let rtpengine = null;
let kamailio = null;
let phones = {};
let serial = 0;

export async function setUp() {
  rtpengine = await Rtpengine.start();
  kamailio = await Kamailio.start({ users: USERS, rtpengine });
  const account = (name) => ({ id: PHONES[name], password: USERS[PHONES[name]], domain: DOMAIN, server: kamailio.sip });
  // Tones of browsers that take no part here.
  const [baresip, pjsua2] = await Promise.all([
    Baresip.start({ ...account("baresip"), tone: 880, transport: "tcp" }),
    Pjsua.start({ ...account("pjsua2"), tone: 1500 }),
  ]);
  phones = { baresip, pjsua2 };
}

export async function tearDown() {
  for (const daemon of [...Object.values(phones), kamailio, rtpengine]) await daemon?.stop();
}

export default function suite(test) {
  for (const where of ["chromium", "firefox"]) {
    for (const phone of Object.keys(PHONES)) {
      test(`${where} calls ${phone} with sound both ways, sends DTMF digits, hangs up`, 40, (world) => pageCalls(world, where, phone));
      test(`${phone} calls ${where} with sound both ways, sends DTMF digits, hangs up`, 40, (world) => phoneCalls(world, where, phone));
    }
  }
  for (const [where, phone] of [
    ["chromium", "baresip"],
    ["firefox", "pjsua2"],
  ]) {
    test(`${phone} declines, and stops ringing when ${where} cancels`, 20, (world) => phoneDeclines(world, where, phone));
    test(`${where} declines, and stops ringing when ${phone} cancels`, 20, (world) => pageDeclines(world, where, phone));
    test(`${where} loses its connection in a call with ${phone}`, 30, (world) => connectionLost(world, where, phone));
    test(`pjsua2 holds ${where} and takes it back`, 30, (world) => hold(world, where));
  }
  test("a user with a page and a phone answers on either, and pages talk directly", 40, pageAndPhone);
  test("a phone calls a user with two pages", 30, twoPages);
  test("a phone calls a page that comes online in time", 30, comesOnline);
  test("a phone leaves the offer to the page", 30, lateOffer);
}

/** Firefox offers without a candidate, as a busy machine may. */
async function pageCalls(world, where, name) {
  const [alice, phone] = await parties(world, where, name, where === "firefox" ? { candidateWait: 0 } : {});
  const [method, to] = WAYS[`${where} ${name}`];
  await alice.call(to, { method });
  await phone.until("CALL_INCOMING");
  await alice.until(0, "onCallProgressing");
  await phone.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
  await hearEachOther(alice, phone);
  if (name === "pjsua2") await pressed(alice, phone, "159*");
  await alice.hangup();
  await phone.until("CALL_CLOSED");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

/** Not with baresip and Opus: its DTMF events have another clock rate than the audio, and it does not understand those of browsers. */
async function pressed(alice, phone, digits) {
  await alice.run((text) => e2e.calls[0].call.sendDTMF(text), digits);
  for (const digit of digits) same((await phone.until("CALL_DTMF_START")).param, digit, `a digit that ${phone.name} heard`);
}

async function phoneCalls(world, where, name) {
  const [alice, phone] = await parties(world, where, name);
  await phone.call(`sip:${alice.id}@${DOMAIN}`);
  await Promise.all([alice.until(0, "onIncomingCall"), phone.until("CALL_RINGING")]);
  const { remote, domain } = await alice.facts(0);
  same([remote, domain], [phone.id, phone.id.startsWith("+") ? "pstn" : "data"], "who calls");
  await alice.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
  await hearEachOther(alice, phone);
  await soon(async () => {
    const heard = alice.run(() => e2e.digits(0, 1_200));
    await phone.press("2");
    check((await heard).includes("2"), `${alice.name} should hear the key 2: "${await heard}"`);
  }, 8_000);
  await phone.hangup();
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

async function phoneDeclines(world, where, name) {
  const [alice, phone] = await ringing(world, where, name);
  await phone.hangup();
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEnded(DENIED)"]);
  await ended(alice, 0, "DENIED");

  await alice.call(phone.id);
  await phone.until("CALL_INCOMING");
  await alice.until(1, "onCallProgressing");
  await alice.hangup(1);
  await phone.until("CALL_CLOSED");
  await events(alice, 1, ["onCallProgressing", "onCallEnded(CANCELED)"]);
}

async function pageDeclines(world, where, name) {
  const [alice, phone] = await parties(world, where, name);
  await phone.call(`sip:${alice.id}@${DOMAIN}`);
  await Promise.all([alice.until(0, "onIncomingCall"), phone.until("CALL_RINGING")]);
  await alice.hangup();
  const { param } = await phone.until("CALL_CLOSED");
  check(param.includes("603"), `why the call ended at ${name}: ${param}`);

  await phone.call(`sip:${alice.id}@${DOMAIN}`);
  await Promise.all([alice.until(1, "onIncomingCall"), phone.until("CALL_RINGING")]);
  await phone.hangup();
  await alice.until(1, "onCallEnded");
  await events(alice, 1, ["onIncomingCall", "onCallEnded(CANCELED)"]);
}

async function hold(world, where) {
  const [alice, phone] = await talking(world, where, "pjsua2");
  await holds(phone, alice);
  await alice.hangup();
  await phone.until("CALL_CLOSED");
}

/** The audio goes on; the page reconnects by another connection, and the phone's BYE reaches it. */
async function connectionLost(world, where, name) {
  const [alice, phone] = await talking(world, where, name);
  await alice.run(() => seen.sockets.at(-1).close());
  await alice.wait(() => seen.sockets.length > 1 && seen.sockets.at(-1).readyState === 1, "a new connection");
  await pause(300);
  await hearEachOther(alice, phone);
  await phone.hangup();
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

async function pageAndPhone(world) {
  const [alice, phone] = await parties(world, "chromium", "baresip");
  const page = await user(world, "firefox", { id: phone.id });
  await alice.call(phone.id);
  await Promise.all([page.until(0, "onIncomingCall"), phone.until("CALL_INCOMING")]);
  await phone.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), page.until(0, "onCallEnded")]);
  await ended(page, 0, "OTHER_DEVICE_ANSWERED");
  await hearEachOther(alice, phone);
  check(rtpengine.owns(await farPort(alice)), "sound between page and phone goes through rtpengine");
  await alice.hangup();
  await phone.until("CALL_CLOSED");

  await alice.call(phone.id);
  await Promise.all([page.until(1, "onIncomingCall"), phone.until("CALL_INCOMING")]);
  await page.answer(1);
  await Promise.all([alice.until(1, "onCallEstablished"), phone.until("CALL_CLOSED")]);
  await hearEachOther(alice, page, 1);
  check(!rtpengine.owns(await farPort(alice)), "sound between pages goes straight");
}

async function twoPages(world) {
  const [alice, phone] = await parties(world, "chromium", "pjsua2");
  const other = await user(world, "firefox", { id: alice.id });
  await phone.call(`sip:${alice.id}@${DOMAIN}`);
  await Promise.all([alice, other].map((page) => page.until(0, "onIncomingCall")));
  await other.answer();
  await Promise.all([other.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED"), alice.until(0, "onCallEnded")]);
  await ended(alice, 0, "OTHER_DEVICE_ANSWERED");
  await hearEachOther(other, phone);
  await other.hangup();
  await phone.until("CALL_CLOSED");
}

/** The call waits at Kamailio, and rtpengine bridges it all the same. */
async function comesOnline(world) {
  const phone = phones.baresip;
  await phone.rest();
  const id = `page${serial++}`;
  await phone.call(`sip:${id}@${DOMAIN}`);
  await pause(1_000);
  await pageAnswers(await user(world, "chromium", { id }), phone);
}

/** An INVITE without a description: the page's 200 brings the offer, the ACK the answer. */
async function lateOffer(world) {
  const [alice, phone] = await parties(world, "firefox", "pjsua2");
  await phone.command("dial-without-offer", `sip:${alice.id}@${DOMAIN}`);
  await pageAnswers(alice, phone);
}

async function pageAnswers(alice, phone) {
  await alice.until(0, "onIncomingCall");
  await alice.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
  await hearEachOther(alice, phone);
  await alice.hangup();
  await phone.until("CALL_CLOSED");
}

/** The port that the sound of a page's open call goes to. */
async function farPort(page) {
  return page.run(async () => {
    const { peer } = seen.peers.find(({ peer }) => peer.signalingState !== "closed");
    const stats = [...(await peer.getStats()).values()];
    const { remoteCandidateId } = stats.find(
      ({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded",
    );
    return stats.find(({ id }) => id === remoteCandidateId).port;
  });
}

async function ringing(world, where, name) {
  const [alice, phone] = await parties(world, where, name);
  await alice.call(phone.id);
  await phone.until("CALL_INCOMING");
  await alice.until(0, "onCallProgressing");
  return [alice, phone];
}

async function talking(world, where, name) {
  const [alice, phone] = await ringing(world, where, name);
  await phone.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
  await hearEachOther(alice, phone);
  return [alice, phone];
}

async function parties(world, where, name, options) {
  const phone = phones[name];
  await phone.rest();
  return [await user(world, where, options), phone];
}

/** A page signed in at Kamailio, with a name that no other test has unless `id` says otherwise. */
function user(world, where, { id = `page${serial++}`, ...more } = {}) {
  const config = { server: kamailio.url, domain: DOMAIN, ...more };
  return world.user(where, id, { login: { username: id, password: USERS[id] }, config, server: false });
}
