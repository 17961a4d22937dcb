// The SDK on Kamailio 5.6 instead of the gateway, with the configuration of deploy/kamailio: digest, calls both ways, sound measured.
import { check, ended, events, hears, same, silent, soon } from "./lib/check.mjs";
import { heardKeys } from "./lib/keys.mjs";
import { Kamailio, installed } from "./lib/kamailio.mjs";
import { skip } from "./lib/skip.mjs";
import { pause } from "./lib/world.mjs";

const DOMAIN = "calls.test";
const USERS = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`user${i}`, `secret ${i}: "quoted"`]));
const PAIRS = [
  ["chromium", "firefox"],
  ["firefox", "chromium"],
];

let kamailio = null;
let serial = 0;

export async function setUp() {
  if (installed()) kamailio = await Kamailio.start({ domain: DOMAIN, users: USERS });
}

export const tearDown = () => kamailio?.stop();

export default function suite(test) {
  const on = (name, seconds, run) => test(name, seconds, (world) => (kamailio ? run(world) : skip("Kamailio is not installed")));
  for (const [from, to] of PAIRS) {
    on(`${from} calls ${to} with sound both ways`, 40, (world) => talk(world, from, to));
    on(`${from} is declined by ${to}`, 20, (world) => declined(world, from, to));
    on(`${from} cancels while ${to} rings`, 20, (world) => canceled(world, from, to));
  }
  for (const where of ["chromium", "firefox"]) {
    on(`${where}: a wrong password, an unknown name`, 20, (world) => refused(world, where));
    on(`${where}: a user with no device, a user who does not exist`, 20, (world) => nobody(world, where));
  }
  on("digest with SHA-256", 20, sha256);
}

async function talk(world, from, to) {
  const [alice, bob] = await pair(world, from, to);
  await alice.call(bob.id, { headers: { "x-color": "blue" } });
  await bob.until(0, "onIncomingCall");
  await alice.until(0, "onCallProgressing");
  const facts = await bob.facts(0);
  same([facts.remote, facts.headers["x-color"]], [alice.id, "blue"], "who calls, and the header");
  await silent(bob, 0);
  await bob.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  await Promise.all([soon(() => hears(alice, 0, bob)), soon(() => hears(bob, 0, alice))]);
  await heardKeys(alice, bob, "159*");
  await alice.hangup();
  await bob.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);

  // And back, over the same registrations.
  await bob.call(alice.id);
  await alice.until(1, "onIncomingCall");
  await alice.answer(1);
  await bob.until(1, "onCallEstablished");
  await Promise.all([soon(() => hears(alice, 1, bob)), soon(() => hears(bob, 1, alice))]);
  await alice.hangup(1);
  await bob.until(1, "onCallEnded");
  await ended(bob, 1, "HUNG_UP");
}

async function declined(world, from, to) {
  const [alice, bob] = await pair(world, from, to);
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await alice.until(0, "onCallProgressing");
  await bob.hangup();
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEnded(DENIED)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEnded(DENIED)"]);
}

async function canceled(world, from, to) {
  const [alice, bob] = await pair(world, from, to);
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await alice.until(0, "onCallProgressing");
  await alice.hangup();
  await Promise.all([alice.until(0, "onCallEnded"), bob.until(0, "onCallEnded")]);
  await events(alice, 0, ["onCallProgressing", "onCallEnded(CANCELED)"]);
  await events(bob, 0, ["onIncomingCall", "onCallEnded(CANCELED)"]);
}

async function refused(world, where) {
  const user = await page(world, where);
  for (const login of [{ username: "user0", password: "wrong" }, { username: "nobody", password: "secret" }]) {
    const { error, ms } = await user.start({ login, config: config(kamailio) });
    check(error?.name === "SinchError", `start(${JSON.stringify(login)}) should be refused with a SinchError: ${JSON.stringify(error)}`);
    check(ms < 3_000, `refused after ${ms} ms`);
  }
}

async function nobody(world, where) {
  const alice = await user(world, where, kamailio);
  const away = await user(world, where, kamailio);
  await away.close();
  await pause(300);
  await alice.call(away.id);
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallEnded(TIMEOUT)"]);
  await alice.call("nobody");
  await alice.until(1, "onCallEnded");
  await events(alice, 1, ["onCallEnded(FAILURE)"]);
  const { error } = await alice.facts(1);
  check(error?.isError && /404/.test(`${error.code} ${error.message}`), `the error of a call to nobody: ${JSON.stringify(error)}`);
}

async function sha256(world) {
  const strict = await Kamailio.start({ domain: DOMAIN, users: USERS, sha256: true });
  try {
    const [alice, bob] = [await user(world, "chromium", strict), await user(world, "firefox", strict)];
    await alice.call(bob.id);
    await bob.until(0, "onIncomingCall");
    await bob.answer();
    await alice.until(0, "onCallEstablished");
    await alice.hangup();
    await bob.until(0, "onCallEnded");
  } finally {
    await strict.stop();
  }
}

const config = ({ url, domain }) => ({ server: url, domain });
const page = (world, where) => world.page(where, { server: false });
const pair = (world, from, to) => Promise.all([user(world, from, kamailio), user(world, to, kamailio)]);

/** A page signed in with the next unused name of the user table. */
function user(world, where, server) {
  const name = `user${serial++}`;
  return world.user(where, name, { login: { username: name, password: USERS[name] }, config: config(server), server: false });
}
