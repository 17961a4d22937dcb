//! Limits for the rate of new calls to telephones, and alarms where an account exceeds a limit: the thief of an account makes as
//! many expensive calls as possible until somebody notices.
//!
//! Calls are counted in the call records themselves, in the same transaction as reservations, so a restart changes nothing. Only
//! calls that were allowed count.

use std::time::Duration;

use offhook_access::ticket::iso;
use offhook_ledger::{Amount, NewCall, Refused};
use offhook_ua::time::Instant;
use rusqlite::params;
use tracing::warn;

use super::accounts::Books;
use super::calls::{day, millis};
use super::{Database, Store, StoreError};

/// The windows of [`Refused::CallRate`] and [`Refused::RangeRate`].
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY_MS: u64 = 86_400_000;

/// An alarm: an account has exceeded a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The id, which increases.
    pub id: i64,
    /// The key of the application.
    pub application: String,
    /// When the limit was first exceeded.
    pub at: Instant,
    /// Until when there is no further alarm of this kind.
    pub until: Instant,
    /// The limit that was exceeded, as in call records.
    pub cause: String,
    /// The digits of the range; empty where the limit is for all calls.
    pub range: String,
    /// The value of the limit: calls, or money.
    pub most: i64,
}

impl Alarm {
    /// Whether the limit is for money.
    #[must_use]
    pub fn is_spending(&self) -> bool {
        self.cause == Refused::SpendCap.cause()
    }
}

impl Store {
    /// Returns the newest `most` alarms of an application, or of all, that are older than `before`, the newest first.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn alarms(&self, application: Option<String>, before: Option<i64>, most: u32) -> Result<Vec<Alarm>, StoreError> {
        self.ask(move |database| {
            database.write_queries();
            Ok(database.alarms(application.as_deref(), (0, before.unwrap_or(i64::MAX)), most)?)
        })
        .await
    }
}

impl Database {
    /// Returns the limit that one more call to a telephone in `range` would exceed.
    pub(super) fn too_fast(&self, books: &Books, range: &str, at: Instant) -> rusqlite::Result<Option<Refused>> {
        if self.made_since(books, None, at, MINUTE, books.most_in_minute)? {
            return Ok(Some(Refused::CallRate));
        }
        let range_full = self.made_since(books, Some(range), at, HOUR, books.most_to_range)?;
        Ok(range_full.then_some(Refused::RangeRate))
    }

    /// Whether `most` calls were allowed in the last `window`; reads no more rows than that.
    fn made_since(&self, books: &Books, range: Option<&str>, at: Instant, window: Duration, most: u32) -> rusqlite::Result<bool> {
        let (index, only) = if range.is_some() { ("call_range", "range = ?2") } else { ("call_pace", "?2 IS NULL") };
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM call INDEXED BY {index} WHERE application = ?1 AND {only} AND range <> '' \
             AND moment > ?3 LIMIT ?4)"
        );
        let since = millis(at - window);
        let made: u32 =
            self.connection.prepare_cached(&sql)?.query_row(params![books.application, range, since, most], |row| row.get(0))?;
        Ok(made >= most)
    }

    /// Stores an alarm for a refused call, unless there is one already.
    pub(super) fn raise(&self, new: &NewCall, books: &Books, refused: Refused, range: &str) -> rusqlite::Result<()> {
        let date = self.wall.date(new.at);
        let midnight = Instant::from_millis((books.today(day(date)) + 1) * DAY_MS);
        let (range, quiet, most) = match refused {
            Refused::CallRate => ("", MINUTE, i64::from(books.most_in_minute)),
            Refused::RangeRate => (range, HOUR, i64::from(books.most_to_range)),
            Refused::SpendCap => ("", midnight - date, books.most_spent),
            _ => return Ok(()),
        };
        let sql = "INSERT INTO alarm (application, at, until, cause, range, most, quiet) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 \
                   WHERE NOT EXISTS (SELECT 1 FROM alarm WHERE application = ?1 AND cause = ?4 AND range = ?5 AND quiet > ?8)";
        let (at, until, quiet) = (millis(date), millis(date + quiet), millis(new.at + quiet));
        let values = params![new.application, at, until, refused.cause(), range, most, quiet, millis(new.at)];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Logs alarms that are on disk.
    pub(super) fn tell_alarms(&mut self) -> rusqlite::Result<()> {
        for alarm in self.alarms(None, (self.alarmed, i64::MAX), u32::MAX)?.into_iter().rev() {
            let Alarm { application, cause, range, .. } = &alarm;
            let most = if alarm.is_spending() { Amount(alarm.most).to_string() } else { alarm.most.to_string() };
            warn!(%application, %cause, %range, %most, until = %iso(alarm.until), "alarm: an account wants more than it may; such calls are refused");
            self.alarmed = alarm.id;
        }
        Ok(())
    }

    pub(super) fn last_alarm(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("SELECT coalesce(max(id), 0) FROM alarm", [], |row| row.get(0))
    }

    /// Returns the alarms between two ids, the newest first.
    fn alarms(&self, application: Option<&str>, (after, before): (i64, i64), most: u32) -> rusqlite::Result<Vec<Alarm>> {
        let sql = "SELECT id, application, at, until, cause, range, most FROM alarm \
                   WHERE (?1 IS NULL OR application = ?1) AND id > ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4";
        let mut query = self.connection.prepare_cached(sql)?;
        let rows = query.query_map(params![application, after, before, most], |row| {
            Ok(Alarm {
                id: row.get(0)?,
                application: row.get(1)?,
                at: Instant::from_millis(row.get(2)?),
                until: Instant::from_millis(row.get(3)?),
                cause: row.get(4)?,
                range: row.get(5)?,
                most: row.get(6)?,
            })
        })?;
        rows.collect()
    }
}
