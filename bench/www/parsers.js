// The three parsers, each as its library calls it when a message comes, on one message.
import JsSipParser from "jssip/lib/Parser.js";
import { Parser as SipJsParser } from "sip.js/lib/core";
import { initSync, read } from "parser";
import { invite } from "./messages.js";

/** What its parser asks of a log. */
const silent = /** @type {any} */ ({ warn() {}, debug() {}, error() {}, log() {} });

window.parsers = {
  message: invite(),
  offhook: (text) => read(text) > 0,
  jssip: (text) => JsSipParser.parseMessage(text, {}) !== undefined,
  sipjs: (text) => SipJsParser.parseMessage(text, silent) !== undefined,
};

/** Microseconds for one message, over about `ms` milliseconds. */
window.time = (library, ms) => {
  const { message, [library]: parse } = window.parsers;
  const began = performance.now();
  let count = 0;
  let took = 0;
  while (took < ms) {
    for (let i = 0; i < 10; i++) if (!parse(message)) throw new Error(`${library} refuses the message`);
    count += 10;
    took = performance.now() - began;
  }
  return (took * 1000) / count;
};

initSync({ module: await WebAssembly.compileStreaming(fetch("parser.wasm")) });
window.ready = true;
