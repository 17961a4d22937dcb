// A small client of TURN (RFC 8656) over UDP: it allocates an address of the relay and asks for permissions to reach others from there.
import { createHash, createHmac, randomBytes } from "node:crypto";
import dgram from "node:dgram";
import { once } from "node:events";
import { isIPv4 } from "node:net";

const COOKIE = Buffer.from("2112a442", "hex");
const [ALLOCATE, CREATE_PERMISSION, CHANNEL_BIND] = [0x003, 0x008, 0x009];
const [USERNAME, INTEGRITY, ERROR, CHANNEL, PEER, REALM, NONCE, FAMILY, TRANSPORT] = [0x06, 0x08, 0x09, 0x0c, 0x12, 0x14, 0x15, 0x17, 0x19];
const UDP = 17;

export class TurnClient {
  /** Speaks to the relay at 127.0.0.1:`port`, with credentials as the gateway makes them from `secret`. */
  static async open({ port, realm, secret }) {
    const socket = dgram.createSocket("udp4");
    socket.connect(port, "127.0.0.1");
    await once(socket, "connect");
    const username = `${Math.floor(Date.now() / 1000) + 600}:rogue`;
    const password = createHmac("sha1", secret).update(username).digest("base64");
    const key = createHash("md5").update(`${username}:${realm}:${password}`).digest();
    return new TurnClient(socket, { username, realm, key });
  }

  #socket;
  #login;
  #nonce = null;
  #channel = 0x4000;

  constructor(socket, login) {
    this.#socket = socket;
    this.#login = login;
  }

  close() {
    this.#socket.close();
  }

  /** Allocates an address of the relay, of family 4 or 6. Returns the error code; 0: done. */
  allocate(family) {
    return this.#ask(ALLOCATE, [
      [TRANSPORT, Buffer.from([UDP, 0, 0, 0])],
      [FAMILY, Buffer.from([family === 6 ? 2 : 1, 0, 0, 0])],
    ]);
  }

  /** Asks whether packets may go to and come from `ip`: by permission, and by channel. Returns both error codes. */
  async reach(ip) {
    const id = randomBytes(12);
    const channel = Buffer.from([0, 0, 0, 0]);
    channel.writeUInt16BE(this.#channel++);
    return [
      await this.#ask(CREATE_PERMISSION, [[PEER, peer(ip, id)]], id),
      await this.#ask(
        CHANNEL_BIND,
        [
          [CHANNEL, channel],
          [PEER, peer(ip, id)],
        ],
        id,
      ),
    ];
  }

  async #ask(method, attributes, id = randomBytes(12)) {
    const first = await this.#exchange(method, attributes, id);
    // The first time, and whenever the nonce is stale.
    if (![401, 438].includes(first.code)) return first.code;
    this.#nonce = first.attributes.get(NONCE);
    return (await this.#exchange(method, attributes, id)).code;
  }

  async #exchange(method, attributes, id) {
    const message = this.#message(method, attributes, id);
    for (let tries = 0; tries < 5; tries++) {
      this.#socket.send(message);
      const answer = await this.#answer(id);
      if (answer) return answer;
    }
    throw new Error("the relay does not answer");
  }

  #message(method, attributes, id) {
    const { username, realm, key } = this.#login;
    const known = this.#nonce
      ? [
          [USERNAME, Buffer.from(username)],
          [REALM, Buffer.from(realm)],
          [NONCE, this.#nonce],
        ]
      : [];
    const body = Buffer.concat([...attributes, ...known].map(([type, value]) => attribute(type, value)));
    const head = (length) => Buffer.concat([short(method), short(length), COOKIE, id]);
    if (!this.#nonce) return Buffer.concat([head(body.length), body]);
    const signed = Buffer.concat([head(body.length + 24), body]);
    return Buffer.concat([signed, attribute(INTEGRITY, createHmac("sha1", key).update(signed).digest())]);
  }

  #answer(id) {
    return new Promise((resolve) => {
      const late = setTimeout(() => done(null), 1_000);
      const read = (packet) => packet.subarray(8, 20).equals(id) && done(parse(packet));
      const done = (answer) => {
        clearTimeout(late);
        this.#socket.off("message", read);
        resolve(answer);
      };
      this.#socket.on("message", read);
    });
  }
}

function parse(packet) {
  const attributes = new Map();
  for (let at = 20; at + 4 <= packet.length;) {
    const length = packet.readUInt16BE(at + 2);
    attributes.set(packet.readUInt16BE(at), packet.subarray(at + 4, at + 4 + length));
    at += 4 + length + (-length & 3);
  }
  const error = attributes.get(ERROR);
  return { attributes, code: error ? error[2] * 100 + error[3] : 0 };
}

function attribute(type, value) {
  return Buffer.concat([short(type), short(value.length), value, Buffer.alloc(-value.length & 3)]);
}

function short(number) {
  return Buffer.from([number >> 8, number & 255]);
}

/** XOR-PEER-ADDRESS, port 5000. */
function peer(ip, id) {
  const octets = octetsOf(ip);
  const mask = Buffer.concat([COOKIE, id]);
  const port = 5_000 ^ COOKIE.readUInt16BE(0);
  return Buffer.concat([
    Buffer.from([0, octets.length === 4 ? 1 : 2]),
    short(port),
    Buffer.from(octets.map((octet, i) => octet ^ mask[i])),
  ]);
}

/** The octets of an address; the URL parser reads every form of IPv6. */
export function octetsOf(ip) {
  if (isIPv4(ip)) return ip.split(".").map(Number);
  const [before, after] = new URL(`http://[${ip}]`).hostname
    .slice(1, -1)
    .split("::")
    .map((half) => half.split(":").filter(Boolean));
  const groups = after ? [...before, ...Array(8 - before.length - after.length).fill("0"), ...after] : before;
  return groups.flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]);
}
