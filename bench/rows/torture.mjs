// RFC 4475: the torture messages that have one right answer, and how many of them each library gives it to, by what it does with every
// message that comes: JsSIP's parser and its sanity check, the parser and user agent of SIP.js up to its transactions, Offhook's parser
// and its checks.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { OUT } from "../lib/stage.mjs";
import { LIBRARIES } from "../lib/variants.mjs";

const CORPUS = new URL("../../../shared/corpora/rfc4475/", import.meta.url);
const require = createRequire(new URL("../../tests/package.json", import.meta.url));

export async function run() {
  if (!existsSync(CORPUS)) return [];
  const takes = { offhook: await offhook(), jssip: jssip(), sipjs: await sipjs() };
  const rows = readFileSync(new URL("expected.tsv", CORPUS), "utf8").trim().split("\n").slice(1);
  const messages = rows
    .map((row) => row.split("\t"))
    .flatMap(([file, , , , syntax, action]) => {
      const right = rightAnswer(syntax, action);
      return right ? [{ right, bytes: readFileSync(new URL(file, CORPUS)) }] : [];
    });
  const results = LIBRARIES.map(({ name, library }) => {
    const good = messages.filter(({ right, bytes }) => right.includes(takes[library](bytes)));
    return { name, values: [good.length], failed: [] };
  });
  return [{ title: `RFC 4475 messages handled right, of ${messages.length}`, unit: "", digits: 0, more: true, results }];
}

/** What may be done with a message: accept it (`true`), reject it (`false`); `null` where the RFC leaves the choice. */
function rightAnswer(syntax, action) {
  const broken = syntax === "invalid" || syntax === "semantic";
  if (broken) return ["reject", "discard"].includes(action) ? [false] : null;
  if (syntax === "parses") return null;
  return action === "discard" ? [true, false] : [true];
}

async function offhook() {
  const { initSync, takes } = await import(pathToFileURL(`${OUT}/parser/parser.js`).href);
  initSync({ module: readFileSync(`${OUT}/parser/parser_bg.wasm`) });
  return takes;
}

function jssip() {
  const { parseMessage } = require("jssip/lib/Parser.js");
  const isSane = require("jssip/lib/sanityCheck.js");
  const ua = { configuration: { jssip_id: "none" }, _transactions: { nist: {}, ist: {} } };
  const transport = { send() {} };
  return attempt((text) => {
    const message = parseMessage(text, ua);
    return message !== undefined && isSane(message, ua, transport) === true;
  });
}

async function sipjs() {
  const folder = pathToFileURL(require.resolve("sip.js"));
  const [{ UserAgent }, { IncomingRequestMessage, Parser }] = await Promise.all([
    import(folder.href),
    import(new URL("core/index.js", folder).href),
  ]);
  const agent = new UserAgent({ transportOptions: { server: "ws://server.invalid" }, logBuiltinEnabled: false });
  const silent = agent.getLogger("bench");
  let taken;
  agent._state = "Started";
  agent.userAgentCore.replyStateless = () => {};
  agent.userAgentCore.receiveIncomingRequestFromTransport = () => (taken = true);
  return attempt((text) => {
    const message = Parser.parseMessage(text, silent);
    // The user agent drops all responses to requests that are not its own.
    if (!(message instanceof IncomingRequestMessage)) return message !== undefined;
    taken = false;
    agent.onTransportMessage(text);
    return taken;
  });
}

/** Libraries take text; a parser that throws rejects the message. */
function attempt(takes) {
  return (bytes) => {
    try {
      return takes(new TextDecoder().decode(bytes));
    } catch {
      return false;
    }
  };
}
