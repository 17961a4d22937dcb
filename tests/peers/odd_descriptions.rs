//! Session descriptions with parts that a page does not use.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use offhook_testing::descriptions::{FAX, media_lines, odd_forms, odd_offers};

/// Checks the description that the browser got, and the answer: one media line for each of the offer, and only audio is accepted.
#[track_caller]
fn took(page: &Page, name: &str, offer: &str, answer: &str) {
    let given = page.offers.last().unwrap();
    assert_eq!(media_lines(given), [("audio", "9")], "{name}: {given}");
    assert!(!given.contains("k=") && !given.contains("8888888") && !given.contains("media.example.com"), "{name}: {given}");
    let expected: Vec<_> = media_lines(offer).into_iter().map(|(kind, port)| (kind, if port == "9" { "9" } else { "0" })).collect();
    assert_eq!(media_lines(answer), expected, "{name}: {answer}");
}

#[test]
fn an_offer_with_unused_parts_is_answered() {
    for (name, offer) in odd_offers(&sdp(2)) {
        let mut page = Page::signed_in();
        page.ring(TYPE, &offer);
        assert_eq!(page.code(), 180, "{name}: {offer}");
        page.client.answer(page.now, CallId(1), true).unwrap();
        page.drain();
        assert_eq!(page.code(), 200, "{name}");
        took(&page, name, &offer, page.sent.last().unwrap());
    }
}

#[test]
fn a_reinvite_with_unused_parts_is_answered() {
    for (name, offer) in odd_offers(&sdp(2)) {
        let (mut page, id) = established();
        page.ask("INVITE", 2, TYPE, &offer);
        assert_eq!(page.code(), 200, "{name}: {offer}");
        took(&page, name, &offer, page.sent.last().unwrap());
        page.ask("ACK", 2, "", "");
        assert_eq!(page.state(id), State::Established, "{name}");
    }
}

#[test]
fn an_answer_with_unused_parts_is_accepted() {
    for (name, answer) in odd_forms(&sdp(2)) {
        let mut page = Page::signed_in();
        let id = page.call();
        page.answer_as("INVITE", 200, "peer", |answer| answer, &answer);
        assert_eq!(page.state(id), State::Established, "{name}: {answer}");
    }
}

#[test]
fn a_description_of_a_fax_alone_is_rejected() {
    let mut page = Page::signed_in();
    page.ring(TYPE, FAX);
    assert_eq!(page.code(), 488);
    let (mut page, id) = established();
    page.ask("INVITE", 2, TYPE, FAX);
    assert_eq!(page.code(), 488, "a call that would become a fax stays a call");
    assert_eq!(page.state(id), State::Established);
}

/// RFC 3264, 8: no description of a session has fewer media lines than the one before.
#[test]
fn a_line_that_was_rejected_stays_in_later_offers() {
    let fax = "m=image 5000 udptl t38\r\n";
    let (mut page, id) = established();
    page.ask("INVITE", 2, TYPE, &sdp(2).replace("m=audio", &format!("{fax}m=audio")));
    page.ask("ACK", 2, "", "");
    let peer = page.peer.unwrap();
    page.input(Input::IceState { peer, state: IceState::Failed });
    page.wait(6_100);
    let offer = page.last("INVITE");
    assert_eq!(media_lines(&offer), [("image", "0"), ("audio", "9")], "{offer}");
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2).replace("m=audio", "m=image 0 udptl t38\r\nm=audio"));
    assert_eq!(page.commands.last().map(String::as_str), Some("Accept"));
    assert_eq!(page.state(id), State::Established);
}
