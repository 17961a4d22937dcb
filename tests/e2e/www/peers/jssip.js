// A page with JsSIP in place of the SDK.
import JsSIP from "jssip";
import { ready, watch } from "./common.js";

const media = { mediaConstraints: { audio: true, video: false } };
let domain = null;

/** `config`: url, domain, and more options of JsSIP.UA. */
e2e.start = ({ login, config: { url, domain: home, ...options } }) => {
  e2e.client?.stop();
  domain = home;
  const { username, password } = login;
  const sockets = [new JsSIP.WebSocketInterface(url)];
  const ua = new JsSIP.UA({ sockets, uri: `sip:${username}@${domain}`, password, user_agent: "JsSIP", ...options });
  e2e.client = ua;
  ua.on("newRTCSession", ({ originator, session }) => originator === "remote" && observe(session)("onIncomingCall"));
  const result = new Promise((resolve) => {
    ua.on("registered", () => resolve({}));
    ua.on("registrationFailed", ({ response, cause }) => resolve({ error: { code: response?.status_code ?? null, message: cause } }));
    if (options.register === false) ua.on("connected", () => resolve({}));
  });
  ua.start();
  return result;
};

e2e.unregister = (options) => e2e.client.unregister(options);

e2e.call = (_, to, options) => {
  const session = e2e.client.call(`sip:${to}@${domain}`, { ...media, ...options });
  observe(session);
  return e2e.calls.length - 1;
};

function observe(session) {
  const note = watch({
    session,
    answer: () => session.answer(media),
    hangup: (code) => session.terminate(code ? { status_code: code } : {}),
    mute: () => session.mute({ audio: true }),
    unmute: () => session.unmute({ audio: true }),
    hold: () => session.hold(),
    holdOtherwise: () => session.hold({ useUpdate: true }),
    unhold: () => session.unhold(),
    sendDTMF: (keys) => session.sendDTMF(keys, { transportType: "RFC2833", interToneGap: 70 }),
    sendInfo: (key) => session.sendDTMF(key),
  });
  session.on("progress", ({ originator }) => originator === "remote" && note("onCallProgressing"));
  session.on("confirmed", () => note("onCallEstablished"));
  session.on("ended", ({ cause }) => note("onCallEnded", cause === "Terminated" ? "HUNG_UP" : cause));
  session.on("failed", ({ message, cause }) => {
    const code = message?.status_code ?? (cause === "Canceled" ? "CANCELED" : cause);
    note("onCallEnded", code === 487 ? "CANCELED" : code);
  });
  session.on("newDTMF", ({ originator, dtmf }) => {
    if (originator === "remote") return note("key", dtmf.tone);
    dtmf.on("succeeded", () => note("key taken", dtmf.tone));
    dtmf.on("failed", ({ response }) => note("key refused", response.status_code));
  });
  session.on("hold", ({ originator }) => note("hold", originator));
  session.on("unhold", ({ originator }) => note("unhold", originator));
  return note;
}

ready(`JsSIP ${JsSIP.version}`);
