// The SDK on Kamailio 5.6 instead of the gateway, with the configuration of deploy/kamailio: every scenario, digest, keys and headers.
import { check, events, hears, inParallel, soon } from "./lib/check.mjs";
import { heardKeys } from "./lib/keys.mjs";
import { DOMAIN, Kamailio, installed, passwordOf } from "./lib/kamailio.mjs";
import { skip } from "./lib/skip.mjs";
import { SCENARIOS } from "./scenarios.mjs";

const PAIRS = [
  ["chromium", "firefox"],
  ["firefox", "chromium"],
];

/** Kamailio says at once that no device is online. */
const ONLY_GATEWAY = "a device that comes online in time rings";

/** So many scenarios run side by side, each in both directions: they mostly wait. */
const AT_ONCE = 3;

let kamailio = null;

export async function setUp() {
  if (installed()) kamailio = await Kamailio.start();
}

export const tearDown = () => kamailio?.stop();

export default function suite(test) {
  const on = (name, seconds, run) => test(name, seconds, (world) => (kamailio ? run(kamailio.behind(world)) : skip("Kamailio is not installed")));
  const names = Object.keys(SCENARIOS).filter((name) => name !== ONLY_GATEWAY);
  for (let i = 0; i < names.length; i += AT_ONCE) {
    const some = names.slice(i, i + AT_ONCE);
    on(some.join("; "), 60, (world) => atOnce(world, some));
  }
  on("keys, both ways", 60, (world) => inParallel(PAIRS.map(([from, to]) => keys(world, from, to))));
  on("a wrong password, an unknown name; a user who just closed the page", 30, (world) => inParallel(["chromium", "firefox"].flatMap((where) => [refused(world, where), nobody(world, where)])));
  on("digest with SHA-256", 20, sha256);
}

function atOnce(world, names) {
  return inParallel(names.flatMap((name) => PAIRS.map(async ([from, to]) => {
    try {
      await SCENARIOS[name](world, from, to);
    } catch (error) {
      error.message = `${name} (${from} calls ${to}): ${error.message}`;
      throw error;
    }
  })));
}

async function keys(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await bob.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  await Promise.all([soon(() => hears(alice, 0, bob)), soon(() => hears(bob, 0, alice))]);
  await heardKeys(alice, bob, "159*");
}

async function refused(world, where) {
  const user = await world.page(where);
  for (const login of [{ username: world.name("alice"), password: "wrong" }, { username: "nobody", password: "secret" }]) {
    const { error, ms } = await user.start({ login, config: { domain: DOMAIN } });
    check(error?.name === "SinchError", `start(${JSON.stringify(login)}) should be refused with a SinchError: ${JSON.stringify(error)}`);
    check(ms < 3_000, `refused after ${ms} ms`);
  }
}

async function nobody(world, where) {
  const alice = await world.user(where, world.name("alice"));
  const away = await world.user(where, world.name("bob"));
  await away.close();
  await alice.call(away.id);
  await alice.until(0, "onCallEnded");
  await events(alice, 0, ["onCallEnded(TIMEOUT)"]);
}

/** The page names the server itself, as most would: no origin between them. */
async function sha256(world) {
  const strict = await Kamailio.start({ sha256: true });
  try {
    const [alice, bob] = await strict.behind(world).pair("chromium", "firefox", { server: false, config: { server: strict.url } });
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
