// Two Kamailio nodes, and the one in use dies: how long until the page is registered at the other. SIP.js knows one server only.
import { Kamailio } from "../../tests/e2e/lib/kamailio.mjs";
import { DOMAIN, USERS } from "../lib/stage.mjs";
import { interleave } from "../lib/statistics.mjs";
import { VARIANTS } from "../lib/variants.mjs";

export async function run(stage) {
  const results = await interleave(
    VARIANTS.filter(({ library }) => library !== "sipjs"),
    20,
    (variant) => measure(stage, variant),
  );
  return [{ title: "registered again after the server died, a second one there", unit: "ms", digits: 0, results }];
}

async function measure(stage, variant) {
  const doomed = await Kamailio.start({ domain: DOMAIN, users: USERS });
  const other = stage.kamailio.url;
  const phone = await stage.phone(variant, { inject: watchRegistrations, servers: [doomed.url, other] });
  try {
    const first = await phone.tab.evaluate((url) => bench.seen(`registered at ${url}`), doomed.url);
    if (!first) throw new Error("it did not begin at the first server");
    const killed = Date.now();
    await doomed.crash();
    const back = await phone.tab.evaluate((url) => bench.until(`registered at ${url}`, 10_000), other);
    if (!back) throw new Error("it did not come back within 10 s");
    return back - killed;
  } finally {
    await phone.tab.close();
    await doomed.stop();
  }
}

/** Runs in the page before its own scripts. */
function watchRegistrations() {
  window.WebSocket = class extends WebSocket {
    constructor(/** @type {ConstructorParameters<typeof WebSocket>} */ ...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        if (/^SIP\/2.0 200 /.test(data) && /^CSeq: \d+ REGISTER/im.test(data)) window.bench.note(`registered at ${given[0]}`);
      });
    }
  };
}
