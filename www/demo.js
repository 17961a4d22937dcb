// The demo page: sign in, then a phone. `/?user=alice&call=bob` fills in both names.

/** @import { Client, ConnectionState } from "../tests/www.d.ts" */

import { unlockAudio } from "./audio.js";
import { Devices } from "./devices.js";
import { destination } from "./destination.js";
import { byId, drawAvatar, show } from "./dom.js";
import { setTitle } from "./incoming.js";
import { CallLog } from "./log.js";
import { Phone } from "./phone.js";
import { signIn } from "./session.js";
import { errorWords } from "./words.js";

const REMEMBERED = "offhook-demo-user";
const CONNECTION = { connecting: "Connecting", connected: "Connected", reconnecting: "Reconnecting", closed: "Offline" };

const devices = new Devices(byId("remote-audio"), byId("peer-avatar"));
const phone = new Phone(devices);
/** @type {Client | null} */
let client = null;

unlockAudio();
byId("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(byId("user").value.trim());
});
byId("sign-out").addEventListener("click", leave);
byId("second-window").addEventListener("click", openSecondWindow);
byId("callee").addEventListener("input", nameSecondWindow);
begin();

function begin() {
  const query = new URLSearchParams(location.search);
  byId("callee").value = query.get("call") ?? "";
  const remembered = sessionStorage.getItem(REMEMBERED);
  byId("user").value = query.get("user") ?? remembered ?? "";
  show(byId("sign-in-view"), true);
  byId("user").focus();
  // A reload stays signed in: somebody who is calling meanwhile still gets through.
  if (remembered && remembered === byId("user").value) enter(remembered);
}

/** @param {string} userId */
async function enter(userId) {
  if (!userId || client || byId("sign-in").disabled) return;
  busy(true);
  try {
    client = await signIn(userId, (fresh) => prepare(fresh, userId), showConnection);
    await devices.tell(devices.attach(client.getCallClient()));
    sessionStorage.setItem(REMEMBERED, userId);
  } catch (error) {
    leave();
    byId("sign-in-error").textContent = errorWords(error);
    show(byId("sign-in-error"), true);
  } finally {
    busy(false);
  }
  if (client) openPhone(userId);
}

/**
 * Before the client starts: a call may be waiting already.
 * @param {Client} fresh
 * @param {string} userId
 */
function prepare(fresh, userId) {
  const log = new CallLog(userId, (name) => {
    phone.type(name);
    byId("callee").focus();
  });
  phone.attach(userId, fresh.getCallClient(), log);
}

/** @param {string} userId */
function openPhone(userId) {
  byId("me").textContent = userId;
  drawAvatar(byId("me-avatar"), userId);
  nameSecondWindow();
  setTitle(`${userId} – Offhook`);
  show(byId("sign-in-view"), false);
  show(byId("phone-view"), true);
  byId("callee").focus();
}

function leave() {
  phone.detach();
  client?.terminate();
  client = null;
  sessionStorage.removeItem(REMEMBERED);
  setTitle("Offhook");
  show(byId("phone-view"), false);
  show(byId("sign-in-view"), true);
  byId("user").focus();
}

/** @param {boolean} signingIn */
function busy(signingIn) {
  byId("sign-in").disabled = signingIn;
  byId("sign-in").textContent = signingIn ? "Signing in…" : "Sign in";
  if (signingIn) show(byId("sign-in-error"), false);
}

/** @param {ConnectionState} state */
function showConnection(state) {
  byId("connection").textContent = CONNECTION[state];
  byId("connection").dataset.connection = state;
}

/** The other person of the two-window trial: whoever is to be called. */
function nameSecondWindow() {
  const me = byId("me").textContent;
  const callee = byId("callee").value.trim();
  const person = callee && callee !== me && destination(callee).kind === "user";
  byId("second-name").textContent = person ? callee : me === "bob" ? "alice" : "bob";
}

function openSecondWindow() {
  const other = byId("second-name").textContent;
  phone.type(other);
  const query = new URLSearchParams({ user: other, call: byId("me").textContent });
  window.open(`?${query}`, "_blank", "popup,noopener,width=440,height=860");
}
