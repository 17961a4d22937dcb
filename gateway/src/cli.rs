//! The commands for credit, rates, numbers and call records. They use the database directly, also while the gateway is running.

use std::time::Duration;

use clap::{Args, Subcommand};

use offhook_access::ticket::iso;
use offhook_gateway::config::Config;
use offhook_gateway::store::{AccountView, Alarm, AssignedNumber, Limits, Rate, Record, Store};
use offhook_ledger::{Amount, Number, ShownBy, Tariff};

use super::Failure;

/// The name of the empty prefix, which every number has.
const ANY: &str = "any";

#[derive(Subcommand)]
pub enum CreditCommand {
    /// Add credit to an application, or withdraw some (a negative amount)
    Add(AddCredit),
    /// Show an account
    Show {
        /// Key of the application
        application: String,
    },
    /// Set the limits of an account; those that are left out are as configured
    Limit(SetLimits),
    /// List the newest alarms of accounts that exceeded a limit: since, until, application, cause, range, limit
    Alarms {
        /// Only those of this application
        application: Option<String>,
        /// How many
        #[arg(long, default_value_t = 100)]
        most: u32,
    },
    /// Check that accounts, transfers and call records agree
    Check,
}

#[derive(Args)]
pub struct AddCredit {
    /// Key of the application
    application: String,
    /// Amount such as 10 or 0.05
    #[arg(allow_negative_numbers = true)]
    amount: Amount,
    /// A reference, such as the number of an invoice: repeating the command with it has no effect
    #[arg(long)]
    reference: Option<String>,
}

#[derive(Args)]
pub struct SetLimits {
    /// Key of the application
    application: String,
    /// Concurrent calls
    #[arg(long)]
    calls: Option<u32>,
    /// New calls to telephones in any minute
    #[arg(long, value_name = "CALLS")]
    per_minute: Option<u32>,
    /// New calls to one range in any hour
    #[arg(long, value_name = "CALLS")]
    range_per_hour: Option<u32>,
    /// Largest amount spent in a day (UTC)
    #[arg(long, value_name = "AMOUNT")]
    per_day: Option<Amount>,
}

#[derive(Subcommand)]
pub enum RateCommand {
    /// Set the price of a prefix; existing calls keep theirs
    Set(SetRate),
    /// List the rates
    List {
        /// Only rates for calls of this application
        application: Option<String>,
    },
    /// Remove a rate
    Remove {
        /// Digits of the prefix, or `any`
        prefix: String,
        /// The rate of this application
        #[arg(long, default_value = "")]
        application: String,
    },
}

#[derive(Args)]
pub struct SetRate {
    /// Digits without a plus, or `any`
    prefix: String,
    /// Price of a minute
    per_minute: Amount,
    /// Shortest time that an answered call is billed, seconds
    #[arg(long, default_value_t = 0)]
    minimum: u32,
    /// Increment after that, seconds
    #[arg(long, default_value_t = 1)]
    increment: u32,
    /// Fee for each answered call
    #[arg(long, default_value = "0")]
    fee: Amount,
    /// Only for this application
    #[arg(long, default_value = "")]
    application: String,
}

#[derive(Subcommand)]
pub enum NumberCommand {
    /// Assign a number to an application
    Add(AddNumber),
    /// List the numbers
    List {
        /// Only those of this application
        application: Option<String>,
    },
    /// Remove a number from an application
    Remove {
        /// Key of the application
        application: String,
        /// With + and the country code
        number: String,
    },
}

#[derive(Args)]
pub struct AddNumber {
    /// Key of the application
    application: String,
    /// With + and the country code
    number: String,
    /// The user that calls to it ring
    #[arg(long)]
    user: Option<String>,
    /// Whose calls show it: nobody, user or application [default: user where there is --user, else application]
    #[arg(long)]
    show: Option<ShownBy>,
}

#[derive(Subcommand)]
pub enum CdrCommand {
    /// List the newest calls: start, application, user, kind, from, to, seconds, billed, charge, SIP status, cause, trunk
    List {
        /// Only those of this application
        application: Option<String>,
        /// How many
        #[arg(long, default_value_t = 100)]
        most: u32,
    },
}

impl CreditCommand {
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        let store = open(config)?;
        match self {
            Self::Add(AddCredit { application, amount: Amount(micros), reference }) => {
                show(&store.top_up(application, micros, reference).await?);
            }
            Self::Show { application } => show(&store.account_view(application).await?),
            Self::Limit(SetLimits { application, calls, per_minute, range_per_hour, per_day }) => {
                let spend_per_day = per_day.map(|Amount(micros)| micros);
                let limits = Limits { calls, calls_per_minute: per_minute, range_calls_per_hour: range_per_hour, spend_per_day };
                store.set_limits(application.clone(), limits).await?;
                show(&store.account_view(application).await?);
            }
            Self::Alarms { application, most } => {
                for alarm in store.alarms(application, None, most).await? {
                    println!("{}", alarm_line(&alarm));
                }
            }
            Self::Check => return check(&store).await,
        }
        Ok(())
    }
}

async fn check(store: &Store) -> Result<(), Failure> {
    let audit = store.audit().await?;
    println!(
        "put in {}\ncredit {}\nreserved {}\ncharged {}\ncall records {}\nopen calls {}",
        Amount(audit.topped_up),
        Amount(audit.credit),
        Amount(audit.reserved),
        Amount(audit.revenue),
        Amount(audit.records),
        audit.open
    );
    if audit.wrong.is_empty() { Ok(()) } else { Err(audit.wrong.join("\n").into()) }
}

fn show(view: &AccountView) {
    println!(
        "credit {} {}\nreserved {}\ncalls {} of {}\nspent today {} of {}\nnew calls {} in a minute, {} to a range in an hour",
        Amount(view.credit),
        view.currency,
        Amount(view.reserved),
        view.running,
        view.most_calls,
        Amount(view.spent),
        Amount(view.most_spent),
        view.most_in_minute,
        view.most_to_range
    );
}

fn alarm_line(alarm: &Alarm) -> String {
    let most = if alarm.is_spending() { Amount(alarm.most).to_string() } else { alarm.most.to_string() };
    let Alarm { application, cause, range, .. } = alarm;
    [&iso(alarm.at), &iso(alarm.until), application, cause, range, &most].map(String::as_str).join("\t")
}

impl RateCommand {
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        let store = open(config)?;
        match self {
            Self::Set(set) => set.run(&store).await,
            Self::List { application } => {
                for Rate { application, prefix, tariff } in store.rates(application).await? {
                    let prefix = if prefix.is_empty() { ANY } else { &prefix };
                    let (per_minute, fee) = (Amount(tariff.per_minute), Amount(tariff.fee));
                    println!("{prefix}\t{per_minute}\t{}/{}\t{fee}\t{application}", tariff.minimum, tariff.increment);
                }
                Ok(())
            }
            Self::Remove { prefix, application } => match store.remove_rate(application, digits(&prefix)?).await? {
                true => Ok(()),
                false => Err("there is no such rate".into()),
            },
        }
    }
}

impl SetRate {
    async fn run(self, store: &Store) -> Result<(), Failure> {
        let (Amount(per_minute), Amount(fee)) = (self.per_minute, self.fee);
        let tariff = Tariff { per_minute, minimum: self.minimum, increment: self.increment, fee };
        tariff.check()?;
        store.set_rates(vec![Rate { application: self.application, prefix: digits(&self.prefix)?, tariff }]).await?;
        Ok(())
    }
}

/// Returns the digits of a prefix; none for `any`.
fn digits(prefix: &str) -> Result<String, Failure> {
    let digits = if prefix == ANY { "" } else { prefix.strip_prefix('+').unwrap_or(prefix) };
    if (prefix != ANY && digits.is_empty()) || digits.len() > 15 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a prefix is at most 15 digits, or `any`".into());
    }
    Ok(digits.to_owned())
}

impl NumberCommand {
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        let store = open(config)?;
        match self {
            Self::Add(AddNumber { application, number, user, show }) => {
                let number = Number::parse(&number)?.to_string();
                let shown_by = show.unwrap_or(ShownBy::unless_said(user.is_some()));
                Ok(store.assign_numbers(vec![AssignedNumber { number, application, user, shown_by }]).await?)
            }
            Self::List { application } => {
                for number in store.numbers(application).await? {
                    let user = number.user.as_deref().unwrap_or("-");
                    println!("{}\t{}\t{user}\t{}", number.number, number.application, number.shown_by.as_str());
                }
                Ok(())
            }
            Self::Remove { application, number } => Ok(store.remove_numbers(application, vec![number]).await?),
        }
    }
}

impl CdrCommand {
    pub async fn run(self, config: &Config) -> Result<(), Failure> {
        let Self::List { application, most } = self;
        for record in open(config)?.records(application, most).await? {
            println!("{}", line(&record));
        }
        Ok(())
    }
}

/// Returns a call record as a line, with tabs between the fields.
fn line(record: &Record) -> String {
    let talked = record.ended.map_or(Duration::ZERO, |_| record.duration(record.opened));
    let cause = if record.ended.is_none() { "running" } else { &record.cause };
    [
        iso(record.opened),
        record.application.clone(),
        record.user.clone(),
        record.kind.clone(),
        record.from.clone(),
        record.to.clone(),
        format!("{}.{:03}", talked.as_secs(), talked.subsec_millis()),
        record.billed.to_string(),
        Amount(record.charge).to_string(),
        record.code.to_string(),
        cause.to_owned(),
        record.trunk.clone(),
    ]
    // Removes control characters: text from outside must not add fields, lines or colours.
    .map(|field| field.chars().filter(|c| !c.is_control()).collect::<String>())
    .join("\t")
}

fn open(config: &Config) -> Result<Store, Failure> {
    Ok(Store::open(&config.data.folder, config.phone.rules())?)
}
