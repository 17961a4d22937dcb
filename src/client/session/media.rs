//! The media of a call: its peer connection, the descriptions of both ends, and the local candidates.

use std::time::Duration;

use offhook_sip::sdp::{self, Candidate, Narrowed};
use offhook_ua::time::Instant;

use super::Session;
use crate::client::context::{Context, TaskPurpose};
use crate::client::io::{Change, IceState, PeerId, TaskKind};

/// The media of a call.
pub struct Media {
    pub peer: PeerId,
    /// The local description, once made.
    pub local: Option<String>,
    /// The remote description, once there is one: the part that the peer connection got.
    pub remote: Option<String>,
    /// Which media lines of the remote description the peer connection got: no description of a session has fewer lines than the one before
    /// it (RFC 3264, 8).
    lines: Narrowed,
    /// The tag of the remote party that the remote description is from.
    pub remote_tag: Option<String>,
    /// Whether the peer connection has the remote description.
    pub remote_applied: bool,
    pub microphone: Microphone,
    /// What became of our audio and our video.
    pub lost: [Lost; 2],
    /// Whether the remote party begins the DTLS handshake.
    pub dtls_passive: bool,
    pub ice: IceState,
    /// Whether no media arrived for a while, though ICE has not noticed yet.
    pub silent: bool,
    /// Local candidates in the order in which they were found.
    pub candidates: Vec<Candidate>,
    /// How many of them are in the local description.
    pub described: usize,
    /// Whether all were found.
    pub gathered: bool,
    /// Remote candidates that came before there was a peer connection to take them, and whether they are all.
    pub early_candidates: (Vec<Candidate>, bool),
}

/// Where the microphone stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Microphone {
    /// Not opened.
    Closed,
    /// Being opened; the user may be asked.
    Requested,
    /// Being opened; the user has allowed it before.
    Granted,
    /// Open.
    Open,
}

/// What became of a track of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lost {
    /// It is there, or was never sent.
    #[default]
    No,
    /// It has ended, and is being replaced.
    Reopening {
        /// Whether the devices have changed since that began.
        changed: bool,
    },
    /// It has ended, and nothing could replace it so far.
    Missing,
    /// It has ended, and is there again since then.
    Replaced(Instant),
}

/// A device that was opened in place of another one, and whose track ends within this time, is not opened again until the devices change.
const BRIEF: Duration = Duration::from_secs(1);

impl Media {
    pub fn new(peer: PeerId) -> Self {
        Self {
            peer,
            local: None,
            remote: None,
            lines: Narrowed::default(),
            remote_tag: None,
            remote_applied: false,
            microphone: Microphone::Closed,
            lost: [Lost::No; 2],
            dtls_passive: false,
            ice: IceState::New,
            silent: false,
            candidates: Vec::new(),
            described: 0,
            gathered: false,
            early_candidates: (Vec::new(), false),
        }
    }

    /// Starts over with another peer connection; the microphone stays open.
    pub fn replace(&mut self, peer: PeerId) {
        let (microphone, lost, lines) = (self.microphone, self.lost, std::mem::take(&mut self.lines));
        *self = Self { microphone, lost, lines, ..Self::new(peer) };
    }

    /// Returns the part of the remote offer that the peer connection gets. Without any media that it could take, all of it: it will say so.
    pub fn narrow_offer(&mut self, offer: &str) -> String {
        let Ok(lines) = sdp::usable(offer) else { return offer.to_owned() };
        let text = lines.text.clone();
        self.lines = lines;
        self.remote = Some(text.clone());
        text
    }

    /// Takes a new local description: its candidates come first in the list.
    pub fn set_local(&mut self, local: String) {
        self.learn_dtls_role(&local, true);
        let described = sdp::candidates(&local);
        let ufrag = sdp::ice_credentials(&local).map(|(ufrag, _)| ufrag);
        self.described = described.len();
        for candidate in std::mem::replace(&mut self.candidates, described) {
            if candidate.ufrag.is_none() || ufrag.is_none() || candidate.ufrag == ufrag {
                self.add_candidate(candidate);
            }
        }
        self.local = Some(self.lines.widen(&local));
    }

    /// The local description as the body of a request.
    pub fn offer(&self) -> Option<(&str, &str)> {
        Some(("application/sdp", self.local.as_deref()?))
    }

    /// Learns from a description, local (`ours`) or remote, who begins the DTLS handshake; offers mostly leave it open.
    pub fn learn_dtls_role(&mut self, sdp: &str, ours: bool) {
        if let Some(active) = sdp::is_active(sdp) {
            self.dtls_passive = active != ours;
        }
    }

    /// Adds a local candidate; `false` where it is known already.
    pub fn add_candidate(&mut self, candidate: Candidate) -> bool {
        let news = !self.candidates.iter().any(|known| known.text == candidate.text && known.line == candidate.line);
        if news {
            self.candidates.push(candidate);
        }
        news
    }

    /// Whether media arrives, as far as is known.
    pub const fn is_up(&self) -> bool {
        self.has_path() && !self.silent
    }

    /// Whether ICE has a path. Browsers take 5 s and more to notice that it broke.
    pub const fn has_path(&self) -> bool {
        matches!(self.ice, IceState::Connected | IceState::Completed)
    }
}

impl Session {
    /// Asks the browser for an offer.
    pub(super) fn request_offer(&self, context: &mut Context, purpose: TaskPurpose, restart: bool, wait: Duration) {
        let kind = TaskKind::Offer { peer: self.media.peer, ice: context.ice_config(), video: self.info.video, restart, wait };
        context.start_task(self.info.id, purpose, kind);
    }

    /// Asks the browser for an answer.
    pub(super) fn request_answer(&self, context: &mut Context, purpose: TaskPurpose, offer: String, wait: Duration) {
        let kind = TaskKind::Answer { peer: self.media.peer, ice: context.ice_config(), offer, video: self.info.video, wait };
        context.start_task(self.info.id, purpose, kind);
    }

    /// Takes a new local description. The remote parties learn some candidates from it.
    pub(super) fn set_local_description(&mut self, sdp: String) {
        self.media.set_local(sdp);
        for leg in &mut self.legs {
            leg.described(self.media.described);
        }
    }

    /// Gives the peer connection the remote answer.
    pub(super) fn apply_answer(&mut self, context: &mut Context, purpose: TaskPurpose, answer: &str) {
        let answer = self.media.lines.without(answer);
        self.media.learn_dtls_role(&answer, false);
        self.media.remote = Some(answer.clone());
        context.start_task(self.info.id, purpose, TaskKind::Accept { peer: self.media.peer, answer });
    }

    /// Gives the peer connection the call's own stream.
    pub(super) fn attach_stream(&self, context: &mut Context, purpose: TaskPurpose) {
        context.start_task(self.info.id, purpose, TaskKind::Microphone { video: self.info.video });
    }

    /// A track of ours has ended: tells the app, and has its device, or the default one, opened anew.
    pub fn local_track_ended(&mut self, context: &mut Context, video: bool) {
        context.call_changed(Change::LocalTrackEnded { video }, &self.info);
        match *self.lost(video) {
            Lost::Replaced(at) if context.now < at + BRIEF => *self.lost(video) = Lost::Missing,
            _ => self.reopen(context, video),
        }
    }

    /// Tries again to replace what is missing.
    pub fn devices_changed(&mut self, context: &mut Context) {
        for video in [false, true] {
            if self.misses(video) && !self.is_over() {
                self.reopen(context, video);
            }
        }
    }

    /// The app has replaced what the call sends.
    pub fn local_stream_replaced(&mut self, context: &mut Context, audio: bool, video: bool) {
        for (replaced, lost) in [audio, video].into_iter().zip(&mut self.media.lost) {
            if replaced {
                *lost = Lost::No;
            }
        }
        context.call_changed(Change::LocalStream, &self.info);
    }

    /// A track that had ended is there again.
    pub(super) fn track_reopened(&mut self, context: &mut Context, video: bool) {
        if self.misses(video) {
            *self.lost(video) = Lost::Replaced(context.now);
            context.call_changed(Change::LocalStream, &self.info);
        }
    }

    /// Nothing can replace a track that has ended: the call goes on without it.
    pub(super) fn track_missing(&mut self, context: &mut Context, video: bool) {
        let Lost::Reopening { changed } = *self.lost(video) else { return };
        *self.lost(video) = Lost::Missing;
        if changed {
            self.reopen(context, video);
        }
    }

    /// Has the device of a track that has ended opened anew; where that is under way, perhaps once more.
    fn reopen(&mut self, context: &mut Context, video: bool) {
        let changed = matches!(self.lost(video), Lost::Reopening { .. });
        *self.lost(video) = Lost::Reopening { changed };
        if !changed {
            context.start_task(self.info.id, TaskPurpose::Reopen { video }, TaskKind::Reopen { video });
        }
    }

    fn misses(&mut self, video: bool) -> bool {
        matches!(self.lost(video), Lost::Reopening { .. } | Lost::Missing)
    }

    fn lost(&mut self, video: bool) -> &mut Lost {
        let [audio_lost, video_lost] = &mut self.media.lost;
        if video { video_lost } else { audio_lost }
    }
}
