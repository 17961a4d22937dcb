// The dialog of an incoming call. The focus goes to the dialog and not to a button: somebody who is typing when it rings must not
// answer by accident.

import { byId, drawAvatar } from "./dom.js";
import { ringtone } from "./tones.js";

const dialog = byId("incoming-call");
/** @type {(() => void) | null} */
let stopRinging = null;
let title = document.title;

/**
 * Rings until `stopIncoming()`; `answer` and `decline` are what the buttons do.
 * @param {string} name
 * @param {{ answer: () => void, decline: () => void }} buttons
 */
export function showIncoming(name, { answer, decline }) {
  stopIncoming();
  byId("incoming-name").textContent = name;
  drawAvatar(byId("incoming-avatar"), name);
  byId("answer").onclick = answer;
  byId("decline").onclick = decline;
  document.title = `${name} is calling`;
  stopRinging = ringtone();
  open();
}

export function stopIncoming() {
  if (!stopRinging) return;
  stopRinging();
  stopRinging = null;
  document.title = title;
  dialog.close();
}

/**
 * The title of the page while nothing rings.
 * @param {string} words
 */
export function setTitle(words) {
  title = words;
  if (!stopRinging) document.title = words;
}

function open() {
  dialog.showModal();
  dialog.focus();
}

// Escape neither answers nor declines.
dialog.addEventListener("cancel", (event) => event.preventDefault());
dialog.addEventListener("close", () => {
  if (stopRinging) open();
});
