// `offhook/slim`: no wasm and no initialisation, for those who host or compile the wasm themselves.
import load from "../wasm/offhook.js";

export * from "./classes.js";
export { default } from "./classes.js";
export { initSync } from "../wasm/offhook.js";

/** @param {{ module_or_path: import("../wasm/offhook.js").InitInput | Promise<import("../wasm/offhook.js").InitInput> }} options */
export async function init(options) {
  if (!options?.module_or_path) throw new TypeError("init() of offhook/slim needs { module_or_path }");
  return load(options);
}
