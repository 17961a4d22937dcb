//! The switch and the B2BUA as one state machine. To the switch the B2BUA is one more device, which takes calls to telephones and other SIP
//! domains and makes those that come from there; what the two send to each other stays in here.
//!
//! ```text
//!   Input::Switch ──▶ switch ──▶ Output::Switch         connections of pages, users
//!                      │  ▲
//!              ToB2bua ▼  │ FromB2bua
//!   Input::B2bua ───▶ B2BUA ───▶ Output::B2bua          trunks, media, ledger
//! ```

use std::collections::VecDeque;

use offhook_proxy::{self as switch, Proxy};
use offhook_ua::time::Instant;

use super::{B2bua, port};

/// The switch, and the B2BUA with its trunks.
///
/// Order of calls: [`Exchange::handle`], then [`Exchange::poll`] until it gives `None`, then [`Exchange::deadline`].
pub struct Exchange {
    switch: Proxy,
    b2bua: B2bua,
    out: VecDeque<Output>,
}

/// What happens to the exchange.
#[derive(Clone, Debug)]
pub enum Input {
    /// Something of connections or users.
    Switch(switch::Input),
    /// Something of trunks, media, ledger or numbers.
    B2bua(port::Input),
    /// The deadline has come.
    Timeout,
    /// Take no new calls.
    Drain,
    /// End all calls that the B2BUA is in, and take back what was registered with trunks.
    Stop,
}

/// What has to be done for the exchange, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Something for connections, or a question about users; never [`switch::Output::ToB2bua`].
    Switch(switch::Output),
    /// Something for trunks, media or ledger, or a question about a number; never [`port::Output::ToSwitch`].
    B2bua(port::Output),
}

impl Exchange {
    /// Joins a switch, whose settings say that there is a B2BUA, with that.
    #[must_use]
    pub const fn new(switch: Proxy, b2bua: B2bua) -> Self {
        Self { switch, b2bua, out: VecDeque::new() }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Switch(input) => self.switch.handle(now, input),
            Input::B2bua(input) => self.b2bua.handle(now, input),
            Input::Timeout => {
                self.b2bua.handle(now, port::Input::Timeout);
                self.settle(now);
                self.switch.handle(now, switch::Input::Timeout);
            }
            Input::Drain => {
                self.b2bua.handle(now, port::Input::Drain);
                self.switch.handle(now, switch::Input::Drain);
            }
            Input::Stop => self.b2bua.handle(now, port::Input::Stop),
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.switch.deadline(), self.b2bua.deadline()].into_iter().flatten().min()
    }

    /// The switch, to look at it.
    #[must_use]
    pub const fn switch(&self) -> &Proxy {
        &self.switch
    }

    /// The B2BUA, to look at it.
    #[must_use]
    pub const fn b2bua(&self) -> &B2bua {
        &self.b2bua
    }

    /// Whether there is a call that has not ended.
    #[must_use]
    pub fn has_calls(&self) -> bool {
        self.switch.calls() > 0 || self.b2bua.calls() > 0
    }

    /// Whether no request to a trunk waits for its answer.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.b2bua.is_quiet()
    }

    /// Passes messages from one to the other, and all else out, until neither has an output left.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.switch.poll() {
                match output {
                    switch::Output::ToB2bua { application, text } => {
                        self.b2bua.handle(now, port::Input::FromSwitch { application, text });
                    }
                    output => self.out.push_back(Output::Switch(output)),
                }
            } else if let Some(output) = self.b2bua.poll() {
                match output {
                    port::Output::ToSwitch { application, text } => {
                        self.switch.handle(now, switch::Input::FromB2bua { application, text });
                    }
                    output => self.out.push_back(Output::B2bua(output)),
                }
            } else {
                return;
            }
        }
    }
}
