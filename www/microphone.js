// A microphone that the person chose by name.
//
// While "System default" is chosen, this page leaves the microphone to the SDK: it opens it when a call needs it and lets go of it
// afterwards. Once another one is chosen, the SDK gets a stream of our own (`initStream`) whose source can be exchanged in the
// middle of a call, and which is only connected to a microphone while a call is on.

import { audioContext, audioRuns } from "./audio.js";

export class Microphone {
  constructor() {
    this.deviceId = "";
    this.destination = null;
    this.source = null;
    this.wanted = false;
  }

  /** True once the SDK uses our stream. */
  get ours() {
    return this.destination !== null;
  }

  /** Chooses a device; `callClient` is told on the first choice. Resolves to the stream of the device if a call is on. */
  async choose(deviceId, callClient) {
    if (!this.ours && deviceId) {
      if (!(await audioRuns()))
        throw new Error("Without a speaker this browser cannot switch microphones. Calls use the system's default.");
      this.destination = audioContext().createMediaStreamDestination();
      await callClient.initStream(this.destination.stream);
    }
    this.deviceId = deviceId;
    if (this.wanted) await this.open();
  }

  /** Connects the chosen device: at the start of a call. */
  async open() {
    if (!this.ours) return;
    this.wanted = true;
    const stream = await openMicrophone(this.deviceId);
    this.unplug();
    if (!this.wanted) return stopStream(stream);
    this.stream = stream;
    this.source = audioContext().createMediaStreamSource(stream);
    this.source.connect(this.destination);
  }

  /** Lets go of the device: at the end of a call. */
  close() {
    this.wanted = false;
    this.unplug();
  }

  unplug() {
    this.source?.disconnect();
    this.source = null;
    stopStream(this.stream);
    this.stream = null;
  }
}

/** Opens a microphone; one that is no longer there gives way to the system's default. */
export async function openMicrophone(deviceId) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the microphone to secure pages only: https:// or localhost.");
  }
  const audio = (id) => ({
    audio: { deviceId: id ? { exact: id } : undefined, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
  try {
    return await navigator.mediaDevices.getUserMedia(audio(deviceId));
  } catch (error) {
    if (!deviceId || error.name !== "OverconstrainedError") throw error;
    return navigator.mediaDevices.getUserMedia(audio(""));
  }
}

export function stopStream(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
