//! What happens within a call, on either side.

use offhook_media::{Event, Leg, MediaError};
use offhook_testing::text::head;
use offhook_trunk::{Dtmf, Trunk};

use crate::world::{FIRST, SDP, World, answer, answer_as, field, talking, trunk, within};

#[test]
fn a_hold_of_the_other_side_keeps_the_call_up() {
    let mut world = World::new();
    let invite = talking(&mut world);
    let hold = SDP.replace("RTP/AVP 8\r\n", "RTP/AVP 8\r\na=sendonly\r\n");
    world.hear(FIRST, &within("INVITE", &invite, 2, "", Some(("application/sdp", &hold))));
    world.expect("100 INVITE");
    let ok = world.expect("200 INVITE");
    assert!(ok.contains("s=answer to Peer"), "{ok}");
    world.hear(FIRST, &within("ACK", &invite, 2, "", None));
    // Back again, by an UPDATE, and by an INVITE that leaves the offer to us.
    world.hear(FIRST, &within("UPDATE", &invite, 3, "", Some(("application/sdp", SDP))));
    assert!(world.expect("200 UPDATE").contains("s=answer to Peer"));
    world.hear(FIRST, &within("INVITE", &invite, 4, "", None));
    world.expect("100 INVITE");
    assert!(world.expect("200 INVITE").contains("s=offer to Peer"));
    world.hear(FIRST, &within("ACK", &invite, 4, "", Some(("application/sdp", SDP))));
    assert_eq!(world.lines("media: ").last(), Some(&"Peer answers"));
    world.run(60_000);
    world.silent();
    assert_eq!(world.app().last(), Some(&"established"), "the page heard nothing of all that");
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn keys_go_through_in_the_way_that_the_other_side_takes() {
    let mut world = World::new();
    let invite = talking(&mut world);
    world.hear(FIRST, &within("INFO", &invite, 2, "", Some(("application/dtmf-relay", "Signal=5\r\nDuration=200\r\n"))));
    world.expect("200 INFO");
    assert_eq!(world.lines("media: ").last(), Some(&"press 5 for Page"));

    let mut world = World::with(vec![Trunk { dtmf: Dtmf::Info, ..trunk("first", FIRST) }]);
    talking(&mut world);
    let session = world.session();
    world.media(Event::Digit { session, leg: Leg::Page, digit: '#', duration: 120 });
    let info = world.expect("INFO");
    assert!(info.ends_with("Signal=#\r\nDuration=120\r\n"), "{info}");
    assert_eq!(field(&info, "content-type"), "application/dtmf-relay");
    world.hear(FIRST, &answer(&info, 200));
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn what_nobody_takes_part_in_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let invite = talking(&mut world);
    for (number, method, body, code) in [
        (2, "REFER", None, 603),
        (3, "NOTIFY", None, 405),
        (4, "MESSAGE", None, 405),
        (5, "INFO", Some(("application/media_control+xml", "<x/>")), 415),
        (6, "OPTIONS", None, 200),
        (6, "OPTIONS", None, 500),
        (7, "PRACK", None, 481),
    ] {
        let text = within(method, &invite, number, "Refer-To: <sip:x@y>\r\n", body);
        world.hear(FIRST, &if code == 500 { text.replace("z9hG4bK", "z9hG4bKx") } else { text });
        let answer = world.expect(&format!("{code} {method}"));
        let listed = match code {
            405 => field(&answer, "allow") == "INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO, OPTIONS",
            415 => field(&answer, "accept") == "application/trickle-ice-sdpfrag, application/dtmf-relay, application/dtmf",
            _ => true,
        };
        assert!(listed, "{answer}");
    }
    world.hear(FIRST, &within("INFO", &invite, 8, "Info-Package: other\r\n", None));
    assert_eq!(field(&world.expect("469 INFO"), "recv-info"), "trickle-ice");
    world.hear(FIRST, &within("FROB", &invite, 9, "", None));
    assert!(field(&world.expect("501 FROB"), "allow").contains("INVITE"));
    let other = within("BYE", &invite, 10, "", None).replace(";tag=theirs", ";tag=other");
    world.hear(FIRST, &other);
    world.expect("481 BYE");
    assert_eq!(world.exchange.b2bua().calls(), 1);
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn what_cannot_be_taken_within_a_call_is_rejected_with_what_could_be() {
    let mut world = World::new();
    let invite = talking(&mut world);
    let text = Some(("text/plain", "hello"));
    for (number, method, more, body, code, name, value) in [
        (2, "INVITE", "", text, 415, "accept", "application/sdp"),
        (3, "UPDATE", "", text, 415, "accept", "application/sdp"),
        (4, "INVITE", "Require: timer, frob\r\n", None, 420, "unsupported", "frob"),
        (5, "INFO", "Require: frob\r\n", None, 420, "unsupported", "frob"),
        (6, "INFO", "", None, 200, "", ""),
        (7, "UPDATE", "Require: timer\r\n", None, 200, "", ""),
        (8, "UPDATE", "Require: 100rel, frob, precondition\r\n", None, 420, "unsupported", "frob, precondition"),
    ] {
        world.hear(FIRST, &within(method, &invite, number, more, body));
        if method == "INVITE" {
            world.expect("100 INVITE");
        }
        assert_eq!(field(&world.expect(&format!("{code} {method}")), name), value, "{method} {code}");
        if method == "INVITE" {
            let ack = within("ACK", &invite, number, "", None).replace("bKinACK", "bKinINVITE");
            world.hear(FIRST, &ack);
        }
    }
    assert_eq!(world.app().last(), Some(&"established"));
    world.hang_up(0);
    world.nothing_left();
}

/// A certificate that is not the one of the fingerprint is seen when DTLS is up, and then there is a call already.
#[test]
fn a_page_with_another_certificate_than_it_has_said_ends_its_call() {
    let mut world = World::new();
    talking(&mut world);
    let session = world.session();
    world.media(Event::Failed { session, leg: Leg::Page, error: MediaError::Fingerprint });
    let bye = world.expect("BYE");
    world.hear(FIRST, &answer(&bye, 200));
    assert_eq!(world.lines("ledger: ").last(), Some(&"failed 488"));
    world.silent();
    world.nothing_left();
}

#[test]
fn who_vanishes_ends_the_call_on_both_sides() {
    // The media hear nothing.
    let mut world = World::new();
    talking(&mut world);
    let session = world.session();
    world.cut(0);
    world.media(Event::Silent { session, leg: Leg::Page });
    let bye = world.expect("BYE");
    world.hear(FIRST, &answer(&bye, 200));
    assert_eq!(world.lines("ledger: ").last(), Some(&"caller lost 408"));
    world.nothing_left();

    // Nobody refreshes the session.
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("theirs", &invite, 200, &[("Session-Expires", "90;refresher=uas")], true));
    world.expect("ACK");
    world.run(59_000);
    world.silent();
    world.run(2_000);
    world.expect("BYE");
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
    world.nothing_left();

    // The other side does not know the dialog any more.
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("theirs", &invite, 200, &[("Session-Expires", "90;refresher=uac")], true));
    world.expect("ACK");
    world.run(45_100);
    let update = world.expect("UPDATE");
    assert_eq!(field(&update, "session-expires"), "90;refresher=uac");
    world.hear(FIRST, &answer(&update, 481));
    world.silent();
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
    world.nothing_left();
}

#[test]
fn a_session_is_refreshed_by_an_offer_where_there_is_no_update() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    let ok = answer_as("theirs", &invite, 200, &[("Session-Expires", "90;refresher=uac")], true).replace("UPDATE, ", "");
    world.hear(FIRST, &ok);
    world.expect("ACK");
    world.run(45_100);
    let again = world.expect("INVITE");
    assert!(field(&again, "to").ends_with(";tag=theirs"));
    // Their offer crosses ours (RFC 3261, 14.1).
    world.hear(FIRST, &within("INVITE", &invite, 2, "", Some(("application/sdp", SDP))));
    world.expect("100 INVITE");
    world.expect("491 INVITE");
    let granted = answer_as("theirs", &again, 200, &[("Session-Expires", "90;refresher=uac")], true);
    world.hear(FIRST, &granted);
    world.expect("ACK");
    world.hear(FIRST, &granted);
    world.expect("ACK");
    assert_eq!(world.app().last(), Some(&"established"));
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn a_page_that_restarts_ice_is_answered_and_nobody_else_hears_of_it() {
    let mut world = World::new();
    talking(&mut world);
    let peer = world.pages[0].peer.unwrap();
    let state = |state| offhook::client::Input::IceState { peer, state };
    world.page_input(0, state(offhook::client::IceState::Disconnected));
    world.run(6_000);
    assert!(world.lines("page > ").iter().filter(|line| **line == "INVITE").count() >= 2, "{:#?}", world.log);
    assert_eq!(head(world.text("200 INVITE")), "200 INVITE");
    assert!(world.lines("media: ").iter().filter(|line| **line == "Page offers").count() >= 2);
    world.silent();
    assert_eq!(world.exchange.b2bua().calls(), 1);
    world.hang_up(0);
    world.nothing_left();
}
