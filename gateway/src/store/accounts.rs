//! The account of each application: credit, reservations, and all transfers.

use offhook_ledger::{AmountError, CallRef, Kind, MOST, Micros, Tariff};
use offhook_ua::time::Instant;
use rusqlite::{OptionalExtension, Row, params};

use super::calls::{day, millis};
use super::{DEMO, Database, Rate, Store, StoreError};

/// An account, for its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its currency, ISO 4217.
    pub currency: String,
    /// The credit.
    pub credit: Micros,
    /// The amount reserved for calls that are ringing or established.
    pub reserved: Micros,
    /// Calls that are ringing or established, outgoing and incoming, without test calls.
    pub running: u32,
    /// The amount spent today (UTC).
    pub spent: Micros,
    /// Limit of concurrent outgoing calls, and of concurrent incoming calls.
    pub most_calls: u32,
    /// Limit of new calls to telephones in a minute.
    pub most_in_minute: u32,
    /// Limit of new calls to one range in an hour.
    pub most_to_range: u32,
    /// Limit of the amount spent in a day.
    pub most_spent: Micros,
}

/// The limits of an account; `None`: as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Concurrent calls.
    pub calls: Option<u32>,
    /// New calls to telephones in a minute.
    pub calls_per_minute: Option<u32>,
    /// New calls to one range in an hour.
    pub range_calls_per_hour: Option<u32>,
    /// The amount spent in a day.
    pub spend_per_day: Option<Micros>,
}

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The id, which increases.
    pub id: i64,
    /// When it was made.
    pub at: Instant,
    /// The source: `top-up`, `credit` or `reserved`.
    pub source: String,
    /// The destination: `top-up`, `credit`, `reserved` or `revenue`.
    pub target: String,
    /// The amount, always positive.
    pub amount: Micros,
    /// The credit after the transfer.
    pub credit: Micros,
    /// The call that it belongs to.
    pub call: Option<String>,
    /// The reference of a top-up.
    pub reference: Option<String>,
}

/// An account, for the rules.
pub(super) struct Books {
    pub(super) application: String,
    pub(super) credit: Micros,
    pub(super) reserved: Micros,
    /// Outgoing calls that are ringing or established, without test calls.
    pub(super) running: u32,
    /// Incoming calls that are ringing or established.
    pub(super) incoming: u32,
    pub(super) day: u64,
    pub(super) spent: Micros,
    pub(super) most_calls: u32,
    pub(super) most_in_minute: u32,
    pub(super) most_to_range: u32,
    pub(super) most_spent: Micros,
}

impl Books {
    /// Returns the accounting day for `date`, a day. It never goes back: when the wall clock is put back over midnight, the limit
    /// of the day does not begin again.
    pub(super) const fn today(&self, date: u64) -> u64 {
        if date + 1 == self.day { self.day } else { date }
    }

    /// Returns the amount spent on a day.
    pub(super) const fn spent_on(&self, date: u64) -> Micros {
        if self.today(date) == self.day { self.spent } else { 0 }
    }
}

/// Returns by how much a call of a kind counts among outgoing and among incoming calls. A test call does not count.
fn counts(kind: &str) -> (u32, u32) {
    let made = [Kind::Phone, Kind::Sip].iter().any(|made| made.as_str() == kind);
    (u32::from(made), u32::from(kind == Kind::Incoming.as_str()))
}

/// The credit that the demo application begins with.
pub const DEMO_CREDIT: Micros = 10_000_000;

/// What a transfer belongs to.
#[derive(Clone, Copy, Default)]
struct Cause<'a> {
    call: Option<&'a CallRef>,
    reference: Option<&'a str>,
}

impl Store {
    /// Adds credit to an application, or withdraws some where `amount` is negative. Repeating it with the same reference has no
    /// effect.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`], [`StoreError::Reused`], [`StoreError::TooLittle`], [`StoreError::Amount`].
    pub async fn top_up(&self, application: String, amount: Micros, reference: Option<String>) -> Result<AccountView, StoreError> {
        self.ask(move |database| database.top_up(&application, amount, reference.as_deref())).await
    }

    /// Gives the demo application some credit, and a rate for every number. This opens no destinations, and only this machine can
    /// use that application.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`].
    pub async fn start_demo(&self) -> Result<(), StoreError> {
        let tariff = Tariff { per_minute: 20_000, minimum: 0, increment: 1, fee: 0 };
        self.set_rates(vec![Rate { application: DEMO.into(), prefix: String::new(), tariff }]).await?;
        self.top_up(DEMO.into(), DEMO_CREDIT, Some("demo".into())).await.map(drop)
    }

    /// Fills the credit of the demo application, with what is reserved, up to what it began with; returns how much was missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`].
    pub async fn fill_demo(&self) -> Result<Micros, StoreError> {
        self.ask(|database| {
            database.write_queries();
            let view = database.account_view(DEMO)?;
            let missing = DEMO_CREDIT - (view.credit + view.reserved);
            if missing > 0 {
                database.top_up(DEMO, missing, None)?;
            }
            Ok(missing.max(0))
        })
        .await
    }

    /// Returns the account of an application.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`].
    pub async fn account_view(&self, application: String) -> Result<AccountView, StoreError> {
        self.ask(move |database| {
            database.write_queries();
            database.account_view(&application)
        })
        .await
    }

    /// Returns the newest `most` transfers of an application that are older than `before`, the newest first.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn history(&self, application: String, before: Option<i64>, most: u32) -> Result<Vec<Transfer>, StoreError> {
        self.ask(move |database| {
            database.write_queries();
            database.history(&application, before, most)
        })
        .await
    }

    /// Sets the limits of an account.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`].
    pub async fn set_limits(&self, application: String, limits: Limits) -> Result<(), StoreError> {
        self.ask(move |database| database.set_limits(&application, limits)).await
    }
}

impl Database {
    fn top_up(&mut self, application: &str, amount: Micros, reference: Option<&str>) -> Result<AccountView, StoreError> {
        self.write_queries();
        let transaction = self.begin()?;
        let books = self.books(application)?.ok_or(StoreError::NoApplication)?;
        if self.counted(application, amount, reference)? {
            return self.account_view(application);
        }
        if amount == 0 {
            return Err(StoreError::Amount(AmountError::Nothing));
        }
        let credit = books.credit.checked_add(amount).filter(|credit| *credit <= MOST);
        let credit = credit.ok_or(StoreError::Amount(AmountError::TooMuch))?;
        if credit < 0 {
            return Err(StoreError::TooLittle);
        }
        let books_of = if amount > 0 { ("top-up", "credit") } else { ("credit", "top-up") };
        let now = self.now()?;
        self.connection
            .prepare_cached("UPDATE account SET credit = ?2 WHERE application = ?1")?
            .execute(params![application, credit])?;
        self.transfer(&books, books_of, amount.abs(), credit, Cause { reference, call: None }, now)?;
        let view = self.account_view(application);
        transaction.commit()?;
        view
    }

    /// Whether a top-up with this reference was made.
    fn counted(&self, application: &str, amount: Micros, reference: Option<&str>) -> Result<bool, StoreError> {
        let Some(reference) = reference else { return Ok(false) };
        let mut query = self.connection.prepare_cached(
            "SELECT CASE source WHEN 'top-up' THEN amount ELSE -amount END FROM transfer WHERE application = ?1 AND reference = ?2",
        )?;
        match query.query_row([application, reference], |row| row.get::<_, Micros>(0)).optional()? {
            None => Ok(false),
            Some(before) if before == amount => Ok(true),
            Some(_) => Err(StoreError::Reused),
        }
    }

    pub(super) fn account_view(&self, application: &str) -> Result<AccountView, StoreError> {
        let books = self.books(application)?.ok_or(StoreError::NoApplication)?;
        let today = day(self.now()?);
        Ok(AccountView {
            currency: self.rules.currency.clone(),
            credit: books.credit,
            reserved: books.reserved,
            running: books.running + books.incoming,
            spent: books.spent_on(today),
            most_calls: books.most_calls,
            most_in_minute: books.most_in_minute,
            most_to_range: books.most_to_range,
            most_spent: books.most_spent,
        })
    }

    fn history(&self, application: &str, before: Option<i64>, most: u32) -> Result<Vec<Transfer>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT id, at, source, target, amount, credit, call, reference FROM transfer \
             WHERE application = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
        )?;
        let rows = query.query_map(params![application, before.unwrap_or(i64::MAX), most], |row| {
            Ok(Transfer {
                id: row.get(0)?,
                at: Instant::from_millis(row.get(1)?),
                source: row.get(2)?,
                target: row.get(3)?,
                amount: row.get(4)?,
                credit: row.get(5)?,
                call: row.get(6)?,
                reference: row.get(7)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn set_limits(&self, application: &str, limits: Limits) -> Result<(), StoreError> {
        self.books(application)?.ok_or(StoreError::NoApplication)?;
        self.connection
            .prepare_cached(
                "UPDATE account SET most_calls = ?2, most_in_minute = ?3, most_to_range = ?4, most_spent = ?5 WHERE application = ?1",
            )?
            .execute(params![
                application,
                limits.calls,
                limits.calls_per_minute,
                limits.range_calls_per_hour,
                limits.spend_per_day
            ])?;
        Ok(())
    }

    /// Returns the account of an application, which is created if necessary; `None` where there is no such application.
    pub(super) fn books(&self, application: &str) -> rusqlite::Result<Option<Books>> {
        let mut query = self.connection.prepare_cached(
            "SELECT application, credit, reserved, running, incoming, day, spent, most_calls, most_in_minute, most_to_range, most_spent FROM account \
             WHERE application = ?1",
        )?;
        let read = |row: &Row<'_>| {
            Ok(Books {
                application: row.get(0)?,
                credit: row.get(1)?,
                reserved: row.get(2)?,
                running: row.get(3)?,
                incoming: row.get(4)?,
                day: row.get(5)?,
                spent: row.get(6)?,
                most_calls: row.get::<_, Option<u32>>(7)?.unwrap_or(self.rules.calls),
                most_in_minute: row.get::<_, Option<u32>>(8)?.unwrap_or(self.rules.calls_per_minute),
                most_to_range: row.get::<_, Option<u32>>(9)?.unwrap_or(self.rules.range_calls_per_hour),
                most_spent: row.get::<_, Option<Micros>>(10)?.unwrap_or(self.rules.spend_per_day),
            })
        };
        if let Some(books) = query.query_row([application], read).optional()? {
            return Ok(Some(books));
        }
        self.connection
            .prepare_cached("INSERT INTO account (application, currency) SELECT key, ?2 FROM application WHERE key = ?1")?
            .execute([application, &self.rules.currency])?;
        query.query_row([application], read).optional()
    }

    /// Reserves `amount` for a call. `kind` is that of a call that begins, and empty for an existing one.
    pub(super) fn reserve(&self, books: &Books, call: &CallRef, amount: Micros, kind: &str, at: Instant) -> rusqlite::Result<()> {
        let (made, come) = counts(kind);
        self.connection
            .prepare_cached(
                "UPDATE account SET credit = credit - ?2, reserved = reserved + ?2, running = running + ?3, incoming = incoming + ?4 \
                 WHERE application = ?1",
            )?
            .execute(params![books.application, amount, made, come])?;
        let cause = Cause { call: Some(call), reference: None };
        self.transfer(books, ("credit", "reserved"), amount, books.credit - amount, cause, self.wall.date(at))
    }

    /// Charges `price` from the reservation of a call of this kind, refunds the rest, and removes the call from the count.
    pub(super) fn settle(
        &self,
        books: &Books,
        call: &CallRef,
        (reserved, price): (Micros, Micros),
        kind: &str,
        at: Instant,
    ) -> rusqlite::Result<()> {
        let (rest, date, (made, come)) = (reserved - price, self.wall.date(at), counts(kind));
        let day = books.today(day(date));
        let spent = books.spent_on(day) + price;
        self.connection
            .prepare_cached(
                "UPDATE account SET credit = credit + ?2, reserved = reserved - ?3, running = max(running - ?4, 0), \
                 incoming = max(incoming - ?5, 0), day = ?6, spent = ?7 WHERE application = ?1",
            )?
            .execute(params![books.application, rest, reserved, made, come, day, spent])?;
        let cause = Cause { call: Some(call), reference: None };
        self.transfer(books, ("reserved", "revenue"), price, books.credit, cause, date)?;
        self.transfer(books, ("reserved", "credit"), rest, books.credit + rest, cause, date)
    }

    /// Writes a transfer, unless the amount is 0.
    fn transfer(
        &self,
        books: &Books,
        (source, target): (&str, &str),
        amount: Micros,
        credit: Micros,
        cause: Cause<'_>,
        date: Instant,
    ) -> rusqlite::Result<()> {
        if amount == 0 {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO transfer (application, at, source, target, amount, credit, call, reference) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                books.application,
                millis(date),
                source,
                target,
                amount,
                credit,
                cause.call.map(|call| &call.0),
                cause.reference
            ])?;
        Ok(())
    }

    /// Fails where the account has another currency than the one configured.
    pub(super) fn check_currency(&self) -> Result<(), StoreError> {
        let other = "SELECT currency FROM account WHERE currency <> ?1 LIMIT 1";
        match self.connection.query_row(other, [&self.rules.currency], |row| row.get(0)).optional()? {
            Some(currency) => Err(StoreError::Currency(currency, self.rules.currency.clone())),
            None => Ok(()),
        }
    }

    /// Returns the current time of the database: the commands of operators have no other clock.
    pub(super) fn now(&self) -> rusqlite::Result<Instant> {
        let sql = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
        self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).map(Instant::from_millis)
    }
}
