//! Applications, users, numbers and accounts in SQLite. One thread owns the database; a [`Store`] is a handle that sends it
//! queries.
//!
//! Secrets of applications and digest hashes of passwords are sealed with a key that is not in the database (seal.rs); only their
//! owner can read both files. Every change is on disk before it is answered.

mod accounts;
mod audit;
mod calls;
mod numbers;
mod pace;
mod rates;
mod records;
mod seal;
mod users;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use offhook_ledger::{AmountError, Rules};
use offhook_ua::wall::Wall;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use thiserror::Error;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use self::calls::Waiting;
use self::seal::Seal;
use self::users::Failed;

pub use self::accounts::{AccountView, DEMO_CREDIT, Limits, Transfer};
pub use self::audit::Audit;
pub use self::calls::Recovered;
pub use self::numbers::AssignedNumber;
pub use self::pace::Alarm;
pub use self::rates::Rate;
pub use self::records::Record;
pub use self::seal::SealError;
pub use self::users::{Application, DEMO, Hashes, LOOPBACK, PasswordChange, check_name};

/// The schema version of this program.
const SCHEMA: i64 = 6;

/// The first version with sealed secrets.
const SEALED: i64 = 4;

/// For each version the tables that it adds.
const TABLES: [&str; 6] = [
    include_str!("tables1.sql"),
    include_str!("tables2.sql"),
    include_str!("tables3.sql"),
    include_str!("tables4.sql"),
    include_str!("tables5.sql"),
    include_str!("tables6.sql"),
];

/// The length of the queue to the database thread; senders wait where it is full.
const QUEUE: usize = 1_024;

/// The largest number of users, and of queries of calls, that are written in one transaction.
const TOGETHER: usize = 256;

/// The interval between attempts to write what could not be written.
const RETRY: Duration = Duration::from_millis(250);

/// Why a query has failed. Nothing was changed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The folder or the file cannot be created, read or written.
    #[error("cannot write the data folder {0}: {1}; name another with OFFHOOK_DATA, --data or `data.folder`")]
    Folder(PathBuf, std::io::Error),
    /// The file was written by a newer program.
    #[error("the database has version {0}, this program knows {SCHEMA}: run a newer program")]
    Newer(i64),
    /// The key of sealed values.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The application or user exists.
    #[error("it exists already")]
    Taken,
    /// There is no such application.
    #[error("there is no such application")]
    NoApplication,
    /// The application has no such number.
    #[error("the application has no such number")]
    NoNumber,
    /// A top-up with this reference was made with another amount.
    #[error("the reference was used for another amount")]
    Reused,
    /// The credit is less than the amount to be withdrawn.
    #[error("there is less credit than that")]
    TooLittle,
    /// The amount is out of range.
    #[error(transparent)]
    Amount(AmountError),
    /// The account has the first currency, `phone.currency` is the second.
    #[error("the account is in {0}, `phone.currency` says {1}: money is not exchanged here")]
    Currency(String, String),
    /// SQLite: disk full, file damaged or locked by another process.
    #[error("the database cannot be used: {0}")]
    Sqlite(rusqlite::Error),
    /// The database thread has ended: the process is stopping.
    #[error("the database is closed")]
    Stopped,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Taken,
            _ => Self::Sqlite(error),
        }
    }
}

/// A handle to the database thread, which ends with the last handle.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

/// A job of the database thread.
type Job = Box<dyn FnOnce(&mut Database) + Send>;

impl Store {
    /// Opens the database in `folder`, creating both if necessary, on a thread of its own. `rules` are those of the ledger.
    pub fn open(folder: &Path, rules: Rules) -> Result<Self, StoreError> {
        let database = Database::open(folder, rules)?;
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE);
        let run = move || database.run(queue);
        std::thread::Builder::new().name("store".into()).spawn(run).map_err(|error| StoreError::Folder(folder.into(), error))?;
        Ok(Self { jobs })
    }

    /// Runs `work` on the database thread, and waits for its result.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |database| drop(answer.send(work(database))));
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }
}

/// The database itself.
struct Database {
    connection: Connection,
    seal: Seal,
    folder: PathBuf,
    /// The lock of a process that serves calls.
    serving: Option<fs::File>,
    rules: Rules,
    /// The wall clock; before it is set, the last time in the database.
    wall: Wall,
    /// Queries of calls that are not written yet, in order.
    queries: Vec<Waiting>,
    /// Whether the last attempt to write them failed: a failure is logged once.
    failing: bool,
    /// The id of the last alarm that was logged.
    alarmed: i64,
    /// The id of the last change of a password that was reported.
    told: u64,
    /// Users to be written, by application and name, with the recipients of an error.
    noted: BTreeMap<(String, String), Failed>,
}

impl Database {
    fn open(folder: &Path, rules: Rules) -> Result<Self, StoreError> {
        let blame = |error| StoreError::Folder(folder.into(), error);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(blame)?;
        let path = folder.join("offhook.sqlite");
        // The file is created here and not by SQLite, so that at no time others can read it; its -wal and -shm get the same mode.
        fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(blame)?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(blame)?;
        let connection = Connection::open(&path)?;
        let seal = prepare(&connection, folder)?;
        let (queries, noted) = (Vec::new(), BTreeMap::new());
        let mut database = Self {
            connection,
            seal,
            folder: folder.into(),
            serving: None,
            rules,
            wall: Wall::default(),
            queries,
            failing: false,
            alarmed: 0,
            told: 0,
            noted,
        };
        database.check_currency()?;
        database.alarmed = database.last_alarm()?;
        database.told = database.last_change()?;
        let (at, date) = database.pulse()?;
        database.wall = Wall::new(at, date);
        Ok(database)
    }

    /// Opens the file whose lock is held by processes that serve calls.
    fn lock_file(&self) -> Result<fs::File, StoreError> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.folder.join("serving"));
        file.map_err(|error| StoreError::Folder(self.folder.clone(), error))
    }

    /// Begins a transaction for writing; all statements on the connection belong to it until it is committed or dropped.
    fn begin(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
    }

    /// The loop of the database thread: executes jobs, and writes to disk once for all that are in the queue.
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = self.next(&mut queue) {
            first(&mut self);
            // Jobs in the queue share one write to disk: a thousand users with their first ticket, or as many calls, wait for it
            // only once.
            while self.noted.len() + self.queries.len() < TOGETHER
                && let Ok(job) = queue.try_recv()
            {
                job(&mut self);
            }
            self.write_noted();
            self.write_queries();
        }
        self.write_queries();
    }

    /// Returns the next job; while something could not be written, also an empty one at intervals, as another attempt.
    fn next(&self, queue: &mut mpsc::Receiver<Job>) -> Option<Job> {
        if self.queries.is_empty() {
            return queue.blocking_recv();
        }
        match queue.try_recv() {
            Ok(job) => Some(job),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                std::thread::sleep(RETRY);
                Some(Box::new(|_| {}))
            }
        }
    }
}

/// Configures the connection, and creates or migrates the tables and the key.
fn prepare(connection: &Connection, folder: &Path) -> Result<Seal, StoreError> {
    // A second process (`user add` beside a running server) waits.
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // FULL: what was answered survives a power failure. Writes are few: the first registration of a user, not each one.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let version = match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
        version @ 0..=SCHEMA => version,
        newer => return Err(StoreError::Newer(newer)),
    };
    upgrade(&transaction, folder, version, SCHEMA)?;
    let seal = Seal::open(folder, &transaction)?;
    transaction.commit()?;
    seal::scrub(connection)?;
    Ok(seal)
}

/// Migrates the tables from one version to another.
fn upgrade(transaction: &Connection, folder: &Path, from: i64, to: i64) -> Result<(), StoreError> {
    for (version, tables) in (1..=to).zip(TABLES).filter(|(version, _)| *version > from) {
        transaction.execute_batch(tables)?;
        if version == SEALED {
            Seal::open(folder, transaction)?.adopt(transaction)?;
        }
    }
    Ok(())
}

/// Returns `length` unpredictable octets.
///
/// # Panics
///
/// Where the system has no randomness, without which nothing would be secure.
#[must_use]
pub fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// Returns a secret as operators and Sinch's ticket generators write it.
#[must_use]
pub fn encode_secret(secret: &[u8]) -> String {
    STANDARD.encode(secret)
}

/// Returns the octets of a secret; `None` where it is not base64 or shorter than 16 octets.
#[must_use]
pub fn decode_secret(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok().filter(|secret| secret.len() >= 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_database_gets_the_new_tables() {
        for version in 1..SCHEMA {
            let folder = folder(&format!("older{version}"));
            fs::create_dir_all(&folder).expect("made");
            let old = Connection::open(folder.join("offhook.sqlite")).expect("opened");
            upgrade(&old, &folder, 0, version).expect("an old version");
            let shop = "INSERT INTO application (key, secret, origins, allow_new_users, loopback_only, created) \
                        VALUES ('shop', x'00', '', 0, 0, 0)";
            old.execute(shop, []).expect("a row");
            drop(old);
            for _ in 0..2 {
                let database = Database::open(&folder, Rules::default()).expect("this version");
                let sql = |table| format!("SELECT count(*) FROM {table}");
                let count = |table| database.connection.query_row(&sql(table), [], |row| row.get::<_, u32>(0)).expect("there");
                assert_eq!((count("application"), count("transfer"), count("alarm"), count("password_change")), (1, 0, 0, 0));
            }
        }
    }

    /// A path for this test alone, where no file exists.
    pub fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("offhook-store-{}-{name}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        drop(fs::remove_file(&path));
        path
    }
}
