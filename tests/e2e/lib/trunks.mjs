// A gateway with trunks: its configuration, and the calls between its pages and those behind the trunks.
import { Gateway } from "./gateway.mjs";
import { freePort } from "./ports.mjs";

/** The first and the last port for the sound of the SIP side. */
export const MEDIA_PORTS = [42_000, 43_999];

/** `trunks`: name → fields of the configuration. `sections`: name → fields of other sections. Gives it with `sip`, where trunks send to. */
export async function gatewayWith(trunks, sections = {}, options = {}) {
  const port = await freePort();
  const all = { media: { ports: MEDIA_PORTS.join("-") }, ...sections, trunks: { udp: port, tcp: port, tls: 0, ...sections.trunks } };
  const text = [
    ...Object.entries(all).map(([name, fields]) => table(`[${name}]`, fields)),
    ...Object.entries(trunks).map(([name, fields]) => table("[[trunk]]", { name, watch: 0, ...fields })),
  ];
  const gateway = await Gateway.start({ ...options, settings: text.join("\n") });
  gateway.sip = `127.0.0.1:${port}`;
  return gateway;
}

/** What JSON writes for text, numbers and lists is TOML, too. */
const table = (head, fields) =>
  `${head}\n${Object.entries(fields)
    .map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`)
    .join("")}`;
