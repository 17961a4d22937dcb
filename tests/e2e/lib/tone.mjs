// A microphone's sound as a file: one tone that swells and fades three times a second, so that no noise suppressor takes it for a hum.

const RATE = 48_000;
const SECONDS = 2;

/** A WAV file (mono, 16 bit) of `hertz`; the browser plays it in a loop, and whole periods make the loop seamless. */
export function wav(hertz) {
  const samples = RATE * SECONDS;
  const file = Buffer.alloc(44 + samples * 2);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + samples * 2, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20); // PCM
  file.writeUInt16LE(1, 22); // mono
  file.writeUInt32LE(RATE, 24);
  file.writeUInt32LE(RATE * 2, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write("data", 36);
  file.writeUInt32LE(samples * 2, 40);
  for (let i = 0; i < samples; i++) {
    const swell = 0.3 + 0.2 * Math.cos((2 * Math.PI * 3 * i) / RATE);
    file.writeInt16LE(Math.round(32_767 * swell * Math.sin((2 * Math.PI * hertz * i) / RATE)), 44 + i * 2);
  }
  return file;
}
