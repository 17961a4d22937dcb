//! What dialogs make of the messages of a peer (RFC 3261, 12).

use offhook_sip::{Method, StatusCode, parse, reply};
use offhook_ua::dialog::Dialog;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const INVITE: &str = "INVITE sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
    From: <sip:alice@a.test>;tag=1\r\nTo: \"Bob\" <sip:bob@b.test>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
    Contact: <sip:alice@a.test>\r\nContent-Length: 0\r\n\r\n";

/// The response to the INVITE with this code, and with a Contact where `contact` is one.
fn answer(code: StatusCode, contact: &str) -> String {
    let answer = reply(&parse(INVITE.as_bytes()).unwrap(), code, Some("2"));
    if contact.is_empty() { answer.end() } else { answer.field("Contact", contact).end() }
}

fn uri(request: &str) -> String {
    parse(request.as_bytes()).unwrap().uri().unwrap().to_owned()
}

#[test]
fn without_a_contact_requests_go_to_the_uri_of_the_remote_party() {
    let ringing = answer(StatusCode::RINGING, "");
    let mut dialog = Dialog::of_caller(&parse(ringing.as_bytes()).unwrap()).unwrap();
    assert_eq!(uri(&dialog.request(Method::Prack).end()), "sip:bob@b.test");
    let ok = answer(StatusCode::OK, "");
    dialog.refresh(&parse(ok.as_bytes()).unwrap());
    assert_eq!(uri(&dialog.acknowledge(7).end()), "sip:bob@b.test");
    let ok = answer(StatusCode::OK, "<sip:bob@192.0.2.7>");
    dialog.refresh(&parse(ok.as_bytes()).unwrap());
    assert_eq!(uri(&dialog.request(Method::Bye).end()), "sip:bob@192.0.2.7");
}

#[test]
fn a_contact_once_known_stays_the_target() {
    let ringing = answer(StatusCode::RINGING, "<sip:bob@192.0.2.7>");
    let mut dialog = Dialog::of_caller(&parse(ringing.as_bytes()).unwrap()).unwrap();
    let ok = answer(StatusCode::OK, "");
    dialog.refresh(&parse(ok.as_bytes()).unwrap());
    assert_eq!(uri(&dialog.acknowledge(7).end()), "sip:bob@192.0.2.7");
}
