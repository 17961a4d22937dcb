// Offhook as a phone of the bench. All adapters have the same shape: `register`, `call`, `answer`, `hangup`, and `tell(event)` for
// what the library says: "rings" (somebody calls), "ringing" (the callee rings), "up", "over".
import SinchClient from "offhook";

export class Phone {
  #client;
  #call = null;
  #login;
  #tell;

  constructor({ servers, domain, user, password, iceServers }, tell) {
    const reachable = { capabilities: { calling: true }, startActiveConnection: true };
    this.#client = new SinchClient({ applicationKey: "bench", ...reachable, server: servers, domain, iceServers });
    this.#login = { username: user, password };
    this.#tell = tell;
    this.#client.getCallClient().addEventListener({ onIncomingCall: (call) => (this.#take(call), tell("rings")) });
  }

  register() {
    return this.#client.start(this.#login);
  }

  call(user) {
    this.#take(this.#client.callUser(user));
  }

  answer() {
    this.#call.answer();
  }

  hangup() {
    this.#call?.hangup();
  }

  #take(call) {
    this.#call = call;
    call.addEventListener({
      onCallProgressing: () => this.#tell("ringing"),
      onCallEstablished: () => this.#tell("up"),
      onCallEnded: () => ((this.#call = null), this.#tell("over")),
    });
  }
}
