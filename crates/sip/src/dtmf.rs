//! DTMF digits in the body of INFO. No RFC has them; this is how telephones and gateways write them.

/// The media type that is written.
pub const TYPE: &str = "application/dtmf-relay";
/// The media types that are read.
pub const TYPES: [&str; 2] = [TYPE, "application/dtmf"];
/// The duration of a digit where none is named, ms.
pub const DURATION: u32 = 160;

/// Returns the body of type [`TYPE`] for a digit; `duration` in ms.
#[must_use]
pub fn write(digit: &str, duration: u32) -> String {
    format!("Signal={digit}\r\nDuration={duration}\r\n")
}

/// Returns the digit and its duration (ms) in a body: `Signal=5` and `Duration=160`, or only `5`.
#[must_use]
pub fn read(body: &str) -> Option<(char, u32)> {
    let value = |name: &str| {
        let lines = body.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let digit = value("signal").unwrap_or(body.trim());
    let digit = Some(digit).filter(|digit| digit.len() == 1)?.chars().next()?.to_ascii_uppercase();
    let duration = value("duration").and_then(|value| value.parse().ok()).unwrap_or(DURATION);
    matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D').then_some((digit, duration.clamp(40, 5_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_in_two_forms() {
        assert_eq!(read("Signal=5\r\nDuration=200\r\n"), Some(('5', 200)));
        assert_eq!(read("signal = # \r\n"), Some(('#', 160)));
        assert_eq!(read("d\r\n"), Some(('D', 160)));
        assert_eq!(read("Signal=1\r\nDuration=999999"), Some(('1', 5_000)));
        assert_eq!(read(&write("*", 120)), Some(('*', 120)));
        for other in ["", "Signal=", "Signal=12", "x", "Signal=é"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
