// Who is measured: Offhook, and its peers as they come and tuned; or another build of its package, where OFFHOOK_BEFORE names that.

/** The folder of the other build. */
export const BEFORE = process.env.OFFHOOK_BEFORE;

const PEERS = [
  { name: "JsSIP", library: "jssip" },
  { name: "JsSIP tuned", library: "jssip", tuned: true },
  { name: "SIP.js", library: "sipjs" },
  { name: "SIP.js tuned", library: "sipjs", tuned: true },
];

/** @type {{ name: string, library: string, tuned?: boolean }[]} */
export const VARIANTS = [{ name: "Offhook", library: "offhook" }, ...(BEFORE ? [{ name: "before", library: "before" }] : PEERS)];

/** Those that differ by more than a setting. */
export const LIBRARIES = VARIANTS.filter(({ tuned }) => !tuned);
