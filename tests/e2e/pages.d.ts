// What the scripts of the test pages (www/) put on the page for each other, and for the functions that tests run there.
import type * as offhook from "../../pkg/dist/index.js";

/** What happened to a call: `at` in ms of the page's clock; the states and integers as the call gave them in the listener. */
interface CallEvent {
  name: string;
  at: number;
  state?: offhook.CallState;
  stateInt?: number;
  cause?: string | number | null;
  causeInt?: number;
  more?: unknown;
}

interface CallEntry {
  /** The call: of the SDK, or what peers/*.js make of a call of another library. */
  call: any;
  outgoing?: boolean;
  events: CallEvent[];
  extra: CallEvent[];
  created: number;
}

/** The app of a test page: www/page.js, with parts replaced by peers/*.js where the page has another library. */
interface E2e {
  /** A SinchClient, or the user agent of another library. */
  client: any;
  calls: CallEntry[];
  answerAtOnce: boolean;
  faults: unknown[];
  ready(): boolean;
  library?: string;
  [method: string]: any;
}

/** What www/before.js keeps. */
interface Seen {
  peers: { peer: RTCPeerConnection; config?: RTCConfiguration; created: number; connected: number | null }[];
  tracks: MediaStreamTrack[];
  sip: { at: number; out: boolean; text: string }[];
  sockets: WebSocket[];
  lives: { at: number; text: string }[];
  closed: number[];
  violations: string[];
  errors: string[];
}

interface Sound {
  goertzel(samples: ArrayLike<number> & Iterable<number>, hertz: number, rate: number): number;
  measure(samples: Float32Array | number[], hertz: number[], rate: number): { rms: number; tone: number; share: number };
}

interface Ears {
  samples: { at: number; id: number; energy: number; packets: number }[];
  told: { at: number; what: string }[];
}

declare global {
  var SinchClient: typeof offhook.SinchClient;
  var e2e: E2e;
  var seen: Seen;
  var sound: Sound;
  /** jQuery, on the page of snippets. */
  var $: (selector: string) => any;

  interface PerformanceEntry {
    /** Of a navigation: why the page was not kept in the browser's cache. */
    notRestoredReasons?: unknown;
  }

  interface Window {
    microphone: {
      delay: number;
      refuse: string | null;
      never: boolean;
      /** In place of the browser's `getUserMedia`. */
      open?: (constraints?: MediaStreamConstraints) => Promise<MediaStream>;
    };
    holding?: boolean;
    ears: Ears;
    constructedAtOnce: string;
    elementErrors: string[];
    /** What the package left in tests/package/use.js. */
    RESULT: any;

    // What single tests keep on the page between two steps.
    answer?: string;
    attach: (call: offhook.Call) => void;
    back?: number;
    begin(name: string): Promise<{ made: string; started: any }>;
    call: offhook.Call;
    client: offhook.SinchClient;
    custom: MediaStream;
    device: HTMLAudioElement;
    executed: (string | null)[];
    made: Record<string, HTMLMediaElement>;
    notes: offhook.CallListener;
    outgoing: offhook.Call;
    outside: { call: offhook.Call };
    picture: HTMLVideoElement;
    refs: Record<string, WeakRef<object>>;
    rings: offhook.Call[];
    pictures: HTMLVideoElement[];
    ticks: number[];
    told: string[];
    took?: number;
  }
}
