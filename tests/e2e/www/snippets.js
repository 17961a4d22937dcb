// The listeners of the SDK's documentation, as a page has them, with jQuery.
const listeners = {
  // Connects every audio element of the page when the call is established.
  short: {
    onCallEstablished: function (call) {
      $("audio").attr("src", call.incomingStreamURL);
    },
  },
  // The ringback template.
  ringback: {
    onCallProgressing: function () {
      $("audio#ringback").prop("currentTime", 0);
      $("audio#ringback").trigger("play");
    },
    onCallEstablished: function (call) {
      $("audio#ringback").trigger("pause");
      $("audio#incoming").attr("src", call.incomingStreamURL);
    },
    onCallEnded: function () {
      $("audio#ringback").trigger("pause");
      $("audio#incoming").attr("src", "");
    },
  },
};

// `new SinchClient` works in the script right behind the SDK's.
window.constructedAtOnce = typeof new SinchClient({ applicationKey: "demo", capabilities: { calling: true } }).getCallClient;
window.elementErrors = [];
for (const element of document.querySelectorAll("audio")) {
  element.addEventListener("error", () => window.elementErrors.push(`${element.id}: ${element.error?.message}`));
}

e2e.snippet = (i, name) => e2e.calls[i].call.addEventListener(listeners[name]);
