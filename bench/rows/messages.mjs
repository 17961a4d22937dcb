// The processor time that a page's main thread spends on 1,000 OPTIONS that come in and 1,000 responses that go out.
import { interleave } from "../lib/statistics.mjs";
import { LIBRARIES } from "../lib/variants.mjs";
import { fakeSocket } from "../www/messages.js";

const MESSAGES = 1_000;

export async function run(stage) {
  const phones = [];
  for (const { name, library } of LIBRARIES) phones.push({ name, ...(await stage.phone({ library }, { inject: fakeSocket })) });
  for (const phone of phones) {
    phone.session = await phone.tab.createCDPSession();
    await phone.session.send("Performance.enable");
  }
  const results = await interleave(phones, 20, measure);
  await Promise.all(phones.map(({ tab }) => tab.close()));
  return [{ title: "main-thread CPU for 1,000 SIP messages in and out", unit: "ms", digits: 0, results }];
}

/** From the end of the last thousand, so that what a library leaves for later counts, too. */
async function measure(phone) {
  const { tab, session, user } = phone;
  const done = await tab.evaluate(
    (name, count) => Promise.race([window.feed(name, count).then(() => true), new Promise((resolve) => setTimeout(resolve, 20_000))]),
    user,
    MESSAGES,
  );
  if (!done) throw new Error("not every message was answered within 20 s");
  const before = phone.before ?? 0;
  phone.before = await threadTime(session);
  return (phone.before - before) * 1000;
}

async function threadTime(session) {
  const { metrics } = await session.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "ThreadTime").value;
}
