// A microphone that the person chose by name.
//
// While "System default" is chosen, this page leaves the microphone to the SDK: it opens it when a call needs it and lets go of it
// afterwards. Once another one is chosen, the SDK gets a stream of our own (`initStream`) whose source can be exchanged in the
// middle of a call, and which is only connected to a microphone while a call is on.

/** @import { CallClient } from "../tests/www.d.ts" */

import { audioContext, audioRuns } from "./audio.js";

export class Microphone {
  constructor() {
    this.deviceId = "";
    /** @type {MediaStreamAudioDestinationNode | null} */
    this.destination = null;
    /** @type {MediaStreamAudioSourceNode | null} */
    this.source = null;
    /** @type {MediaStream | null} */
    this.stream = null;
    this.wanted = false;
  }

  /**
   * Chooses a device; `callClient` is told on the first choice. Where a call is on, the device is opened.
   * @param {string} deviceId
   * @param {CallClient} callClient
   */
  async choose(deviceId, callClient) {
    if (!this.destination && deviceId) {
      if (!(await audioRuns()))
        throw new Error("Without a speaker this browser cannot switch microphones. Calls use the system's default.");
      const destination = audioContext().createMediaStreamDestination();
      this.destination = destination;
      await callClient.initStream(destination.stream);
    }
    this.deviceId = deviceId;
    if (this.wanted) await this.open();
  }

  /** Connects the chosen device, if the SDK uses our stream: at the start of a call. */
  async open() {
    this.wanted = true;
    const { destination } = this;
    if (!destination) return;
    const stream = await openMicrophone(this.deviceId);
    this.unplug();
    if (!this.wanted) return stopStream(stream);
    this.stream = stream;
    const source = audioContext().createMediaStreamSource(stream);
    source.connect(destination);
    this.source = source;
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

/**
 * Opens a microphone; one that is no longer there is replaced by the system's default.
 * @param {string} deviceId
 */
export async function openMicrophone(deviceId) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the microphone to secure pages only: https:// or localhost.");
  }
  const audio = (/** @type {string} */ id) => ({
    audio: { deviceId: id ? { exact: id } : undefined, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
  try {
    return await navigator.mediaDevices.getUserMedia(audio(deviceId));
  } catch (error) {
    if (!deviceId || /** @type {{ name?: string }} */ (error).name !== "OverconstrainedError") throw error;
    return navigator.mediaDevices.getUserMedia(audio(""));
  }
}

/** @param {MediaStream | null | undefined} stream */
export function stopStream(stream) {
  stream?.getTracks().forEach((track) => track.stop());
}
