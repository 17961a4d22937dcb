//! What was measured: as a table for people and as JSON for programs.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;

/// One figure of both servers, or of the gateway alone.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured, with its unit.
    pub figure: String,
    /// The gateway's values, one of each round.
    pub ours: Vec<f64>,
    /// Kamailio's.
    pub kamailio: Vec<f64>,
    /// What has to hold.
    pub bar: Option<Bar>,
    /// Whether it is one of the main figures.
    pub main: bool,
}

/// What has to hold.
#[derive(Clone, Copy, Debug, Serialize)]
pub enum Bar {
    /// Our median is at most this.
    Most(f64),
    /// Our median is at least this.
    Least(f64),
    /// Our median is at most so many times Kamailio's.
    Times(f64),
    /// Our median is at least so many times Kamailio's.
    Part(f64),
}

/// Where a document has the table.
const MARKS: (&str, &str) = ("<!-- capacity -->", "<!-- /capacity -->");

/// All rows.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// What is good to know about the run.
    pub notes: Vec<String>,
    rows: Vec<Row>,
}

impl Report {
    /// Adds a row.
    pub fn row(&mut self, figure: impl Into<String>, ours: Vec<f64>, kamailio: Vec<f64>, bar: Option<Bar>) {
        self.rows.push(Row { figure: figure.into(), ours, kamailio, bar, main: false });
        self.rows.iter().next_back().into_iter().for_each(|row| eprintln!("{}", row.line()));
    }

    /// Makes the last row one of the main figures.
    pub fn main(&mut self) {
        self.rows.iter_mut().next_back().into_iter().for_each(|row| row.main = true);
    }

    /// The main figures as a Markdown table, with the line that says how they came about.
    #[must_use]
    pub fn markdown(&self, how: &str) -> String {
        let mut text = String::from("| figure | gateway | Kamailio | ratio |\n|---|---|---|---|\n");
        for row in self.rows.iter().filter(|row| row.main) {
            let [ours, theirs, ratio] = row.values();
            let _ = writeln!(text, "| {} | {ours} | {theirs} | {ratio} |", row.figure);
        }
        let _ = writeln!(text, "\n{how}");
        text
    }

    /// Puts that table into `file`, between the lines `<!-- capacity -->` and `<!-- /capacity -->`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or written, or has no such lines.
    pub fn publish(&self, file: &Path, how: &str) -> std::io::Result<()> {
        let text = std::fs::read_to_string(file)?;
        let parts = text.split_once(MARKS.0).and_then(|(before, rest)| Some((before, rest.split_once(MARKS.1)?.1)));
        let (before, after) = parts.ok_or_else(|| std::io::Error::other(format!("{} has no place for it", file.display())))?;
        std::fs::write(file, [before, MARKS.0, "\n", &self.markdown(how), MARKS.1, after].concat())
    }

    /// How many bars were not reached.
    #[must_use]
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.holds() == Some(false)).count()
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{:<58} {:>10} {:>10} {:>7}  bar\n", "median of the rounds", "gateway", "Kamailio", "ratio");
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        let _ = writeln!(text, "{} of {} bars missed", self.missed(), self.rows.iter().filter(|row| row.bar.is_some()).count());
        text
    }

    /// Writes everything to `file`.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn save(&self, file: &Path) -> std::io::Result<()> {
        std::fs::write(file, serde_json::to_string_pretty(self)?)
    }
}

impl Row {
    fn holds(&self) -> Option<bool> {
        let (ours, theirs) = (median(&self.ours)?, median(&self.kamailio));
        match self.bar? {
            Bar::Most(bar) => Some(ours <= bar),
            Bar::Least(bar) => Some(ours >= bar),
            Bar::Times(times) => theirs.map(|theirs| ours <= theirs * times),
            Bar::Part(part) => theirs.map(|theirs| ours >= theirs * part),
        }
    }

    /// Ours, Kamailio's, and the one by the other.
    fn values(&self) -> [String; 3] {
        let (ours, theirs) = (median(&self.ours), median(&self.kamailio));
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let ratio = ours.zip(theirs).map_or_else(|| "-".to_owned(), |(ours, theirs)| format!("{:.2}", ours / theirs));
        [show(ours), show(theirs), ratio]
    }

    fn line(&self) -> String {
        let [ours, theirs, ratio] = self.values();
        let bar = match self.bar {
            Some(Bar::Most(bar)) => format!("<= {}", number(bar)),
            Some(Bar::Least(bar)) => format!(">= {}", number(bar)),
            Some(Bar::Times(times)) => format!("<= {times} x Kamailio"),
            Some(Bar::Part(part)) => format!(">= {part} x Kamailio"),
            None => String::new(),
        };
        let verdict = match self.holds() {
            Some(true) => "  ok",
            Some(false) => "  MISSED",
            None => "",
        };
        format!("{:<58} {ours:>10} {theirs:>10} {ratio:>7}  {bar}{verdict}", self.figure)
    }
}

/// The value in the middle.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value that the part `q` of all does not exceed.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a list")]
    let at = (sorted.len().saturating_sub(1) as f64 * q).round() as usize;
    sorted.get(at).copied()
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
