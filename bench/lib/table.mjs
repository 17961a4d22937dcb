// The figures as text.
import { median, quantile, shown } from "./statistics.mjs";
import { VARIANTS } from "./variants.mjs";

const WIDTHS = { value: 9, spread: 15 };

/** One block for each figure: median, spread (10th to 90th of 100), how many, and Offhook's part of it. */
export function table(figures) {
  return figures.map(block).join("\n\n");
}

function block({ title, unit, digits, results, more }) {
  const head = unit ? `${title}, ${unit}` : title;
  return [head, ...results.map((result) => line(result, digits, results[0], more))].join("\n");
}

function line({ name, values, failed }, digits, ours, more) {
  const failures = failed.length ? `  ${failed.length} failed: ${failed[0]}` : "";
  if (!values.length) return `  ${name.padEnd(14)}${"–".padStart(WIDTHS.value)}${failures}`;
  const spread = values.length > 1 ? `${shown(quantile(values, 0.1), digits)}–${shown(quantile(values, 0.9), digits)}` : "";
  const count = values.length > 1 ? `n ${String(values.length).padEnd(4)}` : "".padEnd(6);
  return `  ${name.padEnd(14)}${shown(median(values), digits).padStart(WIDTHS.value)}  ${spread.padEnd(WIDTHS.spread)}${count}${ratio(values, ours, more, name)}${failures}`.trimEnd();
}

/** How Offhook compares to this one, in the same direction for all figures except where more is better. */
function ratio(values, ours, more, name) {
  if (name === VARIANTS[0].name || !ours.values.length || more) return "";
  const times = median(values) / median(ours.values);
  return times >= 10 ? `${times.toFixed(0)} × Offhook` : `${times.toFixed(2)} × Offhook`;
}
