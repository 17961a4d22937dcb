// Runs the snippets of this page, one at a time. What is executed is the text of the <pre> element, as it is shown.

/** @import { Call } from "../tests/www.d.ts" */

import { unlockAudio } from "./audio.js";
import { byId, make, show } from "./dom.js";
import { highlight } from "./highlight.js";
import { Stage } from "./stage.js";
import { errorWords } from "./words.js";

/**
 * What this page does around a snippet, by the id of its article: `before` runs first, `after` follows the snippet. Each gets the stage.
 */
/** @type {Record<string, { before?: (stage: Stage) => unknown, after?: (stage: Stage) => unknown }>} */
const SCENES = {
  enable: { after: (stage) => stage.report(`getCallClient() gives ${typeof window.sinchClient.getCallClient()}`) },
  "ringback-tone": {
    before: (stage) => {
      stage.partner.answerAfter = 3000;
    },
    after: () => {
      window.call = window.callClient.callUser("<remote user id>");
      window.call.addEventListener(window.callListeners);
    },
  },
  active: {
    after: async (stage) => {
      answerWithSound(window.sinchClient.getCallClient());
      await beCalled(stage);
    },
  },
  listen: { after: beCalledWithSound },
  ring: {
    before: () => {
      window.callListeners = {
        onCallEstablished: (call) => {
          byId("ringback").pause();
          connect(call);
        },
        onCallEnded: () => byId("ringback").pause(),
      };
    },
    after: beCalled,
  },
  answer: { before: ringFirst },
  decline: { before: ringFirst },
  hangup: { before: callFirst },
};

unlockAudio();
const stage = window.SinchClient ? new Stage(window.SinchClient) : null;
if (!stage) fail("The SDK did not load: /offhook.js is missing on this server.");
/** @type {HTMLElement | null} */
let running = null;
document.querySelectorAll(".snippet").forEach((article) => furnish(/** @type {HTMLElement} */ (article)));

/**
 * Adds the buttons and the list of events to a snippet.
 * @param {HTMLElement} article
 */
function furnish(article) {
  const events = make("div", "events");
  events.setAttribute("role", "log");
  events.setAttribute("aria-label", "Events");
  const stop = button("Stop", "button slim", () => end(article));
  stop.dataset.testid = "stop";
  stop.disabled = true;
  for (const pre of article.querySelectorAll("pre")) {
    const code = pre.textContent;
    pre.tabIndex = 0;
    pre.setAttribute("role", "group");
    pre.setAttribute("aria-label", "Code");
    highlight(pre);
    pre.after(controls(article, pre, code, stop));
  }
  article.append(events);
}

/**
 * @param {HTMLElement} article
 * @param {HTMLElement} pre
 * @param {string} code
 * @param {HTMLButtonElement} stop
 */
function controls(article, pre, code, stop) {
  const filled = pre.classList.contains("filled");
  const trouble = filled ? null : syntaxError(code);
  if (trouble) {
    const lead = "The guide prints this with gaps, so it cannot run as it is: ";
    const reason = make("p", "note reason", lead, make("code", "", trouble.message));
    reason.dataset.testid = "reason";
    return reason;
  }
  const run = button(filled ? "Run with the gaps filled in" : "Run", "button primary slim", () => start(article, code));
  run.dataset.testid = filled ? "run-filled" : "run";
  run.disabled = !stage;
  return make("div", "actions", run, article.contains(stop) ? "" : stop);
}

/**
 * Why JavaScript cannot even read the code, or null.
 * @param {string} code
 */
function syntaxError(code) {
  try {
    new Function(code);
    return null;
  } catch (error) {
    return /** @type {SyntaxError} */ (error);
  }
}

/**
 * @param {HTMLElement} article
 * @param {string} code
 */
async function start(article, code) {
  if (!stage) return;
  if (running) end(running);
  running = article;
  article.dataset.run = "on";
  part(article, "[data-testid=stop]").disabled = false;
  part(article, ".events").replaceChildren();
  const scene = SCENES[article.id] ?? {};
  const from = performance.now();
  const report = (/** @type {string} */ words, bad = false) => report_(article, performance.now() - from, words, bad);
  const current = () => running === article;
  try {
    await stage.begin(report);
    if (current()) await scene.before?.(stage);
    if (!current()) return;
    report("the snippet runs");
    const error = execute(code);
    if (error) report(`${error.name}: ${error.message}`, true);
    else await scene.after?.(stage);
  } catch (error) {
    report(errorWords(error), true);
  }
}

/** @param {HTMLElement} article */
function end(article) {
  if (running !== article) return;
  stage?.end();
  running = null;
  delete article.dataset.run;
  part(article, "[data-testid=stop]").disabled = true;
}

/**
 * A button or list that `furnish` has added.
 * @param {HTMLElement} article
 * @param {string} selector
 */
function part(article, selector) {
  return /** @type {HTMLButtonElement} */ (article.querySelector(selector));
}

/**
 * Runs code as an inline script of this page; gives what it threw.
 * @param {string} code
 * @returns {Error | null}
 */
function execute(code) {
  /** @type {Error | null} */
  let thrown = null;
  const listener = (/** @type {ErrorEvent} */ event) => {
    thrown ??= event.error ?? new Error(event.message);
    event.preventDefault();
  };
  addEventListener("error", listener);
  const script = document.createElement("script");
  script.textContent = code;
  document.body.append(script);
  script.remove();
  removeEventListener("error", listener);
  return thrown;
}

/**
 * @param {HTMLElement} article
 * @param {number} milliseconds
 * @param {string} words
 * @param {boolean} bad
 */
function report_(article, milliseconds, words, bad) {
  const time = make("time", "", `${Math.round(milliseconds)} ms`);
  part(article, ".events").append(make("p", "", time, make("span", bad ? "bad" : "", words)));
}

/** @param {Call} call */
function connect(call) {
  byId("incoming").setAttribute("src", call.incomingStreamURL ?? "");
}

/** @param {import("../tests/www.d.ts").CallClient} callClient */
function answerWithSound(callClient) {
  callClient.addEventListener({
    onIncomingCall: (call) => {
      call.addEventListener({ onCallEstablished: connect });
      setTimeout(() => call.getState() !== "ENDED" && call.answer(), 1000);
    },
  });
}

/**
 * The page goes online, the partner calls it.
 * @param {Stage} stage
 */
async function beCalled(stage) {
  await window.sinchClient.started_;
  await window.sinchClient.startActiveConnection();
  stage.partner.callUser(stage.user);
}

/** @param {Stage} stage */
async function beCalledWithSound(stage) {
  window.callClient.addEventListener({ onIncomingCall: (call) => call.addEventListener({ onCallEstablished: connect }) });
  await beCalled(stage);
}

/**
 * There is an incoming `call` that rings.
 * @param {Stage} stage
 */
async function ringFirst(stage) {
  const incoming = new Promise((resolve) => window.callClient.addEventListener({ onIncomingCall: resolve }));
  await beCalled(stage);
  window.call = await incoming;
  window.call.addEventListener({ onCallEstablished: connect });
  byId("ringback")
    .play()
    .catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 1000));
}

/** There is a `call` that is connected. */
async function callFirst() {
  const call = window.callClient.callUser("<remote user id>");
  window.call = call;
  await new Promise((resolve) => call.addEventListener({ onCallEstablished: resolve, onCallEnded: resolve }));
  connect(call);
  await new Promise((resolve) => setTimeout(resolve, 1500));
}

/**
 * @param {string} text
 * @param {string} className
 * @param {() => void} onclick
 */
function button(text, className, onclick) {
  const element = make("button", className, text);
  element.type = "button";
  element.onclick = onclick;
  return element;
}

/** @param {string} words */
function fail(words) {
  byId("page-error").textContent = words;
  show(byId("page-error"), true);
}
