//! The credit of a running call: more is reserved in time, the user is warned, and the call ends at the paid millisecond.

use std::time::Duration;

use offhook_ledger::Query;
use offhook_sip::{ApiCode, Method, StatusCode};
use offhook_ua::log::{Masked, Plain, millis};
use tracing::{debug, info};

use super::Timer;
use super::call::Call;
use super::context::{Context, Purpose};
use super::failure::Failure;

/// How long before the end of what is paid more is asked for, and, where there was none, once more: credit may have been added.
const EARLY: Duration = Duration::from_secs(15);
const LATE: Duration = Duration::from_secs(2);
/// How long before the end the user is warned.
const WARNING: Duration = Duration::from_secs(30);

/// What is paid of a call.
#[derive(Debug, Default)]
pub(super) struct Credit {
    /// How long, from the answer on; `None`: without limit.
    paid: Option<Duration>,
    more: bool,
    /// How long before the end to ask next; `None`: the ledger has been asked, or has no more.
    ask: Option<Duration>,
    warned: bool,
}

impl Credit {
    pub(super) const fn new(paid: Option<Duration>, more: bool) -> Self {
        Self { paid, more, ask: Some(EARLY), warned: false }
    }

    /// Returns when to act next, from the answer on.
    fn next(&self) -> Option<Duration> {
        let paid = self.paid?;
        let warn = (!self.more && !self.warned).then(|| paid.saturating_sub(WARNING));
        let ask = self.ask.map(|before| paid.saturating_sub(before));
        [Some(paid), warn, ask].into_iter().flatten().min()
    }
}

impl Call {
    /// Ends the call, asks for more or warns, as is due now, and sets the timer for what is due next.
    pub(super) fn watch_credit(&mut self, context: &mut Context) {
        let (Some(connected), Some(paid)) = (self.connected, self.credit.paid) else { return };
        let used = context.now - connected;
        if used >= paid {
            return self.finish(
                context,
                "no credit",
                &Failure::new(StatusCode::PAYMENT_REQUIRED, ApiCode::NoCredit, "Not enough credit"),
            );
        }
        if self.credit.ask.take_if(|before| used + *before >= paid).is_some() {
            context.ledger(Query::Extend { call: self.reference.clone(), at: context.now });
        }
        if !self.credit.more && !self.credit.warned && used + WARNING >= paid {
            self.credit.warned = true;
            let (call, user, milliseconds) = (Plain(&self.call_id), Masked(&self.user), paid - used);
            info!(%call, application = self.application, %user, milliseconds = millis(milliseconds), "low credit");
            self.warn(context, paid - used);
        }
        if let Some(next) = self.credit.next() {
            context.timers.set(Timer::Credit(self.key), connected + next);
        }
    }

    /// Takes the answer to [`Query::Extend`] in.
    pub(super) fn extended(&mut self, context: &mut Context, paid: Option<Duration>, more: bool) {
        if self.is_over() {
            return;
        }
        debug!(call = %Plain(&self.call_id), paid = paid.map(millis), more, "the ledger reserves more, where there is any");
        let before = self.credit.paid;
        self.credit.more = more;
        if paid != before {
            self.credit = Credit { warned: false, ..Credit::new(paid, more) };
        } else if self.connected.zip(paid).is_some_and(|(connected, paid)| connected + paid > context.now + LATE) {
            self.credit.more = false;
            self.credit.ask = Some(LATE);
        } else {
            self.credit.more = false;
        }
        context.timers.clear(&Timer::Credit(self.key));
        self.watch_credit(context);
    }

    /// Takes in that the ledger could not answer [`Query::Extend`].
    pub(super) fn extended_no_more(&mut self, context: &mut Context) {
        self.extended(context, self.credit.paid, false);
    }

    /// Sends the page INFO that says how long it may still talk, where it takes that (RFC 6086).
    fn warn(&mut self, context: &mut Context, left: Duration) {
        let (Some(dialog), Some(next_hop)) = (self.page.dialog.as_mut().filter(|_| self.page.wants_credit), &self.page.next_hop)
        else {
            return;
        };
        let seconds = u32::try_from(left.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        let body = format!("{{\"seconds\":{seconds}}}");
        let info =
            dialog.request(Method::Info).field("Info-Package", "offhook-credit").field("Content-Disposition", "Info-Package");
        context.send_request(self.key, next_hop, Purpose::Other, info, Some(("application/json", &body)));
    }
}
