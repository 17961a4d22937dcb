//! The rates: prices of calls by prefix.

use offhook_ledger::{Number, Tariff};
use rusqlite::{OptionalExtension, Row, params, params_from_iter};

use super::{Database, Store, StoreError};

/// The price of one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The key of the application; empty: all applications that have no rate of their own for the prefix.
    pub application: String,
    /// The digits without a plus; empty: all numbers.
    pub prefix: String,
    /// The price.
    pub tariff: Tariff,
}

impl Store {
    /// Returns the rates of an application and those of all applications, by prefix; with `None` the rates of every application.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn rates(&self, application: Option<String>) -> Result<Vec<Rate>, StoreError> {
        self.ask(move |database| database.rates(application.as_deref())).await
    }

    /// Sets rates, all of them or none; existing calls keep theirs.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`].
    pub async fn set_rates(&self, rates: Vec<Rate>) -> Result<(), StoreError> {
        self.ask(move |database| database.set_rates(&rates)).await
    }

    /// Removes a rate; false where there is none.
    ///
    /// # Errors
    ///
    /// Where the database cannot be written.
    pub async fn remove_rate(&self, application: String, prefix: String) -> Result<bool, StoreError> {
        self.ask(move |database| {
            let sql = "DELETE FROM rate WHERE application = ?1 AND prefix = ?2";
            Ok(database.connection.prepare_cached(sql)?.execute([application, prefix])? > 0)
        })
        .await
    }
}

impl Database {
    fn rates(&self, application: Option<&str>) -> Result<Vec<Rate>, StoreError> {
        let sql = "SELECT application, prefix, per_minute, minimum, increment, fee FROM rate \
                   WHERE ?1 IS NULL OR application IN ('', ?1) ORDER BY prefix, application";
        Ok(self.connection.prepare_cached(sql)?.query_map([application], read)?.collect::<Result<_, _>>()?)
    }

    fn set_rates(&self, rates: &[Rate]) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        for Rate { application, prefix, tariff } in rates {
            if !application.is_empty() {
                self.must_exist(application)?;
            }
            self.connection
                .prepare_cached(
                    "INSERT INTO rate (application, prefix, per_minute, minimum, increment, fee) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
                     ON CONFLICT DO UPDATE SET per_minute = ?3, minimum = ?4, increment = ?5, fee = ?6",
                )?
                .execute(params![application, prefix, tariff.per_minute, tariff.minimum, tariff.increment, tariff.fee])?;
        }
        Ok(transaction.commit()?)
    }

    /// Returns the rate of a number: that of its longest prefix, a rate of the application before one of all.
    pub(super) fn rate_of(&self, application: &str, number: &Number) -> rusqlite::Result<Option<Rate>> {
        let prefixes: Vec<&str> = number.prefixes().collect();
        let places = vec!["?"; prefixes.len()].join(", ");
        let sql = format!(
            "SELECT application, prefix, per_minute, minimum, increment, fee FROM rate WHERE application IN ('', ?) AND prefix IN ({places}) \
             ORDER BY length(prefix) DESC, application DESC LIMIT 1"
        );
        let values = params_from_iter(std::iter::once(application).chain(prefixes));
        self.connection.prepare_cached(&sql)?.query_row(values, read).optional()
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Rate> {
    Ok(Rate {
        application: row.get(0)?,
        prefix: row.get(1)?,
        tariff: Tariff { per_minute: row.get(2)?, minimum: row.get(3)?, increment: row.get(4)?, fee: row.get(5)? },
    })
}
