// Untrusted sources: they send SIP and RTP to every port, scan and guess, and get not one octet back. (On the loopback nobody can
// send from a trunk's own address and port but the trunk: source addresses cannot be forged there.)
import { execFile } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import { promisify } from "node:util";
import { hearEachOther } from "./lib/calls.mjs";
import { check, same, soon } from "./lib/check.mjs";
import { Sipp, callee, hear, rtpOf, say } from "./lib/sipp.mjs";
import { MEDIA_PORTS, gatewayWith } from "./lib/trunks.mjs";
import { Voice } from "./lib/voice.mjs";

const TRUNK = "127.0.0.51:5060";
const ROGUE = "127.0.0.66";
const METHODS = [
  "INVITE",
  "ACK",
  "BYE",
  "CANCEL",
  "OPTIONS",
  "REGISTER",
  "INFO",
  "PRACK",
  "UPDATE",
  "MESSAGE",
  "SUBSCRIBE",
  "NOTIFY",
  "REFER",
  "PUBLISH",
  "HACK",
];

let gateway = null;

export async function setUp() {
  gateway = await gatewayWith({ trunk: { address: TRUNK, domains: ["trunk.test"], codecs: ["pcmu"] } });
}

export async function tearDown() {
  await gateway?.stop();
}

export default function suite(test) {
  test("RTP from somewhere else, before and in a call, is not heard, and gets nothing back", 30, spraysRtp);
  test("SIP of every kind from somewhere else gets no answer", 30, spraysSip);
  test("sipvicious finds no device, no extension and no password", 40, scanners);
}

async function socketAt(ip, port = 0) {
  const socket = dgram.createSocket("udp4");
  socket.bind(port, ip);
  await once(socket, "listening");
  /** @type {Buffer[]} */
  const heard = [];
  socket.on("message", (packet) => heard.push(packet));
  return Object.assign(socket, { heard });
}

async function spraysRtp(world) {
  const voice = await Voice.open(TRUNK.split(":")[0], 880);
  const rogue = await Voice.open(ROGUE, 1500);
  const targets = Array.from({ length: (MEDIA_PORTS[1] - MEDIA_PORTS[0] + 1) / 2 }, (_, i) => MEDIA_PORTS[0] + 2 * i);
  const spraying = setInterval(() => rogue.spray(targets), 200);
  const sipp = await Sipp.start({
    address: TRUNK,
    scenario: callee(hear("INVITE"), say("200 OK", { rtp: voice.address }), hear("ACK"), hear("BYE"), say("200 OK")),
  });
  try {
    const alice = await world.user("chromium", world.name("alice"), { server: gateway });
    await alice.call("sip:desk@trunk.test", { method: "callSip" });
    await alice.until(0, "onCallEstablished");
    const place = rtpOf(await sipp.gets("INVITE"));
    clearInterval(spraying);
    // Now it knows the port, and sends more than the voice does.
    rogue.speak(place);
    voice.speak(place);
    await hearEachOther(alice, voice);
    const injected = await alice.run((tone) => e2e.hear(0, [tone], 1_000), rogue.tone);
    check(injected.rms > 0.01 && injected.share < 0.001, `of the rogue's tone the page hears ${JSON.stringify(injected)}`);
    same([...voice.from.keys()], [place], "who sends to the voice");
    same(rogue.packets, 0, "packets that came to the rogue");
    await alice.hangup();
    await sipp.done();
  } finally {
    clearInterval(spraying);
    voice.close();
    rogue.close();
    await sipp.stop();
  }
}

/** What all of them ask for, and what none may get. */
const request = (method, uri, more = "") =>
  `${method} ${uri} SIP/2.0\r\nVia: SIP/2.0/UDP ${ROGUE}:5060;rport;branch=z9hG4bK${method}${uri.length}\r\nMax-Forwards: 70\r\nFrom: <sip:100@${ROGUE}>;tag=1\r\nTo: <${uri}>\r\n` +
  `Call-ID: ${method}@${ROGUE}\r\nCSeq: 1 ${method}\r\nContact: <sip:100@${ROGUE}:5060>\r\n${more}Content-Length: 0\r\n\r\n`;

async function spraysSip() {
  const [ip, port] = gateway.sip.split(":");
  const rogue = await socketAt(ROGUE, 5060);
  const trunk = await socketAt(...TRUNK.split(":"));
  try {
    const uris = [`sip:alice@${gateway.sip}`, `sip:+46701234567@${gateway.sip};user=phone`, "sip:localhost", "sip:x@trunk.test"];
    const digest = 'Authorization: Digest username="offhook", realm="localhost", nonce="0", uri="sip:localhost", response="0"\r\n';
    const requests = METHODS.flatMap((method) => uris.flatMap((uri) => [request(method, uri), request(method, uri, digest)]));
    const answers = requests.slice(0, 4).map((text) => text.replace(/^.*\r\n/, "SIP/2.0 200 OK\r\n"));
    const whole = Buffer.from(request("INVITE", uris[0]));
    const torn = Array.from({ length: whole.length }, (_, i) => whole.subarray(0, i));
    const garbage = [
      Buffer.alloc(0),
      Buffer.from("\r\n\r\n"),
      Buffer.alloc(1_400, 0xff),
      Buffer.alloc(60_000, "A"),
      Buffer.from("\0".repeat(64)),
    ];
    for (const packet of [...requests, ...answers, ...torn, ...garbage]) rogue.send(packet, Number(port), ip);
    // What the trunk sends after all that is answered after it, too.
    await soon(async () => {
      const heard = once(trunk, "message");
      trunk.send(request("OPTIONS", `sip:${gateway.sip}`).replaceAll(ROGUE, TRUNK.split(":")[0]), Number(port), ip);
      await Promise.race([heard, new Promise((_, reject) => setTimeout(reject, 1_000, new Error("the trunk gets no answer")))]);
    }, 5_000);
    check(/^SIP\/2\.0 200 /.test(String(trunk.heard[0])), `the trunk is answered: ${trunk.heard[0]}`);
    same(rogue.heard.map(String), [], "what the rogue heard");
    same(await overTcp(ip, Number(port), requests.join("")), "", "what the rogue heard over TCP");
  } finally {
    rogue.close();
    trunk.close();
  }
}

/** All that comes back until the peer closes the connection. */
async function overTcp(host, port, text) {
  const socket = net.connect({ host, port, localAddress: ROGUE });
  let heard = "";
  socket.on("data", (chunk) => (heard += chunk));
  socket.on("error", () => {});
  socket.write(text);
  await once(socket, "close");
  return heard;
}

async function scanners() {
  const [ip, port] = gateway.sip.split(":");
  const run = async (program, ...options) => {
    const args = ["-p", port, "-b", ROGUE, ...options, ip];
    const { stdout, stderr } = await promisify(execFile)(program, args, { timeout: 30_000 });
    check(stderr.includes("found nothing") && !stdout.includes("|"), `${program} ${args.join(" ")}:\n${stdout}${stderr}`);
  };
  await Promise.all([
    ...["OPTIONS", "INVITE", "REGISTER"].map((method) => run("svmap", "-m", method)),
    ...["REGISTER", "INVITE", "OPTIONS"].map((method) => run("svwar", "-m", method, "-e", "100-120", "--force")),
    run("svcrack", "-u", "alice1", "-r", "1-20"),
  ]);
}
