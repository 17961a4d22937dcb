//! Virtual time and a virtual network around one engine: pages are str0m as a browser would use it, phones are values.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use offhook_media::{
    Codec, Command, Engine, Epoch, Event, Input, Leg, Moment, Output, PeerSettings, Security, SessionId, Settings, Socket,
};
use offhook_testing::phone::Phone;
use offhook_ua::time::Instant;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Candidate, Rtc};

pub const S: SessionId = SessionId(7);
/// The Call-ID of the session.
pub const CALL: &str = "c1";
pub const GATEWAY: &str = "198.51.100.1:4000";
pub const RTP_PORT: u16 = 30_000;
pub const SILENCE: u64 = 30_000;

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The engine and everything around it.
pub struct World {
    pub now: Instant,
    pub engine: Engine,
    pub epoch: Epoch,
    pub pages: Vec<Page>,
    pub phone: Phone,
    pub events: Vec<Event>,
    /// All datagrams to the SIP side: socket, destination, content.
    pub to_peer: Vec<(Socket, SocketAddr, Vec<u8>)>,
    /// Free ports.
    pub ports: u16,
    pub bound: u16,
    /// Whether this datagram from page to gateway is lost.
    pub lose: fn(u64) -> bool,
    datagrams: u64,
    /// Whether this datagram from gateway to page is lost.
    pub lose_to_page: fn(u64) -> bool,
    datagrams_to_page: u64,
    /// Packets from pages, if a test listens to them.
    pub tapped: Option<Vec<Vec<u8>>>,
    /// Datagrams of the gateway to addresses without a page.
    pub astray: usize,
}

impl World {
    pub fn new() -> Self {
        Self::with_sessions(10)
    }

    pub fn with_sessions(sessions: usize) -> Self {
        let now = Instant::from_millis(1_700_000_000_000);
        let epoch = Epoch { gateway: now, std: Moment::now() };
        let settings = Settings {
            page: vec![address(GATEWAY)],
            address: address(GATEWAY).ip(),
            silence: Duration::from_millis(SILENCE),
            sessions,
        };
        Self {
            now,
            engine: Engine::new(settings, epoch, [5; 32]),
            epoch,
            pages: Vec::new(),
            phone: Phone::new("203.0.113.9:6000"),
            events: Vec::new(),
            to_peer: Vec::new(),
            ports: 10,
            bound: 0,
            lose: |_| false,
            datagrams: 0,
            lose_to_page: |_| false,
            datagrams_to_page: 0,
            tapped: None,
            astray: 0,
        }
    }

    pub fn page(&mut self, at: &str) -> usize {
        self.pages.push(Page::new(address(at), self.epoch.moment(self.now)));
        self.pages.len() - 1
    }

    pub fn command(&mut self, command: Command) {
        self.engine.handle(self.now, Input::Command(command));
        self.settle();
    }

    pub fn open(&mut self, peer: PeerSettings) {
        self.command(Command::Open { session: S, call: CALL.into(), peer });
    }

    /// Returns the answer of the gateway to a page's offer.
    pub fn offered(&mut self, leg: Leg, sdp: String) -> Result<String, offhook_media::MediaError> {
        self.command(Command::Offered { session: S, leg, sdp });
        let answers = self.events.iter().rev();
        let mut answers = answers.filter_map(|event| match event {
            Event::Answer { leg: of, sdp, .. } if *of == leg => Some(sdp.clone()),
            _ => None,
        });
        answers.next().expect("an answer")
    }

    pub fn offer(&mut self, leg: Leg) -> Result<String, offhook_media::MediaError> {
        self.command(Command::Offer { session: S, leg });
        match self.events.last() {
            Some(Event::Offer { leg: of, sdp, .. }) if *of == leg => sdp.clone(),
            other => panic!("no offer but {other:?}"),
        }
    }

    pub fn answered(&mut self, leg: Leg, sdp: String) {
        self.command(Command::Answered { session: S, leg, sdp });
    }

    /// Returns a page that calls a phone with these codecs, both connected.
    pub fn call(&mut self, peer: PeerSettings, answer: &[(&str, u8)]) -> usize {
        self.call_as(peer, answer, |offer| offer)
    }

    /// The same; `write` changes the offer of the page.
    pub fn call_as(&mut self, peer: PeerSettings, answer: &[(&str, u8)], write: impl FnOnce(String) -> String) -> usize {
        let page = self.page("192.0.2.5:5000");
        self.open(peer);
        let offer = write(self.pages[page].offer());
        let sdp = self.offered(Leg::Page, offer).expect("an answer");
        self.pages[page].accept(&sdp);
        let offer = self.offer(Leg::Peer).expect("an offer");
        self.phone.heed(&offer);
        let answer = self.phone.sdp(answer);
        self.answered(Leg::Peer, answer);
        self.run(1_000);
        assert!(self.pages[page].rtc.is_connected());
        assert!(self.events.iter().any(|event| matches!(event, Event::Connected { .. })), "{:?}", self.events);
        page
    }

    /// Lets time pass.
    pub fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.now = self.now + Duration::from_millis(1);
            let moment = self.epoch.moment(self.now);
            if self.engine.deadline().is_some_and(|at| at <= self.now) {
                self.engine.handle(self.now, Input::Timeout);
            }
            for page in &mut self.pages {
                page.wake(moment);
            }
            self.settle();
        }
    }

    /// Sends a datagram from any address.
    pub fn inject(&mut self, socket: Socket, source: SocketAddr, mut bytes: Vec<u8>) {
        self.engine.handle(self.now, Input::Datagram { socket, source, bytes: &mut bytes });
        self.settle();
    }

    /// Sends a packet of the phone with this many octets of sound.
    pub fn phone_sends(&mut self, payload_type: u8, payload: &[u8], ticks: u32) {
        let packet = self.phone.packet(payload_type, payload, ticks);
        self.inject(Socket::Rtp(S), self.phone.at, packet);
    }

    pub fn page_sends(&mut self, page: usize, payload_type: u8, payload: &[u8], ticks: u32) {
        let moment = self.epoch.moment(self.now);
        self.pages[page].send(moment, payload_type, payload, ticks);
        self.settle();
    }

    /// Returns the RTP packets with this payload type that the phone has received.
    pub fn heard(&self, payload_type: u8) -> Vec<&[u8]> {
        let rtp = self.to_peer.iter().filter(|(socket, _, bytes)| *socket == Socket::Rtp(S) && bytes[1] & 0x7f == payload_type);
        rtp.map(|(_, _, bytes)| bytes.as_slice()).collect()
    }

    /// Delivers datagrams until there are none.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some(output) = self.engine.poll() {
                moved = true;
                self.perform(output);
            }
            for page in 0..self.pages.len() {
                let moment = self.epoch.moment(self.now);
                for (destination, mut bytes) in self.pages[page].drain(moment) {
                    moved = true;
                    self.datagrams += 1;
                    self.tapped.iter_mut().for_each(|tapped| tapped.push(bytes.clone()));
                    let source = self.pages[page].at;
                    if destination == address(GATEWAY) && !(self.lose)(self.datagrams) {
                        self.engine.handle(self.now, Input::Datagram { socket: Socket::Page, source, bytes: &mut bytes });
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send { socket: Socket::Page, destination, bytes } => {
                let moment = self.epoch.moment(self.now);
                self.datagrams_to_page += 1;
                match self.pages.iter_mut().find(|page| page.at == destination) {
                    Some(_) if (self.lose_to_page)(self.datagrams_to_page) => {}
                    Some(page) => page.receive(moment, &bytes),
                    None => self.astray += 1,
                }
            }
            Output::Send { socket, destination, bytes } => self.to_peer.push((socket, destination, bytes)),
            Output::Bind(session) => {
                let port = if self.bound < self.ports { Ok(RTP_PORT) } else { Err(offhook_media::MediaError::Busy) };
                self.bound += u16::from(port.is_ok());
                self.engine.handle(self.now, Input::Bound { session, port });
            }
            Output::Unbind(_) => self.bound -= 1,
            Output::Event(event) => self.events.push(event),
        }
    }
}

/// The media of a browser.
pub struct Page {
    pub rtc: Rtc,
    pub at: SocketAddr,
    pub mid: Option<Mid>,
    pub received: Vec<RtpPacket>,
    pub error: Option<String>,
    pending: Option<SdpPendingOffer>,
    wake_at: Option<Moment>,
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Sequence number and timestamp of the last packet.
    pub place: (u64, u32),
}

impl Page {
    fn new(at: SocketAddr, moment: Moment) -> Self {
        let mut rtc = Rtc::builder().set_rtp_mode(true).enable_pcmu(true, false).enable_pcma(true, false).enable_g722(true, false);
        let digits = str0m::format::FormatParams { telephone_event_max: Some(15), ..Default::default() };
        for (pt, clock) in [(126, str0m::media::Frequency::EIGHT_KHZ), (110, str0m::media::Frequency::FORTY_EIGHT_KHZ)] {
            rtc.codec_config().add_config(u8::into(pt), None, str0m::format::Codec::Tele, clock, None, digits);
        }
        let mut rtc = rtc.build(moment);
        rtc.add_local_candidate(Candidate::host(at, "udp").expect("a candidate"));
        let out = VecDeque::new();
        Self { rtc, at, mid: None, received: Vec::new(), error: None, pending: None, wake_at: None, out, place: (1, 0) }
    }

    pub fn offer(&mut self) -> String {
        let mut changes = self.rtc.sdp_api();
        self.mid = Some(changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None));
        let (offer, pending) = changes.apply().expect("a change");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub fn change(&mut self, direction: Option<Direction>) -> String {
        let mid = self.mid.expect("a line");
        let mut changes = self.rtc.sdp_api();
        match direction {
            Some(direction) => changes.set_direction(mid, direction),
            None => drop(changes.ice_restart(true)),
        }
        let (offer, pending) = changes.apply().expect("a change");
        self.pending = Some(pending);
        offer.to_sdp_string()
    }

    pub fn accept(&mut self, sdp: &str) {
        let answer = SdpAnswer::from_sdp_string(sdp).expect("an answer");
        let pending = self.pending.take().expect("an offer before");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("an answer that fits");
    }

    pub fn answer(&mut self, sdp: &str) -> String {
        let offer = SdpOffer::from_sdp_string(sdp).expect("an offer");
        let answer = self.rtc.sdp_api().accept_offer(offer).expect("an offer that can be answered").to_sdp_string();
        self.mid = answer.lines().find_map(|line| line.strip_prefix("a=mid:")).map(Mid::from);
        answer
    }

    pub fn send(&mut self, moment: Moment, payload_type: u8, payload: &[u8], ticks: u32) {
        let mid = self.mid.expect("a line");
        self.place = (self.place.0 + 1, self.place.1 + ticks);
        let packet = RtpWrite::new(payload_type.into(), self.place.0.into(), self.place.1, moment, payload);
        self.rtc.direct_api().stream_tx_by_mid(mid, None).expect("a stream").write_rtp(packet);
        self.rtc.handle_input(str0m::Input::Timeout(moment)).expect("alive");
    }

    fn wake(&mut self, moment: Moment) {
        if self.wake_at.is_none_or(|at| at <= moment) {
            // It may have ended, which `error` reports.
            drop(self.rtc.handle_input(str0m::Input::Timeout(moment)));
        }
    }

    fn receive(&mut self, moment: Moment, bytes: &[u8]) {
        let received = Receive::new(Protocol::Udp, address(GATEWAY), self.at, bytes).expect("a datagram");
        drop(self.rtc.handle_input(str0m::Input::Receive(moment, received)));
        self.collect();
    }

    fn collect(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(str0m::Output::Timeout(at)) => {
                    self.wake_at = Some(at);
                    return;
                }
                Ok(str0m::Output::Transmit(transmit)) => self.out.push_back((transmit.destination, transmit.contents.into())),
                Ok(str0m::Output::Event(str0m::Event::RtpPacket(packet))) => self.received.push(packet),
                Ok(str0m::Output::Event(_)) => {}
                Err(error) => {
                    self.error = Some(error.to_string());
                    return;
                }
            }
        }
    }

    fn drain(&mut self, _moment: Moment) -> Vec<(SocketAddr, Vec<u8>)> {
        self.collect();
        self.out.drain(..).collect()
    }

    pub fn codecs(&self) -> Vec<(str0m::format::Codec, u8)> {
        let media = self.rtc.media(self.mid.expect("a line")).expect("a line");
        let params = self.rtc.codec_config().params().iter().filter(|params| media.remote_pts().contains(&params.pt()));
        params.map(|params| (params.spec().codec, *params.pt())).collect()
    }
}

pub fn settings(codecs: &[Codec]) -> PeerSettings {
    let (codecs, security, signalling) = (codecs.to_vec(), Security::None, Vec::new());
    PeerSettings { codecs, security, address: None, nat: false, signalling, eager: true, info: false }
}

/// Returns a page's offer with only these payload types.
pub fn only(payload_types: &[u8], offer: &str) -> String {
    let kept = |line: &&str| {
        let format =
            line.strip_prefix("a=rtpmap:").or_else(|| line.strip_prefix("a=fmtp:")).or_else(|| line.strip_prefix("a=rtcp-fb:"));
        let format = format.and_then(|rest| rest.split(' ').next()?.parse::<u8>().ok());
        format.is_none_or(|format| payload_types.contains(&format))
    };
    let formats = payload_types.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    let line = |line: &str| match line.strip_prefix("m=audio ") {
        Some(_) => format!("m=audio 9 UDP/TLS/RTP/SAVPF {formats}\r\n"),
        None => format!("{line}\r\n"),
    };
    offer.lines().filter(kept).map(line).collect()
}

pub const PCMA: (&str, u8) = ("PCMA/8000", 8);
pub const EVENTS: (&str, u8) = ("telephone-event/8000", 101);
