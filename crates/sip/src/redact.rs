//! Messages for logs, without secrets.

use super::header::{after, split_at, trim};
use crate::text::find;

/// Names of lines whose value is secret: credentials, TURN passwords, and ICE passwords in SDP.
const SECRET: [&str; 4] = ["Authorization", "Proxy-Authorization", "X-ICE-Server", "a=ice-pwd"];

/// Returns the message with `[redacted]` in place of every secret value.
#[must_use]
pub fn redacted(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut secret = false;
    let mut rest = message;
    while !rest.is_empty() {
        let end = find(rest, b'\n').map_or(rest.len(), |at| at + 1);
        let (line, next) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = next;
        // A folded line belongs to the one before it.
        if after(line, b' ').or(after(line, b'\t')).is_some() {
            if !secret {
                text.push_str(line);
            }
            continue;
        }
        let name = split_at(line, b':').0;
        secret = SECRET.iter().any(|known| trim(name).eq_ignore_ascii_case(known));
        if secret {
            text.push_str(name);
            text.push_str(": [redacted]\r\n");
        } else {
            text.push_str(line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn secrets_are_gone_and_the_rest_is_there() {
        let message = "REGISTER sip:x SIP/2.0\r\nauthorization : Bearer abc\r\n def\r\nTo: <sip:a@x>\r\n folded\r\n\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n";
        let expected = "REGISTER sip:x SIP/2.0\r\nauthorization : [redacted]\r\nTo: <sip:a@x>\r\n folded\r\n\r\na=ice-ufrag:u\r\na=ice-pwd: [redacted]\r\n";
        assert_eq!(redacted(message), expected);
    }
}
