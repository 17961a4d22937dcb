//! A process with calls under load is killed a hundred times (`kill -9`), and the accounts are right to the last unit.
//!
//! The process is this test program itself, started with an environment variable. It prints what was confirmed to it: all of that,
//! and nothing twice, must be there at the end. `OFFHOOK_KILLS=1000 cargo test -p offhook-gateway --test ledger crash` kills more
//! often.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use offhook_gateway::store::{Store, random};
use offhook_ledger::{Answer, Grant, Query, Rules};
use offhook_ua::random::Random;
use tokio::task::JoinSet;

use crate::support::{Folder, ask, call, close, connect, extend, rules, shop};

/// The environment variable of the process to be killed: the folder of its database, and the number of its run.
const FOLDER: &str = "OFFHOOK_LEDGER_FOLDER";
const LIFE: &str = "OFFHOOK_LEDGER_LIFE";

/// The amount of each top-up.
const TOP_UP: i64 = 1_000_001;

#[tokio::test(flavor = "multi_thread")]
async fn the_books_are_right_after_a_hundred_kills() {
    let folder = Folder::new();
    drop(shop(&folder, generous(), 1_000_000_000_000).await);
    let kills = std::env::var("OFFHOOK_KILLS").ok().map_or(100, |kills| kills.parse::<u64>().expect("OFFHOOK_KILLS is a number"));
    let mut told = Told::default();
    (0..kills).for_each(|life| told.add(&live_and_die(&folder.0, life)));
    let store = Store::open(&folder.0, generous()).expect("it opens");
    let recovered = store.serve().await.expect("recovered");
    let audit = store.audit().await.expect("added up");
    assert_eq!((audit.wrong, audit.open, audit.reserved), (vec![], 0, 0));
    assert_eq!(audit.records, audit.revenue);
    told.check(&store).await;
    println!(
        "{kills} kills, {} calls granted, {} closed, last left open {}",
        told.granted.len(),
        told.closed.len(),
        recovered.calls
    );
    assert!(told.closed.len() > 100, "{} calls: too few to say anything", told.closed.len());
}

/// The output of the processes that were killed.
#[derive(Default)]
struct Told {
    granted: BTreeSet<String>,
    /// Closed calls, with their duration in milliseconds.
    closed: BTreeMap<String, u64>,
    topped_up: BTreeSet<String>,
}

impl Told {
    fn add(&mut self, lines: &[String]) {
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["granted", name] => assert!(self.granted.insert((*name).to_owned()), "{name} twice"),
                ["closed", name, millis] => drop(self.closed.insert((*name).to_owned(), millis.parse().expect("a number"))),
                ["topped", reference] => drop(self.topped_up.insert((*reference).to_owned())),
                _ => {}
            }
        }
    }

    async fn check(&self, store: &Store) {
        let records = store.records(None, u32::MAX).await.expect("read");
        let records: BTreeMap<&str, _> = records.iter().map(|record| (record.id.as_str(), record)).collect();
        for name in &self.granted {
            assert!(records.contains_key(name.as_str()), "{name} was granted and is lost");
        }
        for (name, millis) in &self.closed {
            let record = records[name.as_str()];
            assert_eq!(
                (record.cause.as_str(), record.duration(record.opened)),
                ("completed", Duration::from_millis(*millis)),
                "{name}"
            );
        }
        // Each confirmed top-up is there once, and repeating it changes nothing.
        let before = store.audit().await.expect("added up").topped_up;
        for reference in &self.topped_up {
            store.top_up("shop".into(), TOP_UP, Some(reference.clone())).await.expect("the same");
        }
        assert_eq!(store.audit().await.expect("added up").topped_up, before);
    }
}

/// Runs the process until it is killed after a random amount of work (a time would mean nothing on a busy machine), and returns its
/// output.
fn live_and_die(folder: &Path, life: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "crash::the_process_that_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let ready = lines.find(|line| line.ends_with("working"));
    assert!(ready.is_some(), "it does not work");
    let [work, moment] = random(2).try_into().expect("two octets were asked for");
    let mut said: Vec<String> = lines.by_ref().take(usize::from(work) / 6).collect();
    std::thread::sleep(Duration::from_micros(u64::from(moment) * 20));
    child.kill().expect("our child");
    assert_eq!(child.wait().expect("our child").signal(), Some(9), "it worked until it was killed");
    said.extend(lines);
    // The last line may be incomplete.
    said.pop();
    said
}

/// Does nothing unless [`the_books_are_right_after_a_hundred_kills`] has started it: then it makes calls until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_is_killed() {
    let (Ok(folder), Ok(life)) = (std::env::var(FOLDER), std::env::var(LIFE)) else { return };
    let store = Store::open(Path::new(&folder), generous()).expect("it opens after a kill");
    store.serve().await.expect("recovered");
    println!("working");
    let mut callers = JoinSet::new();
    for caller in 0..12 {
        callers.spawn(calls(store.clone(), life.parse().expect("a number"), caller));
    }
    callers.join_all().await;
}

/// Makes one call after the other.
async fn calls(store: Store, life: u64, caller: u64) {
    let mut seed = [0; 32];
    seed.iter_mut().zip(life.to_be_bytes().into_iter().chain(caller.to_be_bytes())).for_each(|(to, from)| *to = from);
    let mut dice = Random::new(seed);
    for n in 0..1_000 {
        let name = format!("{life}-{caller}-{n}");
        let start = life * 10_000_000 + n * 1_000;
        let Answer::Granted(Grant { .. }) = ask(&store, Query::Open(call(&name, start))).await else { panic!("not granted") };
        println!("granted {name}");
        if dice.below(5) > 0 {
            connect(&store, &name, start + 100).await;
        }
        for _ in 0..dice.below(3) {
            extend(&store, &name, start + 200).await;
        }
        let reference = format!("order-{name}");
        if dice.below(8) == 0 {
            store.top_up("shop".into(), TOP_UP, Some(reference.clone())).await.expect("topped up");
            println!("topped {reference}");
        }
        if dice.below(6) > 0 {
            finish(&store, &name, start, dice.below(200_000)).await;
        }
    }
}

async fn finish(store: &Store, name: &str, start: u64, millis: u64) {
    close(store, name, start + 100 + millis, "completed", 200).await;
    store.settled().await.expect("written");
    let record = store.record("shop".into(), name.to_owned()).await.expect("read").expect("there");
    println!("closed {name} {}", record.duration(record.opened).as_millis());
}

fn generous() -> Rules {
    Rules { spend_per_day: i64::MAX / 4, calls: 1_000_000, ..rules() }
}
