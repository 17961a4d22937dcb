//! Calls to test numbers, which answer, reject and hang up by timers; the media play an announcement.

use offhook_media::Leg;
use offhook_proxy::test_number::TestNumber;
use offhook_sip::{ApiCode, StatusCode};

use super::Timer;
use super::call::{Call, Stage};
use super::context::Context;
use super::failure::Failure;

impl Call {
    /// Rings, or rejects at once: the page has its early answer.
    pub(super) fn begin_test(&mut self, context: &mut Context, test: TestNumber) {
        self.stage = Stage::Calling;
        let after = match test {
            TestNumber::Answers { .. } => TestNumber::ANSWER,
            TestNumber::Refuses { after, .. } => after,
        };
        if after.is_zero() {
            return self.test_timeout(context);
        }
        self.send_provisional(context, StatusCode::RINGING, false);
        context.set_timer(Timer::Test(self.key), after);
    }

    /// Answers, rejects or hangs up, as is due.
    pub(super) fn test_timeout(&mut self, context: &mut Context) {
        match self.test {
            Some(TestNumber::Answers { limit, .. }) if self.stage == Stage::Calling => {
                self.connect(context);
                self.accept(context);
                context.set_timer(Timer::Test(self.key), limit);
                self.play(context);
            }
            Some(TestNumber::Refuses { code, .. }) => {
                let failure = match code {
                    StatusCode::SERVICE_UNAVAILABLE => {
                        Failure::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Congestion")
                    }
                    code => Failure::plain(code),
                };
                self.finish(context, failure.cause(), &failure);
            }
            _ => self.hung_up(context, Leg::Peer, Vec::new()),
        }
    }

    /// Takes a DTMF digit in: one of them hangs up.
    pub(super) fn test_digit(&mut self, context: &mut Context, key: char) {
        if matches!(self.test, Some(TestNumber::Answers { until: Some(until), .. }) if until == key) {
            self.hung_up(context, Leg::Peer, Vec::new());
        }
    }
}
