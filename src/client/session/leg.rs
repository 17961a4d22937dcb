//! One dialog of a call, with what its other end can do and what it was told.

use std::time::Duration;

use offhook_sip::sdp::{self, Candidate};
use offhook_sip::{Message, Method, Name};
use offhook_ua::dialog::Dialog;
use offhook_ua::forks::Fork;
use offhook_ua::reliable;

use super::{Exchange, Session};
use crate::client::context::{Asked, Context, Owner};

/// One dialog of a call.
pub struct Leg {
    pub dialog: Dialog,
    /// Whether requests may be sent in it: it is known at both ends.
    pub open: bool,
    /// Which reliable provisional responses were acknowledged.
    pub reliable: reliable::Uac,
    /// Whether the other end takes candidates by INFO (RFC 8840).
    pub trickles: bool,
    /// Whether it takes UPDATE (RFC 3311).
    pub updates: bool,
    /// How many local candidates it was told.
    told: usize,
    /// Whether it was told that these are all.
    told_end: bool,
    /// Whether an INFO with candidates waits for its answer: one at a time keeps them in order.
    flying: bool,
}

impl Leg {
    pub fn new(dialog: Dialog, told: usize, open: bool) -> Self {
        Self {
            dialog,
            open,
            reliable: reliable::Uac::default(),
            trickles: false,
            updates: false,
            told,
            told_end: false,
            flying: false,
        }
    }

    /// Learns what the other end can do.
    pub fn learn(&mut self, message: &Message<'_>) {
        self.trickles |= message.has_token(Name::Supported, "trickle-ice");
        self.updates |= message.has_token(Name::Allow, "UPDATE");
    }

    /// A new description went out that tells so many candidates.
    pub const fn described(&mut self, told: usize) {
        self.told = told;
        self.told_end = false;
    }
}

impl Fork for Leg {
    fn dialog(&mut self) -> &mut Dialog {
        &mut self.dialog
    }
}

impl Session {
    /// Tells the other ends the candidates that they do not know yet (RFC 8840, 4.4).
    pub(super) fn trickle(&mut self, context: &mut Context) {
        // What is found now may belong to the next description.
        if matches!(self.exchange, Exchange::Offering | Exchange::Answering { .. }) {
            return;
        }
        for leg in &mut self.legs {
            let news = leg.told < self.media.found.len() || (self.media.gathered && !leg.told_end);
            let Some(local) = self.media.local.as_deref().filter(|_| leg.open && leg.trickles && !leg.flying && news) else {
                continue;
            };
            let candidates: &[Candidate] = self.media.found.get(leg.told..).unwrap_or_default();
            let body = sdp::fragment(local, candidates, self.media.gathered);
            leg.told = self.media.found.len();
            leg.told_end = self.media.gathered;
            leg.flying = true;
            let info = leg.dialog.request(Method::Info).field("Info-Package", "trickle-ice");
            let info = info.field("Content-Disposition", "Info-Package");
            let owner = Owner::Call(self.info.id, Asked::Trickle);
            context.request(info, owner, Some(("application/trickle-ice-sdpfrag", &body)));
        }
    }

    /// An INFO with candidates was answered.
    pub(super) fn trickled(&mut self, context: &mut Context) {
        for leg in &mut self.legs {
            leg.flying = false;
        }
        self.trickle(context);
    }

    /// How long a description may wait for its first candidate: whoever takes none by INFO needs one in it.
    pub(super) fn candidate_wait(&self, context: &Context) -> Duration {
        if self.legs.first().is_some_and(|leg| leg.trickles) { context.config.candidate_wait } else { Duration::from_secs(1) }
    }

    /// Whether there are candidates that the other end, which takes none by INFO, was not told.
    pub(super) fn has_secrets(&self) -> bool {
        self.legs.first().is_some_and(|leg| !leg.trickles && leg.told < self.media.found.len())
    }
}
