// Ringtone, ringback and key tones, made from sine waves.

import { audioContext } from "./audio.js";

// `notes` are [start in s, length in s, frequencies in Hz]; a pattern repeats every `period` seconds.
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
const RINGBACK = { period: 5, volume: 0.08, notes: [[0, 1, [425]]] };
const ENDED = {
  volume: 0.07,
  notes: [
    [0, 0.16, [480]],
    [0.22, 0.24, [360]],
  ],
};
const CHIME = {
  volume: 0.2,
  bell: true,
  notes: [
    [0, 0.7, [523.3]],
    [0.2, 0.7, [659.3]],
    [0.4, 1.2, [784]],
  ],
};

const LOW = {
  1: 697,
  2: 697,
  3: 697,
  A: 697,
  4: 770,
  5: 770,
  6: 770,
  B: 770,
  7: 852,
  8: 852,
  9: 852,
  C: 852,
  "*": 941,
  0: 941,
  "#": 941,
  D: 941,
};
const HIGH = {
  1: 1209,
  4: 1209,
  7: 1209,
  "*": 1209,
  2: 1336,
  5: 1336,
  8: 1336,
  0: 1336,
  3: 1477,
  6: 1477,
  9: 1477,
  "#": 1477,
  A: 1633,
  B: 1633,
  C: 1633,
  D: 1633,
};

/** Each returns a function that stops the sound. */
export const ringtone = () => play(RINGTONE);
export const ringback = () => play(RINGBACK);
export const endTone = () => play(ENDED);
export const chime = () => play(CHIME);
export const keyTone = (key) => play({ volume: 0.08, notes: [[0, 0.14, [LOW[key], HIGH[key]]]] });

/** Where the browser can, tones follow the chosen speaker. */
export async function setToneSpeaker(deviceId) {
  await audioContext().setSinkId?.(deviceId);
}

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
