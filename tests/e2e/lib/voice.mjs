// One end of an RTP stream in G.711 µ-law that plays a tone, records what it hears, and counts who sends what.
import dgram from "node:dgram";
import { once } from "node:events";
import "../www/sound.js";
import { TONES, pause } from "./world.mjs";

const RATE = 8_000;
const FRAME = 160;
const PCMU = 0;
const DIGITS = "0123456789*#ABCD";

export class Voice {
  /** At `ip`, any even port. */
  static async open(ip, tone) {
    for (;;) {
      const socket = dgram.createSocket("udp4");
      socket.bind(0, ip);
      await once(socket, "listening");
      if (socket.address().port % 2 === 0) return new Voice(socket, ip, tone);
      socket.close();
    }
  }

  name = "voice";
  /** Packets that came, by the address that sent them. */
  from = new Map();
  /** DTMF digits that the remote party sent (RFC 4733). */
  digits = "";
  #socket;
  #timer = null;
  #heard = [];
  #event = null;
  #played = 0;
  #ssrc = Math.trunc(Math.random() * 2 ** 32);

  constructor(socket, ip, tone) {
    this.#socket = socket;
    this.tone = tone;
    this.address = `${ip}:${socket.address().port}`;
    socket.on("message", (packet, { address, port }) => this.#take(packet, `${address}:${port}`));
  }

  /** Sends to `place` (`ip:port`) from now on. */
  speak(place) {
    this.hush();
    const [ip, port] = place.split(":");
    const began = Date.now() - this.#played * 20;
    this.#timer = setInterval(() => {
      // On a busy machine the timer is late, and then several packets are due.
      for (; this.#played * 20 <= Date.now() - began; this.#played++) this.#socket.send(this.#frame(), Number(port), ip);
    }, 10);
  }

  /** One packet to each of these ports of the gateway. */
  spray(ports) {
    for (const port of ports) this.#socket.send(this.#frame(), port, "127.0.0.1");
    this.#played++;
  }

  hush() {
    clearInterval(this.#timer);
  }

  close() {
    this.hush();
    this.speak = () => {};
    this.#socket.close();
  }

  /** What it hears in the next `ms`. */
  async hear(_, ms = 700) {
    this.#heard.length = 0;
    await pause(ms);
    const samples = Float32Array.from(this.#heard.flatMap((payload) => [...payload].map(expand)));
    // Without the first third, as in pages.
    return samples.length ? sound.measure(samples.subarray(Math.floor(samples.length / 3)), TONES, RATE) : { rms: 0, tone: null, share: 0 };
  }

  /** Everything that came since `hear` began. */
  get packets() {
    return [...this.from.values()].reduce((sum, count) => sum + count, 0);
  }

  #take(packet, sender) {
    this.from.set(sender, (this.from.get(sender) ?? 0) + 1);
    const type = packet[1] & 0x7f;
    const payload = packet.subarray(12);
    if (type === PCMU) this.#heard.push(payload);
    else if (type === 101 && payload.length >= 4) this.#dtmf(packet.readUInt32BE(4), payload[0]);
  }

  /** All packets of one event have its timestamp. */
  #dtmf(time, event) {
    if (this.#event !== time) this.digits += DIGITS[event] ?? "?";
    this.#event = time;
  }

  #frame() {
    const packet = Buffer.alloc(12 + FRAME);
    packet[0] = 0x80;
    packet[1] = PCMU | (this.#played ? 0 : 0x80);
    packet.writeUInt16BE(this.#played & 0xffff, 2);
    packet.writeUInt32BE((this.#played * FRAME) >>> 0, 4);
    packet.writeUInt32BE(this.#ssrc, 8);
    for (let i = 0; i < FRAME; i++) {
      const at = (this.#played * FRAME + i) / RATE;
      const swell = 0.3 + 0.2 * Math.cos(2 * Math.PI * 3 * at);
      packet[12 + i] = compress(swell * Math.sin(2 * Math.PI * this.tone * at));
    }
    return packet;
  }
}

/** One sample in µ-law (G.711). */
function compress(sample) {
  const sign = sample < 0 ? 0x80 : 0;
  const size = Math.min(32_635, Math.round(Math.abs(sample) * 32_767)) + 132;
  const exponent = Math.floor(Math.log2(size)) - 7;
  return ~(sign | (exponent << 4) | ((size >> (exponent + 3)) & 15)) & 0xff;
}

function expand(octet) {
  const bits = ~octet & 0xff;
  const size = (((bits & 15) << 3) + 132) << ((bits >> 4) & 7);
  return ((bits & 0x80 ? -1 : 1) * (size - 132)) / 32_768;
}
