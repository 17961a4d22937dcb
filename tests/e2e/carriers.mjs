// Phones behind trunks, with the sound checked at both ends: baresip (Opus and G.711) and pjsua2 (G.722) straight, and baresip behind
// Kamailio and rtpengine, a carrier with which the gateway registers.
import dgram from "node:dgram";
import { once } from "node:events";
import { Baresip } from "./lib/baresip.mjs";
import { hearEachOther, holds } from "./lib/calls.mjs";
import { Carrier, PASSWORD } from "./lib/carrier.mjs";
import { check, ended, events, same, soon } from "./lib/check.mjs";
import { Pjsua } from "./lib/pjsua.mjs";
import { Rtpengine } from "./lib/rtpengine.mjs";
import { gatewayWith } from "./lib/trunks.mjs";

/** Its media come from here, whatever address its SDP names. */
const BARESIP = "127.0.0.1:5062";
const PJSUA = "127.0.0.32:5060";
const CARRIER = "127.0.0.33:5060";
const CARRIER_TLS = "127.0.0.33:5061";
const LOGIN = { username: "offhook", password: PASSWORD };
/** Each is called by its domain; the first trunk of an address is the one that calls from there come from. */
const TRUNKS = {
  baresip: { address: BARESIP, domains: ["opus.test"], codecs: ["opus", "pcma", "pcmu"] },
  alaw: { address: BARESIP, domains: ["pcma.test"], codecs: ["pcma"] },
  ulaw: { address: BARESIP, domains: ["pcmu.test"], codecs: ["pcmu"] },
  pjsua: { address: PJSUA, domains: ["g722.test"], codecs: ["g722", "pcma"] },
  carrier: { address: CARRIER, domain: "carrier.test", domains: ["carrier.test"], register: true, ...LOGIN },
  // Kamailio connects from an address that the system chooses, which is not the one that it listens on.
  stream: {
    address: CARRIER,
    from: ["127.0.0.1/32"],
    domain: "carrier.test",
    domains: ["stream.carrier.test"],
    transport: "tcp",
    ...LOGIN,
  },
  secret: { address: CARRIER_TLS, domain: "carrier.test", domains: ["secret.carrier.test"], transport: "tls", ...LOGIN },
};

let rtpengine = null;
let carrier = null;
let gateway = null;
let phones = {};

export async function setUp() {
  rtpengine = await Rtpengine.start();
  carrier = await Carrier.start({ address: CARRIER, domain: "carrier.test", customer: LOGIN.username, rtpengine });
  gateway = await gatewayWith(TRUNKS, { trunks: { authorities: carrier.certificate } });
  const server = gateway.sip;
  const [baresip, pjsua2, desk] = await Promise.all([
    Baresip.start({ id: "desk", address: BARESIP, server, tone: 880 }),
    Pjsua.start({ id: "desk", address: PJSUA, server, tone: 1500 }),
    Baresip.start({ id: "desk", password: PASSWORD, domain: "carrier.test", server: CARRIER, tone: 880, transport: "tcp" }),
  ]);
  phones = { baresip, pjsua2, desk };
}

export async function tearDown() {
  for (const daemon of [...Object.values(phones), gateway, carrier, rtpengine]) await daemon?.stop();
}

export default function suite(test) {
  for (const [where, name, domain] of [
    ["chromium", "baresip", "opus.test"],
    ["firefox", "baresip", "opus.test"],
    ["chromium", "baresip", "pcma.test"],
    ["firefox", "baresip", "pcmu.test"],
    ["chromium", "pjsua2", "g722.test"],
    ["firefox", "pjsua2", "g722.test"],
  ]) {
    test(`${where} calls ${name} at ${domain}: sound both ways, DTMF digits, hang-up`, 40, (world) =>
      pageCalls(world, where, name, domain),
    );
  }
  for (const [where, name] of [
    ["chromium", "pjsua2"],
    ["firefox", "baresip"],
  ]) {
    test(`${name} calls a user: all devices ring, ${where} answers`, 40, (world) => phoneCalls(world, where, name));
    test(`pjsua2 holds ${where} and takes it back`, 30, (world) => hold(world, where));
  }
  for (const [where, domain] of [
    ["chromium", "carrier.test"],
    ["firefox", "stream.carrier.test"],
    ["chromium", "secret.carrier.test"],
  ]) {
    test(`${where} calls a phone of the carrier by ${domain}`, 40, (world) => carrierIsCalled(world, where, domain));
  }
  test("a phone of the carrier calls a page, and declines one", 40, carrierCalls);
  test("a gateway that stops is registered no more", 20, leaves);
}

const user = (world, where, id = world.name("alice")) => world.user(where, id, { server: gateway });
async function established(page, phone, uri, i = 0) {
  await phone.rest();
  await page.call(uri, { method: "callSip" });
  await phone.until("CALL_INCOMING");
  await page.until(i, "onCallProgressing");
  await phone.answer();
  await Promise.all([page.until(i, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
}

async function pageCalls(world, where, name, domain) {
  const phone = phones[name];
  const alice = await user(world, where);
  await established(alice, phone, `sip:desk@${domain}`);
  await hearEachOther(alice, phone);
  await keysBothWays(alice, phone, domain);
  await alice.hangup();
  await phone.until("CALL_CLOSED");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

/** baresip's DTMF events have the clock rate of G.711 with Opus, too. */
async function keysBothWays(alice, phone, domain) {
  await alice.run(() => e2e.calls[0].call.sendDTMF("159*"));
  for (const key of "159*") same((await phone.until("CALL_DTMF_START")).param, key, `a key that ${phone.name} heard`);
  if (domain === "opus.test") return;
  await soon(async () => {
    const heard = alice.run(() => e2e.digits(0, 1_200));
    await phone.press("2");
    check((await heard).includes("2"), `${alice.name} should hear the key 2: "${await heard}"`);
  }, 8_000);
}

async function phoneCalls(world, where, name) {
  const phone = phones[name];
  const alice = await user(world, where);
  const other = await user(world, where === "chromium" ? "firefox" : "chromium", alice.id);
  await phone.rest();
  await phone.call(`sip:${alice.id}@${gateway.sip}`);
  await Promise.all([alice.until(0, "onIncomingCall"), other.until(0, "onIncomingCall"), phone.until("CALL_RINGING")]);
  const { remote, domain } = await alice.facts(0);
  check(/^desk(@127\.0\.0\.\d+)?$/.test(remote), `who calls: ${remote} (${domain})`);
  await alice.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED"), other.until(0, "onCallEnded")]);
  await ended(other, 0, "OTHER_DEVICE_ANSWERED");
  await hearEachOther(alice, phone);
  await phone.hangup();
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

async function hold(world, where) {
  const phone = phones.pjsua2;
  const alice = await user(world, where);
  await established(alice, phone, "sip:desk@g722.test");
  await hearEachOther(alice, phone);
  await holds(phone, alice);
  await alice.hangup();
  await phone.until("CALL_CLOSED");
}

async function carrierIsCalled(world, where, domain) {
  const phone = phones.desk;
  const alice = await user(world, where);
  await established(alice, phone, `sip:desk@${domain}`);
  await hearEachOther(alice, phone);
  await phone.hangup();
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

async function carrierCalls(world) {
  const phone = phones.desk;
  const alice = await user(world, "chromium");
  await phone.rest();
  await phone.call(`sip:${alice.id}@carrier.test`);
  await Promise.all([alice.until(0, "onIncomingCall"), phone.until("CALL_RINGING")]);
  await alice.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), phone.until("CALL_ESTABLISHED")]);
  await hearEachOther(alice, phone);
  await alice.hangup();
  await phone.until("CALL_CLOSED");

  await phone.call(`sip:${alice.id}@carrier.test`);
  await Promise.all([alice.until(1, "onIncomingCall"), phone.until("CALL_RINGING")]);
  await alice.hangup(1);
  const { param } = await phone.until("CALL_CLOSED");
  check(param.includes("603"), `why the call ended at ${phone.name}: ${param}`);
}

async function leaves() {
  const username = "leaver";
  const own = await gatewayWith({ carrier: { ...TRUNKS.carrier, username } });
  try {
    await soon(async () => same(await registered(username), true, "whether it is registered"), 8_000);
  } finally {
    await own.stop();
  }
  check(/registration .* taken back/.test(own.log), `what the log says at the end:\n${own.log}`);
  same(await registered(username), false, "whether it is registered after its end");
}

/** Whether this customer is registered at the carrier. */
async function registered(name) {
  const socket = dgram.createSocket("udp4");
  socket.bind(0, "127.0.0.34");
  await once(socket, "listening");
  const uri = `sip:${name}@carrier.test`;
  const head = [
    `OPTIONS ${uri} SIP/2.0`,
    `Via: SIP/2.0/UDP 127.0.0.34:${socket.address().port};branch=z9hG4bK${Date.now()}`,
    "Max-Forwards: 70",
  ];
  const who = [
    "From: <sip:test@carrier.test>;tag=1",
    `To: <${uri}>`,
    `Call-ID: ${Date.now()}`,
    "CSeq: 1 OPTIONS",
    "Content-Length: 0",
    "",
    "",
  ];
  const [ip, port] = CARRIER.split(":");
  socket.send([...head, ...who].join("\r\n"), Number(port), ip);
  const [answer] = await once(socket, "message", { signal: AbortSignal.timeout(3_000) });
  socket.close();
  return `${answer}`.startsWith("SIP/2.0 200 ");
}
