// The glue makes one of each when it is imported; where they are missing (jsdom) the wasm never starts, so nobody uses them.
const {
  TextDecoder = class {
    decode() {}
  },
  TextEncoder = class {},
} = globalThis;

export { TextDecoder, TextEncoder };
