// Runs before the SDK: keeps every peer connection, microphone track and SIP message of the page where a test can see it, and gives
// the microphone a behaviour (`window.microphone`). Options come in the query: page.html?before={"microphone":{"delay":500}}
// `speed`: the page's clock runs so many times as fast. `withoutGruu`: the registrar's GRUU never arrives; `withoutUpdate`: nobody says
// that it supports UPDATE. While `window.holding` is true, the page's offers put the remote party on hold (RFC 3264, 8.4).
(() => {
  const options = JSON.parse(new URLSearchParams(location.search).get("before") ?? "{}");
  if (options.speed) {
    const now = performance.now.bind(performance);
    const wait = window.setTimeout.bind(window);
    performance.now = () => now() * options.speed;
    window.setTimeout = (f, ms, ...more) => wait(f, ms / options.speed, ...more);
  }
  const now = () => Math.round(performance.now() * 10) / 10;
  const seen = { peers: [], tracks: [], sip: [], sockets: [], lives: [], closed: [], violations: [], errors: [] };
  window.seen = seen;
  window.microphone = { delay: 0, refuse: null, never: false, ...options.microphone };

  addEventListener("securitypolicyviolation", (event) =>
    seen.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`),
  );
  addEventListener("error", (event) => seen.errors.push(event.message));
  addEventListener("unhandledrejection", (event) => seen.errors.push(`unhandled: ${event.reason}`));

  const { RTCPeerConnection: Peer, WebSocket: Socket } = window;
  window.RTCPeerConnection = class extends Peer {
    constructor(...args) {
      super(...args);
      const noted = { peer: this, config: args[0], created: now(), connected: null };
      this.addEventListener("connectionstatechange", () => {
        if (this.connectionState === "connected") noted.connected ??= now();
      });
      seen.peers.push(noted);
    }
  };

  window.WebSocket = class extends Socket {
    constructor(/** @type {ConstructorParameters<typeof Socket>} */ ...args) {
      super(...args);
      seen.sockets.push(this);
      const lives = (what) => seen.lives.push({ at: now(), text: `${what} ${args[0]}` });
      lives("connects to");
      this.addEventListener("open", () => lives("is connected to"));
      this.addEventListener("close", ({ code }) => (seen.closed.push(now()), lives(`is told of the end (${code}) of`)));
      const unwanted = (options.withoutGruu && /;(pub|temp)-gruu="[^"]*"/g) || (options.withoutUpdate && /, UPDATE\b/g);
      if (unwanted)
        this.addEventListener("message", (event) => Object.defineProperty(event, "data", { value: event.data.replace(unwanted, "") }));
      this.addEventListener("message", (event) => seen.sip.push({ at: now(), out: false, text: String(event.data) }));
    }
    close(...why) {
      seen.lives.push({ at: now(), text: `closes ${this.url}` });
      super.close(...why);
    }
    send(data) {
      // Of the same length, so the message stays right.
      if (window.holding) data = data.replace(/^a=sendrecv/gm, "a=sendonly");
      seen.sip.push({ at: now(), out: true, text: String(data) });
      super.send(data);
    }
  };

  const devices = navigator.mediaDevices;
  if (!devices) return; // not a page of ours: an error page, about:blank
  // Who will say no, or nothing at all, has not said yes before.
  const query = navigator.permissions?.query.bind(navigator.permissions);
  if (query)
    navigator.permissions.query = async (what) => {
      const status = await query(what);
      const { get } = Object.getOwnPropertyDescriptor(PermissionStatus.prototype, "state");
      return Object.defineProperty(status, "state", {
        get: () => (window.microphone.refuse || window.microphone.never ? "prompt" : get.call(status)),
      });
    };
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (constraints) => {
    const { delay, refuse, never } = window.microphone;
    if (never) await new Promise(() => {});
    if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
    if (refuse) throw new DOMException("The test said no", refuse);
    const stream = await (window.microphone.open ?? open)(constraints);
    seen.tracks.push(...stream.getTracks());
    return stream;
  };
  const clone = MediaStreamTrack.prototype.clone;
  MediaStreamTrack.prototype.clone = function () {
    const copy = clone.call(this);
    if (seen.tracks.includes(this)) seen.tracks.push(copy);
    return copy;
  };
  const cloneStream = MediaStream.prototype.clone;
  MediaStream.prototype.clone = function () {
    const copy = cloneStream.call(this);
    const mine = this.getTracks().some((track) => seen.tracks.includes(track));
    if (mine) seen.tracks.push(...copy.getTracks());
    return copy;
  };
})();
