// `offhook/inline`: the wasm inside, ready when the import returns.
import wasm from "wasm-as-text";
import { initSync } from "../wasm/offhook.js";
import { blockedBy, inPage } from "./start.js";

export * from "./classes.js";
export { default } from "./classes.js";

/** Resolves when the wasm is there, which it always is. */
export const ready = Promise.resolve();
if (inPage) {
  try {
    initSync({ module: wasm() });
  } catch (error) {
    // As a content security policy forbids it. An import that fails stops a page as a whole.
    blockedBy(`offhook: the wasm did not start: ${error}`);
  }
}
