// Makes the entries of the package in pkg/dist out of wasm-pack's output in pkg/wasm. Run by scripts/build-package.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { pack } from "./pack.mjs";

const { build } = createRequire(new URL("../tests/package.json", import.meta.url))("esbuild");
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const DIST = path("dist/");
const GLUE = path("wasm/offhook.js");

if (!existsSync(GLUE)) {
  console.error("pkg/wasm is not there: run scripts/build-package, which makes it.");
  process.exit(1);
}
rmSync(DIST, { recursive: true, force: true });
mkdirSync(DIST);

const glue = shorten(readFileSync(GLUE, "utf8"));
const text = pack(readFileSync(DIST + "offhook.wasm"));
await bundle("index.js", "entry/index.js", { format: "esm" });
await bundle("inline.js", "entry/inline.js", { format: "esm" });
await bundle("slim.js", "entry/slim.js", { format: "esm" });
await bundle("offhook.js", "entry/classic.js", { format: "iife" });
// For `require()` the package is the constructor itself, as the original is.
const whole = "module.exports=Object.defineProperties(offhook.default,Object.getOwnPropertyDescriptors(offhook));";
await bundle("index.cjs", "entry/inline.js", { format: "iife", globalName: "offhook", footer: { js: whole } });
types();
for (const file of ["README.md", "LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(path(`../${file}`), path(file));

function bundle(name, entry, options) {
  const plugin = {
    name: "offhook",
    setup(on) {
      on.onLoad({ filter: /pkg.wasm.offhook\.js$/ }, () => ({ contents: glue }));
      on.onResolve({ filter: /^wasm-as-text$/ }, () => ({ path: "wasm-as-text", namespace: "made" }));
      on.onLoad({ filter: /.*/, namespace: "made" }, () => ({ contents: text }));
    },
  };
  const files = { entryPoints: [path(entry)], inject: [path("entry/text.js")], outfile: DIST + name, bundle: true, plugins: [plugin] };
  // package.json calls the modules free of side effects for other people's bundlers; this one has to keep the start of the wasm.
  const small = { minify: true, ignoreAnnotations: true, legalComments: "none", target: ["chrome100", "firefox100", "safari16"] };
  return build({ ...files, ...small, logLevel: "warning", ...options });
}

/** Gives imports and exports of the wasm short names, in the wasm and in the glue: the long ones hold hashes, which do not compress. */
function shorten(glue) {
  const unread = ["--strip-producers", "--strip-target-features"];
  const options = ["wasm/offhook_bg.wasm", "-o", "dist/offhook.wasm", "--minify-imports-and-exports-and-modules", ...unread];
  const table = JSON.parse(execFileSync(path("../tests/node_modules/.bin/wasm-opt"), options, { cwd: path("."), encoding: "utf8" }));
  const imports = new Map(table.imports.map(([, name, short]) => [name, short]));
  const exports = new Map(table.exports);
  const found = new Set();
  const shorter = glue
    .replace(/"\.\/offhook_bg\.js": import0/, "a: import0")
    .replace(/^( +)(__wb\w+):/gm, (all, space, name) => (found.add(name), imports.has(name) ? `${space}${imports.get(name)}:` : all))
    .replace(/\bwasm\.(\w+)/g, (all, name) => (exports.has(name) ? `wasm.${exports.get(name)}` : all));
  const lost = [...imports.keys()].filter((name) => !found.has(name));
  const long = shorter.match(/\bwasm\.\w{4,}/g) ?? [];
  if (lost.length || long.length)
    throw new Error(`wasm-bindgen's glue looks different: adapt shorten() in pkg/build.mjs: ${[...lost, ...long]}`);
  return shorter;
}

/** The types of the API are wasm-bindgen's, without what only the glue needs: no page has to free anything. */
function types() {
  const all = readFileSync(path("wasm/offhook.d.ts"), "utf8");
  const classes = all.slice(0, all.indexOf("export type InitInput =")).replace(/^ +(free|\[Symbol\.dispose\])\(\): void;\n/gm, "");
  const entry = (name) => readFileSync(path(`entry/${name}`), "utf8");
  const api = `${classes.trim()}\n\nexport default SinchClient;\n`;
  writeFileSync(DIST + "index.d.ts", `${api}\n${entry("ready.d.ts")}`);
  writeFileSync(DIST + "slim.d.ts", `${api}\n${entry("slim.d.ts")}`);
  // The API once more, since a script may not import the types of a module: that takes TypeScript 5.3.
  const named = [...api.matchAll(/^export (?:class|interface|type) (\w+)(<\w+(?:, \w+)*>)?/gm)];
  const members = named.map(([, name, of = ""]) => `  export type ${name}${of} = all.${name}${of};\n`).join("");
  const inside = `${classes.trim()}\n\n${entry("ready.d.ts")}`.replace(/^(?=.)/gm, "  ");
  writeFileSync(
    DIST + "index.d.cts",
    entry("require.d.cts")
      .replace("  // API\n", () => inside)
      .replace("  // TYPES\n", () => members),
  );
}
