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
