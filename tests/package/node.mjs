// What is in the tarball, and what happens where there is no window.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { project } from "./projects.mjs";

const EXPECTED = [
  "LICENSE-APACHE",
  "LICENSE-MIT",
  "README.md",
  "THIRD-PARTY.txt",
  "dist/index.cjs",
  "dist/index.d.cts",
  "dist/index.d.ts",
  "dist/index.js",
  "dist/inline.js",
  "dist/offhook.js",
  "dist/offhook.wasm",
  "dist/slim.d.ts",
  "dist/slim.js",
  "inline.d.ts",
  "package.json",
  "slim.d.ts",
];

export async function nodeTests({ test, folder, tarball, files }) {
  const root = project(join(folder, "node"), tarball, {});
  const run = (...code) => execFileSync(process.execPath, code, { cwd: root, encoding: "utf8", stdio: "pipe" }).trim();
  const module = (code) => run("--input-type=module", "-e", code);

  await test("the tarball holds what is wanted and nothing else", () => assert.deepEqual(files, EXPECTED));

  await test("the package has no dependencies", () => {
    const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(root, "node_modules/offhook/package.json"), "utf8"));
    assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
  });

  for (const entry of ["offhook", "offhook/inline", "offhook/slim", "offhook/offhook.js"]) {
    await test(`importing ${entry} where there is no window does nothing`, () => {
      const before = "const names = () => Object.getOwnPropertyNames(globalThis).sort().join(); const before = names();";
      const after = "if (names() !== before) throw new Error('new globals'); console.log('imported');";
      assert.equal(module(`${before} await import("${entry}"); ${after}`), "imported");
    });
  }

  await test("the default export and the named one are the constructor", () => {
    const names = `console.log(SinchClient === named, SinchClient.name, CallClient.name, Call.name)`;
    assert.equal(
      module(`import SinchClient, { SinchClient as named, Call, CallClient } from "offhook"; ${names}`),
      "true SinchClient CallClient Call",
    );
  });

  await test("require() gives the constructor", () => {
    const code = `const S = require("offhook"); console.log(S.name, S === S.default, S === S.SinchClient)`;
    assert.equal(run("--input-type=commonjs", "-e", code), "SinchClient true true");
  });

  const made = `const S = require("offhook"); try { console.log(new S({ applicationKey: "demo" }).applicationKey); } catch (error) { console.log(error.message); } process.exit()`;
  await test("require() in a window with WebRTC makes clients at once", () => {
    const code = `const window = Object.assign(globalThis, { window: globalThis, document: {}, origin: "null", RTCPeerConnection: class {} });`;
    assert.equal(run("--input-type=commonjs", "-e", code + made), "demo");
  });

  await test("require() under a window that is none says where it works", () => {
    const says = "SinchClient works only in the window of a browser with WebRTC";
    assert.equal(run("--input-type=commonjs", "-e", `globalThis.window = globalThis;${made}`), says);
  });
}
