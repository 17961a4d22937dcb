//! Detection of texts that look like telephone numbers: to the telephone network, where calling one costs money, or to a person, who would be
//! deceived by a user with such a name. The numbering plan is in the ledger.

use percent_encoding::percent_decode_str;

/// The number of digits of a telephone number: at least those of the shortest number of E.164 (fewer are an extension, or the id of a user), at
/// most those of the longest one with an international prefix (`011`).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=18;
/// How many levels of escaping are removed.
const ESCAPED: usize = 4;

/// Whether a trunk to the telephone network might dial `user` (the user part of a SIP URI) as a number of any length, in any notation: with visual
/// separators, escapes, `;` parameters or `tel:`, in digits of any script, with or without a plus. A text that begins like a number counts as
/// one, because a switch may dial as much of it as it understands; but `1800FLOWERS` is a name.
#[must_use]
pub fn is_number(user: &str) -> bool {
    let mut text = user.to_owned();
    for _ in 0..ESCAPED {
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    // A switch might dial any part of `tel:+1;ext=2`, so each part is checked.
    text.split([';', ':']).any(begins_as_number)
}

fn begins_as_number(said: &str) -> bool {
    let signs: Vec<char> = said.chars().filter(|sign| sign.is_alphanumeric() || DIALLED.contains(sign)).collect();
    let begins = signs.iter().take_while(|sign| !sign.is_alphabetic()).count();
    begins > 0 && (begins == signs.len() || begins >= *DIGITS.start() || signs.first() == Some(&'+'))
}

/// Whether a name has the form of a telephone number, so that no user may have it: a plus and digits, or 7 to 18 digits, and nothing else but
/// visual separators. `1001` and `alice1` are not.
#[must_use]
pub fn is_form_of_number(name: &str) -> bool {
    let digits = name.chars().filter(|sign| sign.is_numeric()).count();
    let others = name.chars().any(char::is_alphabetic);
    let plus = name.trim_start_matches(|sign: char| !sign.is_alphanumeric() && !PLUS.contains(&sign)).starts_with(PLUS);
    !others && digits > 0 && (plus || DIGITS.contains(&digits))
}

/// Characters that can be dialled, besides digits.
const DIALLED: [char; 3] = ['+', '*', '#'];
/// The plus, and characters that look like it.
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
