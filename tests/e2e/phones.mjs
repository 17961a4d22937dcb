// Phones behind Kamailio and rtpengine, with the configuration of deploy/kamailio: baresip and pjsua2 call pages and are called by them,
// with the sound checked at both ends.
import { check, ended, events, hears, same, silent, soon } from "./lib/check.mjs";
import { Baresip } from "./lib/baresip.mjs";
import { Kamailio } from "./lib/kamailio.mjs";
import { Pjsua } from "./lib/pjsua.mjs";
import { Rtpengine } from "./lib/rtpengine.mjs";

const DOMAIN = "calls.test";
/** One phone has a name, the other a number. */
const PHONES = { baresip: "desk", pjsua2: "+4687654321" };
const USERS = Object.fromEntries([...Object.values(PHONES), ...Array.from({ length: 60 }, (_, i) => `page${i}`)].map((id) => [id, `secret-${id}`]));

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
    Baresip.start({ ...account("baresip"), tone: 880 }),
    Pjsua.start({ ...account("pjsua2"), tone: 1500 }),
  ]);
  phones = { baresip, pjsua2 };
}

export async function tearDown() {
  for (const daemon of [...Object.values(phones), kamailio, rtpengine]) await daemon?.stop();
}

export default function suite(test) {
  const each = (name, seconds, run) => {
    for (const where of ["chromium", "firefox"]) {
      for (const phone of Object.keys(PHONES)) test(name(where, phone), seconds, (world) => run(world, where, phone));
    }
  };
  each((where, phone) => `${where} calls ${phone} with sound both ways`, 40, pageCalls);
  each((where, phone) => `${phone} calls ${where} with sound both ways`, 40, phoneCalls);
}

async function pageCalls(world, where, name) {
  const [alice, phone] = await parties(world, where, name);
  await alice.call(phone.id);
  await phone.until("CALL_INCOMING");
  await alice.until(0, "onCallProgressing");
  await phone.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
  await bothHear(alice, phone);
  await alice.hangup();
  await phone.until("CALL_CLOSED");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

async function phoneCalls(world, where, name) {
  const [alice, phone] = await parties(world, where, name);
  await phone.call(`sip:${alice.id}@${DOMAIN}`);
  await Promise.all([alice.until(0, "onIncomingCall"), phone.until("CALL_RINGING")]);
  await alice.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
  await bothHear(alice, phone);
  await phone.hangup();
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

const bothHear = (page, phone) => Promise.all([soon(() => hears(page, 0, phone)), soon(() => hears(phone, 0, page))]);

async function parties(world, where, name) {
  const phone = phones[name];
  await phone.rest();
  return [await user(world, where), phone];
}

/** A page signed in at Kamailio with a name that no other test has. */
function user(world, where) {
  const id = `page${serial++}`;
  return world.user(where, id, { login: { username: id, password: USERS[id] }, config: { server: kamailio.url, domain: DOMAIN }, server: false });
}
