// The SDK on Kamailio 5.6 instead of the gateway, with the configuration of deploy/kamailio: every scenario, digest, DTMF digits and headers.
import { bar } from "./lib/bar.mjs";
import { PAIRS, established, hearEachOther } from "./lib/calls.mjs";
import { check, events, inParallel, same } from "./lib/check.mjs";
import { heardDigits } from "./lib/dtmf.mjs";
import { DOMAIN, Kamailio, installed } from "./lib/kamailio.mjs";
import { skip } from "./lib/skip.mjs";
import { callerCloses, pageCloses } from "./network.mjs";
import { SCENARIOS, TIMED } from "./scenarios.mjs";

/** Kamailio has reason phrases of its own. */
const ONLY_GATEWAY = ["why the gateway does not connect it"];

/** So many scenarios run side by side, each in both directions: they mostly wait. */
const AT_ONCE = 3;

let kamailio = null;

export async function setUp() {
  if (installed()) kamailio = await Kamailio.start();
}

export const tearDown = () => kamailio?.stop();

export default function suite(test) {
  const on = (name, seconds, run, add = test) =>
    add(name, seconds, (world) => (kamailio ? run(kamailio.behind(world)) : skip("Kamailio is not installed")));
  const names = Object.keys(SCENARIOS).filter((name) => !ONLY_GATEWAY.includes(name));
  for (let i = 0; i < names.length; i += AT_ONCE) {
    const some = names.slice(i, i + AT_ONCE);
    on(some.join("; "), 60, (world) => atOnce(world, some), some.some((name) => TIMED.includes(name)) ? test.timed : test);
  }
  on("DTMF digits, both ways", 60, (world) => inParallel(PAIRS.map(([from, to]) => digits(world, from, to))));
  on(
    "a wrong password, an unknown name; a user who just closed the page",
    30,
    (world) => inParallel(["chromium", "firefox"].flatMap((where) => [refused(world, where), nobody(world, where)])),
    test.timed,
  );
  const ends = [pageCloses, callerCloses].flatMap((closes) =>
    [false, true].map(
      (mute) =>
        (...call) =>
          closes(...call, mute),
    ),
  );
  const closing = (world) => PAIRS.flatMap(([from, to]) => ends.map((closes) => closes(world, from, to)));
  on("closing the page ends the call, up or ringing", 70, (world) => inParallel(closing(world)));
  on("pages without a GRUU", 30, (world) => inParallel(PAIRS.map(([from, to]) => withoutGruu(world, from, to))));
  on("digest with SHA-256; a call that is refreshed", 60, strict);
}

function atOnce(world, names) {
  return inParallel(
    names.flatMap((name) =>
      PAIRS.map(async ([from, to]) => {
        try {
          await SCENARIOS[name](world, from, to);
        } catch (error) {
          error.message = `${name} (${from} calls ${to}): ${error.message}`;
          throw error;
        }
      }),
    ),
  );
}

async function digits(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  await hearEachOther(alice, bob);
  await heardDigits(alice, bob, "159*");
}

async function refused(world, where) {
  const user = await world.page(where);
  for (const login of [
    { username: world.name("alice"), password: "wrong" },
    { username: "nobody", password: "secret" },
  ]) {
    const { error, ms } = await user.start({ login, config: { domain: DOMAIN } });
    check(error?.name === "SinchError", `start(${JSON.stringify(login)}) should be refused with a SinchError: ${JSON.stringify(error)}`);
    bar(ms, 3_000, "refused");
  }
}

/** The caller waits for longer than the server, which ends the call. */
async function nobody(world, where) {
  const alice = await world.user(where, world.name("alice"), { config: { progressTimeout: 20_000 } });
  const away = await world.user(where, world.name("bob"));
  await away.close();
  const began = Date.now();
  await alice.call(away.id);
  await alice.until(0, "onCallEnded", 14_000);
  bar(Date.now() - began, 11_500, "ended by the server after its 10 s", 9_500);
  await events(alice, 0, ["onCallEnded(TIMEOUT)"]);
}

/** Each reaches the other over its connection, and sends BYE once. */
async function withoutGruu(world, from, to) {
  const [alice, bob] = await world.pair(from, to, { before: { withoutGruu: true } });
  for (const [i, who] of [alice, bob].entries()) {
    await alice.call(bob.id);
    await bob.until(i, "onIncomingCall");
    await bob.answer(i);
    await Promise.all([alice.until(i, "onCallEstablished"), bob.until(i, "onCallEstablished")]);
    await who.hangup(i);
    await Promise.all([alice.until(i, "onCallEnded"), bob.until(i, "onCallEnded")]);
  }
  const invite = await alice.run(() => window.seen.sip.find(({ out, text }) => out && text.startsWith("INVITE ")).text);
  check(/^Contact: <[^>]*;ob>/m.test(invite), `the Contact of a page without a GRUU (RFC 5626, 4.3): ${invite}`);
}

/** A server that wants SHA-256 and short sessions. */
async function strict(world) {
  const server = await Kamailio.start({ sha256: true, defines: { SESSION_EXPIRES: "90" } });
  try {
    await inParallel(PAIRS.map(([from, to]) => refreshed(server.behind(world), server, from, to)));
  } finally {
    await server.stop();
  }
}

/**
 * The pages name the server itself, as most would: no origin between them. Their clocks run fast, so the refresh that is due after 45 s
 * comes after 6, and the call would end after 8 without it.
 */
async function refreshed(world, server, from, to) {
  const speed = 8;
  const [alice, bob] = await world.pair(from, to, { server: false, before: { speed }, config: { server: server.url } });
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall", 8_000 * speed);
  await bob.answer();
  await alice.until(0, "onCallEstablished", 8_000 * speed);
  const twice = () =>
    window.seen.sip.filter(({ out, text }) => !out && /^SIP\/2.0 200/.test(text) && /^CSeq: \d+ UPDATE/m.test(text)).length >= 2;
  await alice.wait(twice, "two refreshes", 20_000);
  same((await bob.facts()).state, "ESTABLISHED", "a call that is refreshed");
  await alice.hangup();
  await bob.until(0, "onCallEnded", 8_000 * speed);
}
