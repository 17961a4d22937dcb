// What a page does with the SDK: the documented snippets, a slow microphone, a dead STUN server, DTMF digits, many calls, and the demo page itself.
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bar } from "./lib/bar.mjs";
import { PAIRS, answer, established, hearEachOther, ringing } from "./lib/calls.mjs";
import { check, events, hears, same, silent, soon } from "./lib/check.mjs";
import { at, demoPage, endsWith, fill, holdZero, press, shoot, shown, text } from "./lib/demo.mjs";
import { heardDigits } from "./lib/dtmf.mjs";
import { Gateway } from "./lib/gateway.mjs";
import { SILENCE, TONES, pause } from "./lib/world.mjs";

const DOCUMENT = readFileSync(new URL("../../docs/pages.md", import.meta.url), "utf8");

export default function suite(test) {
  for (const [from, to] of PAIRS) {
    const both = `(${from} calls ${to})`;
    test(`the short snippet with jQuery makes sound ${both}`, 30, (world) => shortSnippet(world, from, to));
    test(`the ringback snippet makes sound and stops it ${both}`, 30, (world) => ringbackSnippet(world, from, to));
    test(`incomingStream and incomingStreamURL in elements of any kind ${both}`, 30, (world) => elements(world, from, to));
    test.timed(`rings while the caller's microphone takes 500 ms ${both}`, 30, (world) => slowMicrophone(world, from, to));
    test(`rings though the caller's microphone never opens ${both}`, 30, (world) => noMicrophone(world, from, to));
    test.timed(`a dead STUN server costs nothing ${both}`, 30, (world) => deadStun(world, from, to));
    test(`connectWhileRinging off: no candidate of the callee before its answer ${both}`, 30, (world) => lateConnect(world, from, to));
    test(`DTMF digits travel by RTP ${both}`, 50, (world) => digits(world, from, to));
    test(`a call with video shows a moving picture on both sides ${both}`, 30, (world) => video(world, from, to));
    test(`twenty calls leave nothing open ${both}`, 60, (world) => twentyCalls(world, from, to));
    test(`the demo page makes a call by its buttons ${both}`, 60, (world) => demo(world, from, to));
  }
  for (const where of ["chromium", "firefox"]) {
    test(`a page of a file signs in where the application names its origin, null (${where})`, 30, (world) => ofAFile(world, where));
  }
  test("a microphone that is chosen at the demo page in a call is heard", 60, chosen);
  test("the documented calls to a phone and a SIP address, and the demo page's to the test number", 60, outside);
}

async function shortSnippet(world, from, to) {
  const [alice, bob] = await world.pair(from, to, { page: "snippets.html" });
  same(await alice.run(() => window.constructedAtOnce), "function", "new SinchClient() in the next inline script");
  await alice.call(bob.id);
  await alice.run(() => e2e.snippet(0, "short"));
  await bob.until(0, "onIncomingCall");
  await bob.run(() => e2e.snippet(0, "short"));
  await answer(alice, bob);
  await Promise.all([soon(() => elementPlays(alice, "#incoming", bob)), soon(() => elementPlays(bob, "#incoming", alice))]);
  same(await alice.run(() => window.elementErrors), [], "error events of the audio elements");
}

async function ringbackSnippet(world, from, to) {
  const [alice, bob] = await world.pair(from, to, { page: "snippets.html" });
  await alice.call(bob.id);
  await alice.run(() => e2e.snippet(0, "ringback"));
  await bob.until(0, "onIncomingCall");
  const playing = () => alice.run(() => !(/** @type {HTMLMediaElement} */ (document.querySelector("#ringback")).paused));
  await soon(async () => check(await playing(), "the ringback plays while it rings"));
  await pause(300);
  await bob.answer();
  await alice.until(0, "onCallEstablished");
  check(!(await playing()), "the ringback stops at the answer");
  await soon(() => elementPlays(alice, "#incoming", bob));
  await alice.hangup();
  await Promise.all([alice.until(0, "onCallEnded"), bob.until(0, "onCallEnded")]);
  await soon(async () => {
    const after = await alice.run(() => {
      /** @type {HTMLMediaElement} */
      const element = document.querySelector("#incoming");
      return { stream: element.srcObject, src: element.getAttribute("src") ?? "" };
    });
    same(after, { stream: null, src: "" }, 'the element after attr("src", "")');
  });
}

/** `srcObject`, the `src` property, an element outside the document, `new Audio(url)`, and "" in the middle of a call. */
async function elements(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  const ways = await alice.run(async () => {
    const { call } = e2e.calls[0];
    const url = call.incomingStreamURL;
    /** @type {Record<string, HTMLMediaElement>} */
    const made = {
      stream: new Audio(),
      property: document.querySelector("#incoming"),
      outside: document.createElement("audio"),
      constructed: new Audio(url),
      own: new Audio(call.outgoingStreamURL),
    };
    made.stream.srcObject = call.incomingStream;
    made.property.src = url;
    made.outside.setAttribute("src", url);
    window.made = made;
    for (const element of Object.values(made)) element.play().catch(() => {});
    return {
      type: typeof url,
      same: url === call.incomingStreamURL,
      tracks: call.incomingStream.getAudioTracks().length,
    };
  });
  same(ways, { type: "string", same: true, tracks: 1 }, "the properties");
  for (const way of ["stream", "property", "outside", "constructed"]) await soon(() => elementPlays(alice, way, bob));
  await soon(() => elementPlays(alice, "own", alice));
  await alice.run(() => (window.made.property.src = ""));
  await soon(async () => same(await alice.run(() => window.made.property.srcObject), null, 'srcObject after src = ""'));
  await hears(alice, 0, bob);
  await bob.hangup();
  await alice.until(0, "onCallEnded");
}

async function elementPlays(user, which, speaker) {
  const heard = await user.run((name, tones) => e2e.hearElement(window.made?.[name] ?? document.querySelector(name), tones), which, TONES);
  const right = heard.tone === speaker.tone && heard.rms > 5 * SILENCE;
  check(right, `element ${which} of ${user.name} should play the ${speaker.tone} Hz of ${speaker.name}: ${JSON.stringify(heard)}`);
}

async function slowMicrophone(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  await alice.run(() => (window.microphone.delay = 500));
  await alice.call(bob.id);
  await Promise.all([bob.until(0, "onIncomingCall"), alice.until(0, "onCallProgressing")]);
  const times = await callTimes(alice);
  bar(times.ringing, 450, "the callee rings before the microphone opens after 500 ms");
  await bob.answer();
  await alice.until(0, "onCallEstablished");
  await hearEachOther(alice, bob);
  return `INVITE after ${times.invite} ms, ringing after ${times.ringing} ms`;
}

async function noMicrophone(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  await alice.run(() => (window.microphone.never = true));
  await alice.call(bob.id);
  await Promise.all([bob.until(0, "onIncomingCall"), alice.until(0, "onCallProgressing")]);
  const times = await callTimes(alice);
  await alice.hangup();
  await Promise.all([alice.until(0, "onCallEnded"), bob.until(0, "onCallEnded")]);
  await events(alice, 0, ["onCallProgressing", "onCallEnded(CANCELED)"]);
  return `INVITE after ${times.invite} ms, ringing after ${times.ringing} ms`;
}

async function deadStun(world, from, to) {
  const dead = createSocket("udp4").bind(0, "127.0.0.1"); // receives every request and never responds
  await once(dead, "listening");
  try {
    return await callWithStun(world, from, to, `127.0.0.1:${dead.address().port}`);
  } finally {
    dead.close();
  }
}

async function callWithStun(world, from, to, address) {
  const [alice, bob] = await world.pair(from, to, { config: { iceServers: [{ urls: `stun:${address}` }] } });
  const used = () => alice.run(() => JSON.stringify(window.seen.peers.map(({ config }) => config?.iceServers)));
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  check((await used()).includes(address), `the page's ICE servers are used: ${await used()}`);
  await answer(alice, bob);
  await hearEachOther(alice, bob);
  const times = await callTimes(alice);
  bar(times.invite, 1_000, "INVITE, for which JsSIP needs 40 s and SIP.js 5 s here");
  bar(times.ringing, 2_000, "ringing");
  return `INVITE after ${times.invite} ms, ringing after ${times.ringing} ms, established after ${times.established} ms`;
}

async function lateConnect(world, from, to) {
  const [alice, bob] = await ringing(world, from, to, { config: { connectWhileRinging: false } });
  await pause(400);
  const early = await alice.run(() =>
    window.seen.sip.filter(({ out, text }) => !out && text.includes("candidate:")).map(({ text }) => text.split("\r\n")[0]),
  );
  same(early, [], "messages with the callee's candidates before the answer");
  await silent(alice, 0);
  await answer(alice, bob);
  await hearEachOther(alice, bob);
}

async function digits(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  await soon(() => hears(bob, 0, alice));
  await heardDigits(alice, bob, "0159*#AD");
  await heardDigits(bob, alice, "42#");
  await soon(() => hears(bob, 0, alice));
}

async function video(world, from, to) {
  const [alice, bob] = await established(world, from, to, { config: { capabilities: { video: true } } });
  for (const user of [alice, bob]) {
    await user.run(() => {
      window.picture = document.body.appendChild(document.createElement("video"));
      Object.assign(window.picture, { autoplay: true, muted: true, srcObject: e2e.calls[0].call.incomingStream });
    });
    await user.wait(() => window.picture.videoWidth > 0 && window.picture.currentTime > 0.3, "a picture that moves", 10_000);
  }
  await alice.hangup();
  await bob.until(0, "onCallEnded");
  for (const user of [alice, bob])
    await soon(async () => same(await user.open(), { tracks: 0, peers: 0 }, `what ${user.name} still holds`));
}

async function twentyCalls(world, from, to) {
  const [alice, bob] = await world.pair(from, to);
  await bob.run(() => (e2e.answerAtOnce = true));
  const began = Date.now();
  const ringing = [];
  for (let i = 0; i < 20; i++) {
    await alice.call(bob.id);
    await alice.until(i, "onCallEstablished");
    ringing.push((await callTimes(alice, i)).ringing);
    await (i % 2 ? alice : bob).hangup(i);
    await Promise.all([alice.until(i, "onCallEnded"), bob.until(i, "onCallEnded")]);
  }
  const took = Date.now() - began;
  for (const user of [alice, bob])
    await soon(async () => same(await user.open(), { tracks: 0, peers: 0 }, `what ${user.name} still holds`));
  const wrong = (await alice.run(() => e2e.calls.map((_, i) => e2e.names(i).join(" ")))).filter(
    (names) => names !== "onCallProgressing onCallEstablished onCallEnded(HUNG_UP)",
  );
  same(wrong, [], "calls with other events");
  ringing.sort((a, b) => a - b);
  return `${took} ms in all, ringing after ${ringing[10]} ms (median)`;
}

/** Two people at the demo page: sign in, call, answer, talk, mute, use the keypad, hang up; decline; each state as a picture. */
async function demo(world, from, to) {
  const names = [world.name("Ann"), world.name("Ben")];
  const [ann, ben] = await Promise.all([demoPage(world, from, names[0]), demoPage(world, to, names[1])]);
  const picture = (who, tab, state) => shoot(tab, `${who === from ? "caller" : "callee"}-${who}-${state}`);
  await picture(from, ann, "ready");
  await dialPad(ann);
  await picture(from, ann, "dialling");
  await press(ann, "dial-toggle");

  await fill(ann, "callee", names[1]);
  await press(ann, "call");
  await shown(ben, "answer");
  await shown(ann, "hangup");
  same([await focused(ann), await ring(ann)], ["hangup", "none"], "the focus goes on, without a ring: the call was made by a click");
  same(await text(ben, "incoming-name"), names[0], "the caller's name");
  await picture(from, ann, "calling");
  await picture(to, ben, "incoming");
  await press(ben, "answer");
  await shown(ben, "hangup");
  await shown(ann, "timer");
  await pause(1_200);
  same(await text(ann, "timer").then((time) => /^0:0[1-9]$/.test(time)), true, "the timer runs");
  await press(ann, "mute");
  await press(ann, "keypad-toggle");
  await shown(ann, "keypad");
  await picture(from, ann, "talking");
  await picture(to, ben, "talking");
  await press(ann, "hangup");
  for (const tab of [ann, ben]) await endsWith(tab, "HUNG_UP");
  await picture(from, ann, "ended");

  await fill(ben, "callee", names[0]);
  await ben.keyboard.press("Enter");
  await shown(ann, "decline");
  same([await focused(ben), await ring(ben)], ["hangup", "solid"], "where somebody goes on who calls by the keyboard");
  await press(ann, "decline");
  for (const tab of [ann, ben]) await endsWith(tab, "DENIED");
  for (const tab of [ann, ben]) check((await logged(tab)) >= 2, "two calls in the log");
  await picture(to, ben, "ended");
  await badNumber(ben);
}

/** The first choice of a microphone is made while two people talk. */
async function chosen(world) {
  const names = [world.name("Ann"), world.name("Ben")];
  const [ann, ben] = await Promise.all([demoPage(world, "chromium", names[0]), demoPage(world, "chromium2", names[1])]);
  await fill(ann, "callee", names[1]);
  await press(ann, "call");
  await press(ben, "answer");
  await shown(ann, "timer");
  const level = (tab, id) => tab.$eval(at(id), (element) => Number(element.dataset.level));
  const heard = async () => {
    check((await level(ben, "meter-in")) > 0.2, "Ben hears Ann");
    check((await level(ann, "meter")) > 0.2, "Ann's own meter moves");
  };
  await soon(heard);
  await ann.waitForFunction(() => document.querySelectorAll("#mic option").length > 1, { timeout: 8_000 });
  await ann.select("#mic", await ann.$eval("#mic option:last-child", (/** @type {HTMLOptionElement} */ option) => option.value));
  // What came before is over: whatever is heard from now on comes from the chosen one.
  await pause(1_500);
  await soon(heard);
  same(await ann.$eval("#sound-note", (note) => note.checkVisibility()), false, "whether anything went wrong");
  await press(ben, "hangup");
  for (const tab of [ann, ben]) await endsWith(tab, "HUNG_UP");
}

const focused = (tab) => tab.evaluate(() => document.activeElement?.id ?? "");
const ring = (tab) => tab.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
const logged = async (tab) => (await tab.$$("[data-testid=log] > *")).length;

/** What is no number is said, and how the last call ended is not said any more. */
async function badNumber(tab) {
  const before = await logged(tab);
  await fill(tab, "callee", "+4609");
  await press(tab, "call");
  await soon(async () => check((await text(tab, "notice")).includes("7 to 15 digits"), "what is wrong with it"));
  same([await text(tab, "state"), await text(tab, "cause")], ["Ready to call", ""], "the headline");
  same(await logged(tab), before, "calls in the log");
}

/** The keypad writes a number, a 0 that is held is a +; what is no number is said and not called. */
async function dialPad(tab) {
  const field = () => tab.$eval(at("callee"), (element) => element.value);
  await press(tab, "dial-toggle");
  await holdZero(tab);
  await soon(async () => same(await field(), "+", "a 0 that was held"));
  await pause(200);
  for (const key of "46090") await press(tab, `key-${key}`);
  await press(tab, "erase");
  same(await field(), "+4609", "what the keys wrote");
  check((await text(tab, "callee-hint")).includes("phone +4609"), "the page says that it would call a phone");
  await press(tab, "call");
  await soon(async () => check((await text(tab, "notice")).includes("7 to 15 digits"), "what is wrong with it"));
  same(await text(tab, "state"), "Ready to call", "nothing was called");
}

async function ofAFile(world, where) {
  const folder = mkdtempSync(join(tmpdir(), "offhook-file-"));
  const gateway = await Gateway.start();
  const tab = await (await world.browsers.get(where)).newPage();
  try {
    gateway.command("application", "add", "files", "--origin", "null", "--allow-new-users");
    gateway.command("application", "add", "shop", "--origin", "https://shop.example", "--allow-new-users");
    await gateway.crash(0); // as a new application counts from the next start
    const file = join(folder, "page.html");
    const script = `http://${gateway.address}/offhook.js`;
    writeFileSync(file, `<!doctype html><meta charset="utf-8"><title>A file</title><script src="${script}"></script>`);
    await tab.goto(pathToFileURL(file).href);
    const comesIn = (applicationKey) =>
      tab.evaluate(
        async (applicationKey, server) => {
          const client = new SinchClient({ applicationKey, server, capabilities: { calling: true } });
          const made = client.newUser({ username: "alice", password: "wonderland" });
          return made
            .then((login) => client.start(login))
            .then(() => true)
            .catch(() => false)
            .finally(() => client.terminate());
        },
        applicationKey,
        `http://${gateway.address}`,
      );
    same([await comesIn("files"), await comesIn("shop")], [true, false], "who lets the page in");
  } finally {
    await tab.close();
    await gateway.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Both at once, as the test number takes its time: it answers after 7.5 s, says that the call is connected, and hangs up. */
async function outside(world) {
  const firefox = await world.user("firefox", world.name("carol"));
  const announcement = refusedAddress(firefox).then(() => announced(firefox));
  await Promise.all([announcement, demoPage(world, "chromium", world.name("Ann")).then(testNumber)]);
}

/** Runs the block of docs/pages.md that has `word` in it; its call is `outside.call` then. */
function runBlock(user, word) {
  const [, code] = [...DOCUMENT.matchAll(/```js\n([\s\S]*?)```/g)].find(([, text]) => text.includes(word));
  return user.run(`{ const client = e2e.client; ${code}; window.outside = { call }; }`);
}

const over = (user, ms) => user.wait(() => window.outside.call.getState() === "ENDED", "the end", ms);

async function announced(user) {
  await runBlock(user, "callPhoneNumber(");
  await user.wait(() => window.outside.call.getState() === "ESTABLISHED", "the answer", 12_000);
  await soon(async () => {
    const heard = await user.run((tones) => e2e.hearElement(document.querySelector("#incoming"), tones, 400), TONES);
    check(heard.rms > 5 * SILENCE, `the announcement: ${JSON.stringify(heard)}`);
  });
  await over(user, 15_000);
  const facts = await user.run(({ call } = window.outside) => [call.getEndCause(), call.callDomain, call.getRemoteUserId(), call.error]);
  same(facts, ["HUNG_UP", "pstn", "+46000000000", null], "how it ended");
}

async function refusedAddress(user) {
  await runBlock(user, "callSip(");
  await over(user, 8_000);
  const { cause, code, headers } = await user.run(({ call } = window.outside) => ({
    cause: call.getEndCause(),
    ...call.errors,
    code: call.errors.code,
  }));
  same([cause, code, typeof headers], ["FAILURE", 50300, "object"], "a domain to which there is no way");
}

async function testNumber(tab) {
  await press(tab, "test-number");
  await shown(tab, "timer", 12_000);
  await soon(async () =>
    check(Number(await tab.$eval(at("meter-in"), (element) => element.dataset.level)) > 0.2, "the announcement is heard"),
  );
  await shoot(tab, "test-number");
  await endsWith(tab, "HUNG_UP", 15_000);
  same(await tab.$eval(at("price"), (element) => element.hidden), true, "it costs nothing");
}

/** When the INVITE was sent, the callee rang and the call was established, in ms from callUser() in the caller's page. */
function callTimes(user, i = 0) {
  return user.run((n) => {
    const { created, events: list } = e2e.calls[n];
    const since = (value) => (value === undefined ? null : Math.round(value - created));
    const invite = window.seen.sip.find(({ at, out, text }) => out && at >= created - 1 && text.startsWith("INVITE "));
    const event = (name) => list.find((entry) => entry.name === name)?.at;
    return { invite: since(invite?.at), ringing: since(event("onCallProgressing")), established: since(event("onCallEstablished")) };
  }, i);
}
