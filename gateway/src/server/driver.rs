//! The task that owns the exchange (proxy and back-to-back user agent): hands it one input at a time, does what it says, and wakes it when
//! its time has come.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use offhook_b2bua::exchange::{Exchange, Input, Output};
use offhook_proxy::{self as proxy, ConnId, Record};
use offhook_ua::wall::Wall;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tracing::{error, warn};

use super::clock::Clock;
use super::outside::Outside;
use crate::metrics::Metrics;
use crate::store::{PasswordChange, Store};

/// Inputs that may wait for the proxy; who comes later waits at its socket.
const QUEUE: usize = 1_024;

/// How long even the luckiest message of a window may wait for the proxy before new calls are refused: longer than that, and callers
/// give up by themselves.
const OVERLOADED: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(1);
/// Fewer messages than these in a window are no queue.
const QUEUED: u32 = 10;

/// How often the store is asked whether a password was changed: another process may do that.
const PASSWORDS: Duration = Duration::from_secs(1);

/// Milliseconds by which dates may be wrong: less is no step of the wall clock, but how it is kept right, and how it is read.
const STEP: i64 = 500;

/// Octets that may wait for one slow reader.
const QUEUED_BYTES: usize = 1 << 20;

/// What a connection has to do.
#[derive(Debug)]
pub enum Outgoing {
    /// Send a message.
    Text(String),
    /// Close with this code.
    Close(u16, &'static str),
}

/// The queue from the proxy to one connection, bounded in messages and octets.
#[derive(Debug)]
pub struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// The connection's end of an [`Outbox`].
#[derive(Debug)]
pub struct Inbox {
    queue: mpsc::Receiver<Outgoing>,
    bytes: Arc<AtomicUsize>,
}

/// A queue of at most `messages`.
#[must_use]
pub fn outbox(messages: usize) -> (Outbox, Inbox) {
    let (sender, queue) = mpsc::channel(messages);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Outbox { queue: sender, bytes: Arc::clone(&bytes) }, Inbox { queue, bytes })
}

impl Outbox {
    /// False: the reader is gone or too slow.
    fn push(&self, outgoing: Outgoing) -> bool {
        let length = outgoing.len();
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        before + length <= QUEUED_BYTES && self.queue.try_send(outgoing).is_ok()
    }
}

impl Inbox {
    /// What to do next; `None`: the proxy has given this connection up.
    pub async fn next(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.recv().await?;
        self.bytes.fetch_sub(outgoing.len(), Ordering::Relaxed);
        Some(outgoing)
    }
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Close(..) => 0,
        }
    }
}

/// What happens to the driver.
enum Event {
    Opened { conn: ConnId, peer: IpAddr, application: String, outbox: Outbox },
    Proxy { input: proxy::Input, since: Instant },
    Count { counted: oneshot::Sender<Counts> },
    Drain { done: oneshot::Sender<()> },
    Stop,
}

/// What the proxy holds at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Calls that ring or run.
    pub calls: usize,
    /// Devices that are online.
    pub devices: usize,
}

/// A handle to the driver.
#[derive(Clone)]
pub struct Handle {
    events: mpsc::Sender<Event>,
    next: Arc<AtomicU64>,
}

impl Handle {
    /// A connection is there; its id.
    pub async fn opened(&self, peer: IpAddr, application: String, outbox: Outbox) -> ConnId {
        let conn = ConnId(self.next.fetch_add(1, Ordering::Relaxed));
        self.send(Event::Opened { conn, peer, application, outbox }).await;
        conn
    }

    /// A message came in on it.
    pub async fn received(&self, conn: ConnId, text: String) {
        self.send(Event::Proxy { input: proxy::Input::Received { conn, text }, since: Instant::now() }).await;
    }

    /// It is closed. Exactly once for each connection.
    pub async fn closed(&self, conn: ConnId, left: bool) {
        self.send(Event::Proxy { input: proxy::Input::Closed { conn, left }, since: Instant::now() }).await;
    }

    /// What there is; `None` where the driver has ended.
    pub async fn count(&self) -> Option<Counts> {
        let (counted, count) = oneshot::channel();
        self.send(Event::Count { counted }).await;
        count.await.ok()
    }

    /// Takes no new calls; returns when the last running one has ended.
    pub async fn drain(&self) {
        let (done, drained) = oneshot::channel();
        self.send(Event::Drain { done }).await;
        drop(drained.await);
    }

    /// Ends the calls that leave here and closes every connection; the driver ends when the last one is gone.
    pub async fn stop(&self) {
        self.send(Event::Stop).await;
    }

    async fn send(&self, event: Event) {
        // An error means that the driver has ended, and with it everything that the event could be about.
        drop(self.events.send(event).await);
    }
}

/// The exchange with everything it needs from the world.
pub struct Driver {
    exchange: Exchange,
    outside: Outside,
    store: Store,
    metrics: Arc<Metrics>,
    clock: Arc<Clock>,
    /// What the wall clock shows, as the exchange and the store know it.
    wall: Wall,
    outboxes: BTreeMap<ConnId, Outbox>,
    /// Connections that were opened and not closed, as far as the proxy knows.
    open: usize,
    events: mpsc::Receiver<Event>,
    /// Not bounded, so that the database never waits for the driver while the driver waits for it; as many as the store's queue.
    answers: (mpsc::UnboundedSender<proxy::Input>, mpsc::UnboundedReceiver<proxy::Input>),
    drained: Vec<oneshot::Sender<()>>,
    stopping: bool,
    backlog: Backlog,
    passwords: Interval,
}

/// Whether a queue stands before the proxy. One that comes and goes, as with a burst or a pause of the whole computer, is none: so the
/// shortest wait of a window counts (as in RFC 8289), not a long one.
struct Backlog {
    window: Instant,
    least: Duration,
    messages: u32,
    stands: bool,
}

impl Backlog {
    fn new(now: Instant) -> Self {
        Self { window: now, least: Duration::MAX, messages: 0, stands: false }
    }

    /// A message has waited for so long. What is new, if anything.
    fn measure(&mut self, now: Instant, waited: Duration) -> Option<bool> {
        self.least = self.least.min(waited);
        self.messages += 1;
        if now - self.window < WINDOW {
            return None;
        }
        let stands = self.least > OVERLOADED && self.messages >= QUEUED;
        let changed = stands != self.stands;
        *self = Self { stands, ..Self::new(now) };
        changed.then_some(stands)
    }
}

impl Driver {
    /// A driver that waits to be run, and a handle to it.
    #[must_use]
    pub fn new(exchange: Exchange, outside: Outside, store: Store, metrics: Arc<Metrics>, clock: Arc<Clock>) -> (Self, Handle) {
        let (sender, events) = mpsc::channel(QUEUE);
        let mut passwords = interval(PASSWORDS);
        passwords.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let driver = Self {
            exchange,
            outside,
            store,
            metrics,
            clock,
            wall: Wall::default(),
            outboxes: BTreeMap::new(),
            open: 0,
            events,
            answers: mpsc::unbounded_channel(),
            drained: Vec::new(),
            stopping: false,
            backlog: Backlog::new(Instant::now()),
            passwords,
        };
        (driver, Handle { events: sender, next: Arc::new(AtomicU64::new(1)) })
    }

    /// Runs until [`Handle::stop`], the end of the last connection, and the last answer of a trunk.
    pub async fn run(mut self) {
        self.set_wall_clock(true).await;
        while !(self.stopping && self.open == 0 && self.exchange.is_quiet()) {
            let input = self.wait().await;
            self.set_wall_clock(false).await;
            let Some(input) = input else { continue };
            let stop = matches!(input, Input::Stop);
            self.exchange.handle(self.clock.now(), input);
            while let Some(output) = self.exchange.poll() {
                self.perform(output).await;
            }
            if stop {
                // After what it has sent to pages.
                self.close_all();
            }
            self.report_drained();
        }
    }

    /// Hands on what the wall clock shows: to begin with (`first`), and when it was put ahead or back.
    async fn set_wall_clock(&mut self, first: bool) {
        let wall = self.clock.wall();
        let step = wall.step(self.wall);
        if !first && step.abs() < STEP {
            return;
        }
        if !first {
            warn!(milliseconds = step, "the wall clock was put ahead, or back: dates follow it, what runs is not touched");
        }
        self.wall = wall;
        self.exchange.handle(self.clock.now(), Input::Switch(proxy::Input::Wall(wall)));
        self.store.set_wall(wall).await;
    }

    /// What happens next; `None` where an event was the driver's own.
    async fn wait(&mut self) -> Option<Input> {
        let deadline = self.exchange.deadline().map(|deadline| self.clock.wake_at(deadline));
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Answers first: they are few, and somebody has waited for them already.
            biased;
            Some(answer) = self.answers.1.recv() => Some(Input::Switch(answer)),
            () = timer => Some(Input::Timeout),
            _ = self.passwords.tick() => {
                self.ask_passwords().await;
                None
            }
            input = self.outside.next() => Some(Input::B2bua(input)),
            Some(event) = self.events.recv() => self.event(event),
        }
    }

    /// The answers come in the same queue as those about users: nobody signs in with an old password after its change is known.
    async fn ask_passwords(&self) {
        let answers = self.answers.0.clone();
        let found = move |result: Result<Vec<PasswordChange>, _>| match result {
            Ok(changes) => changes.into_iter().for_each(|PasswordChange { application, user, revision }| {
                drop(answers.send(proxy::Input::PasswordChanged { application, user, revision }));
            }),
            Err(error) => error!(%error, "changes of passwords could not be read; tried again in a second"),
        };
        self.store.password_changes(found).await;
    }

    fn event(&mut self, event: Event) -> Option<Input> {
        match event {
            Event::Opened { conn, peer, application, outbox } => {
                self.open += 1;
                if self.stopping {
                    outbox.push(Outgoing::Close(1001, "going away"));
                }
                self.outboxes.insert(conn, outbox);
                Some(Input::Switch(proxy::Input::Opened { conn, peer, application }))
            }
            Event::Proxy { input, since } => {
                self.measure(since.elapsed());
                match &input {
                    proxy::Input::Received { .. } => self.metrics.message_in(),
                    proxy::Input::Closed { conn, .. } => {
                        self.open -= 1;
                        self.outboxes.remove(conn);
                    }
                    _ => {}
                }
                Some(Input::Switch(input))
            }
            Event::Count { counted } => {
                // Who asked has stopped waiting: nothing is lost.
                let _ = counted.send(self.counts());
                None
            }
            Event::Drain { done } => {
                self.drained.push(done);
                Some(Input::Drain)
            }
            Event::Stop => Some(Input::Stop),
        }
    }

    fn counts(&self) -> Counts {
        Counts { calls: self.exchange.switch().calls(), devices: self.exchange.switch().devices() }
    }

    fn close_all(&mut self) {
        self.stopping = true;
        for outbox in self.outboxes.values() {
            outbox.push(Outgoing::Close(1001, "going away"));
        }
    }

    /// Tells the proxy when what comes in begins to wait too long, and when it does no more.
    fn measure(&mut self, waited: Duration) {
        if let Some(overloaded) = self.backlog.measure(Instant::now(), waited) {
            warn!(waited = waited.as_millis(), overloaded, "messages wait for the proxy");
            self.exchange.handle(self.clock.now(), Input::Switch(proxy::Input::Overloaded(overloaded)));
        }
    }

    async fn perform(&mut self, output: Output) {
        match output {
            Output::Switch(output) => self.perform_proxy(output).await,
            Output::B2bua(output) => self.outside.perform(output).await,
        }
    }

    async fn perform_proxy(&mut self, output: proxy::Output) {
        match output {
            // It stays within the exchange.
            proxy::Output::ToB2bua { .. } => {}
            proxy::Output::Send { conn, text } => {
                self.metrics.message_out();
                self.push(conn, Outgoing::Text(text));
            }
            proxy::Output::Close { conn, code, reason } => {
                self.metrics.refused(reason);
                self.push(conn, Outgoing::Close(code, reason));
            }
            proxy::Output::Lookup { query, application, user } => {
                let (answers, metrics) = (self.answers.0.clone(), Arc::clone(&self.metrics));
                let found = move |result: Result<_, _>| {
                    metrics.query(result.is_ok());
                    match result {
                        Ok(account) => drop(answers.send(proxy::Input::Account { query, account })),
                        // No answer: the proxy then says that the store failed, and not that there is no such user.
                        Err(error) => error!(%error, "a user could not be looked up"),
                    }
                };
                self.store.look_up(application, user, found).await;
            }
            proxy::Output::Seen { application, user } => {
                self.metrics.query(true);
                self.store.seen(application, user, |error| error!(%error, "a user could not be noted")).await;
            }
            proxy::Output::Record(record) => self.record(&record),
        }
    }

    /// Queues for a connection; one that does not read is given up.
    fn push(&mut self, conn: ConnId, outgoing: Outgoing) {
        if self.outboxes.get(&conn).is_some_and(|outbox| !outbox.push(outgoing)) {
            warn!(conn = conn.0, "given up: it does not read");
            self.metrics.refused("slow reader");
            self.outboxes.remove(&conn);
        }
    }

    /// Counts it; the proxy has logged it.
    fn record(&self, record: &Record) {
        match record {
            Record::Refused { why, .. } => self.metrics.refused(why),
            Record::CallStarted { .. } => {
                self.metrics.calls_started.inc();
            }
            Record::CallAnswered { .. } => {
                self.metrics.calls_answered.inc();
            }
            Record::CallEnded { cause, .. } => self.metrics.call_ended(cause),
            Record::Malformed { .. } => self.metrics.refused("malformed"),
            Record::Throttled { .. } => self.metrics.refused("too many messages"),
        }
    }

    /// Answers those who wait for the end of the last call, when it has ended.
    fn report_drained(&mut self) {
        if !self.drained.is_empty() && !self.exchange.has_calls() {
            for done in self.drained.drain(..) {
                // Who asked has stopped waiting: nothing is lost.
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_queue_that_stands_is_an_overload() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut backlog = Backlog::new(start);
        let mut told = Vec::new();
        let mut wait = |from: u64, to: u64, waited: fn(u64) -> u64| {
            (from..to)
                .step_by(100)
                .for_each(|at| told.extend(backlog.measure(start + ms(at), ms(waited(at))).map(|now| (at, now))));
        };
        wait(0, 3_000, |at| if at % 1_000 == 500 { 5 } else { 5_000 });
        wait(3_000, 6_000, |_| 2_100);
        wait(6_000, 9_000, |at| if at % 1_000 == 500 { 5 } else { 5_000 });
        told.extend(backlog.measure(start + ms(20_000), ms(5_000)).map(|now| (20_000, now)));
        assert_eq!(told, [(4_000, true), (7_000, false)], "long waits with short ones between are none");
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_messages_and_octets() {
        let (outbox, mut inbox) = outbox(3);
        for _ in 0..3 {
            assert!(outbox.push(Outgoing::Text("x".into())));
        }
        assert!(!outbox.push(Outgoing::Text("x".into())), "one message too many");

        let (outbox, _inbox) = super::outbox(1_000);
        let long = "x".repeat(65_536);
        let taken = (0..1_000).take_while(|_| outbox.push(Outgoing::Text(long.clone()))).count();
        assert_eq!(taken, QUEUED_BYTES / long.len());

        assert!(matches!(inbox.next().await, Some(Outgoing::Text(text)) if text == "x"));
    }
}
