// Starts Kamailio with the configuration of deploy/kamailio, on free ports of the loopback, with an empty user table of its own.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { accepts, freePort } from "./ports.mjs";

const CONFIG = fileURLToPath(new URL("../../../deploy/kamailio/kamailio.cfg", import.meta.url));
const PROGRAM = "/usr/sbin/kamailio";

export const installed = () => existsSync(PROGRAM);

export class Kamailio {
  /** `users`: name → password. `sha256`: digest with SHA-256 instead of MD5. */
  static async start({ domain, users, sha256 = false }) {
    const kamailio = new Kamailio();
    kamailio.domain = domain;
    kamailio.port = await freePort();
    kamailio.#writeUsers(users, sha256 ? "sha256" : "md5");
    await kamailio.#run(sha256);
    return kamailio;
  }

  log = "";
  #folder = mkdtempSync(join(tmpdir(), "offhook-kamailio-"));
  #process = null;

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  #writeUsers(users, hash) {
    const rows = Object.entries(users).map(([name, password]) => {
      const ha1 = createHash(hash).update(`${name}:${this.domain}:${password}`).digest("hex");
      return `${name}:0:0:${ha1}:0\n`;
    });
    writeFileSync(join(this.#folder, "version"), "table_name(string) table_version(int)\nha1:2\n");
    writeFileSync(join(this.#folder, "ha1"), `key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n${rows.join("")}`);
  }

  async #run(sha256) {
    const defines = {
      LISTEN_WS: `tcp:127.0.0.1:${this.port}`,
      DOMAIN: `"${this.domain}"`,
      USERS: `"text://${this.#folder}"`,
      CONTROL: `"unix:${join(this.#folder, "ctl")}"`,
    };
    const args = ["-f", CONFIG, "-DD", "-E", "-m", "64", "-M", "8", "-Y", this.#folder];
    for (const [name, value] of Object.entries(defines)) args.push("-A", `${name}=${value}`);
    if (sha256) args.push("-A", "WITH_SHA256");
    const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (this.log = (this.log + chunk).slice(-200_000)));
    for (let i = 0; i < 100 && this.alive; i++) {
      if (await accepts(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`Kamailio did not start:\n${this.log}`);
  }

  get alive() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  async stop() {
    if (this.alive) {
      const gone = new Promise((resolve) => this.#process.once("exit", resolve));
      this.#process.kill("SIGTERM");
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
