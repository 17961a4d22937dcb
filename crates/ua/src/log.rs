//! The lines of the state machines in the operator's log: `tracing`, with names masked and values from outside truncated. The subscriber and its
//! clock are the gateway's. In pages there is no log, and nothing of this is compiled.

#[cfg(not(target_arch = "wasm32"))]
pub use native::{CallId, Masked, Plain, message, millis, named, said};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use tracing::{debug, trace};

/// Says nothing.
#[cfg(target_arch = "wasm32")]
macro_rules! silent {
    ($($said:tt)*) => {};
}
#[cfg(target_arch = "wasm32")]
pub(crate) use {silent as debug, silent as trace};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::fmt;
    use std::time::Duration;

    use tracing::field::{DisplayValue, display};
    use tracing::level_filters::LevelFilter;

    /// The most characters of a value from outside that are written.
    const LONGEST: usize = 128;

    /// A user name or number: masked at `info`, whole at `debug` and `trace`.
    pub struct Masked<'a>(pub &'a str);

    impl fmt::Display for Masked<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if LevelFilter::current() >= LevelFilter::DEBUG { Plain(self.0).fmt(f) } else { f.write_str(&mask(self.0)) }
        }
    }

    /// The value of a field with a user name or number, masked; `None`, with which the field is left out, where it is empty.
    #[must_use]
    pub fn named(name: &str) -> Option<DisplayValue<Masked<'_>>> {
        Some(name).filter(|name| !name.is_empty()).map(|name| display(Masked(name)))
    }

    /// The same of a value from outside.
    #[must_use]
    pub fn said(value: &str) -> Option<DisplayValue<Plain<'_>>> {
        Some(value).filter(|value| !value.is_empty()).map(|value| display(Plain(value)))
    }

    /// A value from outside, truncated. Control characters are escaped where lines are written.
    pub struct Plain<'a>(pub &'a str);

    impl fmt::Display for Plain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0.char_indices().nth(LONGEST) {
                Some((end, _)) => write!(f, "{}…", &self.0[..end]),
                None => f.write_str(self.0),
            }
        }
    }

    /// A length of time in whole milliseconds, the unit of all of them in the log.
    #[must_use]
    pub fn millis(length: Duration) -> u64 {
        u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
    }

    /// The Call-ID of a message, which is read only where it is written; nothing where it has none.
    pub struct CallId<'a>(pub &'a [u8]);

    impl fmt::Display for CallId<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let message = offhook_sip::parse(self.0);
            Plain(message.as_ref().ok().and_then(|message| message.call_id().ok()).unwrap_or_default()).fmt(f)
        }
    }

    /// The first line of a message, as far as it is text.
    struct FirstLine<'a>(&'a [u8]);

    impl fmt::Display for FirstLine<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let line = self.0.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
            Plain(&String::from_utf8_lossy(line)).fmt(f)
        }
    }

    /// Writes at `trace` that a message was received or is sent (`direction`), and over which connection or address. Of the message only the first
    /// line and the Call-ID are written.
    pub fn message(direction: &'static str, by: impl fmt::Display, text: &[u8]) {
        tracing::trace!(%by, line = %FirstLine(text), call = %CallId(text), "{direction}");
    }

    /// Returns enough of a name to tell two users apart, not enough to know or call one: `alice` is `a…e`, `+46701234567` is `+4…67`.
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
        fn a_value_has_a_length() {
            assert_eq!(Plain(&"x".repeat(1_000)).to_string().chars().count(), LONGEST + 1);
            assert_eq!(Plain("å").to_string(), "å");
        }

        #[test]
        fn of_a_message_its_first_line_and_call_id_are_said() {
            let text = b"BYE sip:a@x SIP/2.0\r\nCall-ID: c1\r\nAuthorization: Bearer t\r\n\r\nbody";
            assert_eq!((FirstLine(text).to_string(), CallId(text).to_string()), ("BYE sip:a@x SIP/2.0".into(), "c1".into()));
            assert_eq!((FirstLine(b"\xff\r\n").to_string(), CallId(b"\xff\r\n").to_string()), ("\u{fffd}".into(), String::new()));
        }
    }
}
