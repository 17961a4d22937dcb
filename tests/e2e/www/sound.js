// What is in a recording: how loud it is, and which tone. For pages, and for the tests themselves.
globalThis.sound = (() => {
  /** The power of one frequency in `samples`. */
  function goertzel(samples, hertz, rate) {
    const factor = 2 * Math.cos((2 * Math.PI * hertz) / rate);
    let before = 0;
    let last = 0;
    for (const sample of samples) {
      const next = sample + factor * last - before;
      before = last;
      last = next;
    }
    return before * before + last * last - factor * before * last;
  }

  /** The loudest of `hertz`, and its share in all that sounds. */
  function measure(samples, hertz, rate) {
    const energy = samples.reduce((sum, value) => sum + value * value, 0);
    const rms = Math.sqrt(energy / (samples.length || 1));
    const powers = hertz.map((tone) => ({ tone, power: goertzel(samples, tone, rate) }));
    const best = powers.reduce((a, b) => (b.power > a.power ? b : a));
    // A pure tone puts all its energy into its own bin: power = (amplitude * n / 2)^2, energy = amplitude^2 * n / 2.
    const share = energy > 0 ? (2 * best.power) / (energy * samples.length) : 0;
    return { rms: Number(rms.toFixed(5)), tone: best.tone, share: Number(share.toFixed(3)) };
  }

  return { goertzel, measure };
})();
