//! What carriers put around the session description, and leave out of their responses.

use offhook_media::{Command, Leg};

use crate::incoming::invite;
use crate::world::{FIRST, SDP, World, answer, answer_as, field, read, talking, within};

const MIXED: &str = "multipart/mixed;boundary=\"=_of the carrier\"";

/// A body with a preamble, the signalling of another network, where the caller is, and the description.
fn mixed(sdp: &str) -> String {
    format!(
        "The parts follow.\r\n--=_of the carrier\r\nContent-Type: application/ISUP;version=itu-t92+\r\n\
         Content-Disposition: signal;handling=optional\r\n\r\n\u{1}\u{2}\r\n--=_of the carrier\r\n\
         Content-Type:\r\n multipart/alternative;boundary=in\r\n\r\n--in\r\nContent-Type: application/pidf+xml\r\n\r\n<presence/>\r\n\
         --in\r\nContent-Type: application/sdp\r\n\r\n{sdp}--in--\r\n\r\n--=_of the carrier--\r\n"
    )
}

/// The offers and answers of the carrier that the media were given.
fn given(world: &World) -> Vec<&str> {
    let mut given = Vec::new();
    for command in &world.commands {
        if let Command::Offered { leg: Leg::Peer, sdp, .. } | Command::Answered { leg: Leg::Peer, sdp, .. } = command {
            given.push(sdp.as_str());
        }
    }
    given
}

#[test]
fn a_carrier_calls_and_holds_with_bodies_of_several_parts() {
    let mut world = World::new();
    let body = mixed(SDP);
    let text = invite(&format!("Content-Type: {MIXED}\r\n"), "");
    world.hear(FIRST, &text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len())));
    world.run(500);
    world.answer(0);
    world.sent.drain(..2);
    let ok = world.expect("200 INVITE");
    assert!(ok.contains("s=answer to Peer"), "{ok}");
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    let hold = SDP.replace("RTP/AVP 8\r\n", "RTP/AVP 8\r\na=sendonly\r\n");
    for (number, method) in [(2, "INVITE"), (3, "UPDATE")] {
        world.hear(FIRST, &within(method, &ok, number, "", Some((MIXED, &mixed(&hold)))));
        if method == "INVITE" {
            world.expect("100 INVITE");
        }
        let answer = world.expect(&format!("200 {method}"));
        assert!(answer.contains("s=answer to Peer"), "{answer}");
        if method == "INVITE" {
            world.hear(FIRST, &within("ACK", &ok, number, "", None));
        }
    }
    assert_eq!(given(&world), [SDP, &hold, &hold]);
    world.run(60_000);
    world.silent();
    world.hear(FIRST, &within("BYE", &ok, 4, "", None));
    world.expect("200 BYE");
    world.nothing_left();
}

#[test]
fn a_carrier_answers_with_bodies_of_several_parts() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    let answered = |code| {
        let text = answer_as("theirs", &invite, code, &[("Content-Type", MIXED)], false);
        let body = mixed(SDP);
        text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    world.hear(FIRST, &answered(183));
    assert_eq!(given(&world), [SDP], "early media");
    world.hear(FIRST, &answered(200));
    world.expect("ACK");
    world.run(100);
    assert_eq!((given(&world), world.app().last()), (vec![SDP], Some(&"established")));
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn a_body_that_cannot_be_read_changes_nothing_in_a_call() {
    let mut world = World::new();
    let invite = talking(&mut world);
    let commands = world.commands.len();
    let required = mixed(SDP).replace("optional", "required");
    for (number, kind, body) in [
        (2, MIXED, mixed(SDP).replace("application/sdp", "text/plain")),
        (3, MIXED, required),
        (4, "multipart/mixed", mixed(SDP)),
        (5, "application/ISUP", "\u{1}\u{2}".to_owned()),
    ] {
        world.hear(FIRST, &within("INVITE", &invite, number, "", Some((kind, &body))));
        world.expect("100 INVITE");
        assert_eq!(field(&world.expect("415 INVITE"), "accept"), "application/sdp", "{kind}: {body}");
        world.hear(FIRST, &within("ACK", &invite, number, "", None).replace("bKinACK", "bKinINVITE"));
    }
    world.run(60_000);
    world.silent();
    assert_eq!(world.commands.len(), commands);
    world.hang_up(0);
    world.nothing_left();
}

/// Whoever has sent no Contact, or one that is none, is reached where it was called.
#[test]
fn a_carrier_without_a_contact_hears_the_end_of_the_call() {
    for contact in ["", "Contact: <sip:>\r\n", "Contact: *\r\n", "Contact: <tel:+46701234567>\r\n"] {
        let mut world = World::new();
        world.phone("+46701234567");
        let invite = world.expect("INVITE");
        let called = read(&invite).uri().unwrap().to_owned();
        for code in [183, 200] {
            world.hear(FIRST, &answer(&invite, code).replace("Contact: <sip:theirs@192.0.2.1:5060>\r\n", contact));
        }
        assert_eq!(read(&world.expect("ACK")).uri(), Some(&*called), "{contact}");
        world.run(100);
        assert_eq!(world.app().last(), Some(&"established"), "{contact}");
        world.hang_up(0);
        let bye = world.expect("BYE");
        assert_eq!(read(&bye).uri(), Some(&*called), "{contact}");
        world.hear(FIRST, &answer(&bye, 200));
        world.nothing_left();
    }
}
