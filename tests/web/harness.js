// What the behaviours get: the class, checks, a network inside the page, and a record of media.
(function harness(SinchClient) {
  const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));
  const ok = (value, what) => {
    if (!value) throw new Error(what);
  };
  const equal = (actual, expected, what) => {
    const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
    ok(a === b, `${what}: ${a}, not ${b}`);
  };
  const until = async (test, what, millis = 10000) => {
    for (const end = performance.now() + millis; performance.now() < end; await sleep(20)) if (await test()) return;
    throw new Error(`${what}: not within ${millis} ms`);
  };
  const thrown = (act) => {
    try {
      act();
    } catch (error) {
      return error;
    }
    throw new Error("nothing was thrown");
  };

  // The network: registers every user, and passes everything else to the other socket.
  const network = {
    urls: [],
    sockets: [],
    said: [],
    /** The status that the REGISTER `_text` gets. */
    register: (_text) => 200,
    pass: (text) => text,
    answer,
  };
  const field = (text, name) => text.split("\r\n").filter((line) => line.toLowerCase().startsWith(name.toLowerCase() + ":"));
  const registered = (text) => {
    const to = field(text, "To")[0];
    const contacts = field(text, "Contact").map((line) => `${line};expires=600`);
    const code = network.register(text);
    const lines = [`SIP/2.0 ${code} Said`, ...field(text, "Via"), ...field(text, "From"), `${to};tag=made-up`, ...field(text, "Call-ID")];
    if (code !== 200) lines.push(`X-Error: ${code}08 No such luck`);
    return [...lines, ...field(text, "CSeq"), ...contacts, "Content-Length: 0", "", ""].join("\r\n");
  };
  function answer(request, status, more) {
    const same = ["Via", "From", "Call-ID", "CSeq"].flatMap((name) => field(request, name));
    return [`SIP/2.0 ${status}`, ...same, `${field(request, "To")[0]};tag=made-up`, ...more, "Content-Length: 0", "", ""].join("\r\n");
  }
  class FakeSocket {
    /** @type {((event: object) => void) | null} */
    onopen = null;
    /** @type {((event: object) => void) | null} */
    onmessage = null;
    addEventListener(type, listener) {
      this[`on${type}`] = listener;
    }
    removeEventListener(type) {
      this[`on${type}`] = null;
    }
    constructor(url, protocol) {
      Object.assign(this, { url, protocol, readyState: 0 });
      network.urls.push(url);
      network.sockets.push(this);
      setTimeout(() => {
        if (this.readyState) return;
        this.readyState = 1;
        this.onopen?.({ type: "open", target: this });
      });
    }
    send(text) {
      network.said.push(text);
      setTimeout(() => {
        if (text === "\r\n\r\n") return this.hear("\r\n");
        if (text.startsWith("REGISTER ")) return this.hear(registered(text));
        const passed = network.pass(text);
        if (passed) network.sockets.find((socket) => socket !== this && socket.readyState === 1)?.hear(passed);
      });
    }
    hear(data) {
      if (this.readyState === 1) this.onmessage?.({ type: "message", data, target: this });
    }
    close() {
      this.readyState = 3;
      network.sockets = network.sockets.filter((socket) => socket !== this);
    }
  }

  const before = { WebSocket, RTCPeerConnection, fetch, getUserMedia: navigator.mediaDevices.getUserMedia, error: console.error };
  const peers = [];
  const microphones = [];
  globalThis.WebSocket = /** @type {any} */ (FakeSocket);
  globalThis.RTCPeerConnection = class extends before.RTCPeerConnection {
    constructor(configuration) {
      super(configuration);
      peers.push(this);
    }
  };
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await before.getUserMedia.call(navigator.mediaDevices, constraints);
    microphones.push(stream);
    return stream;
  };

  // What the SDK warns of in the console.
  const warned = [];
  const { warn } = console;
  console.warn = (message) => warned.push(message);

  const clients = [];
  const lists = [];
  const client = (options) => {
    const made = new SinchClient({ applicationKey: "key", capabilities: { calling: true }, server: "ws://test.invalid/sip", ...options });
    clients.push(made);
    // As the object of the package does.
    lists.push(made.__lists());
    return made;
  };
  const events = (call, who, log) => {
    const note = (what) => () => log.push(`${who} ${what}`);
    call.addEventListener({
      onCallProgressing: note("progressing"),
      onCallEstablished: note("established"),
      onCallEnded: (ended) => log.push(`${who} ended ${ended.getEndCause()}`),
    });
  };
  // Two clients; `alice.call` is under way to `bob.call`, which rings.
  const ringing = async (options = {}) => {
    const log = [];
    const alice = { client: client(options.alice), call: null };
    const bob = { client: client({ startActiveConnection: true, ...options.bob }), call: null };
    await Promise.all([
      alice.client.start({ username: "alice", password: "secret" }),
      bob.client.start({ username: "bob", password: "secret" }),
    ]);
    bob.client.getCallClient().addEventListener({
      onIncomingCall(call) {
        log.push("bob incoming");
        bob.call = call;
        events(call, "bob", log);
      },
    });
    alice.call = alice.client.getCallClient().callUser("bob", options.headers, options.stream);
    events(alice.call, "alice", log);
    await until(() => bob.call && log.includes("alice progressing"), "the call rings");
    return { alice, bob, log };
  };
  const talking = async (options) => {
    const world = await ringing(options);
    world.bob.call.answer();
    await until(() => ["alice established", "bob established"].every((event) => world.log.includes(event)), "the call is established");
    return world;
  };
  const report = async (peer) => {
    const found = { packets: 0, energy: 0, sent: 0 };
    (await peer.getStats()).forEach((entry) => {
      if (entry.type === "inbound-rtp" && entry.kind === "audio") {
        found.packets = entry.packetsReceived;
        found.energy = entry.totalAudioEnergy ?? 0;
      }
      if (entry.type === "outbound-rtp" && entry.kind === "audio") found.sent = entry.packetsSent;
    });
    return found;
  };
  // Whether a peer hears something in the next second.
  const hears = async (peer) => {
    const from = (await report(peer)).energy;
    await sleep(1000);
    return (await report(peer)).energy - from > 1e-4;
  };
  const clean = () => {
    for (const made of clients) made.terminate();
    Object.assign(console, { warn, error: before.error });
    Object.assign(globalThis, { WebSocket: before.WebSocket, RTCPeerConnection: before.RTCPeerConnection, fetch: before.fetch });
    delete navigator.mediaDevices.getUserMedia;
    /** @type {NodeListOf<HTMLMediaElement>} */
    const played = document.querySelectorAll("audio,video");
    played.forEach((element) => {
      element.src = "";
      element.remove();
    });
  };
  return {
    SinchClient,
    client,
    clients,
    clean,
    console: warned,
    equal,
    events,
    field,
    hears,
    microphones,
    network,
    ok,
    peers,
    report,
    ringing,
    sleep,
    talking,
    thrown,
    until,
  };
});
