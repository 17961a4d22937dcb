//! What is changed in the text of messages: the Via of our requests, and the source that the Via of received ones names.

use std::net::SocketAddr;

use offhook_sip::{Name, OwnedMessage, parse};

/// Returns the request with `via` as its topmost Via, in place of that of an earlier attempt.
pub(super) fn put_via(request: &str, via: &str) -> String {
    let (line, rest) = request.split_once("\r\n").unwrap_or((request, ""));
    let rest = match rest.split_once("\r\n") {
        Some((old, rest)) if old.starts_with("Via: ") => rest,
        _ => rest,
    };
    format!("{line}\r\nVia: {via}\r\n{rest}")
}

/// Returns the octets of a message, with `?` for each octet in its body that is no UTF-8: so its parts stay where Content-Length and boundaries say
/// that they are. A head that is no UTF-8 is malformed, and stays as it is.
pub(super) fn readable(mut bytes: Vec<u8>) -> Vec<u8> {
    if std::str::from_utf8(&bytes).is_ok() || parse(&bytes).is_err() {
        return bytes;
    }
    let mut at = 0;
    while let Err(error) = std::str::from_utf8(&bytes[at..]) {
        at += error.valid_up_to();
        bytes[at] = b'?';
    }
    bytes
}

/// Returns the text of a request, its topmost Via completed by the source (RFC 3261, 18.2.1; RFC 3581, 4): so responses find their way.
pub(super) fn note_source(request: &OwnedMessage, source: SocketAddr) -> String {
    let text = request.text();
    let Some(via) = request.get().all(Name::Via).next() else { return text.to_owned() };
    let mut noted = String::with_capacity(via.len() + 48);
    for (index, part) in via.split(';').enumerate() {
        let name = part.split('=').next().unwrap_or_default().trim();
        if index > 0 && name.eq_ignore_ascii_case("received") {
            continue;
        }
        if index > 0 {
            noted.push(';');
        }
        noted.push_str(part.trim_end());
        if index > 0 && name.eq_ignore_ascii_case("rport") && !part.contains('=') {
            noted.push_str(&format!("={}", source.port()));
        }
    }
    noted.push_str(&format!(";received={}", source.ip().to_canonical()));
    text.replacen(via, &noted, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_is_put_on_top_once() {
        let request = "BYE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n";
        let first = put_via(request, "SIP/2.0/UDP x;branch=1");
        assert_eq!(first, "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=1\r\nTo: <sip:a@b>\r\n\r\n");
        assert_eq!(put_via(&first, "SIP/2.0/TCP x;branch=2"), first.replace("UDP x;branch=1", "TCP x;branch=2"));
    }

    #[test]
    fn a_body_becomes_text_and_a_head_does_not() {
        let message = |head: &[u8], body: &[u8]| [b"INFO sip:x SIP/2.0\r\nSubject: ", head, b"\r\n\r\n", body].concat();
        assert_eq!(readable(message(b"a", b"Zo\xeb\xc3\xab\xe2\x82.\xff")), message(b"a", "Zo?ë??.?".as_bytes()));
        assert_eq!(readable(message(b"Zo\xeb", b"a")), message(b"Zo\xeb", b"a"));
    }

    #[test]
    fn a_source_is_noted() {
        let source: SocketAddr = "192.0.2.9:40000".parse().expect("an address");
        for (via, noted) in [
            ("SIP/2.0/UDP a:5060;rport;branch=z9hG4bK1", "SIP/2.0/UDP a:5060;rport=40000;branch=z9hG4bK1;received=192.0.2.9"),
            ("SIP/2.0/UDP a;branch=z9hG4bK1;received=10.0.0.1", "SIP/2.0/UDP a;branch=z9hG4bK1;received=192.0.2.9"),
            ("SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b;branch=2", "SIP/2.0/UDP a;branch=1;received=192.0.2.9, SIP/2.0/UDP b;branch=2"),
        ] {
            let text = format!("OPTIONS sip:x SIP/2.0\r\nVia: {via}\r\nTo: <sip:x>\r\n\r\n");
            let message = OwnedMessage::parse(text.clone()).expect("a message");
            assert_eq!(note_source(&message, source), text.replace(via, noted));
        }
    }
}
