// `offhook/inline`: the wasm inside, ready when the import returns.
import wasm from "wasm-as-text";
import { initSync } from "../wasm/offhook.js";

export * from "./classes.js";
export { default } from "./classes.js";

/** Resolves when the wasm is there, which it always is. */
export const ready = Promise.resolve();
if (typeof window !== "undefined") initSync({ module: wasm() });
