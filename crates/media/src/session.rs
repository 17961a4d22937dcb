//! The media of one call: a page and a SIP side, and what goes from one to the other.
//!
//! ```text
//! page ══ str0m ── packets ──▶ our numbers, our clock ──▶ peer ══ SIP side
//!          DTLS, SRTP     ◀── flow: codecs, keys       ◀──   RTP or SRTP
//!                         ◀── prompt
//! ```
//!
//! Each side has a stream of ours with its own SSRC, sequence numbers and reports; a packet that comes is decrypted, checked, numbered
//! anew and encrypted. Commands are obeyed in order; while a port pair is awaited, they wait.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_ua::log::{Plain, millis};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use tracing::{debug, info};

use super::engine::{Output, Socket};
use super::flow::{Flow, Outgoing};
use super::page::{FromPage, Page, PageOutput, Shared};
use super::peer::{Kind, Peer, events_for};
use super::port::{Codec, Command, Event, Leg, MediaError, PeerSettings, Security, SessionId, Traffic};
use super::prompt::Playing;
use super::rtp::{Header, Numbering, Place, Reception};
use super::sdp::{Events, clock};

/// Commands that may wait for a port pair.
const WAITING: usize = 32;

/// How often a session says from where its SIP side is heard.
const TOLD: u8 = 8;

/// What a session has from its engine for the time of a call.
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// What pages share.
    pub shared: &'a Shared,
    /// The address of ours in the SDP of the SIP side, unless its settings name another.
    pub address: IpAddr,
    /// How long a side may be silent.
    pub silence: Duration,
    /// A source of randomness.
    pub random: &'a mut Random,
    /// Where to put what is to be done.
    pub out: &'a mut VecDeque<Output>,
}

impl Context<'_> {
    fn tell(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }
}

/// Our ports for RTP and RTCP.
enum Ports {
    /// Not needed so far.
    None,
    /// Asked for.
    Awaited,
    /// The RTP port; RTCP has the next.
    Bound(u16),
    /// There are none for who asked.
    Refused(MediaError),
}

/// The media of one call.
pub struct Session {
    id: SessionId,
    /// The Call-ID, for the log.
    call: String,
    /// What each side sends first of all: page, SIP side; where both are known, it was told.
    told: Option<(Codec, Codec)>,
    /// How often it was told where the SIP side is heard from.
    moved: u8,
    /// The page's leg.
    pub page: Page,
    peer: Peer,
    ports: Ports,
    waiting: VecDeque<Command>,
    to_page: Numbering,
    /// The page's transport that `to_page` belongs to.
    transport: u64,
    /// From the page to the SIP side, and back.
    inward: Flow,
    outward: Flow,
    prompt: Option<Playing>,
    /// The clock of what the page gets.
    page_clock: u32,
    page_stream: Option<Reception>,
    page_past: (u64, u64),
    /// Since when each side has been silent: page, peer.
    silent_since: [Option<Instant>; 2],
    page_out: Vec<PageOutput>,
    /// An empty one, to take its place while it is worked off.
    spare: Vec<PageOutput>,
    /// When the timer of this session is set to go off; it may be too early.
    pub timer: Option<Instant>,
}

impl Session {
    /// A session in which nobody has said anything.
    pub fn new(id: SessionId, call: String, settings: PeerSettings, cx: &mut Context<'_>) -> Self {
        debug!(call = %Plain(&call), session = id.0, "media begin");
        Self {
            id,
            call,
            told: None,
            moved: 0,
            page: Page::default(),
            peer: Peer::new(settings, cx.now, cx.random),
            ports: Ports::None,
            waiting: VecDeque::new(),
            to_page: Numbering::new(0, cx.random.below(1 << 48)),
            transport: 0,
            inward: Flow::default(),
            outward: Flow::default(),
            prompt: None,
            page_clock: 0,
            page_stream: None,
            page_past: (0, 0),
            silent_since: [None; 2],
            page_out: Vec::new(),
            spare: Vec::new(),
            timer: None,
        }
    }

    /// Something is asked of it.
    pub fn command(&mut self, cx: &mut Context<'_>, command: Command) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(command);
        } else {
            self.fail(cx, Leg::Page, MediaError::Busy);
        }
        self.work(cx);
    }

    /// The ports that were asked for, or why there are none.
    pub fn bound(&mut self, cx: &mut Context<'_>, port: Result<u16, MediaError>) {
        self.ports = port.map_or_else(Ports::Refused, Ports::Bound);
        self.work(cx);
    }

    fn work(&mut self, cx: &mut Context<'_>) {
        while !matches!(self.ports, Ports::Awaited) {
            let Some(command) = self.waiting.pop_front() else { return };
            let wants_ports = matches!(command, Command::Offer { leg: Leg::Peer, .. } | Command::Offered { leg: Leg::Peer, .. });
            if wants_ports && matches!(self.ports, Ports::None) {
                self.ports = Ports::Awaited;
                cx.out.push_back(Output::Bind(self.id));
                self.waiting.push_front(command);
            } else {
                self.obey(cx, command);
            }
        }
    }

    fn obey(&mut self, cx: &mut Context<'_>, command: Command) {
        let session = self.id;
        match command {
            Command::Offered { leg, sdp, .. } => {
                let sdp = match leg {
                    Leg::Page => self.page.offered(cx.shared, cx.now, &sdp, &self.order(), cx.random),
                    Leg::Peer => self.address(cx).and_then(|address| self.peer.offered(address, &sdp, cx.random)),
                };
                self.agreed(cx, leg, sdp.is_ok());
                cx.tell(Event::Answer { session, leg, sdp });
            }
            Command::Offer { leg, .. } => {
                let sdp = match leg {
                    Leg::Page => self.page.offer(cx.shared, cx.now, &self.order(), cx.random),
                    Leg::Peer => self.address(cx).map(|address| self.peer.offer(address, self.page_gives(), cx.random)),
                };
                cx.tell(Event::Offer { session, leg, sdp });
            }
            Command::Answered { leg, sdp, .. } => {
                let result = match leg {
                    Leg::Page => self.page.answered(cx.shared, cx.now, &sdp, &self.order()),
                    Leg::Peer => self.address(cx).and_then(|address| self.peer.answered(address, &sdp)),
                };
                self.agreed(cx, leg, result.is_ok());
                if let Err(error) = result {
                    self.fail(cx, leg, error);
                }
            }
            Command::Forget { peer, .. } => {
                self.peer.forget(peer);
                self.silent_since[1] = None;
            }
            Command::Play { prompt, times, .. } => {
                if self.prompt.replace(Playing::new(prompt, times)).is_some() {
                    cx.tell(Event::Played { session });
                }
            }
            Command::Press { leg: Leg::Page, key, duration, .. } => {
                if let Some(events) = self.page_events() {
                    self.outward.press(cx.now, &self.to_page, events, key, duration);
                }
            }
            Command::Press { leg: Leg::Peer, key, duration, .. } => {
                if let Some(events) = self.peer.events() {
                    self.inward.press(cx.now, &self.peer.numbering, events, key, duration);
                }
            }
            // The engine's.
            Command::Open { .. } | Command::Close { .. } => {}
        }
        self.pump(cx);
        self.drain(cx);
    }

    /// Our RTP port with the address that the SIP side is told; a refusal counts once.
    fn address(&mut self, cx: &Context<'_>) -> Result<SocketAddr, MediaError> {
        match self.ports {
            Ports::Bound(port) => Ok(SocketAddr::new(self.peer.settings.address.unwrap_or(cx.address), port)),
            Ports::Refused(error) => {
                self.ports = Ports::None;
                Err(error)
            }
            Ports::None | Ports::Awaited => Err(MediaError::Broken),
        }
    }

    /// In which order a page is to be offered codecs, so that as little as possible has to be coded anew: what the SIP side has chosen, then
    /// what it may choose.
    fn order(&self) -> Vec<Codec> {
        let chosen = self.peer.codec().map(|(codec, _)| codec);
        let others = self.peer.settings.codecs.iter().copied().filter(|codec| Some(*codec) != chosen);
        chosen.into_iter().chain(others).collect()
    }

    fn page_events(&self) -> Option<Events> {
        events_for(&self.page.events, self.page_clock)
    }

    fn page_gives(&self) -> bool {
        !self.page.is_agreed() || self.page.gives()
    }

    /// SDP was exchanged with a side: from now on it is to be heard.
    fn agreed(&mut self, cx: &mut Context<'_>, leg: Leg, well: bool) {
        if self.page.transport != self.transport {
            self.transport = self.page.transport;
            self.to_page = Numbering::new(0, cx.random.below(1 << 48));
            self.end_page_stream();
        }
        if well {
            self.silent_since[leg as usize] = Some(cx.now);
            self.tell_codecs();
        }
    }

    /// Says in the log as what the sound goes, once both sides have said what they can, and whenever that changes.
    fn tell_codecs(&mut self) {
        let Some((page, peer)) = self.page.codecs.first().zip(self.peer.codec()).map(|((page, _), (peer, _))| (*page, peer)) else {
            return;
        };
        if self.told.replace((page, peer)) == Some((page, peer)) {
            return;
        }
        let (call, transcoded) = (Plain(&self.call), as_it_is(page, self.peer.codecs()).is_none());
        let trunk_srtp = self.peer.settings.security == Security::Sdes;
        info!(%call, page = ?page, trunk = ?peer, transcoded, trunk_srtp, "codecs");
    }

    fn fail(&self, cx: &mut Context<'_>, leg: Leg, error: MediaError) {
        debug!(call = %Plain(&self.call), side = side(leg), ?error, "media cannot go on");
        cx.tell(Event::Failed { session: self.id, leg, error });
    }

    /// A datagram from an address that has shown to be the page's.
    pub fn hear_page(&mut self, cx: &mut Context<'_>, source: SocketAddr, bytes: &[u8]) {
        self.silent_since[Leg::Page as usize] = Some(cx.now);
        self.page.receive(cx.shared, cx.now, source, bytes, &mut self.page_out);
        self.drain(cx);
    }

    /// A datagram on one of our two ports.
    pub fn hear_peer(&mut self, cx: &mut Context<'_>, socket: Socket, source: SocketAddr, bytes: &mut [u8]) {
        let before = (self.peer.source(), self.peer.refused);
        if matches!(socket, Socket::Rtcp(_)) {
            self.peer.receive_report(cx.now, source, bytes);
            return self.tell_source(before, source);
        }
        let gives = self.peer.gives();
        let received = self.peer.receive(cx.now, source, bytes);
        self.tell_source(before, source);
        let Some(received) = received.filter(|_| gives) else { return };
        match received.kind {
            Kind::Event(events) => self.outward.key(cx.now, events.clock, &received.header, received.payload),
            Kind::Sound(_) if self.prompt.is_some() || !self.page.takes() => return,
            Kind::Sound(codec) => match as_it_is(codec, &self.page.codecs) {
                Some(_) if self.outward.is_busy() => return,
                Some(payload_type) => {
                    self.outward.pass();
                    self.page_clock = clock(codec);
                    let place = self.to_page.forward(cx.now, &received.header, received.number, clock(codec));
                    let head = (payload_type, place, received.header.marker || place.fresh);
                    self.page.send(cx.shared, cx.now, head, received.payload, &mut self.page_out);
                    return self.drain(cx);
                }
                None => {
                    let Some(to) = self.page.codecs.first().copied() else { return };
                    self.page_clock = clock(to.0);
                    self.outward.code(cx.now, codec, to, &received.header, received.payload);
                }
            },
        }
        self.pump(cx);
        self.drain(cx);
    }

    /// Says in the log from where the SIP side is heard, where that is new, and which source was the first that is not listened to; `before`:
    /// as it was before this packet. No more than a few lines in a session: anybody can send packets.
    fn tell_source(&mut self, before: (Option<SocketAddr>, u64), source: SocketAddr) {
        let (call, heard) = (Plain(&self.call), self.peer.source());
        if let Some(from) = heard.filter(|_| heard != before.0 && self.moved < TOLD) {
            let words = if self.moved == 0 { "first packet" } else { "heard from another address" };
            debug!(%call, side = "trunk", %from, "{words}");
            self.moved += 1;
        }
        if before.1 == 0 && self.peer.refused > 0 {
            debug!(%call, side = "trunk", from = %source, "a packet is not taken");
        }
    }

    /// A packet of the page.
    fn forward(&mut self, cx: &mut Context<'_>, packet: &FromPage) {
        let header = &packet.header;
        if let Some(events) = self.page.events.iter().copied().find(|events| events.payload_type == header.payload_type) {
            self.count(cx.now, header, events.clock);
            self.inward.key(cx.now, events.clock, header, &packet.payload);
            return self.pump(cx);
        }
        let Some((codec, _)) = self.page.codecs.iter().copied().find(|(_, pt)| *pt == header.payload_type) else { return };
        self.count(cx.now, header, clock(codec));
        if !self.peer.takes() || packet.payload.is_empty() {
            return;
        }
        match as_it_is(codec, self.peer.codecs()) {
            Some(_) if self.inward.is_busy() => {}
            Some(payload_type) => {
                self.inward.pass();
                let place = self.peer.numbering.forward(cx.now, header, packet.number, clock(codec));
                self.send_peer(cx, (payload_type, place, header.marker || place.fresh), &packet.payload);
            }
            None => {
                if let Some(to) = self.peer.codec() {
                    self.inward.code(cx.now, codec, to, header, &packet.payload);
                    self.pump(cx);
                }
            }
        }
    }

    fn send_peer(&mut self, cx: &mut Context<'_>, head: (u8, Place, bool), payload: &[u8]) {
        if let Some((destination, bytes)) = self.peer.send(cx.now, head, payload) {
            cx.out.push_back(Output::Send { socket: Socket::Rtp(self.id), destination, bytes });
        }
    }

    /// What is due of what we make ourselves.
    fn pump(&mut self, cx: &mut Context<'_>) {
        let (mut out, mut pressed) = (Vec::new(), Vec::new());
        if let Some(fraction) = self.peer.missed.take().filter(|_| self.peer.takes_copies()) {
            self.inward.missed(fraction);
        }
        let events = self.peer.events();
        self.inward.poll(cx.now, &mut self.peer.numbering, events, &mut out, &mut pressed);
        for Outgoing { payload_type, place, marker, payload } in out.drain(..).filter(|_| self.peer.takes()).collect::<Vec<_>>() {
            self.send_peer(cx, (payload_type, place, marker), &payload);
        }
        self.tell_pressed(cx, Leg::Page, &mut pressed);

        let events = self.page_events();
        self.outward.poll(cx.now, &mut self.to_page, events, &mut out, &mut pressed);
        if self.prompt.is_some() {
            out.clear();
        }
        self.play(cx, &mut out);
        for Outgoing { payload_type, place, marker, payload } in out {
            if self.page.takes() {
                self.page.send(cx.shared, cx.now, (payload_type, place, marker), &payload, &mut self.page_out);
            }
        }
        self.tell_pressed(cx, Leg::Peer, &mut pressed);
    }

    fn play(&mut self, cx: &mut Context<'_>, out: &mut Vec<Outgoing>) {
        let (Some(playing), Some(codec), true) = (&mut self.prompt, self.page.codecs.first(), self.page.takes()) else { return };
        self.page_clock = clock(codec.0);
        if playing.poll(cx.now, &mut self.to_page, *codec, out) {
            self.prompt = None;
            cx.tell(Event::Played { session: self.id });
        }
    }

    fn tell_pressed(&self, cx: &mut Context<'_>, leg: Leg, pressed: &mut Vec<(char, u32)>) {
        for (key, duration) in pressed.drain(..) {
            cx.tell(Event::Pressed { session: self.id, leg, key, duration });
        }
    }

    fn count(&mut self, now: Instant, header: &Header, clock: u32) {
        if self.page_stream.as_ref().is_none_or(|stream| stream.ssrc != header.ssrc) {
            self.end_page_stream();
        }
        if self.page_stream.is_none() && self.page_past.0 == 0 {
            debug!(call = %Plain(&self.call), side = "page", payload_type = header.payload_type, "first packet");
        }
        self.page_stream.get_or_insert_with(|| Reception::new(header)).take(now, header, clock);
    }

    fn end_page_stream(&mut self) {
        if let Some(stream) = self.page_stream.take() {
            self.page_past = (self.page_past.0 + stream.received, self.page_past.1 + stream.lost());
        }
    }

    /// Does what the page's leg wants done.
    fn drain(&mut self, cx: &mut Context<'_>) {
        while !self.page_out.is_empty() {
            let mut batch = std::mem::replace(&mut self.page_out, std::mem::take(&mut self.spare));
            for output in batch.drain(..) {
                match output {
                    PageOutput::Send(destination, bytes) => {
                        cx.out.push_back(Output::Send { socket: Socket::Page, destination, bytes })
                    }
                    PageOutput::Packet(packet) => self.forward(cx, &packet),
                    PageOutput::Missed(fraction) if self.page.takes_copies => self.outward.missed(fraction),
                    PageOutput::Missed(_) => {}
                    PageOutput::Connected => {
                        debug!(call = %Plain(&self.call), "the page is connected");
                        cx.tell(Event::Connected { session: self.id });
                        self.pump(cx);
                    }
                    PageOutput::Failed(error) => self.fail(cx, Leg::Page, error),
                }
            }
            self.spare = batch;
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, cx: &mut Context<'_>) {
        if self.page.deadline().is_some_and(|at| at <= cx.now) {
            self.page.timeout(cx.shared, cx.now, &mut self.page_out);
        }
        self.pump(cx);
        self.drain(cx);
        if let Some((destination, mux, bytes)) = self.peer.report(cx.now) {
            let socket = if mux { Socket::Rtp(self.id) } else { Socket::Rtcp(self.id) };
            cx.out.push_back(Output::Send { socket, destination, bytes });
        }
        for leg in [Leg::Page, Leg::Peer] {
            if self.silent_at(leg, cx.silence).is_some_and(|at| at <= cx.now) {
                self.silent_since[leg as usize] = Some(cx.now);
                info!(call = %Plain(&self.call), side = side(leg), milliseconds = millis(cx.silence), "nothing came for too long");
                cx.tell(Event::Silent { session: self.id, leg });
            }
        }
    }

    /// When a side counts as silent. A page is heard even when it is on hold: browsers ask for consent every few seconds (RFC 7675).
    fn silent_at(&self, leg: Leg, silence: Duration) -> Option<Instant> {
        let since = match leg {
            Leg::Page => self.silent_since[0].filter(|_| self.page.is_agreed()),
            Leg::Peer => self.silent_since[1].max(self.peer.heard).filter(|_| self.peer.must_send()),
        };
        since.map(|since| since + silence)
    }

    /// When [`Session::timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self, silence: Duration) -> Option<Instant> {
        let prompt = self.prompt.as_ref().filter(|_| self.page.takes());
        let all = [
            self.page.deadline(),
            self.peer.deadline(),
            self.inward.deadline(),
            self.outward.deadline(),
            prompt.and_then(Playing::deadline),
            self.silent_at(Leg::Page, silence),
            self.silent_at(Leg::Peer, silence),
        ];
        all.into_iter().flatten().min()
    }

    /// Whether it has, or will have, ports to give back.
    #[must_use]
    pub const fn has_ports(&self) -> bool {
        matches!(self.ports, Ports::Awaited | Ports::Bound(_))
    }

    /// Says in the log that it ends, and what went over it; jitter is in milliseconds.
    pub fn tell_end(&self) {
        let Traffic { from_page: page, from_peer: trunk, refused } = self.traffic();
        let page_ticks = self.page.codecs.first().map_or(1, |(codec, _)| codec.ticks());
        let page_jitter = self.page_stream.as_ref().map(|stream| stream.jitter() / page_ticks);
        info!(
            call = %Plain(&self.call),
            page_packets = page.0,
            page_lost = page.1,
            page_jitter,
            trunk_packets = trunk.0,
            trunk_lost = trunk.1,
            trunk_jitter = self.peer.jitter(),
            refused,
            "media ended"
        );
    }

    /// What went over it.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let page = self.page_stream.as_ref().map_or((0, 0), |stream| (stream.received, stream.lost()));
        Traffic {
            from_page: (self.page_past.0 + page.0, self.page_past.1 + page.1),
            from_peer: self.peer.traffic(),
            refused: self.peer.refused,
        }
    }
}

/// A side, as the log has it.
const fn side(leg: Leg) -> &'static str {
    match leg {
        Leg::Page => "page",
        Leg::Peer => "trunk",
    }
}

/// As which payload type sound can go to a side that has its codec.
fn as_it_is(codec: Codec, theirs: &[(Codec, u8)]) -> Option<u8> {
    theirs.iter().find(|(other, _)| *other == codec).map(|(_, payload_type)| *payload_type)
}
