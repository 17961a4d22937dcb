//! Call records: one for each call, also for those that were refused, with the same facts as signalling and books.

use std::time::Duration;

use offhook_ledger::{Micros, Reservation, Tariff};
use offhook_ua::time::Instant;
use rusqlite::{OptionalExtension, Row, params};

use super::calls::millis;
use super::{Database, Store, StoreError};

/// Rows that are worked on at a time, so that nobody waits long.
const PORTION: usize = 1_000;

/// What is known of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name in the ledger.
    pub id: String,
    /// Application key.
    pub application: String,
    /// Call-ID of the page's leg.
    pub call_id: String,
    /// User id of the page.
    pub user: String,
    /// `phone`, `sip`, `test` or `incoming`.
    pub kind: String,
    /// The caller.
    pub from: String,
    /// Who was called.
    pub to: String,
    /// When it began.
    pub opened: Instant,
    /// The same by the clock that runs on: how long it lasts is measured by that.
    pub moment: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// When it ended; `None`: it rings or runs.
    pub ended: Option<Instant>,
    /// How it ended.
    pub cause: String,
    /// SIP status.
    pub code: u16,
    /// The trunk; empty where none.
    pub trunk: String,
    /// By which rate, what was set aside.
    pub reservation: Reservation,
    /// Seconds that were charged.
    pub billed: u64,
    /// What they cost.
    pub charge: Micros,
}

impl Record {
    /// How long they have talked until `now` by the clock that runs on, or until its end.
    #[must_use]
    pub fn duration(&self, now: Instant) -> Duration {
        let end = self.ended.unwrap_or(self.opened + (now - self.moment));
        self.answered.map_or(Duration::ZERO, |answered| end - answered)
    }

    /// What it has cost, or would if it ended now.
    #[must_use]
    pub fn debit(&self, now: Instant) -> Micros {
        match (self.ended, self.answered) {
            (None, Some(_)) => self.reservation.charge(self.duration(now)).price,
            _ => self.charge,
        }
    }
}

impl Store {
    /// The newest call of an application that has this name, its own or that of the page's leg.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn record(&self, application: String, name: String) -> Result<Option<Record>, StoreError> {
        self.ask(move |database| {
            database.write_queries();
            database.record(&application, &name)
        })
        .await
    }

    /// The newest `most` calls of an application, or of all.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn records(&self, application: Option<String>, most: u32) -> Result<Vec<Record>, StoreError> {
        self.ask(move |database| {
            database.write_queries();
            database.records(application.as_deref(), most)
        })
        .await
    }

    /// Forgets who called whom in calls that ended before `before`: numbers, users and names are erased, what was paid stays. How many
    /// there were.
    ///
    /// # Errors
    ///
    /// Where the database cannot be written.
    pub async fn forget(&self, before: Instant) -> Result<usize, StoreError> {
        let mut all = 0;
        loop {
            let some = self.ask(move |database| database.forget(before)).await?;
            all += some;
            if some < PORTION {
                return Ok(all);
            }
        }
    }
}

/// What [`read`] reads.
const COLUMNS: &str = "SELECT id, application, call_id, user, kind, caller, callee, opened, answered, ended, cause, code, trunk, \
                       per_minute, minimum, increment, fee, paid, reserved, billed, charge, moment FROM call";

impl Database {
    fn record(&self, application: &str, name: &str) -> Result<Option<Record>, StoreError> {
        let sql = format!("{COLUMNS} WHERE application = ?1 AND (call_id = ?2 OR id = ?2) ORDER BY moment DESC LIMIT 1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([application, name], read).optional()?)
    }

    fn records(&self, application: Option<&str>, most: u32) -> Result<Vec<Record>, StoreError> {
        let sql = format!("{COLUMNS} WHERE ?1 IS NULL OR application = ?1 ORDER BY moment DESC, id LIMIT ?2");
        Ok(self.connection.prepare_cached(&sql)?.query_map(params![application, most], read)?.collect::<Result<_, _>>()?)
    }

    fn forget(&self, before: Instant) -> Result<usize, StoreError> {
        let sql = "UPDATE call SET call_id = '', user = '', caller = '', callee = '' \
                   WHERE id IN (SELECT id FROM call WHERE ended < ?1 AND callee <> '' LIMIT ?2)";
        Ok(self.connection.prepare_cached(sql)?.execute(params![millis(before), PORTION])?)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Record> {
    let time = |index| row.get::<_, Option<u64>>(index).map(|at| at.map(Instant::from_millis));
    let tariff = Tariff { per_minute: row.get(13)?, minimum: row.get(14)?, increment: row.get(15)?, fee: row.get(16)? };
    Ok(Record {
        id: row.get(0)?,
        application: row.get(1)?,
        call_id: row.get(2)?,
        user: row.get(3)?,
        kind: row.get(4)?,
        from: row.get(5)?,
        to: row.get(6)?,
        opened: time(7)?.unwrap_or_default(),
        moment: time(21)?.unwrap_or_default(),
        answered: time(8)?,
        ended: time(9)?,
        cause: row.get(10)?,
        code: row.get(11)?,
        trunk: row.get(12)?,
        reservation: Reservation { tariff, paid: row.get(17)?, reserved: row.get(18)? },
        billed: row.get(19)?,
        charge: row.get(20)?,
    })
}
