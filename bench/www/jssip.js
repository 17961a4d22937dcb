// JsSIP as a phone of the bench; see offhook.js for the shape. `tuned`: it is told to be ready at its first candidate, and to look for a
// server after one second, which is the least that it takes.
import { UA, WebSocketInterface } from "jssip";

export class Phone {
  #ua;
  #domain;
  #session = null;
  #media;

  constructor({ servers, domain, user, password, iceServers, tuned }, tell) {
    this.#domain = domain;
    this.#media = { mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers } };
    const sockets = servers.map((url, i) => ({ socket: new WebSocketInterface(url), weight: servers.length - i }));
    const recovery = tuned ? { connection_recovery_min_interval: 1 } : {};
    this.#ua = new UA({ sockets, uri: `sip:${user}@${domain}`, password, ...recovery });
    this.#ua.on("newRTCSession", ({ originator, session }) => {
      this.#session = session;
      session.on("progress", () => originator === "local" && tell("ringing"));
      session.on("confirmed", () => tell("up"));
      for (const end of ["ended", "failed"]) session.on(end, () => ((this.#session = null), tell("over")));
      if (tuned) session.on("icecandidate", ({ ready }) => ready());
      if (originator === "remote") tell("rings");
    });
  }

  register() {
    const done = new Promise((resolve, reject) => {
      this.#ua.on("registered", resolve);
      this.#ua.on("registrationFailed", ({ cause }) => reject(new Error(cause)));
    });
    this.#ua.start();
    return done;
  }

  call(user) {
    this.#ua.call(`sip:${user}@${this.#domain}`, this.#media);
  }

  answer() {
    this.#session.answer(this.#media);
  }

  hangup() {
    this.#session?.terminate();
  }
}
