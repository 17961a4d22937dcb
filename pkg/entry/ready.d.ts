/** Resolves when the wasm is there. Whoever imports the package has already waited for it. */
export const ready: Promise<void>;
