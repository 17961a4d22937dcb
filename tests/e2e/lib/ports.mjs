// Ports of the loopback.
import net from "node:net";

/** A free port: any, or this one. */
export function freePort(wanted = 0) {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on("error", reject);
    server.listen(wanted, "127.0.0.1", () => {
      const { port } = server.address();
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

export function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("connect", () => (socket.destroy(), resolve(true)));
    socket.on("error", () => resolve(false));
  });
}
