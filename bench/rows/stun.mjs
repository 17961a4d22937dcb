// The same with a STUN server that is dead: its port takes packets and never answers.
import { createSocket } from "node:dgram";
import { calls, rings } from "../lib/calls.mjs";
import { VARIANTS } from "../lib/variants.mjs";

/** A call of JsSIP as it comes takes 40 s here, so there are two of them, and two phones at a time: it only waits. SIP.js takes 5 s. */
const SLOW = { JsSIP: 0, "SIP.js": 4 };

export async function run(stage) {
  const dead = createSocket("udp4");
  await new Promise((resolve) => dead.bind(0, "127.0.0.1", resolve));
  const options = { iceServers: [{ urls: `stun:127.0.0.1:${dead.address().port}` }] };
  const some = (wanted) => VARIANTS.filter(({ name }) => wanted(name));
  const place = (variants, rounds, warm) => calls(stage, { rounds, variants, options, patience: 60_000, warm });
  try {
    const quick = await place(some((name) => !(name in SLOW)), 20, 1);
    const [first, second, sipjs] = await Promise.all([place(some((name) => name === "JsSIP"), 1, 0), place(some((name) => name === "JsSIP"), 1, 0), place(some((name) => name === "SIP.js"), SLOW["SIP.js"], 1)]);
    const jssip = first.map((one) => ({ ...one, ring: [...one.ring, ...second[0].ring], failed: [...one.failed, ...second[0].failed] }));
    const all = [...quick, ...jssip, ...sipjs];
    const inOrder = VARIANTS.map(({ name }) => all.find((one) => one.name === name));
    return [rings("… with a dead STUN server", inOrder)];
  } finally {
    dead.close();
  }
}
