// Every way to sign in at the gateway, and streams that are sent instead of the microphone.
import { createHmac, randomUUID } from "node:crypto";
import { check, same } from "./lib/check.mjs";
import { Gateway } from "./lib/gateway.mjs";

let gateway = null;

export async function setUp() {
  gateway = await Gateway.start({ application: "shop" });
}

export const tearDown = () => gateway?.stop();

export default function suite(test) {
  for (const where of ["chromium", "firefox"]) {
    test(`${where}: a JWT, and a bad one`, 20, (world) => jwt(world, where));
    test(`${where}: a ticket that the page signs itself`, 20, (world) => ownTicket(world, where));
    test(`${where}: a new user, the password, and the session later`, 20, (world) => newUser(world, where));
    test(`${where}: a session of a ticket`, 20, (world) => ticketSession(world, where));
    test(`${where}: what is logged lets nobody in`, 20, (world) => logs(world, where));
    test(`${where}: a stream of the page instead of the microphone`, 40, (world) => customStream(world, where));
    test(`${where}: two clients in one page`, 40, (world) => twoClients(world, where));
  }
}

const shop = () => ({ config: { applicationKey: gateway.key }, server: gateway });

async function jwt(world, where) {
  const name = world.name("jane");
  const user = await world.user(where, name, { ...shop(), login: { token: token(name) } });
  same(await user.run(() => e2e.client.getSession().userId), name, "who is signed in");
  for (const wrong of [token(name, { secret: gateway.secrets.ticket }), token(name, { age: 10_000 }), token(name, { algorithm: "none" })]) {
    const page = await world.page(where, shop());
    const { error } = await page.start({ userId: name, login: { token: wrong }, config: shop().config });
    check(error?.name === "SinchError" && error.domain === 3 && error.code === 4000, `a bad token: ${JSON.stringify(error)}`);
  }
}

async function ownTicket(world, where) {
  const name = world.name("owen");
  const config = { applicationKey: gateway.key, applicationSecret: gateway.secrets.ticket };
  const user = await world.user(where, name, { config, server: gateway, login: { username: name } });
  same(await user.run(() => e2e.client.user.userId), name, "who is signed in");
}

async function newUser(world, where) {
  const login = { username: world.name("nora"), password: 'päss: "word"' };
  const page = await world.page(where);
  const made = await page.run(async (login) => {
    const client = new SinchClient({ applicationKey: "demo", capabilities: { calling: true } });
    const ticket = await client.newUser(login);
    await client.start(ticket);
    const again = new SinchClient({ applicationKey: "demo", capabilities: { calling: true } });
    await again.start(await again.newUser(login));
    const taken = await client.newUser({ ...login, password: "another" }).catch((error) => error.message);
    return { user: client.getSession().userId, again: again.user.userId, taken };
  }, login);
  same(made.user, login.username, "the new user");
  same(made.again, login.username, "the same user with the same password");
  check(made.taken.startsWith("40900"), `the name is taken: ${made.taken}`);
  const user = await world.user(where, login.username, { login });
  const session = await user.run(() => e2e.client.getSession());
  check(!JSON.stringify(session).includes("word"), "the password is not in the session");
  const later = await world.user(where, login.username, { login: session });
  same(await later.run(() => e2e.client.getSession().userId), login.username, "who is signed in later");
  const other = await world.page(where);
  const { error } = await other.start({ userId: login.username, login: { ...login, password: "wrong" } });
  check(error?.message.startsWith("40108"), `a wrong password: ${JSON.stringify(error)}`);
}

async function ticketSession(world, where) {
  const name = world.name("tess");
  const user = await world.user(where, name);
  const session = await user.run(() => e2e.client.getSession());
  const later = await world.user(where, name, { login: session });
  same(await later.run(() => e2e.client.getSession().userId), name, "who is signed in later");
  const page = await world.page(where);
  const { error } = await page.start({ userId: name, login: { ...session, sessionSecret: "x" } });
  check(error?.domain === 3, `a bad session: ${JSON.stringify(error)}`);
}

async function logs(world, where) {
  const page = await world.page(where);
  const seen = await page.run(async (name) => {
    const { userTicket } = await e2e.ticket(name);
    const lines = [];
    const note = (message) => lines.push(typeof message === "string" ? message : JSON.stringify(message));
    const client = new SinchClient({ applicationKey: "demo", capabilities: { calling: true }, onLogMessage: note, onLogMxpMessage: note });
    await client.start({ userTicket });
    const text = lines.join("\n");
    return { asked: text.includes("Authorization: [redacted]"), answered: text.includes("200 OK"), ticket: text.includes(userTicket) };
  }, world.name("lois"));
  same(seen, { asked: true, answered: true, ticket: false }, "what the log has");
}

async function customStream(world, where) {
  const [alice, bob] = await world.pair(where, where === "chromium" ? "firefox" : "chromium");
  await alice.run((to) => {
    const context = new AudioContext();
    const out = context.createMediaStreamDestination();
    const tone = new OscillatorNode(context, { frequency: 440 });
    tone.connect(out);
    tone.start();
    window.custom = out.stream;
    window.outgoing = e2e.client.getCallClient().callUser(to, undefined, out.stream);
  }, bob.id);
  await bob.until(0, "onIncomingCall");
  await bob.answer();
  await alice.wait(() => window.outgoing.getState() === "ESTABLISHED", "the answer");
  same(await alice.run(() => window.outgoing.outgoingStream.getAudioTracks().length), 1, "tracks that the call sends");
  same(await alice.open().then(({ tracks }) => tracks), 0, "microphones that were opened");
  await alice.run(() => window.outgoing.hangup());
  await bob.until(0, "onCallEnded");
  same(await alice.run(() => window.custom.getAudioTracks()[0].readyState), "live", "the page's own stream is the page's own");
}

async function twoClients(world, where) {
  const page = await world.page(where);
  const names = [world.name("left"), world.name("right")];
  const ends = await page.run(async (names) => {
    const ends = [];
    const clients = await Promise.all(
      names.map(async (name) => {
        const options = { applicationKey: "demo", capabilities: { calling: true }, startActiveConnection: true };
        const client = new SinchClient(options);
        await client.start(await e2e.ticket(name));
        return client;
      }),
    );
    /** @type {Promise<void>} */
    const over = new Promise((resolve) => {
      const note = (side) => ({
        onCallEstablished: (call) => side === "left" && setTimeout(() => call.hangup(), 300),
        onCallEnded: (call) => ends.push(`${side} ${call.getEndCause()}`) === 2 && resolve(),
      });
      clients[1].getCallClient().addEventListener({
        onIncomingCall: (call) => {
          call.addEventListener(note("right"));
          call.answer();
        },
      });
      clients[0].callUser(names[1]).addEventListener(note("left"));
    });
    await over;
    clients.forEach((client) => client.terminate());
    return ends.sort();
  }, names);
  same(ends, ["left HUNG_UP", "right HUNG_UP"], "how both ended");
}

/** A registration JWT (see the gateway's documentation), signed as a back end does it. */
function token(user, { secret = gateway.secrets.jwt, age = 0, algorithm = "HS256" } = {}) {
  const now = Math.floor(Date.now() / 1000) - age;
  const day = new Date().toISOString().slice(0, 10).replaceAll("-", "");
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const base = `//rtc.sinch.com/applications/${gateway.key}`;
  const claims = { iss: base, sub: `${base}/users/${user}`, iat: now, exp: now + 600, nonce: randomUUID() };
  const signed = `${part({ alg: algorithm, kid: `hkdfv1-${day}` })}.${part(claims)}`;
  const key = createHmac("sha256", Buffer.from(secret, "base64")).update(day).digest();
  return `${signed}.${algorithm === "none" ? "" : createHmac("sha256", key).update(signed).digest("base64url")}`;
}
