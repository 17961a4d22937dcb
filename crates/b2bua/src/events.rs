//! What the media tell of a call, and what follows for its signalling.

use offhook_media::{Command, Event, Leg, MediaError, Prompt};
use offhook_proxy::test_number::TestNumber;
use offhook_sip::parse;
use offhook_ua::time::Instant;

use super::call::{Call, Stage};
use super::core::Core;
use super::failure::Failure;
use super::party::{Exchange, Invite};

impl Call {
    /// The media tell something.
    pub(super) fn media_told(&mut self, core: &mut Core, now: Instant, event: Event) {
        match event {
            Event::Answer { leg, sdp, .. } | Event::Offer { leg, sdp, .. } => self.described(core, now, leg, sdp),
            Event::Connected { .. } => {
                self.heard = true;
                self.play(core);
            }
            Event::Digit { leg, digit, duration, .. } => self.pressed(core, now, leg, digit, duration),
            Event::Played { .. } => self.complete(core, now, Leg::Peer, Vec::new()),
            // Who does not send before the answer has every right to.
            Event::Silent { .. } if self.stage != Stage::Up => {}
            Event::Silent { leg, .. } => self.lose(core, now, leg),
            Event::Failed { error, .. } => self.media_failed(core, now, error),
            Event::Closed { .. } => {}
        }
    }

    /// A description is made: for whichever exchange of that side asked for it.
    fn described(&mut self, core: &mut Core, now: Instant, leg: Leg, sdp: Result<String, MediaError>) {
        let party = self.party(leg);
        match (std::mem::take(&mut party.exchange), sdp) {
            (Exchange::First, Ok(sdp)) if leg == self.callee_leg() => self.invite(core, now, &sdp),
            (Exchange::First, Ok(sdp)) => self.caller_described(core, now, sdp),
            (Exchange::First, Err(error)) => self.media_failed(core, now, error),
            (Exchange::Answering { key, request }, sdp) => {
                let Ok(request) = parse(request.as_bytes()) else { return };
                match sdp {
                    Ok(sdp) => self.confirm(core, now, leg, &key, &request, Some(&sdp)),
                    Err(error) => core.refuse(now, leg, &key, &request, Failure::media(error).code),
                }
            }
            (Exchange::Offering, Ok(sdp)) => self.reoffer(core, now, leg, &sdp),
            (Exchange::Idle | Exchange::Dropped | Exchange::Offering | Exchange::Offered, _) => {}
        }
    }

    /// The side that calls has its description: now the other side is asked.
    fn caller_described(&mut self, core: &mut Core, now: Instant, sdp: String) {
        let leg = self.caller_leg();
        self.party(leg).local = Some(sdp);
        if self.outgoing {
            self.answer_early(core, now);
        }
        if self.is_over() {
            return;
        }
        if let Some(test) = self.test {
            return self.begin_test(core, now, test);
        }
        if self.outgoing {
            return self.dial(core, now);
        }
        self.stage = Stage::Calling;
        self.page.exchange = Exchange::First;
        core.media(Command::Offer { session: self.key.session(), leg: Leg::Page });
    }

    fn media_failed(&mut self, core: &mut Core, now: Instant, error: MediaError) {
        let failure = Failure::media(error);
        self.finish(core, now, "failed", &failure);
    }

    /// Plays the announcement of a test number, once it can be heard.
    pub(super) fn play(&self, core: &mut Core) {
        if let Some(TestNumber::Answers { times, .. }) = self.test
            && self.heard
            && self.stage == Stage::Up
            && matches!(self.page.invite, Invite::Done)
        {
            core.media(Command::Play { session: self.key.session(), prompt: Prompt::Connected, times });
        }
    }
}
