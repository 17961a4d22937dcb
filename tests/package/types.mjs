// The types of the package, as strict projects see them: tests/types/*.ts under both module resolutions in use. And whether the JavaScript of
// the documents fits them.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { project, write } from "./projects.mjs";

const SOURCES = new URL("../types/", import.meta.url);
const { resolve } = createRequire(new URL("../frameworks/package.json", import.meta.url));
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
/** How TypeScript finds the types of a package. */
const RESOLUTIONS = {
  node10: { module: "esnext", moduleResolution: "node" },
  node16: { module: "node16", moduleResolution: "node16" },
  nodenext: { module: "nodenext", moduleResolution: "nodenext" },
  bundler: { module: "esnext", moduleResolution: "bundler" },
};
/** The versions that docs/pages.md names: the folder of each in node_modules, and the resolutions that it knows. */
const VERSIONS = {
  "typescript-3.9": ["node10"],
  "typescript-4.7": ["node10", "node16", "nodenext"],
  "typescript-5.0": ["node10", "node16", "nodenext", "bundler"],
  "typescript-5.9": ["node10", "node16", "nodenext", "bundler"],
  typescript: ["node16", "nodenext", "bundler"],
};
/** Those that tell a module from a script. */
const KNOWS_SCRIPTS = ["node16", "nodenext"];

export async function typeTests({ test, folder, tarball }) {
  const names = readdirSync(SOURCES).filter((name) => /\.[cm]?ts$/.test(name));
  const sources = Object.fromEntries(names.map((name) => [name, readFileSync(new URL(name, SOURCES), "utf8")]));
  const root = project(join(folder, "types"), tarball, sources);
  for (const [version, resolutions] of Object.entries(VERSIONS)) {
    for (const resolution of resolutions) {
      await test(`${version}: tsc --strict accepts the types, module resolution ${resolution}`, async () => {
        const compilerOptions = {
          ...RESOLUTIONS[resolution],
          strict: true,
          noEmit: true,
          skipLibCheck: false,
          target: "es2020",
          lib: ["es2020", "dom"],
          types: [],
        };
        const files = names.filter((file) => KNOWS_SCRIPTS.includes(resolution) || !file.endsWith(".cts"));
        write(root, { "tsconfig.json": JSON.stringify({ compilerOptions, files }) });
        await compile(root, version);
      });
    }
  }
  await test("tsc accepts the JavaScript of the documents", async () => {
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
    await compile(project(join(folder, "documents"), tarball, { ...files, "given.d.ts": GIVEN, "tsconfig.json": JSON.stringify(config) }));
  });
}

function examplesOf(name) {
  const text = readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
  return [...text.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code);
}

async function compile(root, version = "typescript") {
  const program = join(resolve(`${version}/package.json`), "../bin/tsc");
  await promisify(execFile)(process.execPath, [program, "--project", "tsconfig.json"], { cwd: root }).catch(({ stdout, message }) =>
    Promise.reject(new Error(stdout || message)),
  );
}
