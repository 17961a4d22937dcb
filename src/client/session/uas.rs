//! The callee's side: ringing, early media path, answer, refusal.

use std::rc::Rc;
use std::time::Duration;

use offhook_sip::sdp;
use offhook_sip::{Field, Message, Name, NameAddr, OwnedMessage, StatusCode, Writer, quote, reply};
use offhook_ua::dialog::Dialog;
use offhook_ua::reliable::draw_rseq;
use offhook_ua::transaction::ServerKey;
use offhook_ua::uas::Refusal;

use super::{Leg, Microphone, Phase, Session};
use crate::client::call::{CallId, CallInfo, Domain, EndCause, Error, State, header_name};
use crate::client::context::{Awaited, Context, capable};
use crate::client::io::{Event, Output};
use crate::client::timers::Timer;

/// How much longer than the caller a callee rings: the caller's end comes first where both are ours.
const GRACE: Duration = Duration::from_secs(5);

impl Session {
    /// Rings: tells the app and the caller at once, and opens the media path where the caller can take an early answer.
    pub fn ring(context: &mut Context, id: CallId, key: ServerKey, owned: &OwnedMessage) -> Option<Self> {
        let invite = owned.get();
        let info = incoming(context, id, invite)?;
        let mut session = Self::new(context, info);
        session.rings(context, key, owned, (false, false));
        let mut leg = Leg::new(Dialog::of_callee(invite, &session.local_tag)?, 0, false);
        leg.learn(invite);
        session.legs.push(leg);
        context.event(Event::Incoming(Rc::new(session.info.clone())));
        session.send_ringing(context);
        session.progress(context);
        context.timers.set(Timer::Answer(id), context.now + context.config.answer_timeout + GRACE);
        if matches!(session.phase, Phase::Ringing { early: true, .. }) {
            session.describe(context);
        }
        Some(session)
    }

    fn rings(&mut self, context: &Context, key: ServerKey, owned: &OwnedMessage, (answering, described): (bool, bool)) {
        let invite = owned.get();
        // RFC 3262: an answer in a reliable 183 lets ICE and DTLS come up while it rings.
        let early = context.config.connect_while_ringing
            && invite.content_is("application/sdp")
            && (invite.has_token(Name::Supported, "100rel") || invite.has_token(Name::Require, "100rel"));
        self.phase = Phase::Ringing { key, invite: owned.clone(), early, answering, described };
        self.connection = context.connection;
    }

    /// Whether this is the INVITE of this call, come again by another branch: a server lost its memory, or the caller its connection,
    /// and said it once more.
    pub fn rings_again(&self, again: &Message<'_>) -> bool {
        let waits = match self.phase {
            Phase::Ringing { .. } => true,
            Phase::Up => self.reliable.is_pending(),
            _ => false,
        };
        !self.is_over() && waits && self.legs.first().is_some_and(|leg| leg.dialog.is_made_by(again))
    }

    /// Goes on for it, and answers the new branch from now on. The older one, where somebody may still wait for it, is the one that is
    /// merged (RFC 3261, 8.2.2.2): the newer way is the one that leads back.
    pub fn ring_again(&mut self, context: &mut Context, new_key: ServerKey, again: &OwnedMessage) {
        let (answering, described) = match &self.phase {
            Phase::Ringing { key, invite, answering, described, .. } => {
                if self.connection == context.connection {
                    context.refuse_with(key, invite.get(), Refusal::Status(StatusCode::LOOP_DETECTED), &self.local_tag);
                }
                (*answering, *described)
            }
            _ => (true, false),
        };
        let up = self.is_up();
        self.rings(context, new_key, again, (answering, described));
        if let (Some(leg), Some(dialog)) = (self.legs.first_mut(), Dialog::of_callee(again.get(), &self.local_tag)) {
            leg.dialog.reroute(dialog);
        }
        if up {
            // It was answered, and the caller did not hear it.
            self.reliable.stop();
            return self.accept(context);
        }
        self.send_ringing(context);
        if let Some(rseq) = self.reliable.rseq() {
            self.answer_early(context, rseq);
        }
    }

    /// The app answers. `granted`: the microphone will open without a question.
    pub fn answer(&mut self, context: &mut Context, granted: bool) {
        let Phase::Ringing { answering: answering @ false, .. } = &mut self.phase else { return };
        *answering = true;
        if self.media.local.is_some() {
            self.open_microphone(context, granted && !self.info.video);
            self.accept(context);
        } else if !self.is_describing(context) {
            self.describe(context);
        }
    }

    /// Whether our first description is being made.
    pub(super) fn is_describing(&self, context: &Context) -> bool {
        context
            .tasks
            .iter()
            .any(|(_, call, awaited)| *call == self.info.id && matches!(awaited, Awaited::FirstAnswer | Awaited::FirstOffer))
    }

    /// Has our description made: an answer, or an offer where the INVITE had none.
    fn describe(&mut self, context: &mut Context) {
        let Phase::Ringing { invite, early, answering, .. } = &self.phase else { return };
        let leads = *early && !*answering;
        let invite = invite.get();
        let wait = self.candidate_wait(context);
        if invite.content_is("application/sdp") {
            let mut offer = self.media.take_offer(invite.text());
            // Several devices may answer early, and all of them reach the caller's one port: only the caller, who knows whose answer
            // it took, may begin the DTLS handshake (RFC 8842, 5.3).
            if leads {
                offer = sdp::taking_the_lead(&offer);
            }
            self.media.taken_from = self.legs.first().map(|leg| leg.dialog.remote_tag.clone());
            self.media.joined = true;
            self.make_answer(context, Awaited::FirstAnswer, offer, wait);
        } else {
            self.make_offer(context, Awaited::FirstOffer, false, wait);
        }
    }

    /// Our description is made.
    pub(super) fn answer_made(&mut self, context: &mut Context, sdp: String) {
        self.describe_us(sdp);
        let (candidates, end) = std::mem::take(&mut self.media.early);
        if !candidates.is_empty() || end {
            context.push(Output::Candidates { peer: self.media.peer, candidates, end });
        }
        let Phase::Ringing { answering, early, .. } = self.phase else { return };
        if answering {
            self.open_microphone(context, false);
            return self.accept(context);
        }
        if early {
            let rseq = draw_rseq(&mut context.random);
            self.answer_early(context, rseq);
        }
    }

    /// A reliable 183 with our answer (RFC 3262, 3).
    fn answer_early(&mut self, context: &mut Context, rseq: u32) {
        let Phase::Ringing { key, invite, .. } = &self.phase else { return };
        let answer = self.reply(context, invite, StatusCode::SESSION_PROGRESS).field("Require", "100rel").number("RSeq", rseq);
        let text = capable(answer, &context.contact()).body("application/sdp", self.media.local.as_deref().unwrap_or_default());
        context.respond(key, text.clone());
        self.reliable.provisional(context.now, key.clone(), invite.get(), rseq, text);
        self.watch_acknowledgement(context);
    }

    /// PRACK: the caller has our early answer.
    pub(super) fn provisional_acknowledged(&mut self, context: &mut Context, key: &ServerKey, prack: &Message<'_>) {
        if !self.reliable.acknowledge_provisional(prack) {
            return context.refuse(key, prack, StatusCode::CALL_DOES_NOT_EXIST);
        }
        context.confirm(key, prack);
        self.watch_acknowledgement(context);
        if let Phase::Ringing { described, .. } = &mut self.phase {
            *described = true;
        }
        if let Some(leg) = self.legs.first_mut() {
            leg.open = true;
        }
        self.trickle(context);
        self.accept(context);
    }

    /// Sends the 200 once the app has answered, the user has allowed the microphone, and no provisional answer waits for its PRACK. An open
    /// microphone is not waited for: the caller may be heard while it opens.
    pub(super) fn accept(&mut self, context: &mut Context) {
        let Phase::Ringing { key, invite, answering: true, described, .. } = &self.phase else { return };
        if self.is_over() || self.media.microphone < Microphone::Granted || self.reliable.holds_success(context.now) {
            return;
        }
        let Some(local) = self.media.local.as_deref() else { return };
        let sdp = if *described { "" } else { local };
        let offerless = self.media.remote.is_none();
        let (key, invite) = (key.clone(), invite.clone());
        let mut timer = self.timer;
        let answer = timer.answer(invite.get(), self.reply(context, &invite, StatusCode::OK));
        let text = capable(answer, &context.contact()).body("application/sdp", sdp);
        context.respond(&key, text.clone());
        self.timer = timer;
        self.phase = Phase::Up;
        if let Some(leg) = self.legs.first_mut() {
            leg.dialog.confirmed = true;
        }
        self.reliable.success(context.now, key, invite.get(), text);
        self.watch_acknowledgement(context);
        self.keep_alive(context);
        context.timers.stop(Timer::Answer(self.info.id));
        if !offerless {
            self.establish(context);
        }
    }

    /// Tells the caller that it rings.
    fn send_ringing(&self, context: &mut Context) {
        if let Phase::Ringing { key, invite, .. } = &self.phase {
            let answer = capable(self.reply(context, invite, StatusCode::RINGING), &context.contact());
            context.respond(key, answer.end());
        }
    }

    /// Begins an answer to the INVITE.
    fn reply(&self, context: &Context, invite: &OwnedMessage, code: StatusCode) -> Writer {
        reply(invite.get(), code, Some(&self.local_tag)).field("User-Agent", &context.config.user_agent)
    }

    /// Refuses the INVITE; the call is over already.
    pub(super) fn decline(&mut self, context: &mut Context, code: StatusCode) {
        if let Phase::Ringing { key, invite, .. } = &self.phase {
            let mut answer = self.reply(context, invite, code);
            if let Some(error) = &self.info.error {
                answer = answer.field("Reason", &format!("SIP;cause={code};text={}", quote(&error.to_string())));
            }
            context.respond(key, answer.end());
        }
        self.reliable.stop();
        self.done = true;
    }

    /// The caller gave up, or another device of ours answered (RFC 3326).
    pub fn cancelled(&mut self, context: &mut Context, cancel: &Message<'_>) {
        let elsewhere = cancel.values(Name::Reason).any(|reason| reason.starts_with("SIP") && reason.contains("cause=200"));
        let cause = if elsewhere { EndCause::OtherDeviceAnswered } else { EndCause::Canceled };
        self.finish(context, cause, None, StatusCode::REQUEST_TERMINATED);
    }
}

/// What the app sees of an INVITE.
fn incoming(context: &Context, id: CallId, invite: &Message<'_>) -> Option<CallInfo> {
    let from = invite.from().ok()?;
    let (domain, from_id) = match telephone(invite, &from) {
        Some(number) => (Domain::Pstn, number),
        None => party(&from, [&context.config.domain, context.home.as_deref().unwrap_or_default()]),
    };
    let named = |field: &Field<'_>| Some((header_name(field.raw_name)?.to_owned(), field.value.to_owned()));
    let headers = invite.fields().iter().filter_map(named).collect();
    let video = context.config.video && sdp::has_video(invite.text());
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

/// The number, where the server says that a telephone calls: `user=phone` (RFC 3261, 19.1.1), which it lets no user write, in From or in its
/// own word for the caller (RFC 3325). How a name looks says nothing.
fn telephone(invite: &Message<'_>, from: &NameAddr<'_>) -> Option<String> {
    let phone = |party: &&NameAddr<'_>| party.uri.params.get("user").is_some_and(|kind| kind.eq_ignore_ascii_case("phone"));
    let asserted = invite.get_other("P-Asserted-Identity").and_then(|value| NameAddr::parse(value).ok());
    asserted.iter().chain([from]).find(phone).map(|party| party.uri.user_text().into_owned())
}

/// Who calls: a user of the same server, or a SIP address.
fn party(from: &NameAddr<'_>, homes: [&str; 2]) -> (Domain, String) {
    let user = from.uri.user_text();
    // A gateway says so of whoever calls from outside, also where he names our own domain.
    let outside = from.uri.params.get("user") == Some("ip");
    if !outside && homes.iter().any(|home| from.uri.host.eq_ignore_ascii_case(home)) {
        return (Domain::Data, user.into_owned());
    }
    (Domain::Sip, format!("{user}@{}", from.uri.host))
}
