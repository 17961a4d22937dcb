//! The queries of calls to the ledger: opening, extending and closing them in the database.
//!
//! All queries in the queue are written in one transaction, and answered after that is on disk. If the disk fails, nothing is
//! granted; events that have happened nevertheless (a call was answered or has ended) are kept, and written as soon as possible.
//!
//! ```text
//! Open ──▶ row in `call`, credit → reserved ──▶ Connected ──▶ Extend: credit → reserved ──▶ Close: reserved → revenue, reserved → credit
//!                                                    └── the process dies ──▶ recovery: closed at the time when it was last known to run
//! ```

use offhook_ledger::{
    Amount, Answer, CallRef, Charge, End, Grant, Kind, Micros, NewCall, Number, Opening, Query, Refused, Reservation, Tariff,
};
use std::time::Duration;

use offhook_ua::time::Instant;
use offhook_ua::wall::Wall;
use rusqlite::{ErrorCode, OptionalExtension, Row, params};
use tracing::{error, info, warn};

use super::accounts::Books;
use super::{Database, Rate, Store, StoreError};

/// A query, and the recipient of its answer, if there is one.
pub(super) struct Waiting {
    query: Query,
    answered: Option<Answered>,
}

/// The recipient of an answer, called on the database thread.
type Answered = Box<dyn FnOnce(Answer) + Send>;

/// The result of the recovery after a process has died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The number of calls that were closed.
    pub calls: usize,
    /// The sum of their charges.
    pub charged: Micros,
}

/// The reservation of a free call.
const FREE: Reservation =
    Reservation { tariff: Tariff { per_minute: 0, minimum: 0, increment: 1, fee: 0 }, paid: None, reserved: 0 };

impl Store {
    /// Queues a query; `answered` gets the answer, if there is one, on the database thread after it is on disk. Queries are handled in
    /// order. Waits only for space in the queue.
    pub async fn ledger(&self, query: Query, answered: impl FnOnce(Answer) + Send + 'static) {
        let waiting = Waiting { query, answered: Some(Box::new(answered)) };
        drop(self.jobs.send(Box::new(move |database| database.queries.push(waiting))).await);
    }

    /// Marks this process as serving calls, and closes the calls of a process that has died. Nothing is closed where another
    /// process serves this database, because the calls may be its own.
    ///
    /// # Errors
    ///
    /// Where the database cannot be written.
    pub async fn serve(&self) -> Result<Recovered, StoreError> {
        self.ask(Database::serve).await
    }

    /// Returns when the clock of this process has to begin, because the clock of the database never goes back. The time without any
    /// process is taken from the wall clock.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn epoch(&self) -> Result<Instant, StoreError> {
        self.ask(|database| {
            let ((at, date), now) = (database.pulse()?, database.now()?);
            Ok(at + (now - date))
        })
        .await
    }

    /// Sets the wall clock, which dates in the database are taken from.
    pub async fn set_wall(&self, wall: Wall) {
        drop(self.jobs.send(Box::new(move |database| database.wall = wall)).await);
    }

    /// Waits until all previous queries are on disk.
    ///
    /// # Errors
    ///
    /// Where the database thread is gone.
    pub async fn settled(&self) -> Result<(), StoreError> {
        self.ask(|database| {
            database.write_queries();
            Ok(())
        })
        .await
    }
}

impl Database {
    /// Writes all queued queries in one transaction, and answers them.
    pub(super) fn write_queries(&mut self) {
        let all = std::mem::take(&mut self.queries);
        if !all.is_empty() {
            self.write(all);
        }
    }

    fn write(&mut self, all: Vec<Waiting>) {
        match self.batch(&all) {
            Ok(answers) => {
                if std::mem::take(&mut self.failing) {
                    info!(written = all.len(), "the books can be written again; nothing was lost");
                }
                if let Err(error) = self.tell_alarms() {
                    error!(%error, "alarms cannot be read");
                }
                for (waiting, answer) in all.into_iter().zip(answers) {
                    if let (Some(answered), Some(answer)) = (waiting.answered, answer) {
                        answered(answer);
                    }
                }
            }
            // A query that violates a constraint is a bug of the gateway: it must not fail the others.
            Err(error) if is_bug(&error) && all.len() > 1 => all.into_iter().for_each(|one| self.write(vec![one])),
            Err(error) => self.fail(all, &error),
        }
    }

    fn batch(&self, all: &[Waiting]) -> rusqlite::Result<Vec<Option<Answer>>> {
        let transaction = self.begin()?;
        let answers = all.iter().map(|waiting| self.apply(&waiting.query)).collect::<Result<_, _>>()?;
        if let Some(last) = all.iter().map(|waiting| when(&waiting.query)).max() {
            let sql = "UPDATE pulse SET at = ?1, date = ?2 WHERE at < ?1";
            self.connection.prepare_cached(sql)?.execute([millis(last), millis(self.wall.date(last))])?;
        }
        transaction.commit()?;
        Ok(answers)
    }

    /// Nothing was written: queries with an answer are refused, and events are kept for the next attempt.
    fn fail(&mut self, all: Vec<Waiting>, error: &rusqlite::Error) {
        let bug = is_bug(error);
        if bug || !std::mem::replace(&mut self.failing, true) {
            error!(%error, "the books cannot be written: calls that cost money are refused until they can");
        }
        for Waiting { query, answered } in all {
            match (query, answered) {
                (Query::Open(_), Some(answered)) => answered(Answer::Refused(Refused::Store)),
                (Query::Extend { call, .. }, Some(answered)) => answered(self.unchanged(&call)),
                (query @ (Query::Connected { .. } | Query::Close { .. }), _) if !bug => {
                    self.queries.push(Waiting { query, answered: None });
                }
                _ => {}
            }
        }
    }

    /// Returns the answer for a call that cannot be extended.
    fn unchanged(&self, call: &CallRef) -> Answer {
        let paid = self.open_call(call).ok().flatten().map(|open| open.reservation.paid);
        paid.map_or(Answer::Refused(Refused::Store), |paid| Answer::Extended { paid: paid.map(Duration::from_secs), more: true })
    }

    fn apply(&self, query: &Query) -> rusqlite::Result<Option<Answer>> {
        match query {
            Query::Open(new) => self.begin_call(new).map(Some),
            Query::Connected { call, at } => {
                let sql =
                    "UPDATE call SET answered = opened + max(?2 - moment, 0) WHERE id = ?1 AND answered IS NULL AND ended IS NULL";
                self.connection.prepare_cached(sql)?.execute(params![call.0, millis(*at)])?;
                Ok(None)
            }
            Query::Extend { call, at } => self.extend_call(call, *at).map(Some),
            Query::Close { call, at, end } => {
                if let Some(open) = self.open_call(call)? {
                    self.close_call(&open, *at, end)?;
                }
                Ok(None)
            }
        }
    }

    fn begin_call(&self, new: &NewCall) -> rusqlite::Result<Answer> {
        let known = self.connection.prepare_cached("SELECT 1 FROM call WHERE id = ?1")?.exists([&new.call.0])?;
        let Some(books) = self.books(&new.application)?.filter(|_| !known) else { return Ok(Answer::Refused(Refused::Store)) };
        match self.decide(new, &books)? {
            Err(refused) => {
                self.insert_call(new, &FREE, "", Some((refused.cause(), refused.status().into())))?;
                Ok(Answer::Refused(refused))
            }
            Ok((reservation, range)) => {
                self.insert_call(new, &reservation, &range, None)?;
                self.reserve(&books, &new.call, reservation.reserved, new.kind.as_str(), new.at)?;
                let left = self.budget(&books, new.at) - reservation.reserved;
                let more = reservation.paid.is_none() || reservation.extend(left) != reservation;
                let caller_id =
                    self.caller_id(&new.application, &new.user)?.filter(|_| !matches!(new.kind, Kind::Test | Kind::Incoming));
                Ok(Answer::Granted(Grant { paid: reservation.paid.map(Duration::from_secs), more, caller_id }))
            }
        }
    }

    /// Decides whether a call may be made; returns the reservation, and the range of the number, which is empty for other calls.
    fn decide(&self, new: &NewCall, books: &Books) -> rusqlite::Result<Result<(Reservation, String), Refused>> {
        let (tariff, range) = match new.kind {
            Kind::Phone => match self.way(new)? {
                Ok(way) => way,
                Err(refused) => return Ok(Err(refused)),
            },
            Kind::Emergency | Kind::Sip | Kind::Test | Kind::Incoming => (FREE.tariff, String::new()),
        };
        let too_much = match new.kind {
            Kind::Test | Kind::Emergency => None,
            Kind::Incoming => (books.incoming >= books.most_calls).then_some(Refused::TooManyCalls),
            _ if books.running >= books.most_calls => Some(Refused::TooManyCalls),
            Kind::Phone => self.too_fast(books, &range, new.at)?,
            Kind::Sip => None,
        };
        let short = || if tariff.reserve(books.credit).is_some() { Refused::SpendCap } else { Refused::NoCredit };
        let decided = too_much.map_or_else(|| tariff.reserve(self.budget(books, new.at)).ok_or_else(short), Err);
        if let Err(refused) = decided {
            self.raise(new, books, refused, &range)?;
        }
        Ok(decided.map(|reservation| (reservation, range)))
    }

    /// Returns the tariff of a number and its range: the prefix of its rate, or its country code if that is longer.
    fn way(&self, new: &NewCall) -> rusqlite::Result<Result<(Tariff, String), Refused>> {
        let Ok(number) = Number::parse(&new.to) else { return Ok(Err(Refused::Number)) };
        if self.rules.openings.of(&number) != Opening::Open {
            return Ok(Err(Refused::Destination));
        }
        let Some(Rate { tariff, prefix, .. }) = self.rate_of(&new.application, &number)? else { return Ok(Err(Refused::NoRate)) };
        let country = number.country();
        Ok(Ok((tariff, if prefix.len() > country.len() { prefix } else { country.to_owned() })))
    }

    /// Returns the amount that may be reserved at `at`: the credit, limited by what is left of the day's limit. Reserved amounts
    /// count as spent.
    fn budget(&self, books: &Books, at: Instant) -> Micros {
        let spent = books.spent_on(day(self.wall.date(at)));
        books.credit.min(books.most_spent - spent - books.reserved).max(0)
    }

    fn insert_call(
        &self,
        new: &NewCall,
        reservation: &Reservation,
        range: &str,
        refused: Option<(&str, u16)>,
    ) -> rusqlite::Result<()> {
        let (cause, code) = refused.unwrap_or(("", 0));
        let tariff = &reservation.tariff;
        let opened = millis(self.wall.date(new.at));
        self.connection
            .prepare_cached(
                "INSERT INTO call (id, application, call_id, user, kind, caller, callee, opened, ended, cause, code, \
                 per_minute, minimum, increment, fee, paid, reserved, range, moment) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
            )?
            .execute(params![
                new.call.0,
                new.application,
                new.call_id,
                new.user,
                new.kind.as_str(),
                new.from,
                new.to,
                opened,
                refused.map(|_| opened),
                cause,
                code,
                tariff.per_minute,
                tariff.minimum,
                tariff.increment,
                tariff.fee,
                reservation.paid,
                reservation.reserved,
                range,
                millis(new.at)
            ])?;
        Ok(())
    }

    fn extend_call(&self, call: &CallRef, at: Instant) -> rusqlite::Result<Answer> {
        let Some(open) = self.open_call(call)? else { return Ok(Answer::Refused(Refused::Store)) };
        let Some(books) = self.books(&open.application)? else { return Ok(Answer::Refused(Refused::Store)) };
        let budget = self.budget(&books, at);
        let next = open.reservation.extend(budget);
        let added = next.reserved - open.reservation.reserved;
        if next != open.reservation {
            self.connection.prepare_cached("UPDATE call SET paid = ?2, reserved = ?3 WHERE id = ?1")?.execute(params![
                call.0,
                next.paid,
                next.reserved
            ])?;
            self.reserve(&books, call, added, "", at)?;
        }
        let more = next.paid.is_none() || next.extend(budget - added) != next;
        Ok(Answer::Extended { paid: next.paid.map(Duration::from_secs), more })
    }

    /// Settles a call: its price goes to the revenue, and the rest back to the credit.
    fn close_call(&self, open: &OpenCall, at: Instant, end: &End) -> rusqlite::Result<Charge> {
        let ended = open.opened + (at - open.moment);
        let charge = open.answered.map_or(Charge::default(), |answered| open.reservation.charge(ended - answered));
        self.connection
            .prepare_cached(
                "UPDATE call SET ended = ?2, cause = ?3, code = ?4, trunk = ?5, billed = ?6, charge = ?7 WHERE id = ?1",
            )?
            .execute(params![open.call.0, millis(ended), end.cause, end.code, end.trunk, charge.seconds, charge.price])?;
        if let Some(books) = self.books(&open.application)? {
            self.settle(&books, &open.call, (open.reservation.reserved, charge.price), &open.kind, at)?;
        }
        Ok(charge)
    }

    fn open_call(&self, call: &CallRef) -> rusqlite::Result<Option<OpenCall>> {
        let mut query = self.connection.prepare_cached(&format!("{OPEN_CALLS} AND id = ?1"))?;
        query.query_row([&call.0], OpenCall::read).optional()
    }

    fn serve(&mut self) -> Result<Recovered, StoreError> {
        let lock = self.lock_file()?;
        let alone = lock.try_lock().is_ok();
        let recovered = if alone { self.recover()? } else { Recovered::default() };
        if recovered.calls > 0 {
            warn!(calls = recovered.calls, charged = %Amount(recovered.charged), "calls that the gateway left open when it stopped are settled");
        } else if !alone {
            warn!("another process serves this database: open calls may be its own and are not settled");
        }
        // The lock is shared from now on with other processes that serve calls; a process that gets it exclusively is the only one.
        drop(lock.unlock());
        lock.lock_shared().map_err(|error| StoreError::Folder(self.folder.clone(), error))?;
        self.serving = Some(lock);
        Ok(recovered)
    }

    /// Charges a call that was open when its process died up to the last time at which the process is known to have run, and never
    /// more than was reserved: nobody pays for time that cannot be proven.
    fn recover(&mut self) -> rusqlite::Result<Recovered> {
        self.write_queries();
        let transaction = self.begin()?;
        let (last, _) = self.pulse()?;
        let open: Vec<OpenCall> = self.connection.prepare(OPEN_CALLS)?.query_map([], OpenCall::read)?.collect::<Result<_, _>>()?;
        let end = End { cause: "gateway stopped", code: 503, trunk: String::new() };
        let mut recovered = Recovered::default();
        for call in &open {
            let charge = self.close_call(call, last, &end)?;
            recovered.calls += 1;
            recovered.charged += charge.price;
        }
        transaction.commit()?;
        Ok(recovered)
    }

    /// Returns the last time at which the gateway is known to have run, and the wall clock at that time.
    pub(super) fn pulse(&self) -> rusqlite::Result<(Instant, Instant)> {
        let read = |row: &Row<'_>| Ok((Instant::from_millis(row.get(0)?), Instant::from_millis(row.get(1)?)));
        self.connection.query_row("SELECT at, date FROM pulse", [], read)
    }
}

/// The columns for [`OpenCall::read`], of the calls that have not ended.
const OPEN_CALLS: &str = "SELECT id, application, kind, answered, per_minute, minimum, increment, fee, paid, reserved, opened, moment \
                          FROM call WHERE ended IS NULL";

/// A call that is ringing or established.
struct OpenCall {
    call: CallRef,
    application: String,
    /// The kind, as [`Kind::as_str`] returns it.
    kind: String,
    opened: Instant,
    /// When it was opened, by the clock of the database.
    moment: Instant,
    answered: Option<Instant>,
    reservation: Reservation,
}

impl OpenCall {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let tariff = Tariff { per_minute: row.get(4)?, minimum: row.get(5)?, increment: row.get(6)?, fee: row.get(7)? };
        Ok(Self {
            call: CallRef(row.get(0)?),
            application: row.get(1)?,
            kind: row.get(2)?,
            opened: Instant::from_millis(row.get(10)?),
            moment: Instant::from_millis(row.get(11)?),
            answered: row.get::<_, Option<u64>>(3)?.map(Instant::from_millis),
            reservation: Reservation { tariff, paid: row.get(8)?, reserved: row.get(9)? },
        })
    }
}

const fn when(query: &Query) -> Instant {
    match query {
        Query::Open(NewCall { at, .. }) | Query::Connected { at, .. } | Query::Extend { at, .. } | Query::Close { at, .. } => *at,
    }
}

/// Converts to the integer type of SQLite.
pub(super) fn millis(at: Instant) -> i64 {
    i64::try_from(at.millis()).unwrap_or(i64::MAX)
}

/// Returns the number of days since 1970, UTC.
pub(super) const fn day(at: Instant) -> u64 {
    at.millis() / 86_400_000
}

/// Whether a constraint failed, and not the disk.
fn is_bug(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => code == ErrorCode::ConstraintViolation,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::store::tests::folder;
    use offhook_ledger::{Openings, Rules};

    #[test]
    fn a_full_disk_grants_nothing_and_loses_nothing() {
        let mut database = database("full");
        let (answered, answers) = channel();
        ask(&mut database, open("a", 1_000), &answered);
        ask(&mut database, Query::Connected { call: call("a"), at: at(2_000) }, &answered);
        assert!(matches!(answers.try_recv(), Ok(Answer::Granted(_))));
        fill(&database, true);
        for n in 0..200 {
            database.queries.push(waiting(open(&format!("lost{n}"), 3_000), &answered));
        }
        ask(&mut database, Query::Extend { call: call("a"), at: at(50_000) }, &answered);
        let refused = std::iter::from_fn(|| answers.try_recv().ok()).collect::<Vec<_>>();
        assert_eq!(refused.iter().filter(|answer| **answer == Answer::Refused(Refused::Store)).count(), 200);
        assert_eq!(refused.last(), Some(&Answer::Extended { paid: Some(Duration::from_secs(60)), more: true }), "the same end");
        for n in 0..200 {
            database.queries.push(waiting(open(&format!("more{n}"), 3_000), &answered));
        }
        ask(&mut database, close("a", 32_000), &answered);
        assert_eq!(database.queries.len(), 1, "the end of the call is kept");
        fill(&database, false);
        database.write_queries();
        assert!(database.queries.is_empty() && !database.failing);
        let charge: Micros = database.connection.query_row("SELECT sum(charge) FROM call", [], |row| row.get(0)).expect("read");
        assert_eq!(charge, 30 * 1_000);
    }

    #[test]
    fn a_query_that_violates_a_constraint_fails_alone() {
        let mut database = database("refused");
        let (answered, answers) = channel();
        let bad = NewCall { call_id: "odd".into(), ..new("odd", 1_000) };
        let trigger = "CREATE TRIGGER odd BEFORE INSERT ON call WHEN NEW.call_id = 'odd' BEGIN SELECT RAISE(ABORT, 'odd'); END";
        database.connection.execute_batch(trigger).expect("made");
        for query in [open("a", 1_000), Query::Open(bad), open("b", 1_000)] {
            database.queries.push(waiting(query, &answered));
        }
        database.write_queries();
        let granted: Vec<bool> = answers.try_iter().map(|answer| matches!(answer, Answer::Granted(_))).collect();
        assert_eq!(granted, [true, false, true]);
    }

    fn ask(database: &mut Database, query: Query, answered: &Sender<Answer>) {
        database.queries.push(waiting(query, answered));
        database.write_queries();
    }

    fn waiting(query: Query, answered: &Sender<Answer>) -> Waiting {
        let answered = answered.clone();
        Waiting { query, answered: Some(Box::new(move |answer| answered.send(answer).expect("the test listens"))) }
    }

    /// A database that cannot grow, or can again.
    fn fill(database: &Database, full: bool) {
        let pages: i64 = database.connection.pragma_query_value(None, "page_count", |row| row.get(0)).expect("read");
        let most = if full { pages } else { 1_000_000 };
        database.connection.pragma_update_and_check(None, "max_page_count", most, |_| Ok(())).expect("set");
    }

    fn database(name: &str) -> Database {
        let rules = Rules { openings: Openings::new(&["46"]).expect("Sweden"), calls: 1_000, ..Rules::default() };
        let database = Database::open(&folder(name), rules).expect("a fresh database");
        database.connection.execute("INSERT INTO application VALUES ('shop', x'00', '', 0, 0, 0, 0)", []).expect("added");
        let tariff = Tariff { per_minute: 60_000, minimum: 30, increment: 6, fee: 0 };
        let sql = "INSERT INTO rate VALUES ('', '46', ?1, ?2, ?3, ?4)";
        database.connection.execute(sql, params![tariff.per_minute, tariff.minimum, tariff.increment, tariff.fee]).expect("added");
        let sql = "INSERT INTO account (application, currency, credit) VALUES ('shop', 'USD', 30000000)";
        database.connection.execute(sql, []).expect("added");
        database
    }

    fn open(name: &str, at: u64) -> Query {
        Query::Open(new(name, at))
    }

    fn new(name: &str, millis: u64) -> NewCall {
        NewCall {
            call: call(name),
            application: "shop".into(),
            call_id: format!("{name}@page"),
            user: "alice".into(),
            kind: Kind::Phone,
            from: "alice".into(),
            to: "+46701234567".into(),
            at: at(millis),
        }
    }

    fn close(name: &str, millis: u64) -> Query {
        Query::Close { call: call(name), at: at(millis), end: End { cause: "completed", code: 200, trunk: "test".into() } }
    }

    fn call(name: &str) -> CallRef {
        CallRef(name.into())
    }

    const fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
