// How loud a stream is, drawn on an element: `--level` and `data-level` from 0 to 1, `aria-valuenow` in percent.

import { audioContext } from "./audio.js";

const SILENCE = -60; // dB that count as nothing
const FULL = -12;
const RECENT = 2048; // samples that make the level; the frequency needs more of them

export class LevelMeter {
  /**
   * `followers` are further elements that get `--level`, too.
   * @param {HTMLElement} element
   * @param {HTMLElement[]} followers
   */
  constructor(element, ...followers) {
    this.element = element;
    this.followers = followers;
    /** @type {MediaStreamAudioSourceNode | null} */
    this.source = null;
    /** @type {AnalyserNode | null} */
    this.analyser = null;
    this.samples = new Float32Array();
    this.timer = 0;
    this.level = 0;
  }

  /**
   * Shows the level of `stream` until `stop()` or the next `watch()`.
   * @param {MediaStream | null | undefined} stream
   */
  watch(stream) {
    this.stop();
    if (!stream?.getAudioTracks().length) return;
    const context = audioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 8192;
    this.analyser = analyser;
    const source = context.createMediaStreamSource(stream);
    source.connect(analyser);
    this.source = source;
    this.samples = new Float32Array(analyser.fftSize);
    this.timer = setInterval(() => this.draw(), 50);
  }

  stop() {
    clearInterval(this.timer);
    this.source?.disconnect();
    this.source = null;
    this.level = 0;
    this.write();
  }

  draw() {
    this.analyser?.getFloatTimeDomainData(this.samples);
    const recent = this.samples.subarray(-RECENT);
    const power = recent.reduce((sum, sample) => sum + sample * sample, 0) / RECENT;
    const decibel = 10 * Math.log10(power + 1e-12);
    const now = Math.min(1, Math.max(0, (decibel - SILENCE) / (FULL - SILENCE)));
    this.level = now > this.level ? now : Math.max(now, this.level * 0.85 - 0.005);
    this.write();
  }

  write() {
    const level = Math.max(0, this.level).toFixed(3);
    for (const element of [this.element, ...this.followers]) element.style.setProperty("--level", level);
    this.element.dataset.level = level;
    const percent = String(Math.round(this.level * 20) * 5);
    if (this.element.getAttribute("aria-valuenow") !== percent) this.element.setAttribute("aria-valuenow", percent);
  }

  /** The strongest frequency in Hz, 0 when there is silence. */
  frequency() {
    if (!this.analyser || !this.source || this.level < 0.1) return 0;
    const bins = new Float32Array(this.analyser.frequencyBinCount);
    this.analyser.getFloatFrequencyData(bins);
    const strongest = bins.indexOf(Math.max(...bins));
    return Math.round((strongest * this.analyser.context.sampleRate) / this.analyser.fftSize);
  }
}
