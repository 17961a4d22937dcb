// Calls to telephones, paid from an account: to the last unit, not without credit, and not longer than it lasts.
import { bar } from "./lib/bar.mjs";
import { INSTANCES } from "./lib/browsers.mjs";
import { hearEachOther } from "./lib/calls.mjs";
import { check, ended, events, hears, same, soon } from "./lib/check.mjs";
import { BEFORE, at, demoPage, endsWith, fill, holdZero, press, shoot, shown, text } from "./lib/demo.mjs";
import { Operator, cents } from "./lib/operator.mjs";
import { Sipp, ask, callee, caller, field, hear, invite, rtpOf, say } from "./lib/sipp.mjs";
import { MEDIA_PORTS, gatewayWith } from "./lib/trunks.mjs";
import { Voice } from "./lib/voice.mjs";
import { pause } from "./lib/world.mjs";

const TRUNK = "127.0.0.61:5060";
const NUMBER = "+46701234567";
const OWN = "+46855501000";
/** Ten cents a second, begun seconds whole. */
const RATE = { prefix: "46", perMinute: 6, increment: 1 };
const SECOND = 0.1;

let gateway = null;
let operator = null;
let voice = null;
let sipp = null;

export async function setUp() {
  gateway = await paying();
  operator = new Operator(gateway);
  voice = await Voice.open(TRUNK.split(":")[0], 880);
  await operator.ask("PUT", "/v1/rates", { rates: [RATE] });
}

function paying(options, sections) {
  const trunk = { address: TRUNK, prefixes: ["+46"], codecs: ["pcmu"] };
  return gatewayWith({ trunk }, { phone: { allow: ["46"], operator_token: Operator.TOKEN }, ...sections }, options);
}

export async function tearDown() {
  voice?.close();
  await gateway?.stop();
}

export default function suite(check) {
  const tidied = (add) => (name, seconds, run) => add(name, seconds, (world) => run(world).finally(() => sipp?.stop()));
  const test = Object.assign(tidied(check), { timed: tidied(check.timed) });
  test("without credit nothing is dialled", 20, noCredit);
  test("calls that come too fast are refused, with the reason and one alarm", 30, tooFast);
  test.timed("a call costs its begun seconds, in record, history and balance", 30, paid);
  test.timed("credit runs out in a call: a warning, and the end at the paid second", 30, runsOut);
  test("credit that comes in a call makes it longer", 30, toppedUp);
  test("a phone that sends no media: page, phone and record are told", 40, silentPhone);
  test("a number rings its user, and is shown when that user calls", 30, ownNumber);
  for (const where of ["chromium", "firefox"]) {
    test(`the demo page pays a call: dial pad, price, balance, history (${where})`, 90, (world) => demoPays(world, where));
  }
  test("the demo page asks with the ticket of whoever is signed in, though an answer comes late", 30, lateAnswer);
  test("a full disk: no new call, the one that runs goes on and is paid once", 90, fullDisk);
}

const user = (world, { where = "chromium", server = gateway } = {}) => world.user(where, world.name("alice"), { server });
const answers = () =>
  callee(hear("INVITE"), say("180 Ringing"), say("200 OK", { rtp: voice.address }), hear("ACK"), hear("BYE"), say("200 OK"));

async function established(page) {
  sipp = await Sipp.start({ address: TRUNK, scenario: answers() });
  await page.call(NUMBER, { method: "callPhoneNumber" });
  await page.until(0, "onCallEstablished");
  voice.speak(rtpOf(await sipp.gets("INVITE")));
}

async function noCredit(world) {
  await operator.balanceOf(0);
  sipp = await Sipp.start({ address: TRUNK, scenario: callee(hear("INVITE")) });
  const alice = await user(world);
  await alice.call(NUMBER, { method: "callPhoneNumber" });
  await alice.until(0, "onCallEnded");
  const { error } = await ended(alice, 0, "FAILURE");
  same(error.code, 40200, "the code");
  check(/credit/i.test(error.message), `the reason: ${error.message}`);
  same(sipp.messages(), [], "what was dialled");
}

async function tooFast(world) {
  await operator.balanceOf(100);
  const alice = await user(world);
  gateway.command("credit", "limit", "demo", "--per-minute", "0");
  try {
    for (const i of [0, 1, 2]) {
      await alice.call(NUMBER, { method: "callPhoneNumber" });
      await alice.until(i, "onCallEnded");
      const { error } = await ended(alice, i, "FAILURE");
      same([error.code, error.reason], [40300, "Too many new calls in a minute"], `call ${i}`);
    }
  } finally {
    gateway.command("credit", "limit", "demo");
  }
  const { alarms } = await operator.ask("GET", "/v1/account/alarms");
  same(
    alarms.map(({ reason, range, max }) => [reason, range, max]),
    [["call rate", null, 0]],
    "the alarms",
  );
  same(gateway.log.match(/alarm: .*cause=call rate/g)?.length, 1, `alarms in the log: ${gateway.log}`);
  same(await operator.balance(), 100, "the balance");
}

async function paid(world) {
  await operator.balanceOf(100);
  const alice = await user(world);
  await established(alice);
  await hearEachOther(alice, voice);
  const running = await operator.ask("GET", "/v1/account");
  check(running.reserved.amount > 0, `reserved while it runs: ${JSON.stringify(running)}`);
  await alice.hangup();
  await sipp.done();
  const record = await operator.account(alice, 100);
  const { details } = await ended(alice, 0, "HUNG_UP");
  const wire = sipp.messages();
  const at = (out, start) => wire.find((message) => message.out === out && message.text.startsWith(start)).at;
  const spoken = (at(false, "BYE") - at(true, "SIP/2.0 200")) / 1_000;
  bar(Math.abs(spoken - details.duration) * 1_000, 500, `the wire says ${spoken} s and the page ${details.duration} s, which are apart by`);
  check(
    [Math.ceil(spoken), Math.ceil(spoken + 0.1), Math.ceil(spoken - 0.1)].includes(record.duration),
    `${spoken} s on the wire, ${record.duration} in the record`,
  );
  same(record.debit.amount, cents(record.duration * SECOND), "the price");
  same([record.result, record.reason], ["ANSWERED", "CALLERHANGUP"], "the result and who ended it");
  return `${record.duration} s, ${record.debit.amount}`;
}

async function runsOut(world) {
  const SECONDS = 4;
  await operator.balanceOf(cents(SECONDS * SECOND));
  const alice = await user(world);
  await established(alice);
  await soon(() => hears(alice, 0, voice));
  await alice.until(0, "onCallEnded");
  await sipp.done();
  const told = await alice.run(() => e2e.calls[0].extra.find(({ name }) => name === "onCreditLow")?.more);
  check(told > 0 && told <= SECONDS, `onCreditLow: ${told}`);
  const wire = sipp.messages();
  const spoken =
    wire.find(({ out, text }) => !out && text.startsWith("BYE")).at -
    wire.find(({ out, text }) => out && text.startsWith("SIP/2.0 200")).at;
  bar(spoken, SECONDS * 1_000 + 500, "ended at the paid second", SECONDS * 1_000 - 500);
  const record = await operator.account(alice, cents(SECONDS * SECOND));
  same([record.debit.amount, record.reason], [cents(SECONDS * SECOND), "NOCREDITPARTNER"], "the record");
  same(await operator.balance(), 0, "the balance");
  same(await byeOf(alice), ['SIP;cause=402;text="Not enough credit"', "40200 Not enough credit"], "what the page is told");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(FAILURE)"]);
  const { error } = await ended(alice, 0, "FAILURE");
  same([error.domain, error.code, error.message], [3, 40200, "40200 Not enough credit"], "the error of the page");
  return `ended after ${spoken} ms`;
}

/** Reason and X-Error of the BYE that a page got. */
async function byeOf(page) {
  const bye = await page.run(() => window.seen.sip.findLast(({ out, text }) => !out && text.startsWith("BYE ")).text);
  return ["Reason", "X-Error"].map((name) => field(bye, name));
}

async function silentPhone(world) {
  const server = await paying({}, { media: { ports: MEDIA_PORTS.join("-"), silence: 3 } });
  try {
    const owner = new Operator(server);
    await owner.ask("PUT", "/v1/rates", { rates: [RATE] });
    await owner.balanceOf(100);
    const alice = await user(world, { server });
    sipp = await Sipp.start({ address: TRUNK, scenario: answers() });
    await alice.call(NUMBER, { method: "callPhoneNumber" });
    await alice.until(0, "onCallEnded");
    await sipp.done();
    const why = 'SIP;cause=408;text="No media from the phone"';
    same(await byeOf(alice), [why, "40800 No media from the phone"], "what the page is told");
    same(field(await sipp.gets("BYE"), "Reason"), why, "what the phone is told");
    const { error } = await ended(alice, 0, "FAILURE");
    same([error.code, error.message], [40800, "40800 No media from the phone"], "the error of the page");
    const record = await owner.account(alice, 100);
    same([record.reason, record.cause, record.code], ["TIMEOUT", "callee silent", 408], "the record");
  } finally {
    await server.stop();
  }
}

async function toppedUp(world) {
  const [before, more] = [cents(3 * SECOND), cents(100 * SECOND)];
  await operator.balanceOf(before);
  const alice = await user(world);
  await established(alice);
  const began = Date.now();
  await operator.ask("POST", "/v1/account/credit", { amount: more, reference: "in the call" });
  await soon(async () => {
    await hears(alice, 0, voice);
    check(Date.now() - began > 4_500, "not yet longer than it was paid for at first");
  }, 8_000);
  await alice.hangup();
  await sipp.done();
  await operator.account(alice, cents(before + more));
}

async function ownNumber(world) {
  await operator.balanceOf(100);
  const alice = await user(world);
  await operator.ask("POST", "/v1/configuration/numbers", { number: OWN, user: alice.id, shownBy: "user" });
  const to = `sip:${OWN}@${gateway.sip}`;
  const steps = [
    invite(to, { rtp: voice.address }),
    hear(100, { optional: true }),
    hear(180),
    hear(200),
    ask("ACK"),
    hear("BYE"),
    say("200 OK"),
  ];
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

/** A call of the demo page by its keypad, and what the page shows of the money. */
async function demoPays(world, where) {
  await operator.balanceOf(100);
  const tab = await demoPage(world, where, world.name("Ann"), { server: gateway });
  await soon(async () => same(await text(tab, "balance"), "$100.00", "the balance on the page"));
  check((await operator.ask("GET", "/v1/account/history")).history.length > 0, "others of the demo have called");
  same((await tab.$$(`${at("account-calls")} li`)).length, 0, "calls of others on the page");
  same(await hidden(tab, "top-up"), true, "nothing to top up");
  await dialNumber(tab);
  sipp = await Sipp.start({ address: TRUNK, scenario: answers() });
  await press(tab, "call");
  await shown(tab, "timer");
  voice.speak(rtpOf(await sipp.gets("INVITE")));
  await soon(() => hears(voice, 0, { name: "the page", tone: INSTANCES[where].tone }));
  // Firefox measures nothing where there is no sound device.
  const level = () => tab.$eval(at("meter-in"), (element) => Number(element.dataset.level));
  if (where === "chromium") await soon(async () => check((await level()) > 0.2, "the other side is heard"));
  const price = async () => /^\$(\d+\.\d+) so far, \$6\.00 a minute$/.exec(await text(tab, "price"))?.[1];
  const first = await soon(async () => (await price()) ?? check(false, `the price: ${await text(tab, "price")}`));
  await soon(async () => check((await price()) > first, "the price grows"));
  await press(tab, "keypad-toggle");
  await press(tab, "key-5");
  await soon(() => same(voice.digits.slice(-1), "5", "the digit that the phone got"));
  await shoot(tab, `paid-${where}-talking`);
  await press(tab, "hangup");
  await endsWith(tab, "HUNG_UP");
  const focused = () => [document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle];
  same(await tab.evaluate(focused), ["callee", "none"], "the focus after a click, and its ring");
  await sipp.done();
  const { amount } = (await operator.ask("GET", "/v1/account/history")).history.find(({ type }) => type === "CHARGE");
  await soon(async () => same(await text(tab, "balance"), dollars(100 - amount.amount), "the balance after it"));
  const row = await tab.$eval(`${at("account-calls")} li`, (element) => element.textContent);
  check(row.includes(NUMBER) && row.endsWith(dollars(amount.amount)), `the history on the page: ${row}`);
  await shoot(tab, `paid-${where}-ended`);

  await operator.balanceOf(0);
  await press(tab, "call");
  await endsWith(tab, "FAILURE");
  check((await text(tab, "cause")).includes("not enough credit"), `what the page says: ${await text(tab, "cause")}`);
  await shoot(tab, `paid-${where}-no-credit`);
  await refuseOnce(tab, "demo/credit", "Not now");
  await press(tab, "top-up");
  await shown(tab, "top-up-error");
  same(await text(tab, "top-up-error"), "Not topped up: Not now", "why it is not topped up");
  same([await hidden(tab, "account"), await text(tab, "balance")], [false, "$0.00"], "the card stays");
  await press(tab, "top-up");
  await soon(async () => same(await text(tab, "balance"), "$10.00", "the balance after topping up"));
  same([await operator.balance(), await hidden(tab, "top-up")], [10, true], "filled up");
  same(await hidden(tab, "top-up-error"), true, "the error is gone");
}

/** The next request for `path` is refused with these words. */
const refuseOnce = (tab, path, message) =>
  tab.evaluate(
    (path, message) => {
      const real = window.fetch;
      window.fetch = async (asked, options) => {
        if (asked !== path) return real(asked, options);
        window.fetch = real;
        return new Response(JSON.stringify({ message }), { status: 503 });
      };
    },
    path,
    message,
  );

/** Holds the first answer about the account back, until `release()`; `asked` has the tickets that the page shows. */
const HOLD = `{
  const real = window.fetch;
  window.asked = [];
  window.fetch = async (path, options) => {
    const answer = await real(path, options);
    if (path !== "demo/account") return answer;
    asked.push(atob(options.headers.Authorization.slice(5).split(":")[0]));
    if (asked.length === 1) await new Promise((resolve) => (window.release = resolve));
    return answer;
  };
}`;

async function lateAnswer(world) {
  const [alice, bob] = [world.name("Alice"), world.name("Bob")];
  const tab = await demoPage(world, "chromium", alice, { server: gateway, inject: BEFORE + HOLD });
  const tickets = (least) => soon(async () => check((await tab.evaluate("asked.length")) >= least, "the page has asked"));
  await tickets(1);
  await press(tab, "sign-out");
  await fill(tab, "user", bob);
  await press(tab, "sign-in");
  await tickets(2);
  await tab.evaluate("release()");
  await fill(tab, "callee", world.name("nobody"));
  await press(tab, "call");
  await tickets(3);
  const asked = await tab.evaluate("asked");
  same(
    asked.slice(0, 3).map((ticket) => [alice, bob].findIndex((user) => ticket.includes(JSON.stringify(user)))),
    [0, 1, 1],
    `whose tickets: ${asked}`,
  );
}

const hidden = (tab, id) => tab.$eval(at(id), (element) => element.hidden);
const dollars = (amount) => `$${amount.toFixed(2)}`;

async function dialNumber(tab) {
  await press(tab, "dial-toggle");
  await holdZero(tab);
  const field = () => tab.$eval(at("callee"), (element) => element.value);
  await soon(async () => same(await field(), "+", "a 0 that was held"));
  await pause(200);
  for (const key of NUMBER.slice(1)) await press(tab, `key-${key}`);
  same(await field(), NUMBER, "what the keys wrote");
}

async function fullDisk(world) {
  const full = await paying({ disk: "2m" });
  try {
    await runsOutOfDisk(world, full, new Operator(full));
  } finally {
    await full.stop();
  }
}

async function runsOutOfDisk(world, server, owner) {
  await owner.ask("PUT", "/v1/rates", { rates: [RATE] });
  await owner.balanceOf(100);
  const [alice, bob] = await Promise.all([user(world, { server }), user(world, { server })]);
  await established(alice);
  server.fillDisk();
  await bob.call(NUMBER, { method: "callPhoneNumber" });
  await bob.until(0, "onCallEnded");
  const { error } = await ended(bob, 0, "FAILURE");
  same([error.code, error.reason], [50300, "The gateway cannot use its database"], "why there is no new call");
  same((await owner.request("POST", "/v1/account/credit", { amount: 1, reference: "full" })).status, 503, "credit, on a full disk");
  same(server.log.match(/the books cannot be written/g)?.length, 1, `lines in the log: ${server.log}`);
  await hearEachOther(alice, voice);
  same(sipp.got("INVITE").length, 1, "what was dialled");
  await alice.hangup();
  await sipp.done();
  check((await owner.ask("GET", "/v1/account")).reserved.amount > 0, "the end cannot be on disk yet");
  check(server.alive, "the gateway lives");

  server.freeDisk();
  await soon(() => check(server.log.includes("nothing was lost"), `the log: ${server.log}`));
  const record = await owner.account(alice, 100);
  same(record.debit.amount, cents(record.duration * SECOND), "the price");
  check(server.command("credit", "check").includes("open calls 0"), "the books");
  await sipp.stop();
  sipp = await Sipp.start({ address: TRUNK, scenario: answers() });
  await bob.call(NUMBER, { method: "callPhoneNumber" });
  await bob.until(1, "onCallEstablished");
  await bob.hangup(1);
  await sipp.done();
}
