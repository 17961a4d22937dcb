//! What both sides of a call send to its media: descriptions and datagrams, in a life that is written in the bytes.

use std::net::SocketAddr;
use std::time::Duration;

use offhook_media::{
    Codec, Command, Engine, Epoch, Event, Input, Leg, Moment, Output, PeerSettings, Prompt, Security, SessionId, Settings, Socket,
};
use offhook_ua::time::Instant;

use super::steps;

const S: SessionId = SessionId(1);
const PAGES: ([u8; 4], u16) = ([198, 51, 100, 1], 4000);
const PAGE: ([u8; 4], u16) = ([203, 0, 113, 1], 5000);
const PHONE: ([u8; 4], u16) = ([192, 0, 2, 1], 4000);

/// A life: each step is a byte that says what happens, two with a length, and as many octets. Nothing panics, each command is answered as
/// often as its description says, and nothing is sent that no path takes.
pub fn media(data: &[u8]) {
    let mut life = Life::new();
    for (step, octets) in steps(data) {
        life.step(step, octets);
    }
    life.pass(60_000);
    life.command(Command::Close { session: S });
    assert_eq!(life.answers, life.asked, "answers to Offered, Offer, Close");
    assert!(life.engine.is_empty() && life.engine.deadline().is_none(), "what is over is forgotten");
}

struct Life {
    engine: Engine,
    now: Instant,
    /// How often was asked what has one answer, and how often answered: Offered, Offer, Close.
    asked: [u32; 3],
    answers: [u32; 3],
}

impl Life {
    fn new() -> Self {
        let now = Instant::from_millis(1_700_000_000_000);
        let page = vec![SocketAddr::from(PAGES)];
        let settings = Settings { page, address: PAGES.0.into(), silence: Duration::from_secs(30), sessions: 1 };
        let engine = Engine::new(settings, Epoch { gateway: now, std: Moment::now() }, [5; 32]);
        let mut life = Self { engine, now, asked: [0; 3], answers: [0; 3] };
        life.command(Command::Open { session: S, call: "c1".into(), peer: peer(false) });
        life
    }

    fn step(&mut self, step: u8, octets: &[u8]) {
        let text = || String::from_utf8_lossy(octets).into_owned();
        let number = octets.iter().fold(0_u64, |number, octet| (number << 8 | u64::from(*octet)) % 100_000);
        match step {
            b'o' => self.command(Command::Offered { session: S, leg: Leg::Page, sdp: text() }),
            b'O' => self.command(Command::Offered { session: S, leg: Leg::Peer, sdp: text() }),
            b'a' => self.command(Command::Answered { session: S, leg: Leg::Page, sdp: text() }),
            b'A' => self.command(Command::Answered { session: S, leg: Leg::Peer, sdp: text() }),
            b'q' => self.command(Command::Offer { session: S, leg: Leg::Page }),
            b'Q' => self.command(Command::Offer { session: S, leg: Leg::Peer }),
            b'f' => self.command(Command::Forget { session: S, peer: octets.first().map(|octet| peer(octet % 2 == 1)) }),
            b'p' => self.command(Command::Play { session: S, prompt: Prompt::Connected, times: 1 }),
            b'k' => self.send_digit(octets, number),
            b'd' => self.hear(Socket::Page, PAGE, octets),
            b'r' => self.hear(Socket::Rtp(S), PHONE, octets),
            b'c' => self.hear(Socket::Rtcp(S), (PHONE.0, PHONE.1 + 1), octets),
            b'w' => self.pass(number),
            _ => {}
        }
    }

    fn send_digit(&mut self, octets: &[u8], duration: u64) {
        let digit = octets.first().map_or('0', |octet| char::from(b"0123456789*#ABCD"[usize::from(octet % 16)]));
        self.command(Command::SendDigit { session: S, leg: Leg::Peer, digit, duration: duration as u32 });
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Offered { .. } => self.asked[0] += 1,
            Command::Offer { .. } => self.asked[1] += 1,
            Command::Close { .. } => self.asked[2] += 1,
            _ => {}
        }
        self.engine.handle(self.now, Input::Command(command));
        self.drain();
    }

    fn hear(&mut self, socket: Socket, source: ([u8; 4], u16), octets: &[u8]) {
        let bytes = &mut octets[..octets.len().min(2_048)].to_vec();
        self.engine.handle(self.now, Input::Datagram { socket, source: source.into(), bytes });
        self.drain();
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        // Sound that is coded has a deadline in each frame: of a long time only some of them.
        for _ in 0..500 {
            let Some(deadline) = self.engine.deadline().filter(|deadline| *deadline <= end) else { break };
            self.now = self.now.max(deadline);
            self.engine.handle(self.now, Input::Timeout);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::Bind(session) => self.engine.handle(self.now, Input::Bound { session, port: Ok(30_000) }),
                Output::Unbind(_) => {}
                Output::Send { bytes, .. } => assert!(bytes.len() <= 1_500, "{} octets in one datagram", bytes.len()),
                Output::Event(Event::Answer { .. }) => self.answers[0] += 1,
                Output::Event(Event::Offer { .. }) => self.answers[1] += 1,
                Output::Event(Event::Closed { .. }) => self.answers[2] += 1,
                Output::Event(_) => {}
            }
        }
    }
}

/// A trunk, one with all that differs from the usual.
fn peer(other: bool) -> PeerSettings {
    let codecs = vec![Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];
    let security = if other { Security::Sdes } else { Security::None };
    PeerSettings { codecs, security, address: None, nat: other, signalling: Vec::new(), eager: !other, info: other }
}
