//! Queries of calls to the store of accounts, and its answers: values only. Money is in micro-units, millionths of the account's currency.

use std::time::Duration;

use offhook_ua::time::Instant;

/// The id of a call in the ledger; never used twice, not even after a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallRef(pub String);

/// An amount of money in millionths of the currency.
pub type Micros = i64;

/// A new call, outgoing or incoming.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// Its id in the ledger: a new UUID.
    pub call: CallRef,
    /// The key of the application, whose account pays.
    pub application: String,
    /// The SIP Call-ID of the page's dialog.
    pub call_id: String,
    /// The user id of the page.
    pub user: String,
    /// What is called, and how it is charged.
    pub kind: Kind,
    /// The caller ID that is shown.
    pub from: String,
    /// The callee: number in E.164, SIP address or user.
    pub to: String,
    /// When it begins.
    pub at: Instant,
}

/// What is called, and how it is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A telephone: at the rate of its prefix.
    Phone,
    /// An emergency number: free, and not limited.
    Emergency,
    /// A SIP address: free, but limited.
    Sip,
    /// A test number: free.
    Test,
    /// A call from a trunk to a page: free, but limited.
    Incoming,
}

/// A query, or a message, to the store.
#[derive(Clone, Debug)]
pub enum Query {
    /// Asks whether a call may be made, and reserves the price of its first stretch. Answered by [`Answer::Granted`] or [`Answer::Refused`],
    /// before which nothing is dialled.
    Open(NewCall),
    /// The call was answered: charging begins. Not answered.
    Connected {
        /// The call.
        call: CallRef,
        /// When.
        at: Instant,
    },
    /// Asks for more time before the paid time is over. Answered by [`Answer::Extended`], or by [`Answer::Refused`] where the store failed or
    /// the call is not open. Where the credit is used up, the paid time stays the same; a later query may succeed after a top-up.
    Extend {
        /// The call.
        call: CallRef,
        /// When.
        at: Instant,
    },
    /// The call is over: its time is charged and the rest of the reservation is refunded. Not answered. Repeating it has no effect.
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
    /// The cause as in the log. Of answered calls: `caller hung up`, `callee hung up`, `caller lost`, `callee lost`, `caller silent`,
    /// `callee silent`, `no credit`, `gateway going down`, `failed`. Of others: `cancelled`, `declined`, `busy`, `unanswered`, `unknown`, `failed`, `no credit`, …
    pub cause: &'static str,
    /// The SIP status.
    pub code: u16,
    /// The trunk of the call; empty where there is none.
    pub trunk: String,
}

/// An answer of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call may be made.
    Granted(Grant),
    /// The call must not be made.
    Refused(Refused),
    /// The call is paid for this long.
    Extended {
        /// The paid time, which began with [`Query::Connected`]; `None`: not limited.
        paid: Option<Duration>,
        /// Whether more can be reserved later; if not, the call ends after that time.
        more: bool,
    },
}

/// The permission to make a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The paid time, which begins with the answer; `None`: the call is free.
    pub paid: Option<Duration>,
    /// Whether more can be reserved later.
    pub more: bool,
    /// The caller ID: a number that the account has verified; `None`: withheld.
    pub caller_id: Option<String>,
}

/// Why a call must not be made, with SIP status and error code.
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
