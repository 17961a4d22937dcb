//! What the media tell of a call, and what follows for its signalling.

use offhook_media::{Command, Event, Leg, MediaError, Prompt};
use offhook_proxy::test_number::TestNumber;

use super::call::{Call, Stage};
use super::context::Context;
use super::failure::Failure;
use super::party::{Exchange, Invite};

impl Call {
    /// The media tell something.
    pub(super) fn media_told(&mut self, context: &mut Context, event: Event) {
        match event {
            Event::Answer { leg, sdp, .. } | Event::Offer { leg, sdp, .. } => self.described(context, leg, sdp),
            Event::Connected { .. } => {
                self.heard = true;
                self.play(context);
            }
            Event::Pressed { leg, key, duration, .. } => self.pressed(context, leg, key, duration),
            Event::Played { .. } => self.complete(context, Leg::Peer, Vec::new()),
            // Who does not send before the answer has every right to.
            Event::Silent { .. } if self.stage != Stage::Up => {}
            Event::Silent { leg, .. } => self.lose(context, leg),
            Event::Failed { error, .. } => self.media_failed(context, error),
            Event::Closed { .. } => {}
        }
    }

    /// A description is made: for whichever exchange of that side asked for it.
    fn described(&mut self, context: &mut Context, leg: Leg, sdp: Result<String, MediaError>) {
        let party = self.party(leg);
        match (std::mem::take(&mut party.exchange), sdp) {
            (Exchange::First, Ok(sdp)) if leg == self.callee_leg() => self.invite(context, &sdp),
            (Exchange::First, Ok(sdp)) => self.caller_described(context, sdp),
            (Exchange::First, Err(error)) => self.media_failed(context, error),
            (Exchange::Answering { key, request }, Ok(sdp)) => self.confirm(context, leg, &key, request.get(), Some(&sdp)),
            (Exchange::Answering { key, request }, Err(error)) => {
                context.refuse(leg, &key, request.get(), Failure::media(error).code)
            }
            (Exchange::Offering, Ok(sdp)) => self.reoffer(context, leg, &sdp),
            (Exchange::Idle | Exchange::Dropped | Exchange::Offering | Exchange::Offered, _) => {}
        }
    }

    /// The side that calls has its description: now the other side is asked.
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
        self.page.exchange = Exchange::First;
        context.media(Command::Offer { session: self.key.session(), leg: Leg::Page });
    }

    fn media_failed(&mut self, context: &mut Context, error: MediaError) {
        let failure = Failure::media(error);
        self.finish(context, "failed", &failure);
    }

    /// Plays the announcement of a test number, once it can be heard.
    pub(super) fn play(&self, context: &mut Context) {
        if let Some(TestNumber::Answers { times, .. }) = self.test
            && self.heard
            && self.stage == Stage::Up
            && matches!(self.page.invite, Invite::Done)
        {
            context.media(Command::Play { session: self.key.session(), prompt: Prompt::Connected, times });
        }
    }
}
