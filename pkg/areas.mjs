// Prints where the bytes of the package are: `node pkg/areas.mjs [--functions]`, after scripts/build-package. It optimises the compiler's
// output once more, as the package has it but with the names of its functions, and adds their sizes up by area.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const FOLDER = path("target/areas");
/** The first pattern that a function's name matches is its area; generic code of the libraries made for a type of ours counts there. */
/** @type {[area: string, pattern: RegExp][]} */
const AREAS = [
  ["client: a call", /^<?offhook::client::session/],
  ["client: account, connection, the whole", /^<?offhook::client/],
  ["sdp", /^<?offhook_sip::sdp/],
  ["hashes", /^<?(offhook_sip::hash|sha2)/],
  ["sip", /^<?offhook_sip/],
  ["ua", /^<?offhook_ua/],
  ["web: edge", /^<?offhook::web/],
  ["js: JavaScript API", /^<?offhook::js|^(call|callclient|calldetails|sinchclient|__wbg_\w+)_/],
  ["allocator", /talc|__rust|__wbindgen_(malloc|realloc|free)/],
  ["wasm-bindgen", /wasm_bindgen|externref|wbindgen/],
  ["text of the standard library", /^<?(core::str|alloc::str|alloc::string|<?str|core::char|u32|<char)/],
  ["collections and iterators, for types of ours", /offhook/],
  ["collections and iterators, others", /./],
];

const { functions, sections } = read(optimised());
const all = functions.reduce((sum, { size }) => sum + size, 0);
const dist = (name) => readFileSync(path(`pkg/dist/${name}`));
const squeezed = (bytes) => brotliCompressSync(bytes).length;
const wasm = squeezed(dist("offhook.wasm"));
const code = (wasm * all) / (all + sections.get(11));
console.log(`offhook.wasm: brotli ${wasm}; ${functions.length} functions; the brotli of an area is its share\n`);
for (const [area, size] of sums(functions)) print(area, size, (code * size) / all);
print("data", sections.get(11), wasm - code);
const js = dist("index.js");
print("index.js: wasm-bindgen's glue and the entry", js.length, squeezed(js));
if (process.argv.includes("--functions")) {
  for (const { name, size } of functions.sort((a, b) => b.size - a.size)) console.log(String(size).padStart(8), name);
}

function print(area, raw, brotli) {
  console.log(area.padEnd(48) + [raw, Math.round(brotli)].map((bytes) => String(bytes).padStart(9)).join(""));
}

function sums(functions) {
  const sums = new Map(AREAS.map(([area]) => [area, 0]));
  for (const { name, size } of functions) {
    const [area] = AREAS.find(([, pattern]) => pattern.test(name));
    sums.set(area, sums.get(area) + size);
  }
  return [...sums].sort(([, a], [, b]) => b - a);
}

function optimised() {
  const target = process.env.CARGO_TARGET_DIR ?? path("target");
  const options = readFileSync(path("Cargo.toml"), "utf8")
    .match(/wasm-opt = (\[[^\]]*\])/)[1]
    .replace(/,\s*\]/, "]");
  rmSync(FOLDER, { recursive: true, force: true });
  execFileSync("wasm-bindgen", ["--target", "web", "--out-dir", FOLDER, `${target}/wasm32-unknown-unknown/release/offhook.wasm`]);
  const file = `${FOLDER}/offhook_bg.wasm`;
  execFileSync(path("tests/node_modules/.bin/wasm-opt"), [file, ...JSON.parse(options), "-g", "-o", file]);
  return readFileSync(file);
}

/** Sizes and names of the functions of a wasm file, and the sizes of its sections. */
function read(bytes) {
  let at = 8;
  const number = () => {
    for (let value = 0, shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const text = () => {
    const length = number();
    return bytes.toString("utf8", at, (at += length));
  };
  const [sizes, names, sections] = [[], new Map(), new Map()];
  while (at < bytes.length) {
    const [id, length] = [bytes[at++], number()];
    const end = at + length;
    sections.set(id, length);
    if (id === 10) {
      for (let count = number(); count > 0; count--) {
        sizes.push(number());
        at += sizes.at(-1);
      }
    } else if (id === 0 && text() === "name") {
      while (at < end) {
        const [kind, length] = [bytes[at++], number()];
        const next = at + length;
        if (kind === 1) for (let count = number(); count > 0; count--) names.set(number(), text());
        at = next;
      }
    }
    at = end;
  }
  const imported = WebAssembly.Module.imports(new WebAssembly.Module(bytes)).filter(({ kind }) => kind === "function").length;
  const plain = (name = "?") => name.replace(/\[[0-9a-f]+\]/g, "");
  return { sections, functions: sizes.map((size, i) => ({ size, name: plain(names.get(i + imported)) })) };
}
