//! The UAS of a call: ringing, early media path, answer, rejection.

use std::rc::Rc;
use std::time::Duration;

use offhook_sip::{Field, Message, NameAddr, OwnedMessage, StatusCode, Writer, reply};
use offhook_sip::{sdp, telephone};
use offhook_ua::dialog::Dialog;
use offhook_ua::reliable;
use offhook_ua::transaction::ServerKey;
use offhook_ua::uas::Refusal;

use super::{Leg, Microphone, Phase, Session, reason};
use crate::client::call::{CallId, CallInfo, Domain, EndCause, Error, State, header_name};
use crate::client::context::{Context, TaskPurpose, with_capabilities};
use crate::client::io::{Event, Output};
use crate::client::timers::Timer;

/// How much longer a callee rings than a caller waits: the CANCEL comes first where both are ours.
const GRACE: Duration = Duration::from_secs(5);

impl Session {
    /// Creates the session of an INVITE and rings: tells the app and the caller at once, and opens the media path where the caller takes an
    /// answer in a reliable provisional response.
    pub fn ring(context: &mut Context, id: CallId, key: ServerKey, owned: &OwnedMessage) -> Option<Self> {
        let invite = owned.get();
        let info = call_info(context, id, invite)?;
        let mut session = Self::new(context, info);
        session.start_ringing(context, key, owned, (false, false));
        let mut leg = Leg::new(Dialog::of_callee(invite, &session.local_tag)?, 0, false);
        leg.learn_capabilities(invite);
        session.legs.push(leg);
        context.event(Event::Incoming(Rc::new(session.info.clone())));
        session.send_ringing(context);
        session.report_progress(context);
        context.timers.set(Timer::AnswerTimeout(id), context.now + context.config.answer_timeout + GRACE);
        if matches!(session.phase, Phase::Ringing { early: true, .. }) {
            session.create_description(context);
        }
        Some(session)
    }

    fn start_ringing(&mut self, context: &Context, key: ServerKey, owned: &OwnedMessage, (answering, described): (bool, bool)) {
        let invite = owned.get();
        // RFC 3262: an answer in a reliable 183 lets ICE and DTLS come up while it rings.
        let early = context.config.connect_while_ringing && invite.description().is_some() && reliable::is_supported_by(invite);
        self.phase = Phase::Ringing { key, invite: owned.clone(), early, answering, described };
        self.connection = context.connection;
    }

    /// Whether this is the INVITE of this call in another transaction: a proxy was restarted, or the caller has lost its connection, and it was
    /// sent again.
    pub fn is_resent_by(&self, resent: &Message<'_>) -> bool {
        let waits = match self.phase {
            Phase::Ringing { .. } => true,
            Phase::Answered => self.reliable.is_pending(),
            _ => false,
        };
        !self.is_over() && waits && self.legs.first().is_some_and(|leg| leg.dialog.is_made_by(resent))
    }

    /// Responds in the new transaction of its INVITE from now on. The older one, if it may still be waited for, gets the 482 of a merged request
    /// (RFC 3261, 8.2.2.2): the newer path is the one that leads back.
    pub fn ring_for_resent(&mut self, context: &mut Context, new_key: ServerKey, resent: &OwnedMessage) {
        let (answering, described) = match &self.phase {
            Phase::Ringing { key, invite, answering, described, .. } => {
                if self.connection == context.connection {
                    context.reject_with(key, invite.get(), Refusal::Status(StatusCode::LOOP_DETECTED), &self.local_tag);
                }
                (*answering, *described)
            }
            _ => (true, false),
        };
        let up = self.is_answered();
        self.start_ringing(context, new_key, resent, (answering, described));
        if let (Some(leg), Some(dialog)) = (self.legs.first_mut(), Dialog::of_callee(resent.get(), &self.local_tag)) {
            leg.dialog.reroute(dialog);
        }
        if up {
            // It was answered, and the caller did not get the 2xx.
            self.reliable.stop();
            return self.send_ok_when_ready(context);
        }
        self.send_ringing(context);
        if let Some(rseq) = self.reliable.rseq() {
            self.send_early_answer(context, rseq);
        }
    }

    /// Answers for the app. `granted`: the microphone opens without a prompt.
    pub fn answer(&mut self, context: &mut Context, granted: bool) {
        let Phase::Ringing { answering: answering @ false, .. } = &mut self.phase else { return };
        *answering = true;
        if self.media.local.is_some() {
            self.open_microphone(context, granted && !self.info.video);
            self.send_ok_when_ready(context);
        } else if !self.is_creating_description(context) {
            self.create_description(context);
        }
    }

    /// Whether our first description is being created.
    pub(super) fn is_creating_description(&self, context: &Context) -> bool {
        context.tasks.iter().any(|(_, call, purpose)| {
            *call == self.info.id && matches!(purpose, TaskPurpose::InitialAnswer | TaskPurpose::InitialOffer)
        })
    }

    /// Asks the browser for our description: an answer, or an offer where the INVITE had none.
    fn create_description(&mut self, context: &mut Context) {
        let Phase::Ringing { invite, early, answering, .. } = &self.phase else { return };
        let leads = *early && !*answering;
        let invite = invite.get();
        let wait = self.candidate_wait(context);
        if let Some(offer) = invite.description() {
            let mut offer = self.media.narrow_offer(offer);
            // Several devices may answer early, and all of them reach the caller's one port: only the caller, which knows whose answer it took,
            // may begin the DTLS handshake (RFC 8842, 5.3).
            if leads {
                offer = sdp::taking_the_lead(&offer);
            }
            self.media.remote_tag = self.legs.first().map(|leg| leg.dialog.remote_tag.clone());
            self.media.remote_applied = true;
            self.request_answer(context, TaskPurpose::InitialAnswer, offer, wait);
        } else {
            self.request_offer(context, TaskPurpose::InitialOffer, false, wait);
        }
    }

    /// Takes our description.
    pub(super) fn description_created(&mut self, context: &mut Context, sdp: String) {
        self.set_local_description(sdp);
        let (candidates, end) = std::mem::take(&mut self.media.early_candidates);
        if !candidates.is_empty() || end {
            context.push(Output::Candidates { peer: self.media.peer, candidates, end });
        }
        let Phase::Ringing { answering, early, .. } = self.phase else { return };
        if answering {
            self.open_microphone(context, false);
            return self.send_ok_when_ready(context);
        }
        if early {
            let rseq = reliable::draw_rseq(&mut context.random);
            self.send_early_answer(context, rseq);
        }
    }

    /// Sends our answer in a reliable 183 (RFC 3262, 3).
    fn send_early_answer(&mut self, context: &mut Context, rseq: u32) {
        let Phase::Ringing { key, invite, .. } = &self.phase else { return };
        let answer = self.response(context, invite, StatusCode::SESSION_PROGRESS).field("Require", "100rel").number("RSeq", rseq);
        let text =
            with_capabilities(answer, &context.contact()).body("application/sdp", self.media.local.as_deref().unwrap_or_default());
        context.respond(key, text.clone());
        self.reliable.provisional(context.now, key.clone(), invite.get(), rseq, text);
        self.set_retransmission_timer(context);
    }

    /// Takes a PRACK: the caller has our early answer.
    pub(super) fn handle_prack(&mut self, context: &mut Context, key: &ServerKey, prack: &Message<'_>) {
        if self.reliable.acknowledge_provisional(prack).is_none() {
            return context.reject(key, prack, StatusCode::CALL_DOES_NOT_EXIST);
        }
        context.respond_ok(key, prack);
        self.set_retransmission_timer(context);
        if let Phase::Ringing { described, .. } = &mut self.phase {
            *described = true;
        }
        if let Some(leg) = self.legs.first_mut() {
            leg.open = true;
        }
        self.trickle(context);
        self.send_ok_when_ready(context);
    }

    /// Sends the 200 once the app has answered, the user has allowed the microphone, and no provisional response waits for its PRACK. It does not
    /// wait until the microphone is open: meanwhile the caller may be heard.
    pub(super) fn send_ok_when_ready(&mut self, context: &mut Context) {
        let Phase::Ringing { key, invite, answering: true, described, .. } = &self.phase else { return };
        if self.is_over() || self.media.microphone < Microphone::Granted || self.reliable.holds_success(context.now) {
            return;
        }
        let Some(local) = self.media.local.as_deref() else { return };
        let sdp = if *described { "" } else { local };
        let offerless = self.media.remote.is_none();
        let (key, invite) = (key.clone(), invite.clone());
        let mut timer = self.timer;
        let answer = timer.answer(invite.get(), self.response(context, &invite, StatusCode::OK));
        let text = with_capabilities(answer, &context.contact()).body("application/sdp", sdp);
        context.respond(&key, text.clone());
        self.timer = timer;
        self.phase = Phase::Answered;
        if let Some(leg) = self.legs.first_mut() {
            leg.dialog.confirmed = true;
        }
        self.reliable.success(context.now, key, invite.get(), text);
        self.set_retransmission_timer(context);
        self.set_session_timers(context);
        context.timers.stop(Timer::AnswerTimeout(self.info.id));
        if !offerless {
            self.report_established(context);
        }
    }

    /// Tells the caller that it rings.
    fn send_ringing(&self, context: &mut Context) {
        if let Phase::Ringing { key, invite, .. } = &self.phase {
            let answer = with_capabilities(self.response(context, invite, StatusCode::RINGING), &context.contact());
            context.respond(key, answer.end());
        }
    }

    /// Begins a response to the INVITE.
    fn response(&self, context: &Context, invite: &OwnedMessage, code: StatusCode) -> Writer {
        reply(invite.get(), code, Some(&self.local_tag)).field("User-Agent", &context.config.user_agent)
    }

    /// Rejects the INVITE; the call is over already.
    pub(super) fn reject(&mut self, context: &mut Context, code: StatusCode) {
        if let Phase::Ringing { key, invite, .. } = &self.phase {
            let mut answer = self.response(context, invite, code);
            if let Some(error) = &self.info.error {
                answer = answer.field("Reason", &reason(code, error));
            }
            context.respond(key, answer.end());
        }
        self.reliable.stop();
        self.done = true;
    }

    /// Takes a CANCEL: the caller hung up, or another device of ours has answered (RFC 3326).
    pub fn handle_cancel(&mut self, context: &mut Context, cancel: &Message<'_>) {
        let elsewhere = cancel.reason("SIP").is_some_and(|reason| reason.cause == Some(200));
        let cause = if elsewhere { EndCause::OtherDeviceAnswered } else { EndCause::Canceled };
        self.terminate(context, cause, None, StatusCode::REQUEST_TERMINATED);
    }
}

/// Returns what the app sees of an INVITE.
fn call_info(context: &Context, id: CallId, invite: &Message<'_>) -> Option<CallInfo> {
    let from = invite.from().ok()?;
    let (domain, from_id) = match telephone_number(invite, &from) {
        Some(number) => (Domain::Pstn, number),
        None => caller(&from, [&context.config.domain, context.home.as_deref().unwrap_or_default()]),
    };
    let named = |field: &Field<'_>| Some((header_name(field.raw_name)?.to_owned(), field.value.to_owned()));
    let headers = invite.fields().iter().filter_map(named).collect();
    let video = context.config.video && invite.description().is_some_and(sdp::has_video);
    Some(CallInfo {
        id,
        call_id: invite.call_id().ok()?.to_owned(),
        outgoing: false,
        domain,
        from_id,
        to_id: context.user.clone(),
        display_name: from.display().into_owned(),
        headers,
        state: State::Initiating,
        end_cause: EndCause::None,
        progressing: None,
        established: None,
        ended: None,
        error: None::<Error>,
        muted: false,
        video,
    })
}

/// Returns the number of a caller that the server marks as a telephone, by `user=phone` (RFC 3261, 19.1.1), which it lets no user write, in
/// From or P-Asserted-Identity (RFC 3325). A name that looks like a number is none.
fn telephone_number(invite: &Message<'_>, from: &NameAddr<'_>) -> Option<String> {
    let phone = |party: &&NameAddr<'_>| party.uri.params.get("user").is_some_and(|kind| kind.eq_ignore_ascii_case("phone"));
    let asserted = invite.get_other("P-Asserted-Identity").and_then(|value| NameAddr::parse(value).ok());
    let party = asserted.iter().chain([from]).find(phone)?;
    Some(telephone::number_in(&party.uri).unwrap_or_else(|| party.uri.user_text().into_owned()))
}

/// Returns the caller: a user of the same server, or a SIP address.
fn caller(from: &NameAddr<'_>, homes: [&str; 2]) -> (Domain, String) {
    let user = from.uri.user_text();
    // A gateway marks callers from outside so, also where they name our own domain.
    let outside = from.uri.params.get("user") == Some("ip");
    if !outside && homes.iter().any(|home| from.uri.host.eq_ignore_ascii_case(home)) {
        return (Domain::Data, user.into_owned());
    }
    (Domain::Sip, format!("{user}@{}", from.uri.host))
}
