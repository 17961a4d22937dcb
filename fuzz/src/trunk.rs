//! What other SIP servers send: streams that are torn anywhere, and a life of the trunks that is written in the bytes.

use std::time::Duration;

use offhook_sip::{StatusCode, parse, reply};
use offhook_trunk::Trunk;
use offhook_trunk::{ConnectionId, Event, Flow, Frame, Framer, Input, Output, Settings, TrunkId, Trunks, Wire};
use offhook_ua::time::Instant;

use super::steps;

const PROVIDER: ([u8; 4], u16) = ([192, 0, 2, 1], 5060);
const UNTRUSTED: ([u8; 4], u16) = ([203, 0, 113, 1], 5060);
const CONNECTION: ConnectionId = ConnectionId(1);
const INVITE: &str = "INVITE sip:+4670@192.0.2.1 SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:+4670@192.0.2.1>\r\nCall-ID: 1\r\n\
    CSeq: 1 INVITE\r\nContact: <sip:198.51.100.1>\r\nContent-Length: 0\r\n\r\n";

/// A stream gives the same frames however it arrives, and never holds more than a message may have.
pub fn framing(data: &[u8]) {
    let whole = frames(&[data]);
    let half = data.len() / 2;
    assert_eq!(whole, frames(&[&data[..half], &data[half..]]), "torn in the middle");
    assert_eq!(whole, frames(&data.chunks(1).collect::<Vec<_>>()), "octet by octet");
}

/// The messages of a stream up to its end, or to garbage.
fn frames(parts: &[&[u8]]) -> Vec<Frame> {
    let (mut framer, mut all) = (Framer::default(), Vec::new());
    for part in parts {
        framer.push(part);
        loop {
            match framer.poll() {
                Ok(Some(frame)) => all.push(frame),
                Ok(None) => break,
                Err(_) => return all,
            }
        }
    }
    all
}

/// A life: each step is a byte that says what happens, two with a length, and as many octets.
pub fn life(data: &[u8]) {
    let mut life = Life::new();
    for (step, octets) in steps(data) {
        life.step(step, octets);
    }
    life.pass(200_000);
    life.pass(200_000);
    assert!(life.trunks.footprint() < 100, "what is over is forgotten");
}

struct Life {
    trunks: Trunks,
    now: Instant,
    /// The last request that went out.
    asked: Option<String>,
}

impl Life {
    fn new() -> Self {
        let trunk = |name: &str, transport| Trunk {
            name: name.into(),
            address: "192.0.2.1".into(),
            transport,
            username: "us".into(),
            password: "secret".into(),
            watch: 300,
            ..Trunk::default()
        };
        let trunks = vec![trunk("udp", Wire::Udp), Trunk { nat: true, ..trunk("tcp", Wire::Tcp) }];
        let (domain, host) = ("b".into(), "198.51.100.1".into());
        let settings = Settings { domain, host, ports: [5060, 5060, 0], trunks, ..Settings::default() };
        Self { trunks: Trunks::new(settings, [7; 32]), now: Instant::from_millis(1_772_366_400_000), asked: None }
    }

    fn step(&mut self, step: u8, octets: &[u8]) {
        let bytes = octets.to_vec();
        match step % 9 {
            0 => self.handle(Input::Received { flow: Flow::Udp(PROVIDER.into()), bytes }),
            1 => {
                self.trunks.handle(self.now, Input::Received { flow: Flow::Udp(UNTRUSTED.into()), bytes });
                self.drain(true);
            }
            2 => self.handle(Input::Opened { connection: CONNECTION, peer: PROVIDER.into(), wire: Wire::Tcp, names: Vec::new() }),
            3 => self.handle(Input::Received { flow: Flow::Connection(CONNECTION), bytes }),
            4 => self.handle(Input::Closed { connection: CONNECTION }),
            5 => {
                let name = if octets.len().is_multiple_of(2) { "udp" } else { "tcp" };
                let key = self.trunks.request(self.now, &TrunkId(name.into()), INVITE.into());
                if octets.len().is_multiple_of(3) {
                    self.trunks.cancel(self.now, &key, None);
                }
                self.drain(false);
            }
            6 => self.pass(octets.len() as u64 * 100),
            7 => self.answer(octets),
            _ => self.handle(Input::Opened {
                connection: ConnectionId(2),
                peer: PROVIDER.into(),
                wire: Wire::Tcp,
                names: Vec::new(),
            }),
        }
    }

    /// The provider answers what it was asked last, with a code and fields out of the bytes.
    fn answer(&mut self, octets: &[u8]) {
        let Some(asked) = self.asked.clone() else { return };
        let Ok(request) = parse(asked.as_bytes()) else { return };
        let code = 100 + u16::from(octets.first().copied().unwrap_or(100)) * 2;
        let mut text = reply(&request, StatusCode::new(code).unwrap(), Some("theirs"));
        for line in String::from_utf8_lossy(octets.get(1..).unwrap_or_default()).lines() {
            if let Some((name, value)) = line.split_once(':') {
                text = text.field(name, value.trim());
            }
        }
        self.handle(Input::Received { flow: Flow::Udp(PROVIDER.into()), bytes: text.end().into() });
    }

    fn handle(&mut self, input: Input) {
        self.trunks.handle(self.now, input);
        self.drain(false);
    }

    fn drain(&mut self, untrusted: bool) {
        while let Some(output) = self.trunks.poll() {
            match output {
                Output::Send { flow, text } => {
                    assert!(!(untrusted && flow == Flow::Udp(UNTRUSTED.into())), "an untrusted source gets no octet");
                    assert!(parse(text.as_bytes()).is_ok(), "{text}");
                    if text.starts_with("INVITE ") {
                        self.asked = Some(text);
                    }
                }
                Output::Event(Event::Request { key: Some(key), message, .. }) => {
                    let refusal = reply(message.get(), StatusCode::BUSY_HERE, Some("ours")).end();
                    self.trunks.respond(self.now, &key, refusal);
                }
                _ => {}
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(deadline) = self.trunks.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }
}
