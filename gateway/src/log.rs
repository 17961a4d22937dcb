//! Log lines on standard error. Nobody's name or number is written out at `info`, and nothing from outside can make a line of its own.

use std::fmt::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Format, Level, Log};

/// Characters of a value from outside that are written at most.
const LONGEST: usize = 128;

/// Starts logging; a second call does nothing.
pub fn start(log: &Log) {
    let level = LevelFilter::from(log.level);
    // Libraries say at `debug` and below what they read: only their warnings are wanted.
    let filter = Targets::new().with_target("offhook_gateway", level).with_default(level.min(LevelFilter::WARN));
    // Those of the media warn of single datagrams, which anybody can send as many of as he likes.
    let filter = filter.with_targets(["str0m", "is", "dimpl"].map(|library| (library, level.min(LevelFilter::ERROR))));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    let result = match log.format {
        Format::Text => registry.with(layer.with_ansi(false).with_target(false).with_filter(filter)).try_init(),
        Format::Json => registry.with(layer.json().flatten_event(true).with_target(false).with_filter(filter)).try_init(),
    };
    drop(result);
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// A user name or number: masked at `info`, whole at `debug` and `trace`.
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if LevelFilter::current() >= LevelFilter::DEBUG { Plain(self.0).fmt(f) } else { f.write_str(&mask(self.0)) }
    }
}

/// A value from outside, cut to a length and without anything that a terminal or a line reader would act on.
pub struct Plain<'a>(pub &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars().take(LONGEST) {
            match character {
                '\u{2028}' | '\u{2029}' => f.write_char('?')?,
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        if self.0.chars().nth(LONGEST).is_some() { f.write_char('…') } else { Ok(()) }
    }
}

/// Enough of a name to tell two users apart, not enough to know or call one: `alice` is `a…e`, `+46701234567` is `+4…67`.
fn mask(name: &str) -> String {
    let length = name.chars().count();
    let (front, back) = match length {
        0..=2 => (0, 0),
        3..=6 => (1, 1),
        _ => (2, 2),
    };
    let start: String = name.chars().take(front).collect();
    let end: String = name.chars().skip(length - back).collect();
    Plain(&format!("{start}…{end}")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_not_readable() {
        assert_eq!(mask("alice"), "a…e");
        assert_eq!(mask("+46701234567"), "+4…67");
        assert_eq!(mask("al"), "…");
        assert_eq!(mask(""), "…");
    }

    #[test]
    fn a_value_makes_no_line_and_no_colour() {
        let text = Plain("a\r\nb\u{1b}[31m\0\u{2028}").to_string();
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{2028}'), "{text}");
        assert_eq!(Plain(&"x".repeat(1_000)).to_string().chars().count(), LONGEST + 1);
    }
}
