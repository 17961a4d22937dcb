//! Connections, the users they speak for, and what becomes of both when a connection is lost.
//!
//! ```text
//!   open ── lost ──▶ Lost: what is sent to it is kept ── the same device is back ──▶ Moved: what is sent to it goes to the new one
//!                      └── 32 s ──▶ gone                                                └── 4 min ──▶ gone
//! ```
//!
//! So answers under way reach a device that has just reconnected, and a CANCEL stops it from ringing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use offhook_access::bucket::Bucket;
use offhook_access::silent::Silent;
use offhook_sip::{Message, Name};
use offhook_ua::log::{Masked, named};
use offhook_ua::time::Instant;
use tracing::debug;

use super::party::{Aor, Flow};
use super::register::tell_unregistered;
use super::timers::Timer;
use super::{ConnId, Hub, Output};
use crate::registrar::{Device, Target};

/// How long an outage may take before what was to be sent is given up.
const LOST: Duration = Duration::from_secs(32);
/// How long an answer can be on its way: Timer C and more.
const MOVED: Duration = Duration::from_secs(240);
/// How long a connection may stay without identity.
const LOGIN: Duration = Duration::from_secs(32);
/// Messages and octets kept for a lost connection.
const PARKED: (usize, usize) = (32, 64 * 1024);
/// Contacts remembered for one user, and lost connections.
const FLOWS: usize = 32;
/// Steps from one reconnect to the next.
const HOPS: usize = 8;

/// What was shown for an identity, as far as it says when that ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proof {
    /// When it ends, or has ended.
    pub(super) until: Option<Instant>,
    /// Which password it was shown with; it ends with that password.
    pub(super) password: Option<u64>,
    /// Whether it is a ticket or token.
    pub(super) is_token: bool,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) application: String,
    /// Where it comes from.
    pub(super) peer: IpAddr,
    /// Whom it speaks for, or has spoken for until its proof ended: it never speaks for anybody else.
    pub(super) aor: Option<Aor>,
    /// What it has shown for that.
    pub(super) proof: Option<Proof>,
    pub(super) bucket: Bucket,
    /// Messages beyond the allowance.
    pub(super) strikes: u32,
    /// Wrong credentials shown.
    pub(super) failures: u32,
    /// The newest digest nonce used, and how often: neither is taken twice.
    pub(super) used: (Instant, u32),
}

impl Connection {
    fn new(now: Instant, application: String, peer: IpAddr, rate: u32) -> Self {
        let (bucket, used) = (Bucket::new(now, rate), (Instant::default(), 0));
        Self { application, peer, aor: None, proof: None, bucket, strikes: 0, failures: 0, used }
    }
}

/// A user with connections.
#[derive(Debug)]
pub(super) struct User {
    pub(super) connections: BTreeSet<ConnId>,
    lost: BTreeSet<ConnId>,
    pub(super) bucket: Bucket,
    pub(super) display: String,
    /// Devices known by what they sent, registered or not.
    flows: BTreeMap<Target, Known>,
}

/// A device, and the connection over which it spoke last.
#[derive(Debug)]
struct Known {
    conn: ConnId,
    device: Device,
}

/// A connection that was lost, and what was to be sent over it.
#[derive(Debug)]
pub(super) struct Lost {
    aor: Aor,
    devices: BTreeSet<Device>,
    parked: VecDeque<String>,
}

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Flows {
    pub(super) connections: BTreeMap<ConnId, Connection>,
    /// Those on which nothing was said yet.
    pub(super) silent: Silent<ConnId>,
    pub(super) users: BTreeMap<Aor, User>,
    lost: BTreeMap<ConnId, Lost>,
    moved: BTreeMap<ConnId, ConnId>,
}

impl Flows {
    /// Where what belongs to `flow` goes now, and whether it can be sent.
    pub(super) fn resolve(&self, flow: Flow) -> Option<(Flow, bool)> {
        let Flow::WebSocket(conn) = flow else { return Some((flow, true)) };
        let (conn, open) = self.resolve_conn(conn)?;
        Some((Flow::WebSocket(conn), open))
    }

    fn resolve_conn(&self, conn: ConnId) -> Option<(ConnId, bool)> {
        let mut at = conn;
        for _ in 0..HOPS {
            if self.connections.contains_key(&at) {
                return Some((at, true));
            }
            if self.lost.contains_key(&at) {
                return Some((at, false));
            }
            at = *self.moved.get(&at)?;
        }
        None
    }

    /// Whether what is sent to `flow` arrives now.
    pub(super) fn is_open(&self, flow: Flow) -> bool {
        self.resolve(flow).is_some_and(|(_, open)| open)
    }

    /// The open connection of a user's device that has said this is its contact.
    pub(super) fn find(&self, aor: &Aor, target: &Target) -> Option<ConnId> {
        self.users.get(aor)?.flows.get(target).map(|flow| flow.conn).filter(|conn| self.connections.contains_key(conn))
    }

    /// How many things are remembered.
    pub(super) fn len(&self) -> usize {
        self.connections.len() + self.silent.len() + self.users.len() + self.lost.len() + self.moved.len()
    }

    fn park(&mut self, conn: ConnId, text: String) {
        let Some(lost) = self.lost.get_mut(&conn) else { return };
        let size: usize = lost.parked.iter().map(String::len).sum();
        if lost.parked.len() < PARKED.0 && size + text.len() <= PARKED.1 {
            lost.parked.push_back(text);
        }
    }

    /// Forgets a user with no connection, open or lost.
    fn tidy(&mut self, aor: &Aor) {
        if self.users.get(aor).is_some_and(|user| user.connections.is_empty() && user.lost.is_empty()) {
            self.users.remove(aor);
        }
    }
}

impl Hub {
    pub(super) fn open(&mut self, now: Instant, conn: ConnId, peer: IpAddr, application: String) {
        if !self.settings.applications.contains_key(&application) {
            debug!(conn = conn.0, code = 1008, reason = "unknown application", "closing");
            return self.push(Output::Close { conn, code: 1008, reason: "unknown application" });
        }
        self.flows.connections.insert(conn, Connection::new(now, application, peer, self.settings.per_second));
        self.flows.silent.insert(conn, Some(peer));
        self.timers.set(Timer::Login(conn), now + LOGIN);
        self.make_room(now);
    }

    /// Where too many connections are silent, one makes room.
    fn make_room(&mut self, now: Instant) {
        let first = self.flows.silent.first_to_go().filter(|_| self.flows.silent.len() > self.settings.max_silent);
        first.into_iter().for_each(|first| self.hang_up(now, first, 1013, "too many silent connections"));
    }

    /// Closes a connection from our side.
    pub(super) fn hang_up(&mut self, now: Instant, conn: ConnId, code: u16, reason: &'static str) {
        if let Some(connection) = self.flows.connections.get(&conn) {
            let user = connection.aor.as_ref().and_then(|aor| named(&aor.user));
            debug!(conn = conn.0, application = connection.application, user, code, reason, "closing");
            self.flush(now);
            self.push(Output::Close { conn, code, reason });
            self.closed(now, conn);
        }
    }

    /// The connection says that it speaks for `aor`, and has proven it.
    pub(super) fn bind(&mut self, now: Instant, conn: ConnId, aor: &Aor) {
        self.timers.clear(&Timer::Login(conn));
        if let Some(connection) = self.flows.connections.get_mut(&conn) {
            connection.aor = Some(aor.clone());
            connection.failures = 0;
        }
        let (rate, most) = (self.settings.user_per_second, self.settings.max_connections_per_user.max(1));
        let fresh = || User {
            connections: BTreeSet::new(),
            lost: BTreeSet::new(),
            bucket: Bucket::new(now, rate),
            display: String::new(),
            flows: BTreeMap::new(),
        };
        let user = self.flows.users.entry(aor.clone()).or_insert_with(fresh);
        user.connections.insert(conn);
        if user.connections.len() > most {
            let oldest = user.connections.iter().copied().find(|other| *other != conn);
            oldest.into_iter().for_each(|oldest| self.hang_up(now, oldest, 1008, "too many connections"));
        }
    }

    /// The identity of a connection holds from now on for as long as this proof does.
    pub(super) fn prove(&mut self, conn: ConnId, proof: Proof) {
        let Some(connection) = self.flows.connections.get_mut(&conn) else { return };
        connection.proof = Some(proof);
        match proof.until {
            Some(until) => self.timers.set(Timer::Proof(conn), until),
            None => self.timers.clear(&Timer::Proof(conn)),
        }
    }

    /// Whether the identity of who speaks by `flow` holds now.
    pub(super) fn is_proven(&self, now: Instant, flow: Flow) -> bool {
        let Flow::WebSocket(conn) = flow else { return true };
        self.proof(conn).is_some_and(|proof| proof.until.is_none_or(|until| now < until))
    }

    /// What was shown for the identity of a connection, whether it holds or not.
    pub(super) fn proof(&self, conn: ConnId) -> Option<Proof> {
        self.flows.connections.get(&conn)?.proof
    }

    /// The identity of a connection holds no longer: new calls do not ring there and do not come from there until it is proven anew. Calls
    /// that run go on.
    pub(super) fn lapse(&mut self, now: Instant, conn: ConnId) {
        self.timers.clear(&Timer::Proof(conn));
        let Some(connection) = self.flows.connections.get_mut(&conn) else { return };
        connection.proof = connection.proof.map(|proof| Proof { until: Some(now), ..proof });
        let Some(aor) = connection.aor.clone() else { return };
        tell_unregistered(&aor, self.registrar.lapse(conn), "what was shown for its identity holds no longer");
        self.watch_expiry(&aor);
    }

    /// A user has another password: what was shown with an older one holds no longer.
    pub(super) fn password_changed(&mut self, now: Instant, aor: &Aor, revision: u64) {
        let is_older = |conn: &ConnId| self.proof(*conn).and_then(|proof| proof.password).is_some_and(|shown| shown < revision);
        let connections = self.flows.users.get(aor).into_iter().flat_map(|user| user.connections.iter().copied());
        let older: Vec<ConnId> = connections.filter(is_older).collect();
        let in_call = self.calls_of.contains_key(aor);
        for conn in older {
            self.lapse(now, conn);
            // A page that only waits would learn of it when its registration is due.
            if !in_call {
                self.hang_up(now, conn, 1008, "the password was changed");
            }
        }
    }

    /// Whether two flows, of which the first may be lost, are of the same user.
    pub(super) fn is_same_user(&self, old: Flow, flow: Flow) -> bool {
        let speaker = |flow: Flow| {
            let conn = flow.conn()?;
            self.identity(conn).or_else(|| self.flows.lost.get(&conn).map(|lost| &lost.aor))
        };
        let successor = self.flows.resolve(old).map_or(old, |(successor, _)| successor);
        old == flow || speaker(successor).is_some_and(|aor| speaker(flow) == Some(aor))
    }

    /// A connection is gone, whoever closed it.
    pub(super) fn closed(&mut self, now: Instant, conn: ConnId) {
        let Some(connection) = self.flows.connections.remove(&conn) else { return };
        self.flows.silent.remove(conn);
        self.timers.clear(&Timer::Login(conn));
        self.timers.clear(&Timer::Proof(conn));
        let Some(aor) = connection.aor else { return };
        let bound = self.registrar.bindings(&aor).iter().filter(|binding| binding.conn == Some(conn));
        let mut devices: BTreeSet<Device> = bound.map(|binding| binding.device.clone()).collect();
        self.registrar.close(conn);
        let Some(user) = self.flows.users.get_mut(&aor) else { return };
        user.connections.remove(&conn);
        devices.extend(user.flows.extract_if(.., |_, flow| flow.conn == conn).map(|(_, flow)| flow.device));
        if !devices.is_empty() {
            debug!(conn = conn.0, application = aor.application, user = %Masked(&aor.user), "a connection is lost");
            user.lost.insert(conn);
            self.flows.lost.insert(conn, Lost { aor: aor.clone(), devices, parked: VecDeque::new() });
            self.timers.set(Timer::Lost(conn), now + LOST);
        }
        let excess = self.flows.users.get(&aor).filter(|user| user.lost.len() > FLOWS).and_then(|user| user.lost.first().copied());
        excess.into_iter().for_each(|oldest| self.give_up_lost(oldest));
        self.flows.tidy(&aor);
        self.settle_after_loss(now, &aor);
    }

    /// A lost connection has had no successor for too long.
    pub(super) fn lost_for_good(&mut self, now: Instant, conn: ConnId) {
        let aor = self.flows.lost.get(&conn).map(|lost| lost.aor.clone());
        self.give_up_lost(conn);
        aor.into_iter().for_each(|aor| self.settle_after_loss(now, &aor));
    }

    /// The page behind a connection was closed: it comes back into none of its calls.
    pub(super) fn left(&mut self, now: Instant, conn: ConnId) {
        let aor = self.flows.lost.get(&conn).map(|lost| lost.aor.clone());
        for key in aor.iter().filter_map(|aor| self.calls_of.get(aor)).flatten() {
            let call = self
                .calls
                .get_mut(key)
                .filter(|call| call.flow == Flow::WebSocket(conn) || call.answered == Some(Flow::WebSocket(conn)));
            call.into_iter().for_each(|call| call.left.clone_from(&aor));
        }
        self.lost_for_good(now, conn);
    }

    /// What was to be sent to a lost connection is given up.
    pub(super) fn give_up_lost(&mut self, conn: ConnId) {
        let Some(lost) = self.flows.lost.remove(&conn) else { return };
        self.timers.clear(&Timer::Lost(conn));
        if let Some(user) = self.flows.users.get_mut(&lost.aor) {
            user.lost.remove(&conn);
        }
        self.flows.tidy(&lost.aor);
    }

    /// The answer to "which connection followed `conn`" is no longer needed.
    pub(super) fn forget_moved(&mut self, conn: ConnId) {
        self.flows.moved.remove(&conn);
    }

    /// A device has shown up on `conn`: what was under way to it before goes there from now on.
    pub(super) fn returned(&mut self, now: Instant, conn: ConnId, aor: &Aor, device: &Device) {
        let same = |old: &ConnId| self.flows.lost.get(old).is_some_and(|lost| lost.devices.contains(device));
        let lost = self.flows.users.get(aor).into_iter().flat_map(|user| user.lost.iter().copied());
        for old in lost.filter(same).collect::<Vec<ConnId>>() {
            let parked = self.flows.lost.get_mut(&old).map(|lost| std::mem::take(&mut lost.parked)).unwrap_or_default();
            self.give_up_lost(old);
            debug!(conn = conn.0, before = old.0, application = aor.application, user = %Masked(&aor.user), "the device is back");
            let said = self.follow(now, old, conn, aor);
            parked.into_iter().filter(|text| !said.contains(text)).for_each(|text| self.send(Flow::WebSocket(conn), text));
        }
    }

    /// A device has registered again while its old connection still seemed open: the old one is dead.
    pub(super) fn supersede(&mut self, now: Instant, old: ConnId, conn: ConnId, aor: &Aor) {
        if self.registrar.bindings(aor).iter().any(|binding| binding.conn == Some(old)) {
            return;
        }
        self.hang_up(now, old, 1008, "replaced by a newer connection");
        self.give_up_lost(old);
        self.follow(now, old, conn, aor);
    }

    /// Gives what was said again over the new connection.
    fn follow(&mut self, now: Instant, old: ConnId, conn: ConnId, aor: &Aor) -> Vec<String> {
        self.flows.moved.insert(old, conn);
        self.timers.set(Timer::Moved(old), now + MOVED);
        let (old, flow) = (Flow::WebSocket(old), Flow::WebSocket(conn));
        self.call_followed(now, old, flow, aor);
        self.forwards_followed(now, old, flow)
    }

    /// Remembers over which connection a device speaks: by the Contact of what it sends, registered or not.
    pub(super) fn learn(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        let Some((conn, aor)) = flow.conn().and_then(|conn| Some((conn, self.identity(conn)?.clone()))) else { return };
        let Some(Ok(contact)) = message.contacts().next().filter(|_| message.all(Name::Contact).count() == 1) else { return };
        let Some(user) = self.flows.users.get_mut(&aor).filter(|_| contact.uri_text.len() <= 512) else { return };
        let target = Target::of(&contact.uri);
        let device = Device::of(&contact);
        let known = user.flows.get(&target).is_some_and(|flow| flow.conn == conn);
        if known {
            return;
        }
        if user.flows.len() >= FLOWS {
            let oldest = user.flows.iter().min_by_key(|(_, flow)| flow.conn).map(|(target, _)| target.clone());
            oldest.into_iter().for_each(|oldest| drop(user.flows.remove(&oldest)));
        }
        user.flows.insert(target, Known { conn, device: device.clone() });
        self.returned(now, conn, &aor, &device);
        self.release(now, aor);
    }

    /// Sends by a flow, or whatever has taken its place.
    pub(super) fn deliver(&mut self, flow: Flow, text: String) {
        match self.flows.resolve(flow) {
            Some((flow, true)) => self.send(flow, text),
            Some((Flow::WebSocket(conn), false)) => self.flows.park(conn, text),
            Some((Flow::B2bua(_), false)) | None => {}
        }
    }
}
