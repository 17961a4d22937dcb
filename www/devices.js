// The "Sound" card: which microphone, which speaker, and how loud.

/** @import { Call, CallClient } from "../tests/www.d.ts" */

import { byId, make, show } from "./dom.js";
import { LevelMeter } from "./meter.js";
import { Microphone, openMicrophone, stopStream } from "./microphone.js";
import { chime, setToneSpeaker } from "./tones.js";
import { errorWords } from "./words.js";

const SPEAKER_CHOICE = "setSinkId" in HTMLMediaElement.prototype;

export class Devices {
  /**
   * `audio` plays the remote party; its level is also shown on the `halo`.
   * @param {HTMLAudioElement} audio
   * @param {HTMLElement} halo
   */
  constructor(audio, halo) {
    this.audio = audio;
    this.microphone = new Microphone();
    this.outgoing = new LevelMeter(byId("meter"));
    this.incoming = new LevelMeter(byId("meter-in"), halo);
    /** @type {CallClient | null} */
    this.callClient = null;
    this.inCall = false;
    /** @type {MediaStream | null} */
    this.tested = null;
    this.bind();
    this.list();
  }

  bind() {
    byId("mic").onchange = () => this.tell(this.chooseMicrophone());
    byId("speaker").onchange = () => this.tell(this.chooseSpeaker());
    byId("mic-test").onclick = () => this.tell(this.tested ? this.endTest() : this.startTest());
    byId("speaker-test").onclick = () => chime();
    byId("speaker").disabled = !SPEAKER_CHOICE;
    show(byId("speaker-hint"), !SPEAKER_CHOICE);
    navigator.mediaDevices?.addEventListener("devicechange", () => this.list());
  }

  /** Fills both lists. Browsers name the devices only after the microphone was allowed once. */
  async list() {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    fill(
      byId("mic"),
      devices.filter((device) => device.kind === "audioinput"),
      "Microphone",
    );
    fill(
      byId("speaker"),
      devices.filter((device) => device.kind === "audiooutput"),
      "Speaker",
    );
  }

  /**
   * The client of the person who signed in.
   * @param {CallClient} callClient
   */
  async attach(callClient) {
    this.callClient = callClient;
    this.microphone = new Microphone();
    if (byId("mic").value) await this.useMicrophone(callClient, byId("mic").value);
  }

  /**
   * @param {CallClient} callClient
   * @param {string} deviceId
   */
  async useMicrophone(callClient, deviceId) {
    try {
      await this.microphone.choose(deviceId, callClient);
    } catch (error) {
      byId("mic").value = "";
      throw error;
    }
  }

  async chooseMicrophone() {
    const deviceId = byId("mic").value;
    if (this.callClient) await this.useMicrophone(this.callClient, deviceId);
    if (this.tested) await this.startTest();
  }

  async chooseSpeaker() {
    await this.audio.setSinkId(byId("speaker").value);
    await setToneSpeaker(byId("speaker").value);
  }

  async startTest() {
    this.endTest();
    const stream = await openMicrophone(byId("mic").value);
    if (this.inCall) return stopStream(stream);
    this.tested = stream;
    this.outgoing.watch(stream);
    byId("mic-test").setAttribute("aria-pressed", "true");
    await this.list();
  }

  endTest() {
    stopStream(this.tested);
    this.tested = null;
    this.outgoing.stop();
    byId("mic-test").setAttribute("aria-pressed", "false");
  }

  /** A call begins: tests end, the chosen microphone opens. */
  async callStarts() {
    this.endTest();
    this.inCall = true;
    byId("mic-test").disabled = true;
    await this.microphone.open();
  }

  /**
   * The voices of a call run: show both levels.
   * @param {Call} call
   */
  callRuns(call) {
    this.callSends(call);
    this.incoming.watch(call.incomingStream);
    this.list();
  }

  /**
   * What a call sends is there, or has changed: its level is shown.
   * @param {Call} call
   */
  callSends(call) {
    this.outgoing.watch(call.outgoingStream);
  }

  callEnds() {
    this.inCall = false;
    this.microphone.close();
    this.outgoing.stop();
    this.incoming.stop();
    byId("mic-test").disabled = false;
  }

  /**
   * Shows what went wrong, if anything did.
   * @param {Promise<unknown> | void} work
   */
  async tell(work) {
    const note = byId("sound-note");
    try {
      await work;
      show(note, false);
    } catch (error) {
      const words = errorWords(error);
      note.textContent = words[0].toUpperCase() + words.slice(1);
      show(note, true);
    }
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {string} kind
 */
function fill(select, devices, kind) {
  const chosen = select.value;
  // Chromium lists the system's choice a second time under names of its own; without permission there are no ids at all.
  const real = devices.filter(({ deviceId }) => deviceId && deviceId !== "default" && deviceId !== "communications");
  const options = real.map((device, index) => option(device.deviceId, device.label || `${kind} ${index + 1}`));
  select.replaceChildren(option("", "System default"), ...options);
  select.value = real.some(({ deviceId }) => deviceId === chosen) ? chosen : "";
  if (select.value !== chosen) select.dispatchEvent(new Event("change"));
}

/**
 * @param {string} value
 * @param {string} text
 */
function option(value, text) {
  const element = make("option", "", text);
  element.value = value;
  return element;
}
