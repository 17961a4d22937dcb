//! SIP and SDP text: one value from bytes. What can be read can be written and read again, and says the same.

use offhook_sip::sdp;
use offhook_sip::{
    Abilities, Algorithm, Challenge, Credentials, MAX_FIELDS, Message, Method, Name, NameAddr, StatusCode, Uri, Via, Writer,
    escape_user, ha1, parse, quote, reply, strongest, unquote,
};

const CAN: Abilities<'static> = Abilities {
    methods: &[Method::Invite, Method::Bye],
    extensions: &["path", "100rel"],
    bodies: &["application/sdp"],
    ..Abilities::NONE
};

/// One SIP message, every reader of it, and the answer to it.
pub fn message(data: &[u8]) {
    let Ok(message) = parse(data) else { return };
    assert!(message.fields().len() <= MAX_FIELDS);
    for field in message.fields() {
        let _ = (message.all(field.name).count(), message.number(field.name), message.has_token(field.name, "x"));
    }
    let _ = (message.contact_is_star(), message.get_other("x-y"), message.description(), message.accepts("a/b"));
    let _ = (message.check_uas(&CAN), message.check_uac(), message.check_registrar(), message.target());
    let _ = (strongest(message.values(Name::WwwAuthenticate)), offhook_sip::redacted(message.source()));
    message.contacts().for_each(drop);
    if message.check().is_ok() {
        answerable(&message);
    }
}

/// A message that passed the check has all that an answer needs, and the answer is fine and goes the same way.
fn answerable(message: &Message<'_>) {
    assert!(message.via().is_ok() && message.from().is_ok() && message.to().is_ok());
    assert!(message.cseq().is_ok() && message.call_id().is_ok());
    // What is written has a Content-Length, too.
    if message.fields().len() == MAX_FIELDS {
        return;
    }
    if message.is_request() {
        let text = reply(message, StatusCode::OK, Some("t")).end();
        let answer = parse(text.as_bytes()).expect("what we write can be read");
        assert_eq!(answer.check(), Ok(()), "{text:?}");
        assert_eq!(answer.via().map(|via| via.host), message.via().map(|via| via.host));
        assert_eq!(answer.call_id(), message.call_id());
        assert!(answer.to().is_ok_and(|to| to.tag().is_some()), "{text:?}");
    } else {
        let copy = message
            .fields()
            .iter()
            .fold(Writer::response(StatusCode::OK, ""), |to, field| to.field(field.raw_name, field.value))
            .end();
        assert_eq!(parse(copy.as_bytes()).expect("what we write can be read").fields().len(), message.fields().len() + 1);
    }
}

/// A URI, and a user name that is written into one.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = Uri::parse(text) {
        let _ = (uri.user_text(), uri.is_sip(), uri.params.iter().count(), uri.params.get("gr"));
        assert!(uri.host.len() <= text.len());
    }
    if text.is_empty() {
        return;
    }
    let written = format!("sip:{}@h.example", escape_user(text));
    let again = Uri::parse(&written).expect("an escaped user can be read");
    assert_eq!(again.user_text(), text);
    assert_eq!(again.host, "h.example");
}

/// Each structured header field; the first octet chooses which.
pub fn header(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match kind % 6 {
        0 => drop(NameAddr::parse(text).map(|address| (address.tag(), address.uri.user_text().len(), address.display().len()))),
        1 => drop(Via::parse(text).map(|via| (via.branch(), via.params.iter().count()))),
        2 => assert_eq!(unquote(&quote(text)), text.replace(['\r', '\n', '\0'], " ")),
        3 => listed(text),
        4 => drop(Credentials::parse(text).map(|credentials| (credentials.count(), credentials.matches("0", Method::Invite)))),
        _ => field(text),
    }
}

/// The fields that are read through their message: numbers, lists, the ones that there may be only one of.
fn listed(text: &str) {
    for name in ["CSeq", "Contact", "Max-Forwards", "Session-Expires", "RAck", "Retry-After", "Require", "Replaces", "Call-ID"] {
        let written = Writer::response(StatusCode::OK, "OK").field(name, text).end();
        let Ok(message) = parse(written.as_bytes()) else { continue };
        let _ = (message.cseq(), message.call_id(), message.contact_is_star());
        message.contacts().for_each(drop);
        for field in message.fields() {
            let _ = (message.number(field.name), message.all(field.name).count(), message.has_token(field.name, "timer"));
        }
    }
}

/// A value never becomes two fields.
fn field(text: &str) {
    let written = Writer::response(StatusCode::OK, text).field("X-Value", text).field("Supported", text).end();
    let message = parse(written.as_bytes());
    if let Ok(message) = message {
        assert_eq!(message.fields().len(), 3, "{written:?}");
        let _ = (message.all(Name::Supported).count(), message.has_token(Name::Supported, "path"));
    }
}

/// A challenge of a server, its answer, and what a server makes of that.
pub fn challenge(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(challenge) = Challenge::parse(text) else { return };
    let hash = ha1(challenge.algorithm, "alice", &challenge.realm, "secret");
    let answer = challenge.answer("alice", &hash, Method::Register, "sip:h", "cnonce", 1);
    let credentials = Credentials::parse(&answer).expect("our own answer can be read");
    // Session algorithms mix the nonces into the hash, which only their owner can do.
    if matches!(challenge.algorithm, Algorithm::Md5 | Algorithm::Sha256) {
        assert!(credentials.matches(&hash, Method::Register), "{text:?} {answer:?}");
    }
    assert!(!credentials.matches(&hash, Method::Invite));
    assert!(Challenge::parse(&challenge.to_value()).is_ok());
}

/// A description of the peer.
pub fn sdp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = (sdp::check(text), sdp::ice_credentials(text), sdp::fingerprint(text), sdp::has_telephone_event(text));
    let _ = (sdp::trickles(text), sdp::has_video(text), sdp::has_candidates(text));
    let _ = sdp::taking_the_lead(text);
    let found = sdp::candidates(text);
    if let Ok(again) = sdp::read_fragment(&sdp::fragment(text, &found, true)) {
        assert!(again.end && again.candidates.len() <= 100);
    }
}

/// A fragment that brings candidates (RFC 8840).
pub fn fragment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(first) = sdp::read_fragment(text) else { return };
    assert!(first.candidates.len() <= 100);
}
