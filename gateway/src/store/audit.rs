//! The audit: compares the accounts with the sums of their transfers, and with the charges of the call records by their rates.

use std::time::Duration;

use offhook_ledger::{Micros, Reservation, Tariff};

use super::{Database, Store, StoreError};

/// Sums over the whole database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// The sum of top-ups, less withdrawals.
    pub topped_up: Micros,
    /// The credit of all accounts.
    pub credit: Micros,
    /// The sum of reservations.
    pub reserved: Micros,
    /// The sum of charges.
    pub revenue: Micros,
    /// The price of all call records, each by its own rate and billed seconds.
    pub records: Micros,
    /// Calls that are ringing or established.
    pub open: usize,
    /// A message for each difference; empty where there is none.
    pub wrong: Vec<String>,
}

impl Store {
    /// Adds everything up and compares.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub async fn audit(&self) -> Result<Audit, StoreError> {
        self.ask(|database| {
            database.write_queries();
            database.audit()
        })
        .await
    }
}

impl Database {
    fn audit(&self) -> Result<Audit, StoreError> {
        // In one transaction, because another process may write meanwhile.
        let _moment = self.connection.unchecked_transaction()?;
        let mut audit = Audit::default();
        (audit.topped_up, audit.credit, audit.reserved, audit.revenue) =
            (-self.book("top-up")?, self.book("credit")?, self.book("reserved")?, self.book("revenue")?);
        self.add_records(&mut audit)?;
        if audit.records != audit.revenue {
            audit.wrong.push(format!("call records cost {}, charged were {}", audit.records, audit.revenue));
        }
        if audit.topped_up != audit.credit + audit.reserved + audit.revenue {
            audit.wrong.push("what was put in is not what is there".into());
        }
        self.compare_accounts(&mut audit)?;
        Ok(audit)
    }

    fn book(&self, name: &str) -> Result<Micros, StoreError> {
        let sql =
            "SELECT coalesce(sum(CASE target WHEN ?1 THEN amount ELSE -amount END), 0) FROM transfer WHERE ?1 IN (source, target)";
        Ok(self.connection.prepare_cached(sql)?.query_row([name], |row| row.get(0))?)
    }

    fn add_records(&self, audit: &mut Audit) -> Result<(), StoreError> {
        let sql = "SELECT id, per_minute, minimum, increment, fee, paid, reserved, answered, ended, billed, charge FROM call";
        let mut query = self.connection.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let tariff = Tariff { per_minute: row.get(1)?, minimum: row.get(2)?, increment: row.get(3)?, fee: row.get(4)? };
            let reservation = Reservation { tariff, paid: row.get(5)?, reserved: row.get(6)? };
            let (answered, ended): (Option<u64>, Option<u64>) = (row.get(7)?, row.get(8)?);
            let (billed, charge): (u64, Micros) = (row.get(9)?, row.get(10)?);
            audit.open += usize::from(ended.is_none());
            let due = answered
                .zip(ended)
                .map(|(answered, ended)| reservation.charge(Duration::from_millis(ended.saturating_sub(answered))))
                .unwrap_or_default();
            audit.records += due.price;
            if (due.seconds, due.price) != (billed, charge) {
                audit.wrong.push(format!("call {}: charged {charge}, by its rate {}", row.get::<_, String>(0)?, due.price));
            }
        }
        Ok(())
    }

    /// Compares each account with its transfers and its open calls.
    fn compare_accounts(&self, audit: &mut Audit) -> Result<(), StoreError> {
        let sql = "SELECT application FROM account AS a WHERE \
             credit <> (SELECT coalesce(sum(CASE 'credit' WHEN target THEN amount WHEN source THEN -amount ELSE 0 END), 0) \
                        FROM transfer WHERE application = a.application) \
             OR reserved <> (SELECT coalesce(sum(CASE 'reserved' WHEN target THEN amount WHEN source THEN -amount ELSE 0 END), 0) \
                        FROM transfer WHERE application = a.application) \
             OR reserved <> (SELECT coalesce(sum(reserved), 0) FROM call WHERE application = a.application AND ended IS NULL) \
             OR running <> (SELECT count(*) FROM call WHERE application = a.application AND ended IS NULL AND kind IN ('phone', 'sip')) \
             OR incoming <> (SELECT count(*) FROM call WHERE application = a.application AND ended IS NULL AND kind = 'incoming')";
        let mut query = self.connection.prepare(sql)?;
        for application in query.query_map([], |row| row.get::<_, String>(0))? {
            audit.wrong.push(format!("account {}: not what its transfers and calls say", application?));
        }
        Ok(())
    }
}
