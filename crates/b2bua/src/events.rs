//! Events of a call's media, and what follows for its signalling.

use offhook_media::{Command, Event, Leg, MediaError, Prompt};
use offhook_proxy::test_number::TestNumber;
use offhook_ua::session_timer::AGAIN;

use super::Timer;
use super::call::{Call, Stage};
use super::context::Context;
use super::failure::Failure;
use super::party::{Invite, OfferAnswer};

impl Call {
    /// Takes an event in.
    pub(super) fn media_event(&mut self, context: &mut Context, event: Event) {
        match event {
            Event::Answer { leg, sdp, .. } | Event::Offer { leg, sdp, .. } => self.description_ready(context, leg, sdp),
            Event::Connected { .. } => {
                self.media_connected = true;
                self.play(context);
            }
            Event::Digit { leg, digit, duration, .. } => self.dtmf(context, leg, digit, duration),
            Event::Played { .. } => self.hung_up(context, Leg::Peer, Vec::new()),
            // Nobody has to send media before the answer.
            Event::Silent { .. } if self.stage != Stage::Up => {}
            // Of a page not even consent checks come (RFC 7675).
            Event::Silent { leg: Leg::Page, .. } => self.lost(context, Leg::Page),
            Event::Silent { leg: Leg::Peer, .. } => self.silent(context),
            Event::Failed { error, .. } => self.media_failed(context, error),
            Event::Closed { .. } => {}
        }
    }

    /// Takes a description of ours in, and sends it as the state of the offer/answer exchange asks for.
    fn description_ready(&mut self, context: &mut Context, leg: Leg, sdp: Result<String, MediaError>) {
        let party = self.party(leg);
        match (std::mem::take(&mut party.offer_answer), sdp) {
            (OfferAnswer::First, Ok(sdp)) if leg == self.callee_leg() => self.invite(context, &sdp),
            (OfferAnswer::First, Ok(sdp)) => self.caller_described(context, sdp),
            (OfferAnswer::First, Err(error)) => self.media_failed(context, error),
            (OfferAnswer::Answering { key, request }, Ok(sdp)) => self.confirm(context, leg, &key, request.get(), Some(&sdp)),
            (OfferAnswer::Answering { key, request }, Err(error)) => {
                context.reject(leg, &key, request.get(), Failure::media(error).code)
            }
            (OfferAnswer::Offering, Ok(sdp)) => self.reoffer(context, leg, &sdp),
            (OfferAnswer::Offering, Err(_)) => context.set_timer(Timer::Refresh(self.key, leg), AGAIN),
            (OfferAnswer::Idle | OfferAnswer::Cancelled | OfferAnswer::Offered, _) => {}
        }
    }

    /// The caller's leg has its description: now the callee is called.
    fn caller_described(&mut self, context: &mut Context, sdp: String) {
        let leg = self.caller_leg();
        self.party(leg).local = Some(sdp);
        if self.outgoing {
            self.answer_early(context);
        }
        if self.is_over() {
            return;
        }
        if let Some(test) = self.test {
            return self.begin_test(context, test);
        }
        if self.outgoing {
            return self.dial(context);
        }
        self.stage = Stage::Calling;
        self.page.offer_answer = OfferAnswer::First;
        context.media(Command::Offer { session: self.key.session(), leg: Leg::Page });
    }

    /// Ends the call, as its media failed.
    fn media_failed(&mut self, context: &mut Context, error: MediaError) {
        let failure = Failure::media(error);
        self.finish(context, "failed", &failure);
    }

    /// Plays the announcement of a test number, once the call is answered and its media are connected.
    pub(super) fn play(&self, context: &mut Context) {
        if let Some(TestNumber::Answers { times, .. }) = self.test
            && self.media_connected
            && self.stage == Stage::Up
            && matches!(self.page.invite, Invite::Done)
        {
            context.media(Command::Play { session: self.key.session(), prompt: Prompt::Connected, times });
        }
    }
}
