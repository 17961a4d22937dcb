//! Call records: one for each call, including refused ones, with the same values as signalling and accounts.

use std::time::Duration;

use offhook_ledger::{Micros, Reservation, Tariff};
use offhook_ua::time::Instant;
use rusqlite::{OptionalExtension, Row, params};

use super::calls::millis;
use super::{AccountView, Database, Store, StoreError};

/// The number of rows that are changed at once, so that other jobs do not wait long.
const PORTION: usize = 1_000;

/// A call record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The id in the ledger.
    pub id: String,
    /// The key of the application.
    pub application: String,
    /// The Call-ID of the page's dialog.
    pub call_id: String,
    /// The user id of the page.
    pub user: String,
    /// `phone`, `sip`, `test` or `incoming`.
    pub kind: String,
    /// The caller.
    pub from: String,
    /// The callee.
    pub to: String,
    /// When it began.
    pub opened: Instant,
    /// The same by the monotonic clock, which durations are measured with.
    pub moment: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
    /// When it ended; `None`: it is ringing or established.
    pub ended: Option<Instant>,
    /// How it ended.
    pub cause: String,
    /// The SIP status.
    pub code: u16,
    /// The trunk; empty where there is none.
    pub trunk: String,
    /// The reservation, with its tariff.
    pub reservation: Reservation,
    /// The billed seconds.
    pub billed: u64,
    /// The charge.
    pub charge: Micros,
}

impl Record {
    /// Returns how long the call was established until `now` by the monotonic clock, or until its end.
    #[must_use]
    pub fn duration(&self, now: Instant) -> Duration {
        let end = self.ended.unwrap_or(self.opened + (now - self.moment));
        self.answered.map_or(Duration::ZERO, |answered| end - answered)
    }

    /// Returns the charge, or what it would be if the call ended now.
    #[must_use]
    pub fn debit(&self, now: Instant) -> Micros {
        match (self.ended, self.answered) {
            (None, Some(_)) => self.reservation.charge(self.duration(now)).price,
            _ => self.charge,
        }
    }
}

impl Store {
    /// Returns the newest call of an application with this id, in the ledger or as the Call-ID of the page's dialog.
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

    /// Returns the newest `most` calls of an application, or of all.
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

    /// Returns the account of an application and the newest `most` calls of one of its users, of one moment: of a call that has ended the
    /// balance knows the charge.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`].
    pub async fn account_and_calls(
        &self,
        application: String,
        user: String,
        most: u32,
    ) -> Result<(AccountView, Vec<Record>), StoreError> {
        self.ask(move |database| {
            database.write_queries();
            Ok((database.account_view(&application)?, database.records_of(&application, &user, most)?))
        })
        .await
    }

    /// Removes caller and callee from the records of calls that ended before `before`; charges stay. Returns the number of changed
    /// records.
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

/// The columns for [`read`].
const COLUMNS: &str = "SELECT id, application, call_id, user, kind, caller, callee, opened, answered, ended, cause, code, trunk, \
                       per_minute, minimum, increment, fee, paid, reserved, billed, charge, moment FROM call";

/// The newest calls of one user.
const OF_USER: &str = "WHERE application = ?1 AND user = ?2 ORDER BY moment DESC LIMIT ?3";

impl Database {
    fn record(&self, application: &str, name: &str) -> Result<Option<Record>, StoreError> {
        let sql = format!("{COLUMNS} WHERE application = ?1 AND (call_id = ?2 OR id = ?2) ORDER BY moment DESC LIMIT 1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([application, name], read).optional()?)
    }

    fn records(&self, application: Option<&str>, most: u32) -> Result<Vec<Record>, StoreError> {
        let sql = format!("{COLUMNS} WHERE ?1 IS NULL OR application = ?1 ORDER BY moment DESC, id LIMIT ?2");
        Ok(self.connection.prepare_cached(&sql)?.query_map(params![application, most], read)?.collect::<Result<_, _>>()?)
    }

    /// The newest calls of one user, by the index of the application's calls: it ends as soon as there are enough.
    fn records_of(&self, application: &str, user: &str, most: u32) -> Result<Vec<Record>, StoreError> {
        let query = format!("{COLUMNS} {OF_USER}");
        Ok(self.connection.prepare_cached(&query)?.query_map(params![application, user, most], read)?.collect::<Result<_, _>>()?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::users::tests::with_application;

    /// Each demo page asks every few seconds during a call.
    #[test]
    fn the_calls_of_a_user_are_found_by_an_index_without_sorting() {
        let database = with_application("plan");
        let sql = format!("EXPLAIN QUERY PLAN {COLUMNS} {OF_USER}");
        let mut query = database.connection.prepare(&sql).expect("a query");
        let steps = query.query_map(params!["shop", "alice", 50], |row| row.get::<_, String>("detail")).expect("a plan");
        let steps: Vec<String> = steps.collect::<Result<_, _>>().expect("read");
        assert_eq!(steps, ["SEARCH call USING INDEX call_application (application=?)"]);
    }
}
