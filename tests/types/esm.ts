import SinchClient, { Call, CallClient, ready } from "offhook";
import type { CallListener, SinchClientConfig, SinchError } from "offhook";
import Inline from "offhook/inline";
import Slim, { init, initSync } from "offhook/slim";

const config: SinchClientConfig = {
  applicationKey: "demo",
  capabilities: { calling: true },
  server: ["wss://a.example", "wss://b.example"],
};
const client: SinchClient = new SinchClient(config);
const calls: CallClient = client.getCallClient();

const listener: CallListener = {
  onCallEstablished: (call) => {
    const stream: MediaStream | undefined = call.incomingStream;
    return void stream;
  },
  onCreditLow: (call, seconds) => void [call.callDomain === "pstn", seconds.toFixed()],
  onCallEnded: (call) => {
    const error: SinchError | null = call.error;
    const queue: string | undefined = call.errors?.headers?.["x-queue"];
    const seconds: number = call.getDetails().duration;
    return void [error, queue, seconds, call.getEndCause() === "HUNG_UP"];
  },
};

calls.addEventListener({ onIncomingCall: (call) => call.answer() });
client
  .start(
    { userTicket: "…" },
    () => {},
    (error) => error.code,
  )
  .done(() => {
    const call: Call = calls.callUser("bob", { "x-reason": "lunch" });
    call.addEventListener(listener);
    calls.callPhoneNumber("+14155550101").addEventListener(listener);
    calls.callSip("alice@example.com", { "x-department": "sales" }).hangup();
  })
  .fail((error) => error);

client.addEventListener({
  onTokenWillExpire: (seconds) => client.updateToken({ userTicket: seconds.toFixed() }),
  onTokenExpired: (error) => void error.code,
});
client
  .updateToken(
    "…",
    () => {},
    (error) => error.code,
  )
  .done(() => {})
  .fail((error) => error);
// @ts-expect-error neither a token nor a login object
client.updateToken(7);

const messages = client.getMessageClient();
messages.addEventListener({ onIncomingMessage: (message) => message.textBody, onMessageDelivered: ({ messageId }) => messageId });
messages
  .send(
    messages.newMessage(["bob", "carol"], "Hello"),
    (message) => message.recipientIds,
    (error) => error.message,
  )
  .fail((error) => error);

// @ts-expect-error applicationKey is required
new SinchClient({});
// @ts-expect-error a call is made by a CallClient
new Call();
// @ts-expect-error not a login object
client.start({ user: "alice" });

// @ts-expect-error the browser frees it
client.free();

const version: string = new Inline(config).getVersion();
const started: Promise<unknown> = init({ module_or_path: "/offhook.wasm" });
initSync({ module: new ArrayBuffer(8) });
export { version, started, ready, Slim };
