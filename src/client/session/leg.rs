//! One dialog of a call, with what the remote party supports and which candidates it was sent.

use std::time::Duration;

use offhook_sip::sdp::{self, Candidate};
use offhook_sip::{Message, Method, Name};
use offhook_ua::dialog::Dialog;
use offhook_ua::forks::Fork;
use offhook_ua::reliable;

use super::{OfferAnswer, Session};
use crate::client::context::{Context, Owner, Purpose};

/// One dialog of a call.
pub struct Leg {
    pub dialog: Dialog,
    /// Whether requests may be sent in it: both ends know it.
    pub open: bool,
    /// Which reliable provisional responses were acknowledged.
    pub reliable: reliable::Uac,
    /// Whether the remote party takes candidates by INFO (RFC 8840).
    pub trickles: bool,
    /// Whether it takes UPDATE (RFC 3311).
    pub allows_update: bool,
    /// How many local candidates it was sent.
    candidates_sent: usize,
    /// Whether it was told that these are all.
    end_sent: bool,
    /// Whether an INFO with candidates waits for its response: one at a time keeps them in order.
    info_pending: bool,
}

impl Leg {
    pub fn new(dialog: Dialog, candidates_sent: usize, open: bool) -> Self {
        Self {
            dialog,
            open,
            reliable: reliable::Uac::default(),
            trickles: false,
            allows_update: false,
            candidates_sent,
            end_sent: false,
            info_pending: false,
        }
    }

    /// Learns what the remote party supports.
    pub fn learn_capabilities(&mut self, message: &Message<'_>) {
        self.trickles |= message.has_token(Name::Supported, "trickle-ice");
        self.allows_update |= message.has_token(Name::Allow, "UPDATE");
    }

    /// Takes note of a new description of ours with so many candidates.
    pub const fn described(&mut self, candidates: usize) {
        self.candidates_sent = candidates;
        self.end_sent = false;
    }
}

impl Fork for Leg {
    fn dialog(&mut self) -> &mut Dialog {
        &mut self.dialog
    }
}

impl Session {
    /// Sends the candidates that the remote parties do not know yet (RFC 8840, 4.4).
    pub(super) fn trickle(&mut self, context: &mut Context) {
        // What is found now may belong to the next description.
        if matches!(self.offer_answer, OfferAnswer::Offering | OfferAnswer::Answering { .. } | OfferAnswer::Cancelled { .. }) {
            return;
        }
        for leg in &mut self.legs {
            let news = leg.candidates_sent < self.media.candidates.len() || (self.media.gathered && !leg.end_sent);
            let Some(local) = self.media.local.as_deref().filter(|_| leg.open && leg.trickles && !leg.info_pending && news) else {
                continue;
            };
            let candidates: &[Candidate] = self.media.candidates.get(leg.candidates_sent..).unwrap_or_default();
            let body = sdp::fragment(local, candidates, self.media.gathered);
            leg.candidates_sent = self.media.candidates.len();
            leg.end_sent = self.media.gathered;
            leg.info_pending = true;
            let info = leg.dialog.request(Method::Info).field("Info-Package", "trickle-ice");
            let info = info.field("Content-Disposition", "Info-Package");
            let owner = Owner::Call(self.info.id, Purpose::Trickle);
            context.send_request(info, owner, Some(("application/trickle-ice-sdpfrag", &body)));
        }
    }

    /// Goes on after the response to an INFO with candidates.
    pub(super) fn trickle_answered(&mut self, context: &mut Context) {
        for leg in &mut self.legs {
            leg.info_pending = false;
        }
        self.trickle(context);
    }

    /// How long a description waits for its first candidate: a remote party that takes none by INFO needs one in it.
    pub(super) fn candidate_wait(&self, context: &Context) -> Duration {
        if self.legs.first().is_some_and(|leg| leg.trickles) { context.config.candidate_wait } else { Duration::from_secs(1) }
    }

    /// Whether there are candidates that the remote party, which takes none by INFO, was not sent.
    pub(super) fn has_unsent_candidates(&self) -> bool {
        self.legs.first().is_some_and(|leg| !leg.trickles && leg.candidates_sent < self.media.candidates.len())
    }
}
