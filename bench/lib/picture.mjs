// The figures as one picture: a panel for each, a bar for each who was measured. It reads on light and on dark pages.
import { median, shown } from "./statistics.mjs";
import { VARIANTS } from "./variants.mjs";

const COLUMNS = 2;
const PANEL = { width: 440, title: 22, line: 19, gap: 22 };
const LABEL = 92;
const VALUE = 78;
const MARGIN = 16;

const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #3d444d }
.title { font-weight: 600; fill: #1f2328 }
.value { font-variant-numeric: tabular-nums }
.ours text { font-weight: 600; fill: #1f2328 }
rect { fill: #afb8c1 }
.ours rect { fill: #2f6fdf }
@media (prefers-color-scheme: dark) {
  text { fill: #b7bdc8 }
  .title, .ours text { fill: #f0f3f6 }
  rect { fill: #555d68 }
  .ours rect { fill: #5b9bff }
}`;

/** SVG text. */
export function picture(figures) {
  const panels = figures.map(({ results }) => PANEL.title + results.length * PANEL.line + PANEL.gap);
  const bottoms = Array(COLUMNS).fill(MARGIN);
  const parts = figures.map((figure, i) => {
    const column = bottoms.indexOf(Math.min(...bottoms));
    const y = bottoms[column];
    bottoms[column] += panels[i];
    return panel(figure, MARGIN + column * (PANEL.width + 2 * MARGIN), y);
  });
  const width = COLUMNS * PANEL.width + 2 * COLUMNS * MARGIN;
  const height = Math.max(...bottoms);
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img">\n<title>Offhook beside JsSIP and SIP.js</title>\n<style>${STYLE}\n</style>\n${parts.join("\n")}\n</svg>\n`;
}

function panel({ title, unit, digits, results, more }, x, y) {
  const medians = results.map(({ values }) => (values.length ? median(values) : null));
  const most = Math.max(...medians.filter((value) => value !== null));
  const better = more ? " (more is better)" : "";
  const lines = results.map(({ name }, i) => bar(name, medians[i], most, digits, PANEL.title + i * PANEL.line));
  const head = `<text class="title" x="0" y="12">${escape(unit ? `${title}, ${unit}` : title)}${better}</text>`;
  return `<g transform="translate(${x} ${y})">\n${head}\n${lines.join("\n")}\n</g>`;
}

function bar(name, value, most, digits, y) {
  const room = PANEL.width - LABEL - VALUE;
  const length = value === null || most === 0 ? 0 : Math.max(1.5, (room * value) / most);
  const text = value === null ? "no result" : shown(value, digits);
  const parts = [
    `<text x="0" y="${y + 10}">${escape(name)}</text>`,
    `<rect x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="12" rx="2"/>`,
    `<text class="value" x="${(LABEL + length + 6).toFixed(1)}" y="${y + 10}">${text}</text>`,
  ];
  return `<g${name === VARIANTS[0].name ? ' class="ours"' : ""}>${parts.join("")}</g>`;
}

const escape = (text) => text.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
