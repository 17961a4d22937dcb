// Hears every call of the page: "packet" when the first audio frame has arrived, "sound" when the first sound leaves the jitter buffer.

const METER = `registerProcessor("meter", class extends AudioWorkletProcessor {
  deaf = false;
  process([[samples]]) {
    if (this.deaf) return false;
    this.deaf = samples !== undefined && samples.some((sample) => Math.abs(sample) > 0.01);
    if (this.deaf) this.port.postMessage("");
    return true;
  }
});`;

const FRAMES = `onrtctransform = ({ transformer: { readable, writable } }) => {
  let first = true;
  const transform = (frame, controller) => {
    if (first) postMessage("");
    first = false;
    controller.enqueue(frame);
  };
  readable.pipeThrough(new TransformStream({ transform })).pipeTo(writable).catch(() => {});
};`;

const url = (script) => URL.createObjectURL(new Blob([script], { type: "text/javascript" }));

/** Makes every `RTCPeerConnection` of the page tell `note`. What listening costs is paid now, not in a call. */
export async function listen(note) {
  const context = new AudioContext();
  await context.audioWorklet.addModule(url(METER));
  const worker = new Worker(url(FRAMES));
  worker.onmessage = () => note("packet");
  const watch = (receiver) => (receiver.transform ??= new RTCRtpScriptTransform(worker));
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) {
      super(...given);
      this.addEventListener("track", ({ track, receiver }) => {
        watch(receiver);
        hear(context, track, () => note("sound"));
      });
    }
    // Whoever offers has its receivers from the start, and Chromium heeds no transform that comes later.
    addTransceiver(/** @type {Parameters<RTCPeerConnection["addTransceiver"]>} */ ...given) {
      const transceiver = super.addTransceiver(...given);
      watch(transceiver.receiver);
      return transceiver;
    }
    addTrack(/** @type {Parameters<RTCPeerConnection["addTrack"]>} */ ...given) {
      const sender = super.addTrack(...given);
      this.getTransceivers().forEach(({ receiver }) => watch(receiver));
      return sender;
    }
  };
}

function hear(context, track, tell) {
  const stream = new MediaStream([track]);
  // Chromium gives the sound of a remote track to nobody unless an element plays it.
  const element = new Audio();
  element.muted = true;
  element.srcObject = stream;
  element.play();
  const meter = new AudioWorkletNode(context, "meter");
  meter.port.onmessage = tell;
  context.createMediaStreamSource(stream).connect(meter).connect(context.destination);
}
