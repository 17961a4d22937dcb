// Medians, and their spread.

/** The value below which `part` of all lie, between two neighbours where it falls between them. */
export function quantile(values, part) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)];
  return low + (sorted[Math.ceil(at)] - low) * (at % 1);
}

export const median = (values) => quantile(values, 0.5);

/** A value as text; what has three digits before the point needs none behind it. */
export function shown(value, digits) {
  const few = value < 100 ? digits : 0;
  return value.toLocaleString("en", { minimumFractionDigits: few, maximumFractionDigits: few });
}

/** A row that takes longer, on a machine that is busy with something else, is content with fewer rounds. */
const MILLISECONDS = 190_000;

/**
 * Runs `measure(subject, round)` for each of `subjects` in turn, `rounds` times after `warm` rounds that are not counted. What fails is
 * counted. Gives each subject's values, with its name.
 */
export async function interleave(subjects, rounds, measure, warm = 1) {
  const results = subjects.map(({ name }) => ({ name, values: [], failed: [] }));
  const end = Date.now() + MILLISECONDS;
  for (let round = -warm; round < rounds && Date.now() < end; round++) {
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
