// How long clients and calls live: a started client until terminate(), a call until its end, held by the page or not; and nothing longer.
import { check, hears, same, soon } from "./lib/check.mjs";
import { pause } from "./lib/world.mjs";

const COLLECTS = "chromium with gc()";

export default function suite(test) {
  for (const where of ["chromium", "firefox"]) {
    test(`${where}: effects that run twice leave one registration`, 60, (world) => effects(world, where));
  }
  test("a client that nobody holds takes a call", 60, heldByNobody);
  test("a call that nobody holds goes on", 60, callHeldByNobody);
  test("what is over can be collected", 60, nothingLeaks);
}

/** What an effect of the page is like that React, in its strict mode, runs twice. */
const EFFECTS = [
  "a client of each, whose ticket comes later",
  "one client, whose ticket comes later",
  "a client of each, started at once",
  "one client, and a ticket that comes too late is ignored",
];

/** React in its strict mode runs each effect, its cleanup, and the effect again. */
async function effects(world, where) {
  const caller = await world.user(where, world.name("carl"));
  for (const form of EFFECTS) {
    const page = await world.page(where);
    const name = world.name("rea");
    await page.run(runTwice, name, EFFECTS.indexOf(form));
    await page.wait(() => seen.sockets.some((socket) => socket.readyState === 1), `a connection: ${form}`);
    await pause(500);
    same(await page.run(() => seen.sockets.filter((socket) => socket.readyState < 2).length), 1, `connections: ${form}`);
    const call = await caller.call(name);
    await caller.until(call, "onCallProgressing");
    same(await page.run(() => window.rings.length), 1, `how often it rings: ${form}`);
    await caller.hangup(call);
  }
}

/** Runs in the page. */
async function runTwice(name, form) {
  const ticket = await e2e.ticket(name);
  const quiet = () => {};
  const create = () => new SinchClient({ applicationKey: "demo", capabilities: { calling: true }, startActiveConnection: true });
  const only = create();
  window.rings = [];
  const effect = () => {
    const client = form === 1 || form === 3 ? only : create();
    let ignored = false;
    const listener = { onIncomingCall: (call) => window.rings.push(call) };
    client.getCallClient().addEventListener(listener);
    const start = (login) => client.start(login, null, quiet);
    if (form === 2) start(ticket);
    else
      e2e
        .ticket(name)
        .then((ticket) => (form === 3 && ignored ? null : start(ticket)))
        .catch(quiet);
    return () => {
      ignored = true;
      client.getCallClient().removeEventListener(listener);
      client.terminate();
    };
  };
  const cleanup = effect();
  cleanup();
  effect();
}

/** Collects all that nobody holds, several times, with time in between for finalizers. */
const collect = (user) =>
  user.run(async () => {
    for (let i = 0; i < 10; i++) {
      window.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });

/** Signs in without keeping anything of the client: its listeners note what they are told. */
async function unheld(world, name) {
  const page = await world.page(COLLECTS);
  page.id = name;
  await page.run(async (name) => {
    window.told = [];
    const note = (what) => () => void window.told.push(what);
    window.notes = { onCallProgressing: note("progressing"), onCallEstablished: note("established"), onCallEnded: note("ended") };
    const listener = { onIncomingCall: (call) => (window.told.push("incoming"), call.addEventListener(window.notes), call.answer()) };
    const config = { applicationKey: "demo", capabilities: { calling: true }, startActiveConnection: true };
    const begin = (login) => {
      const client = new SinchClient(config);
      client.getCallClient().addEventListener(listener);
      return client.start(login);
    };
    await begin(await e2e.ticket(name)).then(() => window.told.push("started"));
  }, name);
  return page;
}

async function heldByNobody(world) {
  const alice = await unheld(world, world.name("alice"));
  // One of which the page has had nothing but the promise of its start.
  await alice.run(async (name) => {
    const config = { applicationKey: "demo", capabilities: { calling: true }, startActiveConnection: true };
    await new SinchClient(config).start(await e2e.ticket(name));
  }, world.name("anna"));
  await collect(alice);
  same(await alice.run(() => seen.sockets.filter(({ readyState }) => readyState === 1).length), 2, "connections that are left");
  const bob = await world.user("chromium2", world.name("bob"));
  await bob.call(alice.id);
  await bob.until(0, "onCallEstablished");
  await collect(alice);
  await soon(() => hears(bob, 0, alice));
  await bob.hangup();
  await soon(async () =>
    same(await alice.run(() => window.told), ["started", "incoming", "established", "ended"], "what the page is told"),
  );
}

async function callHeldByNobody(world) {
  const alice = await unheld(world, world.name("alice"));
  const bob = await world.user("chromium2", world.name("bob"));
  await alice.run(
    async (bob, name) => {
      const config = { applicationKey: "demo", capabilities: { calling: true } };
      const call = async (login) => {
        const client = new SinchClient(config);
        await client.start(login);
        client.callUser(bob).addEventListener(window.notes);
      };
      await call(await e2e.ticket(name));
    },
    bob.id,
    world.name("anna"),
  );
  await bob.until(0, "onIncomingCall");
  await collect(alice);
  await bob.answer();
  await bob.until(0, "onCallEstablished");
  await collect(alice);
  await soon(() => hears(bob, 0, alice));
  await bob.hangup();
  await soon(async () =>
    same(await alice.run(() => window.told), ["started", "progressing", "established", "ended"], "what the page is told"),
  );
}

async function nothingLeaks(world) {
  const page = await world.page(COLLECTS);
  const bob = await world.user("chromium2", world.name("bob"));
  await bob.run(() => (e2e.answerAtOnce = true));
  await page.run(
    async (bob, name) => {
      const config = { applicationKey: "demo", capabilities: { calling: true }, startActiveConnection: true };
      window.refs = {};
      const remember = (name, object) => (window.refs[name] = new WeakRef(object));
      const live = async (login) => {
        // Whoever listens knows the client.
        const client = new SinchClient({ ...config, onLogMessage: () => client.started });
        remember("client", client);
        const calls = client.getCallClient();
        remember("call client", calls);
        calls.addEventListener({ onIncomingCall: () => client.started });
        client.addEventListener({ onTokenExpired: () => client.started });
        await client.start(login);
        let ended;
        await new Promise((resolve) => {
          const call = client.callUser(bob);
          ended = call;
          remember("call", call);
          // Listeners that know their call.
          call.addEventListener({ onCallEstablished: () => call.hangup(), onCallEnded: () => resolve(call.getEndCause()) });
        });
        client.terminate();
        // Listeners that know their client, of clients that do not run, and of what is over.
        const listens = (name, client) => {
          remember(name, client);
          client.addEventListener({ onError: () => client.started });
          client.getCallClient().addEventListener({ onIncomingCall: () => client.started });
          const messages = client.getMessageClient();
          messages.addEventListener({ onIncomingMessage: () => client.started });
          return client;
        };
        const both = { ...config, capabilities: { calling: true, messaging: true } };
        listens("client that never started", new SinchClient(both));
        const wrong = { username: "nobody", password: "wrong" };
        await listens("client whose start failed", new SinchClient(both))
          .start(wrong, null, () => {})
          .catch(() => {});
        ended.addEventListener({ onCallEnded: () => ended.getState() });
      };
      await live(await e2e.ticket(name));
    },
    bob.id,
    world.name("lea"),
  );
  await soon(async () => {
    await collect(page);
    const left = await page.run(() => Object.keys(window.refs).filter((name) => window.refs[name].deref()));
    check(left.length === 0, `still there: ${left.join(", ")}`);
  }, 10_000);
}
