// Whom a person means by what is in the field: another user, a phone, or a SIP address.

export const TEST_NUMBER = "+46000000000";

const KINDS = {
  user: { method: "callUser", words: (to) => `Calls ${to} on this server.` },
  phone: { method: "callPhoneNumber", words: (to) => `Calls the phone ${to}.` },
  sip: { method: "callSip", words: (to) => `Calls the SIP address ${to}.` },
};

/**
 * @param {string} text as it was typed: numbers may have blanks, dashes, dots, brackets, and 00 in place of the +
 * @returns {{ kind: "user"|"phone"|"sip", method: string, to: string, words: string }}
 */
export function destination(text) {
  const name = text.trim();
  const number = name.replace(/[\s().\-/]/g, "").replace(/^00/, "+");
  let [kind, to] = ["user", name];
  if (/^(\+[0-9a-z]*|[0-9]{7,})$/i.test(number)) [kind, to] = ["phone", number];
  else if (/^sip:|@/.test(name)) kind = "sip";
  const { method, words } = KINDS[kind];
  return { kind, method, to, words: words(to) };
}
