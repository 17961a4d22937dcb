//! The users of one server, in a process of their own: its open files are the users' sockets, and its processor time is nobody else's.
//! Orders come in and results go out as lines of JSON.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::phone::{Phone, Proof};
use crate::server::{Server, ticket, user};

/// How many of one thing are done at once, where it is to be done as fast as possible.
const AT_ONCE: usize = 64;

/// Users with a password that do not arrive with the others.
pub const SPARE: usize = 100;

/// What the crowd is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Order {
    /// Users `from` to `to` connect and register.
    Arrive {
        /// The first.
        from: usize,
        /// The one after the last.
        to: usize,
    },
    /// They register again.
    Refresh {
        /// The first.
        from: usize,
        /// The one after the last.
        to: usize,
    },
    /// Calls between the users, begun at a steady rate.
    Calls {
        /// Calls a second.
        rate: u32,
        /// For so long.
        millis: u64,
        /// How long each lasts.
        hold: u64,
        /// Beside them, other users who connect, register and leave, a second. They are those after the last that arrived.
        newcomers: u32,
        /// Whom everybody calls; none: each other.
        callee: Option<String>,
    },
    /// As many calls as possible, one after the other on this many lines.
    Ceiling {
        /// Lines.
        lines: usize,
        /// For so long.
        millis: u64,
        /// Whom everybody calls; none: each other.
        callee: Option<String>,
    },
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// How many were to be done.
    pub tried: usize,
    /// What went wrong, and how often.
    pub failures: BTreeMap<String, usize>,
    /// Milliseconds of each that succeeded: of a call from INVITE to 180, of anything else in all.
    pub times: Vec<f64>,
    /// Of each call from INVITE to 200.
    pub answers: Vec<f64>,
    /// Of each newcomer until it was registered.
    pub newcomers: Vec<f64>,
    /// Seconds in all.
    pub seconds: f64,
}

impl Outcome {
    /// How many succeeded.
    #[must_use]
    pub fn done(&self) -> usize {
        self.times.len()
    }
}

/// The other end of a crowd; it disperses when this is dropped.
pub struct Crowd {
    child: Child,
    orders: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Crowd {
    /// A crowd for `server`; its users show tickets `created` then, or know their passwords.
    ///
    /// # Errors
    ///
    /// Where this program cannot be started once more.
    pub fn gather(server: &Server, created: Option<&str>) -> std::io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["crowd", &server.address.to_string(), server.path]);
        command.args(created).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (orders, outcomes) = child.stdin.take().zip(child.stdout.take()).expect("both are piped");
        Ok(Self { child, orders, outcomes: BufReader::new(outcomes) })
    }

    /// Gives an order and waits for what comes of it.
    ///
    /// # Errors
    ///
    /// Where the crowd is gone.
    pub fn tell(&mut self, order: &Order) -> std::io::Result<Outcome> {
        self.begin(order)?;
        self.outcome()
    }

    /// Gives an order.
    ///
    /// # Errors
    ///
    /// Where the crowd is gone.
    pub fn begin(&mut self, order: &Order) -> std::io::Result<()> {
        writeln!(self.orders, "{}", serde_json::to_string(order)?)
    }

    /// Waits for what comes of it.
    ///
    /// # Errors
    ///
    /// Where the crowd is gone.
    pub fn outcome(&mut self) -> std::io::Result<Outcome> {
        let mut line = String::new();
        self.outcomes.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The crowd's own process: takes orders until there are no more.
pub async fn run(server: SocketAddr, path: String, created: Option<String>) {
    let mut place = Here { server, path, created, phones: Vec::new() };
    let (order, mut orders) = unbounded_channel();
    // On a thread of its own: the users go on answering pings while there is nothing to do.
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| order.send(line)));
    while let Some(line) = orders.recv().await {
        let order: Order = serde_json::from_str(&line).expect("orders are made by the same program");
        let began = Instant::now();
        let mut outcome = place.follow(order).await;
        if outcome.seconds == 0.0 {
            outcome.seconds = began.elapsed().as_secs_f64();
        }
        println!("{}", serde_json::to_string(&outcome).expect("numbers and words"));
    }
}

struct Here {
    server: SocketAddr,
    path: String,
    /// When the tickets of the users were made; without, they have passwords.
    created: Option<String>,
    phones: Vec<Arc<Phone>>,
}

impl Here {
    async fn follow(&mut self, order: Order) -> Outcome {
        match order {
            Order::Arrive { from, to } => self.arrive(from, to).await,
            Order::Refresh { from, to } => {
                let phones = self.phones.clone();
                let to = if phones.is_empty() { from } else { to };
                let again = move |n: usize| {
                    let phone = Arc::clone(&phones[n % phones.len()]);
                    async move { phone.register().await }
                };
                timed(from, to, again).await
            }
            Order::Calls { rate, millis, hold, newcomers, callee } => {
                let long = Duration::from_millis(millis);
                let beside = tokio::spawn(newcome(self.server, self.path.clone(), self.phones.len(), newcomers, long));
                let mut outcome = self.calls(rate, long, Duration::from_millis(hold), callee.as_deref()).await;
                let more = beside.await.expect("a newcomer does not panic");
                outcome.tried += more.tried;
                outcome.newcomers = more.times;
                more.failures.into_iter().for_each(|(why, count)| *outcome.failures.entry(why).or_default() += count);
                outcome
            }
            Order::Ceiling { lines, millis, callee } => self.ceiling(lines, Duration::from_millis(millis), callee).await,
        }
    }

    async fn arrive(&mut self, from: usize, to: usize) -> Outcome {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (server, path, created, list) = (self.server, self.path.clone(), self.created.clone(), Arc::clone(&arrived));
        let come = move |n: usize| {
            let (path, created, list) = (path.clone(), created.clone(), Arc::clone(&list));
            async move {
                let proof = created.map_or(Proof::Digest, |created| Proof::Ticket(ticket(&user(n), &created)));
                let phone = Phone::connect(server, &path, address(1, n / 100), user(n), proof).await?;
                phone.register().await?;
                list.lock().unwrap_or_else(PoisonError::into_inner).push((n, phone));
                Ok(())
            }
        };
        let outcome = timed(from, to, come).await;
        let mut arrived = std::mem::take(&mut *arrived.lock().unwrap_or_else(PoisonError::into_inner));
        arrived.sort_by_key(|(n, _)| *n);
        self.phones.extend(arrived.into_iter().map(|(_, phone)| phone));
        outcome
    }

    async fn calls(&self, rate: u32, long: Duration, hold: Duration, callee: Option<&str>) -> Outcome {
        let mut beat = interval(Duration::from_secs(1) / rate);
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (began, mut calls) = (Instant::now(), JoinSet::new());
        let mut number = 0;
        while began.elapsed() < long {
            beat.tick().await;
            let (caller, callee) = self.pair(number, callee);
            calls.spawn(async move { caller.call(&callee, hold).await });
            number += 1;
        }
        let mut outcome = Outcome { tried: number, seconds: began.elapsed().as_secs_f64(), ..Outcome::default() };
        while let Some(call) = calls.join_next().await {
            outcome.count(call.expect("a call does not panic"));
        }
        outcome
    }

    async fn ceiling(&self, lines: usize, long: Duration, callee: Option<String>) -> Outcome {
        let (outcome, next, began) = (Arc::new(Mutex::new(Outcome::default())), Arc::new(AtomicUsize::new(0)), Instant::now());
        let mut tasks = JoinSet::new();
        let phones = Arc::new(Self { server: self.server, path: String::new(), created: None, phones: self.phones.clone() });
        for _ in 0..lines {
            let (outcome, next, phones, callee) = (Arc::clone(&outcome), Arc::clone(&next), Arc::clone(&phones), callee.clone());
            tasks.spawn(async move {
                while began.elapsed() < long {
                    let (caller, callee) = phones.pair(next.fetch_add(1, Ordering::Relaxed), callee.as_deref());
                    let call = caller.call(&callee, Duration::ZERO).await;
                    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                    outcome.tried += 1;
                    outcome.count(call);
                }
            });
        }
        tasks.join_all().await;
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.seconds = began.elapsed().as_secs_f64();
        outcome.clone()
    }

    /// Caller and callee of call `number`: everybody calls in turn, the same `outside` or users that are not their neighbours.
    fn pair(&self, number: usize, outside: Option<&str>) -> (Arc<Phone>, String) {
        let count = self.phones.len();
        if let Some(outside) = outside {
            return (Arc::clone(&self.phones[number % count]), outside.to_owned());
        }
        let callee = (number * 7 + count / 2 + 1) % count;
        let caller = number % count;
        let caller = if caller == callee { (caller + 1) % count } else { caller };
        (Arc::clone(&self.phones[caller]), self.phones[callee].user.clone())
    }
}

/// Users beyond the first `known` connect, register and leave again.
async fn newcome(server: SocketAddr, path: String, known: usize, rate: u32, long: Duration) -> Outcome {
    let (began, mut tasks, mut outcome) = (Instant::now(), JoinSet::new(), Outcome::default());
    let mut beat = interval(Duration::from_secs(1) / rate.max(1));
    while rate > 0 && began.elapsed() < long {
        beat.tick().await;
        let (path, n) = (path.clone(), known + outcome.tried % SPARE);
        outcome.tried += 1;
        tasks.spawn(async move {
            let began = Instant::now();
            let phone = Phone::connect(server, &path, address(1, n / 100), user(n), Proof::Digest).await?;
            let registered = phone.register().await;
            phone.close();
            registered.map(|()| began.elapsed().as_secs_f64() * 1000.0)
        });
    }
    while let Some(result) = tasks.join_next().await {
        match result.expect("a newcomer does not panic") {
            Ok(time) => outcome.times.push(time),
            Err(failure) => *outcome.failures.entry(format!("newcomer: {failure}")).or_default() += 1,
        }
    }
    outcome
}

impl Outcome {
    fn count(&mut self, call: Result<crate::phone::Times, String>) {
        match call {
            Ok(times) => {
                self.times.push(times.ring);
                self.answers.push(times.answer);
            }
            Err(failure) => *self.failures.entry(failure).or_default() += 1,
        }
    }
}

/// Does something for each of `from` to `to`, some at once, and takes the time of each.
async fn timed<F, T>(from: usize, to: usize, work: F) -> Outcome
where
    F: Fn(usize) -> T + Clone + Send + 'static,
    T: Future<Output = Result<(), String>> + Send,
{
    let (next, outcome) = (Arc::new(AtomicUsize::new(from)), Arc::new(Mutex::new(Outcome::default())));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (next, outcome, work) = (Arc::clone(&next), Arc::clone(&outcome), work.clone());
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= to {
                    break;
                }
                let began = Instant::now();
                let result = work(n).await;
                let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                outcome.tried += 1;
                match result {
                    Ok(()) => outcome.times.push(began.elapsed().as_secs_f64() * 1000.0),
                    Err(failure) => *outcome.failures.entry(failure).or_default() += 1,
                }
            }
        });
    }
    tasks.join_all().await;
    let outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.clone()
}

/// An address of this machine: `network` tells users from untrusted clients, a hundred of them share one.
#[must_use]
pub fn address(network: u8, number: usize) -> Ipv4Addr {
    let octet = |value: usize| u8::try_from(value).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, network, octet(number / 250), octet(number % 250 + 1))
}
