// `require("offhook")` is the constructor itself; the other classes and the types are its members.
declare namespace all {
  // API
}
declare const SinchClient: typeof all.SinchClient & typeof all & { default: typeof all.SinchClient };
type SinchClient = all.SinchClient;
declare namespace SinchClient {
  // TYPES
}
export = SinchClient;
