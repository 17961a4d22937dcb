import SinchClient from "offhook";
const client: SinchClient = new SinchClient({ applicationKey: "demo" });
const version: string = client.getVersion();
export { version };
