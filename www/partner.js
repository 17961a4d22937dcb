// The other person of the snippets: a second client in the same page that answers by itself and plays a tone.

/** @import { Call, Client } from "../tests/www.d.ts" */

import { audioContext, audioRuns } from "./audio.js";
import { DEMO_APPLICATION, demoTicket } from "./tickets.js";

export const PARTNER = "<remote user id>";
const TONE = 660;

export class Partner {
  /**
   * `report(words)` gets what happens on the partner's side.
   * @param {typeof Client} Sdk
   * @param {(words: string) => void} report
   */
  constructor(Sdk, report) {
    this.Sdk = Sdk;
    this.report = report;
    this.answerAfter = 700;
    /** @type {Set<Call>} */
    this.calls = new Set();
    /** @type {Promise<void> | null} */
    this.ready = null;
  }

  /** Resolves when the partner can be called. */
  start() {
    this.ready ??= this.connect().catch((error) => {
      this.ready = null;
      throw error;
    });
    return this.ready;
  }

  async connect() {
    // Where there is no sound device to make a tone with, the partner speaks into the microphone.
    this.tone = (await audioRuns()) ? toneStream() : undefined;
    const client = new this.Sdk({
      applicationKey: DEMO_APPLICATION,
      capabilities: { calling: true, multiCall: true },
      supportActiveConnection: true,
      startActiveConnection: true,
      customStream: this.tone,
    });
    this.client = client;
    client.getCallClient().addEventListener({ onIncomingCall: (call) => this.ring(call) });
    await client.start({ userTicket: await demoTicket(PARTNER) });
  }

  /** @param {Call} call */
  ring(call) {
    this.follow(call);
    this.report("partner: rings");
    setTimeout(() => call.getState() !== "ENDED" && call.answer(), this.answerAfter);
  }

  /**
   * Calls the page.
   * @param {string} userId
   */
  callUser(userId) {
    if (this.client) this.follow(this.client.getCallClient().callUser(userId, {}, this.tone));
  }

  hangup() {
    for (const call of this.calls) {
      if (call.getState() !== "ENDED") call.hangup();
    }
  }

  /** @param {Call} call */
  follow(call) {
    this.calls.add(call);
    call.addEventListener({
      onCallEstablished: () => this.report("partner: connected"),
      onCallEnded: () => {
        this.calls.delete(call);
        this.report(`partner: ended, ${call.getEndCause()}`);
      },
    });
  }
}

function toneStream() {
  const context = audioContext();
  const oscillator = context.createOscillator();
  const volume = context.createGain();
  const destination = context.createMediaStreamDestination();
  oscillator.frequency.value = TONE;
  volume.gain.value = 0.2;
  oscillator.connect(volume).connect(destination);
  oscillator.start();
  return destination.stream;
}
