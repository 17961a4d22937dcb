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
  const call = callClient.callUser("bob");
  const listed = [];
  for (const object of [client, callClient, call]) for (const name in object) listed.push(name);
  window.RESULT = {
    name: SinchClient.name,
    key: client.applicationKey,
    version: client.getVersion(),
    same: client.getCallClient() === callClient,
    refused,
    // What only the glue of the wasm needs.
    hidden:
      !/free|__/.test(listed.join()) &&
      [client, callClient, call].every((object) => !("free" in object || "__destroy_into_raw" in object || Symbol.dispose in object)),
    statics: typeof SinchClient.Call + " " + typeof SinchClient.CallClient,
    exports: Object.keys(all).sort().join(" "),
  };
}
