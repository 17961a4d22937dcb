//! Inputs, outputs and settings of the proxy: values only.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use offhook_sip::StatusCode;

use offhook_access::proofs::Proofs;
use offhook_access::secret::Secret;
use offhook_ua::wall::Wall;

/// What the operator has set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The SIP domain and digest realm.
    pub domain: String,
    /// Applications by key.
    pub applications: BTreeMap<String, Application>,
    /// STUN and TURN servers that a registered user is told of.
    pub ice_servers: Vec<IceServer>,
    /// The secret shared with coturn (`use-auth-secret`); without it TURN servers are told without credentials.
    pub turn_secret: Option<String>,
    /// Life of a TURN credential, in seconds.
    pub turn_ttl: u32,
    /// How long a call waits for a known user who has no device.
    pub hold_offline: Duration,
    /// Numbers that call for help, also where they are dialled as if they were users.
    pub emergency: Vec<String>,
    /// Messages a second that one connection may send.
    pub per_second: u32,
    /// Messages a second that all connections of one user may send.
    pub user_per_second: u32,
    /// Connections on which no message came yet; beyond that the oldest of whoever has most is evicted.
    pub max_silent: usize,
    /// Connections of one user; beyond that the oldest is evicted.
    pub max_connections_per_user: usize,
    /// Calls at once that one user makes; and as many that users, and that others, make to one user.
    pub max_calls_per_user: usize,
    /// Calls at once of one caller that ring or wait at one user.
    pub max_waiting_per_caller: usize,
    /// Budgets of failed proofs, shared with all others who look at secrets.
    pub proofs: Proofs,
    /// Whether a back-to-back user agent takes calls to telephones and other SIP domains ([`Output::ToB2bua`]).
    pub b2bua: bool,
}

/// One tenant: its users know nothing of another's.
#[derive(Clone, Debug)]
pub struct Application {
    /// The public key that names it.
    pub key: String,
    /// What its tickets and tokens are signed with.
    pub secret: Secret,
}

/// A STUN or TURN server.
#[derive(Clone, Debug)]
pub struct IceServer {
    /// `stun:…`, `turn:…` or `turns:…`.
    pub url: String,
}

/// One WebSocket connection; never used twice, later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// One question to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// What the store knows of a user.
#[derive(Clone, Default)]
pub struct Account {
    /// SHA-256 of `user:domain:password`, lower-case hexadecimal (RFC 8760).
    pub ha1_sha256: Option<String>,
    /// The same with MD5, for old devices.
    pub ha1_md5: Option<String>,
    /// The name that others see; may be empty.
    pub display_name: String,
    /// Which password it is: greater with each change of it.
    pub revision: u64,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("display_name", &self.display_name).finish_non_exhaustive()
    }
}

/// What happens to the proxy.
#[derive(Clone, Debug)]
pub enum Input {
    /// A WebSocket with sub-protocol `sip` is open.
    Opened {
        /// The connection.
        conn: ConnId,
        /// Where it comes from.
        peer: IpAddr,
        /// Key of the application that it named.
        application: String,
    },
    /// A text message, or a binary one that is UTF-8.
    Received {
        /// The connection.
        conn: ConnId,
        /// One SIP message or keep-alive.
        text: String,
    },
    /// A message of the back-to-back user agent, which speaks for all telephones and other SIP domains.
    FromB2bua {
        /// Key of the application for which it speaks.
        application: String,
        /// One SIP message.
        text: String,
    },
    /// The connection is gone.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Whether the page said that it goes away (close code 1001, RFC 6455, 7.4.1): it does not come back as the same device.
        left: bool,
    },
    /// The answer to [`Output::Lookup`].
    Account {
        /// The question.
        query: QueryId,
        /// `None`: there is no such user.
        account: Option<Account>,
    },
    /// The password of a user was changed, or the user removed: who has shown an older one has to show the new one.
    PasswordChanged {
        /// Application key.
        application: String,
        /// User id.
        user: String,
        /// Which password it is now, as in [`Account`].
        revision: u64,
    },
    /// The deadline has come.
    Timeout,
    /// What the wall clock shows from now on, by which tickets and TURN credentials are dated. Until the first of these it shows the time
    /// that [`Input`]s come with.
    Wall(Wall),
    /// Take no new calls.
    Drain,
    /// More comes in than can be handled in time: take no new calls until this is `false` again, so that those that run do not suffer.
    Overloaded(bool),
}

/// What has to be done for the proxy, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a text message.
    Send {
        /// The connection.
        conn: ConnId,
        /// One SIP message or keep-alive.
        text: String,
    },
    /// Hand a message to the back-to-back user agent: a call to a telephone or another SIP domain, or what belongs to one.
    ToB2bua {
        /// Key of the application.
        application: String,
        /// One SIP message.
        text: String,
    },
    /// Close a connection; the proxy has forgotten it already.
    Close {
        /// The connection.
        conn: ConnId,
        /// WebSocket close code.
        code: u16,
        /// WebSocket close reason.
        reason: &'static str,
    },
    /// Ask the store for a user; answered by [`Input::Account`].
    Lookup {
        /// The question.
        query: QueryId,
        /// Application key.
        application: String,
        /// User id.
        user: String,
    },
    /// A valid ticket or token was shown: the user exists from now on.
    Seen {
        /// Application key.
        application: String,
        /// User id.
        user: String,
    },
    /// Something to count.
    Record(Record),
}

/// What is worth a metric; the log was told already. Never holds a secret or SDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A request was refused.
    Refused {
        /// The connection; `None` for the back-to-back user agent.
        conn: Option<ConnId>,
        /// The user it claimed to be; empty where it named none.
        user: String,
        /// The SIP status.
        code: StatusCode,
        /// Why.
        why: &'static str,
    },
    /// Something that is no SIP message.
    Malformed {
        /// The connection; `None` for the back-to-back user agent.
        conn: Option<ConnId>,
    },
    /// A connection sends too much.
    Throttled {
        /// The connection.
        conn: ConnId,
    },
    /// A call was accepted for routing.
    CallStarted {
        /// SIP Call-ID.
        call_id: String,
        /// Application key.
        application: String,
        /// The caller.
        from: String,
        /// The callee.
        to: String,
    },
    /// A device answered.
    CallAnswered {
        /// SIP Call-ID.
        call_id: String,
    },
    /// The call is over.
    CallEnded {
        /// SIP Call-ID.
        call_id: String,
        /// In a word: `completed`, `cancelled`, `declined`, `busy`, `offline`, `unanswered`, `unknown`, `failed` or `lost`.
        cause: &'static str,
        /// The SIP status that the caller got; 200 where the call was answered.
        code: StatusCode,
    },
}
