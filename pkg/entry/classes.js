// What every entry exports, without what wasm-bindgen's glue needs for itself.
import { Call, CallClient, CallDetails, Message, MessageClient, SinchClient as Client } from "../wasm/offhook.js";
import { checkStarted } from "./start.js";

// Each client holds its listeners: if the wasm did, and a listener knew the client, the browser could collect neither.
const lists = /** @type {() => unknown} */ (Reflect.get(Client.prototype, "__lists"));
/** @type {WeakMap<Client, unknown>} */
const held = new WeakMap();

class SinchClient extends Client {
  /** @param {ConstructorParameters<typeof Client>[0]} config */
  constructor(config) {
    checkStarted();
    super(config);
    held.set(this, lists.call(this));
  }
}

// Not by way of the wasm, which has not started everywhere.
const value = (/** @type {unknown} */ value) => ({ value, configurable: true });
const classes = { Call, CallClient, CallDetails, Message, MessageClient };
for (const [name, one] of Object.entries(classes)) Object.defineProperty(SinchClient, name, value(one));

for (const [name, named] of Object.entries({ ...classes, SinchClient })) {
  // The classes keep their names in minified code.
  Object.defineProperty(named, "name", value(name));
}

for (const { prototype } of [...Object.values(classes), Client]) {
  // Pages have nothing to free: the browser tells the glue when an object is collected.
  for (const name of ["free", "__destroy_into_raw", "__lists", Symbol.dispose]) Reflect.deleteProperty(prototype, name);
  // The glue keeps an address in each object; the first one that it writes makes a property that nobody meets who lists them.
  Object.defineProperty(prototype, "__wbg_ptr", {
    set(address) {
      Object.defineProperty(this, "__wbg_ptr", { value: address, writable: true });
    },
  });
}

export { Call, CallClient, CallDetails, Message, MessageClient, SinchClient, SinchClient as default };
