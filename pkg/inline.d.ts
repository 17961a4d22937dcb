// For TypeScript's module resolution "node10", which does not know `exports` of package.json.
export * from "./dist/index.js";
export { default } from "./dist/index.js";
