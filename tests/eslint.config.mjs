// What eslint looks for in all JavaScript of the repository; scripts/javascript runs it. Formatting is prettier's, types are tsc's.
import js from "@eslint/js";
import globals from "globals";

/** Node scripts, which also hand functions to pages. */
const NODE = ["bench/**/*.mjs", "pkg/*.mjs", "tests/**/*.mjs"];
/** Modules of pages. */
const PAGES = ["www/*.js", "pkg/entry/*.js", "bench/www/*.js", "tests/e2e/www/peers/*.js"];
/** Scripts of pages, with no module around them: what one defines the next one uses. */
const SCRIPTS = ["tests/package/*.js", "tests/e2e/www/*.js", "tests/web/*.js"];

/** What the scripts of a test page define for each other, and for the functions that tests run in the page. */
const TESTED = { SinchClient: "readonly", e2e: "readonly", seen: "readonly", sound: "readonly" };
const BENCH = { bench: "readonly" };

const RULES = {
  "array-callback-return": ["error", { checkForEach: false }],
  "default-case-last": "error",
  eqeqeq: ["error", "always", { null: "ignore" }],
  "no-constructor-return": "error",
  "no-empty": ["error", { allowEmptyCatch: false }],
  "no-eval": "error",
  "no-implicit-globals": "error",
  "no-self-compare": "error",
  "no-template-curly-in-string": "error",
  "no-throw-literal": "error",
  "no-unmodified-loop-condition": "error",
  "no-unreachable-loop": "error",
  "no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
  "no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
  "no-useless-rename": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": ["error", { destructuring: "all" }],
  "prefer-object-has-own": "error",
};

export default [
  { linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" } },
  js.configs.recommended,
  { rules: RULES },
  { files: NODE, languageOptions: { globals: { ...globals.nodeBuiltin, ...globals.browser } } },
  { files: PAGES, languageOptions: { globals: globals.browser } },
  { files: SCRIPTS, languageOptions: { sourceType: "script", globals: globals.browser } },
  { files: ["tests/**"], languageOptions: { globals: TESTED } },
  { files: ["bench/**"], languageOptions: { globals: BENCH } },
  // As pages with jQuery are written.
  { files: ["tests/e2e/www/snippets.js"], languageOptions: { globals: globals.jquery }, rules: { "object-shorthand": "off" } },
  // Each is one expression, which tests/web.rs evaluates.
  { files: ["tests/web/*.js"], rules: { "no-unused-expressions": "off" } },
];
