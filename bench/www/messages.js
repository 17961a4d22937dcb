// The SIP messages that the libraries are measured with.

const CRLF = "\r\n";

/** An INVITE with the offer of a browser, as a proxy passes it on. */
export function invite() {
  const head = [
    "INVITE sip:bob@8e2k1v0q4m7c.invalid;transport=ws SIP/2.0",
    "Record-Route: <sip:192.0.2.10:8080;transport=ws;lr=on;ftag=q8n2k4x7vd;nat=yes>",
    "Via: SIP/2.0/WS 192.0.2.10:8080;branch=z9hG4bK71b3.5c0f2c8d5a7e4f6b9d1e3a2c4b6d8f0e.0;i=1",
    "Via: SIP/2.0/WS 4u7r2m9d1k5c.invalid;rport=51422;received=198.51.100.7;branch=z9hG4bK2947310",
    "Max-Forwards: 69",
    "To: <sip:bob@example.com>",
    'From: "Alice Liddell" <sip:alice@example.com>;tag=q8n2k4x7vd',
    "Call-ID: m3u8cd6v1hs94qzpb7ek",
    "CSeq: 4712 INVITE",
    'Contact: <sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6>;+sip.instance="<urn:uuid:f81d4fae-7dec-41d0-a765-00a0c91e6bf6>"',
    "Content-Type: application/sdp",
    "Session-Expires: 90",
    "Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY",
    "Supported: timer,gruu,ice,replaces,outbound",
    "User-Agent: a phone in a page",
  ];
  const body = offer();
  return [...head, `Content-Length: ${body.length}`, "", body].join(CRLF);
}

function offer() {
  const lines = [
    "v=0",
    "o=- 4962303333179871722 2 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "a=msid-semantic: WMS 7f3a52c1-9b8d",
    "m=audio 49203 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126",
    "c=IN IP4 198.51.100.7",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=candidate:1467250027 1 udp 2122260223 198.51.100.7 49203 typ host generation 0",
    "a=candidate:3921834151 1 udp 2122194687 203.0.113.24 50118 typ host generation 0",
    "a=ice-ufrag:F7gI",
    "a=ice-options:trickle",
    "a=ice-pwd:x9cml/YzichV2+XlhiMu8g",
    "a=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08",
    "a=setup:actpass",
    "a=mid:0",
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=rtcp-fb:111 transport-cc",
    "a=fmtp:111 minptime=10;useinbandfec=1",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:110 telephone-event/48000",
    "a=rtpmap:126 telephone-event/8000",
    "a=ssrc:3570614608 cname:4TOk42mSjXCkVIa6",
  ];
  return lines.join(CRLF) + CRLF;
}

/** Runs in the page before its own scripts: a WebSocket whose server is here, in place of the browser's. `feed(n)` sends `n` OPTIONS, each
 *  in a task of its own, and resolves when each was answered with 200. */
export function fakeSocket() {
  const CRLF = "\r\n";
  let latest = null;
  let answered = () => {};

  class FakeSocket extends EventTarget {
    static OPEN = 1;
    OPEN = 1;
    readyState = 0;
    protocol = "sip";
    bufferedAmount = 0;

    constructor(url) {
      super();
      this.url = url;
      latest = this;
      setTimeout(() => ((this.readyState = 1), this.tell(new Event("open"))), 0);
    }

    tell(event) {
      this[`on${event.type}`]?.(event);
      this.dispatchEvent(event);
    }

    send(text) {
      if (text.startsWith("SIP/2.0 200 ")) answered();
      else if (text.startsWith("REGISTER ")) setTimeout(() => this.tell(new MessageEvent("message", { data: registered(text) })), 0);
    }

    close() {}
  }
  window.WebSocket = /** @type {any} */ (FakeSocket);

  function registered(request) {
    const copied = request.split(CRLF).filter((line) => /^(Via|From|To|Call-ID|CSeq|Contact):/i.test(line));
    const lines = copied.map((line) =>
      /^To:/i.test(line) ? `${line};tag=server` : /^Contact:/i.test(line) ? `${line};expires=600` : line,
    );
    return ["SIP/2.0 200 OK", ...lines, "Content-Length: 0", "", ""].join(CRLF);
  }

  function options(user, n) {
    const lines = [
      `OPTIONS sip:${user}@calls.test SIP/2.0`,
      `Via: SIP/2.0/WS 192.0.2.10:8080;branch=z9hG4bK71b3.${n}.5c0f2c8d5a7e4f6b9d1e.0`,
      `Via: SIP/2.0/WS 4u7r2m9d1k5c.invalid;rport=51422;received=198.51.100.7;branch=z9hG4bK29${n}`,
      "Max-Forwards: 69",
      `To: <sip:${user}@calls.test>`,
      `From: "Alice Liddell" <sip:alice@calls.test>;tag=q8n2k4x7vd${n}`,
      `Call-ID: m3u8cd6v1hs94qzpb7ek${n}`,
      "CSeq: 4712 OPTIONS",
      "Accept: application/sdp",
      "User-Agent: a phone in a page",
      "Content-Length: 0",
    ];
    return [...lines, "", ""].join(CRLF);
  }

  let serial = 0;
  window.feed = (user, count) =>
    new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
      const messages = Array.from({ length: count }, () => options(user, ++serial));
      let left = count;
      answered = () => --left === 0 && resolve();
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        latest.tell(new MessageEvent("message", { data: messages.pop() }));
        if (messages.length > 0) port2.postMessage(null);
        else port1.close();
      };
      port2.postMessage(null);
    });
}
