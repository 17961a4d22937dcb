//! The connection to a server: opened, kept alive, reopened.
//!
//! ```text
//!            open                  opened
//! Closed ───────────▶ Connecting ───────────▶ Open ── nothing received for 7 s ──▶ keep-alive ── 5 s more ──▶ Closed
//!    ▲                    │ 5 s, 10 s, refused  │ closed                             │ anything received ──▶ Open
//!    └── back-off ────────┴─────────────────────┘
//! ```
//!
//! Of several servers the next one is tried at once, each once; only then comes a pause, longer after each round. Servers whose last try failed
//! come after those that served, also after the one that was just lost. A client stays at the server where it is signed in, also when a
//! server earlier in the list comes back. A server that closes the connection soon after the client has signed in counts as failed: a client
//! without a server that serves tries ever more slowly.
//!
//! When the network may have changed ([`Connection::check`]), an open connection is probed at once, with a time-out of 2 s; else it is opened at once.

use std::time::Duration;

use offhook_sip::{Method, Writer};
use offhook_ua::time::Instant;

use super::context::{Context, Owner};
use super::io::Output;
use super::timers::Timer;

/// How long a WebSocket may take to open: in the first round, and later. TCP retransmits its SYN after 1, 3 and 7 s; Firefox delays each try
/// after one that was given up, by half as much again each time: some seconds after a minute of tries of 5 s.
const CONNECT_TIMEOUT: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(10)];
/// How long nothing may be received before a keep-alive is sent.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(7);
/// How long the answer to a keep-alive may take: with the interval, a dead connection is found within 12 s.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server must have served for the next loss to count as the first one.
const STEADY: Duration = Duration::from_secs(5);
/// The same where the connection is in doubt: the media broke, the page slept, or the network has changed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause between two tries, and the longest: without a call, and with one.
const BACK_OFF: (Duration, [Duration; 2]) = (Duration::from_millis(300), [Duration::from_secs(20), Duration::from_secs(2)]);

/// The one connection.
pub struct Connection {
    state: State,
    /// How many tries there were since a server last served.
    tries: u32,
    /// When the last try began.
    since: Instant,
    /// Since when we are signed in.
    signed_in: Option<Instant>,
    /// Which server is next.
    server: usize,
    /// The servers whose last try failed, a bit each: as many as there are bits.
    failed: u32,
    /// Whether this server answers `CRLF CRLF` with `CRLF` (RFC 5626, 4.4.1).
    pongs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not open; the next try may be due at some time.
    Closed,
    /// Being opened.
    Connecting,
    /// Open.
    Open,
}

impl Connection {
    pub const fn new() -> Self {
        Self { state: State::Closed, tries: 0, since: Instant::from_millis(0), signed_in: None, server: 0, failed: 0, pongs: false }
    }

    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether every server has failed since one last served.
    pub fn is_hopeless(&self, context: &Context) -> bool {
        self.tries as usize >= context.config.servers.len()
    }

    /// The server that is next, or the one that it goes to.
    pub fn server<'a>(&self, context: &'a Context) -> Option<&'a String> {
        context.config.servers.get(self.server % context.config.servers.len().max(1))
    }

    /// The client is started: each server is tried, however many tries there were before.
    pub const fn begin(&mut self) {
        self.tries = 0;
    }

    /// Opens it, to the server that is next.
    pub fn open(&mut self, context: &mut Context) {
        let Some(url) = self.server(context).cloned() else { return };
        context.set_secure(url.starts_with("wss:"));
        context.timers.stop(Timer::Reconnect);
        let later = self.tries as usize > context.config.servers.len();
        context.timers.set(Timer::Connect, context.now + CONNECT_TIMEOUT[usize::from(later)]);
        context.push(Output::Connect { url });
        self.state = State::Connecting;
        self.since = context.now;
    }

    /// Takes note that the WebSocket is open.
    pub fn opened(&mut self, context: &mut Context) {
        self.state = State::Open;
        context.connection += 1;
        self.pongs = false;
        context.timers.stop(Timer::Connect);
        context.push(Output::Send("\r\n\r\n".to_owned()));
        self.received(context);
    }

    /// Takes note that we are signed in.
    pub const fn signed_in(&mut self, now: Instant) {
        self.signed_in = Some(now);
    }

    /// Takes note that something was received.
    pub fn received(&self, context: &mut Context) {
        context.timers.stop(Timer::KeepAliveTimeout);
        context.timers.set(Timer::KeepAlive, context.now + KEEP_ALIVE_INTERVAL);
    }

    /// Takes note of the answer to `CRLF CRLF`.
    pub const fn pong_received(&mut self) {
        self.pongs = true;
    }

    /// The connection is lost: goes to the next server, at once or after a pause, which is shorter during a call (`in_call`). `refused`: the server
    /// was reached, and does not serve.
    pub fn lost(&mut self, context: &mut Context, in_call: bool, refused: bool) {
        // The time that a try took counts as part of the pause.
        let since = if self.state == State::Connecting { self.since } else { context.now };
        self.close(context);
        let served = self.signed_in.take();
        let steady = served.is_some_and(|since| context.now - since >= STEADY);
        if steady {
            self.tries = 0;
        }
        let servers = context.config.servers.len().max(1);
        let round = (self.tries as usize / servers).min(8);
        // The rest of the first round goes through all servers without a pause, but for some jitter against herds.
        let wait = if round == 0 {
            context.random.duration(Duration::from_millis(50))
        } else {
            let wait = (BACK_OFF.0 * (1 << (round - 1))).min(BACK_OFF.1[usize::from(in_call)]);
            wait / 2 + context.random.duration(wait)
        };
        self.select_next(servers, steady && !refused);
        self.tries += 1;
        if self.tries == 1 && served.is_some() {
            // Without a timer: in a hidden tab the shortest takes a second.
            return self.open(context);
        }
        context.timers.set(Timer::Reconnect, context.now.max(since + wait));
    }

    /// Selects the next server: the next of those that have not failed, or else the next one.
    fn select_next(&mut self, servers: usize, served: bool) {
        let bit = |server: usize| 1_u32.checked_shl(server as u32).unwrap_or(0);
        let now = bit(self.server);
        self.failed = if served { self.failed & !now } else { self.failed | now };
        for _ in 0..servers {
            self.server = (self.server + 1) % servers;
            if self.failed & bit(self.server) == 0 {
                return;
            }
        }
        self.server = (self.server + 1) % servers;
    }

    /// Goes to the next server, as this one does not serve.
    pub fn skip_server(&mut self, context: &mut Context, in_call: bool) {
        context.push(Output::Disconnect);
        self.lost(context, in_call, true);
    }

    /// Closes it, without another try.
    pub fn close(&mut self, context: &mut Context) {
        self.state = State::Closed;
        for timer in [Timer::Connect, Timer::KeepAlive, Timer::KeepAliveTimeout, Timer::Reconnect] {
            context.timers.stop(timer);
        }
    }

    /// The network may have changed: probes an open connection, and opens one that waits for its next try, or whose try takes long.
    pub fn check(&mut self, context: &mut Context) {
        match self.state {
            State::Open => self.probe(context, true),
            State::Connecting if self.tries > 0 => self.open(context),
            State::Closed if context.timers.runs(Timer::Reconnect) => self.open(context),
            State::Connecting | State::Closed => {}
        }
    }

    /// Sends a keep-alive: `CRLF CRLF` where the server is known to answer that, else OPTIONS, which every server answers.
    pub fn probe(&self, context: &mut Context, doubt: bool) {
        context.timers.set(Timer::KeepAliveTimeout, context.now + if doubt { PROBE_TIMEOUT } else { KEEP_ALIVE_TIMEOUT });
        if self.pongs {
            context.push(Output::Send("\r\n\r\n".to_owned()));
            return;
        }
        let uri = format!("sip:{}", context.config.domain);
        let aor = context.aor();
        let (tag, call_id) = (context.random.token(), context.random.token());
        let options = Writer::request(Method::Options, &uri)
            .joined("From", &["<", &aor, ">;tag=", &tag])
            .joined("To", &["<", &uri, ">"])
            .field("Call-ID", &call_id)
            .cseq(1, Method::Options);
        context.send_request(options, Owner::Connection, None);
    }
}
