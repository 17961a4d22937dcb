//! The order of events: who is measured when. What is compared is done in turns, so that a busy machine is busy for all.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::crowd::{Crowd, Order, Outcome};
use crate::floods::{Flood, KINDS, Kind};
use crate::report::{Bar, Report, quantile};
use crate::server::{Place, Server, place};

/// Until the transactions of a burst are forgotten.
const SETTLE: Duration = Duration::from_secs(8);
/// Calls a second beside which everything happens.
const CALLS: u32 = 100;
/// How much a flood may add to the resident memory, in MiB.
const GROWTH: f64 = 64.0;

/// What is measured, and with what.
pub struct Plan {
    /// The gateway.
    pub gateway: PathBuf,
    /// What it is measured beside, if anything.
    pub rival: Option<Rival>,
    /// Users of each server.
    pub users: usize,
    /// Rounds of everything that is compared.
    pub rounds: usize,
    /// Seconds of each measurement of calls and of each flood.
    pub seconds: u64,
    /// Floods, by name; none: all.
    pub floods: Vec<Kind>,
    /// Where results and logs go.
    pub folder: PathBuf,
    /// Open files that a process may have.
    pub files: usize,
}

/// What the gateway is measured beside.
pub enum Rival {
    /// Kamailio and its configuration.
    Kamailio { program: PathBuf, config: PathBuf },
    /// Another build of the gateway.
    Before(PathBuf),
}

impl Rival {
    /// What the other is called in the table.
    #[must_use]
    pub fn name(rival: Option<&Self>) -> &'static str {
        match rival {
            Some(Self::Before(_)) => "before",
            Some(Self::Kamailio { .. }) | None => "Kamailio",
        }
    }
}

/// A server with its users.
struct Bench {
    server: Server,
    crowd: Crowd,
    /// Memory before anybody came, in KiB.
    empty: f64,
}

/// What a server did in one round.
#[derive(Default)]
struct Rounds {
    rate: Vec<f64>,
    cpu: Vec<f64>,
}

/// Why there is no result.
pub type Failure = Box<dyn std::error::Error>;

impl Plan {
    /// Measures everything.
    ///
    /// # Errors
    ///
    /// Where a server does not start or the machine does not let us.
    pub async fn run(&self) -> Result<Report, Failure> {
        let mut report = Report::new(Rival::name(self.rival.as_ref()), "capacity");
        let now = Command::new("date").args(["-u", "+%FT%TZ"]).output()?;
        let now = String::from_utf8(now.stdout)?;
        let mut digest = self.gateway(&self.gateway, "gateway", None).await?;
        let mut ticket = self.gateway(&self.gateway, "gateway with tickets", Some(now.trim())).await?;
        let mut rival = self.rival().await?;
        self.registrations(&mut report, &mut digest, &mut ticket, rival.as_mut())?;
        self.calls(&mut report, &mut digest, rival.as_mut())?;
        drop((digest, rival));
        // One that has not had the calls: memory that they have left over would hide what a flood takes.
        self.floods(&mut report, &mut ticket)?;
        report.notes.push(format!(
            "{} users each; memory is PSS without the kernel's socket buffers; processor times are of the server's processes alone.",
            self.users
        ));
        Ok(report)
    }

    async fn gateway(&self, program: &Path, name: &'static str, created: Option<&str>) -> Result<Bench, Failure> {
        let place = self.place(program, name)?;
        let server = Server::gateway(name, &place, self.users, "[limits]\nconnections = 60000\n")?;
        Bench::new(server, created).await
    }

    async fn rival(&self) -> Result<Option<Bench>, Failure> {
        match &self.rival {
            None => Ok(None),
            Some(Rival::Before(program)) => Ok(Some(self.gateway(program, "gateway before", None).await?)),
            Some(Rival::Kamailio { program, config }) => {
                let server = Server::kamailio(&self.place(program, "kamailio")?, config, self.users)?;
                Ok(Some(Bench::new(server, None).await?))
            }
        }
    }

    fn place(&self, program: &Path, name: &str) -> Result<Place, Failure> {
        Ok(Place { program: program.into(), folder: place(&self.folder, name)? })
    }

    fn registrations(
        &self,
        report: &mut Report,
        digest: &mut Bench,
        ticket: &mut Bench,
        mut rival: Option<&mut Bench>,
    ) -> Result<(), Failure> {
        let step = self.users / self.rounds;
        let arrive = |round: usize| Order::Arrive { from: round * step, to: (round + 1) * step };
        let refresh = |round: usize| Order::Refresh { from: round * step, to: (round + 1) * step };
        let arrived = in_turns(self.rounds, [Some(&mut *digest), Some(&mut *ticket), rival.as_deref_mut()], arrive)?;
        std::thread::sleep(SETTLE);
        let memory = |bench: &Bench| vec![(bench.server.process.pss() - bench.empty) / self.users as f64];
        let theirs = rival.as_deref().map(memory).unwrap_or_default();
        report.row("memory of a registered user, digest, KiB", memory(digest), theirs.clone(), Some(Bar::Most(35.0)));
        report.main();
        report.row("memory of a registered user, ticket, KiB", memory(ticket), theirs, Some(Bar::Most(35.0)));
        for (what, [digest, ticket, rival]) in [
            ("connect and register", arrived),
            ("register again", in_turns(self.rounds, [Some(digest), Some(ticket), rival], refresh)?),
        ] {
            report.row(format!("{what}, digest, a second"), digest.rate, rival.rate.clone(), Some(Bar::Part(0.5)));
            report.main();
            report.row(format!("{what}, digest, CPU us"), digest.cpu, rival.cpu.clone(), Some(Bar::Times(2.0)));
            report.main();
            report.row(format!("{what}, ticket, a second"), ticket.rate, rival.rate, Some(Bar::Part(0.5)));
            report.row(format!("{what}, ticket, CPU us"), ticket.cpu, rival.cpu, Some(Bar::Times(2.0)));
        }
        Ok(())
    }

    fn calls(&self, report: &mut Report, ours: &mut Bench, mut rival: Option<&mut Bench>) -> Result<(), Failure> {
        let steady = Order::Calls { rate: CALLS, millis: self.seconds * 500, hold: 500, newcomers: 0, callee: None };
        let ceiling = Order::Ceiling { lines: 64, millis: self.seconds * 500, callee: None };
        let (mut calls, mut most) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for _ in 0..self.rounds {
            for (n, bench) in [Some(&mut *ours), rival.as_deref_mut()].into_iter().enumerate() {
                let Some(bench) = bench else { continue };
                calls[n].push(bench.measure(&steady)?);
                most[n].push(bench.measure(&ceiling)?);
            }
        }
        let each = |of: &[Vec<(Outcome, f64)>; 2], value: fn(&(Outcome, f64)) -> f64| {
            [&of[0], &of[1]].map(|rounds| rounds.iter().map(value).collect::<Vec<f64>>())
        };
        let mut row = |name: &str, [ours, theirs]: [Vec<f64>; 2], bar| {
            report.row(name, ours, theirs, bar);
            if !name.ends_with('%') {
                report.main();
            }
        };
        row("100 calls a second: succeeded, %", each(&calls, |(o, _)| success(o)), Some(Bar::Least(99.9)));
        row("100 calls a second: CPU of a call, us", each(&calls, |(o, cpu)| cpu / o.done().max(1) as f64), Some(Bar::Times(2.0)));
        row("100 calls a second: INVITE to 180, p50, ms", each(&calls, |(o, _)| part(&o.times, 0.5)), None);
        row("100 calls a second: INVITE to 180, p99, ms", each(&calls, |(o, _)| part(&o.times, 0.99)), None);
        row("100 calls a second: INVITE to 200, p99, ms", each(&calls, |(o, _)| part(&o.answers, 0.99)), None);
        row("as many as possible: calls a second", each(&most, |(o, _)| o.done() as f64 / o.seconds), Some(Bar::Part(0.5)));
        row("as many as possible: CPU of a call, us", each(&most, |(o, cpu)| cpu / o.done().max(1) as f64), Some(Bar::Times(2.0)));
        row("as many as possible: succeeded, %", each(&most, |(o, _)| success(o)), Some(Bar::Least(99.9)));
        Ok(())
    }

    fn floods(&self, report: &mut Report, ours: &mut Bench) -> Result<(), Failure> {
        // The gateway's open files: its users, and some to spare.
        let most = self.files.saturating_sub(self.users + 500);
        let (mut least, mut slowest, mut largest) = (100_f64, 0_f64, 0_f64);
        for (kind, name) in KINDS.iter().filter(|(kind, _)| self.floods.is_empty() || self.floods.contains(kind)) {
            let before = ours.server.process.rss();
            let cpu = ours.server.process.cpu();
            let millis = self.seconds * 1_000;
            ours.crowd.begin(&Order::Calls { rate: CALLS, millis, hold: 500, newcomers: 20, callee: None })?;
            let mut process = start_flood(*kind, &ours.server, millis, most)?;
            let mut peak = before;
            for _ in 0..self.seconds * 4 {
                std::thread::sleep(Duration::from_millis(250));
                peak = peak.max(ours.server.process.rss());
            }
            let mut text = String::new();
            process.stdout.take().ok_or("its output is piped")?.read_to_string(&mut text)?;
            process.wait()?;
            let (flood, calls): (Flood, Outcome) = (serde_json::from_str(&text)?, ours.crowd.outcome()?);
            let mut row = |figure: &str, value: f64, bar| report.row(format!("{name}: {figure}"), vec![value], Vec::new(), bar);
            row("sent a second", flood.sent as f64 / self.seconds as f64, None);
            row("of connections", flood.connections as f64, None);
            row("closed by the gateway", flood.closed as f64, None);
            row("calls and registrations of users that succeed, %", success(&calls), Some(Bar::Least(99.9)));
            row("INVITE to 180, p99, ms", part(&calls.times, 0.99), Some(Bar::Most(1_000.0)));
            row("connect and register, p99, ms", part(&calls.newcomers, 0.99), Some(Bar::Most(500.0)));
            row("memory before, MiB", before / 1024.0, None);
            row("memory added at most, MiB", (peak - before) / 1024.0, Some(Bar::Most(GROWTH)));
            row("CPU, % of one core", (ours.server.process.cpu() - cpu) / (self.seconds as f64 * 10_000.0), None);
            least = least.min(success(&calls));
            slowest = slowest.max(part(&calls.times, 0.99));
            largest = largest.max((peak - before) / 1024.0);
            if !calls.failures.is_empty() {
                report.notes.push(format!("{name}: failed: {:?}", calls.failures));
            }
            std::thread::sleep(SETTLE / 2);
        }
        let mut worst = |figure: &str, value: f64| {
            report.row(format!("the worst of all floods: {figure}"), vec![value], Vec::new(), None);
            report.main();
        };
        worst("calls and registrations of users that succeed, %", least);
        worst("INVITE to 180, p99, ms", slowest);
        worst("memory added, MiB", largest);
        Ok(())
    }
}

impl Bench {
    async fn new(server: Server, created: Option<&str>) -> Result<Self, Failure> {
        server.ready().await?;
        let crowd = Crowd::gather(&server, created)?;
        // What a server loads at its first work is not a user's.
        std::thread::sleep(Duration::from_millis(500));
        let empty = server.process.pss();
        Ok(Self { server, crowd, empty })
    }

    /// Gives an order; what came of it, and the server's processor time in microseconds.
    fn measure(&mut self, order: &Order) -> Result<(Outcome, f64), Failure> {
        let before = self.server.process.cpu();
        let outcome = self.crowd.tell(order)?;
        if !outcome.failures.is_empty() {
            eprintln!("{}: {order:?}: {:?}", self.server.name, outcome.failures);
        }
        Ok((outcome, self.server.process.cpu() - before))
    }
}

/// One order after the other for each of the three.
fn in_turns(count: usize, mut all: [Option<&mut Bench>; 3], order: impl Fn(usize) -> Order) -> Result<[Rounds; 3], Failure> {
    let mut rounds = [Rounds::default(), Rounds::default(), Rounds::default()];
    for round in 0..count {
        for (bench, rounds) in all.iter_mut().zip(&mut rounds) {
            let Some(bench) = bench else { continue };
            let (outcome, cpu) = bench.measure(&order(round))?;
            rounds.rate.push(outcome.done() as f64 / outcome.seconds);
            rounds.cpu.push(cpu / outcome.done().max(1) as f64);
        }
    }
    Ok(rounds)
}

fn start_flood(kind: Kind, server: &Server, millis: u64, most: usize) -> Result<std::process::Child, Failure> {
    use clap::ValueEnum;
    let kind = kind.to_possible_value().ok_or("every kind has a name")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["flood", kind.get_name(), &server.address.to_string(), server.path, &millis.to_string(), &most.to_string()]);
    Ok(command.stdout(Stdio::piped()).spawn()?)
}

fn success(outcome: &Outcome) -> f64 {
    (outcome.done() + outcome.newcomers.len()) as f64 * 100.0 / outcome.tried.max(1) as f64
}

fn part(values: &[f64], q: f64) -> f64 {
    quantile(values, q).unwrap_or(f64::NAN)
}
