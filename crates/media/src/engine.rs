//! All sessions of one thread, as a machine: commands, datagrams and time in; datagrams, ports and events out.
//!
//! Datagrams for pages come by one socket. Whose they are is known by the user name of a binding request, and by the address that such a
//! request came from once str0m has checked its password; from anywhere else nothing is taken, so that nobody who has not read the SDP
//! can begin a DTLS handshake.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::timers::Timers;
use str0m::ice::StunMessage;

use super::epoch::Epoch;
use super::page::Shared;
use super::port::{Command, Event, Leg, MediaError, PeerSettings, SessionId, Traffic};
use super::session::{Context, Session};

/// Addresses that one page may come from.
const SOURCES: usize = 8;

/// What an engine has to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where pages reach it, of each family at most one.
    pub page: Vec<SocketAddr>,
    /// What stands in the SDP of the SIP side, unless a trunk says otherwise.
    pub address: IpAddr,
    /// Milliseconds without a packet after which a side has vanished.
    pub silence: Duration,
    /// The most sessions.
    pub sessions: usize,
}

/// One of our sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Socket {
    /// The one for all pages.
    Page,
    /// The RTP port of a session.
    Rtp(SessionId),
    /// Its RTCP port.
    Rtcp(SessionId),
}

/// What happens to an engine.
#[derive(Debug)]
pub enum Input<'a> {
    /// Something is asked.
    Command(Command),
    /// A datagram came; it is decrypted in place.
    Datagram {
        /// On which socket.
        socket: Socket,
        /// Where from.
        source: SocketAddr,
        /// What.
        bytes: &'a mut [u8],
    },
    /// The answer to [`Output::Bind`]: the RTP port, with the next one for RTCP.
    Bound {
        /// Whose.
        session: SessionId,
        /// Which, or why there is none.
        port: Result<u16, MediaError>,
    },
    /// The deadline has come.
    Timeout,
}

/// What is to be done for an engine.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Send {
        /// From which socket.
        socket: Socket,
        /// Where to.
        destination: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// A session needs a pair of ports; answered by [`Input::Bound`].
    Bind(SessionId),
    /// It needs them no more.
    Unbind(SessionId),
    /// For whoever makes the calls.
    Event(Event),
}

/// The sessions of one thread.
///
/// Order of calls: [`Engine::handle`], then [`Engine::poll`] until it gives nothing, then [`Engine::deadline`].
pub struct Engine {
    settings: Settings,
    shared: Shared,
    random: Random,
    sessions: BTreeMap<SessionId, Session>,
    /// By our user name fragment.
    names: BTreeMap<String, SessionId>,
    /// By an address that has shown to be a page's.
    sources: BTreeMap<SocketAddr, SessionId>,
    timers: Timers<SessionId>,
    out: VecDeque<Output>,
    /// Datagrams that were nobody's.
    pub strange: u64,
}

impl Engine {
    /// An engine without sessions.
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
            strange: 0,
        }
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Command(Command::Open { session, peer }) => self.open(now, session, peer),
            Input::Command(Command::Close { session }) => self.close(session),
            Input::Command(command) => self.command(now, command),
            Input::Datagram { socket: Socket::Page, source, bytes } => self.hear_page(now, source, bytes),
            Input::Datagram { socket: socket @ (Socket::Rtp(id) | Socket::Rtcp(id)), source, bytes } => {
                self.with(now, id, |session, cx| session.hear_peer(cx, socket, source, bytes));
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

    /// What is to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When it wants to be told of the time.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    fn open(&mut self, now: Instant, id: SessionId, peer: PeerSettings) {
        // Who is refused here hears of it by the answer to the first command that has one.
        if self.sessions.len() < self.settings.sessions {
            let mut cx = context(&self.settings, &self.shared, &mut self.random, &mut self.out, now);
            let session = Session::new(id, peer, &mut cx);
            self.sessions.entry(id).or_insert(session);
        }
    }

    fn close(&mut self, id: SessionId) {
        let traffic = self.sessions.remove(&id).map(|session| {
            if session.has_ports() {
                self.out.push_back(Output::Unbind(id));
            }
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

    fn hear_page(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        let is_binding = bytes.len() >= 20 && bytes[0] < 2;
        let known = if is_binding { self.shown(now, source, bytes) } else { self.sources.get(&source).copied() };
        match known {
            Some(id) => drop(self.with(now, id, |session, cx| session.hear_page(cx, source, bytes))),
            None => self.strange += 1,
        }
    }

    /// Whose binding request it is; from now on that page is known by its address, too.
    fn shown(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> Option<SessionId> {
        let message = StunMessage::parse(bytes).ok()?;
        let (ours, _) = message.split_username()?;
        let id = *self.names.get(ours)?;
        let session = self.sessions.get(&id)?;
        if !session.page.is_shown_by(&self.shared, now, source, bytes) {
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

    /// Lets a session do something, and sets its timer where it has to be earlier than before.
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

/// Which session a command is for.
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
        | Command::Press { session, .. } => *session,
    }
}

/// The answer to a command that cannot be obeyed, where it has one.
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
        Command::Open { .. } | Command::Forget { .. } | Command::Press { .. } => None,
    }
}
