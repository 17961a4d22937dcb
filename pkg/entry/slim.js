// `offhook/slim`: no wasm and no initialisation, for those who host or compile the wasm themselves.
export * from "./classes.js";
export { default } from "./classes.js";
export { default as init, initSync } from "../wasm/offhook.js";
