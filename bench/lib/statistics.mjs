// Medians, and how far the values lie apart.

/** The value below which `part` of all lie, between two neighbours where it falls between them. */
export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)];
  return low + (sorted[Math.ceil(at)] - low) * (at % 1);
}

export const median = (values) => quantile(values, 0.5);

/** Runs `measure(subject, round)` for each of `subjects` in turn, `rounds` times after one that is not counted. What fails is counted. */
export async function interleave(subjects, rounds, measure) {
  const results = subjects.map(({ name }) => ({ name, values: [], failed: [] }));
  for (let round = -1; round < rounds; round++) {
    for (const [i, subject] of subjects.entries()) {
      try {
        const value = await measure(subject, round);
        if (round >= 0) results[i].values.push(value);
      } catch (error) {
        results[i].failed.push(error.message);
      }
    }
  }
  return results;
}
