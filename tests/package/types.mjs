// The types of the package, as strict projects see them: tests/types/*.ts under both module resolutions in use.
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { project, write } from "./projects.mjs";

const SOURCES = new URL("../types/", import.meta.url);
const TSC = fileURLToPath(new URL("../node_modules/.bin/tsc", import.meta.url));
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
}

function compile(root) {
  try {
    execFileSync(TSC, ["--project", "tsconfig.json"], { cwd: root, encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    throw new Error(error.stdout || error.message, { cause: error });
  }
}
