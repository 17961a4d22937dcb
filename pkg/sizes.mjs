// Prints the size of each entry of the package and fails when the plain ESM entry (JS and wasm, brotli) is over pkg/size-limit, or when
// the wasm wants more of its host than wasm-bindgen's glue gives. Run by scripts/build-package.
import { readFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const read = (name) => readFileSync(new URL(name, import.meta.url));
const LIMIT = Number(read("size-limit"));
/** @type {[entry: string, files: string[]][]} */
const ENTRIES = [
  ["offhook (index.js + wasm)", ["index.js", "offhook.wasm"]],
  ["offhook/slim (slim.js + wasm)", ["slim.js", "offhook.wasm"]],
  ["offhook/inline (inline.js)", ["inline.js"]],
  ["script tag (offhook.js)", ["offhook.js"]],
  ["require() (index.cjs)", ["index.cjs"]],
];

const sizes = ENTRIES.map(([entry, files]) => ({ entry, ...sum(files.map((file) => measure(read(`dist/${file}`)))) }));
console.log(`\n${"entry".padEnd(32)}${["raw", "gzip -9", "brotli 11"].map((title) => title.padStart(11)).join("")}`);
for (const { entry, raw, gzip, brotli } of sizes) {
  console.log(entry.padEnd(32) + [raw, gzip, brotli].map((bytes) => String(bytes).padStart(11)).join(""));
}
console.log(`\nlimit for offhook, brotli: ${LIMIT} bytes; it is ${sizes[0].brotli}`);
foreign();
if (sizes[0].brotli > LIMIT)
  stop(
    `the package has grown over pkg/size-limit by ${sizes[0].brotli - LIMIT} bytes. A feature may raise the limit by what it adds; anything else is an accident.`,
  );

function measure(bytes) {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_LGWIN]: 22,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return { raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length, brotli: brotliCompressSync(bytes, { params }).length };
}

function sum(parts) {
  const total = { raw: 0, gzip: 0, brotli: 0 };
  for (const part of parts) for (const key in total) total[key] += part[key];
  return total;
}

/** All imports come from the one module of the glue: an import from `env` is a C library that slipped in. */
function foreign() {
  for (const file of ["wasm/offhook_bg.wasm", "dist/offhook.wasm"]) {
    const modules = new Set(WebAssembly.Module.imports(new WebAssembly.Module(read(file))).map((import_) => import_.module));
    const unknown = [...modules].filter((module) => module !== "./offhook_bg.js" && module !== "a");
    if (unknown.length)
      stop(`${file} imports from ${unknown.join(", ")}: a dependency wants something that no page has. Find it with cargo tree.`);
  }
}

function stop(reason) {
  console.error(`FAILED: ${reason}`);
  process.exit(1);
}
