// The network is lost and comes back, pages are hidden, left and put to sleep: what is heard, what the page is told, and how long it takes.
import { readdirSync, readFileSync } from "node:fs";
import { bar } from "./lib/bar.mjs";
import { PAIRS, established } from "./lib/calls.mjs";
import { check, events, hears, same, soon } from "./lib/check.mjs";
import { listen, soundAfter, told, toldAt } from "./lib/ears.mjs";
import { Outage, everythingOf, portsOf, signallingOf } from "./lib/network.mjs";
import { skip } from "./lib/skip.mjs";
import { pause } from "./lib/world.mjs";

const ONE_PAIR = ["call reconnecting", "call reconnected"];

export default function suite(test) {
  test.timed("the server closes the WebSockets, then 5 s without any network", 60, short);
  test.timed("both sides move to another network at once", 60, moved);
  test.timed("60 s without any network, and tabs that are hidden as long", 130, long);
  test.timed("machines sleep during a call and wake", 60, asleep);
  test.timed("a page that is reloaded in a call hangs up", 40, reloaded);
  test.timed("a page that is left and come back to is there at once", 40, leftAndBack);
}

async function short(world) {
  const users = (await Promise.all(PAIRS.map(([from, to]) => talking(world, from, to)))).flat();
  await pause(1_500);
  const calm = Date.now();
  users.forEach(({ site }) => site.cut());
  await Promise.all(users.map(connected));
  const signalling = await Promise.all(users.map((user) => toldAt(user, "reconnected", calm)));
  bar(Math.max(...signalling), 2_000, "connected again");
  same(
    await Promise.all(users.map(told)),
    users.map(() => ["reconnecting", "reconnected"]),
    "what is told of a closed WebSocket",
  );
  const outage = Outage.begin(...everythingOf(...users));
  let end;
  try {
    await pause(5_000);
  } finally {
    end = outage.lift();
  }
  await pause(5_000);
  const sound = await Promise.all(users.map((user) => soundAfter(user, end, calm)));
  check(!sound.includes(null), `the sound is back after ${sound} ms`);
  bar(Math.max(...sound), 1_000, "the sound is back");
  await soon(async () => {
    for (const user of users) {
      const call = (await told(user)).filter((what) => what.startsWith("call"));
      check([0, 2].includes(call.length) && call.every((what, i) => what === ONE_PAIR[i]), `${user.name} was told ${call}`);
    }
  }, 8_000);
  await hangUp(users);
  return `WebSocket back after ${signalling.join(", ")} ms; sound back after ${sound.join(", ")} ms`;
}

/** Everything sent to the old ports is lost for good, media and signalling alike. */
async function moved(world) {
  const users = (await Promise.all(PAIRS.map(([from, to]) => talking(world, from, to)))).flat();
  await pause(1_500);
  const calm = Date.now();
  const move = Outage.begin(...(await portsOf(...users)));
  try {
    users.forEach(({ site }) => site.cut());
    await soon(async () => {
      const sound = await Promise.all(users.map((user) => soundAfter(user, calm + 1_000, calm)));
      check(
        sound.every((ms) => ms !== null),
        `sound after ${sound} ms`,
      );
    }, 30_000);
    await pause(1_000);
    const sound = await Promise.all(users.map((user) => soundAfter(user, calm + 1_000, calm)));
    // Sooner than ICE notices, except where a busy machine was late.
    const after = sound.map((ms) => ms + 1_000).sort((a, b) => a - b);
    bar(after.at(-2), 5_000, `the sound is back, but for one of ${after}`);
    bar(after.at(-1), 10_000, "the sound is back for everybody");
    const calls = await Promise.all(users.map(async (user) => (await told(user)).filter((what) => what.startsWith("call"))));
    for (let i = 0; i < users.length; i += 2) {
      // A page whose audio is back, by the ICE restart of the other, before it noticed anything tells nothing.
      const noticed = [i, i + 1].filter((side) => calls[side].length);
      check(noticed.length, `neither ${users[i].name} nor ${users[i + 1].name} is told of its call`);
      for (const side of noticed) same(calls[side], ONE_PAIR, `what ${users[side].name} is told of its call`);
    }
    await hangUp(users);
    return `sound back ${sound.map((ms) => ms + 1_000).join(", ")} ms after the move`;
  } finally {
    move.lift();
  }
}

async function long(world) {
  const users = (await Promise.all(PAIRS.map(([from, to]) => talking(world, from, to)))).flat();
  const hidden = await Promise.all(["throttled chromium", "throttled firefox"].map((where) => hide(world, where)));
  await pause(1_500);
  const calm = Date.now();
  const outage = Outage.begin(...everythingOf(...users));
  let end;
  try {
    await pause(60_000);
  } finally {
    end = outage.lift();
  }
  const sound = await back(users, end, calm);
  const rang = await Promise.all(hidden.map((page) => rings(world, page)));
  await hangUp(users);
  return `sound back after ${sound.join(", ")} ms; hidden tabs ring after ${rang.join(", ")} ms`;
}

/** One call goes on, the other one is ended by the side that is awake. */
async function asleep(world) {
  const sleepers = await Promise.all([sleeper(world, "chromium2", "firefox"), sleeper(world, "firefox2", "chromium")]);
  const outage = Outage.begin("-p udp", ...sleepers.flatMap(({ pages }) => pages.flatMap(signallingOf)));
  let end;
  try {
    sleepers.forEach((one) => one.fallAsleep());
    await pause(4_000);
    await Promise.all(sleepers.map(({ partners }) => partners[1].hangup()));
    await pause(6_000);
  } finally {
    end = outage.lift();
    sleepers.forEach((one) => one.wake());
  }
  return `connected after ${(await Promise.all(sleepers.map((one) => one.check(end)))).join(", ")} ms`;
}

/** All hear again, were told so once, and hear the right voice. */
async function back(users, end, calm) {
  await Promise.all(
    users.map((user) => user.wait(() => window.ears.told.some(({ what }) => what === "call reconnected"), "the call", 25_000)),
  );
  await Promise.all(users.map((user, i) => soon(() => hears(user, 0, users[i ^ 1]), 8_000)));
  const all = ["call reconnected", "call reconnecting", "reconnected", "reconnecting"];
  for (const user of users) same((await told(user)).sort(), all, `what ${user.name} is told of one outage`);
  return Promise.all(users.map((user) => soundAfter(user, end, calm)));
}

/** Two pages of one browser, in calls with pages of another; then all processes of that browser stand still. */
async function sleeper(world, where, awake) {
  const calls = await Promise.all([0, 1].map(() => talking(world, where, awake, false)));
  const [pages, partners] = [calls.map(([page]) => page), calls.map(([, partner]) => partner)];
  const browser = await world.browsers.get(where);
  const signal = (name) => family(browser.process().pid).forEach((pid) => process.kill(pid, name));
  return {
    pages,
    partners,
    fallAsleep: () => {
      signal("SIGSTOP");
      // The server has dropped them; no packet tells them so.
      pages.forEach(({ site }) => site.cut());
    },
    wake: () => signal("SIGCONT"),
    check: async (woken) => {
      await Promise.all(
        pages.map((page) => page.wait(() => window.ears.told.some(({ what }) => what === "reconnected"), "the connection", 10_000)),
      );
      const took = await Promise.all(pages.map((page) => toldAt(page, "reconnected", woken)));
      bar(Math.max(...took), 5_000, "connected after waking");
      await Promise.all([soon(() => hears(pages[0], 0, partners[0]), 20_000), soon(() => hears(partners[0], 0, pages[0]), 20_000)]);
      await Promise.all([pages[1].until(0, "onCallEnded", 20_000), partners[1].until(0, "onCallEnded")]);
      const cause = (await pages[1].facts()).cause;
      check(["HUNG_UP", "FAILURE"].includes(cause), `the call that ended meanwhile: ${cause}`);
      return `${Math.max(...took)} (ended meanwhile: ${cause})`;
    },
  };
}

/** A process and all that come from it. */
function family(pid) {
  const parents = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        return [[Number(name), Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, "utf8"))[1])]];
      } catch {
        return []; // it has just ended
      }
    });
  const children = (parent) => parents.filter(([, its]) => its === parent).flatMap(([child]) => [child, ...children(child)]);
  return [pid, ...children(pid)];
}

/** A signed-in page behind another tab, with timers as slow as browsers make them there. */
async function hide(world, where) {
  const page = await world.user(where, world.name("hidden"));
  const front = await (await world.browsers.get(where)).newPage();
  await front.bringToFront();
  await page.wait(() => document.visibilityState === "hidden", "the tab to be hidden");
  await page.run(() => {
    window.ticks = [];
    const tick = () => setTimeout(() => (window.ticks.push(Date.now()), tick()), 50);
    tick();
  });
  return { page, front };
}

async function rings(world, { page, front }) {
  const slow = await page.run(() => window.ticks.filter((at) => at > Date.now() - 30_000).length);
  check(slow <= 32, `timers of a hidden tab are slow: ${slow} in 30 s`);
  const alice = await world.user("chromium", world.name("alice"));
  const began = Date.now();
  await alice.call(page.id);
  await page.until(0, "onIncomingCall", 5_000);
  const took = Date.now() - began;
  bar(took, 2_000, "a hidden tab rings");
  await alice.hangup();
  await front.close();
  return `${took} (${slow} ticks in 30 s)`;
}

async function reloaded(world) {
  const took = await Promise.all(
    PAIRS.map(async ([from, to]) => {
      const [alice, bob] = await talking(world, from, to);
      const began = Date.now();
      await Promise.all([alice.tab.reload(), bob.until(0, "onCallEnded", 5_000)]);
      const ms = (await bob.log(0)).at(-1).at - (await bob.run(() => performance.now())) + Date.now() - began;
      bar(ms, 2_000, `the other side of ${from} learns`);
      await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
      return `${from} ${Math.round(ms)} ms`;
    }),
  );
  return `the other side learns after: ${took.join(", ")}`;
}

/** With a call: the call ends. Without one: browsers keep the page as it was, and it goes on. */
async function leftAndBack(world) {
  const notes = await Promise.all(
    PAIRS.map(async ([from, to]) => {
      const [alice, bob] = await talking(world, from, to);
      const elsewhere = (user) => user.tab.goto(`${user.site.origin}/e2e/blank.html`);
      await Promise.all([elsewhere(alice), bob.until(0, "onCallEnded", 5_000)]);
      await events(bob, 0, ["onIncomingCall", "onCallEstablished", "onCallEnded(HUNG_UP)"]);
      const carol = await world.user(from, world.name("carol"));
      await carol.run(() => addEventListener("pageshow", ({ persisted }) => persisted && (window.back = Date.now())));
      await elsewhere(carol);
      await pause(1_500);
      await carol.tab.goBack();
      const kept = await carol.run(() => window.back ?? null);
      if (kept === null)
        return `${from} kept no page: ${await carol.run(() => JSON.stringify(performance.getEntriesByType("navigation")[0]?.notRestoredReasons))}`;
      await connected(carol);
      const ms = Date.now() - kept;
      bar(ms, 2_000, "connected after coming back");
      await bob.call(carol.id);
      await carol.until(0, "onIncomingCall");
      return `${from} connected within ${ms} ms`;
    }),
  );
  if (notes.every((note) => note.includes("kept no page"))) skip(notes.join("; "));
  return notes.join("; ");
}

async function talking(world, from, to, sound = true) {
  const users = await established(world, from, to);
  await Promise.all(users.map((user) => listen(user, sound)));
  return users;
}

/** Each even page hangs up, and the next one is told: the dialog still works. */
async function hangUp(users) {
  for (let i = 0; i < users.length; i += 2) {
    await users[i].hangup();
    await users[i + 1].until(0, "onCallEnded");
    same((await users[i + 1].facts()).cause, "HUNG_UP", "the end");
  }
}

const connected = (user) => user.wait(() => e2e.client.connectionState === "connected", "the connection", 12_000);
