//! Connections, the users they speak for, and what becomes of both when a connection is lost.
//!
//! ```text
//!   open ── lost ──▶ Lost: what is sent to it is kept ── the same device is back ──▶ moved: what is sent to it goes to the new one
//!                      └── 32 s ──▶ gone                                                └── 4 min ──▶ gone
//! ```
//!
//! So responses under way reach a device that has just reconnected, and a CANCEL stops it from ringing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use offhook_access::bucket::Bucket;
use offhook_access::silent::Silent;
use offhook_sip::{Message, Name};
use offhook_ua::log::Masked;
use offhook_ua::time::Instant;
use tracing::debug;

use super::party::{Aor, Flow};
use super::timers::{Clock, Timer};
use super::{ConnId, Settings};
use crate::registrar::{Device, Target};

/// How long an outage may take before what was to be sent is given up.
const LOST: Duration = Duration::from_secs(32);
/// How long a response may still come: Timer C and more.
const MOVED: Duration = Duration::from_secs(240);
/// How long a connection may stay without identity.
const LOGIN: Duration = Duration::from_secs(32);
/// Messages and octets kept for a lost connection.
const KEPT: (usize, usize) = (32, 64 * 1024);
/// Contacts remembered for one user, and lost connections.
const CONTACTS: usize = 32;
/// Steps from one reconnect to the next.
const HOPS: usize = 8;

/// Until when what was shown for an identity holds.
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
    /// Key of its application.
    pub(super) application: String,
    /// Where it comes from.
    pub(super) peer: IpAddr,
    /// Whom it speaks for, or has spoken for until its proof ended: it never speaks for anybody else.
    pub(super) user: Option<Aor>,
    /// What it has shown for that.
    pub(super) proof: Option<Proof>,
    bucket: Bucket,
    /// Messages beyond the allowance, less those within it since.
    excess: u32,
    /// Wrong credentials shown.
    pub(super) failures: u32,
    /// The newest digest nonce used, and how often: neither is taken twice.
    pub(super) used: (Instant, u32),
}

/// How a message stands to the allowances of its connection and user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// Within them.
    Within,
    /// Beyond them: it is refused.
    Beyond {
        /// Whether the one before was within them.
        first: bool,
    },
    /// So far beyond that the connection is to be closed.
    Exhausted,
}

/// A user with connections.
#[derive(Debug)]
struct User {
    connections: BTreeSet<ConnId>,
    lost: BTreeSet<ConnId>,
    bucket: Bucket,
    display_name: String,
    /// Devices known by the Contact of what they sent, registered or not.
    contacts: BTreeMap<Target, Contact>,
}

/// A device, and the connection over which it spoke last.
#[derive(Debug)]
struct Contact {
    conn: ConnId,
    device: Device,
}

/// A connection that was lost, and what was to be sent over it.
#[derive(Debug)]
struct Lost {
    user: Aor,
    devices: BTreeSet<Device>,
    kept: VecDeque<String>,
}

/// All connections, and the users they speak for.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: BTreeMap<ConnId, Connection>,
    /// Those on which no message came yet.
    silent: Silent<ConnId>,
    users: BTreeMap<Aor, User>,
    lost: BTreeMap<ConnId, Lost>,
    moved: BTreeMap<ConnId, ConnId>,
}

impl Connections {
    /// An open connection.
    pub(super) fn get(&self, conn: ConnId) -> Option<&Connection> {
        self.open.get(&conn)
    }

    /// The same, to change what it has shown.
    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        self.open.get_mut(&conn)
    }

    /// Whom an open connection has proven to speak for.
    pub(super) fn user(&self, conn: ConnId) -> Option<&Aor> {
        self.open.get(&conn)?.user.as_ref()
    }

    /// The name of a user that others see; may be empty.
    pub(super) fn display_name(&self, aor: &Aor) -> &str {
        self.users.get(aor).map_or("", |user| &user.display_name)
    }

    /// The store has told the name of a user that others see.
    pub(super) fn set_display_name(&mut self, aor: &Aor, name: String) {
        if let Some(user) = self.users.get_mut(aor) {
            user.display_name = name;
        }
    }

    /// Where what belongs to `flow` goes now, and whether it can be sent.
    pub(super) fn resolve(&self, flow: Flow) -> Option<(Flow, bool)> {
        let Flow::WebSocket(mut conn) = flow else { return Some((flow, true)) };
        for _ in 0..HOPS {
            if self.open.contains_key(&conn) {
                return Some((Flow::WebSocket(conn), true));
            }
            if self.lost.contains_key(&conn) {
                return Some((Flow::WebSocket(conn), false));
            }
            conn = *self.moved.get(&conn)?;
        }
        None
    }

    /// Whether what is sent to `flow` arrives now.
    pub(super) fn is_open(&self, flow: Flow) -> bool {
        self.resolve(flow).is_some_and(|(_, open)| open)
    }

    /// Whether what belongs to `owner` goes to `flow` now.
    pub(super) fn leads_to(&self, owner: Flow, flow: Flow) -> bool {
        self.resolve(owner) == Some((flow, true))
    }

    /// Whether two flows, of which the first may be lost, are of the same user.
    pub(super) fn is_same_user(&self, old: Flow, flow: Flow) -> bool {
        let speaker = |flow: Flow| {
            let conn = flow.conn()?;
            self.user(conn).or_else(|| self.lost.get(&conn).map(|lost| &lost.user))
        };
        let successor = self.resolve(old).map_or(old, |(successor, _)| successor);
        old == flow || speaker(successor).is_some_and(|aor| speaker(flow) == Some(aor))
    }

    /// The open connection over which a device of the user sent this Contact last.
    pub(super) fn find(&self, aor: &Aor, target: &Target) -> Option<ConnId> {
        self.users.get(aor)?.contacts.get(target).map(|contact| contact.conn).filter(|conn| self.open.contains_key(conn))
    }

    /// How many things are remembered.
    pub(super) fn len(&self) -> usize {
        self.open.len() + self.silent.len() + self.users.len() + self.lost.len() + self.moved.len()
    }

    /// A connection is open.
    pub(super) fn open(&mut self, clock: &mut Clock, conn: ConnId, peer: IpAddr, application: String, rate: u32) {
        let connection = Connection {
            application,
            peer,
            user: None,
            proof: None,
            bucket: Bucket::new(clock.now, rate),
            excess: 0,
            failures: 0,
            used: (Instant::default(), 0),
        };
        self.open.insert(conn, connection);
        self.silent.insert(conn, Some(peer));
        clock.set(Timer::Login(conn), LOGIN);
    }

    /// The silent connection that is evicted, where there are more than `most`.
    pub(super) fn silent_excess(&self, most: usize) -> Option<ConnId> {
        self.silent.first_to_go().filter(|_| self.silent.len() > most)
    }

    /// A message came over a connection; `None` where the connection is none.
    pub(super) fn allow(&mut self, clock: &Clock, conn: ConnId, settings: &Settings) -> Option<Allowance> {
        let (rate, user_rate) = (settings.per_second, settings.user_per_second);
        let connection = self.open.get_mut(&conn)?;
        self.silent.remove(conn);
        let user = connection.user.as_ref().and_then(|aor| self.users.get_mut(aor));
        let within = connection.bucket.take(clock.now, rate) && user.is_none_or(|user| user.bucket.take(clock.now, user_rate));
        connection.excess = if within { connection.excess.saturating_sub(1) } else { connection.excess + 1 };
        Some(match connection.excess {
            excess if excess > rate.max(user_rate).saturating_mul(4) => Allowance::Exhausted,
            _ if within => Allowance::Within,
            excess => Allowance::Beyond { first: excess == 1 },
        })
    }

    /// The connection speaks for `aor` from now on. Returns its oldest other connection, where the user has too many.
    pub(super) fn bind(&mut self, clock: &mut Clock, conn: ConnId, aor: &Aor, settings: &Settings) -> Option<ConnId> {
        clock.clear(&Timer::Login(conn));
        if let Some(connection) = self.open.get_mut(&conn) {
            connection.user = Some(aor.clone());
            connection.failures = 0;
        }
        let fresh = || User {
            connections: BTreeSet::new(),
            lost: BTreeSet::new(),
            bucket: Bucket::new(clock.now, settings.user_per_second),
            display_name: String::new(),
            contacts: BTreeMap::new(),
        };
        let user = self.users.entry(aor.clone()).or_insert_with(fresh);
        user.connections.insert(conn);
        let excess = user.connections.len() > settings.max_connections_per_user.max(1);
        user.connections.iter().copied().find(|other| *other != conn).filter(|_| excess)
    }

    /// The identity of a connection holds from now on for as long as this proof does.
    pub(super) fn prove(&mut self, clock: &mut Clock, conn: ConnId, proof: Proof) {
        let Some(connection) = self.open.get_mut(&conn) else { return };
        connection.proof = Some(proof);
        match proof.until {
            Some(until) => clock.set_at(Timer::Proof(conn), until),
            None => clock.clear(&Timer::Proof(conn)),
        }
    }

    /// What was shown for the identity of a connection, whether it holds or not.
    pub(super) fn proof(&self, conn: ConnId) -> Option<Proof> {
        self.open.get(&conn)?.proof
    }

    /// Whether the identity of a connection holds now.
    pub(super) fn is_proven(&self, clock: &Clock, conn: ConnId) -> bool {
        self.proof(conn).is_some_and(|proof| proof.until.is_none_or(|until| clock.now < until))
    }

    /// The identity of a connection holds no longer. Returns whose it was.
    pub(super) fn lapse(&mut self, clock: &mut Clock, conn: ConnId) -> Option<Aor> {
        clock.clear(&Timer::Proof(conn));
        let connection = self.open.get_mut(&conn)?;
        connection.proof = connection.proof.map(|proof| Proof { until: Some(clock.now), ..proof });
        connection.user.clone()
    }

    /// The connections of a user on which an older password than this was shown.
    pub(super) fn proven_before(&self, aor: &Aor, revision: u64) -> Vec<ConnId> {
        let is_older = |conn: &ConnId| self.proof(*conn).and_then(|proof| proof.password).is_some_and(|shown| shown < revision);
        self.users.get(aor).into_iter().flat_map(|user| user.connections.iter().copied()).filter(is_older).collect()
    }

    /// A connection is gone, whoever closed it; `devices`: those that were registered on it. Returns whom it spoke for.
    pub(super) fn close(&mut self, clock: &mut Clock, conn: ConnId, mut devices: BTreeSet<Device>) -> Option<Aor> {
        let connection = self.open.remove(&conn)?;
        self.silent.remove(conn);
        clock.clear(&Timer::Login(conn));
        clock.clear(&Timer::Proof(conn));
        let aor = connection.user?;
        let user = self.users.get_mut(&aor)?;
        user.connections.remove(&conn);
        devices.extend(user.contacts.extract_if(.., |_, contact| contact.conn == conn).map(|(_, contact)| contact.device));
        if !devices.is_empty() {
            debug!(conn = conn.0, application = aor.application, user = %Masked(&aor.user), "a connection is lost");
            user.lost.insert(conn);
            clock.set(Timer::Lost(conn), LOST);
            self.lost.insert(conn, Lost { user: aor.clone(), devices, kept: VecDeque::new() });
        }
        let excess = user.lost.first().copied().filter(|_| user.lost.len() > CONTACTS);
        excess.into_iter().for_each(|oldest| drop(self.give_up(clock, oldest)));
        self.forget_user_without_connections(&aor);
        Some(aor)
    }

    /// What is sent to a lost connection is kept for its successor.
    pub(super) fn keep(&mut self, conn: ConnId, text: String) {
        let Some(lost) = self.lost.get_mut(&conn) else { return };
        let size: usize = lost.kept.iter().map(String::len).sum();
        if lost.kept.len() < KEPT.0 && size + text.len() <= KEPT.1 {
            lost.kept.push_back(text);
        }
    }

    /// Whose a lost connection was.
    pub(super) fn lost_user(&self, conn: ConnId) -> Option<&Aor> {
        self.lost.get(&conn).map(|lost| &lost.user)
    }

    /// The lost connections of a device.
    pub(super) fn lost_of(&self, aor: &Aor, device: &Device) -> Vec<ConnId> {
        let same = |conn: &ConnId| self.lost.get(conn).is_some_and(|lost| lost.devices.contains(device));
        self.users.get(aor).into_iter().flat_map(|user| user.lost.iter().copied()).filter(same).collect()
    }

    /// A lost connection is no longer waited for. Returns whose it was, and what was to be sent over it.
    pub(super) fn give_up(&mut self, clock: &mut Clock, conn: ConnId) -> Option<(Aor, VecDeque<String>)> {
        let lost = self.lost.remove(&conn)?;
        clock.clear(&Timer::Lost(conn));
        if let Some(user) = self.users.get_mut(&lost.user) {
            user.lost.remove(&conn);
        }
        self.forget_user_without_connections(&lost.user);
        Some((lost.user, lost.kept))
    }

    fn forget_user_without_connections(&mut self, aor: &Aor) {
        if self.users.get(aor).is_some_and(|user| user.connections.is_empty() && user.lost.is_empty()) {
            self.users.remove(aor);
        }
    }

    /// What belongs to `old` goes to `conn` from now on.
    pub(super) fn move_to(&mut self, clock: &mut Clock, old: ConnId, conn: ConnId) {
        self.moved.insert(old, conn);
        clock.set(Timer::Moved(old), MOVED);
    }

    /// No response for this connection can come any more.
    pub(super) fn forget_moved(&mut self, conn: ConnId) {
        self.moved.remove(&conn);
    }

    /// Remembers over which connection a device speaks, by the Contact of what it sends, registered or not. Returns the device where it has
    /// not spoken there before.
    pub(super) fn note_contact(&mut self, conn: ConnId, aor: &Aor, message: &Message<'_>) -> Option<Device> {
        let contact = message.contacts().next().filter(|_| message.all(Name::Contact).count() == 1)?.ok()?;
        let user = self.users.get_mut(aor).filter(|_| contact.uri_text.len() <= 512)?;
        let target = Target::of(&contact.uri);
        if user.contacts.get(&target).is_some_and(|contact| contact.conn == conn) {
            return None;
        }
        if user.contacts.len() >= CONTACTS {
            let oldest = user.contacts.iter().min_by_key(|(_, contact)| contact.conn).map(|(target, _)| target.clone());
            oldest.into_iter().for_each(|oldest| drop(user.contacts.remove(&oldest)));
        }
        let device = Device::of(&contact);
        user.contacts.insert(target, Contact { conn, device: device.clone() });
        Some(device)
    }
}
