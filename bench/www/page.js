// What every page of the bench does, whatever its library: it runs phones, notes when something happens, and listens to what arrives.
// Times are milliseconds of one clock for all pages of a browser.
import { Phone } from "phone";
import { listen } from "./ear.js";

const now = () => performance.timeOrigin + performance.now();
const noted = new Map();
const waiting = new Map();
const phones = [];
let microphoneDelay = 0;

/** Notes the first time of `name` since `forget()`. */
function note(name, at = now()) {
  if (noted.has(name)) return;
  noted.set(name, at);
  waiting.get(name)?.(at);
}

window.bench = {
  note,
  /** Makes a phone and signs it in. */
  async start({ delay = 0, ...options }) {
    microphoneDelay = delay;
    const phone = new Phone(options, (event) => note(event));
    phones.push(phone);
    await phone.register();
  },
  forget() {
    noted.clear();
    waiting.clear();
  },
  call(user) {
    const at = now();
    phones[0].call(user);
    return at;
  },
  answer() {
    const at = now();
    phones[0].answer();
    return at;
  },
  hangup: () => phones[0].hangup(),
  /** When `name` happened, waiting for it at most `ms`; null if it does not. */
  until(name, ms) {
    if (noted.has(name)) return noted.get(name);
    return new Promise((resolve) => {
      const late = setTimeout(() => resolve(null), ms);
      waiting.set(name, (at) => (clearTimeout(late), resolve(at)));
    });
  },
  seen: (name) => noted.get(name) ?? null,
};

const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (constraints) => {
  if (microphoneDelay > 0) await new Promise((resolve) => setTimeout(resolve, microphoneDelay));
  return open(constraints);
};

await listen(note);
note("loaded");
