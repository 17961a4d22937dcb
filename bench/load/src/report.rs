//! What was measured, beside another server: as a table for people and as JSON for programs.

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
    /// The other's.
    pub theirs: Vec<f64>,
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
    /// Our median is at most so many times the other's.
    Times(f64),
    /// Our median is at least so many times the other's.
    Part(f64),
}

/// All rows.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The other server.
    beside: &'static str,
    /// A document has the table between the lines `<!-- place -->` and `<!-- /place -->`.
    place: &'static str,
    /// What is good to know about the run.
    pub notes: Vec<String>,
    rows: Vec<Row>,
}

impl Report {
    /// A report without rows.
    #[must_use]
    pub const fn new(beside: &'static str, place: &'static str) -> Self {
        Self { beside, place, notes: Vec::new(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, figure: impl Into<String>, ours: Vec<f64>, theirs: Vec<f64>, bar: Option<Bar>) {
        self.rows.push(Row { figure: figure.into(), ours, theirs, bar, main: false });
        self.rows.iter().next_back().into_iter().for_each(|row| eprintln!("{}", row.line(self.beside)));
    }

    /// Makes the last row one of the main figures.
    pub fn main(&mut self) {
        self.rows.iter_mut().next_back().into_iter().for_each(|row| row.main = true);
    }

    /// Makes all rows main figures.
    pub fn all_main(&mut self) {
        self.rows.iter_mut().for_each(|row| row.main = true);
    }

    /// The main figures as a Markdown table, with the line that says how they came about.
    #[must_use]
    pub fn markdown(&self, how: &str) -> String {
        let mut text = format!("| figure | gateway | {} | ratio |\n|---|---|---|---|\n", self.beside);
        for row in self.rows.iter().filter(|row| row.main) {
            let [ours, theirs, ratio] = row.values();
            let _ = writeln!(text, "| {} | {ours} | {theirs} | {ratio} |", row.figure);
        }
        let _ = writeln!(text, "\n{how}");
        text
    }

    /// Puts that table into `file`, into its place.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or written, or has no such place.
    pub fn publish(&self, file: &Path, how: &str) -> std::io::Result<()> {
        let text = std::fs::read_to_string(file)?;
        let marks = [format!("<!-- {} -->", self.place), format!("<!-- /{} -->", self.place)];
        let parts = text.split_once(&marks[0]).and_then(|(before, rest)| Some((before, rest.split_once(&marks[1])?.1)));
        let (before, after) = parts.ok_or_else(|| std::io::Error::other(format!("{} has no place for it", file.display())))?;
        std::fs::write(file, [before, &marks[0], "\n", &self.markdown(how), &marks[1], after].concat())
    }

    /// How many bars were not reached.
    #[must_use]
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.holds() == Some(false)).count()
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("{:<58} {:>10} {:>10} {:>7}  bar\n", "median of the rounds", "gateway", self.beside, "ratio");
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line(self.beside));
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
        let (ours, theirs) = (median(&self.ours)?, median(&self.theirs));
        match self.bar? {
            Bar::Most(bar) => Some(ours <= bar),
            Bar::Least(bar) => Some(ours >= bar),
            Bar::Times(times) => theirs.map(|theirs| ours <= theirs * times),
            Bar::Part(part) => theirs.map(|theirs| ours >= theirs * part),
        }
    }

    /// Ours, theirs, and the one by the other.
    fn values(&self) -> [String; 3] {
        let (ours, theirs) = (median(&self.ours), median(&self.theirs));
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let ratio = ours.zip(theirs).map_or_else(|| "-".to_owned(), |(ours, theirs)| format!("{:.2}", ours / theirs));
        [show(ours), show(theirs), ratio]
    }

    fn line(&self, beside: &str) -> String {
        let [ours, theirs, ratio] = self.values();
        let bar = match self.bar {
            Some(Bar::Most(bar)) => format!("<= {}", number(bar)),
            Some(Bar::Least(bar)) => format!(">= {}", number(bar)),
            Some(Bar::Times(times)) => format!("<= {times} x {beside}"),
            Some(Bar::Part(part)) => format!(">= {part} x {beside}"),
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
