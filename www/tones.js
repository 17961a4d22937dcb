// Ringtone, ringback and key tones, made from sine waves.

import { audioContext } from "./audio.js";

/**
 * `notes` are [start in s, length in s, frequencies in Hz]; a pattern repeats every `period` seconds.
 * @typedef {[start: number, length: number, frequencies: number[]]} Note
 * @typedef {{ period?: number, volume: number, bell?: boolean, notes: Note[] }} Pattern
 */

/** @type {Pattern} */
const RINGTONE = {
  period: 2.8,
  volume: 0.2,
  bell: true,
  notes: [
    [0, 0.5, [659.3]],
    [0.16, 0.5, [830.6]],
    [0.32, 0.5, [987.8]],
    [0.48, 0.9, [1318.5]],
    [0.96, 0.5, [987.8]],
    [1.12, 1.1, [1318.5]],
  ],
};
/** @type {Pattern} */
const RINGBACK = { period: 5, volume: 0.08, notes: [[0, 1, [425]]] };
/** @type {Pattern} */
const ENDED = {
  volume: 0.07,
  notes: [
    [0, 0.16, [480]],
    [0.22, 0.24, [360]],
  ],
};
/** @type {Pattern} */
const CHIME = {
  volume: 0.2,
  bell: true,
  notes: [
    [0, 0.7, [523.3]],
    [0.2, 0.7, [659.3]],
    [0.4, 1.2, [784]],
  ],
};

/** The keys in the rows and columns of their two frequencies, Hz (ITU-T Q.23). */
const KEYS = ["123A", "456B", "789C", "*0#D"];
const ROWS = [697, 770, 852, 941];
const COLUMNS = [1209, 1336, 1477, 1633];

/** @param {string} key */
function frequencies(key) {
  const row = KEYS.findIndex((keys) => keys.includes(key));
  return [ROWS[row], COLUMNS[KEYS[row].indexOf(key)]];
}

/** Each returns a function that stops the sound. */
export const ringtone = () => play(RINGTONE);
export const ringback = () => play(RINGBACK);
export const endTone = () => play(ENDED);
export const chime = () => play(CHIME);
export const keyTone = (/** @type {string} */ key) => play({ volume: 0.08, notes: [[0, 0.14, frequencies(key)]] });

/**
 * Where the browser can, tones follow the chosen speaker.
 * @param {string} deviceId
 */
export async function setToneSpeaker(deviceId) {
  /** @type {AudioContext & { setSinkId?: (id: string) => Promise<void> }} */
  const context = audioContext();
  await context.setSinkId?.(deviceId);
}

/** @param {Pattern} pattern */
function play(pattern) {
  const context = audioContext();
  const output = context.createGain();
  output.gain.value = pattern.volume;
  output.connect(context.destination);
  const round = () => pattern.notes.forEach((note) => strike(context, output, pattern.bell, note));
  round();
  const timer = pattern.period ? setInterval(round, pattern.period * 1000) : 0;
  return () => {
    clearInterval(timer);
    output.gain.setTargetAtTime(0, context.currentTime, 0.02);
    setTimeout(() => output.disconnect(), 200);
  };
}

/**
 * @param {AudioContext} context
 * @param {AudioNode} output
 * @param {boolean | undefined} bell
 * @param {Note} note
 */
function strike(context, output, bell, [start, length, frequencies]) {
  const from = context.currentTime + start + 0.02;
  for (const frequency of frequencies) {
    const oscillator = context.createOscillator();
    const envelope = context.createGain();
    oscillator.frequency.value = frequency;
    envelope.gain.setValueAtTime(0, from);
    envelope.gain.linearRampToValueAtTime(1 / frequencies.length, from + 0.012);
    if (bell) envelope.gain.setTargetAtTime(0, from + 0.02, length / 4);
    else envelope.gain.setTargetAtTime(0, from + length - 0.03, 0.01);
    oscillator.connect(envelope).connect(output);
    oscillator.start(from);
    oscillator.stop(from + length);
  }
}
