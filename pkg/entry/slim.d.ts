/** Where the wasm comes from: an address to fetch, an answer to a fetch, its bytes, or compiled already. */
export type WasmSource = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

/** Fetches and compiles the wasm. No class may be used before the promise has resolved. */
export function init(options: { module_or_path: WasmSource | Promise<WasmSource> }): Promise<unknown>;

/** Takes wasm that is there already, at once. */
export function initSync(options: { module: BufferSource | WebAssembly.Module }): unknown;
