// Ports of the loopback.
import { readFileSync } from "node:fs";
import net from "node:net";

/**
 * Where a server on TCP listens.
 * @param {net.Server} server
 */
export const portOf = (server) => /** @type {net.AddressInfo} */ (server.address());

/** A free port: any, or this one. */
export function freePort(wanted = 0) {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject);
    server.listen(wanted, "127.0.0.1", () => {
      const { port } = portOf(server);
      server.close(() => resolve(port));
    });
  });
}

/** A free port whose next one is free, too. */
export async function freePair() {
  for (;;) {
    const port = await freePort();
    if (await freePort(port + 1).catch(() => 0)) return port;
  }
}

export function accepts(port, ip = "127.0.0.1") {
  return new Promise((resolve) => {
    const socket = net.connect(port, ip);
    socket.on("connect", () => (socket.destroy(), resolve(true)));
    socket.on("error", () => resolve(false));
  });
}

/** Whether somebody has this UDP port (`ip:port`). */
export function hasUdp(address) {
  const [ip, port] = address.split(":");
  const hex = (value, digits) => Number(value).toString(16).toUpperCase().padStart(digits, "0");
  const entry = `${ip
    .split(".")
    .reverse()
    .map((octet) => hex(octet, 2))
    .join("")}:${hex(port, 4)}`;
  return readFileSync("/proc/self/net/udp", "latin1").includes(` ${entry} `);
}
