//! A million damaged messages: nothing panics, no limit is exceeded, and each response is a valid message.

use offhook_sip::sdp;
use offhook_sip::{
    Abilities, Challenge, Credentials, MAX_FIELDS, Message, Method, Name, NameAddr, StatusCode, Uri, Via, Writer, parse, reply,
    strongest, unquote,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use offhook_testing::Numbers;
use offhook_testing::corpora;

const COUNT: usize = if cfg!(target_arch = "wasm32") { 20_000 } else { 1_000_000 };

#[test]
fn no_damage_makes_anything_panic() {
    let seeds = seeds();
    let mut numbers = Numbers(0x0ff4_00c0_ffee);
    let (mut parsed, mut passed) = (0, 0);
    let mut bytes = Vec::new();
    for round in 0..COUNT {
        bytes.clear();
        bytes.extend_from_slice(&seeds[round % seeds.len()]);
        for _ in 0..=numbers.below(4) {
            damage(&mut bytes, &seeds, &mut numbers);
        }
        if let Ok(message) = parse(&bytes) {
            parsed += 1;
            passed += usize::from(read_all(&message, round));
        }
    }
    // If all damaged messages were accepted, or none, the test would prove nothing.
    assert!(parsed > COUNT / 4 && passed > COUNT / 20 && passed < parsed, "{parsed} parsed, {passed} passed of {COUNT}");
}

/// Parses what the message has: the basics in each round, everything else in each sixth. Returns whether the message is valid.
fn read_all(message: &Message<'_>, round: usize) -> bool {
    assert!(message.fields().len() <= MAX_FIELDS);
    for field in message.fields() {
        read_value(field.value, round);
        let _ = (message.all(field.name).count(), message.number(field.name));
    }
    match round % 6 {
        0 => read_body(message.text()),
        1 => drop((message.contact_is_star(), message.has_token(Name::Supported, "x"), message.get_other("x-y"))),
        2 => drop(strongest(message.values(Name::WwwAuthenticate))),
        3 => drop((message.check_uas(&CAN), message.description())),
        4 => drop((message.check_uac(), message.check_registrar(), message.target())),
        _ => drop(reply(message, StatusCode::OK, Some("t")).end()),
    }
    let fine = message.check().is_ok();
    if fine {
        assert!(message.via().is_ok() && message.from().is_ok() && message.to().is_ok());
        assert!(message.cseq().is_ok() && message.call_id().is_ok());
        assert_answerable(message);
    }
    fine
}

const CAN: Abilities<'static> =
    Abilities { methods: &[Method::Invite], extensions: &["path"], bodies: &["application/sdp"], ..Abilities::NONE };

fn read_value(value: &str, round: usize) {
    match round % 6 {
        0 => drop(NameAddr::parse(value).map(|address| (address.tag(), address.uri.user_text().len()))),
        1 => drop(Uri::parse(value)),
        2 => drop(Challenge::parse(value)),
        3 => drop(Credentials::parse(value).map(|credentials| credentials.count())),
        4 => drop(Via::parse(value).map(|via| via.params.iter().count())),
        _ => drop(unquote(value)),
    }
}

fn read_body(text: &str) {
    let _ = (sdp::check(text), sdp::ice_credentials(text), sdp::fingerprint(text), sdp::has_telephone_event(text));
    let found = sdp::candidates(text);
    let again = sdp::read_fragment(&sdp::fragment(text, &found, true));
    assert!(again.is_err() || again.is_ok_and(|fragment| fragment.end && fragment.candidates.len() <= 100));
}

/// A valid request gets a valid response with the same Via fields, and can be copied with all fields.
fn assert_answerable(message: &Message<'_>) {
    let text = if message.is_request() {
        reply(message, StatusCode::OK, Some("t")).end()
    } else {
        message.fields().iter().fold(Writer::response(StatusCode::OK, ""), |to, field| to.field(field.raw_name, field.value)).end()
    };
    let answer = parse(text.as_bytes()).expect("what we write can be read");
    if message.is_request() {
        assert_eq!(answer.check(), Ok(()), "{text:?}");
        assert_eq!(answer.via().map(|via| via.host), message.via().map(|via| via.host));
        assert!(answer.to().is_ok_and(|to| to.tag().is_some()), "{text:?}");
    } else {
        assert_eq!(answer.fields().len(), message.fields().len() + 1);
    }
}

/// Makes one change: replaces an octet or a word, removes or doubles a part, inserts a part of another message, or truncates.
fn damage(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], numbers: &mut Numbers) {
    const WORDS: [&[u8]; 24] = [
        b"\r\n",
        b"\r\n ",
        b"\n\n",
        b"\r\n\r\n",
        b"\"",
        b"\\",
        b"<",
        b">",
        b";",
        b",",
        b":",
        b"@",
        b"%00",
        b"%",
        b"[",
        b"]",
        b"*",
        b" ",
        b"=",
        b"4294967296",
        b"\0",
        b"\xff",
        b"\xc3\xa4",
        b"\r",
    ];
    let at = numbers.below(bytes.len());
    let end = bytes.len().min(at + numbers.below(24));
    match numbers.below(8) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        2 | 3 => drop(bytes.splice(at..at, WORDS[numbers.below(WORDS.len())].iter().copied())),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let piece = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, piece));
        }
        6 => {
            let other = &seeds[numbers.below(seeds.len())];
            let from = numbers.below(other.len());
            let piece = &other[from..other.len().min(from + 40)];
            drop(bytes.splice(at..end, piece.iter().copied()));
        }
        _ if numbers.below(8) == 0 => bytes.truncate(at),
        _ => bytes.rotate_left(usize::from(at > 0)),
    }
}

/// Small messages of every kind, and those of the RFCs where they are available.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = BUILT_IN.iter().map(|text| text.as_bytes().to_vec()).collect();
    for (directory, table) in [("rfc4475", "expected.tsv"), ("rfc5118", "expected.tsv"), ("rfc3665", "index.tsv")] {
        let table = format!("{directory}/{table}");
        let rows = corpora::find(&table).map(|_| corpora::table(&table)).unwrap_or_default();
        seeds.extend(rows.iter().map(|row| corpora::read(&format!("{directory}/{}", row[0])).to_vec()));
    }
    seeds.retain(|seed| seed.len() < 600);
    seeds
}

const BUILT_IN: [&str; 5] = [
    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
     To: <sip:a@example.com>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@b.invalid;transport=ws>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n\
     Authorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:example.com\", response=\"0\", algorithm=SHA-256, qop=auth, nc=00000001, cnonce=\"c\"\r\n\
     Supported: path, outbound\r\nContent-Length: 0\r\n\r\n",
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:a@example.com>;tag=2\r\n\
     Call-ID: c\r\nCSeq: 1 REGISTER\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n\
     WWW-Authenticate: Bearer realm=\"r\"\r\nContent-Length: 0\r\n\r\n",
    "INVITE sip:b%40c@example.com;transport=ws SIP/2.0\r\nv: SIP/2.0/WS a.invalid;branch=z9hG4bK2;rport\r\nf: \"A \\\" B\" <sip:a@example.com>;tag=1\r\n\
     t: sip:b@example.com\r\ni: c\r\nCSeq: 2 INVITE\r\nm: <sip:a@b.invalid>, \"x\" <sip:[::1]:5060>;q=0.5\r\nc: application/sdp\r\n\r\n\
     v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 AA\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n",
    "BYE sip:b@c.invalid SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK3,\r\n SIP/2.0/UDP 192.0.2.1:5061\r\nMax-Forwards: 70\r\n\
     From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: c\r\nCSeq: 3 BYE\r\nReason: SIP;cause=200;text=\"x\"\r\n\r\n",
    "OPTIONS tel:+461 SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK4\r\nFrom: A B <tel:+462>;tag=1\r\nTo: <urn:service:sos>\r\nCall-ID: c\r\n\
     CSeq: 4 OPTIONS\r\nContact: *\r\nAccept: */*\r\nl: 0\r\n\r\n",
];
