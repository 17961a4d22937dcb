// A web server on loopback for the pages of the package tests.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { portOf } from "../e2e/lib/ports.mjs";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".wasm": "application/wasm",
};

/**
 * Serves the folder `root`. `headers(path)` may give headers of its own for a path: `{ "content-type": … }` replaces the usual one.
 * The answer's `url` has no slash at its end.
 * @param {string} root
 * @param {(path: string) => Record<string, string>} [headers]
 */
export async function serve(root, headers = () => ({})) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
    try {
      const body = await readFile(join(root, path));
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream", ...headers(path) }).end(body);
    } catch {
      response.writeHead(404, { "content-type": "text/plain" }).end(`nothing at ${path}`);
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", () => done(undefined)));
  return {
    url: `http://localhost:${portOf(server).port}`,
    close: () => (server.closeAllConnections(), server.close()),
  };
}
