//! Input and output of [`offhook_media`]: threads with UDP sockets, each with an engine and the calls that fall to it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as queue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use offhook_media::{
    Command, Engine, Epoch, Event, Input, Leg, MediaError, Output, SessionId, Settings, Socket, refusal, session_of,
};
use offhook_ua::random::Random;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::clock::Clock;
use crate::config;
use crate::store;

/// The length of the queue of commands to one thread.
const QUEUE: usize = 4_096;
/// How many datagrams are read from one socket before the next one is served.
const TURN: usize = 64;
/// The longest datagram, octets; longer ones are not audio.
const LONGEST: usize = 2_048;
/// How many pairs of ports are tried: other programs on this machine may use some of them.
const TRIES: usize = 32;

const WAKE: Token = Token(0);
const PAGE: Token = Token(1);

/// A handle to the media.
#[derive(Clone)]
pub struct Media {
    threads: Vec<Thread>,
    events: mpsc::UnboundedSender<Event>,
}

/// A handle to one thread.
#[derive(Clone)]
struct Thread {
    commands: queue::Sender<Command>,
    waiting: Arc<AtomicUsize>,
    waker: Arc<Waker>,
}

impl Media {
    /// Opens the sockets for pages, and starts a thread for each core.
    pub fn start(config: &config::Media, clock: &Arc<Clock>) -> io::Result<(Self, mpsc::UnboundedReceiver<Event>)> {
        let cores = thread::available_parallelism().map_or(1, usize::from).min((config.sessions + config.test_sessions).max(1));
        let (sender, events) = mpsc::unbounded_channel();
        let epoch = Epoch { gateway: clock.now(), std: tokio::time::Instant::now().into_std() };
        let pairs = Arc::new(Mutex::new(pairs(config)));
        let threads = (0..cores).map(|index| {
            let poll = Poll::new()?;
            let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
            let port = if config.page_port == 0 { 0 } else { config.page_port.saturating_add(index as u16) };
            let mut page = UdpSocket::bind(SocketAddr::new(config.bind, port))?;
            poll.registry().register(&mut page, PAGE, Interest::READABLE)?;
            let settings = settings(config, page.local_addr()?.port());
            let (commands, received) = queue::channel();
            let waiting = Arc::new(AtomicUsize::new(0));
            let thread = Thread { commands, waiting: Arc::clone(&waiting), waker };
            let ports = Ports { bind: config.bind, free: Arc::clone(&pairs), open: BTreeMap::new() };
            let wires = Wires { poll, page, ports, buffer: vec![0; LONGEST], ready: VecDeque::new() };
            let worker =
                Worker { settings, epoch, clock: Arc::clone(clock), wires, commands: received, waiting, events: sender.clone() };
            thread::Builder::new().name(format!("media-{index}")).spawn(move || worker.run())?;
            Ok(thread)
        });
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        info!(address = %config.bind, threads = threads.len(), ports = config.ports, "ready for media");
        Ok((Self { threads, events: sender }, events))
    }

    /// Sends a command; never waits. Where the queue is full, the answer is [`MediaError::Busy`].
    pub fn command(&self, command: Command) {
        let thread = &self.threads[session_of(&command).0 as usize % self.threads.len()];
        let is_close = matches!(command, Command::Close { .. });
        if thread.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE && !is_close {
            thread.waiting.fetch_sub(1, Ordering::Relaxed);
            if let Some(event) = refusal(&command, MediaError::Busy) {
                drop(self.events.send(event));
            }
            return;
        }
        // Neither fails while the thread lives, and it lives as long as this handle.
        drop(thread.commands.send(command));
        drop(thread.waker.wake());
    }
}

/// The pairs of ports, in an unpredictable order.
fn pairs(config: &config::Media) -> VecDeque<u16> {
    let range = config.range().expect("the configuration was checked");
    let mut random = Random::new(store::random(32).try_into().expect("32 octets were asked for"));
    let even = range.start().next_multiple_of(2);
    let mut all: Vec<u16> = (even..*range.end()).step_by(2).collect();
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last as u64 + 1) as usize);
    }
    all.into()
}

fn settings(config: &config::Media, page_port: u16) -> Settings {
    let told = config.told();
    let reachable = |address: &&IpAddr| config.bind.is_ipv6() || address.is_ipv4();
    Settings {
        page: told.iter().filter(reachable).map(|address| SocketAddr::new(*address, page_port)).collect(),
        address: told[0],
        silence: Duration::from_secs(config.silence),
        // The B2BUA counts them; whose thread has how many is chance, or somebody's choice.
        sessions: config.sessions + config.test_sessions + offhook_b2bua::RESERVE,
    }
}

/// A media thread.
struct Worker {
    settings: Settings,
    epoch: Epoch,
    clock: Arc<Clock>,
    wires: Wires,
    commands: queue::Receiver<Command>,
    waiting: Arc<AtomicUsize>,
    events: mpsc::UnboundedSender<Event>,
}

/// The sockets of a thread.
struct Wires {
    poll: Poll,
    page: UdpSocket,
    ports: Ports,
    buffer: Vec<u8>,
    /// Sockets that may have more datagrams.
    ready: VecDeque<Token>,
}

struct Ports {
    bind: IpAddr,
    /// The free pairs of ports, shared by all threads: a call gets one as long as there is any.
    free: Arc<Mutex<VecDeque<u16>>>,
    open: BTreeMap<SessionId, Pair>,
}

struct Pair {
    port: u16,
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Worker {
    /// Runs until the last handle is dropped. A panic ends the calls of this thread and no others.
    fn run(mut self) {
        loop {
            let seed = store::random(32).try_into().expect("32 octets were asked for");
            let mut engine = Engine::new(self.settings.clone(), self.epoch, seed);
            if catch_unwind(AssertUnwindSafe(|| self.serve(&mut engine))).is_ok() {
                return;
            }
            error!(calls = engine.len(), "a media thread has failed: its calls are lost");
            for session in engine.sessions() {
                self.wires.ports.release(session);
                drop(self.events.send(Event::Failed { session, leg: Leg::Page, error: MediaError::Broken }));
            }
        }
    }

    fn serve(&mut self, engine: &mut Engine) {
        let mut events = Events::with_capacity(256);
        loop {
            let now = self.clock.now();
            let wait = engine.deadline().map(|at| at - now);
            let wait = if self.wires.ready.is_empty() { wait } else { Some(Duration::ZERO) };
            if let Err(error) = self.wires.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                error!(%error, "cannot poll media sockets");
                thread::sleep(Duration::from_millis(100));
            }
            self.wires.ready.extend(events.iter().map(|event| event.token()).filter(|token| *token != WAKE));
            if !self.obey(engine) {
                return;
            }
            for _ in 0..self.wires.ready.len() {
                self.read(engine);
            }
            let now = self.clock.now();
            if engine.deadline().is_some_and(|at| at <= now) {
                engine.handle(now, Input::Timeout);
                self.perform(engine);
            }
        }
    }

    /// Returns false where nobody can send commands any more.
    fn obey(&mut self, engine: &mut Engine) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => {
                    self.waiting.fetch_sub(1, Ordering::Relaxed);
                    engine.handle(self.clock.now(), Input::Command(command));
                    self.perform(engine);
                }
                Err(queue::TryRecvError::Empty) => return true,
                Err(queue::TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Reads from the next socket that may have datagrams, until it has none or its turn is over.
    fn read(&mut self, engine: &mut Engine) {
        let Some(token) = self.wires.ready.pop_front() else { return };
        let now = self.clock.now();
        for _ in 0..TURN {
            let Some((socket, wire)) = self.wires.ports.wire(&self.wires.page, token) else { return };
            match wire.recv_from(&mut self.wires.buffer) {
                Ok((length, source)) if length < LONGEST => {
                    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                    engine.handle(now, Input::Datagram { socket, source, bytes: &mut self.wires.buffer[..length] });
                    self.perform(engine);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Such as a port that is closed at the other end: reported for an earlier datagram of ours.
                Err(_) => {}
            }
        }
        self.wires.ready.push_back(token);
    }

    fn perform(&mut self, engine: &mut Engine) {
        while let Some(output) = engine.poll() {
            match output {
                Output::Send { socket, destination, bytes } => self.wires.send(socket, destination, &bytes),
                Output::Bind(session) => {
                    let port = self.wires.bind(session);
                    engine.handle(self.clock.now(), Input::Bound { session, port });
                }
                Output::Unbind(session) => self.wires.ports.release(session),
                // The receiver is dropped only when the gateway ends.
                Output::Event(event) => drop(self.events.send(event)),
            }
        }
    }
}

impl Wires {
    /// A datagram that cannot be sent now is lost, as any datagram may be.
    fn send(&self, socket: Socket, destination: SocketAddr, bytes: &[u8]) {
        let wire = match socket {
            Socket::Page => Some(&self.page),
            Socket::Rtp(session) => self.ports.open.get(&session).map(|pair| &pair.rtp),
            Socket::Rtcp(session) => self.ports.open.get(&session).map(|pair| &pair.rtcp),
        };
        drop(wire.map(|wire| wire.send_to(bytes, destination)));
    }

    fn bind(&mut self, session: SessionId) -> Result<u16, MediaError> {
        let mut last = None;
        let tries = TRIES.min(self.ports.free().len());
        for _ in 0..tries {
            let Some(port) = self.ports.free().pop_front() else { break };
            match self.ports.pair(port).and_then(|pair| watch(&self.poll, session, pair)) {
                Ok(pair) => {
                    self.ports.open.insert(session, pair);
                    return Ok(port);
                }
                Err(error) => last = Some(error),
            }
            self.ports.free().push_back(port);
        }
        match last {
            None => warn!("no port is left for a call: `media.ports` is used up"),
            Some(error) => warn!(%error, "cannot bind ports for a call"),
        }
        Err(MediaError::Busy)
    }
}

fn watch(poll: &Poll, session: SessionId, mut pair: Pair) -> io::Result<Pair> {
    let token = session.0 as usize * 2 + 2;
    poll.registry().register(&mut pair.rtp, Token(token), Interest::READABLE)?;
    poll.registry().register(&mut pair.rtcp, Token(token + 1), Interest::READABLE)?;
    Ok(pair)
}

impl Ports {
    fn free(&self) -> MutexGuard<'_, VecDeque<u16>> {
        // The list is consistent after each step, even if a thread has panicked.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pair(&self, port: u16) -> io::Result<Pair> {
        let socket = |port| UdpSocket::bind(SocketAddr::new(self.bind, port));
        Ok(Pair { port, rtp: socket(port)?, rtcp: socket(port + 1)? })
    }

    fn release(&mut self, session: SessionId) {
        if let Some(pair) = self.open.remove(&session) {
            // To the end of the queue: what is still under way to the old call must not reach a new one.
            self.free().push_back(pair.port);
        }
    }

    fn wire<'a>(&'a self, page: &'a UdpSocket, token: Token) -> Option<(Socket, &'a UdpSocket)> {
        if token == PAGE {
            return Some((Socket::Page, page));
        }
        let session = SessionId((token.0 as u64).checked_sub(2)? / 2);
        let pair = self.open.get(&session)?;
        Some(if token.0.is_multiple_of(2) { (Socket::Rtp(session), &pair.rtp) } else { (Socket::Rtcp(session), &pair.rtcp) })
    }
}
