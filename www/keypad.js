// The keypad: twelve buttons. Before a call they write a number into the field; in a call they send DTMF digits, as the same keys of the keyboard do.

import { byId, make, show } from "./dom.js";
import { keyTone } from "./tones.js";

const KEYS = [
  ["1", ""],
  ["2", "ABC"],
  ["3", "DEF"],
  ["4", "GHI"],
  ["5", "JKL"],
  ["6", "MNO"],
  ["7", "PQRS"],
  ["8", "TUV"],
  ["9", "WXYZ"],
  ["*", ""],
  ["0", "+"],
  ["#", ""],
];
/** @type {Record<string, string>} */
const NAMES = { "*": "star", "#": "hash" };
const TOGGLES = /** @type {const} */ (["keypad-toggle", "dial-toggle"]);
const LONG = 500; // ms after which a pressed 0 is a +, as on a phone

export class Keypad {
  /**
   * `dial(key)` writes a key into the field, `send(key)` sends it to the remote party.
   * @param {(key: string) => void} dial
   * @param {(key: string) => void} send
   */
  constructor(dial, send) {
    this.dial = dial;
    this.send = send;
    this.enabled = false;
    this.inCall = false;
    this.held = false;
    this.buttons = new Map(KEYS.map(([key, letters]) => [key, this.button(key, letters)]));
    byId("keys").replaceChildren(...this.buttons.values());
    for (const id of TOGGLES) byId(id).onclick = () => this.open(byId("keypad").hidden === true);
    document.addEventListener("keydown", (event) => this.typed(event));
    this.idle();
  }

  /** No call is on: keys write a number. */
  idle() {
    this.change(false, true);
  }

  /**
   * A call is on: keys go nowhere until it is answered.
   * @param {boolean} answered
   */
  call(answered) {
    this.change(true, answered);
  }

  /**
   * @param {boolean} inCall
   * @param {boolean} enabled
   */
  change(inCall, enabled) {
    if (this.inCall !== inCall || !enabled) this.open(false);
    if (this.inCall !== inCall) byId("keys-sent").textContent = "";
    this.inCall = inCall;
    this.enabled = enabled;
    byId("keypad-toggle").disabled = !enabled;
    byId("keypad-hint").textContent = inCall ? "Or type digits, * and # on the keyboard." : "Hold 0 for a +.";
    show(byId("keys-sent"), inCall);
  }

  /** @param {boolean} visible */
  open(visible) {
    show(byId("keypad"), visible);
    for (const id of TOGGLES) byId(id).setAttribute("aria-expanded", String(visible));
  }

  /**
   * @param {string} key
   * @param {string} letters
   */
  button(key, letters) {
    const button = make("button", "key", key, make("small", "", letters));
    button.type = "button";
    button.id = `key-${NAMES[key] ?? key}`;
    button.dataset.testid = button.id;
    if (NAMES[key]) button.setAttribute("aria-label", NAMES[key]);
    button.onpointerdown = () => this.hold(key);
    button.onclick = () => this.held || this.press(key);
    return button;
  }

  /**
   * A 0 that is held becomes a +; the click that follows it is none.
   * @param {string} key
   */
  hold(key) {
    this.held = false;
    if (this.inCall || key !== "0") return;
    const timer = setTimeout(() => {
      this.held = true;
      this.press("+");
    }, LONG);
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => clearTimeout(timer), { once: true });
  }

  /** @param {KeyboardEvent} event */
  typed(event) {
    if (!this.inCall || !this.enabled || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target instanceof Element && event.target.closest("input, select, textarea, dialog")) return;
    const key = event.key.toUpperCase();
    if (!/^[0-9*#A-D]$/.test(key)) return;
    this.press(key);
    const button = this.buttons.get(key);
    button?.classList.add("down");
    setTimeout(() => button?.classList.remove("down"), 150);
  }

  /** @param {string} key */
  press(key) {
    if (!this.enabled) return;
    keyTone(key === "+" ? "0" : key);
    if (!this.inCall) return this.dial(key);
    this.send(key);
    byId("keys-sent").textContent += key;
  }
}
