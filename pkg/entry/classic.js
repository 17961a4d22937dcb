// `offhook.js`: the classic script. `new SinchClient(…)` works in the next inline script.
import { SinchClient } from "./inline.js";

if (typeof window !== "undefined") {
  const script = document.currentScript;
  // Where the script came from is known while it runs only; a client that no server is named for looks for one there.
  if (script?.localName === "script")
    window[Symbol.for("offhook.script")] = { src: script.src || undefined, server: script.dataset.server };
  window.SinchClient = SinchClient;
}
