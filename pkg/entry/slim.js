// `offhook/slim`: no wasm and no initialisation, for those who host or compile the wasm themselves.
import load, { initSync as loadSync } from "../wasm/offhook.js";
import { blockedBy } from "./start.js";

export * from "./classes.js";
export { default } from "./classes.js";

blockedBy("offhook/slim: wait for init({ module_or_path }), or call initSync({ module }), before the first use");

/** @param {{ module_or_path: import("../wasm/offhook.js").InitInput | Promise<import("../wasm/offhook.js").InitInput> }} options */
export async function init(options) {
  if (!options?.module_or_path) throw new TypeError("init() of offhook/slim needs { module_or_path }");
  const exports = await load(options);
  blockedBy("");
  return exports;
}

/** @param {{ module: import("../wasm/offhook.js").SyncInitInput }} options */
export function initSync(options) {
  const exports = loadSync(options);
  blockedBy("");
  return exports;
}
