// The projects of an imaginary user: each has the packed package in node_modules and a main.js that uses one entry of it.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { portOf } from "../e2e/lib/ports.mjs";

const PACKAGE = fileURLToPath(new URL("../../pkg", import.meta.url));

/** What every page does with the SDK: `window.RESULT` is what it found, `window.FAULT` what went wrong. */
export const USE = readFileSync(new URL("use.js", import.meta.url), "utf8");
const { version } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"));
/** What it finds, but for the names of the exports. */
export const FOUND = {
  name: "SinchClient",
  key: "demo",
  version,
  same: true,
  refused: "TypeError",
  statics: "function function",
  hidden: true,
};
/** Those that every entry has. */
export const ALL = "Call CallClient CallDetails Message MessageClient SinchClient default";

/** Packs the package as `npm publish` would, and gives the tarball's path. */
export function packed(folder) {
  const out = execFileSync("npm", ["pack", "--json", "--pack-destination", folder, PACKAGE], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ filename, files }] = JSON.parse(out);
  return { tarball: join(folder, filename), files: files.map(({ path }) => path).sort() };
}

/** A folder with the package installed and these files in it. */
export function project(folder, tarball, files) {
  mkdirSync(folder, { recursive: true });
  write(folder, { "package.json": JSON.stringify({ name: "user", private: true, type: "module" }), ...files });
  execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", "--no-package-lock", tarball], { cwd: folder, stdio: "ignore" });
  return folder;
}

export function write(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

/** A page with this head and body. */
export const page = (inside) =>
  `<!doctype html><html lang="en"><head><link rel="icon" href="data:,"><title>package test</title>${inside}</head><body></body></html>`;

/** main.js that takes SinchClient from `entry`. */
export const main = (entry) => `import SinchClient, * as all from "${entry}";\n${USE}\nuse(SinchClient, all);\n`;

/** Vite leaves in the environment what it builds for, and the next time it would take that for a wish. */
function vite() {
  delete process.env.NODE_ENV;
  return import("vite");
}

export async function viteBuild(root) {
  const { build } = await vite();
  await build({ root, base: "./", logLevel: "error", configFile: false });
}

/** Vite's development server, which serves modules one by one; `close()` it. */
export async function viteServer(root) {
  const { createServer } = await vite();
  const server = await createServer({ root, logLevel: "error", configFile: false, server: { host: "127.0.0.1", port: 0, hmr: false } });
  await server.listen();
  return { url: `http://localhost:${portOf(server.httpServer).port}`, close: () => server.close() };
}

export async function webpackBuild(root, entry = "./main.js") {
  const { default: webpack } = await import("webpack");
  const output = { path: join(root, "dist"), filename: "main.js" };
  const stats = await new Promise((done, fail) =>
    webpack({ mode: "production", context: root, entry, output, performance: false }, (error, stats) =>
      error ? fail(error) : done(stats),
    ),
  );
  if (stats.hasErrors() || stats.hasWarnings()) throw new Error(stats.toString({ all: false, errors: true, warnings: true }));
  writeFileSync(join(root, "dist/index.html"), page(`<script defer src="main.js"></script>`));
}

/** esbuild copies no file by itself: `copyWasm` is the one step that the README asks for with the plain entry. */
export async function esbuildBuild(root, /** @type {{ format: import("esbuild").Format, copyWasm?: boolean }} */ { format, copyWasm }) {
  const { build } = await import("esbuild");
  const outfile = join(root, "dist/main.js");
  await build({ entryPoints: [join(root, "main.js")], bundle: true, minify: true, format, outfile, logLevel: "silent" });
  if (copyWasm) copyFileSync(join(root, "node_modules/offhook/dist/offhook.wasm"), join(root, "dist/offhook.wasm"));
  const tag = format === "esm" ? `<script type="module" src="main.js"></script>` : `<script defer src="main.js"></script>`;
  writeFileSync(join(root, "dist/index.html"), page(tag));
}
