// The page of snippets: each block runs from its button, byte for byte as the file says it, and does what the guide says.
import { readFileSync } from "node:fs";
import { check, same, soon } from "./lib/check.mjs";
import { at } from "./lib/demo.mjs";
import { Gateway } from "./lib/gateway.mjs";

const BEFORE = readFileSync(new URL("www/before.js", import.meta.url), "utf8");
/** What the partner plays. */
const TONE = 660;

const CALLED = ["partner: rings", "onCallProgressing", "onCallEstablished"];
const CALLING = ["onIncomingCall", "onCallEstablished"];

/** By the id of the article: which button, what is reported at least, in this order, and whether the partner is heard. */
const RUNS = {
  enable: { says: ["getCallClient() gives object"] },
  "user-short": { filled: true, says: CALLED, sound: true },
  user: { says: CALLED, sound: true },
  phone: { says: ["onCallProgressing", "onCallEstablished", "onCallEnded: HUNG_UP"], ms: 25_000 },
  sip: { says: ["onCallEnded: FAILURE"] },
  conference: { says: ["onCallEnded: FAILURE"] },
  "ringback-tone": { says: CALLED, sound: true },
  active: { says: CALLING, sound: true },
  listen: { filled: true, says: CALLING, sound: true },
  ring: { filled: true, says: CALLING, sound: true },
  answer: { filled: true, says: CALLING, sound: true },
  decline: { filled: true, says: ["onIncomingCall", "onCallEnded: DENIED"] },
  hangup: { says: [...CALLED, "onCallEnded: HUNG_UP"] },
  "change-of-mind": { says: ["onCallEnded: FAILURE"] },
  "change-of-mind filled": { filled: true, says: ["onCallEnded: CANCELED"] },
  video: { filled: false, reason: true },
};

/** Some at a time, for most of them wait; each has a gateway of its own, as the partner has the same name everywhere. */
const ABREAST = 3;
let gateways = [];

export async function setUp() {
  gateways = await Promise.all(Array.from({ length: ABREAST }, () => Gateway.start()));
}

export async function tearDown() {
  await Promise.all(gateways.map((gateway) => gateway.stop()));
}

export default function suite(test) {
  test("each one runs from its button as it is printed, or the page says why it cannot", 150, all);
}

async function all(world) {
  const names = Object.keys(RUNS);
  const pages = await Promise.all(gateways.map((gateway) => open(world, gateway)));
  const [first] = pages;
  const known = await first.run(() => [...document.querySelectorAll(".snippet")].map(({ id }) => id));
  same([...new Set(names.map((name) => name.split(" ")[0]))], known, "the snippets of the page");
  const gaps = await first.run(() => [...document.querySelectorAll("[data-testid=reason]")].map((note) => note.closest("article").id));
  same(
    gaps,
    known.filter((id) => RUNS[id].filled !== undefined),
    "what the guide prints with gaps",
  );
  for (const width of [390, 1_440]) {
    await first.tab.setViewport({ width, height: 900 });
    same(
      await first.tab.$$eval("pre", (all) => all.filter((pre) => pre.scrollWidth > pre.clientWidth).length),
      0,
      `cut at ${width} pixels`,
    );
  }
  const next = async (user) => {
    for (let name; (name = names.shift());) if (!RUNS[name].reason) await runs(user, name);
  };
  await Promise.all(pages.map(next));
}

async function open(world, server) {
  const user = await world.page("chromium", { server, own: "/snippets.html", inject: `${BEFORE};(${keepScripts})()` });
  user.name = "snippets";
  return user;
}

/** Keeps the text of each inline script that the page adds. */
function keepScripts() {
  window.executed = [];
  const append = Element.prototype.append;
  Element.prototype.append = function (...nodes) {
    for (const node of nodes) if (node instanceof HTMLScriptElement) window.executed.push(node.textContent);
    return append.apply(this, nodes);
  };
}

async function runs(user, name) {
  const [id] = name.split(" ");
  const { filled = false, says, sound = false, ms = 12_000 } = RUNS[name];
  await user.run(
    (article, button) => /** @type {HTMLElement} */ (document.querySelector(`#${article} [data-testid=${button}]`)).click(),
    id,
    filled ? "run-filled" : "run",
  );
  const reported = () =>
    user.run((article) => [...document.querySelectorAll(`#${article} .events span`)].map((line) => line.textContent), id);
  await soon(async () => {
    const lines = await reported();
    let from = 0;
    for (const words of says) {
      const found = lines.findIndex((line, n) => n >= from && line.startsWith(words));
      check(found >= 0, `${name}: ${words} is missing in ${JSON.stringify(lines)}`);
      from = found + 1;
    }
  }, ms);
  if (sound)
    await soon(async () => check(Math.abs((await hertz(user)) - TONE) < 30, `${name}: ${await hertz(user)} Hz instead of ${TONE}`), 6_000);
  same(await user.run(() => window.executed.splice(0)), [await printed(user, id, filled)], `${name}: what ran`);
  await user.run((article) => /** @type {HTMLElement} */ (document.querySelector(`#${article} [data-testid=stop]`)).click(), id);
}

const hertz = (user) => user.tab.$eval(at("frequency"), (element) => Number(element.dataset.frequency));

/** The code as the file has it. */
const printed = (user, article, filled) =>
  user.run(
    async (id, which) => {
      const text = await (await fetch(location.pathname)).text();
      const page = new DOMParser().parseFromString(text, "text/html");
      return page.querySelector(`#${id} pre${which ? ".filled" : ":not(.filled)"}`).textContent;
    },
    article,
    filled,
  );
