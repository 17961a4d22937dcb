//! Descriptions of pages and of the SIP side with parts that are not supported here.

use offhook_media::{Codec, Event, Leg, MediaError, PeerSettings};
use offhook_testing::descriptions::{FAX, media_lines, odd_forms, odd_offers};
use offhook_testing::phone::PCMU;

use crate::world::{World, settings};

/// The answer has all media lines of the offer, and only the first audio line is active.
#[track_caller]
fn only_the_sound(name: &str, offer: &str, answer: &str) {
    let mut on = false;
    let expected: Vec<(&str, bool)> = media_lines(offer)
        .into_iter()
        .map(|(kind, port)| (kind, kind == "audio" && port != "0" && !std::mem::replace(&mut on, true)))
        .collect();
    let lines: Vec<(&str, bool)> = media_lines(answer).into_iter().map(|(kind, port)| (kind, port != "0")).collect();
    assert_eq!(lines, expected, "{name}: {answer}");
}

#[test]
fn a_page_may_offer_what_nobody_uses() {
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    for (name, offer) in odd_offers(&world.pages[page].offer()) {
        let mut world = World::new();
        world.open(settings(&[Codec::Pcmu]));
        let answer = world.offered(Leg::Page, offer.clone());
        only_the_sound(name, &offer, &answer.unwrap_or_else(|error| panic!("{name}: {error:?} {offer}")));
    }
}

#[test]
fn a_page_may_answer_with_what_nobody_uses() {
    for at in 0..odd_forms("").len() {
        let mut world = World::new();
        let page = world.page("192.0.2.5:5000");
        world.open(settings(&[Codec::Pcmu]));
        let offer = world.offer(Leg::Page).expect("an offer");
        let (name, answer) = odd_forms(&world.pages[page].answer(&offer)).swap_remove(at);
        world.answered(Leg::Page, answer);
        world.run(1_000);
        assert!(world.events.iter().any(|event| matches!(event, Event::Connected { .. })), "{name}: {:?}", world.events);
    }
}

/// The SIP side, whose SIP comes from another address than its sound.
fn outside() -> PeerSettings {
    PeerSettings { signalling: vec!["198.51.100.200".parse().expect("an address")], ..settings(&[Codec::Pcmu]) }
}

#[test]
fn the_sip_side_may_offer_what_nobody_uses() {
    for (name, offer) in odd_offers(&World::new().phone.sdp(&[PCMU])) {
        let mut world = World::new();
        world.open(outside());
        let answer = world.offered(Leg::Peer, offer.clone());
        only_the_sound(name, &offer, &answer.unwrap_or_else(|error| panic!("{name}: {error:?} {offer}")));
    }
}

/// Static payload types (RFC 3551) need no rtpmap.
#[test]
fn fixed_types_need_no_map() {
    let without_maps = |offer: &str| {
        let lines = offer.lines().filter(|line| !line.starts_with("a=rtpmap:0 ") && !line.starts_with("a=rtpmap:8 "));
        lines.map(|line| format!("{line}\r\n")).collect::<String>()
    };
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    world.open(settings(&[Codec::Pcmu]));
    let offer = without_maps(&crate::world::only(&[0], &world.pages[page].offer()));
    assert!(!offer.contains("PCMU"), "{offer}");
    let answer = world.offered(Leg::Page, offer).expect("an answer");
    assert!(answer.contains("SAVPF 0\r\n"), "{answer}");
    let offer = without_maps(&world.phone.sdp(&[PCMU]));
    assert!(world.offered(Leg::Peer, offer).expect("an answer").contains("RTP/AVP 0\r\n"));
}

#[test]
fn nothing_but_a_fax_is_refused() {
    for leg in [Leg::Page, Leg::Peer] {
        let mut world = World::new();
        world.open(settings(&[Codec::Pcmu]));
        assert_eq!(world.offered(leg, FAX.into()), Err(MediaError::NotAcceptable), "{leg:?}");
    }
}

/// The host name is not looked up: the source is found like one behind an unknown NAT.
#[test]
fn a_sip_side_that_only_names_its_host_is_heard() {
    let mut world = World::new();
    let page = world.call(outside(), &[PCMU]);
    let named = odd_forms(&world.phone.sdp(&[PCMU])).swap_remove(0).1;
    assert!(named.contains("c=IN IP4 media.example.com"), "{named}");
    world.offered(Leg::Peer, named).expect("an answer");
    for second in 0..4 {
        for _ in 0..50 {
            world.phone_sends(0, &[second; 160], 160);
            world.run(20);
        }
    }
    assert!(world.pages[page].received.iter().any(|packet| packet.payload[..] == [3; 160]), "after two seconds it is heard");
}
