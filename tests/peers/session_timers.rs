//! Session timers (RFC 4028) with peers and servers that do exactly what a test says.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use offhook_sip::Writer;

use super::*;

/// A field of our last request or answer.
fn said(text: &str, name: &str) -> String {
    parse(text.as_bytes()).unwrap().get_other(name).unwrap_or_default().to_owned()
}

fn timer_of(text: &str) -> [String; 3] {
    ["session-expires", "min-se", "require"].map(|name| said(text, name))
}

/// Returns our 200 to an INVITE with these fields, of a call that was answered and acknowledged.
fn answered(more: &str) -> (Page, String) {
    let mut page = Page::signed_in();
    page.ring(&format!("{more}{TYPE}"), &sdp(2));
    page.client.answer(page.now, CallId(1), true).unwrap();
    page.drain();
    assert_eq!(page.code(), 200);
    let ok = page.sent.last().unwrap().clone();
    let to = parse(ok.as_bytes()).unwrap().get(Name::To).unwrap().to_owned();
    page.input(Input::Received(format!(
        "ACK sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bKack\r\nMax-Forwards: 70\r\n\
         From: \"Bob\" <sip:bob@s.test>;tag=peer\r\nTo: {to}\r\nCall-ID: in\r\nCSeq: 5 ACK\r\nContent-Length: 0\r\n\r\n"
    )));
    connect(&mut page);
    (page, ok)
}

fn connect(page: &mut Page) {
    page.input(Input::IceState { peer: page.peer.unwrap(), state: IceState::Connected });
}

/// A proxy has put Session-Expires into the INVITE of a caller that does not support it: only we can refresh (RFC 4028, 9).
#[test]
fn a_caller_without_session_timers_is_refreshed() {
    let (mut page, ok) = answered("Allow: UPDATE\r\nSession-Expires: 90\r\n");
    assert_eq!(timer_of(&ok), ["90;refresher=uas", "", ""]);
    for _ in 0..4 {
        let before = page.count("UPDATE");
        page.wait(45_000);
        assert_eq!(page.count("UPDATE"), before + 1);
        page.answer("UPDATE", 200, |answer| answer.field("Session-Expires", "90;refresher=uac"));
    }
    assert_eq!(page.state(CallId(1)), State::Established);
}

#[test]
fn a_caller_with_session_timers_is_told_who_refreshes() {
    for (asked, refresher, ours) in [("90", "uac", false), ("90;refresher=uac", "uac", false), ("90;refresher=uas", "uas", true)] {
        let (mut page, ok) = answered(&format!("Allow: UPDATE\r\nSupported: timer\r\nSession-Expires: {asked}\r\n"));
        assert_eq!(timer_of(&ok), [&format!("90;refresher={refresher}"), "", "timer"], "{asked}");
        page.wait(45_000);
        assert_eq!(page.count("UPDATE"), usize::from(ours), "{asked}");
    }
}

/// RFC 4028, 7.4.
#[test]
fn a_longer_interval_is_in_all_later_requests() {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer("INVITE", 422, |answer| answer.field("Min-SE", "2000"));
    assert_eq!(timer_of(&page.last("INVITE")), ["2000", "2000", ""]);
    let grant = |answer: offhook_sip::Writer| answer.field("Allow", "UPDATE").field("Session-Expires", "400;refresher=uac");
    page.answer_as("INVITE", 200, "peer", grant, &sdp(2));
    connect(&mut page);
    page.wait(200_000);
    assert_eq!(timer_of(&page.last("UPDATE")), ["2000;refresher=uac", "2000", ""]);
    // A proxy demands an even longer interval.
    page.answer("UPDATE", 422, |answer| answer.field("Min-SE", "3000"));
    assert_eq!(page.count("UPDATE"), 2);
    assert_eq!(timer_of(&page.last("UPDATE")), ["3000;refresher=uac", "3000", ""]);
    page.answer("UPDATE", 200, |answer| answer.field("Session-Expires", "400;refresher=uac"));
    page.wait(199_000);
    assert_eq!((page.count("UPDATE"), page.state(id)), (2, State::Established));
    page.wait(1_000);
    assert_eq!(page.count("UPDATE"), 3);
}

#[test]
fn an_offer_that_is_rejected_for_its_interval_is_sent_again() {
    let mut page = Page::signed_in();
    page.call();
    page.answer_as("INVITE", 200, "peer", |answer| answer.field("Session-Expires", "90;refresher=uac"), &sdp(2));
    page.wait(45_000);
    assert_eq!(timer_of(&page.last("INVITE")), ["90;refresher=uac", "90", ""]);
    page.answer("INVITE", 422, |answer| answer.field("Min-SE", "400"));
    assert_eq!(page.count("INVITE"), 3);
    assert_eq!(timer_of(&page.last("INVITE")), ["400;refresher=uac", "400", ""]);
}

#[test]
fn too_short_a_session_is_rejected_in_a_dialog_too() {
    let (mut page, id) = established();
    page.ask("UPDATE", 2, "Session-Expires: 60\r\nSupported: timer\r\n", "");
    assert_eq!((page.code(), said(page.sent.last().unwrap(), "min-se")), (422, "90".into()));
    page.ask("UPDATE", 3, "Session-Expires: 60\r\n", "");
    assert_eq!((page.code(), said(page.sent.last().unwrap(), "session-expires")), (200, String::new()));
    assert_eq!(page.state(id), State::Established);
}

/// A hold without Session-Expires leaves the timer as it was: a peer that is gone after that is noticed.
#[test]
fn a_request_without_an_interval_keeps_the_one_that_was_agreed() {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer_as("INVITE", 200, "peer", |answer| answer.field("Session-Expires", "90;refresher=uas"), &sdp(2));
    page.ask("INVITE", 2, &format!("Supported: timer\r\n{TYPE}"), &sdp(2).replace("sendrecv", "sendonly"));
    assert_eq!(timer_of(page.sent.last().unwrap()), ["90;refresher=uac", "", "timer"]);
    page.ask("ACK", 2, "", "");
    connect(&mut page);
    page.wait(59_000);
    assert_eq!(page.state(id), State::Established);
    page.wait(2_000);
    assert_eq!(page.state(id), State::Ended);
}

/// A call whose session we refresh every 45 s; `grant` is what the 200 adds.
fn refreshing(grant: fn(Writer) -> Writer) -> (Page, CallId) {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer_as("INVITE", 200, "peer", grant, &sdp(2));
    connect(&mut page);
    (page, id)
}

fn without_update(answer: Writer) -> Writer {
    answer.field("Session-Expires", "90;refresher=uac")
}

fn with_update(answer: Writer) -> Writer {
    without_update(answer.field("Allow", "UPDATE"))
}

/// Without UPDATE.
#[test]
fn a_refresh_by_invite_that_is_rejected_once_is_sent_again() {
    for code in [408, 488, 491, 500, 503] {
        let (mut page, id) = refreshing(without_update);
        page.wait(45_000);
        assert_eq!(page.count("INVITE"), 2);
        page.answer("INVITE", code, |answer| answer);
        page.wait(2_000);
        assert_eq!(page.count("INVITE"), 2, "{code}");
        page.wait(2_010);
        assert_eq!(page.count("INVITE"), 3, "{code}");
        page.answer_as("INVITE", 200, "peer", without_update, &sdp(2));
        page.wait(44_900);
        assert_eq!((page.count("INVITE"), page.state(id)), (3, State::Established), "{code}");
    }
}

#[test]
fn a_refresh_by_invite_that_is_due_during_an_offer_comes_after_it() {
    let (mut page, id) = refreshing(without_update);
    page.wait(42_000);
    page.input(Input::IceState { peer: page.peer.unwrap(), state: IceState::Disconnected });
    page.wait(2_600);
    assert_eq!(page.count("INVITE"), 2, "an ICE restart");
    connect(&mut page);
    page.wait(3_000);
    page.answer("INVITE", 488, |answer| answer);
    assert_eq!(page.count("INVITE"), 2);
    page.wait(2_100);
    assert_eq!(page.count("INVITE"), 3);
    page.answer_as("INVITE", 200, "peer", without_update, &sdp(2));
    page.wait(44_000);
    assert_eq!(page.state(id), State::Established);
}

/// The refresh crossed a request of the peer, or a server failed: until the session ends it is sent again.
#[test]
fn a_refresh_that_is_rejected_for_now_is_sent_again() {
    for code in [491, 503] {
        let (mut page, id) = refreshing(with_update);
        page.wait(45_000);
        assert_eq!(page.count("UPDATE"), 1);
        page.answer("UPDATE", code, |answer| answer);
        page.wait(2_000);
        assert_eq!(page.count("UPDATE"), 1, "{code}");
        page.wait(2_010);
        assert_eq!(page.count("UPDATE"), 2, "{code}");
        page.answer("UPDATE", 200, with_update);
        page.wait(44_000);
        assert_eq!(page.state(id), State::Established);
    }
}
