//! The path of the media: candidates, loss, and restoration by ICE restart (RFC 8445).

use std::time::Duration;

use offhook_sip::sdp::{self, Candidate};

use super::Session;
use crate::client::call::{EndCause, Error, State};
use crate::client::context::{Context, TaskPurpose};
use crate::client::io::{Change, IceState, TaskKind};
use crate::client::timers::Timer;
use offhook_sip::StatusCode;

/// How long a path may take to come up, or to come back by itself. Longer than the time-out of a probe of the connection: an offer that is made
/// without a network has no usable candidates.
const PATH_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How much later the callee tries than the caller, so that their offers do not cross.
const CALLEE_DELAY: Duration = Duration::from_millis(2_500);
/// The same where both have just reconnected.
const CALLEE_DELAY_RECONNECTED: Duration = Duration::from_millis(500);
/// How long a call is kept without a path. Browsers take some 5 s to notice, and restoration takes some seconds, too: a call survives an outage
/// of 60 s, but not one of 120 s.
pub(super) const MEDIA_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a path must be up before it counts as restored, or down before it counts as lost, and how long a remote party that closed its peer connection may take to say why.
const SETTLE: Duration = Duration::from_millis(300);
/// How long no media may arrive where the path is in doubt: the connection was lost, the page slept, or the network has changed.
const LISTEN: Duration = Duration::from_secs(1);

impl Session {
    /// Takes a local candidate.
    pub fn local_candidate(&mut self, context: &mut Context, candidate: Candidate) {
        if self.media.add_candidate(candidate) && !self.is_over() {
            self.trickle(context);
        }
    }

    /// Takes note that all local candidates were found.
    pub fn candidates_gathered(&mut self, context: &mut Context) {
        self.media.gathered = true;
        if !self.is_over() {
            self.trickle(context);
        }
    }

    /// Takes the ICE state of the peer connection.
    pub fn ice_state_changed(&mut self, context: &mut Context, state: IceState) {
        // A path without DTLS carries nothing, and browsers may report it after the end of DTLS.
        if self.closed_peer == Some(self.media.peer) {
            return;
        }
        self.media.ice = state;
        // A new state says more than the missing media before it.
        self.media.silent = false;
        if self.media.is_up() {
            self.closed_peer = None;
        }
        context.drop_tasks(self.info.id, |purpose| purpose == TaskPurpose::Listen);
        if self.is_over() {
            return;
        }
        context.call_changed(Change::ConnectionChange(state), &self.info);
        if self.info.state == State::Established {
            match state {
                IceState::Disconnected => context.timers.set(Timer::Interruption(self.info.id), context.now + SETTLE),
                IceState::Failed => self.report_interruption(context),
                _ => {}
            }
            self.set_path_timers(context);
        }
    }

    /// Tells the app of an interruption if ICE has found no path since it reported the loss. After an outage browsers may report a loss that is
    /// over, and milliseconds later that the path is there.
    pub fn path_is_still_lost(&mut self, context: &mut Context) {
        if self.is_path_broken() {
            self.report_interruption(context);
        }
    }

    /// The remote party has closed its peer connection. A BYE or CANCEL may follow; if none does, an offer or UPDATE of ours shows whether it is
    /// there. Browsers may cut off the last message of a page that is being closed.
    pub fn peer_closed(&mut self, context: &mut Context) {
        self.media.ice = IceState::Failed;
        self.closed_peer = Some(self.media.peer);
        if self.info.state == State::Established {
            self.set_path_timers(context);
        }
        if self.info.state == State::Established || self.is_ringing() {
            context.timers.set(Timer::Path(self.info.id), context.now + SETTLE);
        }
    }

    /// Tells the app of an interruption, once for each.
    fn report_interruption(&mut self, context: &mut Context) {
        if !std::mem::replace(&mut self.interrupted, true) {
            context.call_changed(Change::Reconnecting, &self.info);
        }
    }

    /// Whether the path is lost, also while the next peer connection has not found one.
    pub(super) fn is_path_broken(&self) -> bool {
        matches!(self.media.ice, IceState::Disconnected | IceState::Failed) || self.interrupted && !self.media.is_up()
    }

    /// Has the browser listen whether media still arrives, if the remote party sends any.
    pub fn check_media(&self, context: &mut Context) {
        let quiet = self.media.remote.as_deref().is_none_or(sdp::is_quiet);
        let listening = context.tasks.iter().any(|(_, call, purpose)| *call == self.info.id && *purpose == TaskPurpose::Listen);
        if self.info.state == State::Established && self.media.has_path() && !quiet && !listening {
            context.start_task(self.info.id, TaskPurpose::Listen, TaskKind::Listen { peer: self.media.peer, wait: LISTEN });
        }
    }

    /// Takes note that media arrives.
    pub(super) fn media_arrived(&mut self, context: &mut Context) {
        if std::mem::take(&mut self.media.silent) {
            self.set_path_timers(context);
        }
    }

    /// No media arrived: the path is lost, seconds before ICE reports it. Goes on listening, as ICE may never report that it is back either.
    pub(super) fn media_missing(&mut self, context: &mut Context) {
        if !self.media.has_path() {
            return;
        }
        if !std::mem::replace(&mut self.media.silent, true) {
            self.report_interruption(context);
            self.set_path_timers(context);
            context.timers.set(
                Timer::Path(self.info.id),
                context.now + if self.info.outgoing { Duration::ZERO } else { CALLEE_DELAY_RECONNECTED },
            );
        }
        self.check_media(context);
    }

    /// Offers an ICE restart, or another peer connection: in Firefox, DTLS does not come back to one whose ICE has failed.
    fn restore_path(&mut self, context: &mut Context) {
        match self.media.ice {
            IceState::Failed if self.may_offer() => self.reoffer_with_new_peer(context, true),
            _ => self.reoffer(context, self.is_path_broken()),
        }
    }

    /// Sets the timers that restore the path, and that end a call without one.
    pub(super) fn set_path_timers(&self, context: &mut Context) {
        let id = self.info.id;
        if self.media.is_up() && self.interrupted {
            return context.timers.set(Timer::Path(id), context.now + SETTLE);
        }
        if self.media.is_up() {
            context.timers.stop(Timer::Path(id));
            return context.timers.stop(Timer::MediaTimeout(id));
        }
        if !context.timers.runs(Timer::MediaTimeout(id)) {
            context.timers.set(Timer::MediaTimeout(id), context.now + MEDIA_TIMEOUT);
        }
        let delay = if self.info.outgoing { Duration::ZERO } else { CALLEE_DELAY };
        let wait = if self.media.ice == IceState::Failed { delay } else { PATH_TIMEOUT + delay };
        context.timers.set(Timer::Path(id), context.now + wait);
    }

    /// Offers new candidates or another peer connection, as the path did not come up, or back, by itself.
    pub fn try_new_path(&mut self, context: &mut Context) {
        if self.is_ringing() {
            if self.legs.first().is_some_and(|leg| leg.open) {
                self.send_update(context, false);
            }
            return;
        }
        if self.info.state != State::Established {
            return;
        }
        if self.media.is_up() {
            self.interrupted = false;
            context.call_changed(Change::Reconnected, &self.info);
            return self.set_path_timers(context);
        }
        let broken = self.is_path_broken();
        if broken {
            self.report_interruption(context);
        }
        if context.signed_in && (broken || self.has_unsent_candidates()) {
            self.restore_path(context);
        }
        context.timers.set(Timer::Path(self.info.id), context.now + 3 * PATH_TIMEOUT);
    }

    /// Offers again after offers have crossed.
    pub fn retry_offer(&mut self, context: &mut Context) {
        self.restore_path(context);
    }

    /// Ends the call: the path did not come back in time.
    pub fn media_timed_out(&mut self, context: &mut Context) {
        let error = Error::TimedOut("The media path broke and did not come back");
        self.terminate(context, EndCause::Failure, Some(error), StatusCode::REQUEST_TIMEOUT);
    }

    /// After the connection to the server is back: tells the remote party our new address, and restores a lost path at once.
    pub fn reconnected(&mut self, context: &mut Context) {
        if self.info.state != State::Established || !self.is_answered() {
            self.watch_resent_invite(context);
            return self.proceed(context);
        }
        if self.is_path_broken() && self.info.outgoing {
            self.restore_path(context);
        } else if self.is_path_broken() {
            context.timers.set(Timer::Path(self.info.id), context.now + CALLEE_DELAY_RECONNECTED);
        } else {
            self.refresh_session(context);
            self.check_media(context);
        }
    }
}
