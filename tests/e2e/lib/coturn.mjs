// coturn with the configuration of deploy/coturn.
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Daemon } from "./daemon.mjs";

const CONFIG = fileURLToPath(new URL("../../../deploy/coturn/turnserver.conf", import.meta.url));
const LOOPBACK = ["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--relay-ip=::1", "--no-tls", "--no-dtls"];
/** The addresses of the pages of a test, which the relay must not reach otherwise. */
const PAGES = ["--allow-loopback-peers", "--allowed-peer-ip=127.0.0.0-127.255.255.255"];

/** The ports of the relay, on which it sends and receives for its users. */
export const RELAY_PORTS = "49160:49359";
const [FIRST, LAST] = RELAY_PORTS.split(":");

export class Coturn extends Daemon {
  /** `peers`: flags that say who may be reached beside those of the configuration. */
  static async start({ realm, secret, peers = PAGES }) {
    const coturn = new Coturn("coturn");
    const files = [
      `--userdb=${join(coturn.folder, "turn.sqlite")}`,
      `--pidfile=${join(coturn.folder, "pid")}`,
      "--log-file=stdout",
      "--verbose",
    ];
    const rest = [
      "-c",
      CONFIG,
      ...LOOPBACK,
      ...peers,
      ...files,
      `--min-port=${FIRST}`,
      `--max-port=${LAST}`,
      `--realm=${realm}`,
      `--static-auth-secret=${secret}`,
    ];
    await coturn.run("turnserver", (port) => [...rest, `--listening-port=${port}`]);
    return coturn;
  }

  url(transport = "udp") {
    return `turn:127.0.0.1:${this.port}?transport=${transport}`;
  }
}
