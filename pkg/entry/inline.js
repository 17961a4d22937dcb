// `offhook/inline`: the wasm inside, ready when the import returns.
import wasm from "wasm-as-text";
import { initSync } from "../wasm/offhook.js";
import { blockedBy, inPage } from "./start.js";

export * from "./classes.js";
export { default } from "./classes.js";

/** Resolved when the import returns; rejects where the wasm did not start. */
export const ready = start();
// Whoever makes a client is told, too: an import that fails stops a page as a whole.
ready.catch(() => {});

async function start() {
  if (!inPage) return;
  try {
    initSync({ module: wasm() });
  } catch (error) {
    // As a content security policy forbids it.
    throw blockedBy(`offhook: the wasm did not start: ${error}`);
  }
}
