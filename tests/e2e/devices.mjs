// What a page sends, and its devices: the local picture of a first call, a microphone that goes away in a call and comes back, and another
// stream in its place.
import { PAIRS, established, hearEachOther } from "./lib/calls.mjs";
import { check, events, hears, same, silent, soon } from "./lib/check.mjs";
import { pause } from "./lib/world.mjs";

export default function suite(test) {
  for (const [from, to] of PAIRS) {
    const both = `(${from} calls ${to})`;
    test(`the local picture of the original's samples, in the first call ${both}`, 30, (world) => localPicture(world, from, to));
    test(`initStream replaces what a call sends ${both}`, 40, (world) => anotherStream(world, from, to));
  }
  for (const where of ["chromium", "firefox"]) {
    test(`${where}: a microphone that goes away in a call is replaced by the default one`, 40, (world) => replaced(world, where));
    test(`${where}: without any microphone a call goes on, silent, until there is one`, 40, (world) => missing(world, where));
  }
}

const other = (where) => (where === "chromium" ? "firefox" : "chromium");

/** As the samples do it: whenever the call says something, what it sends and what it receives go to the two elements. */
async function localPicture(world, from, to) {
  const before = { microphone: { delay: 300 } };
  const [alice, bob] = await world.pair(from, to, { before, config: { capabilities: { video: true } } });
  for (const user of [alice, bob]) {
    await user.run(() => {
      window.pictures = [];
      window.attach = (call) => {
        for (const url of [call.outgoingStreamURL, call.outgoingStream]) {
          const video = document.body.appendChild(document.createElement("video"));
          Object.assign(video, { autoplay: true, muted: true, [typeof url === "string" ? "src" : "srcObject"]: url });
          window.pictures.push(video);
        }
      };
    });
  }
  await bob.run(() =>
    e2e.client.getCallClient().addEventListener({
      onIncomingCall(call) {
        call.addEventListener({ onCallEstablished: window.attach });
        call.answer();
      },
    }),
  );
  await alice.run((id) => {
    window.outgoing = e2e.client.getCallClient().callUser(id);
    window.outgoing.addEventListener({ onCallProgressing: window.attach, onCallEstablished: window.attach });
  }, bob.id);
  for (const [user, count] of /** @type {[any, number][]} */ ([
    [alice, 4],
    [bob, 2],
  ])) {
    await user.wait((n) => window.pictures.length === n, "the events", 8_000, count);
    const move = () => window.pictures.every((video) => video.videoWidth > 0 && video.currentTime > 0.3);
    await user.wait(move, "a local picture in each element", 10_000);
  }
  await alice.run(() => window.outgoing.hangup());
  for (const user of [alice, bob])
    await soon(async () => same(await user.open(), { tracks: 0, peers: 0 }, `what ${user.name} still holds`));
}

/** The page sends a tone, another one, and the tone again. */
async function anotherStream(world, from, to) {
  const [alice, bob] = await established(world, from, to);
  await hearEachOther(alice, bob);
  const stream = await alice.run(() => e2e.calls[0].call.outgoingStream.id);
  for (const tone of [1500, 880]) {
    await alice.run(async (hertz) => e2e.client.getCallClient().initStream((await e2e.tone(hertz)).stream), tone);
    await soon(() => hears(bob, 0, { tone, name: "the page's stream" }));
    await hears(alice, 0, bob);
  }
  same(await alice.run(() => e2e.calls[0].call.outgoingStream.id), stream, "the stream of the call");
  same(await extra(alice), ["onLocalStream", "onLocalStream", "onLocalStream"], "the microphone and two streams");
  same((await alice.open()).tracks, 0, "tracks of the microphone that are open");
  await negotiatesNothing(alice);
  await alice.hangup();
  await bob.until(0, "onCallEnded");
}

async function replaced(world, where) {
  const [alice, bob] = await calledBy(world, where);
  await alice.run(() => e2e.calls[0].call.mute());
  await soon(() => silent(bob, 0));
  await unplug(alice);
  await soon(async () => same(await extra(alice), ["onLocalStream", "onLocalTrackEnded", "onLocalStream"], "what the page is told"));
  await silent(bob, 0);
  await alice.run(() => e2e.calls[0].call.unmute());
  await soon(() => hears(bob, 0, alice));
  await hears(alice, 0, bob);
  const [ended, back] = (await alice.run(() => e2e.calls[0].extra)).filter(({ name }) => name.startsWith("onLocal")).slice(1);
  await ends(alice, bob);
  return `${Math.round(back.at - ended.at)} ms without a microphone`;
}

async function missing(world, where) {
  const [alice, bob] = await calledBy(world, where);
  await alice.run(() => (window.microphone.refuse = "NotFoundError"));
  await unplug(alice);
  await soon(async () => same(await extra(alice), ["onLocalStream", "onLocalTrackEnded"], "what the page is told"));
  await soon(() => silent(bob, 0));
  await hears(alice, 0, bob);
  await pause(2_000);
  await events(alice, 0, ["onCallProgressing", "onCallEstablished"]);
  await events(bob, 0, ["onIncomingCall", "onCallEstablished"]);
  await alice.run(() => (window.microphone.refuse = null));
  await plug(alice);
  await soon(() => hears(bob, 0, alice), 10_000);
  same(await extra(alice), ["onLocalStream", "onLocalTrackEnded", "onLocalStream"], "what the page is told in the end");
  await ends(alice, bob);
}

/** A call whose caller has a microphone that `unplug` can take away. */
async function calledBy(world, where) {
  const users = await world.pair(where, other(where));
  const [alice, bob] = users;
  if (where === "firefox") await alice.run(installDevice, alice.tone);
  await alice.call(bob.id);
  await bob.until(0, "onIncomingCall");
  await bob.answer();
  await Promise.all([alice.until(0, "onCallEstablished"), bob.until(0, "onCallEstablished")]);
  await hearEachOther(alice, bob);
  return users;
}

/** Firefox ends the tracks of an element that plays nothing any more: such an element is the microphone. */
function installDevice(hertz) {
  window.microphone.open = async () => {
    const { element, stream } = await e2e.tone(hertz);
    window.device = element;
    return stream;
  };
}

/** Ends the tracks of the microphone, as the browser does it: in Chromium the permission is taken away. */
async function unplug(user) {
  if (user.where === "chromium") return permit(user, "denied");
  await user.run(() => {
    window.device.removeAttribute("src");
    window.device.load();
  });
}

/** The microphone is there again. */
async function plug(user) {
  if (user.where === "chromium") return permit(user, "granted");
  await user.run(() => navigator.mediaDevices.dispatchEvent(new Event("devicechange")));
}

/** What is set so lasts as long as the session. */
async function permit(user, setting) {
  user.session ??= await user.tab.createCDPSession();
  await user.session.send("Browser.setPermission", { origin: user.site.origin, permission: { name: "microphone" }, setting });
}

async function ends(alice, bob) {
  await negotiatesNothing(alice);
  await alice.hangup();
  await bob.until(0, "onCallEnded");
  await events(alice, 0, ["onCallProgressing", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
  for (const user of [alice, bob])
    await soon(async () => same(await user.open(), { tracks: 0, peers: 0 }, `what ${user.name} still holds`));
}

const extra = async (user) =>
  (await user.run(() => e2e.calls[0].extra.map(({ name }) => name))).filter((name) => name.startsWith("onLocal"));

async function negotiatesNothing(user) {
  const offers = await user.run(() => seen.sip.filter(({ out, text }) => out && /^(INVITE|UPDATE) /.test(text)).length);
  check(offers <= 2, `the first INVITE, perhaps with credentials, and no other: ${offers} were sent`);
}
