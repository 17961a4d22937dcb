// The network of the run, taken away and given back: packets are dropped silently, as in a tunnel.
import { execFileSync } from "node:child_process";
import { skip } from "./skip.mjs";

const TOOLS = ["iptables", "ip6tables"];

/**
 * Drops what `rules` match, such as "-p udp" or "-p tcp --dport 80", until `lift()`. Only in a network namespace of the run's own.
 */
export class Outage {
  static begin(...rules) {
    const outage = new Outage(rules);
    outage.#each("-I");
    return outage;
  }

  #rules;
  #on = true;

  constructor(rules) {
    if (process.env.OFFHOOK_E2E_INSIDE !== "namespace") skip("the run has no network namespace of its own");
    this.#rules = rules;
  }

  /** Restores the network. Returns the moment, ms since 1970. */
  lift() {
    if (this.#on) this.#each("-D");
    this.#on = false;
    return Date.now();
  }

  #each(action) {
    for (const tool of TOOLS) {
      for (const rule of this.#rules) execFileSync(tool, ["-w", action, "INPUT", ...rule.split(" "), "-j", "DROP"]);
    }
  }
}

/** Rules for all media, and for what goes to and from the origins of `users`: pages, signalling. */
export const everythingOf = (...users) => ["-p udp", ...users.flatMap((user) => signallingOf(user))];

/** Rules for the ports that the media of `users` uses now; for what is opened later there are none, as on another network. */
export async function portsOf(...users) {
  const ports = await Promise.all(
    users.map((user) =>
      user.run(async () => {
        const open = seen.peers.filter(({ peer }) => peer.signalingState !== "closed");
        const stats = await Promise.all(open.map(async ({ peer }) => [...(await peer.getStats()).values()]));
        return stats
          .flat()
          .filter(({ type, protocol }) => type === "local-candidate" && protocol === "udp")
          .map(({ port }) => port);
      }),
    ),
  );
  return [...new Set(ports.flat())].map((port) => `-p udp --dport ${port}`);
}

export const signallingOf = ({ site }) => {
  const { port } = new URL(site.origin);
  return [`-p tcp --dport ${port}`, `-p tcp --sport ${port}`];
};
