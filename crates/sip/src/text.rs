//! Numbers as text and text as numbers, and what is found in a text: what reading and writing messages is made of.

/// A number in decimal digits.
#[must_use]
pub fn digits(number: u32) -> String {
    let mut text = String::new();
    push_digits(&mut text, number);
    text
}

/// Appends a number in decimal digits.
pub fn push_digits(text: &mut String, number: u32) {
    if number >= 10 {
        push_digits(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// Decimal digits, and nothing but digits, as a number; `None` where it does not fit.
#[must_use]
pub fn number(digits: &str) -> Option<u32> {
    let mut number = if digits.is_empty() { None } else { Some(0_u32) };
    for digit in digits.bytes() {
        number = if digit.is_ascii_digit() { number?.checked_mul(10)?.checked_add(u32::from(digit - b'0')) } else { None };
    }
    number
}

/// Lower-case hexadecimal digits, two a byte.
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

/// Where the first `byte`, an ASCII character, stands. Written out, like its neighbours: this is what reading messages is made of, and the
/// searchers of the standard library, which look for any character, take three times as long.
#[must_use]
pub fn find(text: &str, byte: u8) -> Option<usize> {
    let at = seek(text.as_bytes(), 0, byte, 1);
    (at < text.len()).then_some(at)
}

/// The first octet from `at` on that is below `limit`, at most 128, once `flip` is XORed to it; eight octets a step.
#[inline(never)]
#[must_use]
pub fn seek(bytes: &[u8], mut at: usize, flip: u8, limit: u8) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word) ^ (EACH * u64::from(flip));
        // A subtraction sets the top bit of an octet that had none and is below the limit. What it borrows spoils only octets behind it.
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

/// Where `part` first stands. As [`find`]: what the standard library does is faster in books, and ten times the code.
#[must_use]
pub fn find_text(text: &str, part: &str) -> Option<usize> {
    text.as_bytes().windows(part.len()).position(|known| known == part.as_bytes())
}

/// What precedes the first `separator`, an ASCII character, and what follows it.
#[must_use]
pub fn cut_at(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = find(text, separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Cuts at the last `separator`, an ASCII character.
#[must_use]
pub fn cut_last(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.as_bytes().iter().rposition(|b| *b == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}
