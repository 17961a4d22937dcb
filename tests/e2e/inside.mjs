// A relay that reaches the inside of a network is a hole in its firewall: users of coturn with the configuration of deploy/coturn reach no
// special-purpose address, however it is written (OWASP ASVS 17.1.1, CVE-2020-26262).
import { same } from "./lib/check.mjs";
import { Coturn } from "./lib/coturn.mjs";
import { TurnClient, octetsOf } from "./lib/turn.mjs";

const SECRET = "shared by gateway and relay";
const FORBIDDEN = 403;

/** The special-purpose registries of IANA for IPv4 and IPv6, and multicast. */
const RANGES = {
  4: [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
  ],
  6: [
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
  ],
};

/** Inner addresses in other forms: IPv4 in IPv6, NAT64, 6to4 and Teredo. */
const DISGUISED = [
  "::ffff:127.0.0.1",
  "::ffff:10.0.0.1",
  "::ffff:169.254.169.254",
  "::127.0.0.1",
  "64:ff9b::7f00:1",
  "64:ff9b::a9fe:a9fe",
  "64:ff9b:1::a00:1",
  "2002:7f00:1::",
  "2002:c0a8:101::1",
  "2001:0:7f00:1::",
  "::10.0.0.1",
  "::ffff:0.0.0.0",
  "::255.255.255.255",
];

/** Addresses that calls have to reach: also those right before and after the denied ranges. */
const ALLOWED = {
  4: ["8.8.8.8", "9.255.255.255", "11.0.0.0", "172.32.0.0", "192.167.255.255", "223.255.255.255"],
  6: ["2001:4860:4860::8888", "2003::1", "2a00:1450::1", "2001:200::1"],
};

let coturn = null;

export async function setUp() {
  // Nothing is allowed here that the configuration does not allow.
  coturn = await Coturn.start({ realm: "localhost", secret: SECRET, peers: [] });
}

export const tearDown = () => coturn?.stop();

export default function suite(test) {
  for (const family of [4, 6]) test(`through the relay nobody reaches the inside of a network by IPv${family}`, 20, () => reaches(family));
}

async function reaches(family) {
  const rogue = await TurnClient.open({ port: coturn.port, realm: "localhost", secret: SECRET });
  try {
    same(await rogue.allocate(family), 0, "the error that the allocation gets");
    const denied = [...RANGES[family].flatMap(ends), ...(family === 6 ? DISGUISED : [])];
    for (const ip of denied) same([ip, ...(await rogue.reach(ip))], [ip, FORBIDDEN, FORBIDDEN]);
    for (const ip of ALLOWED[family]) same([ip, ...(await rogue.reach(ip))], [ip, 0, 0]);
    return `${denied.length} addresses denied`;
  } finally {
    rogue.close();
  }
}

/** The first and the last address of a range. */
function ends(range) {
  const [ip, bits] = range.split("/");
  const first = octetsOf(ip);
  const last = first.map((octet, i) => octet | (255 >> Math.min(8, Math.max(0, bits - 8 * i))));
  const text = (octets) => (octets.length === 4 ? octets.join(".") : Buffer.from(octets).toString("hex").match(/.{4}/g).join(":"));
  return [text(first), text(last)];
}
