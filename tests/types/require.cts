import SinchClient = require("offhook");
import Inline = require("offhook/inline");

const client: SinchClient = new SinchClient({ applicationKey: "demo", capabilities: { calling: true } });
const call: SinchClient.Call = client.callUser("bob");
const listener: SinchClient.CallListener = { onCallEnded: (ended) => ended.getEndCause() };
call.addEventListener(listener);
const started: SinchClient.SinchPromise<void> = client.start({ token: "…" });
export = { started, inline: new Inline({ applicationKey: "demo" }).getVersion(), classes: [SinchClient.CallClient, SinchClient.default] };
