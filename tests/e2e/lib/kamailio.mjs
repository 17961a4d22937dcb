// Kamailio with the configuration of deploy/kamailio and a user table of its own.
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Daemon } from "./daemon.mjs";
import { accepts, freePort } from "./ports.mjs";

const CONFIG = fileURLToPath(new URL("../../../deploy/kamailio/kamailio.cfg", import.meta.url));
const PROGRAM = "/usr/sbin/kamailio";

export const DOMAIN = "calls.test";

/** The names that the user table knows: each of these with a number behind it. */
const STEMS = ["alice", "bob", "carol", "away"];
const NUMBERS = 2_000;

export const installed = () => existsSync(PROGRAM);

export const passwordOf = (name) => `secret of ${name}: "quoted"`;

function everybody() {
  const names = STEMS.flatMap((stem) => Array.from({ length: NUMBERS }, (_, i) => `${stem}${i + 1}`));
  return Object.fromEntries(names.map((name) => [name, passwordOf(name)]));
}

export class Kamailio extends Daemon {
  /** `ip:port` for SIP by UDP and TCP, where it was started with rtpengine. */
  sip = null;
  #ip;
  #domain;
  #users;
  #more = {};

  /**
   * `users`: name → password; else the tests' own. `sha256`: digest with SHA-256 instead of MD5. `rtpengine`: for
   * calls with phones, on SIP by UDP and TCP. `ip`: where pages connect. `defines`: more of the configuration's defines, by name.
   */
  static async start({ domain = DOMAIN, users = everybody(), sha256 = false, rtpengine = null, ip = "127.0.0.1", defines = {} } = {}) {
    const kamailio = new Kamailio("kamailio");
    kamailio.#ip = ip;
    kamailio.#domain = domain;
    kamailio.#users = users;
    if (rtpengine) {
      kamailio.sip = `127.0.0.1:${await freePort()}`;
      Object.assign(defines, {
        RTPENGINE: `"${rtpengine.address}"`,
        LISTEN_SIP_UDP: `udp:${kamailio.sip}`,
        LISTEN_SIP_TCP: `tcp:${kamailio.sip}`,
      });
    }
    kamailio.#writeUsers(sha256 ? "sha256" : "md5");
    kamailio.#more = sha256 ? { WITH_SHA256: "", ...defines } : defines;
    await kamailio.begin();
    return kamailio;
  }

  /** Starts it, after `crash` once more. */
  begin() {
    return this.run(
      PROGRAM,
      (port) => this.#options(port),
      (port) => accepts(port, this.#ip),
    );
  }

  /** Two nodes that share the locations of their pages. */
  static async cluster() {
    // Addresses of their own, as machines have. A Path with our own address would mean us, whatever its port; and a browser opens one
    // WebSocket at a time to an address (RFC 6455, 4.1), so who tries a dead node would keep others from a live one.
    const ips = ["127.0.0.2", "127.0.0.3"];
    const addresses = [`${ips[0]}:${await freePort()}`, `${ips[1]}:${await freePort()}`];
    const start = (i) => {
      const [node, other] = [addresses[i], addresses[1 - i]];
      return Kamailio.start({
        ip: ips[i],
        defines: { LISTEN_NODE: node, NODE: `"sip:${node}"`, OTHER_NODE: `"sip:${other}"`, NODE_SECRET: '"of both"' },
      });
    };
    return Promise.all([start(0), start(1)]);
  }

  get url() {
    return `ws://${this.address}`;
  }

  get address() {
    return `${this.#ip}:${this.port}`;
  }

  /** `world` with this server behind its pages in place of the gateway. */
  behind(world) {
    return new Behind(world, this);
  }

  #writeUsers(hash) {
    const rows = Object.entries(this.#users).map(([name, password]) => {
      const ha1 = createHash(hash).update(`${name}:${this.#domain}:${password}`).digest("hex");
      return `${name}:0:0:${ha1}:0\n`;
    });
    writeFileSync(join(this.folder, "version"), "table_name(string) table_version(int)\nha1:2\n");
    writeFileSync(
      join(this.folder, "ha1"),
      `key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n${rows.join("")}`,
    );
  }

  #options(port) {
    const defines = {
      LISTEN_WS: `tcp:${this.#ip}:${port}`,
      DOMAIN: `"${this.#domain}"`,
      USERS: `"text://${this.folder}"`,
      CONTROL: `"unix:${join(this.folder, "ctl")}"`,
      ...this.#more,
    };
    const options = ["-f", CONFIG, "-DD", "-E", "-m", "64", "-M", "8", "-Y", this.folder];
    for (const [name, value] of Object.entries(defines)) options.push("-A", value ? `${name}=${value}` : name);
    return options;
  }
}

/** What a scenario needs of a World, with users who sign in at Kamailio by digest. */
class Behind {
  #world;
  #server;

  constructor(world, server) {
    this.#world = world;
    this.#server = server;
  }

  /** A name of the user table that no other test has; one that the table does not know for any other stem. */
  name(stem) {
    return this.#world.name(stem);
  }

  page(where, options = {}) {
    return this.#world.page(where, { server: this.#server, ...options });
  }

  user(where, name, /** @type {import("./world.mjs").UserOptions} */ { config, ...rest } = {}) {
    const login = { username: name, password: passwordOf(name) };
    return this.#world.user(where, name, { server: this.#server, login, config: { domain: DOMAIN, ...config }, ...rest });
  }

  pair(from, to, options = {}) {
    return Promise.all([this.user(from, this.name("alice"), options), this.user(to, this.name("bob"), options)]);
  }
}
