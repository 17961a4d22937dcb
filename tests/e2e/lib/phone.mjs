// A third-party SIP phone: registered at Kamailio, plays a tone, records what it hears. baresip and our driver of pjsua2
// are told what to do, and tell what happens, in the same language: JSON in netstrings (baresip's module ctrl_tcp).
import { once } from "node:events";
import { readFileSync, readdirSync, statSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import "../www/sound.js";
import { Daemon } from "./daemon.mjs";
import { TONES, pause } from "./world.mjs";

/**
 * @typedef {object} PhoneOptions
 * @property {string} id
 * @property {string} [password]
 * @property {string} [address]
 * @property {string} [domain]
 * @property {string} server
 * @property {number} tone Hz
 * @property {string} [transport]
 */

export class Phone extends Daemon {
  #events = [];
  #answers = [];
  #socket = null;
  /** Whether it is ready only when it has registered. */
  registers = true;

  /** `id`: its user name at the server. `tone`: what it plays, Hz. */
  constructor(name, { id, tone }) {
    super(name);
    this.name = name;
    this.id = id;
    this.tone = tone;
  }

  /** Starts `program` with `args(port of its commands)` and waits until it is registered, if it shall be. */
  async run(program, args) {
    await super.run(program, args);
    this.#socket = net.connect(this.port, "127.0.0.1");
    await once(this.#socket, "connect");
    this.#listen();
    for (let i = 0; i < 100 && this.alive; i++) {
      if (!this.registers || this.log.includes("200 OK")) return;
      await pause(50);
    }
    throw new Error(`${this.name} did not register:\n${this.log}`);
  }

  /** Ends the calls that an earlier test left behind. */
  async rest() {
    await this.hangup();
    await pause(50);
    this.#events.length = 0;
  }

  call = (to) => this.command("dial", to);
  answer = () => this.command("accept");
  hangup = () => this.command("hangup");
  hold = () => this.command("hold");
  resume = () => this.command("resume");
  press = (digits) => this.command("sndcode", digits);

  command(command, params = "") {
    const text = JSON.stringify({ command, params, token: "" });
    this.#socket.write(`${Buffer.byteLength(text)}:${text},`);
    return new Promise((resolve) => this.#answers.push(resolve));
  }

  /** Waits for an event of this type (CALL_INCOMING, CALL_RINGING, CALL_ESTABLISHED, CALL_CLOSED) after those that were waited for. */
  async until(type, ms = 8_000) {
    const end = Date.now() + ms;
    for (;;) {
      const at = this.#events.findIndex((event) => event.type === type);
      if (at >= 0) return this.#events.splice(0, at + 1).at(-1);
      if (Date.now() > end)
        throw new Error(`${this.name}: no ${type} after ${ms} ms; seen: ${this.#events.map((event) => event.type).join(" ") || "nothing"}`);
      await pause(10);
    }
  }

  /** What the phone hears in the next `ms`. */
  async hear(_, ms = 700) {
    const before = new Map(this.#recordings().map((file) => [file, statSync(file).size]));
    await pause(ms);
    const grown = this.#recordings().filter((file) => statSync(file).size > (before.get(file) ?? 0));
    if (!grown.length) return { rms: 0, tone: null, share: 0 };
    const [file] = grown;
    const { samples, rate } = readWav(file, before.get(file) ?? 0);
    return sound.measure(samples, TONES, rate);
  }

  #recordings() {
    return readdirSync(this.folder)
      .filter((file) => file.endsWith("dec.wav"))
      .map((file) => join(this.folder, file));
  }

  #listen() {
    let rest = Buffer.alloc(0);
    this.#socket.on("data", (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const colon = rest.indexOf(":");
        const end = colon + 1 + Number(rest.subarray(0, colon));
        if (colon < 0 || rest.length <= end) return;
        this.#take(JSON.parse(rest.toString("utf8", colon + 1, end)));
        rest = rest.subarray(end + 1);
      }
    });
    this.#socket.on("error", () => {});
  }

  #take(message) {
    if (message.event) this.#events.push(message);
    else if (message.response) this.#answers.shift()?.(message);
  }
}

/** The first channel of a WAV file (16 bit) from octet `from` on, while it is still being written: its header does not know its length. */
function readWav(file, from) {
  const bytes = readFileSync(file);
  const format = bytes.indexOf("fmt ") + 8;
  const start = bytes.indexOf("data") + 8;
  const channels = bytes.readUInt16LE(format + 2);
  const rate = bytes.readUInt32LE(format + 4);
  const frame = 2 * channels;
  const first = start + Math.max(0, Math.ceil((from - start) / frame)) * frame;
  const samples = new Float32Array(Math.max(0, Math.floor((bytes.length - first) / frame)));
  for (let i = 0; i < samples.length; i++) samples[i] = bytes.readInt16LE(first + i * frame) / 32_768;
  return { samples, rate };
}
