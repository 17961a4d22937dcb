// Who is measured: Offhook, and its peers as they come and tuned.
export const VARIANTS = [
  { name: "Offhook", library: "offhook" },
  { name: "JsSIP", library: "jssip" },
  { name: "JsSIP tuned", library: "jssip", tuned: true },
  { name: "SIP.js", library: "sipjs" },
  { name: "SIP.js tuned", library: "sipjs", tuned: true },
];

/** Those that differ by more than a setting. */
export const LIBRARIES = VARIANTS.filter(({ tuned }) => !tuned);
