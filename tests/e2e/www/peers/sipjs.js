// A page with SIP.js in place of the SDK.
import { Invitation, Inviter, version } from "sip.js";
import { SessionManager } from "sip.js/lib/platform/web";
import { ready, watch } from "./common.js";

let domain = null;
const calls = new Map(); // session → what notes its events

/** `config`: url, domain, and more options of SIP.js: `manager` for SessionManager, `agent` for UserAgent, `transport` for Transport. */
e2e.start = async ({ login, config: { url, domain: home, register = true, manager: more, agent, transport } }) => {
  await e2e.client?.disconnect();
  domain = home;
  const manager = new SessionManager(url, {
    aor: `sip:${login.username}@${domain}`,
    media: { constraints: { audio: true, video: false } },
    delegate,
    ...more,
    userAgentOptions: {
      authorizationUsername: login.username,
      authorizationPassword: login.password,
      logLevel: "error",
      // Its default is a STUN server of somebody else's.
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: { iceServers: [] } },
      transportOptions: { server: url, ...transport },
      ...agent,
    },
  });
  e2e.client = manager;
  await manager.connect();
  if (!register) return {};
  return new Promise((resolve) => {
    manager.register({
      requestDelegate: {
        onAccept: () => resolve({}),
        onReject: ({ message }) => resolve({ error: { code: message.statusCode, message: message.reasonPhrase } }),
      },
    });
  });
};

const delegate = {
  onCallCreated: (session) => calls.set(session, observe(session)),
  onCallReceived: (session) => {
    calls.get(session)("onIncomingCall");
    session.delegate.onCancel = () => calls.get(session)("onCallEnded", "CANCELED");
  },
  onCallAnswered: (session) => calls.get(session)("onCallEstablished"),
  // The reason, where there is one, is reported a moment later.
  onCallHangup: (session) => {
    const unanswered = session instanceof Inviter ? "CANCELED" : "Rejected";
    setTimeout(() => calls.get(session)("onCallEnded", session.established ? "HUNG_UP" : unanswered));
  },
  onCallDTMFReceived: (session, key) => calls.get(session)("key", key),
  onCallHold: (session, held) => calls.get(session)(held ? "hold" : "unhold", "local"),
};

e2e.unregister = () => e2e.client.unregister();

e2e.call = (_, to, options) => {
  const requestDelegate = {
    onProgress: () => note("onCallProgressing"),
    onReject: ({ message }) => note("onCallEnded", message.statusCode === 487 ? "CANCELED" : message.statusCode),
  };
  e2e.client.call(`sip:${to}@${domain}`, options, { requestDelegate });
  const note = [...calls.values()].at(-1);
  return e2e.calls.length - 1;
};

function observe(session) {
  const manager = () => e2e.client;
  session.stateChange.addListener((state) => (session.established ||= state === "Established"));
  const note = watch({
    session,
    answer: () => manager().answer(session),
    hangup: (code) => (code && session instanceof Invitation ? session.reject({ statusCode: code }) : manager().hangup(session)),
    mute: () => manager().mute(session),
    unmute: () => manager().unmute(session),
    hold: () => manager().hold(session),
    holdOtherwise: () => {
      const modify = async ({ type, sdp }) => ({ type, sdp: sdp.replace("a=sendonly", "a=inactive") });
      session.sessionDescriptionHandlerModifiersReInvite = [modify];
      return manager().hold(session);
    },
    unhold: () => manager().unhold(session),
    sendDTMF: (keys) => session.sessionDescriptionHandler.sendDtmf(keys, { duration: 100, interToneGap: 70 }),
    sendInfo: (key) => {
      const body = { contentDisposition: "render", contentType: "application/dtmf-relay", content: `Signal=${key}\r\nDuration=2000` };
      const requestDelegate = {
        onAccept: () => note("key taken", key),
        onReject: ({ message }) => note("key refused", message.statusCode),
      };
      return session.info({ requestOptions: { body }, requestDelegate });
    },
  });
  return note;
}

ready(`SIP.js ${version}`);
