// The app of the test pages: a SinchClient used as its documentation says, with every event written down.
(() => {
  const now = () => Math.round(performance.now() * 10) / 10;
  const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const calls = []; // { call, events }, in the order in which they appeared
  const e2e = { client: null, calls, answerAtOnce: false, faults: [], ready: () => typeof SinchClient === "function" };
  window.e2e = e2e;

  const MAIN = ["onCallProgressing", "onCallEstablished", "onCallEnded"];
  const EXTRA = ["onLocalStream", "onLocalTrackEnded", "onRemoteTrack", "onConnectionChange", "onCreditLow"];

  function watch(call, outgoing) {
    const entry = { call, outgoing, events: [], extra: [], created: now() };
    const note = (list, name, more) => {
      list.push({
        name,
        at: now(),
        state: call.getState(),
        stateInt: call.callState,
        cause: call.getEndCause(),
        causeInt: call.callEndCause,
        more,
      });
    };
    const listener = {};
    for (const name of MAIN) listener[name] = (given) => note(entry.events, name, given === call ? undefined : "another object");
    for (const name of EXTRA) listener[name] = (_, more) => note(entry.extra, name, typeof more === "object" ? undefined : more);
    if (!outgoing) note(entry.events, "onIncomingCall");
    calls.push(entry);
    call.addEventListener(listener);
    return calls.length - 1;
  }

  const plain = (error) =>
    error && {
      name: error.name,
      domain: error.domain,
      code: error.code,
      reason: error.reason,
      message: error.message,
      isError: error instanceof Error,
    };

  /** `caught(() => …)`: what it threw, as plain values, or null. */
  e2e.caught = (f) => {
    try {
      f();
      return null;
    } catch (error) {
      return plain(error);
    }
  };

  /** Signs in. `login` is a login object; without it a ticket of the demo application is fetched for `userId`. */
  e2e.start = async ({ userId, login, config, online = true }) => {
    const options = { applicationKey: "demo", capabilities: { calling: true, ...config?.capabilities }, supportActiveConnection: online };
    const client = new SinchClient({ ...options, ...config, capabilities: options.capabilities });
    e2e.client = client;
    client.addEventListener({ onError: (error) => e2e.faults.push(plain(error)) });
    client.getCallClient().addEventListener({
      onIncomingCall(call) {
        watch(call, false);
        if (e2e.answerAtOnce) call.answer();
      },
    });
    const started = now();
    try {
      await client.start(login ?? (await e2e.ticket(userId)));
      if (online) await client.startActiveConnection();
    } catch (error) {
      return { error: plain(error), ms: now() - started };
    }
    return { ms: now() - started };
  };

  e2e.ticket = async (userId) => {
    const response = await fetch("/demo/ticket", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ userId }),
    });
    if (!response.ok) throw new Error(`ticket: ${response.status} ${await response.text()}`);
    return response.json();
  };

  /** Places a call with `method` of the CallClient and returns its number here. */
  e2e.call = (method, to, headers) => watch(e2e.client.getCallClient()[method](to, headers), true);

  e2e.names = (i) => (calls[i]?.events ?? []).map((event) => (event.name === "onCallEnded" ? `onCallEnded(${event.cause})` : event.name));

  /** Waits until event `name` of call `i` was there. */
  e2e.until = async (i, name, ms = 8000) => {
    const end = performance.now() + ms;
    while (!calls[i]?.events.some((event) => event.name === name)) {
      if (performance.now() > end) return `no ${name} after ${ms} ms; seen: ${e2e.names(i).join(" ") || "nothing"}`;
      await later(10);
    }
    return null;
  };

  const date = (value) => (value instanceof Date ? value.getTime() : value);

  /** Everything that an app can ask of call `i`. */
  e2e.facts = (i) => {
    const { call } = calls[i];
    const details = call.getDetails();
    return {
      state: call.getState(),
      stateInt: call.callState,
      cause: call.getEndCause(),
      causeInt: call.callEndCause,
      direction: call.getDirection(),
      remote: call.getRemoteUserId(),
      callId: call.getCallId(),
      headers: call.getHeaders(),
      fromId: call.fromId,
      toId: call.toId,
      domain: call.callDomain,
      outbound: call.callOutbound,
      error: plain(call.error),
      errors: plain(call.errors),
      times: [call.timeProgressing, call.timeEstablished, call.timeEnded].map(date),
      details: {
        startedTime: date(details.startedTime),
        establishedTime: date(details.establishedTime),
        endedTime: date(details.endedTime),
        duration: details.duration,
        endCause: details.endCause,
        error: plain(details.error),
      },
    };
  };

  /** The SIP that went over the page's sockets, one line a message, or with all its text; and what became of the sockets. */
  e2e.sip = (full = false) => {
    const sip = seen.sip.map(({ at, out, text }) => ({ at, text: `${out ? ">" : "<"} ${full ? text : text.split("\r\n")[0]}` }));
    return [...sip, ...seen.lives]
      .sort((one, other) => one.at - other.at)
      .map(({ at, text }) => `${at} ${text}`)
      .join("\n");
  };

  /** Microphone tracks that are still open, and peer connections that are not closed. */
  e2e.open = () => ({
    tracks: seen.tracks.filter((track) => track.readyState === "live").length,
    peers: seen.peers.filter(({ peer }) => peer.signalingState !== "closed").length,
  });

  const capture = (element) => element.captureStream?.() ?? element.mozCaptureStream();

  /** An element that plays a tone in a loop, and the stream of what it plays. */
  e2e.tone = async (hertz) => {
    const element = Object.assign(new Audio(`/e2e/${hertz}.wav`), { loop: true });
    await element.play();
    return { element, stream: capture(element) };
  };

  /** Records `ms` of what call `i` brings in and says how loud it is and which of `tones` it is. */
  e2e.hear = async (i, tones, ms = 700) => e2e.listen(incoming(i), tones, ms);

  /** The same for what an element of the page plays. */
  e2e.hearElement = async (element, tones, ms = 700) => {
    return e2e.listen(capture(element).getAudioTracks(), tones, ms);
  };

  function incoming(i) {
    const { call } = calls[i];
    if (call.incomingStream?.getAudioTracks().length) return call.incomingStream.getAudioTracks();
    // Before the answer the app has no stream yet; what arrives at the connections must be silent all the same.
    return seen.peers
      .filter(({ peer }) => peer.signalingState !== "closed")
      .flatMap(({ peer }) => peer.getReceivers().map((r) => r.track))
      .filter((t) => t.kind === "audio");
  }

  e2e.listen = async (tracks, tones, ms = 700) => {
    const live = tracks.filter((track) => track.readyState === "live");
    if (!live.length) return { rms: 0, tone: null, share: 0, tracks: 0 };
    return { tracks: live.length, ...(await analyse(await record(new MediaStream(live), ms), tones)) };
  };

  /** Records `ms` of call `i` and reads the DTMF digits in it: RFC 4733 events become the two tones of each digit at the receiver. */
  e2e.digits = async (i, ms) => {
    const samples = await decode(await record(new MediaStream(incoming(i)), ms));
    let digits = "";
    let last = "";
    const step = 960; // 20 ms: five windows for each digit of 100 ms, three for each pause
    for (let at = 0; at + step <= samples.length; at += step) {
      const digit = digitOf(samples.subarray(at, at + step));
      if (digit !== last) digits += digit;
      last = digit;
    }
    return digits;
  };

  function digitOf(window) {
    const energy = window.reduce((sum, value) => sum + value * value, 0);
    if (energy < 0.001 * window.length * 0.01) return "";
    const share = (hertz) => (2 * sound.goertzel(window, hertz, 48_000)) / (energy * window.length);
    const loudest = (tones) => tones.map((hertz, n) => ({ n, share: share(hertz) })).reduce((a, b) => (b.share > a.share ? b : a));
    const row = loudest([697, 770, 852, 941]);
    const column = loudest([1209, 1336, 1477, 1633]);
    if (row.share < 0.2 || column.share < 0.2 || row.share + column.share < 0.7) return "";
    return ["123A", "456B", "789C", "*0#D"][row.n][column.n];
  }

  async function record(stream, ms) {
    // Chromium lets remote audio flow only where an element plays it.
    const player = new Audio();
    player.muted = true;
    player.srcObject = stream;
    player.play().catch(() => {});
    const recorder = new MediaRecorder(stream);
    const parts = [];
    const done = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.start();
    await later(ms);
    if (recorder.state !== "inactive") recorder.stop();
    await done;
    player.srcObject = null;
    return new Blob(parts, { type: recorder.mimeType });
  }

  // Firefox keeps an AudioContext suspended where there is no sound device, so the recording is decoded offline.
  async function decode(blob) {
    if (blob.size === 0) return new Float32Array(0);
    try {
      const sound = await new OfflineAudioContext(1, 48_000, 48_000).decodeAudioData(await blob.arrayBuffer());
      return sound.getChannelData(0);
    } catch {
      return new Float32Array(0); // only a header: nothing came
    }
  }

  async function analyse(blob, tones) {
    const all = await decode(blob);
    // Without the first third: what was on the way when the recording began is not its subject.
    const samples = all.subarray(Math.floor(all.length / 3));
    return { ...sound.measure(samples, tones, 48_000), seconds: Number((all.length / 48_000).toFixed(2)) };
  }
})();
