//! Connections to trunks, of theirs and of ours. They are used for whatever goes to the same place (RFC 5923), and made anew when they are
//! gone: neither a transaction nor a call ends with one.
//!
//! ```text
//!   Connect ──▶ connecting, what is sent waits ── Opened ──▶ open ── Closed ──▶ gone: what waits for an answer is said again over a new one
//!                         └── Closed ──▶ gone: the next address
//! ```

use std::net::SocketAddr;

use offhook_ua::time::Instant;

use super::outbound::JobId;
use super::targets::Hop;
use super::{Flow, LinkId, Output, Trunks, Wire};

/// The most connections at once; of more the new one is closed.
const MOST: usize = 1_024;
/// The most messages that wait for one connection.
const WAITING: usize = 256;

/// One connection.
pub(super) struct Link {
    pub(super) wire: Wire,
    /// The other end.
    pub(super) peer: SocketAddr,
    /// Whose it is, where that is known.
    pub(super) trunk: Option<usize>,
    /// Names that the other end's certificate has.
    pub(super) names: Vec<String>,
    /// Whether we have made it: then `peer` is where more can be made.
    ours: bool,
    open: bool,
    /// When something last came over it.
    pub(super) heard: Instant,
    waiting: Vec<String>,
}

impl Trunks {
    pub(super) fn opened(&mut self, id: LinkId, peer: SocketAddr, wire: Wire, names: &[String]) {
        if let Some(link) = self.links.get_mut(&id) {
            link.open = true;
            let waiting = std::mem::take(&mut link.waiting);
            return waiting.into_iter().for_each(|text| self.push(Output::Send { flow: Flow::Link(id), text }));
        }
        if self.links.len() >= MOST {
            return self.push(Output::Disconnect { link: id });
        }
        // Without a certificate each message tells.
        let trunk = if names.is_empty() { None } else { self.all_at(peer, None, wire, names).first().copied() };
        let (names, waiting) = (names.to_vec(), Vec::new());
        let link = Link { wire, peer, trunk, names, ours: false, open: true, heard: self.now, waiting };
        self.links.insert(id, link);
    }

    pub(super) fn closed(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(&id) else { return };
        let waits = |job: &super::outbound::Job| job.is_waiting() && job.hop.is_some_and(|hop| hop.link == id);
        let stranded: Vec<JobId> = self.jobs.iter().filter(|(_, job)| waits(job)).map(|(id, _)| *id).collect();
        for job in stranded {
            self.stranded(job, link.open);
        }
    }

    /// Closes a connection from our side.
    pub(super) fn disconnect(&mut self, id: LinkId) {
        self.push(Output::Disconnect { link: id });
        self.closed(id);
    }

    /// The hop with a connection that is there, or is being made.
    pub(super) fn connect(&mut self, hop: Hop) -> Hop {
        if hop.wire == Wire::Udp || self.links.contains_key(&hop.link) {
            return hop;
        }
        let fits = |link: &Link| link.trunk == Some(hop.trunk) && link.wire == hop.wire && link.peer == hop.address;
        if let Some((id, _)) = self.links.iter().find(|(_, link)| fits(link)) {
            return Hop { link: *id, ..hop };
        }
        let link = LinkId(self.next() << 1);
        let name = if hop.wire == Wire::Tls { self.peers[hop.trunk].config.place().0.to_owned() } else { String::new() };
        self.links.insert(
            link,
            Link {
                wire: hop.wire,
                peer: hop.address,
                trunk: Some(hop.trunk),
                names: vec![name.clone()],
                ours: true,
                open: false,
                heard: Instant::default(),
                waiting: Vec::new(),
            },
        );
        self.push(Output::Connect { link, peer: hop.address, wire: hop.wire, name });
        Hop { link, ..hop }
    }

    /// Puts a message on its way.
    pub(super) fn deliver(&mut self, hop: Hop, text: String) {
        let hop = self.connect(hop);
        match self.links.get_mut(&hop.link).filter(|_| hop.wire != Wire::Udp) {
            None => self.push(Output::Send { flow: Flow::Udp(hop.address), text }),
            Some(link) if link.open => self.push(Output::Send { flow: Flow::Link(hop.link), text }),
            Some(link) if link.waiting.len() < WAITING => link.waiting.push(text),
            Some(_) => {}
        }
    }

    /// Whether a silent connection is worth keeping: something came over it since `then`.
    pub(super) fn is_alive(&self, id: LinkId, then: Instant) -> bool {
        self.links.get(&id).is_none_or(|link| link.open && (!link.ours || link.heard >= then))
    }
}
