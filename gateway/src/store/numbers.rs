//! The numbers of each application, which the operator has verified: the users that they ring, and whose calls show them.

use offhook_ledger::ShownBy;
use rusqlite::{OptionalExtension, params};

use super::{Database, Job, Store, StoreError};

/// A number of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedNumber {
    /// E.164 with its plus.
    pub number: String,
    /// The key of the application.
    pub application: String,
    /// The user that calls to it ring.
    pub user: Option<String>,
    /// Whose calls show it.
    pub shown_by: ShownBy,
}

impl Store {
    /// Looks up application and user of the first of these numbers that is known; `found` is called on the database thread. Waits only for space in the queue.
    pub async fn map_numbers(
        &self,
        numbers: Vec<String>,
        found: impl FnOnce(Result<Option<(String, String)>, StoreError>) + Send + 'static,
    ) {
        let job: Job = Box::new(move |database| {
            let known = numbers.iter().map(|number| database.map_number(number)).find_map(Result::transpose);
            found(known.transpose());
        });
        drop(self.jobs.send(job).await);
    }

    /// Returns the numbers of an application, or all of them.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn numbers(&self, application: Option<String>) -> Result<Vec<AssignedNumber>, StoreError> {
        self.ask(move |database| database.numbers(application.as_deref())).await
    }

    /// Assigns numbers to applications, replacing former assignments. The operator has verified that they belong to them. All
    /// numbers are assigned, or none where one cannot be.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoApplication`], and [`StoreError::Taken`] where one belongs to another application.
    pub async fn assign_numbers(&self, numbers: Vec<AssignedNumber>) -> Result<(), StoreError> {
        self.ask(move |database| {
            let transaction = database.begin()?;
            numbers.iter().try_for_each(|number| database.assign_number(number))?;
            Ok(transaction.commit()?)
        })
        .await
    }

    /// Sets the user that numbers of an application ring, or none. All of them are changed, or none where one does not belong to
    /// the application.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoNumber`].
    pub async fn ring(&self, application: String, numbers: Vec<String>, user: Option<String>) -> Result<(), StoreError> {
        self.ask(move |database| database.ring(&application, &numbers, user.as_deref())).await
    }

    /// Removes numbers from an application: all of them, or none where one does not belong to it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoNumber`].
    pub async fn remove_numbers(&self, application: String, numbers: Vec<String>) -> Result<(), StoreError> {
        self.ask(move |database| {
            let transaction = database.begin()?;
            for number in &numbers {
                let sql = "DELETE FROM number WHERE application = ?1 AND number = ?2";
                if database.connection.prepare_cached(sql)?.execute([&application, number])? == 0 {
                    return Err(StoreError::NoNumber);
                }
            }
            Ok(transaction.commit()?)
        })
        .await
    }
}

impl Database {
    /// Carriers send numbers with or without the plus.
    fn map_number(&self, number: &str) -> Result<Option<(String, String)>, StoreError> {
        let sql = "SELECT application, user FROM number WHERE number IN (?1, '+' || ?1) AND user IS NOT NULL";
        let found = self.connection.prepare_cached(sql)?.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(found.optional()?)
    }

    /// Returns the caller ID of `user`: a number of the user, else one of the application, else none.
    pub(super) fn caller_id(&self, application: &str, user: &str) -> rusqlite::Result<Option<String>> {
        let sql = "SELECT number FROM number WHERE application = ?1 AND (shown_by = 'application' OR shown_by = 'user' AND user = ?2) \
                   ORDER BY shown_by DESC, number LIMIT 1";
        self.connection.prepare_cached(sql)?.query_row([application, user], |row| row.get(0)).optional()
    }

    fn numbers(&self, application: Option<&str>) -> Result<Vec<AssignedNumber>, StoreError> {
        let sql = "SELECT number, application, user, shown_by FROM number WHERE ?1 IS NULL OR application = ?1 ORDER BY number";
        let mut query = self.connection.prepare_cached(sql)?;
        let rows = query.query_map([application], |row| {
            let shown_by = row.get_ref(3)?.as_str()?.parse().unwrap_or(ShownBy::Nobody);
            Ok(AssignedNumber { number: row.get(0)?, application: row.get(1)?, user: row.get(2)?, shown_by })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn assign_number(&self, number: &AssignedNumber) -> Result<(), StoreError> {
        self.must_exist(&number.application)?;
        let sql = "INSERT INTO number (number, application, user, shown_by) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT DO UPDATE SET user = ?3, shown_by = ?4 WHERE application = ?2";
        let values = params![number.number, number.application, number.user, number.shown_by.as_str()];
        match self.connection.prepare_cached(sql)?.execute(values)? {
            0 => Err(StoreError::Taken),
            _ => Ok(()),
        }
    }

    fn ring(&self, application: &str, numbers: &[String], user: Option<&str>) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        for number in numbers {
            let sql = "UPDATE number SET user = ?3 WHERE application = ?1 AND number = ?2";
            if self.connection.prepare_cached(sql)?.execute(params![application, number, user])? == 0 {
                return Err(StoreError::NoNumber);
            }
        }
        Ok(transaction.commit()?)
    }
}
