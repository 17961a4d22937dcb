// The calls of the person who is signed in: at most one at a time, and one that rings.

/** @import { Call, CallClient, CallListener } from "../tests/www.d.ts" */

import { Account } from "./account.js";
import { TEST_NUMBER, destination } from "./destination.js";
import { byId, drawAvatar, focus, show } from "./dom.js";
import { showIncoming, stopIncoming } from "./incoming.js";
import { Keypad } from "./keypad.js";
import { endTone, ringback } from "./tones.js";
import { causeWords, clock, errorWords, stateWords } from "./words.js";

export class Phone {
  /**
   * `devices`: the sound card of the page.
   * @param {import("./devices.js").Devices} devices
   */
  constructor(devices) {
    this.devices = devices;
    this.audio = byId("remote-audio");
    this.keypad = new Keypad(
      (key) => this.type(byId("callee").value + key),
      (key) => this.call?.sendDTMF(key),
    );
    this.account = new Account();
    /** @type {CallClient | null} */
    this.callClient = null;
    /** @type {import("./log.js").CallLog | null} */
    this.log = null;
    /** @type {Call | null} the call on the panel */
    this.call = null;
    /** @type {Call | null} an incoming call that is not answered yet */
    this.ringing = null;
    this.hungUpHere = false;
    this.timer = 0;
    this.stopRingback = () => {};
    byId("call-form").onsubmit = (event) => {
      event.preventDefault();
      this.dial(byId("callee").value);
    };
    byId("callee").addEventListener("input", () => this.hint());
    byId("erase").onclick = () => this.type(byId("callee").value.slice(0, -1));
    byId("test-number").onclick = () => {
      this.type(TEST_NUMBER);
      this.dial(TEST_NUMBER);
    };
    byId("hangup").onclick = () => this.hangup();
    byId("mute").onclick = () => this.toggleMute();
    // Firefox sends nothing any more after the first of these when a page is reloaded.
    for (const event of ["beforeunload", "pagehide"]) addEventListener(event, () => this.leave());
  }

  /**
   * Takes the call client of a fresh sign-in.
   * @param {string} userId
   * @param {CallClient} callClient
   * @param {import("./log.js").CallLog} log
   */
  attach(userId, callClient, log) {
    this.callClient = callClient;
    this.log = log;
    callClient.addEventListener({ onIncomingCall: (call) => this.ring(call) });
    this.idle();
    this.hint();
    this.account.open(userId);
  }

  /**
   * Writes into the field.
   * @param {string} text
   */
  type(text) {
    byId("callee").value = text;
    byId("callee").dispatchEvent(new Event("input"));
  }

  /** Says how the call would be made. */
  hint() {
    const { to, words } = destination(byId("callee").value);
    byId("callee-hint").textContent = to ? words : "A name, a phone number with + and its country code, or a SIP address.";
    show(byId("erase"), Boolean(to));
  }

  /** @param {string} text */
  dial(text) {
    const { to, method } = destination(text);
    if (!to || this.call || !this.callClient) return;
    try {
      const call = this.callClient[method](to);
      this.take(call);
      call.addEventListener(this.listener());
    } catch (error) {
      this.refused(error);
    }
  }

  /**
   * A number or a name that cannot be called: no call was made, and how the one before it ended is over.
   * @param {unknown} error
   */
  refused(error) {
    this.idle();
    this.notice(`The call could not be made: ${errorWords(error)}`);
  }

  /** @param {Call} call */
  ring(call) {
    if (this.ringing) return call.hangup();
    this.ringing = call;
    call.addEventListener(this.listener());
    showIncoming(call.getRemoteUserId(), { answer: () => this.answer(), decline: () => this.decline() });
  }

  answer() {
    const call = this.ringing;
    this.ringing = null;
    stopIncoming();
    if (!call) return;
    if (this.call) this.hangup();
    this.take(call);
    this.say("Connecting…", call.getState());
    attempt(
      () => call.answer(),
      (error) => this.notice(errorWords(error)),
    );
  }

  decline() {
    stopIncoming();
    attempt(
      () => this.ringing?.hangup(),
      () => this.forgetRinging(),
    );
  }

  hangup() {
    const { call } = this;
    if (!call) return;
    this.hungUpHere = true;
    attempt(
      () => call.hangup(),
      (error) => this.notice(errorWords(error)),
    );
  }

  toggleMute() {
    const { call } = this;
    if (!call) return;
    const mute = byId("mute").getAttribute("aria-pressed") !== "true";
    attempt(
      () => {
        if (mute) call.mute();
        else call.unmute();
        byId("mute").setAttribute("aria-pressed", String(mute));
      },
      (error) => this.notice(errorWords(error)),
    );
  }

  /** The page goes away: a call that is on ends at once. One that rings stays, a reload finds it again. */
  leave() {
    if (this.call?.getState() !== "ENDED") attempt(() => this.call?.hangup());
  }

  /** Puts the focus where a person goes on, unless something rings. */
  focus() {
    if (!this.ringing) focus(byId(this.call ? "hangup" : "callee"));
  }

  /** The person signs out: whatever is on ends. */
  detach() {
    this.decline();
    this.hangup();
    this.ringing = null;
    if (this.call) this.release();
    this.account.close();
    this.callClient = null;
  }

  /** @returns {CallListener} */
  listener() {
    return {
      onLocalStream: (call) => call === this.call && this.devices.callSends(call),
      onCallProgressing: (call) => this.progressing(call),
      onCallEstablished: (call) => this.established(call),
      onCallEnded: (call) => this.ended(call),
      onConnectionChange: (call, state) => {
        if (call === this.call) this.connectionChanged(state);
      },
      onCreditLow: (call, seconds) => {
        if (call === this.call) this.notice(`The credit lasts for ${seconds} seconds more.`);
      },
    };
  }

  /** @param {Call} call */
  progressing(call) {
    if (call !== this.call) return;
    this.say(stateWords("PROGRESSING"), "PROGRESSING");
    this.stopRingback();
    this.stopRingback = ringback();
  }

  /** @param {Call} call */
  established(call) {
    if (call !== this.call) return;
    this.stopRingback();
    this.say(stateWords("ESTABLISHED"), "ESTABLISHED");
    this.audio.srcObject = call.incomingStream ?? null;
    this.audio.play().catch(() => this.notice("The browser blocks the sound. Click anywhere on the page to hear the call."));
    this.devices.callRuns(call);
    byId("mute").disabled = false;
    this.keypad.call(true);
    this.startTimer(call);
    this.account.begin(call);
  }

  /** @param {Call} call */
  ended(call) {
    if (call === this.ringing) this.forgetRinging();
    if (call === this.call && isRefused(call)) {
      this.release();
      return this.refused(call.error);
    }
    this.log?.add(call);
    const words = causeWords(call, this.hungUpHere);
    if (call === this.call) {
      this.release();
      if (call.getDetails().establishedTime) endTone();
    } else if (this.call) {
      return;
    }
    this.say(stateWords("ENDED"), "ENDED", words, call.getEndCause());
  }

  forgetRinging() {
    this.ringing = null;
    stopIncoming();
  }

  /**
   * This call is now the one on the panel.
   * @param {Call} call
   */
  take(call) {
    this.call = call;
    this.hungUpHere = false;
    this.stopRingback();
    show(byId("notice"), false);
    const name = call.getRemoteUserId();
    byId("peer").textContent = name;
    drawAvatar(byId("peer-avatar"), name);
    byId("mute").setAttribute("aria-pressed", "false");
    byId("mute").disabled = true;
    this.keypad.call(false);
    this.panel("call");
    this.say(stateWords("INITIATING"), "INITIATING");
    this.focus();
    this.devices.callStarts().catch((error) => {
      this.hangup();
      this.notice(`The call was ended: ${errorWords(error)}`);
    });
  }

  release() {
    const call = this.call;
    this.call = null;
    this.stopRingback();
    this.stopRingback = () => {};
    this.stopTimer();
    this.keypad.idle();
    if (call) this.account.settle(call);
    this.audio.srcObject = null;
    this.devices.callEnds();
    this.panel("idle");
    this.focus();
  }

  idle() {
    this.panel("idle");
    show(byId("notice"), false);
    this.say("Ready to call", "");
  }

  /** @param {"idle" | "call"} phase */
  panel(phase) {
    const calling = phase === "call";
    byId("call-panel").dataset.phase = phase;
    show(byId("peer-block"), calling);
    show(byId("in-call"), calling);
    show(byId("call-form"), !calling);
    show(byId("call"), !calling);
    show(byId("second"), !calling);
  }

  /**
   * @param {string} words
   * @param {string} state
   */
  say(words, state, cause = "", causeName = "") {
    byId("state").textContent = words;
    byId("state").dataset.state = state;
    byId("cause").textContent = cause;
    byId("cause").dataset.cause = causeName;
  }

  /** @param {string} words */
  notice(words) {
    byId("notice").textContent = words[0].toUpperCase() + words.slice(1);
    show(byId("notice"), true);
  }

  /** @param {RTCIceConnectionState} state */
  connectionChanged(state) {
    if (state === "disconnected" || state === "failed") this.notice("The sound is interrupted. Looking for another way…");
    if (state === "connected" || state === "completed") show(byId("notice"), false);
  }

  /** @param {Call} call */
  startTimer(call) {
    const since = call.getDetails().establishedTime ?? new Date();
    const tick = () => {
      byId("timer").textContent = clock((Date.now() - since.getTime()) / 1000);
    };
    tick();
    show(byId("timer"), true);
    this.timer = setInterval(tick, 250);
  }

  stopTimer() {
    clearInterval(this.timer);
    show(byId("timer"), false);
  }
}

/**
 * Whether the SDK has refused to make it, as the number or name is none.
 * @param {Call} call
 */
const isRefused = ({ error }) => error?.domain === 5 && error.code === 6003;

/**
 * @param {() => void} work
 * @param {(error: unknown) => void} failed
 */
function attempt(work, failed = () => {}) {
  try {
    work();
  } catch (error) {
    failed(error);
  }
}
