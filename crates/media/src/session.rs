//! The media of one call: a page, a SIP side, and the streams between them.
//!
//! ```text
//! page ══ str0m ── packets ──▶ numbering, clock    ──▶ peer ══ SIP side
//!          DTLS, SRTP     ◀── flow: codecs, DTMF  ◀──   RTP or SRTP
//!                         ◀── prompt
//! ```
//!
//! Each side gets a stream of the gateway with its own SSRC, sequence numbers and reports: a received packet is decrypted, checked,
//! renumbered and encrypted. Commands are executed in order; they wait while a pair of ports is being bound.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_ua::log::{Plain, millis};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use tracing::{debug, info};

use super::engine::{Output, Socket};
use super::flow::{Flow, Outgoing};
use super::page::{FromPage, Page, PageContext, PageOutput, Shared};
use super::peer::{Kind, Peer, events_for};
use super::port::{Codec, Command, Event, Leg, MediaError, PeerSettings, Security, SessionId, Traffic};
use super::prompt::Playing;
use super::rtp::{Header, Numbering, Place, Reception};
use super::sdp::{Events, clock};

/// The largest number of commands that wait for a pair of ports.
const WAITING: usize = 32;

/// How many changes of the source address of the SIP side a session logs.
const MOST_SOURCES_LOGGED: u8 = 8;

/// What the engine provides to a session during a call.
pub struct Context<'a> {
    /// The time.
    pub now: Instant,
    /// The state that all pages share.
    pub shared: &'a Shared,
    /// The address of the gateway in the SDP for the SIP side, unless its settings have another.
    pub address: IpAddr,
    /// How long nothing may be received from a side.
    pub silence: Duration,
    /// A source of randomness.
    pub random: &'a mut Random,
    /// The queue for outputs.
    pub out: &'a mut VecDeque<Output>,
}

impl<'a> Context<'a> {
    const fn page(&self) -> PageContext<'a> {
        PageContext { shared: self.shared, now: self.now }
    }

    fn emit(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }
}

/// The ports of a session for RTP and RTCP.
enum Ports {
    /// Not needed yet.
    None,
    /// Requested by [`Output::Bind`].
    Awaited,
    /// The RTP port; RTCP has the next one.
    Bound(u16),
    /// Could not be bound.
    Refused(MediaError),
}

/// The media of one call.
pub struct Session {
    id: SessionId,
    /// The Call-ID, for the log.
    call: String,
    /// The codecs of page and SIP side that were logged last.
    logged: Option<(Codec, Codec)>,
    /// How many source addresses of the SIP side were logged.
    sources_logged: u8,
    /// The page's side.
    pub page: Page,
    peer: Peer,
    ports: Ports,
    waiting: VecDeque<Command>,
    to_page: Numbering,
    /// The transport of the page that `to_page` belongs to.
    transport: u64,
    /// The flows from the page to the SIP side, and back.
    inward: Flow,
    outward: Flow,
    prompt: Option<Playing>,
    /// The RTP clock of the stream to the page, Hz.
    page_clock: u32,
    page_stream: Option<Reception>,
    page_past: (u64, u64),
    /// Since when nothing was received from page and SIP side.
    silent_since: [Option<Instant>; 2],
    /// Whether the page has put the call on hold: it takes nothing, so the SIP side need not send (RFC 3264, 8.4).
    page_holds: bool,
    page_out: Vec<PageOutput>,
    /// An empty vector, which replaces `page_out` while that is processed.
    spare: Vec<PageOutput>,
    /// When the timer of this session is due; it may be too early.
    pub timer: Option<Instant>,
}

impl Session {
    /// Returns a session without any description.
    pub fn new(id: SessionId, call: String, settings: PeerSettings, cx: &mut Context<'_>) -> Self {
        debug!(call = %Plain(&call), session = id.0, "media begin");
        Self {
            id,
            call,
            logged: None,
            sources_logged: 0,
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
            page_holds: false,
            page_out: Vec::new(),
            spare: Vec::new(),
            timer: None,
        }
    }

    /// Executes a command, or queues it while ports are being bound.
    pub fn command(&mut self, cx: &mut Context<'_>, command: Command) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(command);
        } else {
            self.fail(cx, Leg::Page, MediaError::Busy);
        }
        self.run_commands(cx);
    }

    /// Takes the result of [`Output::Bind`].
    pub fn bound(&mut self, cx: &mut Context<'_>, port: Result<u16, MediaError>) {
        self.ports = port.map_or_else(Ports::Refused, Ports::Bound);
        self.run_commands(cx);
    }

    fn run_commands(&mut self, cx: &mut Context<'_>) {
        while !matches!(self.ports, Ports::Awaited) {
            let Some(command) = self.waiting.pop_front() else { return };
            let wants_ports = matches!(command, Command::Offer { leg: Leg::Peer, .. } | Command::Offered { leg: Leg::Peer, .. });
            if wants_ports && matches!(self.ports, Ports::None) {
                self.ports = Ports::Awaited;
                cx.out.push_back(Output::Bind(self.id));
                self.waiting.push_front(command);
            } else {
                self.execute(cx, command);
            }
        }
    }

    fn execute(&mut self, cx: &mut Context<'_>, command: Command) {
        let session = self.id;
        match command {
            Command::Offered { leg, sdp, .. } => {
                let sdp = match leg {
                    Leg::Page => self.page.offered(cx.page(), &sdp, &self.order(), cx.random),
                    Leg::Peer => self.address(cx).and_then(|address| self.peer.offered(address, &sdp, cx.random)),
                };
                self.negotiated(cx, leg, sdp.is_ok());
                cx.emit(Event::Answer { session, leg, sdp });
            }
            Command::Offer { leg, .. } => {
                let sdp = match leg {
                    Leg::Page => self.page.offer(cx.page(), &self.order(), cx.random),
                    Leg::Peer => self.address(cx).map(|address| self.peer.offer(address, self.page_sends(), cx.random)),
                };
                cx.emit(Event::Offer { session, leg, sdp });
            }
            Command::Answered { leg, sdp, .. } => {
                let result = match leg {
                    Leg::Page => self.page.answered(cx.page(), &sdp, &self.order()),
                    Leg::Peer => self.address(cx).and_then(|address| self.peer.answered(address, &sdp)),
                };
                self.negotiated(cx, leg, result.is_ok());
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
                    cx.emit(Event::Played { session });
                }
            }
            Command::SendDigit { leg: Leg::Page, digit, duration, .. } => {
                if let Some(events) = self.page_events() {
                    self.outward.send_digit(cx.now, &self.to_page, events, digit, duration);
                }
            }
            Command::SendDigit { leg: Leg::Peer, digit, duration, .. } => {
                if let Some(events) = self.peer.events() {
                    self.inward.send_digit(cx.now, &self.peer.numbering, events, digit, duration);
                }
            }
            // The engine executes these.
            Command::Open { .. } | Command::Close { .. } => {}
        }
        self.send_due(cx);
        self.drain(cx);
    }

    /// Returns the local RTP address for the SDP of the SIP side; an error of binding is returned once.
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

    /// Returns the order in which codecs are offered to a page, so that as little as possible has to be transcoded: the codec that
    /// the SIP side has chosen, then those that it may choose.
    fn order(&self) -> Vec<Codec> {
        let chosen = self.peer.codec().map(|(codec, _)| codec);
        let others = self.peer.settings.codecs.iter().copied().filter(|codec| Some(*codec) != chosen);
        chosen.into_iter().chain(others).collect()
    }

    fn page_events(&self) -> Option<Events> {
        events_for(&self.page.events, self.page_clock)
    }

    fn page_sends(&self) -> bool {
        !self.page.is_negotiated() || self.page.sends()
    }

    /// Descriptions were exchanged with a side: from now on it has to send.
    fn negotiated(&mut self, cx: &mut Context<'_>, leg: Leg, successful: bool) {
        if self.page.transport != self.transport {
            self.transport = self.page.transport;
            self.to_page = Numbering::new(0, cx.random.below(1 << 48));
            self.end_page_stream();
        }
        if successful {
            self.silent_since[leg as usize] = Some(cx.now);
            let held = std::mem::replace(&mut self.page_holds, self.page.is_negotiated() && !self.page.takes());
            if held && !self.page_holds {
                self.silent_since[Leg::Peer as usize] = Some(cx.now);
            }
            self.log_codecs();
        }
    }

    /// Logs the codecs of both sides when they are known, and when they change.
    fn log_codecs(&mut self) {
        let Some((page, peer)) = self.page.codecs.first().zip(self.peer.codec()).map(|((page, _), (peer, _))| (*page, peer)) else {
            return;
        };
        if self.logged.replace((page, peer)) == Some((page, peer)) {
            return;
        }
        let (call, transcoded) = (Plain(&self.call), payload_type_for(page, self.peer.codecs()).is_none());
        let trunk_srtp = self.peer.settings.security == Security::Sdes;
        info!(%call, page = ?page, trunk = ?peer, transcoded, trunk_srtp, "codecs");
    }

    fn fail(&self, cx: &mut Context<'_>, leg: Leg, error: MediaError) {
        debug!(call = %Plain(&self.call), side = side(leg), ?error, "media cannot go on");
        cx.emit(Event::Failed { session: self.id, leg, error });
    }

    /// Takes a datagram from an address of the page.
    pub fn receive_from_page(&mut self, cx: &mut Context<'_>, source: SocketAddr, bytes: &[u8]) {
        self.silent_since[Leg::Page as usize] = Some(cx.now);
        self.page.receive(cx.page(), source, bytes, &mut self.page_out);
        self.drain(cx);
    }

    /// Takes a datagram on one of the two ports.
    pub fn receive_from_peer(&mut self, cx: &mut Context<'_>, socket: Socket, source: SocketAddr, bytes: &mut [u8]) {
        let before = (self.peer.source(), self.peer.refused);
        if matches!(socket, Socket::Rtcp(_)) {
            self.peer.receive_report(cx.now, source, bytes);
            return self.log_source(before, source);
        }
        let sends = self.peer.sends();
        let received = self.peer.receive(cx.now, source, bytes);
        self.log_source(before, source);
        let Some(received) = received.filter(|_| sends) else { return };
        match received.kind {
            Kind::Event(events) => self.outward.receive_event(cx.now, events.clock, &received.header, received.payload),
            Kind::Sound(_) if self.prompt.is_some() || !self.page.receives() => return,
            Kind::Sound(codec) => match payload_type_for(codec, &self.page.codecs) {
                Some(_) if self.outward.is_busy() => return,
                Some(payload_type) => {
                    self.outward.pass();
                    self.page_clock = clock(codec);
                    let place = self.to_page.forward(cx.now, &received.header, received.number, clock(codec));
                    let head = (payload_type, place, received.header.marker || place.fresh);
                    self.page.send(cx.page(), head, received.payload, &mut self.page_out);
                    return self.drain(cx);
                }
                None => {
                    let Some(to) = self.page.codecs.first().copied() else { return };
                    self.page_clock = clock(to.0);
                    self.outward.code(cx.now, codec, to, &received.header, received.payload);
                }
            },
        }
        self.send_due(cx);
        self.drain(cx);
    }

    /// Logs a new source address of the SIP side, and the first packet from a source that is not accepted; `before` is the state
    /// before this packet. A session logs only a few, because anybody can send packets.
    fn log_source(&mut self, before: (Option<SocketAddr>, u64), source: SocketAddr) {
        let (call, heard) = (Plain(&self.call), self.peer.source());
        if let Some(from) = heard.filter(|_| heard != before.0 && self.sources_logged < MOST_SOURCES_LOGGED) {
            let words = if self.sources_logged == 0 { "first packet" } else { "heard from another address" };
            debug!(%call, side = "trunk", %from, "{words}");
            self.sources_logged += 1;
        }
        if before.1 == 0 && self.peer.refused > 0 {
            debug!(%call, side = "trunk", from = %source, "a packet is not taken");
        }
    }

    /// Takes an RTP packet of the page.
    fn forward(&mut self, cx: &mut Context<'_>, packet: &FromPage) {
        let header = &packet.header;
        if let Some(events) = self.page.events.iter().copied().find(|events| events.payload_type == header.payload_type) {
            self.count(cx.now, header, events.clock);
            self.inward.receive_event(cx.now, events.clock, header, &packet.payload);
            return self.send_due(cx);
        }
        let Some((codec, _)) = self.page.codecs.iter().copied().find(|(_, pt)| *pt == header.payload_type) else { return };
        self.count(cx.now, header, clock(codec));
        if !self.peer.receives() || packet.payload.is_empty() {
            return;
        }
        match payload_type_for(codec, self.peer.codecs()) {
            Some(_) if self.inward.is_busy() => {}
            Some(payload_type) => {
                self.inward.pass();
                let place = self.peer.numbering.forward(cx.now, header, packet.number, clock(codec));
                self.send_peer(cx, (payload_type, place, header.marker || place.fresh), &packet.payload);
            }
            None => {
                if let Some(to) = self.peer.codec() {
                    self.inward.code(cx.now, codec, to, header, &packet.payload);
                    self.send_due(cx);
                }
            }
        }
    }

    fn send_peer(&mut self, cx: &mut Context<'_>, head: (u8, Place, bool), payload: &[u8]) {
        if let Some((destination, bytes)) = self.peer.send(cx.now, head, payload) {
            cx.out.push_back(Output::Send { socket: Socket::Rtp(self.id), destination, bytes });
        }
    }

    /// Sends everything that is due: transcoded sound, DTMF digits, the prompt.
    fn send_due(&mut self, cx: &mut Context<'_>) {
        let (mut out, mut digits) = (Vec::new(), Vec::new());
        if let Some(fraction) = self.peer.loss.take().filter(|_| self.peer.uses_fec()) {
            self.inward.set_loss(fraction);
        }
        let events = self.peer.events();
        self.inward.poll(cx.now, &mut self.peer.numbering, events, &mut out, &mut digits);
        for Outgoing { payload_type, place, marker, payload } in out.drain(..).filter(|_| self.peer.receives()).collect::<Vec<_>>()
        {
            self.send_peer(cx, (payload_type, place, marker), &payload);
        }
        self.emit_digits(cx, Leg::Page, &mut digits);

        let events = self.page_events();
        self.outward.poll(cx.now, &mut self.to_page, events, &mut out, &mut digits);
        if self.prompt.is_some() {
            out.clear();
        }
        self.play(cx, &mut out);
        for Outgoing { payload_type, place, marker, payload } in out {
            if self.page.receives() {
                self.page.send(cx.page(), (payload_type, place, marker), &payload, &mut self.page_out);
            }
        }
        self.emit_digits(cx, Leg::Peer, &mut digits);
    }

    fn play(&mut self, cx: &mut Context<'_>, out: &mut Vec<Outgoing>) {
        let (Some(playing), Some(codec), true) = (&mut self.prompt, self.page.codecs.first(), self.page.receives()) else { return };
        self.page_clock = clock(codec.0);
        if playing.poll(cx.now, &mut self.to_page, *codec, out) {
            self.prompt = None;
            cx.emit(Event::Played { session: self.id });
        }
    }

    fn emit_digits(&self, cx: &mut Context<'_>, leg: Leg, digits: &mut Vec<(char, u32)>) {
        for (digit, duration) in digits.drain(..) {
            cx.emit(Event::Digit { session: self.id, leg, digit, duration });
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

    /// Processes the outputs of the page's side.
    fn drain(&mut self, cx: &mut Context<'_>) {
        while !self.page_out.is_empty() {
            let mut batch = std::mem::replace(&mut self.page_out, std::mem::take(&mut self.spare));
            for output in batch.drain(..) {
                match output {
                    PageOutput::Send(destination, bytes) => {
                        cx.out.push_back(Output::Send { socket: Socket::Page, destination, bytes })
                    }
                    PageOutput::Packet(packet) => self.forward(cx, &packet),
                    PageOutput::Loss(fraction) if self.page.uses_fec => self.outward.set_loss(fraction),
                    PageOutput::Loss(_) => {}
                    PageOutput::Connected => {
                        debug!(call = %Plain(&self.call), "the page is connected");
                        cx.emit(Event::Connected { session: self.id });
                        self.send_due(cx);
                    }
                    PageOutput::Failed(error) => self.fail(cx, Leg::Page, error),
                }
            }
            self.spare = batch;
        }
    }

    /// Handles the passing of time.
    pub fn timeout(&mut self, cx: &mut Context<'_>) {
        if self.page.deadline().is_some_and(|at| at <= cx.now) {
            self.page.timeout(cx.page(), &mut self.page_out);
        }
        self.send_due(cx);
        self.drain(cx);
        if let Some((destination, mux, bytes)) = self.peer.report(cx.now) {
            let socket = if mux { Socket::Rtp(self.id) } else { Socket::Rtcp(self.id) };
            cx.out.push_back(Output::Send { socket, destination, bytes });
        }
        for leg in [Leg::Page, Leg::Peer] {
            if self.silent_at(leg, cx.silence).is_some_and(|at| at <= cx.now) {
                self.silent_since[leg as usize] = Some(cx.now);
                info!(call = %Plain(&self.call), side = side(leg), milliseconds = millis(cx.silence), "nothing came for too long");
                cx.emit(Event::Silent { session: self.id, leg });
            }
        }
    }

    /// Returns when a side counts as vanished. A page is heard even on hold: browsers send consent checks every few seconds (RFC
    /// 7675). The SIP side need not send while either side holds the call.
    fn silent_at(&self, leg: Leg, silence: Duration) -> Option<Instant> {
        let since = match leg {
            Leg::Page => self.silent_since[0].filter(|_| self.page.is_negotiated()),
            Leg::Peer => self.silent_since[1].max(self.peer.heard).filter(|_| self.peer.must_send() && !self.page_holds),
        };
        since.map(|since| since + silence)
    }

    /// Returns when [`Session::timeout`] is due.
    #[must_use]
    pub fn deadline(&self, silence: Duration) -> Option<Instant> {
        let prompt = self.prompt.as_ref().filter(|_| self.page.receives());
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

    /// Whether it has ports to release, or is going to have them.
    #[must_use]
    pub const fn has_ports(&self) -> bool {
        matches!(self.ports, Ports::Awaited | Ports::Bound(_))
    }

    /// Logs the end of the session and its traffic; jitter is in milliseconds.
    pub fn log_end(&self) {
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

    /// Returns the traffic of the session.
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

/// Returns the name of a side in the log.
const fn side(leg: Leg) -> &'static str {
    match leg {
        Leg::Page => "page",
        Leg::Peer => "trunk",
    }
}

/// Returns the payload type with which a side takes this codec; `None` where it has to be transcoded.
fn payload_type_for(codec: Codec, accepted: &[(Codec, u8)]) -> Option<u8> {
    accepted.iter().find(|(other, _)| *other == codec).map(|(_, payload_type)| *payload_type)
}
