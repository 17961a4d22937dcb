// The same with a STUN server that is dead: its port takes packets and never answers.
import { createSocket } from "node:dgram";
import { calls, rings } from "../lib/calls.mjs";
import { VARIANTS } from "../lib/variants.mjs";

/** A call of JsSIP as it comes takes 40 s here and one of SIP.js 5 s: there are two and four of them, all at once, as they only wait. */
const SLOW = ["JsSIP", "SIP.js"];

export async function run(stage) {
  const dead = createSocket("udp4");
  await new Promise((resolve) => dead.bind(0, "127.0.0.1", () => resolve(undefined)));
  const options = { iceServers: [{ urls: `stun:127.0.0.1:${dead.address().port}` }] };
  const place = (wanted, rounds, warm = 1) =>
    calls(stage, { rounds, warm, variants: VARIANTS.filter(({ name }) => wanted(name)), options, patience: 60_000 });
  try {
    const quick = await place((name) => !SLOW.includes(name), 20);
    const jssip = () => place((name) => name === "JsSIP", 1, 0);
    const [first, second, sipjs] = await Promise.all([jssip(), jssip(), place((name) => name === "SIP.js", 4)]);
    first[0].values.push(...second[0].values);
    first[0].failed.push(...second[0].failed);
    const all = [...quick, ...first, ...sipjs];
    const inOrder = VARIANTS.map(({ name }) => all.find((one) => one.name === name));
    return [rings("call to ring, the STUN server is dead", inOrder)];
  } finally {
    dead.close();
  }
}
