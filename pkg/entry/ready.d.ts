/**
 * Resolves when the wasm is there, and at once where no page is; rejects where the wasm did not start. Whoever imports the package has already
 * waited for it, and an import does not fail.
 */
export const ready: Promise<void>;
