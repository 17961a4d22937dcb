// The operator of a gateway, by HTTP: the money of its demo application.
import { check, same, soon } from "./check.mjs";

/** Without the rounding error of a sum of decimal fractions. */
export const cents = (amount) => Math.round(amount * 1e6) / 1e6;

export class Operator {
  /** The configuration that makes the gateway accept it. */
  static TOKEN = "0123456789abcdef0123456789abcdef";
  #gateway;
  #references = 0;

  constructor(gateway) {
    this.#gateway = gateway;
  }

  /** The response, which must be a success. */
  async ask(method, path, body) {
    const { ok, status, text } = await this.request(method, path, body);
    check(ok, `${method} ${path}: ${status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  async request(method, path, body) {
    const url = `http://${this.#gateway.address}${path}${path.includes("?") ? "&" : "?"}key=demo`;
    const headers = { authorization: `Bearer ${Operator.TOKEN}`, "content-type": "application/json" };
    const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    return { ok: response.ok, status: response.status, text: await response.text() };
  }

  async balance() {
    return (await this.ask("GET", "/v1/account")).balance.amount;
  }

  /** Sets the balance. */
  async balanceOf(amount) {
    const change = cents(amount - (await this.balance()));
    if (change) await this.ask("POST", "/v1/account/credit", { amount: change, reference: `${++this.#references}` });
    same(await this.balance(), amount, "the balance");
  }

  /** Record, history and balance of a call that has ended, of a page that had `before`. */
  async account(page, before) {
    const { callId } = await page.facts(0);
    const record = await soon(async () => {
      const found = await this.ask("GET", `/calling/v1/calls/id/${callId}`);
      check(found.status === "FINAL", JSON.stringify(found));
      return found;
    });
    const { history } = await this.ask("GET", "/v1/account/history");
    const ours = history.filter(({ callId }) => callId === record.callId || callId === history[0].callId);
    const charged = cents(ours.filter(({ type }) => type === "CHARGE").reduce((sum, { amount }) => sum + amount.amount, 0));
    same(charged, record.debit.amount, `history and record: ${JSON.stringify(ours)}`);
    same(await this.balance(), cents(before - charged), "the balance after it");
    same((await this.ask("GET", "/v1/account")).reserved.amount, 0, "what is still reserved");
    return record;
  }
}
