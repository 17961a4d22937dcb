//! Limits, framing, and the grammar of each typed accessor.

use offhook_sip::text::{cut_at, number};
use offhook_sip::{MAX_FIELDS, MAX_LINE, MAX_MESSAGE, Name, NameAddr, ParseError, StatusCode, Uri, Via, parse};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const HEAD: &str = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\nFrom: <sip:c@d>;tag=1\r\n\
    To: <sip:a@b>\r\nCall-ID: i\r\nCSeq: 1 OPTIONS\r\n";

fn message(fields: &str) -> String {
    format!("{HEAD}{fields}\r\n")
}

#[test]
fn limits_are_kept_to_the_octet() {
    let with_fields = |count: usize| message(&"X: y\r\n".repeat(count - 5));
    assert_eq!(parse(with_fields(MAX_FIELDS).as_bytes()).unwrap().fields().len(), MAX_FIELDS);
    assert_eq!(parse(with_fields(MAX_FIELDS + 1).as_bytes()).unwrap_err(), ParseError::TooManyFields);
    let with_line = |length: usize| message(&format!("X: {}\r\n", "y".repeat(length - 3)));
    assert!(parse(with_line(MAX_LINE).as_bytes()).is_ok());
    assert_eq!(parse(with_line(MAX_LINE + 1).as_bytes()).unwrap_err(), ParseError::LineTooLong);
    let folded = message(&format!("X: y\r\n{}", " z\r\n".repeat(MAX_LINE / 4)));
    assert_eq!(parse(folded.as_bytes()).unwrap_err(), ParseError::LineTooLong);
    let long_start = format!("OPTIONS sip:{} SIP/2.0\r\n\r\n", "a".repeat(MAX_LINE));
    assert_eq!(parse(long_start.as_bytes()).unwrap_err(), ParseError::LineTooLong);
    let with_body = |length: usize| message("") + &"z".repeat(length - message("").len());
    assert!(parse(with_body(MAX_MESSAGE).as_bytes()).is_ok());
    assert_eq!(parse(with_body(MAX_MESSAGE + 1).as_bytes()).unwrap_err(), ParseError::MessageTooLong);
}

#[test]
fn what_is_no_message_is_told_from_a_bad_one() {
    for text in ["", "\r\n", "\r\n\r\n", "\n"] {
        assert_eq!(parse(text.as_bytes()).unwrap_err(), ParseError::Empty);
    }
    for text in ["GET / HTTP/1.1\r\n\r\n", "x", "SIP/2.0 99 No\r\n\r\n", "SIP/2.0 700 No\r\n\r\n", "SIP/2.0 +20 No\r\n\r\n"] {
        assert_eq!(parse(text.as_bytes()).unwrap_err(), ParseError::StartLine, "{text}");
    }
    assert_eq!(parse(b"\xff").unwrap_err(), ParseError::StartLine);
    assert_eq!(parse(b"OPTIONS sip:a SIP/2.0\r\nX: \xff\r\n\r\n").unwrap_err(), ParseError::NotUtf8);
    assert_eq!(parse(b"OPTIONS sip:a SIP/2.0\r\nX: y\r\n\r\n\xff\xff").unwrap().body, b"\xff\xff");
    assert!(parse(format!("\r\n\r\n{}", message("")).as_bytes()).is_ok_and(|message| message.check().is_ok()));
}

#[test]
fn bad_framing_is_answered_with_400() {
    for fields in
        ["l: 1\r\n", "l: -1\r\n", "l: +0\r\n", "l: 0x0\r\n", "l: \r\n", "l: 0\r\nContent-Length: 0\r\n", "l: 99999999999\r\n"]
    {
        let text = message(fields);
        assert_eq!(parse(text.as_bytes()).unwrap().check().unwrap_err().code, StatusCode::BAD_REQUEST, "{fields}");
    }
    for field in ["no colon\r\n", ": x\r\n", "a b: x\r\n", "X: a\rVia: b\r\n", "To: <sip:a@b>\r\n", "CSeq: 1 OPTIONS\r\n"] {
        let text = message(field);
        assert_eq!(parse(text.as_bytes()).unwrap().check().unwrap_err().code, StatusCode::BAD_REQUEST, "{field}");
    }
    assert_eq!(parse(HEAD.as_bytes()).unwrap().check().unwrap_err().code, StatusCode::BAD_REQUEST, "no blank line");
}

#[test]
fn lines_may_end_without_cr_and_names_may_be_compact() {
    let text = message("k: 100rel , TIMER\r\nSupported:path\r\nx: 1800;refresher=uac\r\n").replace("\r\n", "\n");
    let message = parse(text.as_bytes()).unwrap();
    assert_eq!(message.check(), Ok(()));
    assert!(message.all(Name::Supported).eq(["100rel", "TIMER", "path"]));
    assert!(message.has_token(Name::Supported, "timer") && !message.has_token(Name::Supported, "tim"));
    assert_eq!(message.number(Name::SessionExpires), Some(1800));
    assert_eq!(message.number(Name::Expires), None);
}

#[test]
fn lists_are_cut_at_their_own_commas_only() {
    let text = message(
        "m: \"a, \\\" b\" <sip:x@y;p=a,b>;q=1, <sip:z@y>,,sip:plain@y\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    );
    let message = parse(text.as_bytes()).unwrap();
    let displays: Vec<_> = message.contacts().map(|contact| contact.unwrap()).collect();
    assert_eq!(displays.len(), 3);
    assert_eq!((displays[0].display().as_ref(), displays[0].uri_text), ("a, \" b", "sip:x@y;p=a,b"));
    assert_eq!(displays[2].uri.user, Some("plain"));
    assert_eq!(message.all(Name::WwwAuthenticate).count(), 1);
    assert!(!message.contact_is_star());
}

#[test]
fn star_is_a_contact_of_register_only() {
    let register = message("Contact: *\r\nExpires: 0\r\n").replace("OPTIONS", "REGISTER");
    let parsed = parse(register.as_bytes()).unwrap();
    assert_eq!(parsed.check(), Ok(()));
    assert!(parsed.contact_is_star());
    assert_eq!(parsed.contacts().next().unwrap().unwrap().uri.scheme, "*");
    for text in [message("Contact: *\r\n"), register.replace("*", "*, <sip:a@b>")] {
        assert_eq!(parse(text.as_bytes()).unwrap().check().unwrap_err().code, StatusCode::BAD_REQUEST);
    }
}

#[test]
fn addresses_come_in_three_forms() {
    let read =
        |text| NameAddr::parse(text).map(|address| (address.display().into_owned(), address.uri_text, address.params.as_str()));
    assert_eq!(read("\"A\" <sip:a@b;x=1>;tag=2"), Ok(("A".into(), "sip:a@b;x=1", ";tag=2")));
    assert_eq!(read("A B<sip:a@b> ; tag = 2"), Ok(("A B".into(), "sip:a@b", "; tag = 2")));
    assert_eq!(read("sip:a@b;tag=2"), Ok((String::new(), "sip:a@b", ";tag=2")));
    assert_eq!(read("<tel:+46701;phone-context=x>"), Ok((String::new(), "tel:+46701;phone-context=x", "")));
    assert_eq!(NameAddr::parse("<sip:a@b>;x=\"y;z\";s=\"q\\\"\"").unwrap().params.get("x"), Some("y;z"));
    assert_eq!(NameAddr::parse("<sip:a@b>;s=\"q\\\"\"").unwrap().params.get("S"), Some("\"q\\\"\""));
    for bad in [
        "",
        "*",
        "<>",
        "a@b",
        "\"A <sip:a@b>",
        "A, B <sip:a@b>",
        "<sip:a@b",
        "<sip:a@b>tag=1",
        "<sip:a@b>;",
        "<sip:a@b>;;x",
        "<sip:a@b>;=x",
        "<sip:a@b>;x=\"",
        "< sip:a@b>",
        "sip:a@b?x=y",
        "sip:a@b, sip:c@d",
        "sip:a@b>",
        "<sip:a@b>;x=a b",
    ] {
        assert!(NameAddr::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn uris_are_taken_apart() {
    let uri = Uri::parse("sips:b%6Fb:secret@[2001:db8::1]:5061;transport=ws;lr?X=y").unwrap();
    assert_eq!((uri.scheme, uri.user, uri.host, uri.port), ("sips", Some("b%6Fb"), "[2001:db8::1]", Some(5061)));
    assert_eq!((uri.params.get("TRANSPORT"), uri.params.get("lr"), uri.headers), (Some("ws"), Some(""), "X=y"));
    assert_eq!(uri.user_text(), "bob");
    let tel = Uri::parse("tel:+46701;ext=1").unwrap();
    assert_eq!((tel.user, tel.host, tel.params.get("ext"), tel.is_sip()), (Some("+46701"), "", Some("1"), false));
    assert_eq!(Uri::parse("urn:service:sos").unwrap().host, "service:sos");
    for bad in [
        "",
        "sip",
        "sip:",
        ":a",
        "1sip:a",
        "sip:@b",
        "sip:a@",
        "sip:a@b:",
        "sip:a@b:99999",
        "sip:a@b:-1",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:%@b",
        "sip:%4@b",
        "sip:%zz@b",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a@[1:::2]",
        "sip:a@b;",
        "sip:a@b;;x",
        "sip:ä@b",
        "sip:a@b\r\n",
        "sip:a@b?x@y",
        "sip:a@b;x@y",
        "<sip:a@b>",
    ] {
        assert!(Uri::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn vias_may_have_blanks_anywhere() {
    let via = Via::parse("SIP / 2.0\t/ WSS  [::1] : 443 ;rport; branch = \"z9\"").unwrap();
    assert_eq!((via.transport, via.host, via.port, via.branch()), ("WSS", "[::1]", Some(443), Some("z9")));
    assert_eq!(via.params.get("rport"), Some(""));
    for bad in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 x",
        "SIP/3.0/UDP x",
        "HTTP/2.0/UDP x",
        "SIP/2.0/U?P x",
        "SIP/2.0/UDP x y",
        "SIP/2.0/UDP x:",
        "SIP/2.0/UDP ;branch=1",
        "SIP/2.0/UDP x;;",
    ] {
        assert!(Via::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn names_are_known_in_any_case_and_in_short() {
    for (text, name) in
        [("via", Name::Via), ("V", Name::Via), ("CALL-ID", Name::CallId), ("x", Name::SessionExpires), ("q", Name::Other)]
    {
        assert_eq!(Name::parse(text), name);
    }
    assert_eq!((Name::CSeq.as_str(), Name::Server.as_str(), Name::Other.as_str()), ("CSeq", "Server", ""));
    assert_eq!(Name::parse(""), Name::Other);
}

#[test]
fn an_empty_branch_is_refused() {
    for branch in [";branch", ";branch=", ";branch=z9hG4bK"] {
        let text = format!(
            "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/WS h{branch}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\n\
             CSeq: 1 BYE\r\n\r\n"
        );
        assert!(parse(text.as_bytes()).is_ok_and(|message| message.check().is_err()), "{branch}");
    }
}

#[test]
fn an_empty_tag_is_refused() {
    for tag in [";tag", ";tag="] {
        let text = format!(
            "BYE sip:b@h SIP/2.0\r\nVia: SIP/2.0/WS h;branch=z9hG4bK1\r\nFrom: <sip:a@h>{tag}\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\n\
             CSeq: 1 BYE\r\n\r\n"
        );
        assert!(parse(text.as_bytes()).is_ok_and(|message| message.check().is_err()), "{tag}");
    }
}

/// Searches look at several octets at once: the separator is found at every position, beside every octet that could be mistaken for
/// it, and beside characters outside ASCII.
#[test]
fn a_separator_is_found_wherever_it_stands() {
    for separator in [b':', b';', b'%', b' '] {
        let neighbours = [separator - 1, separator + 1, 1, 0x7f].map(char::from);
        for fill in neighbours.into_iter().chain(['ÿ', '\u{80}', '語']) {
            for length in 0..20 {
                let text = fill.to_string().repeat(length);
                assert_eq!(cut_at(&text, separator), None, "{text}");
                for at in 0..=length {
                    let head = fill.to_string().repeat(at);
                    let whole = format!("{head}{}{text}{0}", char::from(separator));
                    assert_eq!(cut_at(&whole, separator), whole.split_once(char::from(separator)), "{whole}");
                }
            }
        }
    }
}

#[test]
fn lines_end_at_their_line_end_and_at_nothing_else() {
    for length in 0..20 {
        for odd in ["\u{e}", "\u{7f}", "\u{80}", "ÿ", "\t", "\u{1}"] {
            let value = format!("a{}{odd}{}", "b".repeat(length), "c".repeat(20 - length));
            let text = format!("OPTIONS sip:h SIP/2.0\r\nSubject: {value}\r\nX: 1\n\r\n");
            let message = parse(text.as_bytes()).unwrap();
            assert_eq!(message.get_other("Subject"), Some(&*value), "{value:?}");
            assert_eq!(message.get_other("X"), Some("1"));
        }
    }
}

#[test]
fn a_number_is_digits_that_fit() {
    for (text, value) in [("0", Some(0)), ("007", Some(7)), ("4294967295", Some(u32::MAX)), ("4294967296", None)] {
        assert_eq!(number(text), value, "{text}");
    }
    for text in ["", " 1", "1 ", "+1", "-1", "1a", "٣", "99999999999999999999"] {
        assert_eq!(number(text), None, "{text}");
    }
}
