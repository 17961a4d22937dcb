//! What looks like a telephone number. Which numbers there are the ledger knows; here it is what the telephone network, or a
//! person who reads it, may take for one: such a text costs money where it is called, and deceives where it is somebody's name.

use percent_encoding::percent_decode_str;

/// Digits of a number: at least those of the shortest in E.164 (fewer are an extension, or the id of a user), at most the longest with the
/// prefix of a call abroad before it (`011`).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=18;
/// How often a text may be escaped.
const ESCAPED: usize = 4;

/// Whether a trunk that reaches telephones may dial `user` (the user part of a SIP address) as a number, of whatever length and in whatever
/// spelling: with visual separators, escapes, `;` parameters or `tel:`, in digits of any script, without a plus. What begins as a number is
/// one, for a switch may dial as much of it as it understands; but `1800FLOWERS` is a name.
#[must_use]
pub fn is_number(user: &str) -> bool {
    let mut text = user.to_owned();
    for _ in 0..ESCAPED {
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    // Of `tel:+1;ext=2` each part by itself: which of them a switch dials, nobody here knows.
    text.split([';', ':']).any(begins_as_number)
}

fn begins_as_number(said: &str) -> bool {
    let signs: Vec<char> = said.chars().filter(|sign| sign.is_alphanumeric() || DIALLED.contains(sign)).collect();
    let begins = signs.iter().take_while(|sign| !sign.is_alphabetic()).count();
    begins > 0 && (begins == signs.len() || begins >= *DIGITS.start() || signs.first() == Some(&'+'))
}

/// Whether a name has the form of a telephone number, so that nobody may be called so: a plus and digits, or 7 to 18 digits, and nothing
/// else but visual separators. `1001` is none, nor is `alice1`.
#[must_use]
pub fn is_form_of_number(name: &str) -> bool {
    let digits = name.chars().filter(|sign| sign.is_numeric()).count();
    let others = name.chars().any(char::is_alphabetic);
    let plus = name.trim_start_matches(|sign: char| !sign.is_alphanumeric() && !PLUS.contains(&sign)).starts_with(PLUS);
    !others && digits > 0 && (plus || DIGITS.contains(&digits))
}

/// What is dialled beside digits.
const DIALLED: [char; 3] = ['+', '*', '#'];
/// The plus, and what is drawn like it.
const PLUS: [char; 4] = ['+', '\u{ff0b}', '\u{fe62}', '\u{207a}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_in_every_spelling() {
        for user in [
            "+46701234567",
            "0046701234567",
            "01146701234567",
            "46701234567",
            "0701234567",
            "+8816123456",
            "+46-70-123.45(67)",
            "+46 70 1",
            "%2B46701234567",
            "%252B46701234567",
            "+46701234567;phone-context=x",
            "tel:+46701234567",
            "tel%3A0046701234567",
            "+8816123456%3Asecret",
            "0046701234567:",
            "118118%3Ax",
            ";+46701234567",
            "sip:alice;+46701234567",
            "1001",
            "112",
            "118 118",
            "*31#0701234567",
            "#21#",
            "++46701234567",
            "+1415CALLNOW",
            "%+1415CALLNOW",
            "0046701234567x",
            "0046701234567,1",
            "٤٦٧٠١٢٣٤٥٦٧",
            "\u{ff0b}46701234567",
            "\u{fffd}46701234567",
            "\u{202e}46701234567",
            "+",
            "*",
        ] {
            assert!(is_number(user), "{user}");
        }
        for user in
            ["", "-", "alice", "alice1", "alice46701234567", "1800FLOWERS", "42nd", "desk-1001", "x+46701234567", "é1001", "%"]
        {
            assert!(!is_number(user), "{user}");
        }
    }

    #[test]
    fn a_name_in_the_form_of_a_number_is_seen() {
        for name in [
            "+46701112233",
            "46701112233",
            "0701112233",
            "0046 70-111 22 33",
            "(070) 111 22 33",
            "+1",
            " +1 2",
            "1234567",
            "٤٦٧٠١٢٣٤٥٦٧",
        ] {
            assert!(is_form_of_number(name), "{name}");
        }
        for name in
            ["", "+", "42", "1001", "123456", "alice1", "user 1234567", "1234567890123456789", "12345678-9abc", "+alice", "-"]
        {
            assert!(!is_form_of_number(name), "{name}");
        }
    }
}
