// A path for datagrams between the one end and the other that loses some, and brings some twice; the same ones in each run.
import dgram from "node:dgram";
import { once } from "node:events";

export class LossyPath {
  /** What comes to `front` (`ip:port`) goes on to `back`; what `back` sends goes to whoever sent to `front` last. */
  static async open(front, back, { loses, doubles, seed = 7 }) {
    const path = new LossyPath(loses, doubles, seed);
    const [ip, port] = front.split(":");
    path.#socket.bind(Number(port), ip);
    await once(path.#socket, "listening");
    let other = null;
    path.#socket.on("message", (packet, source) => {
      const from = `${source.address}:${source.port}`;
      if (from !== back) other = from;
      path.#pass(packet, from === back ? other : back);
    });
    return path;
  }

  lost = 0;
  doubled = 0;
  #socket = dgram.createSocket("udp4");
  #loses;
  #doubles;
  #state;

  constructor(loses, doubles, seed) {
    [this.#loses, this.#doubles, this.#state] = [loses, doubles, seed];
  }

  close() {
    this.#socket.close();
  }

  #pass(packet, place) {
    const [ip, port] = (place ?? "").split(":");
    if (!port) return;
    if (this.#chance() < this.#loses) return void this.lost++;
    this.#socket.send(packet, Number(port), ip);
    if (this.#chance() >= this.#doubles) return;
    this.doubled++;
    this.#socket.send(packet, Number(port), ip);
  }

  /** Between 0 and 1 (mulberry32). */
  #chance() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}
