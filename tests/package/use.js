// Runs in the pages: uses the SDK as far as it goes without a server, and leaves what it found in window.RESULT.
/* exported use */
function use(SinchClient, all = {}) {
  const client = new SinchClient({ applicationKey: "demo", capabilities: { calling: true } });
  const heard = [];
  const callClient = client.getCallClient();
  callClient.addEventListener({ onIncomingCall: (call) => heard.push(call) });
  let refused;
  try {
    new SinchClient({});
  } catch (error) {
    refused = error.name;
  }
  window.RESULT = {
    name: SinchClient.name,
    key: client.applicationKey,
    version: client.getVersion(),
    same: client.getCallClient() === callClient,
    refused,
    statics: typeof SinchClient.Call + " " + typeof SinchClient.CallClient,
    exports: Object.keys(all).sort().join(" "),
  };
}
