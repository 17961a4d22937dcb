// Calls to telephones, paid from an account: to the last unit, not without credit, and not longer than it lasts.
import { hearEachOther } from "./lib/calls.mjs";
import { check, ended, events, hears, same, soon } from "./lib/check.mjs";
import { Sipp, ask, callee, caller, field, hear, invite, rtpOf, say } from "./lib/sipp.mjs";
import { gatewayWith } from "./lib/trunks.mjs";
import { Voice } from "./lib/voice.mjs";

const TRUNK = "127.0.0.61:5060";
const NUMBER = "+46701234567";
const OWN = "+46855501000";
const TOKEN = "0123456789abcdef0123456789abcdef";
/** Ten cents a second, begun seconds whole. */
const RATE = { prefix: "46", perMinute: 6, increment: 1 };
const SECOND = 0.1;

let gateway = null;
let voice = null;
let sipp = null;

export async function setUp() {
  const trunk = { address: TRUNK, prefixes: ["+46"], codecs: ["pcmu"] };
  gateway = await gatewayWith({ trunk }, { phone: { allow: ["46"], operator_token: TOKEN } });
  voice = await Voice.open(TRUNK.split(":")[0], 880);
  await operator("PUT", "/v1/rates", { rates: [RATE] });
}

export async function tearDown() {
  voice?.close();
  await gateway?.stop();
}

export default function suite(check) {
  const test = (name, seconds, run) => check(name, seconds, (world) => run(world).finally(() => sipp?.stop()));
  test("without credit nothing is dialled", 20, noCredit);
  test("a call costs its begun seconds, in record, history and balance", 30, paid);
  test("credit runs out in a call: a warning, and the end at the paid second", 30, runsOut);
  test("credit that comes in a call makes it longer", 30, toppedUp);
  test("a number rings its user, and is shown when that user calls", 30, ownNumber);
}

async function operator(method, path, body) {
  const url = `http://${gateway.address}${path}${path.includes("?") ? "&" : "?"}key=demo`;
  const response = await fetch(url, { method, headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" }, body: body && JSON.stringify(body) });
  const text = await response.text();
  check(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

const cents = (amount) => Math.round(amount * 1e6) / 1e6;
const balance = async () => (await operator("GET", "/v1/account")).balance.amount;
let references = 0;

/** Makes the balance this, and gives it. */
async function balanceOf(amount) {
  const change = cents(amount - (await balance()));
  if (change) await operator("POST", "/v1/account/credit", { amount: change, reference: `${++references}` });
  same(await balance(), amount, "the balance");
}

const user = (world, where = "chromium") => world.user(where, world.name("alice"), { server: gateway });
const answers = () => callee(hear("INVITE"), say("180 Ringing"), say("200 OK", { rtp: voice.address }), hear("ACK"), hear("BYE"), say("200 OK"));

async function established(page) {
  sipp = await Sipp.start({ address: TRUNK, scenario: answers() });
  await page.call(NUMBER, { method: "callPhoneNumber" });
  await page.until(0, "onCallEstablished");
  voice.speak(rtpOf(await sipp.gets("INVITE")));
}

/** Record, history and balance of a call that has ended. */
async function account(page, before) {
  const { callId } = await page.facts(0);
  const record = await soon(async () => {
    const found = await operator("GET", `/calling/v1/calls/id/${callId}`);
    check(found.status === "FINAL", JSON.stringify(found));
    return found;
  });
  const { history } = await operator("GET", "/v1/account/history");
  const ours = history.filter(({ callId }) => callId === record.callId || callId === history[0].callId);
  const charged = cents(ours.filter(({ type }) => type === "CHARGE").reduce((sum, { amount }) => sum + amount.amount, 0));
  same(charged, record.debit.amount, `history and record: ${JSON.stringify(ours)}`);
  same(await balance(), cents(before - charged), "the balance after it");
  same((await operator("GET", "/v1/account")).reserved.amount, 0, "what is still reserved");
  return record;
}

async function noCredit(world) {
  await balanceOf(0);
  sipp = await Sipp.start({ address: TRUNK, scenario: callee(hear("INVITE")) });
  const alice = await user(world);
  await alice.call(NUMBER, { method: "callPhoneNumber" });
  await alice.until(0, "onCallEnded");
  const { error } = await ended(alice, 0, "FAILURE");
  same(error.code, 40200, "the code");
  check(/credit/i.test(error.message), `the reason: ${error.message}`);
  same(sipp.messages(), [], "what was dialled");
}

async function paid(world) {
  await balanceOf(100);
  const alice = await user(world);
  await established(alice);
  await hearEachOther(alice, voice);
  const running = await operator("GET", "/v1/account");
  check(running.reserved.amount > 0, `reserved while it runs: ${JSON.stringify(running)}`);
  await alice.hangup();
  await sipp.done();
  const record = await account(alice, 100);
  const { details } = await ended(alice, 0, "HUNG_UP");
  const wire = sipp.messages();
  const at = (out, start) => wire.find((message) => message.out === out && message.text.startsWith(start)).at;
  const spoken = (at(false, "BYE") - at(true, "SIP/2.0 200")) / 1_000;
  check(Math.abs(spoken - details.duration) < 0.5, `${spoken} s on the wire, ${details.duration} s for the page`);
  check([Math.ceil(spoken), Math.ceil(spoken + 0.1), Math.ceil(spoken - 0.1)].includes(record.duration), `${spoken} s on the wire, ${record.duration} in the record`);
  same(record.debit.amount, cents(record.duration * SECOND), "the price");
  same([record.result, record.reason], ["ANSWERED", "CALLERHANGUP"], "the result and who ended it");
  return `${record.duration} s, ${record.debit.amount}`;
}

async function runsOut(world) {
  const SECONDS = 4;
  await balanceOf(cents(SECONDS * SECOND));
  const alice = await user(world);
  await established(alice);
  await soon(() => hears(alice, 0, voice));
  await alice.until(0, "onCallEnded");
  await sipp.done();
  const told = await alice.run(() => e2e.calls[0].extra.find(({ name }) => name === "onCreditLow")?.more);
  check(told > 0 && told <= SECONDS, `onCreditLow: ${told}`);
  const wire = sipp.messages();
  const spoken = wire.find(({ out, text }) => !out && text.startsWith("BYE")).at - wire.find(({ out, text }) => out && text.startsWith("SIP/2.0 200")).at;
  check(Math.abs(spoken - SECONDS * 1_000) < 500, `ended after ${spoken} ms`);
  const record = await account(alice, cents(SECONDS * SECOND));
  same([record.debit.amount, record.reason], [cents(SECONDS * SECOND), "NOCREDITPARTNER"], "the record");
  same(await balance(), 0, "the balance");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", `onCallEnded(${(await alice.facts(0)).cause})`]);
  return `ended after ${spoken} ms`;
}

async function toppedUp(world) {
  const [before, more] = [cents(3 * SECOND), cents(100 * SECOND)];
  await balanceOf(before);
  const alice = await user(world);
  await established(alice);
  const began = Date.now();
  await operator("POST", "/v1/account/credit", { amount: more, reference: `${++references}` });
  await soon(async () => {
    await hears(alice, 0, voice);
    check(Date.now() - began > 4_500, "not yet longer than it was paid for at first");
  }, 8_000);
  await alice.hangup();
  await sipp.done();
  await account(alice, cents(before + more));
}

async function ownNumber(world) {
  await balanceOf(100);
  const alice = await user(world);
  await operator("POST", "/v1/configuration/numbers", { number: OWN, user: alice.id, shownBy: "user" });
  const to = `sip:${OWN}@${gateway.sip}`;
  const steps = [invite(to, { rtp: voice.address }), hear(100, { optional: true }), hear(180), hear(200), ask("ACK"), hear("BYE"), say("200 OK")];
  sipp = await Sipp.start({ address: TRUNK, to: gateway.sip, scenario: caller(...steps) });
  await alice.until(0, "onIncomingCall");
  const { remote, domain } = await alice.facts(0);
  same([remote, domain], ["+46705550100", "pstn"], "who calls");
  await alice.answer();
  await alice.until(0, "onCallEstablished");
  await alice.hangup();
  await sipp.done();
  await sipp.stop();

  sipp = await Sipp.start({ address: TRUNK, scenario: answers() });
  await alice.call(NUMBER, { method: "callPhoneNumber" });
  await alice.until(1, "onCallEstablished");
  const from = field(await sipp.gets("INVITE"), "From");
  check(from.includes(OWN), `who calls: ${from}`);
  await alice.hangup(1);
  await sipp.done();
}
