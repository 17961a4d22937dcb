// SIPp as a carrier that does what a test wants: answers late, wrongly or not at all, holds, hangs up. Scenarios are put together here;
// texts in brackets are SIPp's own. The sound of its calls is that of a Voice.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon } from "./daemon.mjs";
import { hasUdp } from "./ports.mjs";
import { pause } from "./world.mjs";

const PROGRAM = "/usr/bin/sipp";
const TAG = ";tag=[pid]-[call_number]";
const VIA = "Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]";
const CONTACT = "Contact: <sip:carrier@[place];transport=[transport]>";

/** `steps` of one who is called, and of one who calls. */
export const callee = (...steps) => scenario({ us: `[$local]${TAG}`, them: "[$remote]" }, steps);
export const caller = (...steps) =>
  scenario({ us: `<sip:+46705550100@[local_ip]:[local_port]>${TAG}`, them: "[$remote]", calls: true }, steps);

/** Waits for a request (a word) or a response (a number); `optional`: it may be missing. */
export const hear =
  (what, { optional = false } = {}) =>
  (side) => {
    const kind = typeof what === "number" ? "response" : "request";
    const isFirst = what === "INVITE" && !side.known;
    const isAnswer = kind === "response" && what >= 200 && side.calls && !side.known;
    side.heard = what;
    if (isFirst || isAnswer) side.known = true;
    if (what === "ACK" || isAnswer) side.inDialog = true;
    const take = (header, name, regexp = ".*") => `<ereg regexp="${regexp}" search_in="hdr" header="${header}:" assign_to="${name}"/>`;
    const first = [take("From", "remote"), take("To", "local"), take("CSeq", "cseq", "[0-9]+")];
    const notes = isFirst ? first : isAnswer ? [take("To", "remote")] : [];
    const action = notes.length ? `<action>${notes.join("")}</action>` : "";
    // A message without Contact establishes no route set.
    const rrs = what === "INVITE" || isAnswer ? ' rrs="true"' : "";
    return `<recv ${kind}="${what}" crlf="true"${rrs}${optional ? ' optional="true"' : ""}>${action}</recv>`;
  };

/**
 * What goes into a message: header fields, and `rtp`: `address:port` of a description; `direction`, `version`, `codecs`: the rest of it.
 * @typedef {{ headers?: string[], rtp?: string, direction?: string, version?: number, codecs?: number[] }} Content
 */

/** Responds to the last request. */
export const say =
  (status, /** @type {Content} */ { headers = [], ...description } = {}) =>
  (side) => {
    const to = side.inDialog ? "[last_To:]" : `[last_To:]${TAG}`;
    const head = [`SIP/2.0 ${status}`, "[last_Via:]", "[last_From:]", to, "[last_Call-ID:]", "[last_CSeq:]", CONTACT, ...headers];
    return send(head, description, parseInt(status) >= 200 && side.heard === "INVITE");
  };

/** Responds to the INVITE after a CANCEL, which was responded to before. */
export const refuseInvite = (status) => () =>
  send([`SIP/2.0 ${status}`, "[last_Via:]", "[last_From:]", `[last_To:]${TAG}`, "[last_Call-ID:]", "CSeq: [$cseq] INVITE"], {}, true);

/** Sends a request in the dialog. */
export const ask =
  (method, /** @type {Content} */ { headers = [], ...description } = {}) =>
  (side) =>
    send(
      [
        `${method} [next_url] SIP/2.0`,
        VIA,
        "Max-Forwards: 70",
        `From: ${side.us}`,
        `To: ${side.them}`,
        "Call-ID: [call_id]",
        `CSeq: [cseq] ${method}`,
        CONTACT,
        ...headers,
      ],
      description,
      method !== "ACK",
    );

/** Calls `to`, a whole SIP URI. */
export const invite =
  (to, /** @type {Content} */ { headers = [], ...description } = {}) =>
  (side) =>
    send(
      [
        `INVITE ${to} SIP/2.0`,
        VIA,
        "Max-Forwards: 70",
        `From: ${side.us}`,
        `To: <${to}>`,
        "Call-ID: [call_id]",
        "CSeq: [cseq] INVITE",
        CONTACT,
        ...headers,
      ],
      description,
      true,
    );

/** Cancels the INVITE. */
export const cancel = (to) => (side) =>
  send(
    [`CANCEL ${to} SIP/2.0`, "[last_Via:]", "Max-Forwards: 70", `From: ${side.us}`, `To: <${to}>`, "Call-ID: [call_id]", "CSeq: 1 CANCEL"],
    {},
    true,
  );

/** Acknowledges a final response that is not 2xx. */
export const acknowledge = (to) => (side) =>
  send(
    [`ACK ${to} SIP/2.0`, "[last_Via:]", "Max-Forwards: 70", `From: ${side.us}`, "[last_To:]", "Call-ID: [call_id]", "CSeq: 1 ACK"],
    {},
    false,
  );

/** Does nothing for so long. */
export const wait = (ms) => () => `<pause milliseconds="${ms}"/>`;

function send(head, /** @type {Content} */ { rtp, direction = "sendrecv", version = 1, codecs = [0] }, again) {
  const body = rtp ? describe(rtp, direction, version, codecs) : [];
  const type = rtp ? ["Content-Type: application/sdp"] : [];
  const text = [...head, ...type, "Content-Length: [len]", "", ...body, ""].join("\n");
  return `<send${again ? ' retrans="500"' : ""}><![CDATA[\n${text}\n]]></send>`;
}

function describe(rtp, direction, version, codecs) {
  const [address, port] = rtp.split(":");
  const names = { 0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000" };
  return [
    "v=0",
    `o=- 1 ${version} IN IP4 ${address}`,
    "s=-",
    `c=IN IP4 ${address}`,
    "t=0 0",
    `m=audio ${port} RTP/AVP ${codecs.join(" ")} 101`,
    ...codecs.map((codec) => `a=rtpmap:${codec} ${names[codec]}`),
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    `a=${direction}`,
  ];
}

function scenario(side, steps) {
  const parts = steps.map((step) => step(side)).join("\n");
  // SIPp wants no variable that nothing reads.
  const variables = side.calls ? "remote" : "local,remote,cseq";
  return `<?xml version="1.0"?>\n<scenario name="carrier">\n${parts}\n<Reference variables="${variables}"/>\n</scenario>\n`;
}

export class Sipp extends Daemon {
  /**
   * Runs `scenario` for `calls` calls at `address` (`ip:port`). `to`: `ip:port` that it calls; else it waits to be called.
   * `place`: the address in its Contact, if another. `patient`: what it does not expect is no reason to give a call up.
   * @param {{ scenario: string, address: string, to?: string, place?: string, calls?: number, patient?: boolean }} options
   */
  static async start({ scenario, address, to, place = address, calls = 1, patient = false }) {
    const sipp = new Sipp("sipp");
    const [ip, port] = address.split(":");
    sipp.port = Number(port);
    const file = join(sipp.folder, "scenario.xml");
    writeFileSync(file, scenario);
    const log = ["-trace_msg", "-message_file", sipp.#messages, "-trace_err", "-error_file", sipp.#errors];
    if (patient) log.push("-default_behaviors", "all,-abortunexp");
    const options = { sf: file, i: ip, p: port, m: calls, l: calls, r: calls, timeout: "45s" };
    const args = Object.entries(options).flatMap(([name, value]) => [`-${name}`, `${value}`]);
    args.push("-key", "place", place, "-nostdin", "-timeout_error", ...log);
    await sipp.run(
      PROGRAM,
      () => (to ? [...args, to] : args),
      async () => hasUdp(address),
    );
    return sipp;
  }

  get #messages() {
    return join(this.folder, "messages");
  }

  get #errors() {
    return join(this.folder, "errors");
  }

  /** What went over the wire so far: { out, at, text }, `at` in ms since 1970. */
  messages() {
    if (!existsSync(this.#messages)) return [];
    const parts = readFileSync(this.#messages, "utf8")
      .replaceAll("\r", "")
      .split(/^-{20,} (.*)\n/m)
      .slice(1);
    return parts.flatMap((time, i) => {
      if (i % 2) return [];
      const [head, ...rest] = parts[i + 1].split("\n");
      return [{ out: head.includes("sent"), at: Date.parse(`${time.slice(0, 23)}`), text: rest.join("\n").trimStart() }];
    });
  }

  /** The messages that it received and that begin so: `INVITE `, `SIP/2.0 200`. */
  got(start) {
    return this.messages().filter(({ out, text }) => !out && text.startsWith(start));
  }

  /** Waits until it has received `count` such messages, and returns the text of the last. */
  async gets(start, count = 1, ms = 8_000) {
    const end = Date.now() + ms;
    for (;;) {
      const all = this.got(start);
      if (all.length >= count) return all[count - 1].text;
      if (!this.alive) await this.done();
      if (Date.now() > end || !this.alive) throw new Error(`SIPp was sent "${start}" ${all.length} times and not ${count}`);
      await pause(10);
    }
  }

  /** Waits for the end of its calls, and fails unless all went as the scenario says. */
  async done() {
    const code = await this.ended();
    if (code === 0) return;
    throw new Error(`SIPp ended with ${code}:\n${this.said()}`);
  }

  /** What it did, in place of the screens that it draws. */
  said() {
    const errors = existsSync(this.#errors) ? readFileSync(this.#errors, "utf8") : "";
    const seen = this.messages().map(({ out, text }) => `${out ? ">" : "<"} ${text.split("\n")[0]}`);
    return `${seen.join("\n")}\n${errors.slice(0, 2_000)}`;
  }
}

/** The value of a header field of a message; null: it has none. */
export const field = (text, name) => new RegExp(`^${name}: *(.*)$`, "im").exec(text)?.[1] ?? null;

/** The address and port for RTP of a session description: `address:port`. */
export const rtpOf = (text) => `${/^c=IN IP4 (\S+)/m.exec(text)[1]}:${/^m=audio (\d+)/m.exec(text)[1]}`;
