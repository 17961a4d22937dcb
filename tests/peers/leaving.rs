//! Peers that close their peer connection or go away: for good, for a while, or with another peer connection, and how a page finds out which.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn a_peer_that_left_for_good_ends_the_call_once_its_media_is_gone() {
    let (mut page, id) = established();
    page.wait(5_000);
    assert_eq!(page.state(id), State::Established);
    let peer = page.peer.unwrap();
    page.input(Input::IceState { peer, state: IceState::Failed });
    page.wait(10);
    assert_eq!(page.count("INVITE"), 2, "an offer with new ICE credentials");
    page.answer("INVITE", 410, |answer| answer);
    assert_eq!(page.state(id), State::Ended);
}

#[test]
fn a_peer_that_is_away_keeps_its_call_until_the_media_times_out() {
    for code in [480, 408, 503] {
        let (mut page, id) = established();
        let peer = page.peer.unwrap();
        page.input(Input::IceState { peer, state: IceState::Failed });
        for _ in 0..10 {
            page.wait(6_001);
            page.answer("INVITE", code, |answer| answer);
            assert_eq!(page.state(id), State::Established, "{code}");
        }
        assert!(page.count("INVITE") >= 10, "it gets an offer again and again");
        page.wait(30_000);
        assert_eq!(page.state(id), State::Ended);
    }
}

#[test]
fn a_peer_that_closes_its_peer_connection_gets_an_offer() {
    let (mut page, id) = established();
    let peer = page.peer.unwrap();
    page.events.clear();
    page.input(Input::PeerClosed { peer });
    page.wait(200);
    page.ask("BYE", 3, "", "");
    assert_eq!(page.events, ["Ended HUNG_UP"], "it hung up, and the end of its media came before its BYE");
    let (mut page, id_of_gone) = established();
    page.input(Input::PeerClosed { peer });
    page.wait(400);
    assert_eq!(page.count("INVITE"), 2);
    page.answer("INVITE", 410, |answer| answer);
    assert_eq!(page.events.last().map(String::as_str), Some("Ended HUNG_UP"), "its page was closed");
    assert_eq!([page.state(id), page.state(id_of_gone)], [State::Ended; 2]);
    let (mut page, _) = established();
    page.input(Input::PeerClosed { peer });
    page.wait(400);
    page.answer("INVITE", 480, |answer| answer);
    assert_eq!(
        page.events.last().map(String::as_str),
        Some("Ended HUNG_UP"),
        "at a server that does not know which pages are closed"
    );
    let (mut page, _) = established();
    page.input(Input::PeerClosed { peer });
    page.input(Input::IceState { peer, state: IceState::Completed });
    page.wait(400);
    assert_eq!(page.count("INVITE"), 2, "a path that the browser reports late carries nothing");
    page.answer("INVITE", 480, |answer| answer);
    assert_eq!(page.events.last().map(String::as_str), Some("Ended HUNG_UP"));
    let (mut page, _) = established();
    page.input(Input::PeerClosed { peer });
    page.ask("INFO", 3, "", "");
    page.wait(400);
    page.answer("INVITE", 480, |answer| answer);
    assert_eq!(page.events.last().map(String::as_str), Some("Ended HUNG_UP"), "candidates that were under way change nothing");
    let (mut page, id) = established();
    page.input(Input::IceState { peer, state: IceState::Failed });
    page.wait(400);
    page.answer("INVITE", 480, |answer| answer);
    assert_eq!(page.state(id), State::Established, "it did not close its peer connection: it may be in a tunnel");
    let (mut page, id) = established();
    page.input(Input::PeerClosed { peer });
    page.ask("INVITE", 3, TYPE, &sdp(3));
    assert_ne!(page.peer, Some(peer), "it goes on with another peer connection");
    assert_eq!(page.state(id), State::Established);
}

#[test]
fn a_caller_that_closes_its_peer_connection_while_it_rings_gets_an_update() {
    let ringing = || {
        let mut page = Page::signed_in();
        page.ring(&format!("Supported: 100rel\r\nAllow: INVITE, ACK, UPDATE\r\nSession-Expires: 90\r\n{TYPE}"), &sdp(2));
        acknowledge_early(&mut page);
        page.events.clear();
        page.input(Input::PeerClosed { peer: page.peer.unwrap() });
        page
    };
    for code in [480, 481, 410, 404] {
        let mut page = ringing();
        assert_eq!(page.count("UPDATE"), 0, "its CANCEL may be under way");
        page.wait(400);
        page.answer("UPDATE", code, |answer| answer);
        assert_eq!(page.events, ["Ended CANCELED"], "{code}");
        assert_eq!(page.code(), 487);
    }
    let mut page = ringing();
    page.wait(400);
    page.answer("UPDATE", 200, |answer| answer);
    assert!(page.events.is_empty(), "it goes on with another peer connection");
    page.client.answer(page.now, CallId(1), true).unwrap();
    page.drain();
    assert_eq!(page.code(), 200);
    assert!(page.sent.last().unwrap().contains("Session-Expires: 90"), "as the INVITE asks for");
    for code in [403, 405, 408, 503] {
        let mut page = ringing();
        page.wait(400);
        page.answer("UPDATE", code, |answer| answer);
        page.wait(10_000);
        assert!(page.events.is_empty(), "{code} says nothing of the caller");
    }
}

/// Sends the PRACK to the page's last response, which was a reliable one.
fn acknowledge_early(page: &mut Page) {
    let answer = page.sent.last().unwrap().clone();
    let answer = parse(answer.as_bytes()).unwrap();
    let text = format!(
        "PRACK sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bKprack\r\nMax-Forwards: 70\r\n\
         From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 6 PRACK\r\nRAck: {} 5 INVITE\r\nContent-Length: 0\r\n\r\n",
        answer.get(Name::From).unwrap(),
        answer.get(Name::To).unwrap(),
        answer.call_id().unwrap(),
        answer.number(Name::RSeq).unwrap(),
    );
    page.input(Input::Received(text));
}
