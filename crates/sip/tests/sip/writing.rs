//! What is written is parsed to the same values, and no value injects a line.

use offhook_sip::{Method, Name, NameAddr, ParseError, StatusCode, Uri, Writer, escape_user, parse, quote, reply};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use offhook_testing::Numbers;

#[test]
fn no_text_injects_a_line() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let texts: Vec<String> = (0..10).map(|_| text(&mut numbers)).collect();
        let request = numbers.below(2) == 0;
        let mut writer = if request {
            Writer::request(Method::from(&*texts[0]), &texts[1])
        } else {
            Writer::response(StatusCode::new((100 + numbers.draw() % 600) as u16).unwrap(), &texts[0])
        };
        let count = numbers.below(4);
        for pair in texts[2..].chunks(2).take(count) {
            writer = writer.field(&pair[0], &pair[1]);
        }
        let written = writer.body(&texts[8], "v=0\r\n\r\nX: y\r\n");
        let message = parse(written.as_bytes()).unwrap_or_else(|error| panic!("{error}: {written:?}"));
        assert_eq!(message.fields().len(), count + 2, "{written:?}");
        assert_eq!(message.is_request(), request);
        for (pair, field) in texts[2..].chunks(2).zip(&message.fields()[..count]) {
            let blank = pair[1].replace(['\r', '\n', '\0'], " ");
            assert_eq!(field.value, blank.trim_matches([' ', '\t']), "{written:?}");
        }
    }
}

/// Returns up to twelve characters, most of them critical ones.
fn text(numbers: &mut Numbers) -> String {
    const ODD: [char; 24] = [
        '\r',
        '\n',
        '\0',
        ' ',
        '\t',
        ':',
        ';',
        ',',
        '"',
        '\\',
        '<',
        '>',
        '@',
        '%',
        '=',
        '\u{85}',
        '\u{2028}',
        '\u{b}',
        '\u{c}',
        '\u{feff}',
        '\u{10ffff}',
        'ä',
        '\u{7f}',
        '/',
    ];
    let length = numbers.below(13);
    let random = |numbers: &mut Numbers| match numbers.below(4) {
        0 | 1 => ODD[numbers.below(ODD.len())],
        2 => char::from(b'a' + numbers.below(26) as u8),
        _ => char::from_u32((numbers.draw() % 0x11_0000) as u32).unwrap_or('\n'),
    };
    (0..length).map(|_| random(numbers)).collect()
}

#[test]
fn an_injection_stays_a_value() {
    let text = Writer::request(Method::Invite, "sip:a@b\r\nX-Evil: 1").field("X-A\r\nX-Evil", "1\r\nX-Evil: 2\r\n\r\nbody\0").end();
    let message = parse(text.as_bytes()).unwrap();
    assert_eq!(message.get_other("X-Evil"), None);
    assert_eq!(message.fields().len(), 2);
    assert_eq!(message.fields()[0].raw_name, "X-A__X-Evil");
    assert_eq!(message.fields()[0].value, "1  X-Evil: 2    body");
    assert!(message.body.is_empty());
}

#[test]
fn a_request_being_written_says_its_method() {
    assert_eq!(Writer::request(Method::Bye, "sip:a@b").method(), Method::Bye);
    assert_eq!(Writer::request(Method::Other("PUBLISH"), "sip:a@b").method(), Method::from("PUBLISH"));
}

#[test]
fn a_request_line_has_a_request_uri_in_any_case() {
    for (uri, written) in [("", "sip:unknown.invalid"), (" ", "%20"), ("sip:a@b", "sip:a@b")] {
        let text = Writer::request(Method::Bye, uri).end();
        assert_eq!(parse(text.as_bytes()).unwrap().uri(), Some(written));
    }
    assert!(Uri::parse("sip:unknown.invalid").is_ok_and(|uri| uri.is_sip()));
}

#[test]
fn a_quoted_name_comes_back() {
    for name in ["", "Bob", "J \"the\\man\" R", "Jäsøn, <sip:x@y>;tag=1", "\\", "\"", "a\u{2028}b"] {
        let mut value = quote(name);
        value.push_str(" <sip:a@b>;tag=1");
        let address = NameAddr::parse(&value).unwrap();
        assert_eq!((address.display().as_ref(), address.tag()), (name, Some("1")));
    }
    assert_eq!(quote("a\r\nb\0"), "\"a  b \"");
}

#[test]
fn any_user_survives_a_uri() {
    for user in ["bob", "+46701234567", "a b", "a@b:c", "jäsøn", "100%", "\0", "<x>\"", "a;b?c", "\r\nVia: x", "*31#"] {
        let text = format!("sip:{}@example.com", escape_user(user));
        let uri = Uri::parse(&text).unwrap();
        assert_eq!(uri.user_text(), user);
        assert_eq!(uri.host, "example.com");
    }
    assert_eq!(escape_user("a@ä"), "a%40%C3%A4");
}

const INVITE: &str = "INVITE sip:bob@example.com SIP/2.0\r\n\
    v: SIP/2.0/WS a.invalid;branch=z9hG4bK1, SIP/2.0/UDP b.example.com;branch=z9hG4bK2\r\n\
    Via: SIP/2.0/TCP [2001:db8::1]:5070;branch=z9hG4bK3\r\n\
    Record-Route: <sip:p1.example.com;lr>\r\nRecord-Route: <sip:p2.example.com;lr>\r\n\
    f: \"A\" <sip:alice@example.com>;tag=1\r\nt: sip:bob@example.com\r\ni: c1\r\nCSeq: 7 INVITE\r\nX-Kept: no\r\nl: 0\r\n\r\n";

#[test]
fn a_reply_carries_what_the_request_is_known_by() {
    let request = parse(INVITE.as_bytes()).unwrap();
    let text = reply(&request, StatusCode::RINGING, Some("t1")).field("Contact", "<sip:bob@c.invalid>").end();
    let response = parse(text.as_bytes()).unwrap();
    assert_eq!(response.check(), Ok(()));
    assert_eq!((response.code(), response.to().unwrap().tag()), (Some(StatusCode::RINGING), Some("t1")));
    assert!(response.all(Name::Via).eq(request.all(Name::Via)));
    assert!(response.all(Name::RecordRoute).eq(request.all(Name::RecordRoute)));
    assert_eq!(response.call_id(), request.call_id());
    assert_eq!(response.cseq(), request.cseq());
    assert_eq!(response.get_other("X-Kept"), None);
    for (code, routes) in [(100, 0), (200, 2), (486, 0)] {
        let text = reply(&request, StatusCode::new(code).unwrap(), None).end();
        let response = parse(text.as_bytes()).unwrap();
        assert_eq!((response.all(Name::RecordRoute).count(), response.to().unwrap().tag()), (routes, None), "{code}");
    }
    let tagged = INVITE.replace("t: sip:bob@example.com", "t: <sip:bob@example.com>;tag=old");
    let text = reply(&parse(tagged.as_bytes()).unwrap(), StatusCode::CALL_DOES_NOT_EXIST, Some("new")).end();
    assert_eq!(parse(text.as_bytes()).unwrap().to().unwrap().tag(), Some("old"));
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(ParseError::Missing(Name::CallId).to_string(), "missing Call-ID");
    assert_eq!(ParseError::StartLine.to_string(), "first line is not SIP");
}

#[test]
fn the_refusal_of_a_doubled_field_can_be_read() {
    let text = "INFO sip:b@h SIP/2.0\r\nVia: SIP/2.0/WS h;branch=z9hG4bK1\r\nVia: SIP/2.0/WS g;branch=z9hG4bK0\r\nFrom: <sip:a@h>;tag=1\r\n\
                To: <sip:b@h>;tag=2\r\nt: <sip:c@h>\r\nCall-ID: c\r\nCSeq: 1 INFO\r\n\r\n";
    let request = parse(text.as_bytes()).unwrap();
    let answer = reply(&request, StatusCode::BAD_REQUEST, Some("x")).end();
    let answer = parse(answer.as_bytes()).unwrap();
    assert_eq!(answer.check(), Ok(()));
    assert_eq!((answer.values(Name::Via).count(), answer.to().unwrap().tag()), (2, Some("2")));
}
