//! Numbers as text and text as numbers, and what is found in a text: what reading and writing messages is made of.

/// Returns the decimal digits of a number.
#[must_use]
pub fn digits(number: u32) -> String {
    let mut text = String::new();
    push_digits(&mut text, number);
    text
}

/// Appends the decimal digits of a number.
pub fn push_digits(text: &mut String, number: u32) {
    if number >= 10 {
        push_digits(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// Parses a number of decimal digits and nothing else; `None` where it does not fit in 32 bits.
#[must_use]
pub fn number(digits: &str) -> Option<u32> {
    let mut number = if digits.is_empty() { None } else { Some(0_u32) };
    for digit in digits.bytes() {
        number = if digit.is_ascii_digit() { number?.checked_mul(10)?.checked_add(u32::from(digit - b'0')) } else { None };
    }
    number
}

/// Returns the bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for value in [byte >> 4, byte & 15] {
            text.push(char::from(if value < 10 { b'0' + value } else { b'a' - 10 + value }));
        }
    }
    text
}

/// Returns the index of the first `byte`, an ASCII character. Parsing consists mostly of such searches, and those of the standard library, which
/// look for any character, take three times as long.
#[must_use]
pub fn find(text: &str, byte: u8) -> Option<usize> {
    let at = seek(text.as_bytes(), 0, byte, 1);
    (at < text.len()).then_some(at)
}

/// Returns the index of the first octet from `at` on that is below `limit` (at most 128) after an XOR with `flip`, or the length where there is
/// none. Looks at eight octets at once.
#[must_use]
pub fn seek(bytes: &[u8], mut at: usize, flip: u8, limit: u8) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word) ^ (EACH * u64::from(flip));
        // The subtraction sets the top bit of an octet that is below the limit and did not have it. A borrow affects only later octets.
        let below = word.wrapping_sub(EACH * u64::from(limit)) & !word & (EACH << 7);
        if below != 0 {
            return at + below.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|b| b ^ flip >= limit) {
        at += 1;
    }
    at
}

/// Returns the index of the first `part`. The search of the standard library is ten times the code.
#[must_use]
pub fn find_text(text: &str, part: &str) -> Option<usize> {
    text.as_bytes().windows(part.len()).position(|known| known == part.as_bytes())
}

/// Returns the text before and after the first `separator`, an ASCII character.
#[must_use]
pub fn cut_at(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = find(text, separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Returns the text before and after the last `separator`, an ASCII character.
#[must_use]
pub fn cut_last(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.as_bytes().iter().rposition(|b| *b == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}
