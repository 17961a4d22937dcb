// What is changed in the JavaScript that wasm-bindgen writes.

/**
 * Text goes into the wasm by the browser's own encoder, in one step. wasm-bindgen copies it letter by letter until a letter is not ASCII,
 * which is as fast for a word and ten times slower for a SIP message.
 */
export function encodeWhole(glue) {
  const loop = /    let offset = 0;\s+for \(; offset < len; offset\+\+\) \{[^}]*\}\s+if \(offset !== len\) \{\s+if \(offset !== 0\) \{\s+arg = arg\.slice\(offset\);\s+\}/;
  if (!loop.test(glue)) throw new Error("wasm-bindgen's glue looks different: adapt encodeWhole in pkg/glue.mjs");
  const whole = `    const first = cachedTextEncoder.encodeInto(arg, mem.subarray(ptr, ptr + len));
    let offset = first.written;
    if (first.read !== len) {
        arg = arg.slice(first.read);`;
  return glue.replace(loop, whole);
}

/** What wasm-bindgen writes for browsers that are older than those of pkg/build.mjs, and for uses that the types of the package do not have. */
const NEVER_USED = [
  [/\(typeof FinalizationRegistry === 'undefined'\)\s+\? \{ register: \(\) => \{\}, unregister: \(\) => \{\} \}\s+: new /g, "new "],
  [/if \(!\('encodeInto' in cachedTextEncoder\)\) \{.*?\n\}\n/s, ""],
  [/if \(realloc === undefined\) \{.*?\n    \}\n/s, ""],
  [/ else \{\s+console\.warn\('using deprecated parameters[^}]*\}/g, ""],
  [/if \(Symbol\.dispose\) \w+\.prototype\[Symbol\.dispose\] = \w+\.prototype\.free;\n/g, ""],
];

/** The same without that. */
export function withoutUnused(glue) {
  for (const [unused, rest] of NEVER_USED) {
    if (glue.search(unused) < 0) throw new Error(`wasm-bindgen's glue looks different: adapt NEVER_USED in pkg/glue.mjs: ${unused}`);
    glue = glue.replace(unused, rest);
  }
  return glue;
}
