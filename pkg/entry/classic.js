// `offhook.js`: the classic script. `new SinchClient(…)` works in the next inline script.
import { SinchClient } from "./inline.js";

if (typeof window !== "undefined") window.SinchClient = SinchClient;
