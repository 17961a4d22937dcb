// A third-party server that a suite needs: started on a port of the loopback, watched, ended.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accepts, freePort } from "./ports.mjs";

export class Daemon {
  static #running = new Set();
  log = "";
  port = null;
  #name;
  #process = null;

  constructor(name) {
    this.#name = name;
    this.folder = mkdtempSync(join(tmpdir(), `offhook-${name}-`));
  }

  /** The last lines of what runs now, for the report of a failure. */
  static traces() {
    return [...Daemon.#running].map((daemon) => `--- ${daemon.#name}\n${daemon.said().slice(-20_000)}`).join("\n");
  }

  said() {
    return this.log;
  }

  /** Starts `program` with what `args(port)` gives, and waits until it listens: `ready(port)` says so. */
  async run(program, args, ready = accepts) {
    this.port ??= await freePort();
    // A process group of its own: a crash is the end of all its processes.
    this.#process = spawn(program, args(this.port), { stdio: ["ignore", "pipe", "pipe"], detached: true });
    Daemon.#running.add(this);
    const read = (chunk) => (this.log = (this.log + chunk).slice(-200_000));
    for (const stream of [this.#process.stdout, this.#process.stderr]) stream.on("data", read);
    for (let i = 0; i < 100 && this.alive; i++) {
      if (await ready(this.port)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${this.#name} did not start:\n${this.log}`);
  }

  get alive() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Its exit code, once it has ended by itself. */
  async ended() {
    if (this.alive) await new Promise((resolve) => this.#process.once("exit", resolve));
    return this.#process.exitCode;
  }

  /** Kills it and all its processes at once; `run` starts it again on the same port. */
  crash() {
    return this.#end(() => process.kill(-this.#process.pid, "SIGKILL"));
  }

  async stop() {
    Daemon.#running.delete(this);
    if (this.#process && this.alive) await this.#end(() => this.#process.kill("SIGTERM"));
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #end(signal) {
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    signal();
    await gone;
  }
}
