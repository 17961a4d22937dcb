// pjsua2 (pjproject's library for Python, from the wheel that scripts/setup installs), driven by pjsua.py: G.722 and G.711.
import { writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Phone } from "./phone.mjs";
import { wav } from "./tone.mjs";

const CACHE = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache");
const PYTHON = join(CACHE, "offhook/python/bin/python");
const DRIVER = fileURLToPath(new URL("pjsua.py", import.meta.url));

export class Pjsua extends Phone {
  /**
   * As `Baresip.start`.
   * @param {import("./phone.mjs").PhoneOptions} options
   */
  static async start({ id, password, address, domain = address, server, tone }) {
    const phone = new Pjsua("pjsua2", { id, tone });
    phone.registers = Boolean(password);
    const files = { tone: join(phone.folder, "tone.wav"), record: join(phone.folder, "dec.wav") };
    writeFileSync(files.tone, wav(tone));
    await phone.run(PYTHON, (control) => [DRIVER, JSON.stringify({ id, password, address, domain, server, control, ...files })]);
    return phone;
  }
}
