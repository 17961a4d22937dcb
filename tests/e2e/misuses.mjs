// What beginners do wrong, and what they are told: the table of docs/pages.md, with what does it.
import { execFileSync } from "node:child_process";
import { check, same } from "./lib/check.mjs";
import { Gateway } from "./lib/gateway.mjs";
import { freePort } from "./lib/ports.mjs";
import { Shelf, built } from "./lib/shelf.mjs";
import { skip } from "./lib/skip.mjs";
import { pause } from "./lib/world.mjs";

/** An address that is not the loopback: a page there is not secure without TLS. */
const PLAIN = "192.0.2.8";
/** A page of another server. */
const PAGE = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="/offhook.js"></script>';

/**
 * Each misuse, a part of what is said of it, and what does it: options of a sign-in, a call of a user who is signed in, or a function that gives
 * what was said.
 * @typedef {{ start?: object, call?: [method: string, to?: any], act?: (world: any, where: string) => Promise<string> }} How
 * @type {[misuse: string, told: string, how: How][]}
 */
const MISUSES = [
  ["a wrong key", 'does not know the application "nobody": check applicationKey', { start: { config: { applicationKey: "nobody" } } }],
  ["a ticket that is none", "The user ticket cannot be read", { start: { login: { userTicket: "nonsense" } } }],
  ["a ticket that somebody else has signed", "check the user name and password; or the secret that signs the ticket", { act: wrongTicket }],
  ["a page over plain http", "This page itself is not secure: browsers give the microphone to pages over https", { act: plainHttp }],
  ["a call of a page over plain http", "NotSupportedError: This page itself is not secure: browsers give", { act: plainHttpCall }],
  ["a gateway that is down", "Nothing answers at 127.0.0.1:", { act: gatewayDown }],
  ["a user who is not online", "The other side is not online", { act: offline }],
  ["a user who does not exist", "No such user", { call: ["callUser", "nobody-ever"] }],
  ["no microphone", "there is no microphone", { act: (world, where) => noSound(world, where, "without a microphone") }],
  [
    "a microphone that is denied",
    "the microphone, or the camera where the call has video, is not allowed; allow it",
    { act: (world, where) => noSound(world, where, "that refuses") },
  ],
  ["a call before start", "The client is not started: call `start` first", { act: callBeforeStart }],
  ["a call before start is done", "No such user", { act: callDuringStart }],
  ["callUser(undefined)", "The call names no user", { call: ["callUser"] }],
  ["callUser of a number", "No such user", { call: ["callUser", 42] }],
  ["callUser of an object", "Whom to call is said by a string", { call: ["callUser", { userId: "bob" }] }],
  ["callUser of an emoji", "No such user", { call: ["callUser", "\u{1F600}"] }],
  ["callUser of 5,000 characters", "A user id has at most 255 bytes, and this one has 5000", { call: ["callUser", "x".repeat(5_000)] }],
  ["two starts", "Sinch client already started", { act: twoStarts }],
  ["terminate in a call, and hangup after it", "The call has ended", { act: terminateInCall }],
];

export default function suite(test) {
  for (const where of ["chromium", "firefox"]) {
    for (const [misuse, told, how] of MISUSES) {
      test(`${where}: ${misuse}`, 40, async (world) => {
        const said = await saidOf(world, where, how);
        check(said.includes(told), `instead of "${told}" it is said: ${said}`);
        return said;
      });
    }
  }
}

/** What is said of one. */
async function saidOf(world, where, /** @type {How} */ { start, call, act }) {
  if (act) return act(world, where);
  if (start) return started(await world.page(where), { userId: world.name("beginner"), ...start });
  return called(await world.user(where, world.name("beginner")), ...call);
}

/** What the page is told of a sign-in. */
const started = async (user, options) => (await user.start(options)).error?.message ?? "nothing";

/** What the page is told of a call, which has to end with an error. */
const called = (user, method, to) =>
  user.run(
    (method, to) =>
      new Promise((resolve) => {
        const call = e2e.client.getCallClient()[method](to);
        call.addEventListener({ onCallEnded: () => resolve(call.error?.message ?? `nothing: ${call.getEndCause()}`) });
      }),
    method,
    to,
  );

async function wrongTicket(world, where) {
  const user = await world.page(where);
  const [ticket, other] = await user.run(
    (names) => Promise.all(names.map((name) => e2e.ticket(name))),
    ["ann", "ben"].map(world.name, world),
  );
  const userTicket = `${ticket.userTicket.split(":")[0]}:${other.userTicket.split(":")[1]}`;
  return started(user, { userId: "ann", login: { userTicket } });
}

async function plainHttp(world, where) {
  if (process.env.OFFHOOK_E2E_INSIDE !== "namespace") skip("an address beside the loopback needs root, unshare and ip");
  execFileSync("ip", ["address", "replace", `${PLAIN}/32`, "dev", "lo"]);
  const gateway = await world.gateway();
  return startedAt(world, where, { host: PLAIN, behind: gateway.address });
}

/** The same where the server takes the page: `start` works, and a call has no microphone. */
async function plainHttpCall(world, where) {
  if (process.env.OFFHOOK_E2E_INSIDE !== "namespace") skip("an address beside the loopback needs root, unshare and ip");
  execFileSync("ip", ["address", "replace", `${PLAIN}/32`, "dev", "lo"]);
  const gateway = await Gateway.start();
  const files = { "/index.html": PAGE, "/offhook.js": built("offhook.js") };
  const shelf = await Shelf.open(files, { host: PLAIN, behind: gateway.address });
  const tab = await (await world.browsers.get(where)).newPage();
  try {
    gateway.command("application", "add", "plain", "--origin", shelf.origin, "--allow-new-users");
    await gateway.crash(0); // as a new application counts from the next start
    await tab.goto(`${shelf.origin}/index.html`);
    return await tab.evaluate(async () => {
      const client = new SinchClient({ applicationKey: "plain", capabilities: { calling: true } });
      await client.start(await client.newUser({ username: "anna", password: "wonderland" }));
      const call = client.getCallClient().callUser("benno");
      return new Promise((resolve) => call.addEventListener({ onCallEnded: () => resolve(call.error?.message ?? call.getEndCause()) }));
    });
  } finally {
    await tab.close();
    await shelf.close();
    await gateway.stop();
  }
}

async function gatewayDown(world, where) {
  return startedAt(world, where, {}, `http://127.0.0.1:${await freePort()}`);
}

/** What is told of a sign-in by a page of a server of its own, which has no content security policy. */
async function startedAt(world, where, options, server) {
  const shelf = await Shelf.open({ "/index.html": PAGE, "/offhook.js": built("offhook.js") }, options);
  const tab = await (await world.browsers.get(where)).newPage();
  try {
    await tab.goto(`${shelf.origin}/index.html`);
    return await tab.evaluate((server) => {
      const client = new SinchClient({ applicationKey: "demo", capabilities: { calling: true }, server });
      return client.start({ username: "ann", password: "secret" }).then(
        () => "nothing",
        (error) => error.message,
      );
    }, server);
  } finally {
    await tab.close();
    await shelf.close();
  }
}

/** A call to somebody who is there, by a browser of which no sound can be had. */
async function noSound(world, where, browser) {
  const bob = await world.user(where, world.name("bob"));
  return called(await world.user(`${where} ${browser}`, world.name("beginner")), "callUser", bob.id);
}

async function offline(world, where) {
  const id = world.name("away");
  const away = await world.user(where, id);
  await away.run(() => e2e.client.terminate());
  await pause(200);
  return called(await world.user(where, world.name("beginner"), { config: { progressTimeout: 1_200 } }), "callUser", id);
}

async function callBeforeStart(world, where) {
  const user = await world.page(where);
  await user.run(() => (e2e.client = new SinchClient({ applicationKey: "demo", capabilities: { calling: true } })));
  return called(user, "callUser", "bob");
}

/** It waits: what it is told then comes from the server. */
async function callDuringStart(world, where) {
  const user = await world.page(where);
  return user.run(async (name) => {
    const login = await e2e.ticket(name);
    e2e.client = new SinchClient({ applicationKey: "demo", capabilities: { calling: true } });
    const started = e2e.client.start(login);
    const call = e2e.client.getCallClient().callUser("nobody-ever");
    const ended = new Promise((resolve) => call.addEventListener({ onCallEnded: () => resolve(call.error?.message) }));
    return started.then(() => ended);
  }, world.name("beginner"));
}

async function twoStarts(world, where) {
  const user = await world.user(where, world.name("beginner"));
  const said = await user.run(() => e2e.client.start({ username: "again", password: "secret" }).catch((error) => error.message));
  same(await user.run(() => e2e.client.connectionState), "connected", "the first start goes on");
  return said;
}

async function terminateInCall(world, where) {
  const [alice, bob] = await world.pair(where, where);
  await bob.run(() => (e2e.answerAtOnce = true));
  await alice.call(bob.id);
  await alice.until(0, "onCallEstablished");
  await alice.run(() => e2e.client.terminate());
  for (const user of [alice, bob]) await user.until(0, "onCallEnded");
  for (const user of [alice, bob]) same((await user.facts()).cause, "HUNG_UP", `the end at ${user.name}`);
  same(await alice.open(), { tracks: 0, peers: 0 }, "what stays open");
  return alice.run(() => e2e.caught(() => e2e.calls[0].call.hangup()).message);
}
