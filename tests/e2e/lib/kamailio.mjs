// Kamailio with the configuration of deploy/kamailio and a user table of its own.
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Daemon } from "./daemon.mjs";
import { freePort } from "./ports.mjs";

const CONFIG = fileURLToPath(new URL("../../../deploy/kamailio/kamailio.cfg", import.meta.url));
const PROGRAM = "/usr/sbin/kamailio";

export const installed = () => existsSync(PROGRAM);

export class Kamailio extends Daemon {
  /** `users`: name → password. `sha256`: digest with SHA-256 instead of MD5. `rtpengine`: for calls with phones, on SIP by UDP and TCP. */
  static async start({ domain, users, sha256 = false, rtpengine = null }) {
    const kamailio = new Kamailio("kamailio");
    kamailio.domain = domain;
    kamailio.#writeUsers(users, sha256 ? "sha256" : "md5");
    if (rtpengine) kamailio.sip = `127.0.0.1:${await freePort()}`;
    await kamailio.run(PROGRAM, (port) => kamailio.#options(port, sha256, rtpengine));
    return kamailio;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  #writeUsers(users, hash) {
    const rows = Object.entries(users).map(([name, password]) => {
      const ha1 = createHash(hash).update(`${name}:${this.domain}:${password}`).digest("hex");
      return `${name}:0:0:${ha1}:0\n`;
    });
    writeFileSync(join(this.folder, "version"), "table_name(string) table_version(int)\nha1:2\n");
    writeFileSync(join(this.folder, "ha1"), `key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n${rows.join("")}`);
  }

  #options(port, sha256, rtpengine) {
    const defines = {
      LISTEN_WS: `tcp:127.0.0.1:${port}`,
      DOMAIN: `"${this.domain}"`,
      USERS: `"text://${this.folder}"`,
      CONTROL: `"unix:${join(this.folder, "ctl")}"`,
    };
    if (rtpengine) Object.assign(defines, { RTPENGINE: `"${rtpengine.address}"`, LISTEN_SIP_UDP: `udp:${this.sip}`, LISTEN_SIP_TCP: `tcp:${this.sip}` });
    const options = ["-f", CONFIG, "-DD", "-E", "-m", "64", "-M", "8", "-Y", this.folder];
    for (const [name, value] of Object.entries(defines)) options.push("-A", `${name}=${value}`);
    if (sha256) options.push("-A", "WITH_SHA256");
    return options;
  }
}
