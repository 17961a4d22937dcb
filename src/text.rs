//! Texts out of parts and numbers, without the formatting machinery: in the standard library, joining alone has a path for each length of
//! separator, and every page would pay for all of them.

/// The parts, one after the other.
#[must_use]
pub fn concat(parts: &[&str]) -> String {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        text.push_str(part);
    }
    text
}

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
