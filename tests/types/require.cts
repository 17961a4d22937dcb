import SinchClient = require("offhook");

const client: SinchClient = new SinchClient({ applicationKey: "demo" });
const version: string = client.getVersion();
const call: SinchClient.Call | undefined = undefined;
export = { version, call, classes: [SinchClient.CallClient, SinchClient.default] };
