// A plain web server as pages of others have it: files that a test puts there, and a record of all that was asked of it. With `behind` it is a
// reverse proxy for everything else, WebSockets included.
import { execFileSync } from "node:child_process";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { portOf } from "./ports.mjs";

const DIST = new URL("../../../pkg/dist/", import.meta.url);
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".wasm": "application/wasm" };

/** A file of the built package. */
export const built = (name) => readFileSync(fileURLToPath(new URL(name, DIST)));

/** A key and a certificate that nobody has signed. */
function certificate() {
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const text = execFileSync("openssl", [...request, "-subj", "/CN=localhost", "-keyout", "-", "-out", "-"], {
    encoding: "utf8",
    stdio: "pipe",
  });
  return { key: text, cert: text };
}

export class Shelf {
  /** What was asked: method, path with query, and all of it as text, body included. */
  asked = [];
  #files;
  #behind;
  #fields;
  #server;
  #host;
  #tls;

  /**
   * `behind`: `host:port` of the server that gets everything else; `fields`: header fields that are added to what it gets. With `tls` it has a
   * certificate of its own.
   * @param {Record<string, string | Buffer>} files
   * @param {{ behind?: string, fields?: Record<string, string>, host?: string, tls?: boolean }} [options]
   */
  static async open(files, { behind, fields = {}, host = "127.0.0.1", tls = false } = {}) {
    const shelf = new Shelf(files, behind, fields, host, tls);
    await new Promise((resolve) => shelf.#server.listen(0, host, () => resolve(undefined)));
    return shelf;
  }

  constructor(files, behind, fields, host, tls) {
    [this.#files, this.#behind, this.#fields, this.#host, this.#tls] = [files, behind, fields, host, tls];
    const serve = (request, response) => this.#serve(request, response);
    this.#server = tls ? https.createServer(certificate(), serve) : http.createServer(serve);
    if (behind) this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
  }

  get address() {
    return `${this.#host}:${portOf(this.#server).port}`;
  }

  get origin() {
    return `http${this.#tls ? "s" : ""}://${this.address}`;
  }

  async close() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = Buffer.concat(parts);
    this.#note(request, body);
    const path = request.url.split("?")[0];
    const file = this.#files[path];
    if (file !== undefined) {
      // Scripts may be loaded as modules by pages of any origin, as from a CDN.
      const type = TYPES[extname(path)] ?? "application/octet-stream";
      return response.writeHead(200, { "content-type": type, "access-control-allow-origin": "*" }).end(file);
    }
    if (!this.#behind) return response.writeHead(404, { "content-type": "text/html" }).end("<h1>Not found</h1>");
    const [host, port] = this.#behind.split(":");
    const headers = { ...request.headers, ...this.#fields };
    const forward = http.request({ host, port, method: request.method, path: request.url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    forward.on("error", () => response.destroy());
    forward.end(body);
  }

  #note(request, body) {
    this.asked.push({ method: request.method, path: request.url, text: `${request.url}\n${request.rawHeaders.join("\n")}\n${body}` });
  }

  #upgrade(request, client, head) {
    this.#note(request, head);
    client.on("error", () => {});
    const [host, port] = this.#behind.split(":");
    const server = net.connect(Number(port), host, () => {
      const fields = Object.entries({ ...request.headers, ...this.#fields }).map(([name, value]) => `${name}: ${value}`);
      server.write(`${[`GET ${request.url} HTTP/1.1`, ...fields].join("\r\n")}\r\n\r\n`);
      client.pipe(server).pipe(client);
    });
    server.on("error", () => client.destroy());
    client.on("close", () => server.destroy());
  }
}
