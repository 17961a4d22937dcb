// The DTMF keypad: twelve buttons, and the same keys on the keyboard while a call is on.

import { byId, make, show } from "./dom.js";
import { keyTone } from "./tones.js";

const KEYS = [["1", ""], ["2", "ABC"], ["3", "DEF"], ["4", "GHI"], ["5", "JKL"], ["6", "MNO"], ["7", "PQRS"], ["8", "TUV"], ["9", "WXYZ"], ["*", ""], ["0", "+"], ["#", ""]];
const NAMES = { "*": "star", "#": "hash" };

export class Keypad {
  /** `send(key)` sends one key to the other side. */
  constructor(send) {
    this.send = send;
    this.enabled = false;
    this.buttons = new Map(KEYS.map(([key, letters]) => [key, this.button(key, letters)]));
    byId("keys").replaceChildren(...this.buttons.values());
    byId("keypad-toggle").onclick = () => this.open(byId("keypad").hidden);
    document.addEventListener("keydown", (event) => this.typed(event));
  }

  /** Keys go nowhere unless a call is on. */
  enable(enabled) {
    this.enabled = enabled;
    byId("keypad-toggle").disabled = !enabled;
    if (enabled) return;
    this.open(false);
    byId("keys-sent").textContent = "";
  }

  open(visible) {
    show(byId("keypad"), visible);
    byId("keypad-toggle").setAttribute("aria-expanded", String(visible));
  }

  button(key, letters) {
    const button = make("button", "key", key, make("small", "", letters));
    button.type = "button";
    button.id = `key-${NAMES[key] ?? key}`;
    button.dataset.testid = button.id;
    if (NAMES[key]) button.setAttribute("aria-label", NAMES[key]);
    button.onclick = () => this.press(key);
    return button;
  }

  typed(event) {
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest?.("input, select, textarea, dialog")) return;
    const key = event.key.toUpperCase();
    if (!/^[0-9*#A-D]$/.test(key)) return;
    this.press(key);
    const button = this.buttons.get(key);
    button?.classList.add("down");
    setTimeout(() => button?.classList.remove("down"), 150);
  }

  press(key) {
    if (!this.enabled) return;
    this.send(key);
    keyTone(key);
    byId("keys-sent").textContent += key;
  }
}
