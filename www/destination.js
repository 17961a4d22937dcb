// Whom a person means by what is in the field: another user, a phone, or a SIP address.

export const TEST_NUMBER = "+46000000000";

/** @typedef {{ method: "callUser" | "callPhoneNumber" | "callSip", words: (to: string) => string }} Kind */

/** @type {Record<"user" | "phone" | "sip", Kind>} */
const KINDS = {
  user: { method: "callUser", words: (to) => `Calls ${to} on this server.` },
  phone: { method: "callPhoneNumber", words: (to) => `Calls the phone ${to}.` },
  sip: { method: "callSip", words: (to) => `Calls the SIP address ${to}.` },
};

/**
 * @param {string} text as it was typed: numbers may have blanks, dashes, dots, brackets, and 00 in place of the +
 * @returns {{ kind: keyof typeof KINDS, method: Kind["method"], to: string, words: string }}
 */
export function destination(text) {
  const name = text.trim();
  const number = name.replace(/[\s().\-/]/g, "").replace(/^00/, "+");
  if (/^(\+[0-9a-z]*|[0-9]{7,})$/i.test(number)) return to("phone", number);
  return to(/^sip:|@/.test(name) ? "sip" : "user", name);
}

/**
 * @param {keyof typeof KINDS} kind
 * @param {string} to
 */
function to(kind, to) {
  const { method, words } = KINDS[kind];
  return { kind, method, to, words: words(to) };
}
