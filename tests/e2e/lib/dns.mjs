// dnsmasq as the DNS server of a suite, on a port of the loopback. What names there are is its command line.
import dgram from "node:dgram";
import { once } from "node:events";
import { Daemon } from "./daemon.mjs";

const PROGRAM = "/usr/sbin/dnsmasq";

export class Dns extends Daemon {
  #mute = dgram.createSocket("udp4");

  /** `records`: names under `test` as options of dnsmasq have them. Others do not exist, and for those under `mute.test` nobody answers. */
  static async start(records) {
    const dns = new Dns("dnsmasq");
    dns.#mute.bind(0, "127.0.0.1");
    await once(dns.#mute, "listening");
    await dns.serve(records);
    return dns;
  }

  /** From now on these names. */
  async change(records) {
    await this.crash();
    await this.serve(records);
  }

  async serve(records) {
    const own = [
      "--keep-in-foreground",
      "--log-facility=-",
      "--conf-file=/dev/null",
      "--pid-file=",
      "--user=",
      "--no-resolv",
      "--no-hosts",
    ];
    const where = ["--listen-address=127.0.0.1", "--bind-interfaces", "--local-ttl=1"];
    const names = [
      "--local=/test/",
      `--server=/mute.test/127.0.0.1#${this.#mute.address().port}`,
      ...records.map((record) => `--${record}`),
    ];
    await this.run(PROGRAM, (port) => [...own, ...where, ...names, `--port=${port}`]);
  }

  get address() {
    return `127.0.0.1:${this.port}`;
  }

  async stop() {
    this.#mute.close();
    await super.stop();
  }
}

/** The records of one server of a service: `_sip._udp.a.test`, with a host name of its own for its address. */
export function server(service, { priority = 10, weight = 10, ip, port }) {
  const host = `s${ip.replaceAll(/[.:]/g, "-")}.test`;
  return [`srv-host=${service},${host},${port},${priority},${weight}`, `host-record=${host},${ip}`];
}
