// `offhook`: fetches the wasm that lies beside it. The await at the top makes constructors synchronous for whoever imports this.
import { initSync } from "../wasm/offhook.js";
import { blockedBy, inPage } from "./start.js";

export * from "./classes.js";
export { default } from "./classes.js";

/** Resolves when the wasm is there, and at once where no page is; rejects where the wasm did not start. An importer has already waited for it. */
export const ready = inPage ? start() : Promise.resolve();
// Whoever makes a client is told, too: an import that fails stops a page as a whole.
await ready.catch(() => {});

async function start() {
  const obstacle = await load().catch((error) => `offhook: the wasm did not start: ${error}`);
  if (obstacle) throw blockedBy(obstacle);
}

/** Returns why it cannot be loaded, where that is known. */
async function load() {
  // Written like this, in one expression, bundlers find the file and take it along.
  const url = new URL("./offhook.wasm", import.meta.url);
  const response = await fetch(url);
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || type.startsWith("text/html")) {
    return `offhook: no wasm at ${url} (${response.status}). Copy offhook.wasm there, or import "offhook/inline".`;
  }
  const streams = type.startsWith("application/wasm");
  initSync({
    module: await (streams ? WebAssembly.compileStreaming(response) : response.arrayBuffer().then((b) => WebAssembly.compile(b))),
  });
  return "";
}
