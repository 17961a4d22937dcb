//! Calls to numbers to try an app with: the media play what is heard, and time does the rest.

use offhook_media::Leg;
use offhook_proxy::test_number::TestNumber;
use offhook_sip::{ApiCode, StatusCode};
use offhook_ua::time::Instant;

use super::Timer;
use super::call::{Call, Stage};
use super::core::Core;
use super::failure::Failure;

impl Call {
    /// The page has its early answer: it rings, or is refused at once.
    pub(super) fn begin_test(&mut self, core: &mut Core, now: Instant, test: TestNumber) {
        self.stage = Stage::Calling;
        let after = match test {
            TestNumber::Answers { .. } => TestNumber::ANSWER,
            TestNumber::Refuses { after, .. } => after,
        };
        if after.is_zero() {
            return self.test_due(core, now);
        }
        self.ring(core, now, StatusCode::RINGING, false);
        core.timers.set(Timer::Test(self.key), now + after);
    }

    /// The time to answer, to refuse, or to hang up has come.
    pub(super) fn test_due(&mut self, core: &mut Core, now: Instant) {
        match self.test {
            Some(TestNumber::Answers { limit, .. }) if self.stage == Stage::Calling => {
                self.connect(core, now);
                self.accept(core, now);
                core.timers.set(Timer::Test(self.key), now + limit);
                self.play(core);
            }
            Some(TestNumber::Refuses { code, .. }) => {
                let failure = match code {
                    StatusCode::SERVICE_UNAVAILABLE => {
                        Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Congestion")
                    }
                    code => Failure::plain(code),
                };
                self.finish(core, now, failure.cause(), &failure);
            }
            _ => self.complete(core, now, Leg::Peer, Vec::new()),
        }
    }

    /// A key was pressed.
    pub(super) fn test_key(&mut self, core: &mut Core, now: Instant, key: char) {
        if matches!(self.test, Some(TestNumber::Answers { until: Some(until), .. }) if until == key) {
            self.complete(core, now, Leg::Peer, Vec::new());
        }
    }
}
