// The types of the package, as strict projects see them: tests/types/*.ts under both module resolutions in use. And whether the JavaScript of
// the documents fits them.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { project, write } from "./projects.mjs";

const SOURCES = new URL("../types/", import.meta.url);
const TSC = fileURLToPath(new URL("../node_modules/.bin/tsc", import.meta.url));
/** Documents for authors of pages. */
const DOCUMENTS = ["README.md", "docs/pages.md", "docs/kamailio.md"];
/** What their examples take as given. */
const GIVEN = `import type { SinchClient as Client } from "offhook";
declare global {
  var SinchClient: typeof Client;
  var client: Client;
  function ticketFromYourBackEnd(): Promise<string>;
}
`;
const RESOLUTIONS = {
  bundler: { module: "esnext", moduleResolution: "bundler" },
  nodenext: { module: "nodenext", moduleResolution: "nodenext" },
};

export async function typeTests({ test, folder, tarball }) {
  const names = readdirSync(SOURCES).filter((name) => /\.[cm]?ts$/.test(name));
  const sources = Object.fromEntries(names.map((name) => [name, readFileSync(new URL(name, SOURCES), "utf8")]));
  const root = project(join(folder, "types"), tarball, sources);
  for (const [name, resolution] of Object.entries(RESOLUTIONS)) {
    await test(`tsc --strict accepts the types, module resolution ${name}`, () => {
      const compilerOptions = {
        ...resolution,
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        target: "es2022",
        lib: ["es2022", "dom"],
        types: [],
      };
      write(root, {
        "tsconfig.json": JSON.stringify({ compilerOptions, files: names.filter((file) => name === "nodenext" || !file.endsWith(".cts")) }),
      });
      compile(root);
    });
  }
  await test("tsc accepts the JavaScript of the documents", () => {
    const examples = DOCUMENTS.flatMap(examplesOf);
    assert.ok(examples.length > 5, "the examples are found");
    const files = Object.fromEntries(examples.map((code, i) => [`example${i}.js`, `${code}\nexport {};\n`]));
    const compilerOptions = {
      ...RESOLUTIONS.bundler,
      allowJs: true,
      checkJs: true,
      noEmit: true,
      target: "es2022",
      strict: false,
      types: [],
    };
    const config = { compilerOptions, files: [...Object.keys(files), "given.d.ts"] };
    compile(project(join(folder, "documents"), tarball, { ...files, "given.d.ts": GIVEN, "tsconfig.json": JSON.stringify(config) }));
  });
}

function examplesOf(name) {
  const text = readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  return [...text.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code);
}

function compile(root) {
  try {
    execFileSync(TSC, ["--project", "tsconfig.json"], { cwd: root, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    throw new Error(error.stdout || error.message, { cause: error });
  }
}
