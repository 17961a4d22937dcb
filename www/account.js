// What calls cost: the credit of the demo application, which all of its users share, the price of the call that is on, and the last paid calls
// of whoever is signed in. A server without accounts has no `demo/account`; then nothing of this is shown.

/** @import { Call } from "../tests/www.d.ts" */

import { byId, make, show } from "./dom.js";
import { demoTicket } from "./tickets.js";
import { clock, errorWords, timeOfDay } from "./words.js";

const AGAIN = 5_000; // ms between two questions while a call is paid
const SOON = 500; // ms until the next question after a call, and how often that is asked
const LAST = 10;
const LONGEST = 20;
/** @type {Record<string, string>} */
const RESULTS = { ANSWERED: "", BUSY: "Busy", NOANSWER: "No answer", FAILED: "Failed" };

/**
 * A call that is paid, as the server tells of it; `rate` and `fee` are in millionths of the currency, the rest in seconds. `full`: the balance
 * after topping up.
 * @typedef {{ callId: string, rate: number, fee: number, minimum: number, increment: number }} Running
 * @typedef {{ start: string, duration: number, result: string, outgoing: boolean, from: string, to: string, debit: number }} Paid
 * @typedef {{ balance: number, full: number, currency: string, running: Running[], calls: Paid[] }} Known
 */

export class Account {
  /** @type {Known | undefined} what the server said last */
  known;
  user = "";
  ticket = "";
  /** @type {number | undefined} */
  ticking;
  /** @type {number | undefined} */
  asking;

  constructor() {
    byId("top-up").onclick = () => this.topUp();
  }

  /**
   * Somebody has signed in.
   * @param {string} user
   */
  async open(user) {
    this.close();
    this.user = user;
    await this.refresh();
  }

  /** Whoever was signed in has gone: what was theirs is shown no longer. */
  close() {
    this.end();
    this.user = this.ticket = "";
    this.known = undefined;
    show(byId("top-up-error"), false);
    byId("account-calls").replaceChildren();
    show(byId("account"), false);
  }

  /** Asks now, and shows what there is. */
  async refresh() {
    this.draw(await this.ask("GET", "demo/account").catch(() => null));
  }

  /** Fills the credit up to what the demo began with. */
  async topUp() {
    byId("top-up").disabled = true;
    show(byId("top-up-error"), false);
    try {
      this.draw(await this.ask("POST", "demo/credit"));
    } catch (error) {
      byId("top-up-error").textContent = `Not topped up: ${errorWords(error)}`;
      show(byId("top-up-error"), true);
    }
    byId("top-up").disabled = false;
  }

  /**
   * @param {"GET" | "POST"} method
   * @param {string} path
   * @returns {Promise<Known | undefined>} undefined: nobody is signed in, or somebody else than before the answer
   */
  async ask(method, path) {
    const { user } = this;
    if (!user) return undefined;
    try {
      return await this.request(method, path, user);
    } catch (error) {
      if (user === this.user) throw error;
      return undefined;
    }
  }

  /**
   * A ticket holds for a while: once it does not, there is a new one.
   * @param {"GET" | "POST"} method
   * @param {string} path
   * @param {string} user
   * @returns {Promise<Known | undefined>}
   */
  async request(method, path, user) {
    const known = this.ticket;
    const ticket = known || (await demoTicket(user));
    const response = await fetch(path, { method, headers: { Authorization: `user ${ticket}` } });
    const answer = await response.json().catch(() => ({}));
    // Neither the answer nor the ticket is for whoever has signed in meanwhile.
    if (user !== this.user) return undefined;
    this.ticket = response.status === 401 ? "" : ticket;
    if (response.status === 401 && known) return this.request(method, path, user);
    if (!response.ok) throw new Error(answer.message || `HTTP ${response.status}`);
    return answer;
  }

  /** @param {Known | null | undefined} answer */
  draw(answer) {
    if (answer === undefined) return;
    show(byId("account"), Boolean(answer));
    if (!answer) return;
    this.known = answer;
    byId("balance").textContent = money(answer.balance, answer.currency, 2);
    byId("top-up").textContent = `Top up to ${money(answer.full, answer.currency, 2)}`;
    show(byId("top-up"), answer.balance < answer.full);
    const paid = answer.calls.slice(0, LONGEST);
    byId("account-calls").replaceChildren(...paid.map((call) => row(call, answer.currency)));
    show(byId("account-empty"), paid.length === 0);
  }

  /**
   * A call is answered: shows its price for as long as it is paid.
   * @param {Call} call
   */
  async begin(call) {
    this.end();
    const since = call.getDetails().establishedTime ?? new Date();
    this.ticking = setInterval(() => this.drawPrice(call, since), 250);
    this.asking = setInterval(() => this.refresh(), AGAIN);
    await this.refresh();
    if (!this.price(call)) clearInterval(this.asking);
  }

  /**
   * The call is over: what it has cost is known a moment later.
   * @param {Call} call
   */
  async settle(call) {
    this.end();
    await this.refresh();
    for (let again = 0; again < LAST && this.price(call); again++) {
      await new Promise((resolve) => setTimeout(resolve, SOON));
      await this.refresh();
    }
  }

  end() {
    clearInterval(this.ticking);
    clearInterval(this.asking);
    show(byId("price"), false);
  }

  /** @param {Call} call */
  price(call) {
    return this.known?.running.find((running) => running.callId === call.getCallId() && running.rate > 0);
  }

  /**
   * @param {Call} call
   * @param {Date} since
   */
  drawPrice(call, since) {
    const price = this.price(call);
    show(byId("price"), Boolean(price));
    if (!price || !this.known) return;
    const { currency } = this.known;
    const { rate, increment, minimum, fee } = price;
    const seconds = Math.max(minimum, Math.ceil((Date.now() - since.getTime()) / 1_000 / increment) * increment);
    const [sum, minute] = [fee + (seconds * rate) / 60, rate].map((micros) => money(micros, currency, 4));
    byId("price").textContent = `${sum} so far, ${minute} a minute`;
  }
}

/**
 * Millionths of a currency in words.
 * @param {number} micros
 * @param {string} currency
 * @param {number} digits
 */
function money(micros, currency, digits) {
  const fraction = { minimumFractionDigits: 2, maximumFractionDigits: digits };
  return new Intl.NumberFormat(undefined, { style: "currency", currency, ...fraction }).format(micros / 1e6);
}

/**
 * @param {Paid} call
 * @param {string} currency
 */
function row(call, currency) {
  const facts = [timeOfDay(new Date(call.start)), call.duration ? clock(call.duration) : "", RESULTS[call.result] ?? call.result];
  const text = make(
    "div",
    "",
    make("p", "who", call.outgoing ? call.to : call.from),
    make("p", "quiet small", facts.filter(Boolean).join(" · ")),
  );
  return make("li", "", text, make("span", "price", money(call.debit, currency, 4)));
}
