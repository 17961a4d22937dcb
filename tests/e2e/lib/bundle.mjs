// Scripts of the test pages that use packages of npm, as one file each.
import { build } from "esbuild";

const made = new Map();

/** The text of the script `file` with everything that it imports. */
export function bundle(file) {
  if (!made.has(file)) made.set(file, bundled({ entryPoints: [file] }));
  return made.get(file);
}

/** The same for a script that is no file. */
export const bundleText = (contents) => bundled({ stdin: { contents, resolveDir: import.meta.dirname } });

async function bundled(entry) {
  const options = { bundle: true, format: "iife", platform: "browser", target: "es2022", write: false, logLevel: "silent" };
  const { outputFiles } = await build({ ...entry, ...options });
  return outputFiles[0].text;
}
