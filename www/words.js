// What the SDK says, in words for a person.

/** @import { Call, SinchError } from "../tests/www.d.ts" */

const STATES = {
  INITIATING: "Calling…",
  PROGRESSING: "Ringing…",
  ESTABLISHED: "Connected",
  ENDED: "Call ended",
};

/** @param {keyof typeof STATES} state */
export const stateWords = (state) => STATES[state];

/**
 * Why a call ended. `byMe`: this page's own hang-up button ended it.
 * @param {Call} call
 * @param {boolean} byMe
 */
export function causeWords(call, byMe) {
  const name = call.getRemoteUserId();
  const outgoing = Boolean(call.getDirection());
  switch (call.getEndCause()) {
    case "TIMEOUT":
      if (!outgoing) return "The call timed out.";
      return call.callDomain === "data" ? `${name} is not online.` : `${name} cannot be reached.`;
    case "DENIED":
      return outgoing ? `${name} declined, or is on another call.` : "You declined.";
    case "NO_ANSWER":
      return outgoing ? `${name} did not answer.` : "You did not answer.";
    case "HUNG_UP":
      return byMe ? "You hung up." : `${name} hung up.`;
    case "CANCELED":
      return outgoing ? "You gave up before the answer." : `${name} gave up before you answered.`;
    case "OTHER_DEVICE_ANSWERED":
      return "You answered on another device.";
    case "FAILURE":
      return failureWords(call.error, name, call.callDomain);
    default:
      return call.getEndCause();
  }
}

/** @typedef {Call["callDomain"]} Domain */

const nobody = (/** @type {string} */ name, /** @type {Domain} */ domain) =>
  domain === "data" ? `There is no user ${name}.` : `${name} does not exist.`;

/** @type {Record<string, (name: string, domain: Domain, error: SinchError) => string>} */
const REFUSALS = {
  402: () => "There is not enough credit for this call.",
  403: (name, domain, error) => (domain === "data" ? `You may not call ${name}.` : `You may not call ${name}: ${error.message}.`),
  404: nobody,
  408: (name) => `The connection to ${name} was lost.`,
  488: (name) => `${name} cannot take the call, perhaps for want of a microphone.`,
  503: () => "The server is too busy. Try again in a moment.",
  604: nobody,
};

/**
 * @param {SinchError | null} error
 * @param {string} name
 * @param {Domain} domain
 */
function failureWords(error, name, domain) {
  if (!error) return "The call failed.";
  // A SIP status, or a code of five digits that begins with one.
  const code = String(error.response?.errorCode ?? "").slice(0, 3);
  const words = REFUSALS[code];
  if (words && (domain === "data" || Number(code) < 500)) return words(name, domain, error);
  if (domain !== "data" && error.reason) return `${name} cannot be reached: ${error.reason}.`;
  return `The call failed: ${errorWords(error)}`;
}

/** One line for the list of calls. */
export const SHORT_CAUSE = {
  NONE: "",
  TIMEOUT: "Not online",
  DENIED: "Declined",
  NO_ANSWER: "No answer",
  FAILURE: "Failed",
  HUNG_UP: "Ended",
  CANCELED: "Canceled",
  OTHER_DEVICE_ANSWERED: "Answered elsewhere",
};

/** @type {Record<string, string>} */
const MEDIA_ERRORS = {
  NotAllowedError: "the browser was not allowed to use the microphone. Allow it in the address bar and try again.",
  NotFoundError: "no microphone was found.",
  NotReadableError: "the microphone is in use by another program.",
  OverconstrainedError: "the chosen microphone is not connected.",
};

/** @param {any} error whatever was thrown */
export function errorWords(error) {
  const message = String(error?.message || error || "unknown error");
  const media = Object.keys(MEDIA_ERRORS).find((name) => error?.name === name || message.includes(name));
  return media ? MEDIA_ERRORS[media] : message;
}

/**
 * Seconds as `m:ss` or `h:mm:ss`.
 * @param {number} seconds
 */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** @param {Date} date */
export function timeOfDay(date) {
  return new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }).format(date);
}
