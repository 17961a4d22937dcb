//! The path of the media: candidates, its loss, and the way back (RFC 8445, ICE restart).

use std::time::Duration;

use offhook_sip::sdp::{self, Candidate};

use super::Session;
use crate::client::call::{EndCause, Error, State};
use crate::client::context::{Awaited, Context};
use crate::client::io::{Change, IceState, TaskKind};
use crate::client::timers::Timer;
use offhook_sip::StatusCode;

/// How long a path may take to come up, or to come back by itself. Longer than a connection in doubt may be silent: an offer that is
/// made without a network has candidates that nobody can use.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// How much later the callee tries than the caller, so that both do not offer at once; and where both have just reconnected.
const MANNERS: (Duration, Duration) = (Duration::from_millis(2_500), Duration::from_millis(500));
/// How long a call is kept without a path. Browsers take some 5 s to notice, and what comes back needs some seconds, too: so an outage
/// of 60 s is survived, and one of 120 s is not.
pub(super) const LOST: Duration = Duration::from_secs(90);
/// How long a path must be up before it counts as back, and how long a side that ended the media may take to say why.
const SETTLED: Duration = Duration::from_millis(300);
/// How long no media may arrive where there is reason to doubt the path: the connection was lost, the page slept, the network is
/// another one.
const DOUBT: Duration = Duration::from_secs(1);

impl Session {
    /// A local candidate was found.
    pub fn candidate(&mut self, context: &mut Context, candidate: Candidate) {
        if self.media.find(candidate) && !self.is_over() {
            self.trickle(context);
        }
    }

    /// All local candidates were found.
    pub fn gathered(&mut self, context: &mut Context) {
        self.media.gathered = true;
        if !self.is_over() {
            self.trickle(context);
        }
    }

    /// The state of the path changed.
    pub fn ice_changed(&mut self, context: &mut Context, state: IceState) {
        // A path without DTLS carries nothing, and browsers may report it after the end of DTLS.
        if self.left == Some(self.media.peer) {
            return;
        }
        self.media.ice = state;
        // What is heard now says more than what was not heard before.
        self.media.silent = false;
        if self.media.is_up() {
            self.left = None;
        }
        context.drop_tasks(self.info.id, |awaited| awaited == Awaited::Sound);
        if self.is_over() {
            return;
        }
        context.changed(Change::ConnectionChange(state), &self.info);
        if self.info.state == State::Established {
            if self.is_broken() {
                self.interrupt(context);
            }
            self.watch_path(context);
        }
    }

    /// The other side has ended the media. What it means by that it says itself, or the server does when it is asked. A caller who is gone
    /// while it rings may have had no time to say so: browsers cut off what a page that is being closed says last.
    pub fn peer_gone(&mut self, context: &mut Context) {
        self.media.ice = IceState::Failed;
        self.left = Some(self.media.peer);
        if self.info.state == State::Established {
            self.watch_path(context);
        }
        if self.info.state == State::Established || self.is_ringing() {
            context.timers.set(Timer::Path(self.info.id), context.now + SETTLED);
        }
    }

    /// Tells the app, once for each outage.
    fn interrupt(&mut self, context: &mut Context) {
        if !std::mem::replace(&mut self.interrupted, true) {
            context.changed(Change::Reconnecting, &self.info);
        }
    }

    /// Whether a path that was there is gone, also while the next peer connection has not found one.
    #[inline(never)]
    pub(super) fn is_broken(&self) -> bool {
        matches!(self.media.ice, IceState::Disconnected | IceState::Failed) || self.interrupted && !self.media.is_up()
    }

    /// Sees whether the path still brings anything, as far as the other side sends.
    pub fn doubt_path(&self, context: &mut Context) {
        let quiet = self.media.remote.as_deref().is_none_or(sdp::is_quiet);
        let listening = context.tasks.iter().any(|(_, call, awaited)| *call == self.info.id && *awaited == Awaited::Sound);
        if self.info.state == State::Established && self.media.has_path() && !quiet && !listening {
            context.task(self.info.id, Awaited::Sound, TaskKind::Listen { peer: self.media.peer, wait: DOUBT });
        }
    }

    /// Media arrives.
    pub(super) fn heard(&mut self, context: &mut Context) {
        if std::mem::take(&mut self.media.silent) {
            self.watch_path(context);
        }
    }

    /// No media arrived: the path is gone, seconds before ICE would say so. Listens on, as ICE may never say that it is back either.
    pub(super) fn unheard(&mut self, context: &mut Context) {
        if !self.media.has_path() {
            return;
        }
        if !std::mem::replace(&mut self.media.silent, true) {
            self.interrupt(context);
            self.watch_path(context);
            context
                .timers
                .set(Timer::Path(self.info.id), context.now + if self.info.outgoing { Duration::ZERO } else { MANNERS.1 });
        }
        self.doubt_path(context);
    }

    /// An ICE restart, or another peer connection: in Firefox, DTLS does not come back to one whose ICE has failed.
    fn mend(&mut self, context: &mut Context) {
        match self.media.ice {
            IceState::Failed if self.may_offer() => self.renew(context, true),
            _ => self.reoffer(context, self.is_broken()),
        }
    }

    /// Sees to it that a path which is not there is looked for, and that the call does not wait for ever.
    pub(super) fn watch_path(&self, context: &mut Context) {
        let id = self.info.id;
        if self.media.is_up() && self.interrupted {
            return context.timers.set(Timer::Path(id), context.now + SETTLED);
        }
        if self.media.is_up() {
            context.timers.stop(Timer::Path(id));
            return context.timers.stop(Timer::PathLost(id));
        }
        if !context.timers.runs(Timer::PathLost(id)) {
            context.timers.set(Timer::PathLost(id), context.now + LOST);
        }
        let manners = if self.info.outgoing { Duration::ZERO } else { MANNERS.0 };
        let wait = if self.media.ice == IceState::Failed { manners } else { PATIENCE + manners };
        context.timers.set(Timer::Path(id), context.now + wait);
    }

    /// The path did not come (back) by itself: new candidates, or a new start.
    pub fn mend_path(&mut self, context: &mut Context) {
        if self.is_ringing() {
            let known = self.legs.first().is_some_and(|leg| leg.open);
            return if known {
                self.update(context, false)
            };
        }
        if self.info.state != State::Established {
            return;
        }
        if self.media.is_up() {
            self.interrupted = false;
            context.changed(Change::Reconnected, &self.info);
            return self.watch_path(context);
        }
        let broken = self.is_broken();
        if broken {
            self.interrupt(context);
        }
        if context.signed_in && (broken || self.has_secrets()) {
            self.mend(context);
        }
        context.timers.set(Timer::Path(self.info.id), context.now + 3 * PATIENCE);
    }

    /// Both sides offered at once; now it is our turn.
    pub fn offer_again(&mut self, context: &mut Context) {
        self.mend(context);
    }

    /// The path never came back.
    pub fn path_lost(&mut self, context: &mut Context) {
        let error = Error::TimedOut("The media path broke and did not come back");
        self.finish(context, EndCause::Failure, Some(error), StatusCode::REQUEST_TIMEOUT);
    }

    /// The connection to the server is back: the other side learns our new address, and a broken path gets its chance at once.
    pub fn reconnected(&mut self, context: &mut Context) {
        if self.info.state != State::Established || !self.is_up() {
            self.invited_again(context);
            return self.ready(context);
        }
        if self.is_broken() && self.info.outgoing {
            self.mend(context);
        } else if self.is_broken() {
            context.timers.set(Timer::Path(self.info.id), context.now + MANNERS.1);
        } else {
            self.refresh_session(context);
            self.doubt_path(context);
        }
    }
}
