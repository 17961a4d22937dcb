//! The path of the media: candidates, its loss, and the way back (RFC 8445, ICE restart).

use super::Session;
use crate::call::{EndCause, Error, State, codes};
use crate::client::core::Core;
use crate::client::io::{Change, IceState};
use crate::client::timers::Timer;
use crate::sdp::Candidate;
use crate::time::Instant;

/// How long a path may take to come up, or to come back by itself.
const PATIENCE: u64 = 2_000;
/// How much later the callee tries than the caller, so that both do not offer at once.
const MANNERS: u64 = 2_500;
/// How long a call is kept without a path.
const LOST: u64 = 60_000;

impl Session {
    /// A local candidate was found.
    pub fn candidate(&mut self, core: &mut Core, now: Instant, candidate: Candidate) {
        if self.media.find(candidate) && !self.is_over() {
            self.trickle(core, now);
        }
    }

    /// All local candidates were found.
    pub fn gathered(&mut self, core: &mut Core, now: Instant) {
        self.media.gathered = true;
        if !self.is_over() {
            self.trickle(core, now);
        }
    }

    /// The state of the path changed.
    pub fn ice_changed(&mut self, core: &mut Core, now: Instant, state: IceState) {
        self.media.ice = state;
        if self.is_over() {
            return;
        }
        core.changed(Change::ConnectionChange(state), &self.info);
        if self.info.state == State::Established {
            self.watch_path(core, now);
        }
    }

    /// Sees to it that a path which is not there is looked for, and that the call does not wait for ever.
    pub(super) fn watch_path(&self, core: &mut Core, now: Instant) {
        let id = self.info.id;
        if self.media.is_up() {
            core.timers.stop(Timer::Path(id));
            core.timers.stop(Timer::PathLost(id));
            return;
        }
        if !core.timers.runs(Timer::PathLost(id)) {
            core.timers.set(Timer::PathLost(id), now + LOST);
        }
        let manners = if self.info.outgoing { 0 } else { MANNERS };
        let wait = if self.media.ice == IceState::Failed { manners } else { PATIENCE + manners };
        core.timers.set(Timer::Path(id), now + wait);
    }

    /// The path did not come (back) by itself: new candidates, or a new start.
    pub fn mend_path(&mut self, core: &mut Core, now: Instant) {
        if self.media.is_up() || self.info.state != State::Established {
            return;
        }
        let broken = matches!(self.media.ice, IceState::Disconnected | IceState::Failed);
        if core.signed_in && (broken || self.has_secrets()) {
            self.reoffer(core, broken);
        }
        core.timers.set(Timer::Path(self.info.id), now + 3 * PATIENCE);
    }

    /// Both sides offered at once; now it is our turn.
    pub fn offer_again(&mut self, core: &mut Core) {
        let broken = matches!(self.media.ice, IceState::Disconnected | IceState::Failed);
        self.reoffer(core, broken);
    }

    /// The path never came back.
    pub fn path_lost(&mut self, core: &mut Core, now: Instant) {
        let error = Error::new(codes::CONNECTION_TIMED_OUT, "The media path broke and did not come back");
        self.finish(core, now, EndCause::Failure, Some(error), 408);
    }

    /// The connection to the server is back: the other side learns our new address, and a broken path gets its chance at once.
    pub fn reconnected(&mut self, core: &mut Core, now: Instant) {
        if self.info.state != State::Established {
            self.invited_again(core, now);
            return self.ready(core, now);
        }
        if matches!(self.media.ice, IceState::Disconnected | IceState::Failed) {
            self.reoffer(core, true);
        } else {
            self.refresh_session(core, now);
        }
    }
}
