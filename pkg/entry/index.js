// `offhook`: fetches the wasm that lies beside it. The await at the top makes constructors synchronous for whoever imports this.
import { initSync } from "../wasm/offhook.js";
import { blockedBy, inPage } from "./start.js";

export * from "./classes.js";
export { default } from "./classes.js";

/** Resolves when the wasm is there. An importer has already waited for it. */
export const ready = inPage ? load().catch((error) => blockedBy(`offhook: the wasm did not start: ${error}`)) : Promise.resolve();
await ready;

/** A failure is kept for whoever makes a client: an import that fails stops a page as a whole. */
async function load() {
  // Written like this, in one expression, bundlers find the file and take it along.
  const url = new URL("./offhook.wasm", import.meta.url);
  const response = await fetch(url);
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || type.startsWith("text/html")) {
    return blockedBy(`offhook: no wasm at ${url} (${response.status}). Copy offhook.wasm there, or import "offhook/inline".`);
  }
  const streams = type.startsWith("application/wasm");
  initSync({
    module: await (streams ? WebAssembly.compileStreaming(response) : response.arrayBuffer().then((b) => WebAssembly.compile(b))),
  });
}
