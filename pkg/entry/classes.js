// What every entry exports. The classes keep their names in minified code.
import { Call, CallClient, CallDetails, SinchClient } from "../wasm/offhook.js";

for (const [name, value] of Object.entries({ Call, CallClient, CallDetails, SinchClient })) {
  Object.defineProperty(value, "name", { value: name, configurable: true });
}

export { Call, CallClient, CallDetails, SinchClient, SinchClient as default };
