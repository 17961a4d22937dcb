// `offhook`: fetches the wasm that lies beside it. The await at the top makes constructors synchronous for whoever imports this.
import { initSync } from "../wasm/offhook.js";

export * from "./classes.js";
export { default } from "./classes.js";

/** Resolves when the wasm is there. An importer has already waited for it. */
export const ready = typeof window === "undefined" ? Promise.resolve() : load();
await ready;

async function load() {
  // Written like this, in one expression, bundlers find the file and take it along.
  const url = new URL("./offhook.wasm", import.meta.url);
  const response = await fetch(url);
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || type.startsWith("text/html")) {
    throw new Error(`offhook: no wasm at ${url} (${response.status}). Copy offhook.wasm there, or import "offhook/inline".`);
  }
  const streams = type.startsWith("application/wasm");
  initSync({
    module: await (streams ? WebAssembly.compileStreaming(response) : response.arrayBuffer().then((b) => WebAssembly.compile(b))),
  });
}
