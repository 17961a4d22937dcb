// Trunks that are located by DNS (RFC 3263): SRV with priorities and weights, servers that are dead, names that change, names that do not
// exist.
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import { bar } from "./lib/bar.mjs";
import { check, ended, same, soon } from "./lib/check.mjs";
import { Dns, server } from "./lib/dns.mjs";
import { field } from "./lib/sipp.mjs";
import { skip } from "./lib/skip.mjs";
import { gatewayWith } from "./lib/trunks.mjs";

const [DEAD, ALIVE, OTHER] = ["127.0.0.61", "127.0.0.62", "127.0.0.63"];
/** Of most the first server does not respond; where its port is 5099, it is closed. */
const NAMES = [
  ...server("_sip._udp.pair.test", { priority: 20, ip: ALIVE, port: 5070 }),
  ...server("_sip._udp.pair.test", { priority: 10, ip: DEAD, port: 5060 }),
  ...server("_sip._udp.shut.test", { priority: 10, ip: DEAD, port: 5099 }),
  ...server("_sip._udp.shut.test", { priority: 20, ip: ALIVE, port: 5070 }),
  ...server("_sip._tcp.stream.test", { priority: 10, ip: DEAD, port: 5099 }),
  ...server("_sip._tcp.stream.test", { priority: 20, ip: ALIVE, port: 5070 }),
  ...server("_sip._udp.heavy.test", { weight: 0, ip: DEAD, port: 5060 }),
  ...server("_sip._udp.heavy.test", { weight: 65_535, ip: ALIVE, port: 5070 }),
  // Its first server has no address.
  "srv-host=_sip._udp.half.test,x.mute.test,5060,10,10",
  ...server("_sip._udp.half.test", { priority: 20, ip: ALIVE, port: 5070 }),
  `host-record=plain.test,${OTHER}`,
  "host-record=six.test,::1",
];
const moved = (ip, port) => [...NAMES, ...server("_sip._udp.moved.test", { ip, port })];
/** Each trunk has its name as address and as domain. */
const TRUNKS = ["pair", "shut", "heavy", "half", "plain", "moved", "nowhere", "mute"].map((name) => [
  name,
  { address: name === "mute" ? "a.mute.test" : `${name}.test`, domains: [`${name}.test`] },
]);
const MORE = {
  stream: { address: "stream.test", transport: "tcp", domains: ["stream.test"] },
  lost: { address: "lost.test", domains: ["lost.test"] },
  dumb: { address: "b.mute.test", domains: ["dumb.test"] },
  next: { address: `${OTHER}:5060`, domains: ["nowhere.test", "mute.test"], priority: 1 },
};

let dns = null;
let gateway = null;
let desks = [];

export async function setUp() {
  dns = await Dns.start(moved(ALIVE, 5070));
  gateway = await gatewayWith({ ...Object.fromEntries(TRUNKS), ...MORE }, { trunks: { nameservers: [dns.address] } });
  desks = await Promise.all([Desk.open(ALIVE, 5070), Desk.open(OTHER, 5060), Desk.open(DEAD, 5060, { mute: true })]);
}

export async function tearDown() {
  for (const desk of desks) desk.close();
  await gateway?.stop();
  await dns?.stop();
}

export default function suite(test) {
  test.timed("SRV: in order, by weight, past a server that is dead", 30, bySrv);
  test("no SRV, and a name that changes", 30, changes);
  test.timed("a name that does not exist and a DNS server that is silent: the next way, or 503", 30, unknown);
  test("AAAA", 20, six);
}

/** A SIP server that answers 486 to every call, over UDP and TCP; `mute`: that does not even respond. */
class Desk {
  static async open(ip, port, { mute = false } = {}) {
    const desk = new Desk();
    const socket = dgram.createSocket(net.isIPv6(ip) ? "udp6" : "udp4");
    socket.bind(port, ip);
    await once(socket, "listening");
    socket.on("message", (text, from) => desk.#hears(`${text}`, (answer) => mute || socket.send(answer, from.port, from.address)));
    desk.#closers.push(() => socket.close());
    if (mute) return desk;
    const listener = net.createServer((stream) => {
      stream.on("data", (text) => desk.#hears(`${text}`, (answer) => stream.write(answer)));
      stream.on("error", () => {});
      desk.#closers.push(() => stream.destroy());
    });
    listener.listen(port, ip);
    await once(listener, "listening");
    desk.#closers.push(() => listener.close());
    return desk;
  }

  #closers = [];
  #invites = [];

  #hears(text, say) {
    if (!text.startsWith("INVITE ")) return;
    this.#invites.push({ at: Date.now(), text });
    const same = ["Via", "From", "To", "Call-ID", "CSeq"].map(
      (name) => `${name}: ${field(text, name).trim()}${name === "To" ? ";tag=desk" : ""}\r\n`,
    );
    say(`SIP/2.0 486 Busy Here\r\n${same.join("")}Content-Length: 0\r\n\r\n`);
  }

  /** When it first got a request for `domain`, ms since 1970; null: never. */
  asked(domain) {
    return this.#invites.find(({ text }) => text.split("\r\n")[0].includes(`@${domain} `))?.at ?? null;
  }

  forget() {
    this.#invites = [];
  }

  close() {
    for (const close of this.#closers) close();
  }
}

const user = (world, server = gateway) => world.user("chromium", world.name("alice"), { server });

/** Calls a user at each of these domains at once; returns the number of each call and the ms until it ended. */
async function callAll(alice, domains) {
  for (const desk of desks) desk.forget();
  const began = Date.now();
  return Promise.all(
    domains.map(async (domain) => {
      const i = await alice.call(`sip:desk@${domain}`, { method: "callSip" });
      await alice.until(i, "onCallEnded", 12_000);
      return { took: Date.now() - began, i };
    }),
  );
}

async function bySrv(world) {
  const domains = ["pair.test", "shut.test", "stream.test", "heavy.test", "half.test"];
  const alice = await user(world);
  const calls = await callAll(alice, domains);
  for (const { i } of calls) same((await ended(alice, i, "DENIED")).error.code, 486, "the code");
  const [alive, , dead] = desks;
  const silent = alive.asked("pair.test") - dead.asked("pair.test");
  bar(silent, 4_300, "the next server after silence", 3_000);
  const [, shut, stream, heavy, half] = calls.map(({ took }) => took);
  bar(shut, 5_000, "the next server after a closed port");
  bar(stream, 1_500, "the next server after a refused connection");
  same(dead.asked("heavy.test"), null, "when the server of no weight was asked");
  bar(heavy, 1_500, "the server of all weight");
  bar(half, 4_000, "past a server whose address nobody knows");
  // A server that was silent is no longer tried first.
  const [again] = await callAll(alice, ["pair.test"]);
  bar(again.took, 1_500, "once more");
  same(dead.asked("pair.test"), null, "when the one that was silent was asked again");
  return `silence ${silent} ms, refused ${stream} ms`;
}

async function changes(world) {
  const [alive, other] = desks;
  const alice = await user(world);
  await callAll(alice, ["plain.test", "moved.test"]);
  check(other.asked("plain.test") && alive.asked("moved.test"), "an address without SRV, and the first of a name that will change");
  await dns.change(moved(OTHER, 5060));
  const began = Date.now();
  await soon(async () => {
    await callAll(alice, ["moved.test"]);
    check(other.asked("moved.test") && !alive.asked("moved.test"), "the name has changed, and the old address is called");
  }, 12_000);
  return `noticed after ${Date.now() - began} ms`;
}

async function unknown(world) {
  const alice = await user(world);
  const calls = await callAll(alice, ["nowhere.test", "mute.test", "lost.test", "dumb.test"]);
  for (const { i } of calls.slice(0, 2)) same((await ended(alice, i, "DENIED")).error.code, 486, "the code of the next way");
  for (const { i } of calls.slice(2)) same((await ended(alice, i, "FAILURE")).error.code, 50300, "the code where there is none");
  const took = calls.map((call) => call.took);
  bar(Math.max(took[0], took[2]), 1_500, "a name that does not exist");
  bar(Math.max(took[1], took[3]), 5_000, "a DNS server that is silent");
  for (const trunk of ["lost", "dumb"])
    check(new RegExp(`WARN.*cannot be looked up.*trunk="?${trunk}`).test(gateway.log), `what the log says of ${trunk}:\n${gateway.log}`);
  return `${took} ms`;
}

async function six(world) {
  const desk = await Desk.open("::1", 5060).catch(() => skip("there is no IPv6"));
  const own = await gatewayWith(
    { six: { address: "six.test", domains: ["six.test"] } },
    { trunks: { bind: "::1", nameservers: [dns.address] } },
  );
  try {
    const alice = await user(world, own);
    const [{ i }] = await callAll(alice, ["six.test"]);
    same((await ended(alice, i, "DENIED")).error.code, 486, "the code");
    check(desk.asked("six.test"), "it was asked at its address of IPv6");
  } finally {
    desk.close();
    await own.stop();
  }
}
