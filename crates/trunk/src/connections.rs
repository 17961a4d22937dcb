//! Connections with trunks, whoever opened them. They are used for all that goes to the same address (RFC 5923), and opened again when they
//! are gone: neither a transaction nor a call ends with one.
//!
//! ```text
//!   Connect ──▶ connecting, messages wait ── Opened ──▶ open ── Closed ──▶ gone: pending requests are sent again over a new one
//!                       └── Closed ──▶ gone: pending requests try the next address
//! ```

use std::net::SocketAddr;

use offhook_ua::time::Instant;

use super::outbound::JobId;
use super::targets::Hop;
use super::{ConnectionId, Flow, Output, Trunks, Wire};

/// The most connections at once; further ones are closed.
const MOST: usize = 1_024;
/// The most messages that wait for one connection.
const WAITING: usize = 256;

/// One connection.
pub(super) struct Connection {
    pub(super) wire: Wire,
    /// The peer's address.
    pub(super) peer: SocketAddr,
    /// The trunk that it is with, where that is known.
    pub(super) trunk: Option<usize>,
    /// Names in the peer's certificate.
    pub(super) names: Vec<String>,
    /// Whether it was opened from here: then more can be opened to `peer`.
    outbound: bool,
    open: bool,
    /// When a message last came over it.
    pub(super) last_received: Instant,
    waiting: Vec<String>,
}

impl Trunks {
    pub(super) fn opened(&mut self, id: ConnectionId, peer: SocketAddr, wire: Wire, names: &[String]) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.open = true;
            let waiting = std::mem::take(&mut connection.waiting);
            return waiting.into_iter().for_each(|text| self.push(Output::Send { flow: Flow::Connection(id), text }));
        }
        if self.connections.len() >= MOST {
            return self.push(Output::Disconnect { connection: id });
        }
        // Without a certificate, each message says whose it is.
        let trunk = if names.is_empty() { None } else { self.all_at(peer, None, wire, names).first().copied() };
        let (names, waiting) = (names.to_vec(), Vec::new());
        let connection = Connection { wire, peer, trunk, names, outbound: false, open: true, last_received: self.now, waiting };
        self.connections.insert(id, connection);
    }

    pub(super) fn closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let waits = |job: &super::outbound::Job| job.is_waiting() && job.hop.is_some_and(|hop| hop.connection == Some(id));
        let stranded: Vec<JobId> = self.jobs.iter().filter(|(_, job)| waits(job)).map(|(id, _)| *id).collect();
        for job in stranded {
            self.connection_lost(job, connection.open);
        }
    }

    /// Closes a connection.
    pub(super) fn disconnect(&mut self, id: ConnectionId) {
        self.push(Output::Disconnect { connection: id });
        self.closed(id);
    }

    /// Returns the hop with a connection, which is opened where there is none.
    pub(super) fn connect(&mut self, hop: Hop) -> Hop {
        if hop.wire == Wire::Udp || hop.connection.is_some_and(|connection| self.connections.contains_key(&connection)) {
            return hop;
        }
        let fits = |connection: &Connection| {
            connection.trunk == Some(hop.trunk) && connection.wire == hop.wire && connection.peer == hop.address
        };
        if let Some((id, _)) = self.connections.iter().find(|(_, connection)| fits(connection)) {
            return Hop { connection: Some(*id), ..hop };
        }
        let connection = ConnectionId(self.next() << 1);
        let name = if hop.wire == Wire::Tls { self.peers[hop.trunk].config.place().0.to_owned() } else { String::new() };
        self.connections.insert(
            connection,
            Connection {
                wire: hop.wire,
                peer: hop.address,
                trunk: Some(hop.trunk),
                names: vec![name.clone()],
                outbound: true,
                open: false,
                last_received: Instant::default(),
                waiting: Vec::new(),
            },
        );
        self.push(Output::Connect { connection, peer: hop.address, wire: hop.wire, name });
        Hop { connection: Some(connection), ..hop }
    }

    /// Sends a message, as soon as its connection is open.
    pub(super) fn deliver(&mut self, hop: Hop, text: String) {
        let hop = self.connect(hop);
        let over = hop.connection.filter(|_| hop.wire != Wire::Udp);
        match over.and_then(|id| Some((id, self.connections.get_mut(&id)?))) {
            None => self.push(Output::Send { flow: Flow::Udp(hop.address), text }),
            Some((id, connection)) if connection.open => self.push(Output::Send { flow: Flow::Connection(id), text }),
            Some((_, connection)) if connection.waiting.len() < WAITING => connection.waiting.push(text),
            Some(_) => {}
        }
    }

    /// Whether a silent connection is worth keeping: something came over it since `then`.
    pub(super) fn is_alive(&self, id: ConnectionId, then: Instant) -> bool {
        self.connections
            .get(&id)
            .is_none_or(|connection| connection.open && (!connection.outbound || connection.last_received >= then))
    }
}
