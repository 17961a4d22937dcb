// Calls through one Kamailio: how soon the callee rings, and how soon both hear each other once it has answered.
import { VARIANTS } from "./variants.mjs";

const PATIENCE = 8_000;

/** The figure "call to the callee's ring" of what `calls` gave. */
export const rings = (title, measured) => figure(title, measured, "ring");

export const figure = (title, measured, what) => ({
  title,
  unit: "ms",
  digits: 0,
  results: measured.map(({ name, failed, [what]: values }) => ({ name, failed, values })),
});

/** One pair of phones for each variant; each variant calls in turn, and the first `warm` rounds are not counted. */
export async function calls(stage, { rounds, warm = 1, variants = VARIANTS, where, options = {}, answers = false, patience = PATIENCE }) {
  const results = variants.map(({ name }) => ({ name, ring: [], packet: [], sound: [], failed: [] }));
  const pairs = [];
  for (const variant of variants) pairs.push(await pair(stage, variant, where, options));
  for (let round = -warm; round < rounds; round++) {
    for (const [i, variant] of variants.entries()) {
      try {
        const times = await call(pairs[i], answers, patience);
        if (round >= 0) for (const [what, ms] of Object.entries(times)) results[i][what].push(ms);
      } catch (error) {
        results[i].failed.push(error.message);
        await close(pairs[i]);
        pairs[i] = await pair(stage, variant, where, options);
      }
    }
  }
  await Promise.all(pairs.map(close));
  return results;
}

const pair = async (stage, variant, where, options) => {
  const phone = () => stage.phone(variant, { where, ...options });
  return { caller: await phone(), callee: await phone() };
};

const close = ({ caller, callee }) => Promise.allSettled([caller.tab.close(), callee.tab.close()]);

async function call({ caller, callee }, answers, patience) {
  await Promise.all([caller, callee].map(({ tab }) => tab.evaluate(() => bench.forget())));
  const began = await caller.tab.evaluate((user) => bench.call(user), callee.user);
  const ring = (await until(callee, "rings", patience)) - began;
  await until(caller, "ringing", patience);
  const times = answers ? await talk(caller, callee) : {};
  await caller.tab.evaluate(() => bench.hangup());
  await Promise.all([until(caller, "over", PATIENCE), until(callee, "over", PATIENCE)]);
  await pause(100);
  return { ring, ...times };
}

/** After a second of ringing: from `answer()` to the first audio packet, and the first sound, at the later of the two. */
async function talk(caller, callee) {
  await pause(1_000);
  const early = await Promise.all([caller, callee].map(({ tab }) => tab.evaluate(() => bench.seen("sound"))));
  if (early.some((at) => at !== null)) throw new Error("there was sound before the answer");
  const answered = await callee.tab.evaluate(() => bench.answer());
  const both = async (what) => Math.max(...(await Promise.all([caller, callee].map((side) => until(side, what, PATIENCE))))) - answered;
  return { packet: await both("packet"), sound: await both("sound") };
}

async function until({ tab }, name, ms) {
  const at = await tab.evaluate((n, t) => bench.until(n, t), name, ms);
  if (at === null) throw new Error(`"${name}" did not happen within ${ms} ms`);
  return at;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
