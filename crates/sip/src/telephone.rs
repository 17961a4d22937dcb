//! Telephone numbers in URIs (RFC 3966), and detection of texts that look like them: to the telephone network, where calling one costs money, or to
//! a person, who would be deceived by a user with such a name. The numbering plan is in the ledger.

use percent_encoding::percent_decode_str;

use crate::header::Params;
use crate::text::cut_at;
use crate::uri::Uri;

/// Returns the digits that a `tel:` URI, or the user part of a SIP URI, stands for: with a plus where it has one, and without visual separators and
/// parameters (RFC 3966, 3). `None` where it is no number.
///
/// ```
/// use offhook_sip::{Uri, telephone::{digits_in, number_in}};
///
/// let ported = Uri::parse("sip:+46-8-555-12345;npdi;rn=+46708000000@example.com;user=phone")?;
/// assert_eq!(digits_in(&ported).as_deref(), Some("+46855512345"));
///
/// let local = Uri::parse("tel:8-555-12345;phone-context=+46")?;
/// assert_eq!(digits_in(&local).as_deref(), Some("855512345"));
/// assert_eq!(number_in(&local).as_deref(), Some("+46855512345"));
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[must_use]
pub fn digits_in(uri: &Uri<'_>) -> Option<String> {
    Some(spelled(uri)?.0)
}

/// Returns the number that a `tel:` URI, or the user part of a SIP URI, stands for: as [`digits_in`], and a local number with the beginning of global
/// numbers that is its context (RFC 3966, 5.1.5). One in another context, as a domain, stays local.
#[must_use]
pub fn number_in(uri: &Uri<'_>) -> Option<String> {
    let (digits, context) = spelled(uri)?;
    let context = context.filter(|context| !digits.starts_with('+') && context.starts_with('+')).unwrap_or_default();
    Some(context + &digits)
}

/// Returns the short number of a list, such as that of emergency numbers, that a URI names: in whatever spelling and context.
#[must_use]
pub fn one_of<'n>(numbers: &'n [String], uri: &Uri<'_>) -> Option<&'n str> {
    let (user, digits) = (uri.user_text(), digits_in(uri));
    numbers.iter().map(String::as_str).find(|number| *number == user || digits.as_deref() == Some(*number))
}

/// Returns digits and `phone-context`, each without visual separators.
fn spelled(uri: &Uri<'_>) -> Option<(String, Option<String>)> {
    let user = uri.user_text();
    let (number, params) = cut_at(&user, b';').map_or((&*user, None), |(number, _)| (number, user.get(number.len()..)));
    let params = if uri.is_tel() { uri.params } else { Params::parse(params.unwrap_or_default())? };
    Some((digits(number)?, params.get("phone-context").and_then(digits)))
}

/// Returns the digits in a text, with the plus before them, if there is nothing else in it but visual separators (RFC 3966, 3).
fn digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|sign| !matches!(sign, '-' | '.' | '(' | ')')).collect();
    let bare = digits.strip_prefix('+').unwrap_or(&digits);
    (!bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit())).then_some(digits)
}

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
    fn a_number_is_read_as_providers_write_it() {
        for (uri, digits, number) in [
            ("sip:+46855512345@x", "+46855512345", "+46855512345"),
            ("sip:+46-8-555-12345@x", "+46855512345", "+46855512345"),
            ("sip:+46(8).555.12345@x;user=phone", "+46855512345", "+46855512345"),
            ("sip:%2B46855512345@x", "+46855512345", "+46855512345"),
            ("sip:+46855512345;npdi;rn=+46708@x", "+46855512345", "+46855512345"),
            ("sip:+46855512345;ext=9:secret@x", "+46855512345", "+46855512345"),
            ("sip:+46855512345;phone-context=+1@x", "+46855512345", "+46855512345"),
            ("sip:855512345;phone-context=+46@x", "855512345", "+46855512345"),
            ("sip:8-555-12345;npdi;Phone-Context=%2B4-6@x", "855512345", "+46855512345"),
            ("sip:855512345;phone-context=example.com@x", "855512345", "855512345"),
            ("sip:855512345;phone-context=46@x", "855512345", "855512345"),
            ("sip:1-1-2@x", "112", "112"),
            ("tel:+46-8-555-12345", "+46855512345", "+46855512345"),
            ("TEL:112;phone-context=+46", "112", "+46112"),
            ("tel:855512345;phone-context=+46;npdi", "855512345", "+46855512345"),
        ] {
            let parsed = Uri::parse(uri).expect(uri);
            assert_eq!((digits_in(&parsed), number_in(&parsed)), (Some(digits.to_owned()), Some(number.to_owned())), "{uri}");
        }
        for uri in [
            "sip:alice@x",
            "sip:x",
            "sip:-@x",
            "sip:+@x",
            "sip:4+6@x",
            "sip:++46@x",
            "sip:;npdi@x",
            "sip:%2046@x",
            "sip:+46,1@x",
            "sip:*31*+46@x",
            "sip:1;=@x",
            "sip:%D9%A1%D9%A1@x",
            "mailto:112",
            "tel:1-800-FLOWERS",
        ] {
            assert_eq!(number_in(&Uri::parse(uri).expect(uri)), None, "{uri}");
        }
    }

    #[test]
    fn a_short_number_is_found_in_every_spelling() {
        let numbers = ["112", "*100#"].map(String::from);
        for (uri, number) in [
            ("sip:112@x", Some("112")),
            ("sip:1%312@x", Some("112")),
            ("sip:(1)1-2;phone-context=+46@x", Some("112")),
            ("tel:1.1.2;phone-context=example.com", Some("112")),
            ("sip:*100%23@x", Some("*100#")),
            ("sip:+112@x", None),
            ("sip:1123@x", None),
            ("sip:112a@x", None),
        ] {
            assert_eq!(one_of(&numbers, &Uri::parse(uri).expect(uri)), number, "{uri}");
        }
    }

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
