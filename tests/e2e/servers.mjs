// Where a page finds its server when it only has the address of the script, what a server of scripts alone gets to see, and what a page is told
// whose server cannot be reached.
import { execFileSync } from "node:child_process";
import net from "node:net";
import { check, same } from "./lib/check.mjs";
import { freePort, portOf } from "./lib/ports.mjs";
import { Shelf, built } from "./lib/shelf.mjs";
import { skip } from "./lib/skip.mjs";

export default function suite(test) {
  for (const where of ["chromium", "firefox"]) {
    test(`${where}: a page with nothing but the address of the script calls`, 60, (world) => onlyTheScript(world, where));
    test(`${where}: data-server names the server`, 40, (world) => dataServer(world, where));
    test(`${where}: a script from a CDN looks for the server at the page`, 40, (world) => cdn(world, where));
    test(`${where}: a module looks for the server at the page`, 40, (world) => module(world, where));
    test(`${where}: a page without any server is told what was tried`, 40, (world) => nowhere(world, where));
    test(`${where}: each reason why the server cannot be reached is told`, 60, (world) => reasons(world, where));
    test(`${where}: a server that says nothing is given up`, 40, (world) => mute(world, where));
    test(`${where}: a page that is not secure is told so`, 40, (world) => insecure(world, where));
  }
  test("a page over https is told that its server needs a certificate", 40, mixed);
}

/** A page written for the original: `head` loads the script. It makes a user, signs in, and answers. */
const page = (head, options = "") => `<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
${head}
<script>
  window.begin = (name) => {
    const login = { username: name, password: "a secret" };
    const client = (window.client = new SinchClient({
      applicationKey: "demo", capabilities: { calling: true }, startActiveConnection: true, ${options}
    }));
    window.calls = [];
    client.getCallClient().addEventListener({ onIncomingCall: (call) => (calls.push(call), call.answer()) });
    const made = client.newUser(login).then(() => "made", (error) => error.message);
    return made.then(async (made) => {
      const plain = (error) => ({ name: error.name, domain: error.domain, code: error.code, message: error.message });
      return { made, started: await client.start(login).then(() => "started", plain) };
    });
  };
</script>`;

const script = (origin, more = "") => `<script src="${origin}/offhook.js"${more}></script>`;

/** Runs `act` with what it needs: servers that are closed, and tabs of the browser that are, too. */
async function using(world, where, act) {
  const open = [];
  const shelf = async (files, options) => {
    const made = await Shelf.open(files, options);
    open.push(made);
    return made;
  };
  const tab = async (url) => {
    const made = await (await world.browsers.get(where)).newPage();
    open.push(made);
    await made.goto(url);
    await made.waitForFunction(() => typeof SinchClient === "function", { polling: 50 });
    return made;
  };
  try {
    return await act({ shelf, tab });
  } finally {
    await Promise.allSettled(open.map((one) => one.close()));
  }
}

const begin = (tab, name) => tab.evaluate((name) => window.begin(name), name);

/** Nothing that belongs to a login or an application. */
function sawNoLogin(shelf, name) {
  const seen = shelf.asked.map(({ text }) => text).join("\n");
  for (const part of ["key=", "demo", "a secret", name, "POST"])
    check(!seen.includes(part), `the server of scripts saw "${part}":\n${seen}`);
}

async function onlyTheScript(world, where) {
  const gateway = await world.gateway();
  await using(world, where, async ({ shelf, tab }) => {
    const site = await shelf({ "/index.html": page(script(`http://${gateway.address}`)) });
    const names = [world.name("ann"), world.name("ben")];
    const tabs = [await tab(`${site.origin}/index.html`), await tab(`${site.origin}/index.html`)];
    for (const i of [0, 1]) same(await begin(tabs[i], names[i]), { made: "made", started: "started" }, names[i]);
    await tabs[0].evaluate((to) => void (window.call = window.client.callUser(to)), names[1]);
    await tabs[0].waitForFunction(() => window.call.getState() === "ESTABLISHED", { timeout: 10_000, polling: 50 });
    same(site.asked.filter(({ path }) => path !== "/index.html").length, 0, "what the page's own server was asked for");
  });
}

async function dataServer(world, where) {
  const gateway = await world.gateway();
  await using(world, where, async ({ shelf, tab }) => {
    const cdn = await shelf({ "/offhook.js": built("offhook.js") });
    const head = script(cdn.origin, ` data-server="http://${gateway.address}"`);
    const site = await shelf({ "/index.html": page(head) });
    const name = world.name("dan");
    same(await begin(await tab(`${site.origin}/index.html`), name), { made: "made", started: "started" }, "with data-server");
    same(
      cdn.asked.map(({ path }) => path),
      ["/offhook.js"],
      "what the server of scripts was asked for",
    );
    sawNoLogin(cdn, name);
  });
}

async function cdn(world, where) {
  const gateway = await world.gateway();
  await using(world, where, async ({ shelf, tab }) => {
    const cdn = await shelf({ "/offhook.js": built("offhook.js") });
    const site = await shelf({ "/index.html": page(script(cdn.origin)) }, { behind: gateway.address });
    const name = world.name("cyd");
    same(await begin(await tab(`${site.origin}/index.html`), name), { made: "made", started: "started" }, "with a script from a CDN");
    check(
      cdn.asked.some(({ path }) => path === "/sip"),
      "it was asked whether it is a gateway",
    );
    sawNoLogin(cdn, name);
  });
}

async function module(world, where) {
  const gateway = await world.gateway();
  await using(world, where, async ({ shelf, tab }) => {
    const cdn = await shelf({ "/inline.js": built("inline.js") });
    const head = `<script type="module">import SinchClient from "${cdn.origin}/inline.js"; window.SinchClient = SinchClient;</script>`;
    const site = await shelf({ "/index.html": page(head) }, { behind: gateway.address });
    const name = world.name("mia");
    same(await begin(await tab(`${site.origin}/index.html`), name), { made: "made", started: "started" }, "as a module");
    same(
      cdn.asked.map(({ path }) => path),
      ["/inline.js"],
      "what the server of modules was asked for",
    );
  });
}

async function nowhere(world, where) {
  await using(world, where, async ({ shelf, tab }) => {
    const cdn = await shelf({ "/offhook.js": built("offhook.js") });
    const site = await shelf({ "/index.html": page(script(cdn.origin)) });
    const name = world.name("nil");
    const { made, started } = await begin(await tab(`${site.origin}/index.html`), name);
    same([started.name, started.domain, started.code], ["SinchError", 0, 1000], "the error of start");
    for (const text of [made, started.message]) {
      check(text.includes(`What answers at ${cdn.address}/sip`), `the script's server: ${text}`);
      check(text.includes(`What answers at ${site.address}/sip`), `the page's server: ${text}`);
      check(text.includes(`${cdn.address} is where the script came from, ${site.address} is where this page came from`), `whence: ${text}`);
      check(text.includes("data-server"), `what to do: ${text}`);
    }
    sawNoLogin(cdn, name);
  });
}

async function reasons(world, where) {
  const gateway = await world.gateway();
  await using(world, where, async ({ shelf, tab }) => {
    const strange = await shelf({});
    const forwarded = await shelf({}, { behind: gateway.address, fields: { "x-forwarded-for": "203.0.113.1" } });
    const told = async (options, host) => {
      const site = await shelf({ "/index.html": page(script(`http://${gateway.address}`), options) }, { host });
      const { made, started } = await begin(await tab(`${site.origin}/index.html`), "alice");
      same([started.name, started.domain, started.code], ["SinchError", 0, 1000], `the error with ${options}`);
      return [made, started.message, site];
    };
    const server = gateway.address;
    for (const [options, said] of [
      [`applicationKey: "abc"`, `The server at ${server} does not know the application "abc": check applicationKey`],
      [`server: "${strange.origin}"`, `What answers at ${strange.address}/sip is no gateway: check the address of the server`],
      [`server: "ws://${strange.address}/other"`, `What answers at ${strange.address}/other is no gateway`],
      [`server: "ws://${server}/nothing"`, `What answers at ${server}/nothing is no gateway`],
      [`server: "http://127.0.0.1:${await freePort()}"`, "Nothing answers at 127.0.0.1:"],
      [
        `server: "${forwarded.origin}"`,
        `The application "demo" of the server at ${forwarded.address} is for pages on the server's own machine`,
      ],
    ]) {
      const [made, started] = await told(options);
      check(started.startsWith(said), `start with ${options}: ${started}`);
      // newUser goes to the origin alone, and what that says can be read.
      if (options.includes(forwarded.origin)) same(made, "40300 The application is for this machine only", "newUser");
      else if (!options.includes("ws:")) check(made.startsWith(said), `newUser with ${options}: ${made}`);
    }
    // An origin that the application does not allow.
    const [made, started, site] = await told("", "127.0.0.2");
    for (const text of [made, started])
      check(text.startsWith(`The server at ${server} does not let pages of ${site.origin} use the application "demo"`), text);
  });
}

async function mute(world, where) {
  const gateway = await world.gateway();
  const server = net.createServer((socket) => socket.on("error", () => {}));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = `127.0.0.1:${portOf(server).port}`;
  try {
    await using(world, where, async ({ shelf, tab }) => {
      const site = await shelf({ "/index.html": page(script(`http://${gateway.address}`)) });
      const mute = await tab(`${site.origin}/index.html`);
      const text = await mute.evaluate((server) => {
        const client = new SinchClient({ applicationKey: "demo", server });
        return client.start({ username: "alice", password: "a secret" }).then(
          () => "started",
          (error) => error.message,
        );
      }, `http://${address}`);
      check(text.startsWith(`${address} did not answer in time`), text);
    });
  } finally {
    server.close();
  }
}

async function insecure(world, where) {
  if (process.env.OFFHOOK_E2E_INSIDE !== "namespace") skip("an address beside the loopback needs root, unshare and ip");
  const gateway = await world.gateway();
  const host = "192.0.2.7";
  execFileSync("ip", ["address", "replace", `${host}/32`, "dev", "lo"]);
  await using(world, where, async ({ shelf, tab }) => {
    const site = await shelf({ "/index.html": page(script("")) }, { host, behind: gateway.address });
    const { started } = await begin(await tab(`${site.origin}/index.html`), "alice");
    check(started.message.startsWith(`The application "demo" of the server at ${site.address} is for pages on`), started.message);
    check(started.message.includes("This page itself is not secure: browsers give the microphone to pages over https"), started.message);
  });
}

async function mixed(world) {
  await using(world, "chromium with gc()", async ({ shelf, tab }) => {
    const site = await shelf(
      { "/index.html": page(script(""), `server: "http://192.0.2.9"`), "/offhook.js": built("offhook.js") },
      { tls: true },
    );
    const { made, started } = await begin(await tab(`${site.origin}/index.html`), "alice");
    for (const text of [made, started.message])
      check(text.startsWith("Browsers let a page over https reach servers over https and wss only: 192.0.2.9 needs a certificate"), text);
  });
}
