// What a snippet finds on the page when it runs: SinchClient bound to the demo application, callClient, audio elements, a partner.

/** @import { Call, Client, SinchClientConfig } from "../tests/www.d.ts" */

import { byId, show } from "./dom.js";
import { LevelMeter } from "./meter.js";
import { PARTNER, Partner } from "./partner.js";
import { DEMO_APPLICATION, demoTicket } from "./tickets.js";
import { ringbackUrl } from "./wave.js";

const CALLS = /** @type {const} */ (["callUser", "callPhoneNumber", "callSip", "callConference"]);
/** @typedef {Record<string, undefined | ((...args: unknown[]) => Call)>} Caller */

/** What happened, in words. @typedef {(words: string, bad?: boolean) => void} Report */

const GLOBALS = ["sinchClient", "callClient", "call", "callListeners"];

export class Stage {
  /** @param {typeof Client} Sdk */
  constructor(Sdk) {
    this.Sdk = Sdk;
    this.user = `reader-${crypto.randomUUID().slice(0, 8)}`;
    this.partner = new Partner(this.Sdk, (words) => this.report(words));
    this.meter = new LevelMeter(byId("meter"));
    this.ringback = ringbackUrl();
    this.ticket = "";
    /** @type {MediaStream | null} what `audio#incoming` plays */
    this.heard = null;
    /** @type {Client[]} */
    this.clients = [];
    /** @type {Set<Call>} */
    this.calls = new Set();
    /** @type {Report} */
    this.report = () => {};
    this.resetAudio();
    const stage = this;
    /** @param {SinchClientConfig} config */
    const SinchClient = function SinchClient(config) {
      return stage.newClient(config);
    };
    window.SinchClient = Object.setPrototypeOf(SinchClient, this.Sdk);
    setInterval(() => this.listen(), 200);
  }

  /**
   * Partner online, `callClient` signed in. Needs a click before: sound.
   * @param {Report} report
   */
  async begin(report) {
    this.report = report;
    // The clients of the last snippet would answer the calls of this one.
    await this.gone;
    // A snippet calls straight after `new SinchClient`, so its ticket has to be there before.
    this.ticket = await demoTicket(this.user);
    await this.partner.start();
    show(byId("page-error"), false);
    byId("partner").dataset.partner = "on";
    byId("partner").textContent = `Partner: ${PARTNER} is online`;
    this.partner.answerAfter = 700;
    for (const name of GLOBALS) Object.assign(window, { [name]: undefined });
    window.sinchClient = this.newClient({ capabilities: { calling: true }, supportActiveConnection: true });
    await window.sinchClient.started_;
    window.callClient = window.sinchClient.getCallClient();
  }

  /**
   * What `new SinchClient(config)` of a snippet gives.
   * @param {Omit<SinchClientConfig, "applicationKey">} config
   */
  newClient(config) {
    const client = new this.Sdk({ ...config, applicationKey: DEMO_APPLICATION });
    this.clients.push(client);
    this.watchCalls(client);
    const started = client.start({ userTicket: this.ticket });
    started.then(
      () => {},
      (error) => this.report(`start() failed: ${error.message}`, true),
    );
    Object.defineProperty(client, "started_", { value: started });
    return client;
  }

  /**
   * Reports the events of every call that this client makes.
   * @param {Client} client
   */
  watchCalls(client) {
    const callClient = client.getCallClient();
    for (const owner of [client, callClient]) {
      for (const name of CALLS) {
        const methods = /** @type {Caller} */ (/** @type {unknown} */ (owner));
        const original = methods[name]?.bind(owner);
        if (original) methods[name] = (...args) => this.follow(original(...args));
      }
    }
    callClient.addEventListener({
      onIncomingCall: (call) => {
        this.report("onIncomingCall");
        this.follow(call);
      },
    });
  }

  /** @param {Call} call */
  follow(call) {
    if (this.calls.has(call)) return call;
    this.calls.add(call);
    call.addEventListener({
      onCallProgressing: () => this.report("onCallProgressing"),
      onCallEstablished: () => this.report("onCallEstablished"),
      onCallEnded: () => {
        const error = call.error ? ` (${call.error.message})` : "";
        this.report(`onCallEnded: ${call.getEndCause()}${error}`, Boolean(error));
      },
    });
    return call;
  }

  /** Ends everything that a run has begun. */
  end() {
    for (const call of this.calls) {
      if (call.getState() !== "ENDED") call.hangup();
    }
    this.partner.hangup();
    const clients = this.clients.splice(0);
    // The BYEs leave first.
    this.gone = new Promise((resolve) => setTimeout(resolve, 300)).then(() => clients.forEach((client) => client.terminate()));
    this.calls.clear();
    this.resetAudio();
  }

  resetAudio() {
    byId("ringback").pause();
    for (const id of /** @type {const} */ (["incoming", "ringback"])) {
      byId(id).setAttribute("src", "");
      byId(id).srcObject = null;
    }
    byId("ringback").setAttribute("src", this.ringback);
  }

  /** Measures what `audio#incoming` plays: it plays nothing unless the snippet connected the stream. */
  listen() {
    const stream = /** @type {MediaStream | null} */ (byId("incoming").srcObject);
    if (stream !== this.heard) {
      this.heard = stream;
      this.meter.watch(stream);
    }
    const hertz = this.meter.frequency();
    byId("frequency").dataset.frequency = String(hertz);
    byId("frequency").textContent = hertz ? `${hertz} Hz` : "silent";
  }
}
