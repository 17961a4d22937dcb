//! Calls between users on WebSockets and a carrier on UDP, which SIPp plays, through the gateway and through Kamailio, in turns: how many, at
//! what cost, and the memory of one that is held. The gateway has media and books for each call; Kamailio passes everything on.

mod carrier;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::crowd::{Crowd, Order, Outcome};
use crate::report::{Bar, Report, quantile};
use crate::server::{Place, Server, place};
use crate::trial::Failure;
use carrier::{Carrier, DOMAIN, Pace, Scene};

/// Calls a second that everybody bears.
const RATE: u32 = 100;
/// How long each of them lasts, in milliseconds.
const HOLD: u64 = 500;
/// Calls at a time where as many as possible are made.
const LINES: usize = 64;
/// Until what a server does once is done.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub struct Options {
    /// The gateway's program
    #[arg(long)]
    gateway: PathBuf,
    /// Kamailio's program; without it the gateway is measured alone
    #[arg(long)]
    kamailio: Option<PathBuf>,
    /// Another build of the gateway to be measured beside it, in place of Kamailio
    #[arg(long, conflicts_with = "kamailio")]
    before: Option<PathBuf>,
    /// SIPp's program
    #[arg(long)]
    sipp: PathBuf,
    /// Users of each server
    #[arg(long, default_value_t = 1_000)]
    users: usize,
    /// Calls that are held to see what memory they take
    #[arg(long, default_value_t = 500)]
    held: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Rounds; each has a turn of each server with each kind of load
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Put the main figures into this document, between its lines `<!-- trunks -->` and `<!-- /trunks -->`
    #[arg(long)]
    publish: Option<PathBuf>,
    /// Where the results go
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

/// A server with its users, and where it takes SIP over UDP.
struct Bench {
    server: Server,
    crowd: Crowd,
    sip: SocketAddr,
}

/// What one kind of load did to a server, a value of each round.
#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    /// Processor time of one, in microseconds.
    cpu: Vec<f64>,
    /// How many of a hundred succeeded.
    success: Vec<f64>,
    /// The slowest but one of a hundred, in milliseconds from INVITE to 180.
    ring: Vec<f64>,
}

/// All kinds of load.
#[derive(Default)]
struct Turns {
    calls_in: [Figures; 2],
    calls_out: [Figures; 2],
    options: Figures,
    memory: Vec<f64>,
}

/// What was done, how often it was not, how many in a second, and the times until it rang.
struct Load(usize, usize, f64, Vec<f64>);

impl Options {
    /// How many bars were missed.
    ///
    /// # Errors
    ///
    /// Where a program does not start.
    pub async fn run(self) -> Result<usize, Failure> {
        let folder = place(&self.folder, "carrier")?;
        let carrier = Carrier::new(self.sipp.clone(), free_port().await?, folder, self.users)?;
        let mut ours = self.gateway(&self.gateway, "gateway", &carrier).await?;
        let mut theirs = match &self.before {
            Some(program) => Some(self.gateway(program, "gateway before", &carrier).await?),
            None => self.kamailio(&carrier).await?,
        };
        let (mut our_turns, mut their_turns) = (Turns::default(), Turns::default());
        self.hold(&mut our_turns, &carrier, &ours)?;
        theirs.as_ref().map(|theirs| self.hold(&mut their_turns, &carrier, theirs)).transpose()?;
        for _ in 0..self.rounds {
            self.turn(&mut our_turns, &carrier, &mut ours)?;
            theirs.as_mut().map(|theirs| self.turn(&mut their_turns, &carrier, theirs)).transpose()?;
        }
        let mut report = Report::new(if self.before.is_some() { "before" } else { "Kamailio" }, "trunks");
        rows(&mut report, our_turns, their_turns);
        report.notes.push(format!(
            "{} users; {} rounds of {} s; {} calls held; processor times are of the servers' processes alone. REGISTER is taken over \
             WebSocket only: scripts/bench-gateway.",
            self.users, self.rounds, self.seconds, self.held
        ));
        report.save(&self.folder.join("trunks.json"))?;
        if let Some(document) = &self.publish {
            let (users, rounds, seconds) = (self.users, self.rounds, self.seconds);
            report.publish(document, &format!("{users} users, {rounds} rounds of {seconds} s; `scripts/bench-trunks`."))?;
        }
        println!("{}", report.table());
        Ok(report.missed())
    }

    async fn gateway(&self, program: &Path, name: &'static str, carrier: &Carrier) -> Result<Bench, Failure> {
        let port = free_port().await?;
        let settings = format!(
            "[limits]\nconnections = 60000\n[phone]\ncalls = 100000\n[trunks]\nudp = {port}\ntcp = 0\ntls = 0\n\
             [media]\nports = \"20000-31999\"\nsessions = {}\n\
             [[trunk]]\nname = \"carrier\"\naddress = \"{}:{}\"\ndomains = [\"{DOMAIN}\"]\ncalls = 100000\nwatch = 0\n",
            self.held + 2_000,
            carrier::ADDRESS,
            carrier.port
        );
        let place = self.place(program, &format!("{name} at trunks"))?;
        self.arrive(Server::gateway(name, &place, self.users, &settings)?, port).await
    }

    async fn kamailio(&self, carrier: &Carrier) -> Result<Option<Bench>, Failure> {
        let Some(program) = &self.kamailio else { return Ok(None) };
        let (port, place) = (free_port().await?, self.place(program, "kamailio at trunks")?);
        let config = place.folder.join("kamailio.cfg");
        std::fs::write(&config, include_str!("kamailio.cfg"))?;
        let defines =
            [format!("LISTEN_UDP=udp:127.0.0.1:{port}"), format!("CARRIER=\"sip:{}:{}\"", carrier::ADDRESS, carrier.port)];
        Ok(Some(self.arrive(Server::with_kamailio(&place, &config, &defines)?, port).await?))
    }

    fn place(&self, program: &Path, name: &str) -> Result<Place, Failure> {
        Ok(Place { program: program.into(), folder: place(&self.folder, name)? })
    }

    /// The users of a server come and register.
    async fn arrive(&self, server: Server, port: u16) -> Result<Bench, Failure> {
        server.ready().await?;
        let mut crowd = Crowd::gather(&server, None)?;
        let arrived = crowd.tell(&Order::Arrive { from: 0, to: self.users })?;
        if arrived.done() < self.users {
            return Err(format!("{}: not everybody could register: {:?}", server.name, arrived.failures).into());
        }
        Ok(Bench { server, crowd, sip: ([127, 0, 0, 1], port).into() })
    }

    /// What calls that nobody hangs up take of memory.
    fn hold(&self, turns: &mut Turns, carrier: &Carrier, bench: &Bench) -> Result<(), Failure> {
        let few = Pace::Steady { rate: RATE, count: LINES, hold: 0 };
        carrier.outcome(carrier.begin(bench.sip, Scene::Calls, few)?, few)?;
        std::thread::sleep(SETTLE);
        let empty = bench.server.process.pss();
        let rate = 2 * RATE;
        let until = Duration::from_secs_f64(self.held as f64 / f64::from(rate)) + SETTLE;
        let pace = Pace::Steady { rate, count: self.held, hold: (until + SETTLE).as_millis() as u64 };
        let process = carrier.begin(bench.sip, Scene::Calls, pace)?;
        std::thread::sleep(until);
        turns.memory.push((bench.server.process.pss() - empty) / self.held as f64);
        let done = carrier.outcome(process, pace)?;
        if done.failed > 0 {
            return Err(format!("{}: {} of {} held calls have failed", bench.server.name, done.failed, self.held).into());
        }
        Ok(())
    }

    fn turn(&self, turns: &mut Turns, carrier: &Carrier, bench: &mut Bench) -> Result<(), Failure> {
        let (seconds, millis) = (self.seconds, self.seconds * 1_000);
        let count = RATE as usize * seconds as usize;
        let most = Pace::Lines { lines: LINES, seconds };
        turns.calls_in[0]
            .add(bench, |bench| calls(carrier, bench, Scene::Calls, Pace::Steady { rate: RATE, count, hold: HOLD }))?;
        turns.calls_in[1].add(bench, |bench| calls(carrier, bench, Scene::Calls, most))?;
        turns.options.add(bench, |bench| calls(carrier, bench, Scene::Asks, most))?;
        let _answers = carrier.answer()?;
        let callee = Some(format!("desk@{DOMAIN}"));
        let steady = Order::Calls { rate: RATE, millis, hold: HOLD, newcomers: 0, callee: callee.clone() };
        turns.calls_out[0].add(bench, |bench| called(bench, &steady))?;
        turns.calls_out[1].add(bench, |bench| called(bench, &Order::Ceiling { lines: LINES, millis, callee }))
    }
}

/// SIPp calls, or asks.
fn calls(carrier: &Carrier, bench: &mut Bench, scene: Scene, pace: Pace) -> Result<Load, Failure> {
    let done = carrier.outcome(carrier.begin(bench.sip, scene, pace)?, pace)?;
    Ok(Load(done.done, done.failed, done.rate, done.rings))
}

/// The users call SIPp.
fn called(bench: &mut Bench, order: &Order) -> Result<Load, Failure> {
    let outcome: Outcome = bench.crowd.tell(order)?;
    if !outcome.failures.is_empty() {
        eprintln!("{}: {order:?}: {:?}", bench.server.name, outcome.failures);
    }
    let done = outcome.done();
    Ok(Load(done, outcome.tried - done, done as f64 / outcome.seconds, outcome.times))
}

impl Figures {
    fn add(&mut self, bench: &mut Bench, load: impl FnOnce(&mut Bench) -> Result<Load, Failure>) -> Result<(), Failure> {
        let before = bench.server.process.cpu();
        let Load(done, failed, rate, rings) = load(bench)?;
        if failed > 0 {
            eprintln!("{}: {failed} of {} have failed", bench.server.name, done + failed);
        }
        self.cpu.push((bench.server.process.cpu() - before) / done.max(1) as f64);
        self.rate.push(rate);
        self.success.push(done as f64 * 100.0 / (done + failed).max(1) as f64);
        self.ring.extend(quantile(&rings, 0.99));
        Ok(())
    }
}

fn rows(report: &mut Report, ours: Turns, theirs: Turns) {
    for (way, ours, theirs) in
        [("from the trunk", ours.calls_in, theirs.calls_in), ("to the trunk", ours.calls_out, theirs.calls_out)]
    {
        let ([steady, most], [their_steady, their_most]) = (ours, theirs);
        let mut row = |figure: &str, ours, theirs, bar| report.row(format!("{way}, {figure}"), ours, theirs, bar);
        row("100 calls a second: succeeded, %", steady.success, their_steady.success, Some(Bar::Least(99.9)));
        row("100 calls a second: CPU of a call, us", steady.cpu, their_steady.cpu, None);
        row("100 calls a second: INVITE to 180, p99, ms", steady.ring, their_steady.ring, None);
        row("as many as possible: succeeded, %", most.success, their_most.success, Some(Bar::Least(99.9)));
        row("as many as possible: calls a second", most.rate, their_most.rate, Some(Bar::Part(0.5)));
        row("as many as possible: CPU of a call, us", most.cpu, their_most.cpu, Some(Bar::Times(2.0)));
    }
    report.row("OPTIONS: succeeded, %", ours.options.success, theirs.options.success, Some(Bar::Least(99.9)));
    report.row("OPTIONS: answered a second", ours.options.rate, theirs.options.rate, Some(Bar::Part(0.5)));
    report.row("OPTIONS: CPU of each, us", ours.options.cpu, theirs.options.cpu, Some(Bar::Times(2.0)));
    report.row("memory of a call from the trunk that is held, KiB", ours.memory, theirs.memory, None);
    report.all_main();
}

/// A UDP port that nobody has.
async fn free_port() -> std::io::Result<u16> {
    Ok(UdpSocket::bind(("0.0.0.0", 0)).await?.local_addr()?.port())
}
