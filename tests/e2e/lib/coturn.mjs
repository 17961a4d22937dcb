// Starts coturn with the configuration of deploy/coturn, on a free port of the loopback.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { accepts, freePort } from "./ports.mjs";

const CONFIG = fileURLToPath(new URL("../../../deploy/coturn/turnserver.conf", import.meta.url));

export class Coturn {
  static async start({ realm, secret }) {
    const coturn = new Coturn();
    coturn.port = await freePort();
    await coturn.#run(realm, secret);
    return coturn;
  }

  log = "";
  #folder = mkdtempSync(join(tmpdir(), "offhook-coturn-"));
  #process = null;

  get url() {
    return `turn:127.0.0.1:${this.port}?transport=udp`;
  }

  async #run(realm, secret) {
    const here = ["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--allow-loopback-peers", `--listening-port=${this.port}`];
    const files = [`--userdb=${join(this.#folder, "turn.sqlite")}`, `--pidfile=${join(this.#folder, "pid")}`, "--log-file=stdout", "--no-tls", "--no-dtls"];
    const args = ["-c", CONFIG, ...here, ...files, `--realm=${realm}`, `--static-auth-secret=${secret}`, "--verbose"];
    this.#process = spawn("turnserver", args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) stream.on("data", (chunk) => (this.log = (this.log + chunk).slice(-200_000)));
    for (let i = 0; i < 100 && this.alive; i++) {
      if (await accepts(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`coturn did not start:\n${this.log}`);
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
