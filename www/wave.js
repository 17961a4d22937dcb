// A ringback tone as a sound file, for an <audio> element: one second of 425 Hz, four of silence.

const RATE = 8000;

export function ringbackUrl() {
  const samples = new Uint8Array(RATE * 5).fill(128);
  for (let i = 0; i < RATE; i++) {
    const edge = Math.min(1, i / 80, (RATE - i) / 80);
    samples[i] = 128 + Math.round(28 * edge * Math.sin((2 * Math.PI * 425 * i) / RATE));
  }
  return URL.createObjectURL(new Blob([header(samples.length), samples], { type: "audio/wav" }));
}

/**
 * RIFF header of 8-bit mono PCM.
 * @param {number} length
 */
function header(length) {
  const view = new DataView(new ArrayBuffer(44));
  const text = (/** @type {number} */ offset, /** @type {string} */ word) =>
    [...word].forEach((letter, i) => view.setUint8(offset + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE, true);
  view.setUint16(32, 1, true);
  view.setUint16(34, 8, true);
  text(36, "data");
  view.setUint32(40, length, true);
  return view.buffer;
}
