// What a call sends: its stream before there is a microphone, devices that go away, and streams of the page.
(() => {
  const login = (username) => ({ username, password: "secret" });
  const VIDEO = { calling: true, video: true, multiCall: true };

  // Two clients that are signed in; `rings` is a promise of the call that rings at the second.
  const pair = async ({ client }, options = {}) => {
    const [alice, bob] = [client(options.alice), client({ startActiveConnection: true, ...options.bob })];
    await Promise.all([alice.start(login("alice")), bob.start(login("bob"))]);
    const rings = new Promise((resolve) => bob.getCallClient().addEventListener({ onIncomingCall: resolve }));
    return { alice, bob, rings };
  };

  // An element of the page that plays a stream, or what a URL stands for.
  const player = (kind, how, what) => {
    const element = /** @type {HTMLVideoElement} */ (document.body.appendChild(document.createElement(kind)));
    element.autoplay = true;
    element.muted = true;
    element[how] = what;
    return element;
  };

  // Listeners of tracks get no event of a script in Firefox, unless they ask for it by a fourth argument of Firefox's own.
  MediaStreamTrack.prototype.addEventListener = function (type, listener, options) {
    const add = /** @type {any} */ (EventTarget.prototype.addEventListener);
    add.call(this, type, listener, options, true);
  };

  // What a browser does to the tracks of a device that is unplugged, as far as a script can do it. tests/e2e/devices.mjs has real ends.
  const unplug = (...tracks) => {
    for (const track of tracks) {
      track.stop();
      track.dispatchEvent(new Event("ended"));
    }
  };

  const NO_DEVICE = new DOMException("Requested device not found", "NotFoundError");
  const refusing = async () => {
    throw NO_DEVICE;
  };

  // What a call tells of its own stream.
  const listen = (call) => {
    const told = [];
    call.addEventListener({
      onLocalStream: (given, stream) => told.push(given === call && stream === call.outgoingStream && "stream"),
      onLocalTrackEnded: (given, track) => told.push(given === call && `${track.kind} ${track.readyState}`),
      onCallEnded: () => told.push("end"),
    });
    return told;
  };

  const audio = (call) => call.outgoingStream.getAudioTracks()[0];
  const sends = (peer, track) => peer.getSenders().some((sender) => sender.track === track);

  // An element plays what arrives: audio that nothing plays has no energy.
  const play = (call) => (player("audio", "srcObject", call.incomingStream).muted = false);

  return {
    async the_own_stream_plays_as_soon_as_there_is_a_call(harness) {
      const { equal, ok, sleep, until } = harness;
      const open = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = async (constraints) => {
        await sleep(700);
        return open(constraints);
      };
      const { alice, rings } = await pair(harness, { alice: { capabilities: VIDEO }, bob: { capabilities: VIDEO } });
      const players = [];
      const streams = [];
      // As the samples of the original attach the local picture.
      const attach = (call) => {
        equal([typeof call.outgoingStreamURL, call.outgoingStream instanceof MediaStream], ["string", true], "a stream and its URL");
        players.push(player("video", "srcObject", call.outgoingStream), player("video", "src", call.outgoingStreamURL));
        streams.push([call, call.outgoingStream, call.outgoingStreamURL]);
      };
      const call = alice.getCallClient().callUser("bob");
      call.addEventListener({ onCallProgressing: attach, onCallEstablished: attach });
      const incoming = await rings;
      attach(incoming);
      incoming.addEventListener({ onCallEstablished: attach });
      equal(call.outgoingStream.active || incoming.outgoingStream.active, false, "no microphone yet");
      incoming.answer();
      await until(() => players.length === 8, "both are told of the answer, and the caller that it rings");
      for (const element of players) await until(() => element.videoWidth > 0 && element.currentTime > 0.2, "a picture that moves");
      for (const [which, stream, url] of streams)
        equal([which.outgoingStream === stream, which.outgoingStreamURL === url], [true, true], "one stream, one URL, all the time");
      for (const { outgoingStream } of [call, incoming]) equal(outgoingStream.getTracks().length, 2, "microphone and camera");
      call.hangup();
      ok(
        call.outgoingStream.getTracks().every((track) => track.readyState === "ended"),
        "the end stops them",
      );
    },

    async a_stream_that_is_open_is_there_with_its_tracks(harness) {
      const { equal, until } = harness;
      const page = await navigator.mediaDevices.getUserMedia({ audio: true });
      const { alice, rings } = await pair(harness, { bob: { customStream: page } });
      await alice.getCallClient().initStream();
      const seen = [];
      const note = (call) => seen.push(call.outgoingStream.getAudioTracks().length);
      const call = alice.getCallClient().callUser("bob");
      call.addEventListener({ onCallProgressing: note, onCallEstablished: note });
      const incoming = await rings;
      incoming.addEventListener({ onCallEstablished: note });
      incoming.answer();
      await until(() => seen.length === 3, "the events");
      equal(seen, [1, 1, 1], "tracks at each event");
      call.hangup();
      page.getTracks().forEach((track) => track.stop());
    },

    async a_track_that_ends_is_replaced_in_all_calls(harness) {
      const { talking, hears, microphones, peers, network, equal, until } = harness;
      const several = { capabilities: { calling: true, multiCall: true } };
      const { alice, bob } = await talking({ alice: several, bob: several });
      const theirs = bob.call;
      const second = alice.client.getCallClient().callUser("carol");
      await until(() => second.outgoingStream.active && theirs.incomingStream && theirs.outgoingStream.active, "streams");
      const told = [listen(alice.call), listen(second), listen(theirs)];
      const [stream, opened] = [alice.call.outgoingStream, microphones.length];
      play(theirs);
      const receiver = peers.find((peer) => peer.getReceivers().some(({ track }) => track === theirs.incomingStream.getAudioTracks()[0]));
      await until(() => hears(receiver), "sound before");
      network.said.length = 0;
      // In the order in which no browser does it: the track that both are clones of is the last.
      unplug(audio(alice.call), audio(second), ...microphones[0].getTracks());
      await until(() => told[0].includes("stream") && told[1].includes("stream"), "both have a microphone again");
      equal(told, [["audio ended", "stream"], ["audio ended", "stream"], []], "each call is told, and nobody else");
      equal(microphones.length, opened + 1, "it was opened once for both");
      equal(
        [alice.call.outgoingStream === stream, stream.getTracks().length, audio(alice.call).readyState],
        [true, 1, "live"],
        "the same stream",
      );
      equal([audio(alice.call).enabled, audio(second).enabled], [true, false], "one is answered, the other is not");
      await until(() => peers.some((peer) => sends(peer, audio(alice.call))), "it is sent");
      await until(() => hears(receiver), "sound after");
      equal(network.said.filter((text) => /^(INVITE|UPDATE)/.test(text)).length, 0, "nothing was negotiated");
      alice.call.hangup();
      second.hangup();
      await until(() => microphones.flatMap((one) => one.getTracks()).every((track) => track.readyState === "ended"), "they are closed");
    },

    async a_muted_call_stays_muted_with_another_track({ talking, microphones, equal, until, sleep }) {
      const { alice, bob } = await talking({ alice: { capabilities: VIDEO }, bob: { capabilities: VIDEO } });
      await until(() => alice.call.outgoingStream.active && bob.call.outgoingStream.active, "streams");
      const told = listen(alice.call);
      alice.call.mute();
      unplug(...microphones[0].getTracks(), ...alice.call.outgoingStream.getTracks());
      await until(() => told.filter((what) => what === "stream").length === 2, "both are replaced");
      const states = () => alice.call.outgoingStream.getTracks().map(({ kind, enabled, readyState }) => `${kind} ${enabled} ${readyState}`);
      equal(states().sort(), ["audio false live", "video true live"], "a picture without sound");
      alice.call.unmute();
      equal(states().sort(), ["audio true live", "video true live"], "unmuted");
      // Muted while there is nothing to mute. What ends sooner is not opened again.
      await sleep(1_100);
      const open = navigator.mediaDevices.getUserMedia;
      let tries = 0;
      navigator.mediaDevices.getUserMedia = () => (tries++, refusing());
      unplug(...alice.client.getCallClient().localMediaStream.getAudioTracks(), audio(alice.call));
      await until(() => tries === 1, "it is tried");
      alice.call.mute();
      navigator.mediaDevices.getUserMedia = open;
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
      await until(() => audio(alice.call).readyState === "live", "the microphone");
      equal(audio(alice.call).enabled, false, "still muted");
      alice.call.hangup();
    },

    async where_there_is_no_device_the_call_goes_on({ talking, microphones, equal, until, sleep }) {
      const { alice, bob, log } = await talking();
      await until(() => alice.call.outgoingStream.active && bob.call.outgoingStream.active, "streams");
      const told = listen(alice.call);
      const open = navigator.mediaDevices.getUserMedia;
      let tries = 0;
      navigator.mediaDevices.getUserMedia = () => (tries++, refusing());
      const opened = microphones.length;
      unplug(...microphones[0].getTracks(), audio(alice.call));
      await until(() => tries === 1, "it is tried");
      await sleep(300);
      equal([told, tries, alice.call.getState()], [["audio ended"], 1, "ESTABLISHED"], "told, and the call goes on");
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
      await until(() => tries === 2, "it is tried again");
      await sleep(100);
      equal(told, ["audio ended"], "told once");
      navigator.mediaDevices.getUserMedia = open;
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
      await until(() => told.length > 1, "it is back");
      equal([told, audio(alice.call).readyState, microphones.length], [["audio ended", "stream"], "live", opened + 1], "once");
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
      await sleep(200);
      equal([told.length, microphones.length], [2, opened + 1], "a device that nobody misses changes nothing");
      alice.call.hangup();
      await until(() => log.includes("bob ended HUNG_UP"), "the end");
    },

    async a_page_may_hang_up_when_its_microphone_goes_away({ talking, microphones, equal, until, sleep }) {
      const { alice, bob, log } = await talking();
      await until(() => alice.call.outgoingStream.active && bob.call.outgoingStream.active, "streams");
      const told = listen(alice.call);
      alice.call.addEventListener({ onLocalTrackEnded: (call) => call.hangup() });
      const opened = microphones.length;
      unplug(...microphones[0].getTracks(), audio(alice.call));
      await until(() => log.includes("alice ended HUNG_UP") && log.includes("bob ended HUNG_UP"), "the end");
      await sleep(100);
      equal([told, microphones.length], [["audio ended", "end"], opened], "no microphone is opened for a call that is over");
    },

    async a_stream_of_the_page_that_ends_is_only_told(harness) {
      const { talking, microphones, equal, until, sleep } = harness;
      const open = () => navigator.mediaDevices.getUserMedia({ audio: true });
      const [custom, adopted] = [await open(), await open()];
      const { alice, bob } = await talking({ stream: custom });
      await until(() => bob.call.outgoingStream.active, "the callee's microphone");
      await bob.client.getCallClient().initStream(adopted);
      await sleep(50); // Its event comes in a later task.
      const opened = microphones.length;
      const told = [listen(alice.call), listen(bob.call)];
      unplug(...custom.getTracks(), ...adopted.getTracks(), audio(alice.call), audio(bob.call));
      await sleep(300);
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
      await sleep(300);
      equal(told, [["audio ended"], ["audio ended"]], "told");
      equal(microphones.length, opened, "no microphone is opened that the page did not ask for");
      equal([alice.call.getState(), bob.call.getState()], ["ESTABLISHED", "ESTABLISHED"], "the calls go on");
      // The page gives the call another one.
      const third = await open();
      await bob.client.getCallClient().initStream(third);
      await sleep(50);
      equal([told[1], audio(bob.call).readyState], [["audio ended", "stream"], "live"], "replaced");
      alice.call.hangup();
      third.getTracks().forEach((track) => track.stop());
    },

    async init_stream_replaces_what_calls_send(harness) {
      const { talking, hears, peers, microphones, network, equal, ok, until, sleep } = harness;
      const silent = new AudioContext().createMediaStreamDestination().stream;
      const { alice, bob } = await talking({ bob: { customStream: silent } });
      await until(() => alice.call.outgoingStream.active && bob.call.incomingStream && alice.call.incomingStream, "streams");
      play(bob.call);
      const receiver = peers.find((peer) => peer.getReceivers().some(({ track }) => track === bob.call.incomingStream.getAudioTracks()[0]));
      await until(() => hears(receiver), "the microphone");
      const told = [listen(alice.call), listen(bob.call)];
      const [stream, before] = [alice.call.outgoingStream, audio(alice.call)];
      network.said.length = 0;
      await alice.client.getCallClient().initStream(silent);
      await until(() => told[0].length, "it is told");
      equal([alice.call.outgoingStream === stream, stream.getTracks().length, before.readyState], [true, 1, "ended"], "another track");
      ok(audio(alice.call) !== silent.getTracks()[0] && audio(alice.call).enabled, "a track of its own");
      await until(() => peers.some((peer) => sends(peer, audio(alice.call))), "it is sent");
      await until(async () => !(await hears(receiver)), "silence");
      equal(microphones[0].getTracks()[0].readyState, "ended", "the microphone is closed");
      const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
      await alice.client.getCallClient().initStream(microphone);
      await until(() => hears(receiver), "sound again");
      await bob.client.getCallClient().initStream(microphone);
      await sleep(100);
      equal(told, [["stream", "stream"], []], "a call with a stream of its own keeps it");
      equal(network.said.filter((text) => /^(INVITE|UPDATE)/.test(text)).length, 0, "nothing was negotiated");
      alice.call.hangup();
      equal(
        [silent, microphone].map((one) => one.getTracks()[0].readyState),
        ["live", "live"],
        "streams of the page are left to the page",
      );
      microphone.getTracks().forEach((track) => track.stop());
    },

    async a_stream_of_the_page_wins_over_a_microphone_that_is_being_opened({ ringing, microphones, equal, until, sleep }) {
      const open = navigator.mediaDevices.getUserMedia;
      const page = await open({ audio: true });
      navigator.mediaDevices.getUserMedia = async (constraints) => {
        await sleep(500);
        return open(constraints);
      };
      const { alice } = await ringing();
      equal(alice.call.outgoingStream.active, false, "the microphone is being opened");
      const told = listen(alice.call);
      equal((await alice.client.getCallClient().initStream(page)) === page, true, "the page's stream");
      await until(() => told.length, "the call has a stream");
      await sleep(100);
      equal([told, alice.client.getCallClient().localMediaStream === page], [["stream"], true], "it is the page's");
      await until(() => microphones[1]?.getTracks()[0].readyState === "ended", "the microphone is closed");
      alice.call.hangup();
      page.getTracks().forEach((track) => track.stop());
    },

    async the_page_is_not_left_for_a_device(harness) {
      const { talking, microphones, equal, until, sleep } = harness;
      const several = { capabilities: { calling: true, multiCall: true } };
      const { alice } = await talking({ alice: several, bob: several });
      const calls = alice.client.getCallClient();
      const page = await navigator.mediaDevices.getUserMedia({ audio: true });
      await calls.initStream(page);
      await sleep(50);
      const told = listen(alice.call);
      const opened = microphones.length;
      unplug(...page.getTracks(), audio(alice.call));
      await until(() => told.includes("audio ended"), "it is told");
      // Another call, to which the page has given nothing else.
      const second = calls.callUser("carol");
      await until(() => second.getState() === "ENDED", "a call without anything to send");
      equal(
        [second.getEndCause(), second.error.code, second.error.message.includes("no live track")],
        ["FAILURE", 6001, true],
        "it says why",
      );
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
      await sleep(300);
      equal([microphones.length, told], [opened, ["audio ended"]], "no microphone is opened");
      const fault = await calls.initStream(page).catch((error) => error);
      equal([fault.name, microphones.length], ["InvalidStateError", opened], "a stream that has ended is no stream");
      // Without a stream, the page asks for the microphone.
      await calls.initStream();
      equal(microphones.length, opened + 1, "the microphone");
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
      await sleep(300);
      equal(told, ["audio ended"], "the call that sent the page's stream does not send it");
      const third = calls.callUser("carol");
      await until(() => third.outgoingStream.active, "a call from then on does");
      third.hangup();
      alice.call.hangup();
    },

    async the_camera_of_a_call_is_replaced_beside_the_pages_sound(harness) {
      const { talking, microphones, equal, until, sleep } = harness;
      const { alice, bob } = await talking({ alice: { capabilities: VIDEO }, bob: { capabilities: VIDEO } });
      await until(() => alice.call.outgoingStream.active && bob.call.outgoingStream.active, "streams");
      const video = () => alice.call.outgoingStream.getVideoTracks()[0];
      const page = await navigator.mediaDevices.getUserMedia({ audio: true });
      await alice.client.getCallClient().initStream(page);
      await sleep(50);
      const [told, opened] = [listen(alice.call), microphones.length];
      unplug(video());
      await until(() => told.includes("stream"), "another picture");
      equal(
        [told, video().readyState, audio(alice.call).readyState],
        [["video ended", "stream"], "live", "live"],
        "the camera, beside the page's sound",
      );
      equal(
        microphones.slice(opened).map((one) => one.getTracks().map(({ kind }) => kind)),
        [["video"]],
        "only the camera is opened",
      );
      equal(alice.client.getCallClient().localMediaStream === page, true, "the page's stream is what calls share");
      unplug(audio(alice.call));
      page.getTracks().forEach((track) => track.stop());
      await sleep(300);
      equal([microphones.length, audio(alice.call).readyState], [opened + 1, "ended"], "the sound is the page's to replace");
      alice.call.hangup();
      await until(() => microphones[opened].getTracks().every((track) => track.readyState === "ended"), "the camera is closed");
    },

    async a_stream_of_which_a_part_has_ended_is_used(harness) {
      const { equal, until, microphones } = harness;
      const page = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
      const { alice } = await pair(harness, { alice: { capabilities: VIDEO } });
      await alice.getCallClient().initStream(page);
      page.getVideoTracks()[0].stop();
      const opened = microphones.length;
      const call = alice.getCallClient().callUser("bob");
      await until(() => call.outgoingStream.active, "what is left of it");
      equal([call.outgoingStream.getTracks().map(({ kind }) => kind), microphones.length], [["audio"], opened], "no device");
      call.hangup();
      equal(page.getAudioTracks()[0].readyState, "live", "it is the page's");
      page.getTracks().forEach((track) => track.stop());
    },

    async a_custom_stream_that_has_ended_is_none(harness) {
      const { equal, until, microphones } = harness;
      const page = await navigator.mediaDevices.getUserMedia({ audio: true });
      page.getTracks().forEach((track) => track.stop());
      const { alice, rings } = await pair(harness, { bob: { customStream: page } });
      const opened = microphones.length;
      const call = alice.getCallClient().callUser("bob", {}, page);
      await until(() => call.getState() === "ENDED", "the end");
      equal([call.getEndCause(), call.error.domain, call.error.code], ["FAILURE", 5, 6003], "the error of an argument");
      alice.getCallClient().callUser("bob");
      const incoming = await rings;
      incoming.answer();
      await until(() => incoming.getState() === "ENDED", "the end at the callee");
      equal([incoming.getEndCause(), incoming.error.code], ["FAILURE", 6001], "an incoming call has nothing to send");
      equal(microphones.length <= opened + 1, true, "only the caller's microphone may be open");
    },

    async a_stream_of_the_page_ends_the_wait_for_a_prompt(harness) {
      const { ringing, equal, until, sleep } = harness;
      const page = await navigator.mediaDevices.getUserMedia({ audio: true });
      let block;
      navigator.mediaDevices.getUserMedia = () => new Promise((_, reject) => (block = reject));
      const { alice, bob } = await ringing({ bob: { customStream: page } });
      const told = listen(alice.call);
      await until(() => block, "the prompt");
      await alice.client.getCallClient().initStream(page);
      await until(() => told.length, "the call has a stream while the prompt is open");
      bob.call.answer();
      await until(() => audio(alice.call).enabled, "it is sent");
      block(new DOMException("Permission denied", "NotAllowedError"));
      await sleep(300);
      equal([told, alice.call.getState()], [["stream"], "ESTABLISHED"], "what is said to the prompt then changes nothing");
      alice.call.hangup();
      page.getTracks().forEach((track) => track.stop());
    },

    async the_stream_of_an_incoming_call_is_told_once({ ringing, microphones, equal, until }) {
      const { bob } = await ringing();
      const told = [];
      bob.client.getCallClient().addEventListener({ onMediaStream: (stream) => told.push(stream === bob.call.outgoingStream) });
      bob.call.answer();
      await until(() => bob.call.outgoingStream.active, "the microphone");
      await until(() => told.length === 1, "the page is told");
      const replaced = listen(bob.call);
      unplug(...microphones.flatMap((one) => one.getTracks()), audio(bob.call));
      await until(() => replaced.includes("stream"), "another one");
      equal(told, [true], "once");
      bob.call.hangup();
    },

    async a_camera_that_is_allowed_again_is_opened(harness) {
      const { talking, microphones, equal, until } = harness;
      const asked = [];
      navigator.permissions.query = async ({ name }) => {
        const status = Object.assign(new EventTarget(), { state: "granted" });
        asked.push({ name, status });
        return /** @type {any} */ (status);
      };
      try {
        const { alice, bob } = await talking({ alice: { capabilities: VIDEO }, bob: { capabilities: VIDEO } });
        await until(() => alice.call.outgoingStream.active && bob.call.outgoingStream.active, "streams");
        equal(asked.map(({ name }) => name).sort(), ["camera", "camera", "microphone", "microphone"], "both are asked for");
        const told = listen(bob.call);
        const open = navigator.mediaDevices.getUserMedia;
        let tries = 0;
        navigator.mediaDevices.getUserMedia = () => (tries++, refusing());
        unplug(...microphones.flatMap((one) => one.getVideoTracks()), bob.call.outgoingStream.getVideoTracks()[0]);
        await until(() => tries === 1, "it is tried");
        navigator.mediaDevices.getUserMedia = open;
        for (const { name, status } of asked) if (name === "camera") status.dispatchEvent(new Event("change"));
        await until(() => told.includes("stream"), "the camera is back");
        alice.call.hangup();
      } finally {
        delete navigator.permissions.query;
      }
    },
  };
})();
