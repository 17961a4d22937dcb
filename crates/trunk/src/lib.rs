//! SIP with trunks, which are providers and other SIP servers, over UDP, TCP and TLS: who they are, whether they respond, and the transactions with
//! them. A state machine without clock or socket.
//!
//! ```text
//!   message ── of a trunk? ──┬─ no: no response over UDP, the connection is closed
//!                            ├─ request ─── inbound ── digest? ── OPTIONS, stray CANCEL: answered here; else 100 and Event::Request
//!                            └─ response ── outbound ── 401, 407, 503: the next attempt; else Event::Response
//!
//!   request() ── next hop ── Resolve, Connect ── transaction ── Send ── time-out: the next address, then Event::Failed
//! ```
//!
//! It stands on `sip`, `ua` and `access`, below the back-to-back user agent, which speaks through it.
//!
//! Order of calls: [`Trunks::handle`] or one of the commands, then [`Trunks::poll`] until it gives `None`, then [`Trunks::deadline`].

mod chance;
mod config;
mod connections;
mod framing;
mod health;
mod inbound;
mod outbound;
mod paths;
mod peer;
mod port;
mod routes;
mod settings;
mod targets;
mod text;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use offhook_sip::Branch;
use offhook_ua::log;
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Effect, ServerKey, Transactions};

use connections::Connection;
use inbound::Untrusted;
use outbound::{Job, JobId, Owner};
use paths::Paths;
use peer::Peer;
use targets::{Hop, Query};

pub use chance::order;
pub use config::{Dtmf, Trunk};
pub use framing::{Frame, Framer};
pub use port::{ConnectionId, Event, Flow, Input, Output, Record, ResolveId, TrunkId, Wire};
pub use routes::Destination;
pub use settings::Settings;

use offhook_ua::timers::Timers;

/// All trunks.
pub struct Trunks {
    settings: Settings,
    /// The time of what is being handled: set by each public method that takes it.
    now: Instant,
    random: Random,
    nonce_key: [u8; 32],
    /// The last number given to anything.
    serial: u64,
    peers: Vec<Peer>,
    transactions: Transactions<Hop>,
    connections: BTreeMap<ConnectionId, Connection>,
    jobs: BTreeMap<JobId, Job>,
    /// Our requests by the branches of their attempts.
    branches: BTreeMap<Branch, JobId>,
    queries: BTreeMap<ResolveId, Query>,
    timers: Timers<Timer>,
    paths: Paths,
    untrusted: Untrusted,
    /// Octets that may still go to sources that may be forged, by the number of the source, and until when they are counted.
    allowed: BTreeMap<u64, (Instant, usize)>,
    /// Whether registrations were taken back, and nothing is begun any more.
    leaving: bool,
    out: VecDeque<Output>,
}

/// The timers of requests and trunks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Time-out of a response to an attempt.
    Silence(JobId),
    /// When a request can have no late response any more.
    Forget(JobId),
    /// Time-out of the resolver.
    Query(ResolveId),
    /// When to look the addresses of a trunk up again.
    Addresses(usize),
    /// When to send a trunk OPTIONS.
    Watch(usize),
    /// When to register with a trunk, or to refresh the registration.
    Register(usize),
}

impl Trunks {
    /// Returns trunks of which nothing is known yet. `seed` makes tags, branches and nonces: it must not be guessable.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let nonce_key = random.bytes();
        let peers: Vec<Peer> = settings.all().map(|config| Peer::new(config, &mut random)).collect();
        let mut timers = Timers::default();
        for (index, peer) in peers.iter().enumerate() {
            if !peer.is_fixed() {
                timers.set(Timer::Addresses(index), Instant::default());
            }
            if peer.config.watch > 0 {
                timers.set(Timer::Watch(index), Instant::default());
            }
            if peer.config.register {
                timers.set(Timer::Register(index), Instant::default());
            }
        }
        Self {
            settings,
            now: Instant::default(),
            random,
            nonce_key,
            serial: 0,
            peers,
            transactions: Transactions::new(),
            connections: BTreeMap::new(),
            jobs: BTreeMap::new(),
            branches: BTreeMap::new(),
            queries: BTreeMap::new(),
            timers,
            paths: Paths::default(),
            untrusted: Untrusted::default(),
            allowed: BTreeMap::new(),
            leaving: false,
            out: VecDeque::new(),
        }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::Received { flow, bytes } => self.received(flow, bytes),
            Input::Opened { connection, peer, wire, names } => self.opened(connection, peer, wire, &names),
            Input::Closed { connection } => self.closed(connection),
            Input::Resolved { query, addresses } => self.resolved(query, &addresses),
            Input::Timeout => self.timeout(),
        }
        self.flush();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.timers.next(), self.transactions.deadline()].into_iter().flatten().min()
    }

    /// Sends a request: whole, but without Via. Its key stays the same in all its attempts; a challenge raises the number in CSeq, which the
    /// responses show. Ends in one final [`Event::Response`] or in [`Event::Failed`]. Not for ACK and CANCEL.
    pub fn request(&mut self, now: Instant, trunk: &TrunkId, text: String) -> ClientKey {
        self.now = now;
        let key = self.start_request(self.index(trunk), Owner::Caller, text);
        self.flush();
        key
    }

    /// Lets the last attempt of an INVITE wait for timer B (RFC 3261, 17.1.1.2) in place of the trunk's `silence`: there is no other trunk.
    pub fn persist(&mut self, key: &ClientKey) {
        self.branches.get(key.branch()).copied().into_iter().for_each(|id| self.persist_job(id));
    }

    /// Sends the ACK to a 2xx, for each retransmission of that: whole, but without Via.
    pub fn send(&mut self, now: Instant, trunk: &TrunkId, text: String) {
        self.now = now;
        self.start_request(self.index(trunk), Owner::Nobody, text);
        self.flush();
    }

    /// Responds to a request, with a text that `sip::reply` has begun from the message of its [`Event::Request`].
    pub fn respond(&mut self, now: Instant, key: &ServerKey, text: String) {
        self.now = now;
        self.transactions.respond(now, key, text);
        self.flush();
    }

    /// Retransmits a 2xx to an INVITE that was not acknowledged (RFC 3261, 13.3.1.4). When, and for how long, is the caller's to know.
    pub fn retransmit(&mut self, key: &ServerKey, text: &str) {
        if let Some(hop) = self.transactions.way_back(key)
            && self.may_repeat(hop, text)
        {
            self.deliver(hop, text.to_owned());
        }
    }

    /// Cancels an INVITE, as soon as that may be (RFC 3261, 9.1). It ends as any other: in its response (487, or 200 where that was
    /// faster), or in [`Event::Failed`] with 487.
    pub fn cancel(&mut self, now: Instant, key: &ClientKey, reason: Option<&str>) {
        self.now = now;
        if let Some(id) = self.branches.get(key.branch()).copied() {
            self.cancel_job(id, reason);
            self.flush();
        }
    }

    /// Takes registrations back; nothing else is begun any more.
    pub fn leave(&mut self, now: Instant) {
        self.now = now;
        self.leaving = true;
        for index in 0..self.peers.len() {
            for timer in [Timer::Addresses(index), Timer::Watch(index), Timer::Register(index)] {
                self.timers.clear(&timer);
            }
            self.unregister(index);
        }
        self.flush();
    }

    /// Whether no request waits for its final response, but for OPTIONS.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.jobs.values().all(Job::is_settled)
    }

    /// Takes note of a call over this trunk that has begun, to or from it.
    pub fn began(&mut self, trunk: &TrunkId) {
        if let Some(peer) = self.index(trunk).and_then(|index| self.peers.get_mut(index)) {
            peer.calls += 1;
        }
    }

    /// Takes note of its end.
    pub fn ended(&mut self, trunk: &TrunkId) {
        if let Some(peer) = self.index(trunk).and_then(|index| self.peers.get_mut(index)) {
            peer.calls = peer.calls.saturating_sub(1);
        }
    }

    /// Whether the trunk has as many calls as it may.
    #[must_use]
    pub fn is_full(&self, trunk: &TrunkId) -> bool {
        self.index(trunk).is_none_or(|index| self.peers[index].is_full())
    }

    /// Returns the trunk's configuration.
    #[must_use]
    pub fn config(&self, trunk: &TrunkId) -> Option<&config::Trunk> {
        self.index(trunk).map(|index| &self.peers[index].config)
    }

    /// Returns the hosts that its SIP comes from.
    #[must_use]
    pub fn hosts(&self, trunk: &TrunkId) -> Vec<IpAddr> {
        let addresses = self.index(trunk).map(|index| &self.peers[index].addresses);
        addresses.into_iter().flatten().map(|address| address.ip().to_canonical()).collect()
    }

    /// Returns how DTMF digits are sent.
    #[must_use]
    pub fn dtmf(&self, trunk: &TrunkId) -> Dtmf {
        self.config(trunk).map(|config| config.dtmf).unwrap_or_default()
    }

    /// Returns the value of our Contact.
    #[must_use]
    pub fn contact(&self, trunk: &TrunkId) -> String {
        let (wire, user) = self.config(trunk).map_or((Wire::Udp, ""), |config| (config.transport, &config.username));
        format!("<{}>", self.settings.contact_uri(wire, user))
    }

    /// How many messages came from untrusted sources: those that are no trunk.
    #[must_use]
    pub const fn untrusted(&self) -> u64 {
        self.untrusted.count
    }

    /// How many things are remembered, of whatever kind.
    #[must_use]
    pub fn footprint(&self) -> usize {
        let requests = self.transactions.len() + self.jobs.len() + self.branches.len() + self.queries.len();
        requests + self.connections.len() + self.paths.len() + self.timers.len() + self.out.len()
    }

    fn index(&self, trunk: &TrunkId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == *trunk)
    }

    fn timeout(&mut self) {
        self.transactions.handle_timeout(self.now);
        self.flush();
        while let Some(timer) = self.timers.pop(self.now) {
            match timer {
                Timer::Silence(id) => self.silence_timeout(id),
                Timer::Forget(id) => self.forget(id),
                Timer::Query(query) => self.resolved(query, &[]),
                Timer::Addresses(index) => self.look_up(index),
                Timer::Watch(index) => self.send_options(index),
                Timer::Register(index) => self.register(index),
            }
            self.flush();
        }
    }

    /// Does what the transactions have to do. Called before anything is sent beside them: so messages leave in their order.
    fn flush(&mut self) {
        while let Some(effect) = self.transactions.poll() {
            match effect {
                Effect::Send { flow, text } if self.may_send(flow, &text) => self.deliver(flow, text),
                Effect::Send { .. } => {}
                Effect::TimedOut(key) => self.timed_out(&key),
                Effect::NoAck(key) => self.push(Output::Event(Event::NoAck { key })),
            }
        }
    }

    fn push(&mut self, output: Output) {
        if let Output::Send { flow, text } = &output {
            log::message("sent", flow, text.as_bytes());
        }
        self.out.push_back(output);
    }

    const fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}
