/** What `new SinchClient(config)` takes. Only `applicationKey` is required. */
export interface SinchClientConfig {
  /** The name of your application at the server. */
  applicationKey: string;
  capabilities?: {
    /** Calls: without it `getCallClient()` throws. */
    calling?: boolean;
    /** Video in calls between users. */
    video?: boolean;
    /** Several calls at once; without it, whoever calls during a call finds this user busy. */
    multiCall?: boolean;
    /** Text messages, which are not there yet: `getMessageClient()` gives what pages of the original need, and sending fails. */
    messaging?: boolean;
    [name: string]: boolean | undefined;
  };
  /** Calls can be received once `startActiveConnection()` was called. */
  supportActiveConnection?: boolean;
  /** Calls can be received as soon as `start()` is done. */
  startActiveConnection?: boolean;
  /** How long a caller waits for the first sign of the callee, in milliseconds: 10500. */
  progressTimeout?: number;
  /** What incoming calls send instead of the microphone. */
  customStream?: MediaStream;
  /** Gets errors, and `{ progress, message, object }` for what goes on. */
  onLogMessage?: (message: LogMessage | SinchError) => void;
  /** Gets every signalling message, `→` sent and `←` received, with `[redacted]` in place of credentials. */
  onLogMxpMessage?: (message: string) => void;
  /** base64: with it `start({ username })` signs its own ticket. For demonstrations and back ends, never for a public page. */
  applicationSecret?: string;
  /** Another way to name the server, as the original SDK had it: `calling`, else `base`. */
  urlObj?: { base?: string; calling?: string; [name: string]: string | undefined };

  /**
   * Where the server is, the preferred one first. A `ws:` or `wss:` URL is used as it is; of an `http:` or `https:` URL only the origin
   * counts: `https://voice.example` means `wss://voice.example/sip?key=APPLICATION_KEY`. Without it: `urlObj`, then the attribute `data-server`
   * of the script tag of `offhook.js`, then where that script came from if that is a gateway, then where the page came from.
   */
  server?: string | string[];
  /** The SIP domain. Without it: the host name of the first server. */
  domain?: string;
  /** STUN and TURN servers. Without it: those that the server names. */
  iceServers?: RTCIceServer[];
  /** `"relay"`: media goes over TURN servers only. */
  iceTransportPolicy?: RTCIceTransportPolicy;
  /** `false`: the media path comes up at the answer and not during ringing, so that a callee who declines gives no address away. */
  connectWhileRinging?: boolean;
  /** How long a call waits for the first network address of this machine before it leaves, in milliseconds: 20. */
  candidateWait?: number;
  /** How long it may ring, in milliseconds: 45000. */
  answerTimeout?: number;
  /**
   * How long before a ticket or token runs out `onTokenWillExpire` is called, in milliseconds: 30000. Of one that lasts less than ten times
   * as long it is a tenth.
   */
  tokenRefreshMs?: number;
  /** The UUID of this device, where several clients of a page or a reloaded page shall be told apart, or be the same. */
  instanceId?: string;
}

export interface LogMessage {
  progress: string;
  message: string;
  object: object;
}

/** The ways to sign in. `expiresIn` is in seconds. */
export type Login =
  | { userTicket: string }
  | { token: string }
  | { username: string; password?: string; expiresIn?: number }
  | { email: string; password: string }
  | { number: string; password: string }
  | { authorization: string; user?: { identities: { type: string; endpoint: string }[] } }
  | Session;

/** What `getSession()` gives: keep it as JSON, and a later client can sign in with it. */
export interface Session {
  userId: string;
  sessionId: string;
  sessionSecret: string;
  pushNotificationDisplayName?: string;
}

export interface NewUser {
  username?: string;
  email?: string;
  number?: string;
  password: string;
}

/** A native promise with the methods that pages of the original SDK use. */
export interface SinchPromise<T> extends Promise<T> {
  then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): SinchPromise<A | B>;
  catch<B = never>(rejected?: ((reason: any) => B | PromiseLike<B>) | null): SinchPromise<T | B>;
  finally(settled?: (() => void) | null): SinchPromise<T>;
  /** `catch`. */
  fail<B = never>(rejected?: ((reason: any) => B | PromiseLike<B>) | null): SinchPromise<T | B>;
  /** `then`. */
  done<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): SinchPromise<A | B>;
  /** `finally`. */
  fin(settled?: (() => void) | null): SinchPromise<T>;
  /** Nothing here reports progress; the listener is never called. */
  progress(listener?: (value: any) => void): this;
}

/**
 * What goes wrong. Domains: 0 network, 1 capability, 2 session, 3 server, 5 misuse. Codes: 1000 no connection, 1001 no media path, or no
 * answer, 4000 refused by the server, 6001 microphone or browser, 6002 makes no sense now, 6003 bad argument, 6004 nobody listens. Of a call
 * that was refused or cut off it is the SIP status, such as 486, or the server's own code, such as 40200 for want of credit.
 */
export interface SinchError extends Error {
  name: "SinchError";
  domain: number;
  code: number;
  /** What the server said. */
  response: { errorCode?: number; message?: string; headers?: Record<string, string> };
  /** The server's reason in words. */
  reason?: string;
  /**
   * All header fields of the SIP message that refused the call or cut it off, such as `Warning`, `Retry-After`, `Reason` and those with `X-`.
   * Known names are written as RFC 3261 does, others as they came; several fields of one name are a list, with `, ` between.
   */
  headers?: Record<string, string>;
}

/** One user of one application. */
export class SinchClient {
  constructor(config: SinchClientConfig);
  static readonly Call: typeof Call;
  static readonly CallClient: typeof CallClient;
  static readonly CallDetails: typeof CallDetails;
  static readonly Message: typeof Message;
  static readonly MessageClient: typeof MessageClient;
  readonly applicationKey: string;
  readonly capabilities: SinchClientConfig["capabilities"];
  /** Who is signed in. */
  readonly user: { userId?: string };
  /** Whether `start()` was called and did not fail. */
  readonly started: boolean;
  readonly callClient?: CallClient;
  readonly messageClient?: MessageClient;
  /** The connection to the server. */
  readonly connectionState: ConnectionState;
  /**
   * Signs in. The callbacks run before anything given to `then`. The client lives until `terminate()`, also where the page drops it. A start
   * that fails as no server can be reached (0, 1000) says of each server why.
   */
  start(login: Login, success?: () => void, fail?: (error: SinchError) => void): SinchPromise<void>;
  /**
   * An addition to 1.x: goes on with another ticket or token of the same user, by itself or as a login object, or with another password.
   * Calls and the connection stay as they are. Where the server refuses it, what was signed in with before counts still. After
   * `onTokenExpired`, calls are received again from then on.
   */
  updateToken(login: string | Login, success?: () => void, fail?: (error: SinchError) => void): SinchPromise<void>;
  /** An addition to 1.x. */
  addEventListener(listener: ClientListener): void;
  /** An addition to 1.x. */
  removeEventListener(listener: ClientListener): void;
  /**
   * Ends calls and signs out; promises that are open are rejected (5, 6002). `start()` begins anew afterwards. Of a client that was not
   * started yet the next `start()` is rejected: a page whose ticket comes late has left it by then.
   */
  terminate(): void;
  /** @deprecated the old name of `terminate` */
  stop(): void;
  /** Makes a user at the server. What it gives can be passed to `start`. */
  newUser(user: NewUser, success?: (ticket: Login) => void, fail?: (error: SinchError) => void): SinchPromise<Login>;
  /** Empty before `start()` is done. */
  getSession(): Partial<Session>;
  /** Always the same object. Throws a `SinchError` (5, 6002) without the capability `calling`. */
  getCallClient(): CallClient;
  /** Always the same object. Throws a `SinchError` (5, 6002) without the capability `messaging`. */
  getMessageClient(): MessageClient;
  /** The same as `getCallClient().callUser`. */
  callUser(userId: string, headers?: CallHeaders, customStream?: MediaStream): Call;
  /** Begins to receive calls. Before `start()` it only says that `start()` shall, and gives `undefined`. */
  startActiveConnection(): SinchPromise<void> | undefined;
  /** Receives calls no longer. */
  stopActiveConnection(): SinchPromise<void> | undefined;
  getVersion(): string;
}

/** All handlers may be missing. They are called as methods of the listener. An addition to 1.x. */
export interface ClientListener {
  /** What was signed in with runs out in so many seconds: get another from your back end and pass it to `updateToken`. */
  onTokenWillExpire?(seconds: number): void;
  /**
   * The server takes the ticket, token or password no longer: no calls are received, and new ones fail, until `updateToken` has handed over
   * another. Calls that run go on. Told once.
   */
  onTokenExpired?(error: SinchError): void;
  /**
   * The SDK itself has failed, by a fault of its own that the console shows. All calls have ended with `FAILURE`, and the microphone is
   * closed. `start()`, of this client or of a new one, begins anew.
   */
  onError?(error: SinchError): void;
}

export type ConnectionState = "connecting" | "connected" | "reconnecting" | "closed";

/** At most 1024 bytes, names and values. What is no string is sent as JSON. Anything but an object counts as no headers, with a warning. */
export type CallHeaders = Record<string, unknown>;

/**
 * Places calls and tells of incoming ones. All methods that call give a `Call` at once, and listeners added before the page's code returns
 * miss nothing. What cannot be called, headers that cannot be sent and a stream that is none give a call, too: it sends nothing, and ends
 * with `FAILURE` and a `SinchError` (5, 6003) in `call.error` that says what is wrong.
 */
export class CallClient {
  private constructor();
  /** Calls a user: 1 to 255 bytes. */
  callUser(userId: string, headers?: CallHeaders, customStream?: MediaStream): Call;
  /** Calls a phone: E.164 with its `+`, or an emergency number of three to five digits, of which the gateway says whether it can be called. */
  callPhoneNumber(phoneNumber: string, headers?: CallHeaders, customStream?: MediaStream): Call;
  /** Calls a SIP address, `user@domain`. Names of headers begin with `x-`. A rejection by the remote party is in `call.error`. */
  callSip(sipAddress: string, headers?: CallHeaders, customStream?: MediaStream): Call;
  /** Calls a conference room: 1 to 64 characters. */
  callConference(conferenceId: string, headers?: CallHeaders, customStream?: MediaStream): Call;
  /**
   * Asks for the microphone before the first call, and keeps it open. With a stream of your own, calls send clones of its tracks instead, also those
   * under way, except calls that have a `customStream`; until `initStream()` without a stream, or `terminate()`. Rejects where no track of it is live.
   */
  initStream(customStream?: MediaStream | null, noVideo?: boolean): SinchPromise<MediaStream>;
  addEventListener(listener: CallClientListener): void;
  removeEventListener(listener: CallClientListener): void;
  /** The stream that calls share: your own, or the microphone while it is open. */
  readonly localMediaStream?: MediaStream;
}

/** All handlers may be missing. They are called as methods of the listener. */
export interface CallClientListener {
  onIncomingCall?(call: Call): void;
  /** The microphone is there for an incoming call; told once a call. */
  onMediaStream?(stream: MediaStream): void;
  onConnectionState?(state: ConnectionState): void;
  /** The connection to the server was lost and is being opened again. Calls go on. Told once, however often that is tried in vain. */
  onReconnecting?(): void;
  /** It is back, and calls are received again. */
  onReconnected?(): void;
}

export type CallState = "INITIATING" | "PROGRESSING" | "ESTABLISHED" | "ENDED";
export type CallEndCause = "NONE" | "TIMEOUT" | "DENIED" | "NO_ANSWER" | "FAILURE" | "HUNG_UP" | "CANCELED" | "OTHER_DEVICE_ANSWERED";

/** A call. There is one object for each. */
export class Call {
  private constructor();
  addEventListener(listener: CallListener): void;
  removeEventListener(listener: CallListener): void;
  /** Answers an incoming call. Where it has ended meanwhile, nothing happens; of an outgoing call there is a warning in the console. */
  answer(): void;
  /** Ends, cancels or declines. Throws a `SinchError` (5, 6002) where the call has ended. */
  hangup(): void;
  mute(): void;
  unmute(): void;
  /** Sends DTMF digits: `0-9 # * A-D`. */
  sendDTMF(digits: string): void;
  /** The same on both sides. */
  getCallId(): string;
  getDetails(): CallDetails;
  /** 1 outgoing, 0 incoming. */
  getDirection(): 0 | 1;
  /** User, number, room or SIP address. */
  getRemoteUserId(): string;
  getState(): CallState;
  getEndCause(): CallEndCause;
  /** Outgoing: what the page gave. Incoming: what came. */
  getHeaders(): CallHeaders | undefined;
  readonly callId: string;
  readonly fromId: string;
  readonly toId: string;
  /** The name that the caller shows, or `""`. */
  readonly displayName: string;
  readonly callDomain: "data" | "pstn" | "conference" | "sip";
  readonly callOutbound: boolean;
  /** INITIATING 0, PROGRESSING 1, ESTABLISHED 2, ENDED 3. */
  readonly callState: 0 | 1 | 2 | 3;
  /** NONE 0, TIMEOUT 1, DENIED 2, NO_ANSWER 3, FAILURE 4, HUNG_UP 5, CANCELED 6, OTHER_DEVICE_ANSWERED 7. */
  readonly callEndCause: 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
  readonly timeProgressing: Date | null;
  readonly timeEstablished: Date | null;
  readonly timeEnded: Date | null;
  /** The same object at each read. */
  readonly error: SinchError | null;
  /** The same object as `error`. */
  readonly errors: SinchError | null;
  readonly muted: boolean;
  readonly incomingStream?: MediaStream;
  /** One stream for the whole call. It has no track until the microphone is open, and `onLocalStream` tells of each change. */
  readonly outgoingStream: MediaStream;
  /** Written to the `src` of an audio or video element, it plays `incomingStream`. */
  readonly incomingStreamURL?: string;
  /** Written to the `src` of an audio or video element, it plays `outgoingStream`. */
  readonly outgoingStreamURL: string;
}

/** All handlers may be missing. They are called as methods of the listener. */
export interface CallListener {
  /** Caller only: it rings. */
  onCallProgressing?(call: Call): void;
  /**
   * It was answered. Or, in a call to a phone or a SIP address, the other network can be heard before that: its own ringing, an
   * announcement. Then there may be no `onCallProgressing`, the microphone stays silent until the answer, and the call may still end as
   * one that nobody answered.
   */
  onCallEstablished?(call: Call): void;
  onCallEnded?(call: Call): void;
  /** `outgoingStream` has its tracks; told again when it has others. */
  onLocalStream?(call: Call, stream: MediaStream): void;
  /**
   * A track that the call sends has ended, though nobody stopped it: its device is gone, or the permission. Of the SDK's own microphone or camera,
   * the default one is opened in its place, now or as soon as there is one, and `onLocalStream` tells when; until then the call goes on without.
   * A stream of the page is left to the page: `initStream` gives the call another one. An addition to 1.x.
   */
  onLocalTrackEnded?(call: Call, track: MediaStreamTrack): void;
  onRemoteTrack?(call: Call, stream: MediaStream): void;
  /** Every change of `iceConnectionState`, as the browser tells it. */
  onConnectionChange?(call: Call, state: RTCIceConnectionState): void;
  /** The sound of an established call is interrupted, and a way back is looked for: for 90 s, then the call ends with FAILURE. */
  onReconnecting?(call: Call): void;
  /** It is back; told once for each `onReconnecting`, unless the call ends first. */
  onReconnected?(call: Call): void;
  /** The credit that pays for the call lasts for so many seconds more; then the server ends it. */
  onCreditLow?(call: Call, seconds: number): void;
}

/** Text messages: there are none yet, and what is sent fails. */
export class MessageClient {
  private constructor();
  newMessage(recipients: string | string[], textBody: string, headers?: string): Message;
  /** Fails with a `SinchError` (5, 6002) that says so. */
  send(message: Message, success?: (message: Message) => void, fail?: (error: SinchError) => void): SinchPromise<never>;
  addEventListener(listener: MessageClientListener): void;
  removeEventListener(listener: MessageClientListener): void;
}

/** All handlers may be missing. None is called yet. */
export interface MessageClientListener {
  onIncomingMessage?(message: Message): void;
  onMessageDelivered?(info: { messageId: string; recipientId: string; timestamp: Date }): void;
}

export class Message {
  private constructor();
  readonly messageId: string;
  readonly recipientIds: string[];
  readonly senderId?: string;
  readonly textBody: string;
  readonly headers?: string;
  readonly timestamp: Date;
  /** 1: it is the page's own. */
  readonly direction: 0 | 1;
  readonly delivered: boolean;
}

/** A snapshot. */
export class CallDetails {
  private constructor();
  /** When it began to ring. */
  readonly startedTime: Date | null;
  readonly establishedTime: Date | null;
  readonly endedTime: Date | null;
  /** Seconds since the answer, or from it to the end. */
  readonly duration: number;
  readonly endCause: Call["callEndCause"];
  readonly error: SinchError | null;
}
