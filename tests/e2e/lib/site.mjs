// The origin of one page: a small HTTP server that serves the test pages itself and passes everything else, WebSockets included, to its
// server. One origin for each user, so that a test can break one user's connections and nobody else's.
import { createReadStream, existsSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";
import { portOf } from "./ports.mjs";
import { wav } from "./tone.mjs";

const WWW = fileURLToPath(new URL("../www/", import.meta.url));
const DIST = fileURLToPath(new URL("../../../pkg/dist/", import.meta.url));
const require = createRequire(import.meta.url);

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" };

// What a careful operator sends. jQuery 3 writes innerHTML while it starts, so its page goes without Trusted Types.
const CSP = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' ws:; img-src 'self' data:";
const TRUSTED = `${CSP}; require-trusted-types-for 'script'`;

export class Site {
  /** Where it serves: `http://ip:port`. */
  origin = "";

  /** `upstream` is the server's `host:port`, or null for a page that names its server itself; `packaged`: the SDK comes from pkg/dist. */
  static async open(upstream, packaged) {
    const site = new Site(upstream, packaged);
    await new Promise((resolve) => site.server.listen(0, "127.0.0.1", () => resolve(undefined)));
    site.origin = `http://127.0.0.1:${portOf(site.server).port}`;
    return site;
  }

  constructor(upstream, packaged) {
    this.upstream = upstream;
    this.packaged = packaged;
    this.sockets = new Set(); // pairs of a relayed WebSocket
    this.refuses = false; // new WebSockets
    this.server = http.createServer((request, response) => this.#serve(request, response));
    this.server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Breaks every WebSocket at once, without a closing handshake. */
  cut() {
    for (const { client, server } of this.sockets) {
      client.destroy();
      server.destroy();
    }
  }

  /** The connection stays open and nothing travels any more: what a lost mobile network looks like. */
  freeze() {
    for (const { client, server } of this.sockets) {
      client.unpipe(server);
      server.unpipe(client);
      client.resume();
      server.resume();
    }
  }

  async close() {
    this.cut();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #serve(request, response) {
    const { pathname } = new URL(request.url, this.origin);
    if (pathname === "/e2e/ringback.wav") return response.writeHead(200, { "content-type": "audio/wav" }).end(wav(440));
    const tone = /^\/e2e\/([0-9]+)\.wav$/.exec(pathname);
    if (tone) return response.writeHead(200, { "content-type": "audio/wav" }).end(wav(Number(tone[1])));
    const peer = /^\/e2e\/peers\/([a-z-]+\.js)$/.exec(pathname);
    if (peer) return sendBundle(response, peer[1]);
    const file = localFile(pathname, this.packaged);
    if (file) return sendFile(response, file);
    if (this.upstream === null) return response.writeHead(404).end();
    const [host, port] = this.upstream.split(":");
    const options = { host, port, method: request.method, path: request.url, headers: request.headers };
    const forward = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    forward.on("error", () => response.destroy());
    request.pipe(forward);
  }

  #upgrade(request, client, head) {
    client.on("error", () => {});
    if (this.refuses || this.upstream === null) return client.destroy();
    const [host, port] = this.upstream.split(":");
    const server = net.connect(Number(port), host, () => {
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let i = 0; i < request.rawHeaders.length; i += 2) lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`);
      server.write(`${lines.join("\r\n")}\r\n\r\n`);
      server.write(head);
      client.pipe(server);
      server.pipe(client);
    });
    const pair = { client, server };
    this.sockets.add(pair);
    server.on("error", () => {});
    // What was sent before the end still arrives: end(), and destroy() only a moment later.
    for (const [one, other] of [
      [client, server],
      [server, client],
    ]) {
      one.on("close", () => {
        other.end();
        setTimeout(() => other.destroy(), 300);
        if (other.destroyed) this.sockets.delete(pair);
      });
    }
  }
}

function localFile(pathname, packaged) {
  if (pathname === "/e2e/jquery.js") return require.resolve("jquery/dist/jquery.js");
  if (/^\/e2e\/[a-z-]+\.(html|js)$/.test(pathname)) return join(WWW, pathname.slice(5));
  const script = process.env.OFFHOOK_SCRIPT ?? (packaged && join(DIST, "offhook.js"));
  if (script && pathname === "/offhook.js") return script;
  return null;
}

async function sendBundle(response, name) {
  const script = await bundle(join(WWW, "peers", name));
  response.writeHead(200, { "content-type": TYPES[".js"] }).end(script);
}

function sendFile(response, file) {
  if (!existsSync(file)) return response.writeHead(404).end();
  const head = { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "cache-control": "no-cache" };
  if (file.endsWith(".html")) head["content-security-policy"] = file.includes("snippets") ? CSP : TRUSTED;
  response.writeHead(200, head);
  createReadStream(file).pipe(response);
}
