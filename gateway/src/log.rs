//! The log on standard error. Names and numbers of users are masked at `info` and above, and text from outside cannot add lines or
//! change how they are displayed.

use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Format, Level, Log};

/// Starts logging; a second call does nothing.
pub fn start(log: &Log) {
    let level = LevelFilter::from(log.level);
    // At `debug` and below, libraries log what they receive: only their warnings are logged.
    let filter = Targets::new().with_target("offhook_", level).with_default(level.min(LevelFilter::WARN));
    // Those for media log warnings for single datagrams, which anybody can send.
    let filter = filter.with_targets(["str0m", "is", "dimpl"].map(|library| (library, level.min(LevelFilter::ERROR))));
    let layer = tracing_subscriber::fmt::layer().with_writer(|| Lines(io::stderr()));
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

/// A writer of whole lines with any content: characters that terminals or readers of lines interpret, and invisible ones or ones
/// that change the order of text (control and format characters, line separators, unassigned code points), are escaped as in JSON.
/// In JSON output such characters occur only in strings.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        let mut plain = String::with_capacity(line.len() + 1);
        for character in text.chars() {
            if is_plain(character) {
                plain.push(character);
            } else {
                plain.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
        plain.push('\n');
        self.0.write_all(plain.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a character is displayed as itself: one that the standard library counts as printable, or a combining mark.
fn is_plain(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    String::from_iter(['a', character]).escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str) -> String {
        let mut out = Vec::new();
        Lines(&mut out).write_all(line.as_bytes()).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn control_characters_and_direction_marks_are_escaped_in_log_lines() {
        for hidden in ["\n", "\r", "\0", "\u{1b}", "\u{7f}", "\u{85}", "\u{9b}", "\u{ad}", "\u{61c}", "\u{2028}", "\u{feff}"] {
            let line = written(&format!("a{hidden}b\n"));
            assert_eq!(line, format!("a\\u{:04x}b\n", u32::from(hidden.chars().next().expect("one"))));
        }
        for code in (0x200b..=0x200f).chain(0x202a..=0x202e).chain(0x2060..=0x206f) {
            let hidden = char::from_u32(code).expect("a character");
            assert!(written(&hidden.to_string()).is_ascii(), "{code:x}");
        }
        assert_eq!(written("\u{e0041}"), "\\udb40\\udc41\n", "as JSON has it");
        let fine = "{\"name\":\"Zoë O'Brien \\\\ नमस्ते 日本 👍\"}\n";
        assert_eq!(written(fine), fine);
    }
}
