//! Numbers to try an app with: they answer, refuse or ring in a known way, at known times, with no trunk and no credit.

use std::time::Duration;

use offhook_sip::StatusCode;

/// How a number behaves that is there for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestNumber {
    /// Answers and says that the call is connected.
    Answers {
        /// How often it says so, before it hangs up.
        times: u32,
        /// When it hangs up in any case, after the answer.
        limit: Duration,
        /// The key that ends it.
        until: Option<char>,
    },
    /// Refuses.
    Refuses {
        /// After so long.
        after: Duration,
        /// With this SIP status.
        code: StatusCode,
    },
}

impl TestNumber {
    /// When those answer that do.
    pub const ANSWER: Duration = Duration::from_millis(7_500);
    /// Longer than any number of announcements takes.
    const LONGEST: Duration = Duration::from_secs(300);

    /// The behaviour of a number, written with or without `+`: `46`, zeros, and what is meant, in 11 or 13 digits.
    #[must_use]
    pub fn read(number: &str) -> Option<Self> {
        let digits = number.strip_prefix('+').unwrap_or(number);
        let rest = digits.strip_prefix("46000000").filter(|_| matches!(digits.len(), 11 | 13))?;
        let answers = |times, limit, until| Some(Self::Answers { times, limit, until });
        let refuses = |after, code| Some(Self::Refuses { after, code });
        match rest.bytes().all(|b| b.is_ascii_digit()).then(|| rest.parse().ok())?? {
            0_u32 | 1 => answers(1, Self::LONGEST, None),
            times @ 2..=9 => answers(times, Self::LONGEST, None),
            10 => answers(u32::MAX, Duration::from_secs(120), None),
            20 => answers(10, Self::LONGEST, Some('0')),
            30 => refuses(Duration::ZERO, StatusCode::DECLINE),
            31 => refuses(Self::ANSWER, StatusCode::DECLINE),
            40 => refuses(Duration::from_secs(45), StatusCode::TEMPORARILY_UNAVAILABLE),
            50 => refuses(Duration::ZERO, StatusCode::SERVICE_UNAVAILABLE),
            51 => refuses(Self::ANSWER, StatusCode::SERVICE_UNAVAILABLE),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_table_and_no_others() {
        let once = Some(TestNumber::Answers { times: 1, limit: Duration::from_secs(300), until: None });
        assert_eq!(TestNumber::read("+46000000000"), once);
        assert_eq!(TestNumber::read("46000000000"), once);
        assert_eq!(
            TestNumber::read("46000000007"),
            Some(TestNumber::Answers { times: 7, limit: Duration::from_secs(300), until: None })
        );
        assert_eq!(
            TestNumber::read("+4600000000010"),
            Some(TestNumber::Answers { times: u32::MAX, limit: Duration::from_secs(120), until: None })
        );
        assert_eq!(
            TestNumber::read("+46000000030"),
            Some(TestNumber::Refuses { after: Duration::ZERO, code: StatusCode::DECLINE })
        );
        let readme = include_str!("../../../README.md");
        for (at, _) in readme.match_indices("`+46000000") {
            let number = &readme[at + 1..at + 13];
            assert!(TestNumber::read(number).is_some(), "the README names {number}");
        }
        for other in ["+46000000060", "+460000000000", "+46700000000", "+4600000000", "46000000+00", "++46000000000", "bob", ""] {
            assert_eq!(TestNumber::read(other), None, "{other}");
        }
    }
}
