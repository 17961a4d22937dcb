// rtpengine as docs/kamailio.md says, on the loopback.
import { Daemon } from "./daemon.mjs";
import { freePort } from "./ports.mjs";

const PROGRAM = "/usr/bin/rtpengine";
const [FIRST, LAST] = [30_000, 31_999];

export class Rtpengine extends Daemon {
  /** Where it takes commands. */
  address = "";

  static async start() {
    const rtpengine = new Rtpengine("rtpengine");
    const commands = await freePort();
    rtpengine.address = `udp:127.0.0.1:${commands}`;
    const options = {
      interface: "127.0.0.1",
      "listen-ng": `127.0.0.1:${commands}`,
      table: -1,
      "port-min": FIRST,
      "port-max": LAST,
      "num-threads": 2,
    };
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    await rtpengine.run(PROGRAM, (port) => [...args, `--listen-cli=127.0.0.1:${port}`, "--foreground", "--log-stderr", "--log-level=6"]);
    return rtpengine;
  }

  /** Whether sound that goes to this port goes to rtpengine. */
  owns = (port) => port >= FIRST && port <= LAST;
}
