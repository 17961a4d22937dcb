// JsSIP and SIP.js with the gateway, as they come: in calls with the SDK, and each with itself.
import { readFileSync } from "node:fs";
import { bundleText } from "./lib/bundle.mjs";
import { hearEachOther } from "./lib/calls.mjs";
import { check, events, same, silent, soon } from "./lib/check.mjs";
import { heardDigits } from "./lib/dtmf.mjs";
import { pause } from "./lib/world.mjs";

const DOMAIN = "localhost";
const PASSWORD = "a secret";
const DOCUMENT = readFileSync(new URL("../../docs/sip-clients.md", import.meta.url), "utf8");

/** What differs between the libraries. */
const LIBRARIES = {
  JsSIP: {
    file: "jssip.html",
    callAs: (name) => ({ fromUserName: name }),
    loginOf: (name) => ({ authorization_user: name }),
    ask: askWithOptions,
    keepsCalls: true,
  },
  "SIP.js": {
    file: "sipjs.html",
    callAs: (name) => ({ params: { fromUri: `sip:${name}@${DOMAIN}` } }),
    loginOf: (name) => ({ agent: { authorizationUsername: name, authorizationPassword: PASSWORD } }),
    // Without it, it has no instance id and no GRUU.
    registration: {
      manager: { registererOptions: { regId: 1 }, registrationRetryInterval: 1, optionsPingInterval: 1 },
      transport: { keepAliveInterval: 1 },
    },
    ask: keepsAlive,
    keepsCalls: false,
  },
};

export default function suite(test) {
  for (const library of Object.keys(LIBRARIES)) {
    const on = (name, run, ...pair) => test(`${library} ${name}`, 40, (world) => run(world, library, ...pair));
    on("in chromium and the SDK in firefox talk, send DTMF digits, and hold", talk, "chromium", "firefox");
    on("in firefox and the SDK in chromium talk, and decline", talkShortly, "firefox", "chromium");
    on("in chromium calls itself in firefox", itself, "chromium", "firefox");
    on("takes a call back, is declined, and calls as nobody else", refusals, "firefox", "chromium");
    on("signs in with its own name and password, by the lines of docs/sip-clients.md", signsIn, "firefox");
    on("is alive, comes back, and leaves", comesAndGoes, "chromium", "firefox");
  }
  for (const library of Object.keys(LIBRARIES)) {
    test(`${library} in firefox answers beside a device with the SDK, called from chromium`, 40, (world) =>
      beside(world, library, "firefox", "chromium"),
    );
  }
  for (const method of ["UPDATE", "INVITE"]) test(`JsSIP keeps the session alive with ${method}`, 40, (world) => refresh(world, method));
}

async function talk(world, library, where, other) {
  const [peer, user] = await Promise.all([signedIn(world, library, where), world.user(other, world.name("user"))]);
  await user.call(peer.id);
  await answered(user, peer, 0);
  await hearEachOther(peer, user, 0);
  await heardDigits(user, peer, "15");
  await heardDigits(peer, user, "4#");
  await info(peer, "7");
  await hold(peer, user);
  await hangUp(peer, user, 0);
  await events(user, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  await events(peer, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);

  await peer.call(user.id);
  await answered(peer, user, 1);
  await hearEachOther(peer, user, 1);
  await hangUp(user, peer, 1);
  await events(peer, 1, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  await events(user, 1, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
}

/** A DTMF digit by INFO, which these libraries send unless configured otherwise: the SDK answers it with 200. */
async function info(peer, key) {
  await peer.run((k) => void e2e.calls[0].call.sendInfo(k), key);
  await soon(async () => check((await extra(peer)).includes(`key taken(${key})`), `the key is taken: ${await extra(peer)}`));
}

/** Hold, twice: with sendonly in a re-INVITE; then in the library's other way, by UPDATE (JsSIP) or with inactive (SIP.js). */
async function hold(peer, user) {
  for (const how of ["hold", "holdOtherwise"]) {
    await peer.run((f) => void e2e.calls[0].call[f](), how);
    await Promise.all([soon(() => silent(user, 0)), soon(() => silent(peer, 0))]);
    await peer.run(() => void e2e.calls[0].call.unhold());
    await hearEachOther(peer, user, 0);
  }
  const offers = await sent(peer, /^(INVITE|UPDATE) [^]*a=(sendonly|inactive)/);
  same(offers.length, 2, "offers that hold");
  check(/^UPDATE |a=inactive/.test(offers[1]), `the second is another one: ${offers[1]}`);
}

async function talkShortly(world, library, where, other) {
  const [peer, user] = await Promise.all([signedIn(world, library, where), world.user(other, world.name("user"))]);
  await peer.call(user.id);
  await answered(peer, user, 0);
  await hearEachOther(peer, user, 0);
  await hangUp(peer, user, 0);
  await user.call(peer.id);
  await answered(user, peer, 1);
  await hearEachOther(peer, user, 1);
  await hangUp(user, peer, 1);
  for (const [i, code, cause] of [
    [2, 603, "DENIED"],
    [3, undefined, "NO_ANSWER"],
  ]) {
    await user.call(peer.id);
    await Promise.all([peer.until(i, "onIncomingCall"), user.until(i, "onCallProgressing")]);
    await peer.run((i, code) => void e2e.calls[i].call.hangup(code), i, code);
    await Promise.all([peer.until(i, "onCallEnded"), user.until(i, "onCallEnded")]);
    await events(user, i, ["onCallProgressing", `onCallEnded(${cause})`]);
    await events(peer, i, ["onIncomingCall", "onCallEnded(Rejected)"]);
  }
}

async function itself(world, library, from, to) {
  const callee = library === "JsSIP" ? withTicket(world, to) : signedIn(world, library, to);
  const [one, other] = await Promise.all([signedIn(world, library, from), callee]);
  await one.call(other.id);
  await answered(one, other, 0);
  await hearEachOther(one, other, 0);
  await hangUp(other, one, 0);
}

/** JsSIP with what a back end gives out in place of a password. */
async function withTicket(world, where) {
  const peer = await world.page(where, { page: "jssip.html" });
  peer.id = world.name("peer");
  const { userTicket } = await peer.run((name) => e2e.ticket(name), peer.id);
  same(await signIn(peer, { password: null, authorization_jwt: `Bearer ${userTicket}` }), {}, "a ticket lets in");
  return peer;
}

/**
 * Two devices of one user ring. The one with the SDK has taken the caller's peer connection with its early answer, the other one answers:
 * it gets an offer from another peer connection.
 */
async function beside(world, library, where, from) {
  const peer = await signedIn(world, library, where);
  const login = { username: peer.id, password: PASSWORD };
  const [user, device] = await Promise.all([world.user(from, world.name("user")), world.user(where, peer.id, { login })]);
  same((await sent(device, /^REGISTER [^]*algorithm=SHA-256,/)).length > 0, true, "the SDK shows the password with SHA-256");
  await user.call(peer.id);
  await Promise.all([device.until(0, "onIncomingCall"), peer.until(0, "onIncomingCall")]);
  await soon(async () => check((await sent(user, /^PRACK /)).length > 0, "the early answer is taken"));
  await peer.answer();
  await Promise.all([user.until(0, "onCallEstablished"), peer.until(0, "onCallEstablished"), device.until(0, "onCallEnded")]);
  await events(device, 0, ["onIncomingCall", "onCallEnded(OTHER_DEVICE_ANSWERED)"]);
  await hearEachOther(peer, user, 0);
  await hangUp(user, peer, 0);
}

async function refusals(world, library, where, other) {
  // It has not registered: each of its calls is authenticated by digest.
  const [peer, user] = await Promise.all([signedIn(world, library, where, { register: false }), world.user(other, world.name("user"))]);
  await peer.run((to, options) => e2e.call(null, to, options), user.id, LIBRARIES[library].callAs(world.name("mallory")));
  await peer.until(0, "onCallEnded");
  await events(peer, 0, ["onCallEnded(403)"]);

  await peer.call(user.id);
  await Promise.all([user.until(0, "onIncomingCall"), peer.until(1, "onCallProgressing")]);
  await hangUp(peer, user, 1, 0);
  await events(user, 0, ["onIncomingCall", "onCallEnded(CANCELED)"]);
  await events(peer, 1, ["onCallProgressing", "onCallEnded(CANCELED)"]);

  await peer.call(user.id);
  await Promise.all([user.until(1, "onIncomingCall"), peer.until(2, "onCallProgressing")]);
  await hangUp(user, peer, 1, 2);
  await events(peer, 2, ["onCallProgressing", "onCallEnded(603)"]);
}

async function signsIn(world, library, where) {
  const peer = await page(world, library, where);
  const wrong = await signIn(peer, { password: "wrong" });
  same(wrong.error?.code, 401, "what a wrong password gets");
  const foreign = await signIn(peer, { username: world.name("mallory"), ...LIBRARIES[library].loginOf(peer.id) });
  same(foreign.error?.code, 403, "what the right one gets for the name of another");
  const blocks = DOCUMENT.split("```js\n").map((block) => block.split("```")[0]);
  const lines = blocks.find((block) => block.includes(`from "${library.toLowerCase()}"`));
  const { host } = new URL(peer.site.origin);
  await peer.tab.evaluate(await bundleText(lines.replaceAll("localhost:8080", host).replaceAll("alice", peer.id)));
  await soon(async () => check((await got(peer, REGISTERED)).length > 0, "the lines of docs/sip-clients.md register"));
}

async function comesAndGoes(world, library, where, other) {
  const { registration, ask, keepsCalls } = LIBRARIES[library];
  const [peer, user] = await Promise.all([signedIn(world, library, where, registration), world.user(other, world.name("user"))]);
  await peer.call(user.id);
  await answered(peer, user, 0);
  const gruu = /^INVITE [^]*\r\nContact: <sip:[^>]*;gr=urn:uuid:[^>]*>/;
  same((await sent(peer, gruu)).length, 1, "an INVITE whose Contact is a GRUU");
  await ask(peer);
  // SIP.js gives its calls up when it loses the connection; JsSIP keeps them, and the BYE has to find it where it is then.
  if (!keepsCalls) await hangUp(user, peer, 0);
  await cutAndBack(peer);
  if (keepsCalls) await hangUp(user, peer, 0);
  await user.call(peer.id);
  await peer.until(1, "onIncomingCall");
  await hangUp(user, peer, 1);
  await events(peer, 1, ["onIncomingCall", "onCallEnded(CANCELED)"]);
  await leaves(peer, user);
}

/** Keep-alive: by OPTIONS and by CRLF, of its own accord. */
async function keepsAlive(peer) {
  const OPTIONS = /^SIP\/2.0 200 [^]*\r\nCSeq: \d+ OPTIONS/i;
  await soon(async () => {
    const seen = [await sent(peer, /^OPTIONS /), await got(peer, OPTIONS), await sent(peer, /^\r\n\r\n$/), await got(peer, /^\r\n$/)];
    check(
      seen.every((list) => list.length > 0),
      `OPTIONS, their answers, pings, pongs: ${seen.map((list) => list.length)}`,
    );
  });
}

/** When the page wants it. */
async function askWithOptions(peer) {
  const code = await peer.run((domain) => {
    const told = (resolve) => ({ succeeded: () => resolve(200), failed: ({ response, cause }) => resolve(response?.status_code ?? cause) });
    return new Promise((resolve) => e2e.client.sendOptions(`sip:${domain}`, null, { eventHandlers: told(resolve) }));
  }, DOMAIN);
  same(code, 200, "the answer to OPTIONS");
}

async function cutAndBack(peer) {
  await peer.run(() => e2e.hurry(2_000)); // after which JsSIP connects again
  const before = (await got(peer, REGISTERED)).length;
  peer.site.cut();
  await soon(async () => check((await got(peer, REGISTERED)).length > before, "it registers again"));
}

async function leaves(peer, user) {
  await peer.run(() => void e2e.unregister());
  await soon(async () => check(!/\r\nContact: /.test((await got(peer, REGISTERED)).at(-1)), "no contact is left"));
  const calls = await peer.run(() => e2e.calls.length);
  await user.call(peer.id);
  await pause(500);
  await user.hangup(2);
  await user.until(2, "onCallEnded");
  same(await peer.run(() => e2e.calls.length), calls, "calls at a page that has left");
}

/** JsSIP refreshes what it asked for, 90 s, and what the SDK asked for, 1800 s, after half of the time. */
async function refresh(world, method) {
  const [where, other] = method === "UPDATE" ? ["chromium", "firefox"] : ["firefox", "chromium"];
  const config = { session_timers_refresh_method: method };
  const [peer, user] = await Promise.all([signedIn(world, "JsSIP", where, config), world.user(other, world.name("user"))]);
  for (const [i, [from, to, seconds]] of [
    [peer, user, 90],
    [user, peer, 1800],
  ].entries()) {
    await peer.run((ms) => e2e.hurry(ms), seconds * 500);
    await from.call(to.id);
    await answered(from, to, i);
    const value = `Session-Expires: ${seconds};refresher=uac\r\n`;
    const asked = new RegExp(`^${method} [^]*To: [^\r]*;tag=[^]*${value}`);
    const granted = new RegExp(`^SIP/2.0 200 [^]*CSeq: \\d+ ${method}\r\n[^]*${value}`, "i");
    await soon(async () => check((await sent(peer, asked)).length > 2 && (await got(peer, granted)).length > 2, `refreshes by ${method}`));
    if (i === 0) await hearEachOther(peer, user, i);
    await hangUp(to, from, i);
    await events(from, i, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  }
}

/** `to` is called and answers. */
async function answered(from, to, i) {
  await Promise.all([to.until(i, "onIncomingCall"), from.until(i, "onCallProgressing")]);
  await to.answer(i);
  await Promise.all([from.until(i, "onCallEstablished"), to.until(i, "onCallEstablished")]);
}

async function hangUp(one, other, i, j = i) {
  await one.hangup(i);
  await Promise.all([one.until(i, "onCallEnded"), other.until(j, "onCallEnded")]);
}

const REGISTERED = /^SIP\/2.0 200 [^]*\r\nCSeq: \d+ REGISTER/i;

/** The messages that a page has sent, or got, which look like `pattern`. */
const sent = (peer, pattern) => messages(peer, true, pattern);
const got = (peer, pattern) => messages(peer, false, pattern);
const messages = async (peer, out, pattern) =>
  (await peer.run((out) => seen.sip.filter((message) => message.out === out).map(({ text }) => text), out)).filter((text) =>
    pattern.test(text),
  );

const extra = (peer) => peer.run(() => e2e.extra(0));

/** A page of the library with nobody signed in, whose user has a password at the gateway. */
async function page(world, library, where) {
  const user = await world.page(where, { page: LIBRARIES[library].file });
  user.id = world.name("peer");
  const gateway = await world.gateway();
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ username: user.id, password: PASSWORD });
  const made = await fetch(`http://${gateway.address}/users?key=demo`, { method: "POST", headers, body });
  check(made.ok, `a user with a password is made: ${made.status} ${await made.text()}`);
  return user;
}

function signIn(
  user,
  /** @type {{ password?: string | null, username?: string, [option: string]: unknown }} */ {
    password = PASSWORD,
    username = user.id,
    ...config
  } = {},
) {
  const url = `${user.site.origin.replace("http", "ws")}/sip?key=demo`;
  return user.start({ login: { username, password }, config: { url, domain: DOMAIN, ...config } });
}

async function signedIn(world, library, where, config) {
  const user = await page(world, library, where);
  same(await signIn(user, config), {}, `${library} signs in`);
  return user;
}
