// `require("offhook")` is the constructor itself; the other classes and the types are its members.
import type * as all from "./index.js" with { "resolution-mode": "import" };

declare const SinchClient: typeof all.SinchClient & typeof all;
type SinchClient = all.SinchClient;
declare namespace SinchClient {
  // TYPES
}
export = SinchClient;
