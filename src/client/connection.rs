//! The connection to a server: opened, watched, opened again.
//!
//! ```text
//!            open                  opened
//! Closed ───────────▶ Connecting ───────────▶ Open ── nothing heard for 7 s ──▶ asked ── 5 s more ──▶ Closed
//!    ▲                    │ 5 s, 10 s, refused  │ closed                          │ anything heard ──▶ Open
//!    └── back-off ────────┴─────────────────────┘
//! ```
//!
//! Of several servers the next one is tried at once, each once; only then there is a pause, longer after each round. Servers that were last
//! tried in vain come after those that served, also after the one that was just lost. Where the client is signed in it stays, also when a
//! server that it preferred comes back. A server that signs it in and drops it again soon counts as tried in vain: whoever has no server
//! that serves goes round ever more slowly.
//!
//! Where something else says that the network changed ([`Connection::nudge`]), it is asked at once and has 2 s, or opened at once.

use std::time::Duration;

use offhook_sip::{Method, Writer};
use offhook_ua::time::Instant;

use super::context::{Context, Owner};
use super::io::Output;
use super::timers::Timer;

/// How long a WebSocket may take to open: in the first round, and later. TCP asks again after 1, 3 and 7 s; Firefox makes whoever gave up
/// wait half as long again each time, some seconds after a minute of tries of 5 s.
const CONNECT_TIMEOUT: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(10)];
/// How long a connection may be silent before the server is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(7);
/// How long the server may take to give it: with `QUIET`, a dead peer is found within 12 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server must have served for the next loss to count as the first one.
const STEADY: Duration = Duration::from_secs(5);
/// The same where there is reason to doubt it: the media broke, the page slept, the network is another one.
const DOUBT: Duration = Duration::from_secs(2);
/// The first wait between two tries, and the longest: without a call, and with one that waits for it.
const BACK_OFF: (Duration, [Duration; 2]) = (Duration::from_millis(300), [Duration::from_secs(20), Duration::from_secs(2)]);

/// The one connection.
pub struct Connection {
    state: State,
    /// Tries since a server last served.
    tries: u32,
    /// When the last try began.
    since: Instant,
    /// Since when we are signed in.
    serves: Option<Instant>,
    /// Which server is next.
    server: usize,
    /// The servers that were last tried in vain, a bit each: as many as there are bits.
    vain: u32,
    /// Whether this server answers `CRLF CRLF` with `CRLF` (RFC 5626, 4.4.1).
    pongs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none, or it waits for its next try.
    Closed,
    /// Being opened.
    Connecting,
    /// Open.
    Open,
}

impl Connection {
    pub const fn new() -> Self {
        Self { state: State::Closed, tries: 0, since: Instant::from_millis(0), serves: None, server: 0, vain: 0, pongs: false }
    }

    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether every server was tried in vain since one last served.
    pub fn is_hopeless(&self, context: &Context) -> bool {
        self.tries as usize >= context.config.servers.len()
    }

    /// Opens it, to the server whose turn it is.
    pub fn open(&mut self, context: &mut Context) {
        let Some(url) = context.config.servers.get(self.server % context.config.servers.len().max(1)).cloned() else { return };
        context.set_secure(url.starts_with("wss:"));
        context.timers.stop(Timer::Reconnect);
        let later = self.tries as usize > context.config.servers.len();
        context.timers.set(Timer::Connect, context.now + CONNECT_TIMEOUT[usize::from(later)]);
        context.push(Output::Connect { url });
        self.state = State::Connecting;
        self.since = context.now;
    }

    /// It is open.
    pub fn opened(&mut self, context: &mut Context) {
        self.state = State::Open;
        context.connection += 1;
        self.pongs = false;
        context.timers.stop(Timer::Connect);
        context.send("\r\n\r\n".to_owned());
        self.heard(context);
    }

    /// We are signed in over it.
    pub const fn serves(&mut self, now: Instant) {
        self.serves = Some(now);
    }

    /// Something came: the server lives.
    pub fn heard(&self, context: &mut Context) {
        context.timers.stop(Timer::Silence);
        context.timers.set(Timer::KeepAlive, context.now + QUIET);
    }

    /// The answer to `CRLF CRLF` came.
    pub const fn ponged(&mut self) {
        self.pongs = true;
    }

    /// It is gone; goes to the next server, at once or after a while, which is shorter where a call waits. `refused`: the server is there,
    /// and does not serve.
    pub fn lost(&mut self, context: &mut Context, in_call: bool, refused: bool) {
        // A try that hung has waited already.
        let since = if self.state == State::Connecting { self.since } else { context.now };
        self.close(context);
        let served = self.serves.take();
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
        self.go_on(servers, steady && !refused);
        self.tries += 1;
        if self.tries == 1 && served.is_some() {
            // Without a timer: in a tab that nobody looks at the shortest takes a second.
            return self.open(context);
        }
        context.timers.set(Timer::Reconnect, context.now.max(since + wait));
    }

    /// Whose turn is next: of those that were not tried in vain, the next one; where there is none, the next of all.
    fn go_on(&mut self, servers: usize, served: bool) {
        let bit = |server: usize| 1_u32.checked_shl(server as u32).unwrap_or(0);
        let now = bit(self.server);
        self.vain = if served { self.vain & !now } else { self.vain | now };
        for _ in 0..servers {
            self.server = (self.server + 1) % servers;
            if self.vain & bit(self.server) == 0 {
                return;
            }
        }
        self.server = (self.server + 1) % servers;
    }

    /// Goes to the next server: this one is there, and does not serve.
    pub fn give_up(&mut self, context: &mut Context, in_call: bool) {
        context.push(Output::Disconnect);
        self.lost(context, in_call, true);
    }

    /// Forgets it, without another try.
    pub fn close(&mut self, context: &mut Context) {
        self.state = State::Closed;
        for timer in [Timer::Connect, Timer::KeepAlive, Timer::Silence, Timer::Reconnect] {
            context.timers.stop(timer);
        }
    }

    /// The network may be another one, or back: what is open is doubted, what waits or hangs is tried at once.
    pub fn nudge(&mut self, context: &mut Context) {
        match self.state {
            State::Open => self.ask(context, true),
            State::Connecting if self.tries > 0 => self.open(context),
            State::Closed if context.timers.runs(Timer::Reconnect) => self.open(context),
            State::Connecting | State::Closed => {}
        }
    }

    /// Asks the server for a sign of life: by `CRLF CRLF` where it is known to answer that, else by OPTIONS, which every server answers.
    pub fn ask(&self, context: &mut Context, doubt: bool) {
        context.timers.set(Timer::Silence, context.now + if doubt { DOUBT } else { PATIENCE });
        if self.pongs {
            context.send("\r\n\r\n".to_owned());
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
        context.request(options, Owner::Connection, None);
    }
}
