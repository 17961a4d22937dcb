// What the pages of the bench (www/) offer to the functions that the rows run there.

/** One library as a phone; www/offhook.js describes its shape. */
declare module "phone" {
  export class Phone {
    constructor(options: object, tell: (event: string) => void);
    register(): Promise<unknown>;
    call(user: string): void;
    answer(): void;
    hangup(): void;
  }
}

/** bench/parser, as wasm-pack makes it. */
declare module "parser" {
  export function read(text: string): number;
  export function initSync(options: { module: WebAssembly.Module }): void;
}

/** The bundled parsers of the libraries, which have no types of their own. */
declare module "jssip/lib/Parser.js" {
  export function parseMessage(text: string, agent: object): any;
}
declare module "jssip/lib/sanityCheck.js" {
  function sanityCheck(message: any, agent: object, transport: object): boolean;
  export = sanityCheck;
}

declare var bench: {
  note(name: string, at?: number): void;
  start(options: { delay?: number; [option: string]: unknown }): Promise<void>;
  forget(): void;
  call(user: string): number;
  answer(): number;
  hangup(): void;
  until(name: string, ms: number): number | null | Promise<number | null>;
  seen(name: string): number | null;
};

interface Window {
  feed(user: string, count: number): Promise<void>;
  parsers: { message: string; [library: string]: any };
  /** Microseconds for one message. */
  time(library: string, ms: number): number;
  ready?: boolean;
  wasmMemory: WebAssembly.Memory;
}
