// The JavaScript API: constructor, logins, promises, errors, what pages pass to it.
({
  async the_constructor_names_what_is_wrong({ SinchClient, thrown, ok, equal }) {
    /** @type {[config: any, name: string][]} */
    const refused = [
      [undefined, "config"],
      [{}, "applicationKey"],
      [{ applicationKey: 7 }, "applicationKey"],
      [{ applicationKey: "key", server: 7 }, "server"],
      [{ applicationKey: "key", server: ["nonsense"] }, "server"],
      [{ applicationKey: "key", server: "ftp://host" }, "server"],
      [{ applicationKey: "key", progressTimeout: "soon" }, "progressTimeout"],
      [{ applicationKey: "key", onLogMessage: 1 }, "onLogMessage"],
      [{ applicationKey: "key", customStream: {} }, "customStream"],
      [{ applicationKey: "key", iceServers: [{ urls: 1 }] }, "iceServers"],
    ];
    for (const [config, name] of refused) {
      const error = thrown(() => new SinchClient(config));
      ok(error instanceof TypeError && error.message.includes(name), `${JSON.stringify(config)}: ${error}`);
    }
    const bare = Object.assign(Object.create(null), { applicationKey: "bare" });
    equal(new SinchClient(bare).applicationKey, "bare", "an object without prototype");
    const client = new SinchClient({ applicationKey: "key", capabilities: { calling: true } });
    equal(
      [client.applicationKey, client.capabilities.calling, client.started, client.user.userId],
      ["key", true, false, undefined],
      "properties",
    );
    ok(/^\d+\.\d+\.\d+$/.test(client.getVersion()), "a version");
    ok(client.getCallClient() === client.callClient, "one call client");
  },

  async classes_hang_on_the_constructor({ SinchClient, client, ok }) {
    const calls = client().getCallClient();
    ok(calls instanceof SinchClient.CallClient, "CallClient");
    const call = calls.callUser("bob");
    ok(call instanceof SinchClient.Call, "Call");
    const details = call.getDetails();
    ok(details instanceof SinchClient.CallDetails, "CallDetails");
    ok(
      Object.keys(details).join() === "startedTime,establishedTime,endedTime,duration,endCause,error",
      `plain fields: ${Object.keys(details)}`,
    );
  },

  async the_server_is_named_in_many_ways({ client, network, equal, ok, sleep, thrown }) {
    const urls = async (options) => {
      network.urls = [];
      const made = client({ applicationKey: "a b", server: undefined, ...options });
      made.start({ username: "alice", password: "secret" });
      await sleep(50);
      made.terminate();
      return network.urls[0];
    };
    equal(await urls({ server: "https://voice.example:8443/app?x" }), "wss://voice.example:8443/sip?key=a%20b", "an https URL");
    equal(await urls({ server: ["http://voice.example", "ws://b"] }), "ws://voice.example/sip?key=a%20b", "a list");
    equal(await urls({ server: "wss://voice.example/some/path" }), "wss://voice.example/some/path", "a WebSocket URL");
    equal(await urls({ urlObj: { base: "https://base.example/v1/" } }), "wss://base.example/sip?key=a%20b", "urlObj.base");
    equal(
      await urls({ urlObj: { base: "https://base.example", calling: "https://calls.example" } }),
      "wss://calls.example/sip?key=a%20b",
      "urlObj.calling",
    );
    equal(await urls({}), `${location.origin.replace("http", "ws")}/sip?key=a%20b`, "the page's origin");
    const place = Symbol.for("offhook.script");
    Object.assign(globalThis, { [place]: { server: "ftp://calls.example" } });
    const { message } = thrown(() => client({ server: undefined }));
    delete globalThis[place];
    ok(message.startsWith("data-server is a ws, wss, http or https URL"), message);
  },

  async the_server_of_the_script_is_asked_before_it_is_used({ client, network, equal, ok, until, sleep }) {
    const place = Symbol.for("offhook.script");
    const script = (value) => Object.assign(globalThis, { [place]: value });
    const login = { username: "alice", password: "secret" };
    const asked = [];
    let answer = async () => new Response('{"server":"offhook-gateway"}', { status: 426 });
    globalThis.fetch = /** @type {any} */ (
      (request) => {
        asked.push([request.url, request.mode, request.credentials, request.redirect]);
        return answer();
      }
    );
    const quiet = () => {};
    try {
      script({ src: "https://cdn.example/a/offhook.js?v=1" });
      await client({ server: undefined }).start(login);
      equal(asked, [["https://cdn.example/sip", "cors", "omit", "error"]], "what was asked, and how");
      equal(network.urls, ["wss://cdn.example/sip?key=key"], "a gateway is used");

      asked.length = 0;
      network.urls = [];
      script({ src: "https://cdn.example/a/offhook.js", server: "https://calls.example" });
      await client({ server: undefined }).start(login);
      equal([asked, network.urls], [[], ["wss://calls.example/sip?key=key"]], "data-server is asked nothing");

      network.urls = [];
      script({ src: "https://cdn.example/a/offhook.js" });
      answer = async () => new Response("<html>", { status: 200 });
      await client({ server: undefined }).start(login);
      equal(network.urls, [`${location.origin.replace("http", "ws")}/sip?key=key`], "else the page's");

      // A client that is terminated while the server is asked.
      network.urls = [];
      asked.length = 0;
      const waiting = [];
      answer = () => new Promise((resolve) => waiting.push(resolve));
      const gone = client({ server: undefined });
      const started = gone.start(login, null, quiet).catch((error) => error);
      const made = gone.newUser(login, null, quiet).catch((error) => error);
      await until(() => asked.length === 2, "asked twice");
      gone.terminate();
      for (const say of waiting) say(new Response('{"server":"offhook-gateway"}', { status: 426 }));
      equal((await started).code, 6002, "the start is over");
      equal((await made).code, 6002, "so is the new user");
      await sleep(50);
      equal([network.urls, asked.length], [[], 2], "nothing was sent");
      ok(!gone.started, "it is not started");
    } finally {
      Reflect.deleteProperty(globalThis, place);
    }
  },

  async a_page_without_origin_hears_of_it_at_start({ SinchClient, ok }) {
    const url = URL;
    globalThis.URL = class extends url {
      constructor(/** @type {string | URL} */ text) {
        if (text === location.origin) throw new TypeError("file: has no host");
        super(text);
      }
    };
    try {
      const client = new SinchClient({ applicationKey: "key" });
      const error = await client.start({ username: "a", password: "b" }, null, () => {}).catch((error) => error);
      ok(error.code === 6003 && error.message.includes("server"), `${error}`);
    } finally {
      globalThis.URL = url;
    }
  },

  async logins_that_make_no_sense_are_refused({ client, equal }) {
    const logins = [
      undefined,
      null,
      7,
      "alice",
      {},
      { username: "alice" },
      { username: "", password: "x" },
      { username: "alice", password: "" },
      { userTicket: "nonsense" },
      { userTicket: btoa("{}") },
      { token: "a.b.c" },
      { userId: "a", sessionId: "b" },
      { authorization: "x" },
      { username: "al\r\nice", password: "x" },
    ];
    for (const login of logins) {
      let called;
      const error = await client()
        .start(login, null, (error) => (called = error))
        .catch((error) => error);
      equal([error.name, error.domain, error.code], ["SinchError", 5, 6003], JSON.stringify(login));
      equal(called === error, true, "the callback gets it, too");
    }
  },

  async login_objects_become_credentials({ client, network, equal, field, sleep }) {
    const ticket = `${btoa(JSON.stringify({ identity: { type: "username", endpoint: "carol" }, applicationKey: "key" }))}:c2ln`;
    const claims = (sub) => `e30.${btoa(JSON.stringify({ sub })).replace(/=/g, "")}.c2ln`;
    /** @type {[login: { password?: string, [name: string]: unknown }, user: string][]} */
    const logins = [
      [{ userTicket: ticket }, "carol"],
      [{ token: claims("//rtc.sinch.com/applications/key/users/dave") }, "dave"],
      [{ token: claims("erin") }, "erin"],
      [
        {
          authorization: "opaque",
          user: {
            identities: [
              { type: "email", endpoint: "x@y" },
              { type: "username", endpoint: "frank" },
            ],
          },
        },
        "frank",
      ],
      [{ username: "grace", password: "secret" }, "grace"],
      [{ number: "+46700000000", password: "secret" }, "+46700000000"],
    ];
    for (const [login, user] of logins) {
      const made = client();
      await made.start(login);
      equal([made.user.userId, made.started], [user, true], JSON.stringify(login));
      const session = made.getSession();
      made.terminate();
      const again = client();
      // Only a hash of a password is kept, and this server never challenged.
      if (!login.password) {
        equal(session.userId, user, "the session");
        await again.start(JSON.parse(JSON.stringify(session)));
        equal(again.user.userId, user, "signed in with the session");
      }
      again.terminate();
      await sleep(1);
    }
    const bearer = network.said.flatMap((text) => field(text, "Authorization"));
    equal(
      bearer.some((line) => line === `Authorization: Bearer ${ticket}`),
      true,
      "the ticket is sent",
    );
  },

  async a_page_can_sign_its_own_ticket({ client, network, equal, field }) {
    // As long as Sinch makes them, as long as a block of the hash, and longer.
    for (const secret of ["ax8hTTQJF0OPXL32r1LHMA==", btoa("k".repeat(64)), btoa("k".repeat(65))]) {
      const made = client({ applicationSecret: secret });
      network.said.length = 0;
      await made.start({ username: "alice", expiresIn: 60 });
      const line = network.said.flatMap((text) => field(text, "Authorization"))[0];
      const [data, signature] = line.replace("Authorization: Bearer ", "").split(":");
      const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const key = await crypto.subtle.importKey("raw", bytes(secret), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
      equal(await crypto.subtle.verify("HMAC", key, bytes(signature), bytes(data)), true, "the signature");
      const ticket = JSON.parse(atob(data));
      equal([ticket.identity, ticket.applicationKey, ticket.expiresIn], [{ type: "username", endpoint: "alice" }, "key", 60], "the ticket");
    }
  },

  async callbacks_run_before_then({ client, network, equal }) {
    const order = [];
    const made = client();
    await made.start({ username: "alice", password: "x" }, () => order.push("success")).then(() => order.push("then"));
    equal(order, ["success", "then"], "a success");
    network.register = () => 403;
    order.length = 0;
    const refused = client().start({ username: "alice", password: "x" }, null, (error) => order.push(`fail ${error.domain} ${error.code}`));
    await refused.fail((error) => order.push(error.message));
    equal(order.length, 2, "both");
    equal(order[0], "fail 3 4000", "the callback first");
  },

  async promises_have_the_methods_of_old({ client, ok, equal }) {
    const promise = client().start({ username: "alice", password: "x" });
    ok(promise instanceof Promise, "a native promise");
    const seen = [];
    const derived = promise.progress(() => {}).done(() => seen.push("done") && 7);
    equal(await derived, 7, "done is then");
    const chain = promise
      .then(() => {
        throw new Error("x");
      })
      .fin(() => seen.push("fin"))
      .fail((error) => seen.push(error.message));
    for (const name of ["fail", "done", "fin", "progress", "then", "catch", "finally"]) {
      for (const one of [promise, derived, chain, promise.catch(() => {}), promise.finally(() => {})])
        ok(typeof one[name] === "function", name);
    }
    await chain;
    equal(seen, ["done", "fin", "x"], "the order");
    equal(await Promise.resolve(promise).then(() => "yes"), "yes", "others may follow it");
  },

  async errors_are_errors({ client, thrown, ok, equal }) {
    const error = thrown(() => client({ capabilities: {} }).getCallClient());
    ok(error instanceof Error && typeof error.stack === "string", "an Error");
    equal([error.name, error.domain, error.code, error.response], ["SinchError", 5, 6002, {}], "its fields");
    ok(String(error).startsWith("SinchError: "), String(error));
  },

  async calling_needs_its_capability({ client, thrown, equal }) {
    const made = client({ capabilities: {} });
    for (const act of [() => made.getCallClient(), () => made.callUser("bob")]) {
      const error = thrown(act);
      equal([error.domain, error.code], [5, 6002], "refused");
    }
    equal(made.callClient, undefined, "no call client");
    equal(thrown(() => made.startActiveConnection()).code, 6002, "no active connection either");
  },

  async a_call_with_a_bad_argument_ends_with_the_error({ client, network, microphones, until, equal, ok }) {
    const made = client();
    await made.start({ username: "alice", password: "x" });
    const calls = made.getCallClient();
    network.said = [];
    const circle = {};
    circle.self = circle;
    /** @type {[method: string, why: string, ...given: any[]][]} */
    const refused = [
      ["callUser", "no user"],
      ["callUser", "no user", null],
      ["callUser", "no user", ""],
      ["callUser", "type object", { userId: "bob" }],
      ["callUser", "type object", [{}]],
      ["callUser", "type function", () => "bob"],
      ["callUser", "type boolean", true],
      ["callUser", "type number", NaN],
      ["callUser", "type symbol", Symbol("bob")],
      ["callUser", "5000", "x".repeat(5000)],
      ["callPhoneNumber", "begins with +", "0701234567"],
      ["callPhoneNumber", "digits", "+46 70"],
      ["callSip", "user@domain", "nobody"],
      ["callSip", "user@domain", "a@b\r\nX: y"],
      ["callSip", "x-", "a@b.example", { subject: "x" }],
      ["callConference", "no room", ""],
      ["callConference", "65", "x".repeat(65)],
      ["callUser", "header name", "bob", { "bad name": "x" }],
      ["callUser", "line breaks", "bob", { name: "a\r\nb" }],
      ["callUser", "1024", "bob", { name: "x".repeat(1024) }],
      ["callUser", "JSON", "bob", { circle }],
      ["callUser", "MediaStream", "bob", {}, {}],
      ["callUser", "MediaStream", "bob", {}, "stream"],
    ];
    for (const [method, why, ...given] of refused) {
      const what = `${method}, ${why}`;
      const call = calls[method](...given);
      equal([call.getState(), call.getDirection(), call.callId.length, call.error], ["INITIATING", 1, 36, null], what);
      equal([call.getDetails().endCause, call.getHeaders() === given[1]], [0, true], `${what}: a whole call`);
      const told = [];
      call.addEventListener({ onCallProgressing: () => told.push("progressing"), onCallEnded: (ended) => told.push(ended === call) });
      await until(() => told.length, `${what}: the end`, 1000);
      equal([told, call.getState(), call.getEndCause()], [[true], "ENDED", "FAILURE"], what);
      const { error } = call;
      equal([error.name, error.domain, error.code], ["SinchError", 5, 6003], what);
      ok(error.message.includes(why), `${what}: ${error.message}`);
    }
    const gone = calls.callPhoneNumber("0701234567");
    gone.mute();
    gone.sendDTMF("1");
    gone.hangup();
    equal([gone.getState(), gone.getEndCause(), gone.error.code, gone.callDomain], ["ENDED", "FAILURE", 6003, "pstn"], "it can be hung up");
    equal([network.said, microphones.length], [[], 0], "nothing is sent, and no microphone is opened");
    const [call] = ["x".repeat(64), "y"].map((room) => calls.callConference(room, { name: "value", number: 1, object: { a: 1 } }));
    equal([call.getState(), call.getEndCause(), call.getDirection(), call.callDomain], ["INITIATING", "NONE", 1, "conference"], "a call");
    equal(call.getHeaders(), { name: "value", number: 1, object: { a: 1 } }, "its headers");
    equal([call.getDetails().duration, call.getDetails().startedTime, call.error, call.errors], [0, null, null, null], "its details");
    for (const id of [42, 7n, "\u{1F600}", { toString: () => "object" }, new String("string")]) {
      equal(calls.callUser(id).toId, String(id), "an id that is no string has one");
    }
    let asked = 0;
    equal([calls.callUser({ toString: () => `user${++asked}` }).toId, asked], ["user1", 1], "it is asked once");
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const throwing = {
      get name() {
        throw new Error("No name");
      },
    };
    for (const headers of [proxy, throwing]) {
      const unread = calls.callUser("bob", headers);
      await until(() => unread.getState() === "ENDED", "the end");
      equal([unread.error.code, unread.error.message], [6003, "The headers of the call cannot be read"], "headers that throw");
    }
  },

  async what_listens_to_nothing_is_told_in_the_console({ client, ringing, equal, ok, console: warned }) {
    const calls = client().getCallClient();
    const handler = () => {};
    for (const [given, example] of [
      [["onIncomingCall", handler], "addEventListener({ onIncomingCall: function"],
      [["incomingcall", handler], "addEventListener({ onIncomingCall: function"],
      [[undefined], "addEventListener({ onIncomingCall: function"],
      [[handler], "addEventListener({ onIncomingCall: function"],
    ]) {
      warned.length = 0;
      calls.addEventListener(...given);
      ok(warned.length === 1 && warned[0].includes(example), `${given[0]}: ${warned}`);
    }
    warned.length = 0;
    calls.addEventListener({});
    calls.addEventListener(
      class {
        static onIncomingCall() {}
      },
    );
    equal(warned, [], "an object or a class may have handlers");
    const { alice, bob } = await ringing();
    alice.call.addEventListener("onCallEnded", handler);
    alice.client.addEventListener(undefined);
    alice.call.answer();
    equal(
      ["onCallEnded: function", "onError: function", "the other side answers it"].map((words, n) => warned[n].includes(words)),
      [true, true, true],
      `warnings: ${warned}`,
    );
    warned.length = 0;
    bob.call.answer();
    bob.call.hangup();
    bob.call.answer();
    equal(warned, [], "an incoming call may be answered at any time");
  },

  async headers_that_are_no_object_are_not_sent({ client, network, field, until, equal, console: warned }) {
    const made = client({ capabilities: { calling: true, multiCall: true } });
    await made.start({ username: "alice", password: "x" });
    const invites = () => network.said.filter((text) => text.startsWith("INVITE "));
    for (const [n, headers] of ["voice", 7, true, () => {}, new String("voice"), ["voice"]].entries()) {
      const call = made.callUser("bob", headers);
      await until(() => invites().length > n, "the INVITE");
      equal([warned.length, call.getHeaders() === headers], [n + 1, true], `${typeof headers}: a warning, and what the page gave`);
    }
    for (const headers of [undefined, null, "", false, 0]) made.callUser("bob", headers);
    await until(() => invites().length === 11, "all calls");
    equal(invites().flatMap((text) => field(text, "X-Header")).length, 0, "no header");
    equal(warned.length, 6, "none where there is nothing");
  },

  async messages_fail_until_they_exist({ SinchClient, client, thrown, equal, ok }) {
    equal(thrown(() => client().getMessageClient()).code, 6002, "without its capability");
    equal(client().messageClient, undefined, "nor this way");
    const made = client({ capabilities: { messaging: true } });
    const messages = made.getMessageClient();
    ok(messages === made.messageClient && messages instanceof SinchClient.MessageClient, "one message client");
    const listener = { onIncomingMessage: () => {}, onMessageDelivered: () => {} };
    messages.addEventListener(listener);
    messages.removeEventListener(listener);
    await made.start({ username: "alice", password: "x" });
    const message = messages.newMessage("bob", "Hello");
    ok(message instanceof SinchClient.Message && /^[0-9a-f-]{36}$/.test(message.messageId), "a message");
    equal([message.recipientIds, message.textBody, message.senderId], [["bob"], "Hello", "alice"], "its fields");
    equal([message.direction, message.delivered], [1, false], "it is ours, and has reached nobody");
    equal(messages.newMessage(["bob", "carol"], "Hi").recipientIds, ["bob", "carol"], "for two");
    const order = [];
    const sent = messages.send(
      message,
      () => order.push("success"),
      () => order.push("fail"),
    );
    order.push("returned");
    const error = await sent.fail((error) => error);
    equal([order, error.name, error.domain, error.code], [["returned", "fail"], "SinchError", 5, 6002], "it fails, later");
    ok(error.message.startsWith("Text messages are not available yet"), error.message);
  },

  async users_are_made_at_the_server({ client, equal }) {
    const made = client({ server: "https://voice.example" });
    const asked = [];
    /** @type {[status: number, body: object]} */
    let answer = [200, { authorization: "ticket", user: { identities: [{ type: "username", endpoint: "alice" }] } }];
    globalThis.fetch = /** @type {any} */ (
      async (request) => {
        asked.push([request.url, request.method, await request.text()]);
        return new Response(JSON.stringify(answer[1]), { status: answer[0] });
      }
    );
    const order = [];
    const ticket = await made.newUser({ username: "alice", password: "secret" }, () => order.push("success"));
    equal([ticket.authorization, order], ["ticket", ["success"]], "the ticket");
    equal(asked[0], ["https://voice.example/users?key=key", "POST", '{"username":"alice","password":"secret"}'], "the request");
    answer = [400, { errorCode: 40001, message: "Too short" }];
    const error = await made.newUser({ username: "al" }, null, () => order.push("fail")).fail((error) => error);
    equal([error.domain, error.code, error.message, error.response.errorCode], [3, 4000, "40001 Too short", 40001], "a refusal");
    for (const thrown of [new TypeError("no network"), "no network", undefined]) {
      globalThis.fetch = async () => {
        throw thrown;
      };
      const lost = await made.newUser({ username: "alice" }, null, () => {}).fail((error) => error);
      equal([lost.domain, lost.code], [0, 1000], "no server");
    }
    const wait = globalThis.setTimeout;
    globalThis.setTimeout = /** @type {any} */ ((f, ms, ...more) => wait(f, ms >= 4_000 ? 50 : ms, ...more));
    const stuck = ({ signal }) =>
      new Promise((_, reject) => (signal.aborted ? reject(signal.reason) : signal.addEventListener("abort", () => reject(signal.reason))));
    globalThis.fetch = /** @type {any} */ (stuck);
    const late = await made.newUser({ username: "alice" }, null, () => {}).fail((error) => error);
    globalThis.setTimeout = wait;
    equal([late.domain, late.code], [0, 1000], "a server that does not answer");
    equal((await made.newUser(7, null, () => {}).fail((error) => error)).code, 6003, "no user");
  },

  async extended_prototypes_break_nothing({ client, talking, equal }) {
    const extras = { video: true, apply: () => "wrong", server: "wss://wrong.example", headers: { x: "y" } };
    for (const [key, value] of Object.entries(extras))
      Object.defineProperty(Object.prototype, key, { value, configurable: true, writable: true });
    /** @this {unknown[]} */
    const last = function () {
      return this[this.length - 1];
    };
    Object.assign(Array.prototype, { last });
    try {
      const { alice, log } = await talking();
      alice.call.hangup();
      await new Promise((resolve) => setTimeout(resolve, 200));
      equal(log.includes("bob ended HUNG_UP"), true, "a call goes as it goes");
      equal(client().applicationKey, "key", "options are the page's own");
    } finally {
      for (const key of Object.keys(extras)) delete Object.prototype[key];
      Reflect.deleteProperty(Array.prototype, "last");
    }
  },
});
