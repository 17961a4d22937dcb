//! Session timers (RFC 4028) on both legs.

use crate::incoming::invite;
use crate::world::{FIRST, SDP, World, answer_as, field, within};
use offhook_media::{Leg, MediaError};
use offhook_testing::text::head;

const WITHOUT: &str = "Session-Expires: 90;refresher=uac\r\n";

/// A call to a number, which the carrier answers with these fields; gives the INVITE that it got.
fn granted(world: &mut World, more: &[(&str, &str)]) -> String {
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("theirs", &invite, 200, more, true));
    world.expect("ACK");
    invite
}

/// A proxy has put Session-Expires into the INVITE of a carrier that does not know it.
#[test]
fn a_carrier_that_knows_no_session_timers_is_refreshed() {
    let mut world = World::new();
    world.hear(FIRST, &invite(&format!("{WITHOUT}Allow: UPDATE\r\n"), SDP));
    world.run(500);
    world.answer(0);
    world.sent.drain(..2);
    let ok = world.expect("200 INVITE");
    assert_eq!((field(&ok, "session-expires"), field(&ok, "require")), ("90;refresher=uas".into(), String::new()));
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    for _ in 0..3 {
        world.run(45_000);
        let update = world.expect("UPDATE");
        assert_eq!(field(&update, "session-expires"), "90;refresher=uac");
        world.hear(FIRST, &answer_as("theirs", &update, 200, &[("Session-Expires", "90;refresher=uac")], false));
    }
    assert_eq!(world.app().last(), Some(&"established"));
    world.hang_up(0);
    world.nothing_left();
}

/// The same of another SIP client in a page.
#[test]
fn a_page_that_knows_no_session_timers_is_refreshed() {
    let mut world = World::new();
    world.edit(|text| {
        let text = text.replace("100rel, timer, ", "100rel, ").replace("Session-Expires: 1800", "Session-Expires: 90");
        assert!(text.contains("Session-Expires: 90\r\n") && !text.contains("timer,"), "{text}");
        text
    });
    granted(&mut world, &[]);
    world.run(100);
    let ok = world.text("200 INVITE").to_owned();
    assert_eq!((field(&ok, "session-expires"), field(&ok, "require")), ("90;refresher=uas".into(), String::new()));
    world.run(300_000);
    assert_eq!(world.app().last(), Some(&"established"));
    assert!(world.lines("page < ").iter().filter(|line| **line == "UPDATE").count() >= 6, "{:#?}", world.log);
    world.hang_up(0);
    world.nothing_left();
}

/// The carrier knows no UPDATE, and rejects the first re-INVITE; at another time the media cannot make an offer.
#[test]
fn a_refresh_that_fails_once_is_tried_again() {
    let mut world = World::new();
    let invite = granted_without_update(&mut world);
    world.run(45_100);
    let again = world.expect("INVITE");
    world.hear(FIRST, &answer_as("theirs", &again, 503, &[], false));
    world.expect("ACK");
    world.run(2_000);
    world.silent();
    world.run(200);
    let again = world.expect("INVITE");
    world.hear(FIRST, &answer_as("theirs", &again, 200, &[("Session-Expires", "90;refresher=uac")], true));
    world.expect("ACK");
    world.unusable = Some((Leg::Peer, MediaError::Busy));
    world.run(46_000);
    world.silent();
    world.unusable = None;
    world.run(1_200);
    let again = world.expect("INVITE");
    assert_eq!(field(&again, "call-id"), field(&invite, "call-id"));
    world.hear(FIRST, &answer_as("theirs", &again, 200, &[("Session-Expires", "90;refresher=uac")], true));
    world.expect("ACK");
    assert_eq!(world.app().last(), Some(&"established"));
    world.hang_up(0);
    world.nothing_left();
}

fn granted_without_update(world: &mut World) -> String {
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    let ok = answer_as("theirs", &invite, 200, &[("Session-Expires", "90;refresher=uac")], true).replace("UPDATE, ", "");
    world.hear(FIRST, &ok);
    world.expect("ACK");
    invite
}

#[test]
fn too_short_a_session_is_refused_within_a_call_too() {
    let mut world = World::new();
    let invite = granted(&mut world, &[]);
    for (number, more, code) in [
        (2, "Session-Expires: 60\r\nSupported: timer\r\n", 422),
        (3, "Session-Expires: 60\r\n", 200),
        (4, "Session-Expires: 90\r\nSupported: timer\r\n", 200),
    ] {
        world.hear(FIRST, &within("UPDATE", &invite, number, more, None));
        let answer = world.expect(&format!("{code} UPDATE"));
        assert_eq!(field(&answer, "min-se"), if code == 422 { "90" } else { "" });
    }
    world.hang_up(0);
    world.nothing_left();
}

/// RFC 4028, 7.4: what a 422 has asked for stands in all requests that follow, the refreshes among them.
#[test]
fn a_longer_interval_stands_in_all_later_requests() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("t", &invite, 422, &[("Min-SE", "2000")], false));
    world.expect("ACK");
    let again = world.expect("INVITE");
    assert_eq!((field(&again, "session-expires"), field(&again, "min-se")), ("2000".into(), "2000".into()));
    world.hear(FIRST, &answer_as("theirs", &again, 200, &[("Session-Expires", "2000;refresher=uac")], true));
    world.expect("ACK");
    world.run(1_000_100);
    let update = world.expect("UPDATE");
    assert_eq!((field(&update, "session-expires"), field(&update, "min-se")), ("2000;refresher=uac".into(), "2000".into()));
    // Somebody on the way has changed its mind.
    world.hear(FIRST, &answer_as("theirs", &update, 422, &[("Min-SE", "3000")], false));
    let update = world.expect("UPDATE");
    assert_eq!((field(&update, "session-expires"), field(&update, "min-se")), ("3000;refresher=uac".into(), "3000".into()));
    world.hear(FIRST, &answer_as("theirs", &update, 200, &[("Session-Expires", "3000;refresher=uac")], false));
    world.run(2_100);
    assert!(world.sent.iter().all(|(_, text)| head(text) != "UPDATE"));
    assert_eq!(world.app().last(), Some(&"established"));
    world.hang_up(0);
    world.nothing_left();
}
