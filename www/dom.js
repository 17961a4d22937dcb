// Small helpers for the page's elements. Text from outside only ever goes in as text.

/** @import { ById } from "../tests/www.d.ts" */

/**
 * The element of the page with this id.
 * @template {keyof ById} Id
 * @param {Id} id
 */
export const byId = (id) => /** @type {ById[Id]} */ (document.getElementById(id));

let keyboard = true;
addEventListener("keydown", () => (keyboard = true), true);
addEventListener("pointerdown", () => (keyboard = false), true);

/**
 * Moves the focus to where a person goes on; the ring, which those who point have no use for, is drawn only where the keyboard was touched last.
 * @param {HTMLElement} element
 */
export function focus(element) {
  element.focus();
  if (keyboard) return;
  element.classList.add("no-ring");
  for (const event of ["blur", "keydown"]) element.addEventListener(event, () => element.classList.remove("no-ring"), { once: true });
}

/**
 * @param {HTMLElement} element
 * @param {boolean} visible
 */
export function show(element, visible) {
  element.hidden = !visible;
}

/**
 * An element with classes, text and children: `make("li", "missed", "Bob", …)`.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {(Node | string)[]} children
 */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** @param {string} name */
export function icon(name, className = "icon") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Puts the initials of a name on a disc whose hue is made of the name.
 * @param {HTMLElement} element
 * @param {string} name
 */
export function drawAvatar(element, name) {
  const words = name.split(/[\s._@-]+/u).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const initials = words.slice(0, 2).map((word) => [...word.replace(/^[^\p{L}\p{N}]+/u, "")][0] ?? "");
  let hue = 7;
  for (const letter of name) hue = (hue * 31 + Number(letter.codePointAt(0))) % 360;
  element.textContent = initials.join("").toUpperCase() || "?";
  element.style.setProperty("--hue", String(hue));
}
