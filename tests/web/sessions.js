// The life of a client: start, active connection, renewed tokens, terminate, and what waits meanwhile.
({
  async a_second_start_is_refused({ client, equal }) {
    const made = client();
    const login = { username: "alice", password: "x" };
    const first = made.start(login);
    const error = await made.start(login, null, () => {}).catch((error) => error);
    equal([error.name, error.message], ["Error", "Sinch client already started"], "while starting");
    await first;
    const again = await made.start(login, null, () => {}).catch((error) => error);
    equal(again.message, "Sinch client already started", "when started");
    made.terminate();
    await made.start(login);
    equal(made.started, true, "after terminate it may start again");
  },

  async what_waits_at_terminate_is_rejected_at_once({ client, equal, sleep }) {
    const asked = [];
    let answer;
    globalThis.fetch = /** @type {any} */ (({ url }) => new Promise((resolve) => (asked.push(url), (answer = resolve))));
    Object.assign(window, { [Symbol.for("offhook.script")]: { src: "https://scripts.example/offhook.js" } });
    const made = client({ server: undefined });
    delete window[Symbol.for("offhook.script")];
    const said = [];
    console.error = (message) => said.push(message);
    const user = made.newUser({ username: "alice", password: "secret" }).catch((error) => error.message);
    await sleep(0);
    made.terminate();
    equal(await user, "The client was terminated", "newUser under way");
    answer(new Response("", { status: 404 }));
    await sleep(50);
    equal(asked, ["https://scripts.example/sip"], "what is sent after terminate");
    const early = made.newUser({ username: "alice", password: "secret" }).catch((error) => error.message);
    made.terminate();
    equal(await early, "The client was terminated", "newUser that has not begun");
    made.getCallClient();
    const start = made.start({ username: "alice", password: "secret" }).catch((error) => error.message);
    made.terminate();
    equal(await start, "The client was terminated", "a start under way");
    await sleep(50);
    equal([asked.length, said.map(String)], [2, []], "what is sent after terminate, what the console shows");
  },

  async a_microphone_that_opens_after_terminate_is_closed({ client, microphones, equal, until }) {
    const made = client();
    const stream = made
      .getCallClient()
      .initStream()
      .catch((error) => error.message);
    made.terminate();
    equal(await stream, "The client was terminated", "initStream under way");
    const live = () => microphones.flatMap((one) => one.getTracks()).filter((track) => track.readyState === "live").length;
    await until(() => microphones.length > 0 && live() === 0, "the microphone is closed");
    equal(made.callClient.localMediaStream, undefined, "the stream that calls share");
  },

  async the_active_connection_has_its_rules({ client, network, equal, ok, field }) {
    const made = client({ supportActiveConnection: true });
    equal(made.startActiveConnection(), undefined, "before start it is noted");
    await made.start({ username: "alice", password: "x" });
    const contacts = () => network.said.filter((text) => text.startsWith("REGISTER")).map((text) => field(text, "Contact").length);
    ok(contacts().includes(1), "start opened it");
    await made.stopActiveConnection();
    await made.startActiveConnection();
    const other = client({ supportActiveConnection: true });
    network.said = [];
    await other.start({ username: "bob", password: "x" });
    equal(contacts().includes(1), false, "else it is not opened");
  },

  async a_token_is_renewed_over_the_same_connection({ client, network, equal, until }) {
    const ticket = (endpoint, expiresIn) =>
      `${btoa(JSON.stringify({ identity: { type: "username", endpoint }, created: new Date().toJSON(), expiresIn }))}:c2ln`;
    const made = client({ startActiveConnection: true, onLogMessage: () => {} });
    const [told, quiet] = [[], () => {}];
    const listener = {
      onTokenWillExpire: (seconds) => told.push(seconds),
      onTokenExpired: (error) => told.push(error.code),
    };
    made.addEventListener(listener);
    equal((await made.updateToken(ticket("alice", 9), quiet, quiet).catch((error) => error)).code, 6002, "not before start");
    await made.start({ userTicket: ticket("alice", 1) });
    await until(() => told.length, "told in time", 3000);
    equal(told, [1], "with the seconds that are left");
    network.said = [];
    let done = 0;
    await made.updateToken(ticket("alice", 600)).done(() => done++);
    equal(
      [done, network.said.filter((text) => text.startsWith("REGISTER")).length, network.urls.length],
      [1, 1, 1],
      "at once, and no more",
    );
    equal(made.getSession().sessionSecret.length > 0, true, "a session can be kept");
    equal((await made.updateToken(ticket("bob", 600), quiet, quiet).fail((error) => error)).code, 6003, "another user's");
    network.register = () => 401;
    equal((await made.updateToken({ userTicket: ticket("alice", 600) }, quiet, quiet).fail((error) => error)).code, 4000, "refused");
    await until(() => told.length > 1, "the old one is refused, too", 3000);
    equal(told, [1, 4000], "told");
    made.removeEventListener(listener);
    network.register = () => 200;
    await made.updateToken({ userTicket: ticket("alice", 600) });
    equal([made.started, network.urls.length, told.length], [true, 1, 2], "it goes on over the same connection");
  },

  async a_terminated_client_leaves_nothing({ client, network, equal, sleep }) {
    const made = client({ startActiveConnection: true });
    await made.start({ username: "alice", password: "x" });
    equal(made.connectionState, "connected", "connected");
    made.terminate();
    made.terminate();
    await sleep(50);
    equal([made.started, made.connectionState, network.sockets.length], [false, "closed", 0], "gone");
    const pending = client();
    const start = pending.start({ username: "alice", password: "x" }, null, () => {});
    pending.terminate();
    equal((await start.catch((error) => error)).code, 6002, "a start under way is over, too");
    const active = client({ supportActiveConnection: true });
    await active.start({ username: "alice", password: "x" });
    network.register = () => 100;
    const waiting = [
      active.startActiveConnection(),
      active.stopActiveConnection(),
      active.updateToken({ username: "alice", password: "y" }),
    ];
    active.terminate();
    for (const promise of waiting) equal((await promise.catch((error) => error)).code, 6002, "and all that waits");
  },

  async a_client_terminated_before_it_was_started_does_not_start({ client, network, equal, ok, sleep }) {
    const states = [];
    const made = client({ startActiveConnection: true });
    made.getCallClient().addEventListener({ onConnectionState: (state) => states.push(state) });
    made.terminate();
    await null;
    const said = [];
    const { error } = console;
    console.error = (message) => said.push(message);
    const fault = await made.start({ username: "alice", password: "x" }).catch((error) => error);
    console.error = error;
    await sleep(50);
    ok(fault.code === 6002 && fault.message.includes("call start() again"), `${fault}`);
    equal(said.length, 0, "what the console shows");
    equal([made.started, network.urls.length, states], [false, 0, []], "nothing was opened, nothing told");
    await made.start({ username: "alice", password: "x" });
    equal([made.started, made.connectionState, network.urls.length], [true, "connected", 1], "on purpose it starts");
    made.terminate();
    made.terminate();
    await made.start({ username: "alice", password: "x" });
    equal([made.started, made.connectionState, network.sockets.length], [true, "connected", 1], "and again");
  },

  async a_start_that_is_meant_is_not_taken_back({ client, equal }) {
    const login = { username: "alice", password: "x" };
    const ended = async () => {
      const made = client({ supportActiveConnection: true });
      made.terminate();
      await null;
      return made;
    };
    const started = (made) =>
      made
        .start(login, null, () => {})
        .then(
          () => "started",
          (error) => error.message,
        );
    const one = client();
    one.terminate();
    equal(await started(one), "started", "a start right after terminate");
    const again = await ended();
    again.terminate();
    equal(await started(again), "started", "a start right after the second terminate");
    for (const [what, prepare] of Object.entries({
      getCallClient: (made) => made.getCallClient(),
      "addEventListener of the client": (made) => made.addEventListener({}),
      newUser: (made) => made.newUser({}, null, () => {}),
      startActiveConnection: (made) => made.startActiveConnection(),
    })) {
      const made = await ended();
      prepare(made);
      equal(await started(made), "started", `a start after ${what}`);
    }
    const listening = client();
    const calls = listening.getCallClient();
    listening.terminate();
    await null;
    calls.addEventListener({});
    equal(await started(listening), "started", "a start after addEventListener of the call client");
    const wrong = client();
    await wrong.start({}, null, () => {}).catch(() => {});
    wrong.terminate();
    await null;
    equal((await wrong.start(login, null, () => {}).catch((error) => error)).code, 6002, "a start with a bad login counts as none");
  },

  async effects_that_run_twice_leave_one_registration({ client, network, equal, sleep }) {
    const made = client({ startActiveConnection: true, supportActiveConnection: true });
    const states = [];
    made.getCallClient().addEventListener({ onConnectionState: (state) => states.push(state) });
    const quiet = () => {};
    const effect = () => made.start({ username: "alice", password: "x" }, null, quiet);
    const first = effect();
    made.terminate();
    const second = effect();
    equal((await first.catch((error) => error)).code, 6002, "the first start");
    await second;
    await sleep(50);
    equal(states, ["closed", "connecting", "connected"], "what the page is told");
    equal(
      [made.started, network.sockets.length, network.said.filter((text) => text.startsWith("REGISTER")).length],
      [true, 1, 1],
      "one registration",
    );
    const asked = made.stopActiveConnection().catch((error) => error);
    made.terminate();
    equal((await asked).code, 6002, "a change under way is settled");
  },

  async what_a_terminated_client_was_to_be_told_is_forgotten({ client, network, equal, ok }) {
    const made = client();
    const told = [];
    const restarted = new Promise((resolve) => {
      const listener = {
        onConnectionState(state) {
          told.push(state);
          if (state !== "connected") return;
          // The sign-in has worked, and the page is to be told next.
          made.getCallClient().removeEventListener(listener);
          made.terminate();
          network.register = () => 403;
          resolve(made.start({ username: "alice", password: "x" }, null, () => {}).catch((error) => error));
        },
      };
      made.getCallClient().addEventListener(listener);
    });
    const first = await made.start({ username: "alice", password: "x" }, null, () => {}).catch((error) => error);
    const second = await restarted;
    network.register = () => 200;
    equal(told, ["connecting", "connected"], "told");
    ok(first?.code === 6002 || first === undefined, `the first start: ${first}`);
    equal(second?.code, 4000, "the second start has a result of its own");
  },
});
