// Calls between two clients of one page, over a simulated network, with real media.
({
  async two_clients_talk({ talking, peers, hears, until, equal, ok }) {
    const { alice, bob, log } = await talking({ headers: { "x-room": "7", note: "hello" } });
    equal(
      log.filter((event) => event.startsWith("alice")),
      ["alice progressing", "alice established"],
      "the caller's events",
    );
    equal(
      log.filter((event) => event.startsWith("bob")),
      ["bob incoming", "bob established"],
      "the callee's events",
    );
    equal(bob.call.getHeaders(), { "x-room": "7", note: "hello" }, "headers arrive");
    equal(alice.call.getCallId(), bob.call.getCallId(), "one id");
    equal([bob.call.getRemoteUserId(), bob.call.fromId, bob.call.toId, bob.call.getDirection()], ["alice", "alice", "bob", 0], "who");
    equal([alice.call.getState(), alice.call.callState], ["ESTABLISHED", 2], "the state");
    ok(alice.call.timeEstablished instanceof Date && Math.abs(alice.call.timeEstablished - Date.now()) < 5000, "the time");
    for (const call of [alice.call, bob.call]) {
      await until(() => call.incomingStream && call.outgoingStream.active, "streams");
      const audio = document.body.appendChild(document.createElement("audio"));
      audio.autoplay = true;
      audio.setAttribute("src", call.incomingStreamURL);
      equal(audio.srcObject === call.incomingStream, true, "the URL plays the stream");
    }
    equal(peers.length, 2, "one peer connection each");
    for (const peer of peers) await until(() => hears(peer), "sound");
    alice.call.sendDTMF("1#");
    alice.call.hangup();
    equal(alice.call.getState(), "ENDED", "at once");
    await until(() => log.includes("bob ended HUNG_UP") && log.includes("alice ended HUNG_UP"), "the end");
    const details = bob.call.getDetails();
    ok(details.duration > 0 && details.duration < 60 && details.endCause === 5, `details: ${JSON.stringify(details)}`);
    let code;
    try {
      alice.call.hangup();
    } catch (error) {
      code = error.code;
    }
    equal(code, 6002, "a second hangup");
  },

  async candidates_that_come_later_are_taken({ talking, network, peers, until, ok }) {
    const { alice } = await talking({ alice: { candidateWait: 0 }, bob: { candidateWait: 0 } });
    const invite = network.said.find((text) => text.startsWith("INVITE "));
    ok(!invite.includes("a=candidate:"), "the INVITE waits for none");
    await until(() => peers.every((peer) => /connected|completed/.test(peer.iceConnectionState)), "they find each other");
    ok(
      network.said.some((text) => text.includes("trickle-ice-sdpfrag") && text.includes("a=candidate:")),
      "by INFO",
    );
    alice.call.hangup();
  },

  async a_refused_call_tells_why({ client, network, until, equal }) {
    const alice = client();
    await alice.start({ username: "alice", password: "secret" });
    const call = alice.getCallClient().callSip("Alice@SipProviderA.com", { "x-room": "7" });
    const seen = [];
    call.addEventListener({ onCallEnded: ({ error, errors }) => seen.push(error === errors, error) });
    const invite = () => network.said.find((text) => text.startsWith("INVITE "));
    await until(invite, "the INVITE");
    equal(invite().split("\r\n")[0], "INVITE sip:Alice@SipProviderA.com SIP/2.0", "to that address");
    const fields = [
      "X-Error: 40200 Not enough credit",
      "x-account: 12",
      'Warning: 399 carrier.example "No route"',
      "Retry-After: 120",
      "reason: Q.850;cause=21",
      'warning: 399 proxy.example "Try later"',
    ];
    network.sockets[0].hear(network.answer(invite(), "402 Payment Required", fields));
    await until(() => seen.length, "the end");
    const [same, error] = seen;
    equal([same, call.getEndCause(), error.name, error.domain, error.code], [true, "FAILURE", "SinchError", 3, 40200], "the error");
    equal([error.message, error.reason, error.headers["x-account"]], ["40200 Not enough credit", "Not enough credit", "12"], "its words");
    equal(error.response, { errorCode: 40200, message: error.reason, headers: error.headers }, "the answer");
    equal(
      ["Warning", "Retry-After", "Reason"].map((name) => error.headers[name]),
      ['399 carrier.example "No route", 399 proxy.example "Try later"', "120", "Q.850;cause=21"],
      "its headers",
    );
    equal([call.error === error, call.errors === error, call.getDetails().error === error], [true, true, true], "one object");
  },

  async a_call_that_is_cut_off_tells_why({ talking, network, field, until, equal }) {
    const { alice, log } = await talking();
    const ack = network.said.find((text) => text.startsWith("ACK "));
    const [from, to, id] = ["To", "From", "Call-ID"].map((name) => field(ack, name)[0].replace(/^[^:]+/, ""));
    const lines = ["BYE sip:alice@made.up SIP/2.0", "Via: SIP/2.0/WS bridge.invalid;branch=z9hG4bKbye", "Max-Forwards: 70", `From${from}`];
    lines.push(`To${to}`, `Call-ID${id}`, "CSeq: 77 BYE", 'Reason: SIP;cause=402;text="Not enough credit"');
    lines.push("X-Error: 40200 Not enough credit", "Content-Length: 0", "", "");
    network.sockets[0].hear(lines.join("\r\n"));
    await until(() => log.includes("alice ended FAILURE"), "the end");
    const { error } = alice.call;
    equal([error.domain, error.code, error.message], [3, 40200, "40200 Not enough credit"], "why");
    equal(error.headers.Reason, 'SIP;cause=402;text="Not enough credit"', "its headers");
  },

  async what_is_heard_before_the_answer_establishes_the_call({ client, events, network, peers, hears, report, until, equal, ok }) {
    const log = [];
    // As a gateway to phones does: no 180, and a 183 that says that there is early media.
    network.pass = (text) => {
      if (text.startsWith("SIP/2.0 180")) return null;
      return text.startsWith("SIP/2.0 183") ? text.replace("Content-Type", "P-Early-Media: sendonly\r\nContent-Type") : text;
    };
    const [alice, bob] = [client(), client({ startActiveConnection: true })];
    await Promise.all([alice.start({ username: "alice", password: "x" }), bob.start({ username: "bob", password: "x" })]);
    const rings = new Promise((resolve) => bob.getCallClient().addEventListener({ onIncomingCall: resolve }));
    const call = alice.getCallClient().callUser("bob");
    events(call, "alice", log);
    const incoming = await rings;
    await until(() => log.length, "the first event");
    equal(
      [log, call.getState(), incoming.getState()],
      [["alice established"], "ESTABLISHED", "PROGRESSING"],
      "established, and not answered",
    );
    ok(call.incomingStream.getAudioTracks().length === 1 && call.incomingStreamURL, "there is a stream to be heard");
    await until(() => /connected|completed/.test(peers[0].iceConnectionState) && call.outgoingStream.active, "the path and the microphone");
    equal((await report(peers[0])).sent, 0, "nothing of the microphone");
    incoming.answer();
    await until(() => incoming.getState() === "ESTABLISHED", "the answer");
    for (const { incomingStream } of [call, incoming]) {
      // Audio that no element plays has no energy.
      const audio = document.body.appendChild(document.createElement("audio"));
      Object.assign(audio, { autoplay: true, srcObject: incomingStream });
    }
    for (const peer of peers) await until(() => hears(peer), "sound");
    call.hangup();
    await until(() => log.length > 1, "the end");
    equal(log, ["alice established", "alice ended HUNG_UP"], "the answer shows nothing new");
  },

  async credit_that_runs_out_is_told({ talking, network, field, until, equal }) {
    const { alice } = await talking();
    const told = [];
    alice.call.addEventListener({ onCreditLow: (call, seconds) => told.push(call === alice.call, seconds) });
    const ack = network.said.find((text) => text.startsWith("ACK "));
    const [from, to, id] = ["To", "From", "Call-ID"].map((name) => field(ack, name)[0].replace(/^[^:]+/, ""));
    const lines = [
      "INFO sip:alice@made.up SIP/2.0",
      "Via: SIP/2.0/WS bridge.invalid;branch=z9hG4bKcredit",
      "Max-Forwards: 70",
      `From${from}`,
      `To${to}`,
    ];
    lines.push(
      `Call-ID${id}`,
      "CSeq: 77 INFO",
      "Info-Package: offhook-credit",
      "Content-Type: application/json",
      "Content-Length: 14",
      "",
      '{"seconds":30}',
    );
    network.sockets[0].hear(lines.join("\r\n"));
    await until(() => told.length, "the warning");
    equal(told, [true, 30], "the call, and how long it lasts");
    alice.call.hangup();
  },

  async the_callee_declines({ ringing, until, equal }) {
    const { bob, log } = await ringing();
    bob.call.hangup();
    await until(() => log.filter((event) => event.includes("ended")).length === 2, "the end");
    equal(log.filter((event) => event.includes("ended")).sort(), ["alice ended DENIED", "bob ended DENIED"], "declined");
    bob.call.answer();
    equal(bob.call.getState(), "ENDED", "an answer after the end changes nothing");
  },

  async the_caller_gives_up({ ringing, until, equal }) {
    const { alice, log } = await ringing();
    alice.call.hangup();
    await until(() => log.filter((event) => event.includes("ended")).length === 2, "the end");
    equal(log.filter((event) => event.includes("ended")).sort(), ["alice ended CANCELED", "bob ended CANCELED"], "cancelled");
  },

  async a_call_nobody_listens_to_is_ignored({ client, until, equal, sleep }) {
    const logged = [];
    const bob = client({ startActiveConnection: true, onLogMessage: (message) => logged.push(message) });
    const alice = client();
    await Promise.all([alice.start({ username: "alice", password: "x" }), bob.start({ username: "bob", password: "x" })]);
    const call = alice.getCallClient().callUser("bob");
    await until(() => logged.some((message) => message.code === 6004), "the log");
    await sleep(200);
    equal(call.getState() !== "ENDED", true, "it rings on");
    equal(
      logged.every((message) => message instanceof Error || (typeof message.progress === "string" && "object" in message)),
      true,
      "the shape of messages",
    );
  },

  async listeners_are_called_later_and_apart({ client, until, equal, ok }) {
    const errors = [];
    const report = console.error;
    console.error = (error) => errors.push(error);
    try {
      const alice = client();
      const calls = alice.getCallClient();
      // Not started: it fails, but not before the page could listen.
      const call = calls.callUser("bob");
      equal(call.getState(), "INITIATING", "at first");
      const seen = [];
      const removed = { onCallEnded: () => seen.push("removed") };
      call.addEventListener(undefined);
      call.addEventListener("text");
      call.addEventListener({});
      call.addEventListener({ onCallEnded: "no function" });
      call.addEventListener({
        get onCallEnded() {
          throw new Error("getter");
        },
      });
      call.addEventListener({
        onCallEnded() {
          seen.push("first");
          throw new Error("thrown");
        },
      });
      call.addEventListener(removed);
      const listener = {
        onCallEnded(ended) {
          seen.push(this === listener && ended === call ? "second" : "wrong");
        },
      };
      call.addEventListener(listener);
      call.removeEventListener({});
      call.removeEventListener(removed);
      equal(seen, [], "nothing yet");
      await until(() => seen.length > 1, "the end");
      equal(seen, ["first", "second"], "both, as methods");
      equal(
        errors.map((error) => error.message),
        ["thrown"],
        "what was thrown is told",
      );
      ok(call.error?.name === "SinchError" && call.errors.code === call.error.code, "the reason");
    } finally {
      console.error = report;
    }
  },

  async a_refused_microphone_ends_the_call({ events, ringing, until, equal }) {
    const open = navigator.mediaDevices.getUserMedia;
    const refuse = async () => {
      throw new DOMException("No", "NotAllowedError");
    };
    const { alice, bob, log } = await ringing();
    await until(() => alice.call.outgoingStream.active, "the caller's microphone");
    navigator.mediaDevices.getUserMedia = refuse;
    bob.call.answer();
    await until(() => log.filter((event) => event.includes(" ended ")).length === 2, "the end");
    equal([bob.call.getEndCause(), bob.call.error.code], ["FAILURE", 6001], "the callee's");
    equal(
      /^NotAllowedError: the microphone, or the camera where the call has video, is not allowed; allow it .* \(No\)$/.test(
        bob.call.error.message,
      ),
      true,
      "why, and what to do",
    );
    const again = alice.client.getCallClient().callUser("bob");
    events(again, "again", log);
    await until(() => log.includes("again ended FAILURE"), "the caller's");
    navigator.mediaDevices.getUserMedia = open;
    const third = alice.client.getCallClient().callUser("bob");
    await until(() => third.outgoingStream.active, "it is asked for anew");
  },

  async what_is_thrown_and_no_error_is_a_sentence_too({ client, until, equal }) {
    const made = client({ capabilities: { calling: true, multiCall: true } });
    await made.start({ username: "alice", password: "x" });
    for (const [thrown, message] of [
      ["no microphone today", "Error: no microphone today"],
      [undefined, "Error: It was not said why"],
      [null, "Error: It was not said why"],
      [7, "Error: It was not said why"],
      [{}, "Error: It was not said why"],
      [{ name: "", message: "" }, "Error: It was not said why"],
      [{ name: "OverconstrainedError", constraint: "width" }, "OverconstrainedError: It was not said why"],
    ]) {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(thrown);
      const call = made.callUser("bob");
      await until(() => call.getState() === "ENDED", "the end");
      equal([call.getEndCause(), call.error.code, call.error.message], ["FAILURE", 6001, message], String(thrown));
    }
  },

  async a_refused_microphone_rejects_init_stream({ client, equal }) {
    navigator.mediaDevices.getUserMedia = async () => {
      throw new DOMException("No", "NotAllowedError");
    };
    const error = await client()
      .getCallClient()
      .initStream()
      .catch((error) => error);
    equal(error.name, "NotAllowedError", "the browser's error");
  },

  async a_held_microphone_stays_open({ client, microphones, equal, sleep }) {
    const made = client();
    const calls = made.getCallClient();
    const [stream, same] = await Promise.all([calls.initStream(), calls.initStream()]);
    equal([stream === same, microphones.length, calls.localMediaStream === stream], [true, 1, true], "opened once");
    await made.start({ username: "alice", password: "x" });
    const call = calls.callUser("bob");
    await sleep(300);
    call.hangup();
    await sleep(100);
    equal([microphones.length, stream.getTracks()[0].readyState], [1, "live"], "kept");
    made.terminate();
    await sleep(100);
    equal(stream.getTracks()[0].readyState, "ended", "until the client ends");
  },

  async a_muted_call_leaves_others_alone({ talking, equal, until, sleep }) {
    const several = { capabilities: { calling: true, multiCall: true } };
    const { alice, bob } = await talking({ alice: several, bob: several });
    await until(() => alice.call.outgoingStream.active && bob.call.outgoingStream.active, "streams");
    const theirs = bob.call;
    const track = (call) => call.outgoingStream.getAudioTracks()[0];
    equal(track(alice.call).enabled, true, "it sends");
    const other = alice.client.getCallClient().callUser("carol");
    await until(() => other.outgoingStream.active, "the second stream");
    equal([track(other) !== track(alice.call), track(other).enabled], [true, false], "a track of its own, silent until the answer");
    alice.call.mute();
    equal([track(alice.call).enabled, alice.call.muted, track(theirs).enabled], [false, true, true], "muted");
    alice.call.unmute();
    equal([track(alice.call).enabled, track(other).enabled], [true, false], "unmuted");
    other.hangup();
    await sleep(50);
    equal(track(alice.call).readyState, "live", "the end of one is not the end of another");
  },

  async a_stream_of_the_page_is_sent({ talking, equal, until, microphones }) {
    const canvas = new AudioContext();
    const stream = canvas.createMediaStreamDestination().stream;
    let copies = 0;
    stream.clone = () => (copies++, MediaStream.prototype.clone.call(stream));
    const { alice, bob } = await talking({ stream, bob: { customStream: stream } });
    for (const { call } of [alice, bob]) await until(() => call.outgoingStream.getAudioTracks().length === 1, "a track");
    equal(microphones.length, 0, "no microphone");
    alice.call.hangup();
    equal(stream.getAudioTracks()[0].readyState, "live", "the page's own stream is left to the page");
    equal(copies, 0, "copies of it, which nobody would stop");
    await canvas.close();
  },

  async what_is_over_is_released({ talking, peers, microphones, equal, until }) {
    const { alice, bob, log } = await talking();
    await until(() => alice.call.outgoingStream.active && bob.call.outgoingStream.active, "streams");
    const tracks = [alice, bob].flatMap(({ call }) => call.outgoingStream.getTracks());
    bob.call.hangup();
    await until(() => log.includes("alice ended HUNG_UP"), "the end");
    await until(() => tracks.every((track) => track.readyState === "ended"), "tracks stop");
    await until(
      () => microphones.flatMap((stream) => stream.getTracks()).every((track) => track.readyState === "ended"),
      "the microphone closes",
    );
    equal(
      peers.map((peer) => peer.connectionState),
      ["closed", "closed"],
      "peer connections close",
    );
  },

  async a_page_that_goes_hangs_up({ talking, network, until, ok }) {
    const { log } = await talking();
    network.said = [];
    dispatchEvent(new Event("pagehide"));
    ok(
      network.said.some((text) => text.startsWith("BYE ")),
      "BYE is said at once",
    );
    await until(() => log.filter((event) => event.includes("ended HUNG_UP")).length === 2, "both end");
  },

  async a_lost_connection_is_told_once({ talking, network, until, equal, sleep }) {
    const { alice, bob, log } = await talking();
    const told = [];
    for (const [name, { client, call }] of Object.entries({ alice, bob })) {
      const note =
        (what) =>
        (...given) =>
          told.push(`${name} ${what} ${given.length}`);
      const listener = { onReconnecting: note("reconnecting"), onReconnected: note("reconnected") };
      client.getCallClient().addEventListener(listener);
      call.addEventListener(listener);
    }
    for (const socket of [...network.sockets]) {
      socket.close();
      socket.onclose?.({ type: "close", code: 1006, reason: "", target: socket });
    }
    await until(() => told.length >= 4, "both are back");
    await sleep(200);
    equal(
      told.sort(),
      ["alice reconnected 0", "alice reconnecting 0", "bob reconnected 0", "bob reconnecting 0"],
      "once each, and nothing of the call",
    );
    alice.call.hangup();
    await until(() => log.includes("bob ended HUNG_UP"), "the call went on");
  },

  async media_that_is_cut_off_is_made_anew({ talking, peers, hears, until, equal, sleep }) {
    const { alice, bob } = await talking();
    const told = [];
    for (const { call } of [alice, bob]) {
      await until(() => call.incomingStream, "a stream");
      const audio = document.body.appendChild(document.createElement("audio"));
      audio.autoplay = true;
      audio.srcObject = call.incomingStream;
      call.addEventListener({
        onReconnecting: (given) => told.push(given === call && "reconnecting"),
        onReconnected: (given) => told.push(given === call && "reconnected"),
      });
    }
    for (const peer of peers) await until(() => /connected|completed/.test(peer.iceConnectionState), "a path");
    await sleep(200);
    peers[0].close();
    await until(() => told.includes("reconnected"), "the other side made it anew");
    equal(told.filter((what) => what === "reconnecting").length, 1, "told once");
    equal(peers.length, 4, "another peer connection on both sides");
    for (const peer of peers.slice(2)) await until(() => hears(peer), "sound");
    alice.call.hangup();
  },
});
