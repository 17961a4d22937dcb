//! The media side of a call: which peer connection, whose answer it took, which candidates were found and told.

use std::time::Duration;

use offhook_sip::sdp::{self, Candidate, Narrowed};

use super::Session;
use crate::client::context::{Awaited, Context};
use crate::client::io::{IceState, PeerId, TaskKind};

/// What a call knows of its media.
pub struct Media {
    pub peer: PeerId,
    /// Our description, once made.
    pub local: Option<String>,
    /// Theirs, once taken: what the peer connection knows of it.
    pub remote: Option<String>,
    /// Which of their media lines the peer connection knows: no description of this session has fewer lines than the one before it (RFC
    /// 3264, section 8).
    lines: Narrowed,
    /// The tag of the party whose answer was taken (or whose offer was answered).
    pub taken_from: Option<String>,
    /// Whether their description is in place.
    pub joined: bool,
    pub microphone: Microphone,
    /// Whether the other side began the DTLS handshake.
    pub passive: bool,
    pub ice: IceState,
    /// Whether nothing arrived for a while, though ICE has not noticed yet.
    pub silent: bool,
    /// Local candidates in the order in which they were found.
    pub found: Vec<Candidate>,
    /// How many of them our description tells.
    pub described: usize,
    /// Whether all were found.
    pub gathered: bool,
    /// Candidates of the other side that came before there was a peer connection to take them, and whether they are all.
    pub early: (Vec<Candidate>, bool),
}

/// Where the microphone stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Microphone {
    /// Not asked for.
    Closed,
    /// Being opened, and nobody knows what the user will say to it.
    Asked,
    /// Being opened, as the user allowed before.
    Granted,
    /// Open.
    Open,
}

impl Media {
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            local: None,
            remote: None,
            lines: Narrowed::default(),
            taken_from: None,
            joined: false,
            microphone: Microphone::Closed,
            passive: false,
            ice: IceState::New,
            silent: false,
            found: Vec::new(),
            described: 0,
            gathered: false,
            early: (Vec::new(), false),
        }
    }

    /// Begins anew with another peer connection; the microphone stays open.
    pub fn renew(&mut self, peer: PeerId) {
        let (microphone, lines) = (self.microphone, std::mem::take(&mut self.lines));
        *self = Self { microphone, lines, ..Self::new(peer) };
    }

    /// Takes their offer in: what of it the peer connection gets. Without any media that it could take, all of it: it will say so.
    pub fn take_offer(&mut self, offer: &str) -> String {
        let Ok(lines) = sdp::usable(offer) else { return offer.to_owned() };
        let text = lines.text.clone();
        self.lines = lines;
        self.remote = Some(text.clone());
        text
    }

    /// Takes our new description in: what it tells comes first in the list of candidates.
    pub fn describe(&mut self, local: String) {
        self.learn_role(&local, true);
        let told = sdp::candidates(&local);
        let ufrag = sdp::ice_credentials(&local).map(|(ufrag, _)| ufrag);
        self.described = told.len();
        for found in std::mem::replace(&mut self.found, told) {
            if found.ufrag.is_none() || ufrag.is_none() || found.ufrag == ufrag {
                self.find(found);
            }
        }
        self.local = Some(self.lines.widen(&local));
    }

    /// Our description as the body of a request.
    pub fn offer(&self) -> Option<(&str, &str)> {
        Some(("application/sdp", self.local.as_deref()?))
    }

    /// Learns from a description, ours or theirs, who begins the DTLS handshake; offers mostly leave it open.
    pub fn learn_role(&mut self, sdp: &str, ours: bool) {
        if let Some(active) = sdp::is_active(sdp) {
            self.passive = active != ours;
        }
    }

    /// Whether a candidate is news.
    pub fn find(&mut self, candidate: Candidate) -> bool {
        let news = !self.found.iter().any(|known| known.text == candidate.text && known.line == candidate.line);
        if news {
            self.found.push(candidate);
        }
        news
    }

    /// Whether sound can travel.
    #[inline(never)]
    pub const fn is_up(&self) -> bool {
        self.has_path() && !self.silent
    }

    /// Whether ICE has a path: where that broke, it takes browsers 5 s and more to notice.
    pub const fn has_path(&self) -> bool {
        matches!(self.ice, IceState::Connected | IceState::Completed)
    }
}

impl Session {
    /// Has an offer made.
    pub(super) fn make_offer(&self, context: &mut Context, awaited: Awaited, restart: bool, wait: Duration) {
        let kind = TaskKind::Offer { peer: self.media.peer, ice: context.ice(), video: self.info.video, restart, wait };
        context.task(self.info.id, awaited, kind);
    }

    /// Has an answer made.
    pub(super) fn make_answer(&self, context: &mut Context, awaited: Awaited, offer: String, wait: Duration) {
        let kind = TaskKind::Answer { peer: self.media.peer, ice: context.ice(), offer, video: self.info.video, wait };
        context.task(self.info.id, awaited, kind);
    }

    /// Takes our description in, and with it the other ends learn some candidates.
    pub(super) fn describe_us(&mut self, sdp: String) {
        self.media.describe(sdp);
        for leg in &mut self.legs {
            leg.described(self.media.described);
        }
    }

    /// Gives the peer connection their answer.
    pub(super) fn accept_answer(&mut self, context: &mut Context, awaited: Awaited, answer: &str) {
        let answer = self.media.lines.without(answer);
        self.media.learn_role(&answer, false);
        self.media.remote = Some(answer.clone());
        context.task(self.info.id, awaited, TaskKind::Accept { peer: self.media.peer, answer });
    }

    /// Gives the peer connection the call's own stream.
    pub(super) fn send_stream(&self, context: &mut Context, awaited: Awaited) {
        context.task(self.info.id, awaited, TaskKind::Microphone { peer: self.media.peer, video: self.info.video });
    }
}
