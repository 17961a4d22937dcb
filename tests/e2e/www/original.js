// A page as they were written for the Sinch JavaScript SDK 1.x: a phone with one button, which is dead during a call, and a box for text
// messages. It has every habit of such pages that the SDK bears with: headers that are a string, listeners with a name, `answer()` on a call
// of its own, the error by its old name.
(() => {
  const element = (id) => /** @type {any} */ (document.getElementById(id));
  const log = (list, text) => (element(list).appendChild(document.createElement("li")).textContent = text);
  const warnings = [];
  const warn = console.warn.bind(console);
  console.warn = (...words) => (warnings.push(String(words[0])), warn(...words));

  const sinchClient = new SinchClient({
    applicationKey: "demo",
    capabilities: { calling: true, messaging: true },
    supportActiveConnection: true,
  });
  sinchClient.startActiveConnection();

  const messageClient = sinchClient.getMessageClient();
  messageClient.addEventListener({ onIncomingMessage: (message) => log("message-log", message.textBody) });

  const callClient = sinchClient.getCallClient();
  /** @type {any} */ (callClient).addEventListener("onIncomingCall", () => log("call-log", "never told"));
  let call;
  const callListeners = {
    onCallProgressing: () => log("call-log", "Ringing..."),
    onCallEstablished: (call) => {
      element("incoming").srcObject = call.incomingStream;
      log("call-log", "Answered");
    },
    onCallEnded: (call) => {
      element("call").disabled = false;
      element("hangup").disabled = true;
      log("call-log", `Call ended: ${call.getEndCause()}`);
      if (call.errors) log("call-log", `Failure: ${call.errors.message}`);
    },
  };

  element("call-form").addEventListener("submit", (event) => {
    event.preventDefault();
    element("call").disabled = true;
    element("hangup").disabled = false;
    call = callClient.callPhoneNumber(element("number").value, /** @type {any} */ ("voice"));
    call.addEventListener(callListeners);
    call.answer();
  });
  element("hangup").addEventListener("click", () => call && call.hangup());
  element("message-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const message = messageClient.newMessage(element("recipient").value, element("message").value);
    messageClient
      .send(message, undefined, (error) => log("message-log", `Not sent: ${error.message}`))
      .fail(() => log("message-log", "and the promise fails, too"));
  });

  window.e2e = /** @type {any} */ ({
    client: sinchClient,
    ready: () => typeof SinchClient === "function",
    warnings,
    sip: () => seen.sip.map(({ out, text }) => `${out ? ">" : "<"} ${text}`).join("\n"),
    open: () => ({
      tracks: seen.tracks.filter((track) => track.readyState === "live").length,
      peers: seen.peers.filter(({ peer }) => peer.signalingState !== "closed").length,
    }),
  });
})();
