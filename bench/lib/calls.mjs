// Calls through one Kamailio: how soon the callee rings, and how soon both hear each other once it has answered.
import { interleave } from "./statistics.mjs";
import { VARIANTS } from "./variants.mjs";

const PATIENCE = 8_000;

/** The figure "call to the callee's ring" of what `calls` gave. */
export const rings = (title, measured) => figure(title, measured, "ring");

export const figure = (title, measured, what) => ({
  title,
  unit: "ms",
  digits: 0,
  results: measured.map(({ name, failed, values }) => ({ name, failed, values: values.map((times) => times[what]) })),
});

/**
 * `patience`: ms that a call may take; `options`: of the phones.
 * @typedef {object} Options
 * @property {number} rounds
 * @property {number} [warm]
 * @property {{ name: string, library: string, tuned?: boolean }[]} [variants]
 * @property {string} [where]
 * @property {object} [options]
 * @property {string[]} [answers]
 * @property {number} [patience]
 */

/**
 * One pair of phones for each variant; each variant calls in turn. With `answers` the callee answers, and these are waited for. After a
 * call that failed the pair is a new one.
 */
export async function calls(
  stage,
  /** @type {Options} */ { rounds, warm = 1, variants = VARIANTS, where, options = {}, answers = [], patience = PATIENCE },
) {
  const pairs = new Map();
  const measure = async (variant) => {
    const pair = pairs.get(variant) ?? (await meet(stage, variant, where, options));
    pairs.delete(variant);
    try {
      const times = await call(pair, answers, patience);
      pairs.set(variant, pair);
      return times;
    } finally {
      if (!pairs.has(variant)) await close(pair);
    }
  };
  const measured = await interleave(variants, rounds, measure, warm);
  await Promise.all([...pairs.values()].map(close));
  return measured;
}

const meet = async (stage, variant, where, options) => {
  const phone = () => stage.phone(variant, { where, ...options });
  return { caller: await phone(), callee: await phone() };
};

const close = ({ caller, callee }) => Promise.allSettled([caller.tab.close(), callee.tab.close()]);

async function call({ caller, callee }, answers, patience) {
  await Promise.all([caller, callee].map(({ tab }) => tab.evaluate(() => bench.forget())));
  const began = await caller.tab.evaluate((user) => bench.call(user), callee.user);
  const ring = (await until(callee, "rings", patience)) - began;
  await until(caller, "ringing", patience);
  const times = answers.length ? await talk(caller, callee, answers) : {};
  await caller.tab.evaluate(() => bench.hangup());
  await Promise.all([until(caller, "over", PATIENCE), until(callee, "over", PATIENCE)]);
  await pause(100);
  return { ring, ...times };
}

/** After a second of ringing: from `answer()` to the first of each of `what` (a packet, sound), at the later of the two. */
async function talk(caller, callee, what) {
  await pause(1_000);
  const early = await Promise.all([caller, callee].map(({ tab }) => tab.evaluate(() => bench.seen("packet"))));
  if (early.some((at) => at !== null)) throw new Error("audio came before the answer");
  const answered = await callee.tab.evaluate(() => bench.answer());
  const both = async (name) => Math.max(...(await Promise.all([caller, callee].map((side) => until(side, name, PATIENCE))))) - answered;
  return Object.fromEntries(await Promise.all(what.map(async (name) => [name, await both(name)])));
}

async function until({ tab }, name, ms) {
  const at = await tab.evaluate((n, t) => bench.until(n, t), name, ms);
  if (at === null) throw new Error(`"${name}" did not happen within ${ms} ms`);
  return at;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
