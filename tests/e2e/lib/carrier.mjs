// Kamailio and rtpengine as a carrier (carrier.cfg): phones register with it, and so does the gateway, its customer.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Daemon } from "./daemon.mjs";
import { accepts } from "./ports.mjs";

const CONFIG = fileURLToPath(new URL("../carrier.cfg", import.meta.url));
const PROGRAM = "/usr/sbin/kamailio";
export const PASSWORD = "shared-by-all";

export class Carrier extends Daemon {
  /** PEM file that those who call it by TLS trust. */
  certificate = "";

  /** At `address` (`ip:port`; TLS on the next port), for `domain`. Calls to users that it does not know go to `customer`. */
  static async start({ address, domain, customer, rtpengine }) {
    const carrier = new Carrier("carrier");
    carrier.port = Number(address.split(":")[1]);
    const [ip, port] = address.split(":");
    const key = join(carrier.folder, "key.pem");
    carrier.certificate = join(carrier.folder, "certificate.pem");
    const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=carrier".split(" ");
    const names = ["-addext", `subjectAltName=IP:${ip}`, "-addext", "basicConstraints=critical,CA:FALSE"];
    execFileSync("openssl", [...request, ...names, "-keyout", key, "-out", carrier.certificate], { stdio: "pipe" });
    const defines = {
      LISTEN_UDP: `udp:${address}`,
      LISTEN_TCP: `tcp:${address}`,
      LISTEN_TLS: `tls:${ip}:${Number(port) + 1}`,
      CERTIFICATE: `"${carrier.certificate}"`,
      KEY: `"${key}"`,
      RTPENGINE: `"${rtpengine.address}"`,
      DOMAIN: `"${domain}"`,
      PASSWORD: `"${PASSWORD}"`,
      CUSTOMER: `"sip:${customer}@${domain}"`,
    };
    const options = ["-f", CONFIG, "-DD", "-E", "-m", "64", "-M", "8", "-Y", carrier.folder];
    for (const [name, value] of Object.entries(defines)) options.push("-A", `${name}=${value}`);
    await carrier.run(
      PROGRAM,
      () => options,
      (port) => accepts(port, ip),
    );
    return carrier;
  }
}
