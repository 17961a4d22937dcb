//! The SIP side: source and destination of packets, hold, ports, forks, and encryption.

use offhook_media::{Codec, Command, Event, Leg, MediaError, PeerSettings, Socket};
use offhook_testing::phone::PCMU;

use crate::world::{EVENTS, PCMA, S, SILENCE, World, address, settings};

#[test]
fn others_are_neither_heard_nor_sent_to() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    world.to_peer.clear();
    for n in 0..1_000u16 {
        if n % 10 == 0 {
            world.phone_sends(0, &[1; 160], 160);
            world.page_sends(page, 0, &[2; 160], 160);
        }
        // A source that knows everything but cannot send from the phone's address.
        let (sequence, timestamp) = (world.phone.sequence, world.phone.timestamp);
        let spray = world.phone.packet(0, &[9; 160], 160);
        (world.phone.sequence, world.phone.timestamp) = (sequence, timestamp);
        world.inject(Socket::Rtp(S), address("192.0.2.66:6000"), spray);
        world.run(2);
    }
    let received = &world.pages[page].received;
    assert_eq!(received.len(), 100);
    assert!(received.iter().all(|packet| packet.payload[0] == 1));
    assert!(world.to_peer.iter().all(|(_, to, _)| to.ip() == world.phone.at.ip()));
}

#[test]
fn a_phone_behind_nat_is_answered_where_it_comes_from() {
    let mut world = World::new();
    world.phone.at = address("10.1.1.1:6000");
    let signalling = vec![address("203.0.113.50:5060").ip()];
    let nat = PeerSettings { nat: true, signalling, ..settings(&[Codec::Pcmu]) };
    let page = world.call(nat, &[PCMU]);
    world.phone.at = address("203.0.113.50:40000");
    world.phone_sends(0, &[1; 160], 160);
    world.to_peer.clear();
    world.page_sends(page, 0, &[2; 160], 160);
    world.run(5);
    assert_eq!(world.to_peer[0].1, world.phone.at);
    let spray = world.phone.packet(0, &[9; 160], 160);
    world.inject(Socket::Rtp(S), address("192.0.2.66:6000"), spray);
    assert_eq!(world.pages[page].received.len(), 1, "locked");
}

#[test]
fn a_phone_may_change_its_port_but_nobody_can_for_it() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    world.phone_sends(0, &[1; 160], 160);
    world.phone.at = address("203.0.113.9:6666");
    world.phone_sends(0, &[1; 160], 160);
    assert_eq!(world.pages[page].received.len(), 2, "the same stream from the same host");
    world.phone.at = address("203.0.113.9:7777");
    world.phone.ssrc = 5;
    world.phone_sends(0, &[1; 160], 160);
    assert_eq!(world.pages[page].received.len(), 2, "another stream from another port");
    let again = Phone { port: 6000 }.offer();
    world.offered(Leg::Peer, again).expect("an answer");
    world.phone_sends(0, &[1; 160], 160);
    assert_eq!(world.pages[page].received.len(), 3, "after new SDP");
}

struct Phone {
    port: u16,
}

impl Phone {
    fn offer(&self) -> String {
        let port = self.port;
        format!("v=0\r\no=- 1 2 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
    }
}

#[test]
fn who_has_sent_nothing_gets_three_packets() {
    let mut world = World::new();
    let page = world.call(PeerSettings { eager: false, ..settings(&[Codec::Pcmu]) }, &[PCMU]);
    for _ in 0..500 {
        world.page_sends(page, 0, &[2; 160], 160);
        world.run(20);
    }
    assert_eq!(world.to_peer.len(), 3);
    world.phone_sends(0, &[1; 160], 160);
    world.page_sends(page, 0, &[2; 160], 160);
    assert_eq!(world.to_peer.len(), 4);
}

#[test]
fn hold_in_each_of_its_forms_keeps_the_call() {
    for held in ["a=sendonly", "a=inactive", "c=IN IP4 0.0.0.0"] {
        let mut world = World::new();
        let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
        let offer = format!("{}{held}\r\n", Phone { port: 6000 }.offer());
        let answer = world.offered(Leg::Peer, offer).expect("an answer");
        assert!(answer.contains(if held == "a=inactive" { "a=inactive" } else { "a=recvonly" }), "{held}: {answer}");
        world.to_peer.clear();
        world.run(2 * SILENCE);
        for _ in 0..2_000 {
            world.page_sends(page, 0, &[2; 160], 160);
            world.phone_sends(0, &[3; 160], 160);
            world.run(20);
        }
        let music = world.pages[page].received.len();
        assert!(if held == "a=inactive" { music == 0 } else { music > 1_900 }, "{held}: the page hears {music} packets");
        assert!(world.heard(0).is_empty(), "{held}");
        assert!(!world.events.iter().any(|event| matches!(event, Event::Silent { .. })), "{held}");
        world.offered(Leg::Peer, Phone { port: 6000 }.offer()).expect("an answer");
        world.page_sends(page, 0, &[2; 160], 160);
        assert_eq!(world.heard(0).len(), 1);
    }
}

#[test]
fn a_phone_that_vanishes_is_missed_and_one_that_only_reports_is_not() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    world.phone_sends(0, &[1; 160], 160);
    let report = vec![0x80, 201, 0, 1, 0, 0, 0, 9];
    for _ in 0..100 {
        world.page_sends(page, 0, &[2; 160], 160);
        world.inject(Socket::Rtcp(S), address("203.0.113.9:6001"), report.clone());
        world.run(500);
    }
    let silent = |world: &World| world.events.iter().filter(|event| matches!(event, Event::Silent { leg: Leg::Peer, .. })).count();
    assert_eq!(silent(&world), 0);
    world.run(31_000);
    assert_eq!(silent(&world), 1);
}

#[test]
fn reports_go_both_ways_and_count_losses() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    for n in 0..600 {
        world.page_sends(page, 0, &[2; 160], 160);
        if n % 4 == 0 {
            drop(world.phone.packet(0, &[1; 160], 160));
        } else {
            world.phone_sends(0, &[1; 160], 160);
        }
        world.run(20);
    }
    let reports: Vec<_> = world.to_peer.iter().filter(|(socket, to, _)| *socket == Socket::Rtcp(S) && to.port() == 6001).collect();
    assert!(reports.len() >= 2, "{}", reports.len());
    let last = &reports[reports.len() - 1].2;
    assert_eq!(last[1], 200, "a sender report");
    assert_eq!(last[28..32], world.phone.ssrc.to_be_bytes());
    assert!((60..=68).contains(&last[32]), "a quarter is lost: {}", last[32]);
}

#[test]
fn ports_that_are_used_up_are_said_so() {
    let mut world = World::new();
    world.ports = 0;
    world.open(settings(&[Codec::Pcmu]));
    let offer = world.phone.sdp(&[PCMU]);
    assert_eq!(world.offered(Leg::Peer, offer.clone()), Err(MediaError::Busy));
    world.ports = 1;
    world.offered(Leg::Peer, offer).expect("when there is one again");
    world.command(Command::Close { session: S });
    assert_eq!(world.bound, 0);
}

#[test]
fn sessions_that_are_too_many_are_said_so() {
    let mut world = World::with_sessions(0);
    world.open(settings(&[Codec::Pcmu]));
    let offer = world.phone.sdp(&[PCMU]);
    assert_eq!(world.offered(Leg::Peer, offer), Err(MediaError::Busy));
}

#[test]
fn the_next_trunk_is_another_one() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu, Codec::Pcma]), &[PCMU, EVENTS]);
    world.phone_sends(0, &[1; 160], 160);
    world.command(Command::Forget { session: S, peer: Some(settings(&[Codec::Pcma])) });
    world.to_peer.clear();
    world.page_sends(page, 0, &[2; 160], 160);
    world.phone_sends(0, &[1; 160], 160);
    assert!(world.to_peer.is_empty());
    assert_eq!(world.pages[page].received.len(), 1);
    let offer = world.offer(Leg::Peer).expect("an offer");
    assert!(offer.contains("m=audio 30000 RTP/AVP 8 101\r\n"), "{offer}");
    world.phone.at = address("203.0.113.77:8000");
    world.phone.ssrc = 44;
    let answer = world.phone.sdp(&[PCMA]);
    world.answered(Leg::Peer, answer);
    world.phone_sends(8, &[1; 160], 160);
    world.page_sends(page, 8, &[2; 160], 160);
    world.run(5);
    assert_eq!((world.pages[page].received.len(), world.heard(8).len()), (2, 1));
    let stamps: Vec<_> = world.pages[page].received.iter().map(|packet| *packet.seq_no).collect();
    assert_eq!(stamps[1], stamps[0] + 1, "one stream for the page");
}

#[test]
fn nonsense_from_the_sip_side_is_refused() {
    let mut world = World::new();
    world.open(settings(&[Codec::Pcmu]));
    assert_eq!(world.offered(Leg::Peer, "hello".into()), Err(MediaError::Malformed));
    let offer = world.phone.sdp(&[("G729/8000", 18)]);
    assert_eq!(world.offered(Leg::Peer, offer), Err(MediaError::NotAcceptable));
    let inside = world.phone.sdp(&[PCMU]).replace("203.0.113.9", "127.0.0.1");
    assert_eq!(world.offered(Leg::Peer, inside), Err(MediaError::NotAcceptable));
}
