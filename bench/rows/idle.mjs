// What a page with 50 idle, registered users holds: its JavaScript heap after garbage collection, and all memory of the wasm.
import { interleave } from "../lib/statistics.mjs";
import { LIBRARIES } from "../lib/variants.mjs";

const USERS = 50;

export async function run(stage) {
  const users = Array.from({ length: USERS }, () => stage.user());
  const results = await interleave(LIBRARIES, 2, (library) => measure(stage, library, users));
  return [{ title: `memory of a page with ${USERS} idle users`, unit: "MB", digits: 2, results }];
}

async function measure(stage, { library }, users) {
  const tab = await stage.tab(library, { inject: keepWasmMemory });
  try {
    const accounts = users.map((user) => ({ ...stage.account(user), iceServers: [] }));
    // One after the other: a browser opens ten WebSockets a second to one host, and SIP.js gives up after five seconds.
    for (const account of accounts) await tab.evaluate((given) => bench.start(given), account);
    const session = await tab.createCDPSession();
    await session.send("HeapProfiler.enable");
    for (let i = 0; i < 3; i++) await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    return (usedSize + (await tab.evaluate(() => window.wasmMemory?.buffer.byteLength ?? 0))) / 1e6;
  } finally {
    await tab.close();
  }
}

/** Runs in the page before its own scripts. */
function keepWasmMemory() {
  const { Instance } = WebAssembly;
  WebAssembly.Instance = class extends Instance {
    constructor(/** @type {ConstructorParameters<typeof Instance>} */ ...given) {
      super(...given);
      window.wasmMemory = Object.values(this.exports).find((value) => value instanceof WebAssembly.Memory);
    }
  };
}
