//! What calls ask of the money, and what they are told: values only. Money is in micro-units: millionths of the account's currency.

use std::time::Duration;

use offhook_ua::time::Instant;

/// One call as the ledger knows it; never used twice, also over restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallRef(pub String);

/// Millionths of the currency.
pub type Micros = i64;

/// A call that is about to leave or has come.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// Its name in the ledger: a fresh UUID.
    pub call: CallRef,
    /// Application key: its account pays.
    pub application: String,
    /// SIP Call-ID of the page's leg.
    pub call_id: String,
    /// User id of the page.
    pub user: String,
    /// What it is.
    pub kind: Kind,
    /// The caller as shown.
    pub from: String,
    /// The number in E.164, SIP address or user that is called.
    pub to: String,
    /// When.
    pub at: Instant,
}

/// What is called, and who pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A telephone: by the rate of its prefix.
    Phone,
    /// Help, by an emergency number: free, and past every limit.
    Emergency,
    /// A SIP address: free, and counted.
    Sip,
    /// A test number: free.
    Test,
    /// A call from outside to a page: free, and counted.
    Incoming,
}

/// What is asked or told.
#[derive(Clone, Debug)]
pub enum Query {
    /// May it leave? Reserves what its first part costs; answered by [`Answer::Granted`] or [`Answer::Refused`]. Nothing is dialled before.
    Open(NewCall),
    /// It was answered; from here it is paid. No answer.
    Connected {
        /// The call.
        call: CallRef,
        /// When.
        at: Instant,
    },
    /// More time is wanted before what is paid runs out; answered by [`Answer::Extended`], or [`Answer::Refused`] where the store failed or
    /// the call is not open. Where nothing more can be had the same end is told again; asked once more later, a top-up has perhaps come.
    Extend {
        /// The call.
        call: CallRef,
        /// When.
        at: Instant,
    },
    /// It is over: settled by what was used, and the rest is given back. No answer. Told again, nothing happens.
    Close {
        /// The call.
        call: CallRef,
        /// When.
        at: Instant,
        /// How it ended.
        end: End,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// As in the log. Of answered calls: `caller hung up`, `callee hung up`, `caller lost`, `callee lost`, `no credit`,
    /// `gateway going down`, `failed`. Of others: `cancelled`, `declined`, `busy`, `unanswered`, `unknown`, `failed`, `no credit`, …
    pub cause: &'static str,
    /// The SIP status.
    pub code: u16,
    /// The trunk that it went over or came from; empty where none.
    pub trunk: String,
}

/// What the ledger answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may leave.
    Granted(Grant),
    /// It may not.
    Refused(Refused),
    /// So long is it paid now.
    Extended {
        /// From [`Query::Connected`] on; `None`: without end.
        paid: Option<Duration>,
        /// Whether more can be had later; if not, the call ends then.
        more: bool,
    },
}

/// A call that may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How long from the answer on is paid; `None`: it is free.
    pub paid: Option<Duration>,
    /// Whether more can be had later.
    pub more: bool,
    /// The number to show: one that the account has verified; `None`: withheld.
    pub caller_id: Option<String>,
}

/// Why it may not. Each has its SIP status and error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 400, 40001: not a number in E.164.
    Number,
    /// 402, 40200.
    NoCredit,
    /// 403, 40300: the destination's country or range is closed.
    Destination,
    /// 404, 40400: no rate for the destination.
    NoRate,
    /// 403, 40300: too many calls of this account at once.
    TooManyCalls,
    /// 403, 40300: too many new calls of this account in a minute.
    CallRate,
    /// 403, 40300: too many new calls of this account to one range in an hour.
    RangeRate,
    /// 403, 40300: the account's spending for today is used up.
    SpendCap,
    /// 503, 50300: the store failed; nothing was reserved.
    Store,
}
