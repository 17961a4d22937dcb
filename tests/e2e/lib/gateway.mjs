// Starts the gateway as a user would: the binary, a free port, an empty data folder.
import { execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { skip } from "./skip.mjs";

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../target/", import.meta.url));

export class Gateway {
  /**
   * `application`: key of an application of its own beside the demo; its `secrets` (`ticket`, `jwt`, `rest`) are in base64. `settings`: text of a configuration file.
   * `disk`: size of a disk of its own for its data, such as "2m".
   * @param {{ application?: string, settings?: string, disk?: string }} [options]
   */
  static async start({ application, settings, disk } = {}) {
    const gateway = new Gateway();
    if (disk) gateway.#mount(disk);
    if (settings) {
      gateway.#env.OFFHOOK_CONFIG = join(gateway.#data, "offhook.toml");
      writeFileSync(gateway.#env.OFFHOOK_CONFIG, settings);
    }
    if (application) gateway.#addApplication(application);
    await gateway.#run();
    return gateway;
  }

  /** `host:port` that it serves on. */
  address = null;
  /** `host:port` for SIP by UDP and TCP, where it has trunks. */
  sip = null;
  log = "";
  #data = mkdtempSync(join(tmpdir(), "offhook-data-"));
  /** @type {NodeJS.ProcessEnv} */
  #env = { ...process.env, OFFHOOK_DATA: this.#data };
  #process = null;
  #mounted = false;

  /** Kills it, and starts it again after `ms` on the same port with the same data. */
  async crash(ms) {
    const port = this.address.split(":")[1];
    await this.#end("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.address = null;
    this.log = "";
    await this.#run(port);
  }

  /** Runs the program with these arguments beside the running gateway and returns its output; throws where it fails. */
  command(...args) {
    return execFileSync(binary(), args, { env: this.#env, encoding: "utf8" });
  }

  #mount(size) {
    if (process.env.OFFHOOK_E2E_INSIDE !== "namespace") skip("a disk of its own needs root, unshare and mount");
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "offhook", this.#data]);
    this.#mounted = true;
  }

  /** Leaves no room on its disk. */
  fillDisk() {
    const file = openSync(this.#filler, "w");
    try {
      for (const zeros = Buffer.alloc(4_096); ;) writeSync(file, zeros);
    } catch (error) {
      if (error.code !== "ENOSPC") throw error;
    } finally {
      closeSync(file);
    }
  }

  freeDisk() {
    rmSync(this.#filler);
  }

  get #filler() {
    return join(this.#data, "filler");
  }

  #addApplication(key) {
    const printed = this.command("application", "add", key, "--loopback");
    this.key = key;
    this.secrets = Object.fromEntries([...printed.matchAll(/^(\w+)-secret (\S+)$/gm)].map(([, use, secret]) => [use, secret]));
  }

  #run(port = "0") {
    const program = binary();
    const env = { ...this.#env, OFFHOOK_PORT: port };
    const child = spawn(program, [], { env, stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    /** @type {Promise<void>} */
    const ready = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`the gateway was not ready after 20 s:\n${this.log}`)), 20_000);
      child.on("error", reject);
      child.on("exit", (code) => reject(new Error(`the gateway ended with ${code} before it was ready:\n${this.log}`)));
      const read = (chunk) => {
        this.log = (this.log + chunk).slice(-200_000);
        const said = /^ready http:\/\/(\S+)$/m.exec(this.log);
        if (!said || this.address) return;
        this.address = said[1];
        clearTimeout(late);
        resolve();
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
    });
    return ready;
  }

  /** True as long as the process lives: a gateway that died under a test is that test's failure. */
  get alive() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  async stop() {
    if (this.alive) await this.#end("SIGTERM");
    if (this.#mounted) execFileSync("umount", [this.#data]);
    this.#mounted = false;
    rmSync(this.#data, { recursive: true, force: true });
  }

  async #end(signal) {
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill(signal);
    const late = setTimeout(() => this.#process.kill("SIGKILL"), 3_000);
    await gone;
    clearTimeout(late);
  }
}

function binary() {
  const named = process.env.OFFHOOK_GATEWAY;
  const places = named ? [named] : [join(TARGET, "gateway/offhook-gateway"), join(TARGET, "debug/offhook-gateway")];
  const found = places.find((place) => existsSync(place));
  if (!found) throw new Error(`no gateway at ${places.join(" or ")}: build it with "cargo build -p offhook-gateway"`);
  return found;
}
