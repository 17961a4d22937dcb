//! The sessions of one thread, as a state machine: commands, datagrams and time go in; datagrams, ports and events come out.
//!
//! Datagrams of pages arrive on one socket. They belong to the session that the user name of a binding request names, and from then
//! on to that of their source address, once str0m has checked the password of such a request. Datagrams from other addresses are
//! dropped, so that nobody who has not read the SDP can begin a DTLS handshake.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_ua::log::Plain;
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::timers::Timers;
use str0m::ice::StunMessage;
use tracing::warn;

use super::epoch::Epoch;
use super::page::{PageContext, Shared};
use super::port::{Command, Event, Leg, MediaError, PeerSettings, SessionId, Traffic};
use super::session::{Context, Session};

/// The largest number of source addresses of one page.
const SOURCES: usize = 8;

/// The settings of an engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses for pages, at most one of each family.
    pub page: Vec<SocketAddr>,
    /// The address in the SDP for the SIP side, unless its trunk has another.
    pub address: IpAddr,
    /// How long nothing may be received from a side before it counts as vanished.
    pub silence: Duration,
    /// The largest number of sessions.
    pub sessions: usize,
}

/// A socket of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    /// The socket for all pages.
    Page,
    /// The RTP port of a session.
    Rtp(SessionId),
    /// The RTCP port of a session.
    Rtcp(SessionId),
}

/// An input of an engine.
#[derive(Debug)]
pub enum Input<'a> {
    /// A command.
    Command(Command),
    /// A datagram was received; it is decrypted in place.
    Datagram {
        /// The socket that received it.
        socket: Socket,
        /// Its source address.
        source: SocketAddr,
        /// Its content.
        bytes: &'a mut [u8],
    },
    /// The answer to [`Output::Bind`]: the RTP port; the next port is for RTCP.
    Bound {
        /// The session.
        session: SessionId,
        /// The RTP port, or the error.
        port: Result<u16, MediaError>,
    },
    /// The deadline has passed.
    Timeout,
}

/// An output of an engine.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// The socket that sends it.
        socket: Socket,
        /// Its destination.
        destination: SocketAddr,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Bind a pair of ports for a session; answered by [`Input::Bound`].
    Bind(SessionId),
    /// Release the ports of a session.
    Unbind(SessionId),
    /// An event for the user of the engine.
    Event(Event),
}

/// The sessions of one thread.
///
/// Order of calls: [`Engine::handle`], then [`Engine::poll`] until it returns `None`, then [`Engine::deadline`].
pub struct Engine {
    settings: Settings,
    shared: Shared,
    random: Random,
    sessions: BTreeMap<SessionId, Session>,
    /// Sessions by the local user name fragment.
    names: BTreeMap<String, SessionId>,
    /// Sessions by the source addresses of their pages.
    sources: BTreeMap<SocketAddr, SessionId>,
    timers: Timers<SessionId>,
    out: VecDeque<Output>,
    /// How many datagrams belonged to no session.
    pub dropped: u64,
}

impl Engine {
    /// Returns an engine without sessions.
    #[must_use]
    pub fn new(settings: Settings, epoch: Epoch, seed: [u8; 32]) -> Self {
        Self {
            shared: Shared::new(settings.page.clone(), epoch),
            settings,
            random: Random::new(seed),
            sessions: BTreeMap::new(),
            names: BTreeMap::new(),
            sources: BTreeMap::new(),
            timers: Timers::default(),
            out: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Command(Command::Open { session, call, peer }) => self.open(now, session, call, peer),
            Input::Command(Command::Close { session }) => self.close(session),
            Input::Command(command) => self.command(now, command),
            Input::Datagram { socket: Socket::Page, source, bytes } => self.receive_from_page(now, source, bytes),
            Input::Datagram { socket: socket @ (Socket::Rtp(id) | Socket::Rtcp(id)), source, bytes } => {
                self.with(now, id, |session, cx| session.receive_from_peer(cx, socket, source, bytes));
            }
            Input::Bound { session, port } => {
                if self.with(now, session, |session, cx| session.bound(cx, port)).is_none() && port.is_ok() {
                    self.out.push_back(Output::Unbind(session));
                }
            }
            Input::Timeout => {
                while let Some(id) = self.timers.pop(now) {
                    self.with(now, id, |session, cx| {
                        session.timer = None;
                        session.timeout(cx);
                    });
                }
            }
        }
    }

    /// Returns the next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Returns when [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Iterates over all sessions.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// Returns the number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn open(&mut self, now: Instant, id: SessionId, call: String, peer: PeerSettings) {
        // Where there are too many sessions, the first command that has an answer is answered with the error.
        if self.sessions.len() < self.settings.sessions {
            let mut cx = context(&self.settings, &self.shared, &mut self.random, &mut self.out, now);
            let session = Session::new(id, call, peer, &mut cx);
            self.sessions.entry(id).or_insert(session);
        } else {
            warn!(call = %Plain(&call), sessions = self.sessions.len(), "no media for a call: there are as many sessions as there may be");
        }
    }

    fn close(&mut self, id: SessionId) {
        let traffic = self.sessions.remove(&id).map(|session| {
            if session.has_ports() {
                self.out.push_back(Output::Unbind(id));
            }
            session.log_end();
            session.traffic()
        });
        self.timers.clear(&id);
        self.names.retain(|_, session| *session != id);
        self.sources.retain(|_, session| *session != id);
        self.out.push_back(Output::Event(Event::Closed { session: id, traffic: traffic.unwrap_or_default() }));
    }

    fn command(&mut self, now: Instant, command: Command) {
        let id = session_of(&command);
        if !self.sessions.contains_key(&id) {
            let full = self.sessions.len() >= self.settings.sessions;
            let error = if full { MediaError::Busy } else { MediaError::Unknown };
            self.out.extend(refusal(&command, error).map(Output::Event));
            return;
        }
        let name = self.with(now, id, |session, cx| {
            session.command(cx, command);
            session.page.ufrag()
        });
        if let Some(name) = name.flatten().filter(|name| self.names.get(name) != Some(&id)) {
            self.names.retain(|_, session| *session != id);
            self.names.insert(name, id);
        }
    }

    fn receive_from_page(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        let is_binding = bytes.len() >= 20 && bytes[0] < 2;
        let known = if is_binding { self.page_of(now, source, bytes) } else { self.sources.get(&source).copied() };
        match known {
            Some(id) => drop(self.with(now, id, |session, cx| session.receive_from_page(cx, source, bytes))),
            None => self.dropped += 1,
        }
    }

    /// Returns the session of a binding request, and stores its source address as one of the session's page.
    fn page_of(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> Option<SessionId> {
        let message = StunMessage::parse(bytes).ok()?;
        let (ours, _) = message.split_username()?;
        let id = *self.names.get(ours)?;
        let session = self.sessions.get(&id)?;
        if !session.page.is_proved_by(PageContext { shared: &self.shared, now }, source, bytes) {
            return None;
        }
        if self.sources.get(&source) == Some(&id) {
            return Some(id);
        }
        if self.sources.values().filter(|other| **other == id).count() >= SOURCES {
            self.sources.retain(|_, other| *other != id);
        }
        self.sources.insert(source, id);
        Some(id)
    }

    /// Calls `act` with a session, and sets its timer where it has to be earlier than before.
    fn with<T>(&mut self, now: Instant, id: SessionId, act: impl FnOnce(&mut Session, &mut Context<'_>) -> T) -> Option<T> {
        let session = self.sessions.get_mut(&id)?;
        let done = act(session, &mut context(&self.settings, &self.shared, &mut self.random, &mut self.out, now));
        let deadline = session.deadline(self.settings.silence).map(|at| at.max(now));
        if let Some(at) = deadline.filter(|at| session.timer.is_none_or(|timer| *at < timer)) {
            session.timer = Some(at);
            self.timers.set(id, at);
        }
        Some(done)
    }
}

fn context<'a>(
    settings: &Settings,
    shared: &'a Shared,
    random: &'a mut Random,
    out: &'a mut VecDeque<Output>,
    now: Instant,
) -> Context<'a> {
    Context { now, shared, address: settings.address, silence: settings.silence, random, out }
}

/// Returns the session that a command is for.
#[must_use]
pub const fn session_of(command: &Command) -> SessionId {
    match command {
        Command::Open { session, .. }
        | Command::Close { session }
        | Command::Offered { session, .. }
        | Command::Offer { session, .. }
        | Command::Answered { session, .. }
        | Command::Forget { session, .. }
        | Command::Play { session, .. }
        | Command::SendDigit { session, .. } => *session,
    }
}

/// Returns the answer to a command that fails with `error`, if it has an answer.
#[must_use]
pub const fn refusal(command: &Command, error: MediaError) -> Option<Event> {
    match *command {
        Command::Offered { session, leg, .. } => Some(Event::Answer { session, leg, sdp: Err(error) }),
        Command::Offer { session, leg } => Some(Event::Offer { session, leg, sdp: Err(error) }),
        Command::Answered { session, leg, .. } => Some(Event::Failed { session, leg, error }),
        Command::Play { session, .. } => Some(Event::Failed { session, leg: Leg::Page, error }),
        Command::Close { session } => {
            Some(Event::Closed { session, traffic: Traffic { from_page: (0, 0), from_peer: (0, 0), refused: 0 } })
        }
        Command::Open { .. } | Command::Forget { .. } | Command::SendDigit { .. } => None,
    }
}
