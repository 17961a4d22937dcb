// What pkg/build.mjs makes of the wasm: a module whose default export gives its bytes.
declare module "wasm-as-text" {
  export default function wasm(): Uint8Array<ArrayBuffer>;
}

interface Window {
  SinchClient: typeof import("../wasm/offhook.js").SinchClient;
}
