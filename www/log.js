// The list of recent calls, kept for this window's session.

/** @import { Call } from "../tests/www.d.ts" */

import { byId, icon, make, show } from "./dom.js";
import { SHORT_CAUSE, clock, timeOfDay } from "./words.js";

const LIMIT = 50;

/** @typedef {{ time: number, who: string, outgoing: boolean, seconds: number, cause: ReturnType<Call["getEndCause"]> }} Entry */

export class CallLog {
  /**
   * `redial(name)` puts a name into the call form.
   * @param {string} userId
   * @param {(name: string) => void} redial
   */
  constructor(userId, redial) {
    this.key = `offhook-demo-calls-${userId}`;
    this.redial = redial;
    this.entries = this.load();
    byId("clear-log").onclick = () => this.replace([]);
    this.draw();
  }

  /** @param {Call} call */
  add(call) {
    const details = call.getDetails();
    const entry = {
      time: Date.now(),
      who: call.getRemoteUserId(),
      outgoing: Boolean(call.getDirection()),
      seconds: details.establishedTime ? details.duration : 0,
      cause: call.getEndCause(),
    };
    this.replace([entry, ...this.entries].slice(0, LIMIT));
  }

  /** @param {Entry[]} entries */
  replace(entries) {
    this.entries = entries;
    try {
      sessionStorage.setItem(this.key, JSON.stringify(entries));
    } catch {
      // Storage is full or switched off: the list then lives as long as the page.
    }
    this.draw();
  }

  /** @returns {Entry[]} */
  load() {
    try {
      const entries = JSON.parse(sessionStorage.getItem(this.key) ?? "[]");
      return Array.isArray(entries) ? entries : [];
    } catch {
      return [];
    }
  }

  draw() {
    byId("log").replaceChildren(...this.entries.map((entry) => this.row(entry)));
    show(byId("log-empty"), this.entries.length === 0);
    show(byId("clear-log"), this.entries.length > 0);
  }

  /** @param {Entry} entry */
  row(entry) {
    const missed = !entry.outgoing && ["CANCELED", "NO_ANSWER", "TIMEOUT"].includes(entry.cause);
    const cause = missed ? "Missed" : SHORT_CAUSE[entry.cause] || entry.cause;
    const direction = make("span", "visually-hidden", entry.outgoing ? "Outgoing, " : "Incoming, ");
    const facts = [timeOfDay(new Date(entry.time)), entry.seconds ? clock(entry.seconds) : "", cause].filter(Boolean);
    const text = make("div", "", make("p", "who", entry.who), make("p", "quiet small", direction, facts.join(" · ")));
    const again = make("button", "button plain slim", icon("phone"));
    again.type = "button";
    again.setAttribute("aria-label", `Call ${entry.who} again`);
    again.onclick = () => this.redial(entry.who);
    const row = make("li", missed ? "missed" : "", icon(entry.outgoing ? "out" : "in"), text, again);
    row.dataset.cause = entry.cause;
    return row;
  }
}
