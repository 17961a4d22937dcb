//! Towards the side that calls: its INVITE, what it hears while it rings, the answer, and the ways in which it ends all that.

use std::time::Duration;

use offhook_media::{Command, Leg};
use offhook_sip::{Message, Name, StatusCode, reply};
use offhook_ua::transaction::ServerKey;
use offhook_ua::{T1, T2, TIMEOUT};

use super::Timer;
use super::call::{Call, Stage};
use super::context::{Context, SDP, description};
use super::failure::Failure;
use super::party::{Invite, Unacknowledged};

/// How long a 2xx waits for the PRACK of an early answer: it may be lost with a connection (RFC 3262, 3).
const LOST_PRACK: Duration = Duration::from_secs(2);

impl Call {
    /// Answers a page's offer before anybody has picked up, so that ICE and DTLS come up while it rings (RFC 3262).
    pub(super) fn answer_early(&mut self, context: &mut Context) {
        let (Invite::Received { key, invite }, Some(sdp)) = (&self.page.invite, self.page.local.as_deref()) else { return };
        let (key, invite) = (key.clone(), invite.clone());
        let invite = invite.get();
        // Nothing is heard yet, and nothing rings (RFC 5009): only the media path comes up.
        let answer = self.page.reply(invite, StatusCode::SESSION_PROGRESS).field("P-Early-Media", "inactive");
        if !invite.has_token(Name::Supported, "100rel") && !invite.has_token(Name::Require, "100rel") {
            return context.respond(Leg::Page, &key, answer.body(SDP, sdp));
        }
        let number = 1 + u32::try_from(context.random.below(1 << 30)).unwrap_or(0);
        let text = answer.field("Require", "100rel").number("RSeq", number).body(SDP, sdp);
        self.page.wait(context.now, key.clone(), text.clone(), invite, Some(number));
        context.set_timer(Timer::Repeat(self.key, Leg::Page), T1);
        context.respond(Leg::Page, &key, text);
    }

    /// Tells the caller that it rings; `early`: the other side can be heard already (RFC 5009).
    pub(super) fn ring(&mut self, context: &mut Context, code: StatusCode, early: bool) {
        let leg = self.caller_leg();
        let told = (code, early || self.told.is_some_and(|(_, early)| early));
        if self.told == Some(told) || !matches!(self.stage, Stage::Preparing | Stage::Calling) {
            return;
        }
        let party = self.party(leg);
        let Invite::Received { key, invite } = &party.invite else { return };
        let (key, invite) = (key.clone(), invite.get());
        // Whoever insists on reliable ones gets none: nothing here depends on them.
        if leg == Leg::Peer && invite.has_token(Name::Require, "100rel") {
            return;
        }
        let answer = reply(invite, code, Some(&party.tag)).field("Contact", &party.contact);
        let answer = if told.1 { answer.field("P-Early-Media", "sendonly") } else { answer };
        context.respond(leg, &key, answer.end());
        self.told = Some(told);
    }

    /// PRACK of the caller.
    pub(super) fn provisional_acknowledged(&mut self, context: &mut Context, leg: Leg, key: &ServerKey, prack: &Message<'_>) {
        let number = prack.get(Name::RAck).and_then(|value| value.split_ascii_whitespace().next()?.parse::<u32>().ok());
        let party = self.party(leg);
        if number.is_none() || party.unacknowledged.as_ref().and_then(|waiting| waiting.number) != number {
            return context.refuse(leg, key, prack, StatusCode::CALL_DOES_NOT_EXIST);
        }
        party.unacknowledged = None;
        party.described = true;
        context.timers.clear(&Timer::Repeat(self.key, leg));
        context.respond(leg, key, reply(prack, StatusCode::OK, None).end());
        self.accept(context);
    }

    /// Sends the 200 once the other side has answered and no provisional answer waits for its PRACK.
    pub(super) fn accept(&mut self, context: &mut Context) {
        let leg = self.caller_leg();
        let key = self.key;
        if self.stage != Stage::Accepting {
            return;
        }
        let party = self.party(leg);
        if party.unacknowledged.as_ref().is_some_and(|waiting| context.now - waiting.since < LOST_PRACK) {
            return;
        }
        let Invite::Received { key: server, invite } = std::mem::replace(&mut party.invite, Invite::Done) else { return };
        let (invite, Some(sdp)) = (invite.get(), party.local.as_deref()) else { return };
        let answer = party.timer.answer(invite, party.reply(invite, StatusCode::OK));
        let answer = if party.described { answer.end() } else { answer.body(SDP, sdp) };
        party.wait(context.now, server.clone(), answer.clone(), invite, None);
        if let Some(dialog) = party.dialog.as_mut() {
            dialog.confirmed = true;
        }
        context.set_timer(Timer::Repeat(key, leg), T1);
        context.respond(leg, &server, answer);
        self.stage = Stage::Up;
        self.keep_alive(context, leg);
    }

    /// ACK to a 2xx of ours.
    pub(super) fn acknowledged(&mut self, context: &mut Context, leg: Leg, ack: &Message<'_>) {
        let session = self.key.session();
        let Ok(cseq) = ack.cseq() else { return };
        let party = self.party(leg);
        let acknowledges = |waiting: &Unacknowledged| waiting.number.is_none() && waiting.invite == cseq.number;
        let Some(waited) = party.unacknowledged.take_if(|waiting| acknowledges(waiting)) else { return };
        context.timers.clear(&Timer::Repeat(self.key, leg));
        if self.is_over() {
            return self.say_goodbye(context, leg);
        }
        if waited.offers {
            // Our 2xx had the offer (RFC 3261, 13.2.1).
            let Some(sdp) = description(ack) else {
                return self.finish(context, "failed", &Failure::plain(StatusCode::NOT_ACCEPTABLE_HERE));
            };
            context.media(Command::Answered { session, leg, sdp: sdp.to_owned() });
        }
    }

    /// Repeats what was not acknowledged, until its time is over.
    pub(super) fn repeat(&mut self, context: &mut Context, leg: Leg) {
        let key = self.key;
        let party = self.party(leg);
        let (Some(waiting), Some(way)) = (&mut party.unacknowledged, &party.way) else { return };
        if context.now - waiting.since < TIMEOUT {
            context.repeat(way, &waiting.key, &waiting.text);
            waiting.interval = (waiting.interval * 2).min(T2);
            let next = (context.now + waiting.interval).min(waiting.since + TIMEOUT);
            context.timers.set(Timer::Repeat(key, leg), next);
            return self.accept(context);
        }
        party.unacknowledged = None;
        if self.is_over() {
            return self.say_goodbye(context, leg);
        }
        self.lose(context, leg);
    }

    /// The caller takes its INVITE back.
    pub(super) fn cancelled(&mut self, context: &mut Context, leg: Leg, reasons: Vec<String>) {
        if matches!(self.party(leg).invite, Invite::Received { .. }) {
            self.finish(context, "cancelled", &Failure::hung_up(StatusCode::REQUEST_TERMINATED, reasons));
        }
    }
}
