// What is on the pages of this folder: their elements, the SDK, and what the snippets define for each other.
import type {
  Call,
  CallClient,
  CallListener,
  ConnectionState,
  SinchClient as Client,
  SinchClientConfig,
  SinchError,
} from "../pkg/dist/index.js";

export type { Call, CallClient, CallListener, Client, ConnectionState, SinchClientConfig, SinchError };

/** The elements with an id that scripts use: those of index.html and of snippets.html. */
export interface ById
  extends
    Record<"answer" | "call" | "clear-log" | "decline" | "dial-toggle" | "erase" | "hangup" | "keypad-toggle", HTMLButtonElement>,
    Record<"mic-test" | "mute" | "second-window" | "sign-in" | "sign-out" | "speaker-test" | "test-number" | "top-up", HTMLButtonElement>,
    Record<
      "account" | "account-calls" | "account-empty" | "balance" | "top-up-error" | "call-panel" | "callee-hint" | "cause",
      HTMLElement
    >,
    Record<"connection" | "frequency" | "in-call" | "incoming-avatar" | "incoming-name" | "keypad" | "keypad-hint", HTMLElement>,
    Record<"keys" | "keys-sent" | "log" | "log-empty" | "me" | "me-avatar" | "meter" | "meter-in" | "notice", HTMLElement>,
    Record<"page-error" | "partner" | "peer" | "peer-avatar" | "peer-block" | "phone-view" | "price" | "second", HTMLElement>,
    Record<"second-name" | "sign-in-error" | "sign-in-view" | "sound-note" | "speaker-hint" | "state" | "timer", HTMLElement>,
    Record<"call-form" | "sign-in-form", HTMLFormElement>,
    Record<"callee" | "user", HTMLInputElement>,
    Record<"mic" | "speaker", HTMLSelectElement>,
    Record<"incoming" | "remote-audio" | "ringback", HTMLAudioElement>,
    Record<"incoming-call", HTMLDialogElement> {}

declare global {
  interface Window {
    /** Missing where /offhook.js did not load. */
    SinchClient?: typeof Client;
    call: Call;
    callClient: CallClient;
    callListeners: CallListener;
    sinchClient: Client & { started_?: Promise<void> };
  }
}
