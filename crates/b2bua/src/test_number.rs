//! Calls to numbers to try an app with: the media play what is heard, and time does the rest.

use offhook_media::Leg;
use offhook_proxy::test_number::TestNumber;
use offhook_sip::{ApiCode, StatusCode};

use super::Timer;
use super::call::{Call, Stage};
use super::context::Context;
use super::failure::Failure;

impl Call {
    /// The page has its early answer: it rings, or is refused at once.
    pub(super) fn begin_test(&mut self, context: &mut Context, test: TestNumber) {
        self.stage = Stage::Calling;
        let after = match test {
            TestNumber::Answers { .. } => TestNumber::ANSWER,
            TestNumber::Refuses { after, .. } => after,
        };
        if after.is_zero() {
            return self.test_due(context);
        }
        self.ring(context, StatusCode::RINGING, false);
        context.set_timer(Timer::Test(self.key), after);
    }

    /// The time to answer, to refuse, or to hang up has come.
    pub(super) fn test_due(&mut self, context: &mut Context) {
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
            _ => self.complete(context, Leg::Peer, Vec::new()),
        }
    }

    /// A key was pressed.
    pub(super) fn test_key(&mut self, context: &mut Context, key: char) {
        if matches!(self.test, Some(TestNumber::Answers { until: Some(until), .. }) if until == key) {
            self.complete(context, Leg::Peer, Vec::new());
        }
    }
}
