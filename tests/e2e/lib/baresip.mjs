// baresip: plays a tone, records with its module sndfile, speaks Opus and G.711.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Phone } from "./phone.mjs";
import { freePair } from "./ports.mjs";

const PROGRAM = "/usr/bin/baresip";
const MODULES = ["opus", "g711", "ausine", "aubridge", "sndfile"];

export class Baresip extends Phone {
  /**
   * `server`: `host:port` of the SIP server for `domain`. `transport`: udp or tcp. Without a `password` it does not register: it is called
   * at `address` (`ip:port`; the next port is its own, too).
   * @param {import("./phone.mjs").PhoneOptions} options
   */
  static async start({ id, password, address, domain = address, server, tone, transport = "udp" }) {
    const phone = new Baresip("baresip", { id, tone });
    phone.registers = Boolean(password);
    // It takes the port after it for TLS.
    const listen = address ?? `127.0.0.1:${await freePair()}`;
    const login = password ? `auth_pass=${password};regint=300` : "regint=0";
    const account = `<sip:${id}@${domain};transport=${transport}>;${login};outbound="sip:${server};transport=${transport}";answermode=manual`;
    writeFileSync(join(phone.folder, "accounts"), `${account}\n`);
    writeFileSync(join(phone.folder, "contacts"), "");
    await phone.run(PROGRAM, (port) => {
      writeFileSync(join(phone.folder, "config"), phone.#config(listen, port));
      return ["-f", phone.folder, "-v", "-s"];
    });
    return phone;
  }

  #config(listen, port) {
    const lines = [
      "poll_method epoll",
      `sip_listen ${listen}`,
      "audio_player aubridge,player",
      "audio_alert aubridge,alert",
      `audio_source ausine,${this.tone}`,
      // It makes its tone in no other form; for G.711 baresip resamples.
      "ausrc_srate 48000",
      "ausrc_channels 2",
      `snd_path ${this.folder}`,
      "rtp_ports 33000-33999",
      "jitter_buffer_type off",
      `net_interface ${listen.split(":")[0]}`,
      `ctrl_tcp_listen 127.0.0.1:${port}`,
      "module_path /usr/lib/baresip/modules",
      ...MODULES.map((name) => `module ${name}.so`),
      "module_tmp uuid.so",
      "module_tmp account.so",
      "module_app menu.so",
      "module_app ctrl_tcp.so",
    ];
    return `${lines.join("\n")}\n`;
  }
}
