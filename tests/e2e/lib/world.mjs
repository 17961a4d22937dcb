// What a suite works with: browsers, one server, and users in pages of their own.
import { Browsers, INSTANCES } from "./browsers.mjs";
import { Daemon } from "./daemon.mjs";
import { Gateway } from "./gateway.mjs";
import { Site } from "./site.mjs";

export const TONES = Object.values(INSTANCES).map(({ tone }) => tone);

/** Below this a recording counts as silence; the quietest microphone of the tests is a hundred times louder. */
export const SILENCE = 0.002;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Options of a page: `before` (see www/before.js), `page` (file of www), `server`: false for a page without the gateway behind it, or
 * another Gateway or Kamailio than the run's gateway; `own`: a page of the gateway instead, with the script `inject` run before its own.
 * @typedef {object} PageOptions
 * @property {object} [before]
 * @property {string} [page]
 * @property {any} [server]
 * @property {string | null} [own]
 * @property {string} [inject]
 *
 * Options of a user: those of its page, and `config`: options of its client; `login`: in place of a ticket of the demo application; `online`:
 * whether it may be called.
 * @typedef {PageOptions & { config?: object, login?: object, online?: boolean }} UserOptions
 */

export class World {
  browsers = new Browsers();
  #gateway = null;
  #starting = null;
  #users = [];
  #serial = 0;

  /** The gateway of this run, started when first asked for, and again when it died under a test. */
  async gateway() {
    this.#starting ??= Gateway.start();
    this.#gateway = await this.#starting;
    return this.#gateway;
  }

  /** A user name that no other test has. */
  name(stem) {
    return `${stem}${++this.#serial}`;
  }

  /** A page of browser instance `where` with the SDK loaded, nobody signed in. */
  async page(where, /** @type {PageOptions} */ { before = {}, page = "page.html", server = true, own = null, inject } = {}) {
    const behind = server === true ? await this.gateway() : server;
    const site = await Site.open(behind ? behind.address : null, !(behind instanceof Gateway));
    const browser = await this.browsers.get(where);
    const tab = await browser.newPage();
    const user = new User(where, site, tab);
    this.#users.push(user);
    if (inject) await tab.evaluateOnNewDocument(inject);
    if (own) {
      await tab.goto(site.origin + own);
      return user;
    }
    await tab.goto(`${site.origin}/e2e/${page}?before=${encodeURIComponent(JSON.stringify(before))}`);
    await user.wait(() => window.e2e?.ready(), "the SDK to load");
    return user;
  }

  /** The same, signed in as `userId`. */
  async user(where, userId, /** @type {UserOptions} */ { config, login, online, ...rest } = {}) {
    const user = await this.page(where, rest);
    user.id = userId;
    const result = await user.start({ userId, login, config, online });
    if (result.error) throw new Error(`${userId} could not sign in: ${JSON.stringify(result.error)}`);
    return user;
  }

  /** Two signed-in users with names of their own (`user.id`). */
  pair(from, to, options = {}) {
    return Promise.all([this.user(from, this.name("alice"), options), this.user(to, this.name("bob"), options)]);
  }

  /** Closes the pages of one test and says what was wrong with them that no test should ever see. */
  async tidy() {
    const users = this.#users.splice(0);
    const complaints = (await Promise.all(users.map((user) => user.complaints()))).flat();
    await Promise.allSettled(users.map((user) => user.close()));
    if (this.#gateway && !this.#gateway.alive) {
      complaints.push(`the gateway died:\n${this.#gateway.log.slice(-2_000)}`);
      this.#gateway = this.#starting = null;
    }
    return complaints;
  }

  /** The SIP of every page that is open now, and what the servers of the suite say, for the report of a failure. */
  async traces() {
    const parts = await Promise.all(this.#users.map((user) => user.trace()));
    return [...parts, Daemon.traces()].join("\n");
  }

  async close() {
    await this.tidy();
    await this.browsers.close();
    await this.#gateway?.stop();
  }
}

/** Firefox reports a WebSocket that did not connect, and ICE that failed, beside the scripts' errors. */
const NETWORK_NOTE = /establish a connection to the server|connection to ws:.* was interrupted|^WebRTC: ICE failed/;

/** One page, seen from the test. Calls are numbers: 0 is the first call that the page made or got. */
export class User {
  /** The name under which it is signed in. */
  id = "";

  constructor(where, site, tab) {
    this.where = where;
    this.tone = INSTANCES[where].tone;
    this.site = site;
    this.tab = tab;
    this.name = where;
    tab.on("pageerror", (error) => NETWORK_NOTE.test(error.message) || this.#errors.push(error.message));
  }

  #errors = [];

  /** Runs `f` in the page. */
  run(f, ...args) {
    return this.tab.evaluate(f, ...args);
  }

  async start(options) {
    this.name = `${options.userId ?? options.login?.username ?? "user"} (${this.where})`;
    return this.run((o) => e2e.start(o), options);
  }

  call(to, /** @type {{ method?: string, headers?: object }} */ { method = "callUser", headers } = {}) {
    return this.run((m, t, h) => e2e.call(m, t, h), method, to, headers);
  }

  answer(i = 0) {
    return this.run((n) => e2e.calls[n].call.answer(), i);
  }

  hangup(i = 0) {
    return this.run((n) => e2e.calls[n].call.hangup(), i);
  }

  /** Waits for event `name` of call `i`; fails with what was seen instead. */
  async until(i, name, ms) {
    const trouble = await this.run((n, e, t) => e2e.until(n, e, t), i, name, ms);
    if (trouble) throw new Error(`${this.name}: ${trouble}`);
  }

  /** The names of the events of call `i`, in order; the last with its end cause. */
  events(i = 0) {
    return this.run((n) => e2e.names(n), i);
  }

  /** The events themselves: name, at (ms in this page), state, cause, both integers. */
  log(i = 0) {
    return this.run((n) => e2e.calls[n]?.events ?? [], i);
  }

  facts(i = 0) {
    return this.run((n) => e2e.facts(n), i);
  }

  hear(i = 0, ms = 700) {
    return this.run((n, tones, t) => e2e.hear(n, tones, t), i, TONES, ms);
  }

  open() {
    return this.run(() => e2e.open());
  }

  /** Polls `f` in the page until it is true. */
  async wait(f, what, ms = 8_000, ...args) {
    const end = Date.now() + ms;
    while (!(await this.run(f, ...args))) {
      if (Date.now() > end) throw new Error(`${this.name}: waited ${ms} ms for ${what}`);
      await pause(20);
    }
  }

  async trace() {
    const sip = await this.run(() => e2e.sip(true)).catch(() => "page gone");
    return `--- ${this.name}\n${sip}`;
  }

  /** Forgets the errors of the page so far, which the test has caused. */
  async forgive() {
    this.#errors = [];
    await this.run(() => (seen.errors.length = 0));
  }

  async complaints() {
    const seen = await this.run(() => ({ violations: window.seen?.violations ?? [], errors: window.seen?.errors ?? [] })).catch(() => null);
    if (!seen) return [];
    return [
      ...seen.violations.map((text) => `${this.name}: against the content security policy: ${text}`),
      ...new Set([...seen.errors, ...this.#errors].map((text) => `${this.name}: uncaught: ${text}`)),
    ];
  }

  async close() {
    await this.tab.close();
    await this.site.close();
  }
}
