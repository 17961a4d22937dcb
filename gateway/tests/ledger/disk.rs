//! A disk that becomes full during calls, repeatedly: nothing is granted that is not on disk, and what has happened is charged
//! once.
//!
//! The disk is a small file system in a mount namespace of its own, in which this test program runs once more.

use std::collections::BTreeMap;
use std::fs::{File, remove_file};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use offhook_gateway::store::{Store, StoreError};
use offhook_ledger::{Answer, Micros, Query, Refused, Rules};
use offhook_ua::random::Random;
use rusqlite::{Connection, ErrorCode};

use crate::support::{Folder, ask, call, close, connect, extend, is_granted, rules, shop};

/// The environment variable of the second run: the folder of the small disk.
const DISK: &str = "OFFHOOK_LEDGER_DISK";

/// The size of the small disk, octets.
const SIZE: &str = "12m";

const CREDIT: Micros = 1_000_000_000_000;

#[test]
fn the_books_are_right_after_the_disk_was_full() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).expect("made");
    let program = std::env::current_exe().expect("this program");
    let mount = format!("mount -t tmpfs -o size={SIZE} disk \"${DISK}\" && exec \"$@\"");
    let run = |unshare: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(unshare).args(["sh", "-c", &mount, "sh"]).arg(&program);
        command
            .args(["--exact", "disk::the_run_on_a_small_disk", "--nocapture"])
            .env(DISK, &folder.0)
            .output()
            .expect("unshare is there")
    };
    // Users other than root get its rights in a user namespace, where the system has these.
    let first = run(&["--mount"]);
    let output = if first.status.success() { first } else { run(&["--mount", "--map-root-user"]) };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("was full"), "needs a mount namespace, of root or of a user: {text}");
    println!("{text}");
}

/// Does nothing unless [`the_books_are_right_after_the_disk_was_full`] has started it.
#[tokio::test]
async fn the_run_on_a_small_disk() {
    let Ok(disk) = std::env::var(DISK) else { return };
    let mut world = World::new(Path::new(&disk)).await;
    world.log_has_no_room().await;
    world.table_has_no_room().await;
    for round in 0..6 {
        world.calls_until_full(round).await;
        world.fill(false);
        world.check().await;
    }
    world.dies_while_full().await;
    println!("the disk was full {} times, {} calls paid", world.full, world.closed.len());
}

struct World {
    folder: Folder,
    store: Store,
    dice: Random,
    /// Closed calls, with their duration.
    closed: BTreeMap<String, Duration>,
    full: u32,
}

impl World {
    async fn new(disk: &Path) -> Self {
        let folder = Folder(disk.join("data"));
        let store = shop(&folder, lavish(), CREDIT).await;
        store.serve().await.expect("alone");
        Self { folder, store, dice: Random::new([7; 32]), closed: BTreeMap::new(), full: 0 }
    }

    /// Fills the disk, or frees it.
    fn fill(&mut self, full: bool) {
        let path = self.folder.0.join("filler");
        if !full {
            return remove_file(path).expect("it was filled");
        }
        let mut file = File::create(path).expect("made");
        let error = std::iter::repeat_with(|| file.write_all(&[0; 4_096])).find_map(Result::err).expect("it is full at last");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        self.full += 1;
    }

    /// The write-ahead log cannot grow: no commit.
    async fn log_has_no_room(&mut self) {
        assert!(is_granted(&ask(&self.store, Query::Open(call("runs", 0))).await));
        connect(&self.store, "runs", 0).await;
        self.store.settled().await.expect("written");
        self.fill(true);
        assert_eq!(ask(&self.store, Query::Open(call("refused", 1_000))).await, Answer::Refused(Refused::Store));
        assert_eq!(
            extend(&self.store, "runs", 45_000).await,
            Answer::Extended { paid: Some(Duration::from_secs(60)), more: true },
            "the same end"
        );
        let top_up = self.store.top_up("shop".into(), 5_000_000, Some("invoice".into())).await;
        assert!(matches!(&top_up, Err(StoreError::Sqlite(error)) if is_full(error)), "{top_up:?}");
        close(&self.store, "runs", 50_000, "completed", 200).await;
        self.closed.insert("runs".into(), Duration::from_secs(50));
        let running = self.store.account_view("shop".into()).await.expect("what is on disk can be read").running;
        assert_eq!(running, 1, "the end is not on disk");
        self.fill(false);
        for _ in 0..2 {
            let view = self.store.top_up("shop".into(), 5_000_000, Some("invoice".into())).await.expect("there is room again");
            assert_eq!(view.credit, CREDIT + 5_000_000 - 54_000);
        }
        self.check().await;
    }

    /// Calls are in the log, but a checkpoint cannot copy them to the tables: they are charged nevertheless.
    async fn table_has_no_room(&mut self) {
        let second = Connection::open(self.folder.0.join("offhook.sqlite")).expect("opened");
        let checkpoint = || second.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        assert_eq!(checkpoint(), Ok(0));
        // Fewer pages than those after which SQLite makes a checkpoint itself.
        for n in 0..60 {
            self.whole_call(&format!("logged-{n}"), 31_000).await;
        }
        self.store.settled().await.expect("written");
        self.fill(true);
        assert!(matches!(checkpoint(), Err(error) if is_full(&error)));
        self.check().await;
        self.fill(false);
        assert_eq!(checkpoint(), Ok(0), "there is room again");
        self.check().await;
    }

    async fn whole_call(&mut self, name: &str, millis: u64) -> bool {
        let granted = is_granted(&ask(&self.store, Query::Open(call(name, 0))).await);
        if granted {
            connect(&self.store, name, 0).await;
            close(&self.store, name, millis, "completed", 200).await;
            self.closed.insert(name.to_owned(), Duration::from_millis(millis));
        }
        granted
    }

    /// Makes calls, and fills the disk during one of them, until one is refused.
    async fn calls_until_full(&mut self, round: u32) {
        let fills_at = self.dice.below(40);
        for n in 0.. {
            if n == fills_at {
                self.fill(true);
            }
            let millis = self.dice.below(60_000);
            if !self.whole_call(&format!("{round}-{n}"), millis).await {
                return;
            }
            assert!(n < 2_000, "it is never full");
        }
    }

    /// All closed calls are in the accounts once, with their duration.
    async fn check(&self) {
        self.store.settled().await.expect("written");
        let audit = self.store.audit().await.expect("added up");
        assert_eq!((&audit.wrong, audit.open, audit.reserved), (&vec![], 0, 0));
        let records = self.store.records(None, u32::MAX).await.expect("read");
        let completed = records.iter().filter(|record| record.cause == "completed");
        let completed: BTreeMap<_, _> = completed.map(|record| (record.id.clone(), record.duration(record.opened))).collect();
        assert_eq!(completed, self.closed);
    }

    /// The end of a call is only in memory when the process ends: the next process settles the call, once.
    async fn dies_while_full(&mut self) {
        assert!(is_granted(&ask(&self.store, Query::Open(call("last", 1_000_000))).await));
        connect(&self.store, "last", 1_000_000).await;
        extend(&self.store, "last", 1_045_000).await;
        self.fill(true);
        // The log has space from before, which it uses again.
        for n in 0.. {
            let name = format!("before-{n}");
            if !is_granted(&ask(&self.store, Query::Open(call(&name, 1_045_000))).await) {
                break;
            }
            close(&self.store, &name, 1_045_000, "unanswered", 480).await;
        }
        close(&self.store, "last", 1_100_000, "completed", 200).await;
        self.store.settled().await.expect("tried");
        // The memory of this process is lost: the next process finds a copy of its files.
        let other = Folder::new();
        std::fs::create_dir_all(&other.0).expect("made");
        for file in ["seal-key", "offhook.sqlite", "offhook.sqlite-wal"] {
            std::fs::copy(self.folder.0.join(file), other.0.join(file)).expect("copied");
        }
        let store = Store::open(&other.0, lavish()).expect("it opens");
        store.serve().await.expect("recovered");
        let record = store.record("shop".into(), "last".into()).await.expect("read").expect("there");
        assert_eq!((record.charge, record.cause.as_str()), (48_000, "gateway stopped"), "up to the last that is known");
        assert_eq!(store.serve().await.expect("nothing left").calls, 0);
        let audit = store.audit().await.expect("added up");
        assert_eq!((audit.wrong, audit.open, audit.reserved), (vec![], 0, 0));
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn lavish() -> Rules {
    Rules { calls_per_minute: 1_000_000, range_calls_per_hour: 1_000_000, spend_per_day: i64::MAX / 4, ..rules() }
}
