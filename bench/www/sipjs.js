// SIP.js as a phone of the bench; see offhook.js for the shape. Its log to the console is off. `tuned`: it waits 1 ms for candidates.
import { Inviter, Registerer, RegistererState, SessionState, UserAgent } from "sip.js";

export class Phone {
  #ua;
  #domain;
  #session = null;
  #tell;

  constructor({ servers, domain, user, password, iceServers, tuned }, tell) {
    this.#domain = domain;
    this.#tell = tell;
    this.#ua = new UserAgent({
      uri: UserAgent.makeURI(`sip:${user}@${domain}`),
      transportOptions: { server: servers[0] },
      authorizationUsername: user,
      authorizationPassword: password,
      logBuiltinEnabled: false,
      sessionDescriptionHandlerFactoryOptions: { peerConnectionConfiguration: { iceServers }, ...(tuned && { iceGatheringTimeout: 1 }) },
      delegate: { onInvite: (invitation) => (this.#take(invitation), tell("rings")) },
    });
  }

  async register() {
    await this.#ua.start();
    const registerer = new Registerer(this.#ua);
    /** @type {Promise<void>} */
    const done = new Promise((resolve) => {
      registerer.stateChange.addListener((state) => state === RegistererState.Registered && resolve());
    });
    await registerer.register();
    return done;
  }

  call(user) {
    const inviter = new Inviter(this.#ua, UserAgent.makeURI(`sip:${user}@${this.#domain}`));
    this.#take(inviter);
    inviter.invite({ requestDelegate: { onProgress: ({ message }) => message.statusCode === 180 && this.#tell("ringing") } });
  }

  answer() {
    this.#session.accept();
  }

  hangup() {
    const session = this.#session;
    if (session?.state === SessionState.Established) session.bye();
    else if (session instanceof Inviter) session.cancel();
    else session?.reject();
  }

  #take(session) {
    this.#session = session;
    session.stateChange.addListener((state) => {
      if (state === SessionState.Established) this.#tell("up");
      if (state !== SessionState.Terminated) return;
      this.#session = null;
      this.#tell("over");
    });
  }
}
