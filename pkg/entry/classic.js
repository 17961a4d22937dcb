// `offhook.js`: the classic script. `new SinchClient(…)` works in the next inline script.
import { SinchClient } from "./inline.js";

if (typeof window !== "undefined") {
  const script = /** @type {HTMLScriptElement | null} */ (globalThis.document?.currentScript);
  // Where the script came from is known while it runs only; a client that no server is named for looks for one there.
  if (script?.localName === "script") {
    const place = { src: script.src || undefined, server: script.dataset.server };
    Object.assign(window, { [Symbol.for("offhook.script")]: place });
  }
  window.SinchClient = SinchClient;
}
