//! The flows of RFC 3665 and the IPv6 messages of RFC 5118: parsed, written and parsed again.

use offhook_sip::{Message, Name, Start, StatusCode, Writer, parse};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use offhook_testing::corpora;

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn the_flows_of_rfc_3665_survive_reading_and_writing() {
    let rows = corpora::table("rfc3665/index.tsv");
    assert_eq!(rows.len(), 181);
    for row in rows {
        let message = parse(corpora::read(&format!("rfc3665/{}", row[0]))).unwrap_or_else(|error| panic!("{}: {error}", row[0]));
        assert_same(&row[0], &message);
        // Some flows are printed with a wrong Content-Length.
        let (declared, there) = (row[5].parse::<usize>().unwrap_or(0), row[6].parse::<usize>().unwrap_or(0));
        // One is printed with a line that should continue the line before.
        let whole = declared <= there && row[0] != "3.10-F4.sip";
        assert_eq!(message.check().is_ok(), whole, "{}: {:?}", row[0], message.check());
    }
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn the_ipv6_messages_of_rfc_5118_are_told_apart() {
    let rows = corpora::table("rfc5118/expected.tsv");
    assert_eq!(rows.len(), 12);
    for row in rows {
        let exact = row[0].replace(".sip", ".exact-length.sip");
        let twin = row[6] != row[7];
        for file in [Some(&row[0]), Some(&exact).filter(|_| twin)].into_iter().flatten() {
            let message = parse(corpora::read(&format!("rfc5118/{file}"))).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_same(file, &message);
            let refused = message.check().err().map(|no| no.code);
            assert_eq!(refused, (row[3] == "invalid").then_some(StatusCode::BAD_REQUEST), "{file}");
        }
    }
}

#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
#[test]
fn an_ipv6_port_stands_behind_the_brackets() {
    let port_of = |file: &str| {
        let message = parse(corpora::read(&format!("rfc5118/{file}"))).ok()?;
        let uri = message.target()?.ok()?;
        Some((uri.host.to_owned(), uri.port))
    };
    assert_eq!(port_of("port-ambiguous.sip"), Some(("[2001:db8::10:5070]".into(), None)));
    assert_eq!(port_of("port-unambiguous.sip"), Some(("[2001:db8::10]".into(), Some(5070))));
}

/// Writes a message and parses the result: all fields are the same, except that folding becomes blanks.
fn assert_same(file: &str, message: &Message<'_>) {
    let mut writer = match message.start {
        Start::Request { method, uri } => Writer::request(method, uri),
        Start::Response { code, reason } => Writer::response(code, reason),
    };
    for field in message.fields().iter().filter(|field| !written_with_body(field.name)) {
        writer = writer.field(field.raw_name, field.value);
    }
    let text = match message.get(Name::ContentType) {
        Some(content_type) => writer.body(content_type, message.text()),
        None => writer.end(),
    };
    let again = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!(again.start, message.start, "{file}");
    assert_eq!(again.body, message.body, "{file}");
    assert_eq!(fields(&again), fields(message), "{file}");
    assert_eq!(again.get(Name::ContentType), message.get(Name::ContentType), "{file}");
    assert_eq!(again.number(Name::ContentLength), Some(message.body.len() as u32), "{file}");
}

fn written_with_body(name: Name) -> bool {
    matches!(name, Name::ContentType | Name::ContentLength)
}

fn fields<'a>(message: &Message<'a>) -> Vec<(Name, &'a str, String)> {
    let kept = message.fields().iter().filter(|field| !written_with_body(field.name));
    kept.map(|field| (field.name, field.raw_name, field.value.replace(['\r', '\n'], " "))).collect()
}
