//! Attacks on calls during set-up and afterwards, by senders who can forge the source addresses of page and phone, and who have
//! recorded all of their datagrams.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_media::{Codec, Command, Event, Input, Leg, PeerSettings, Security, Socket};
use offhook_testing::log::{LevelFilter, Log};
use offhook_testing::phone::PCMU;

use crate::srtp::srtp;
use crate::world::{S, World, address, settings};

const KEY: [u8; 30] = [7; 30];

/// Returns a call that is encrypted on both sides.
fn protected() -> (World, usize) {
    let mut world = World::new();
    world.phone.key = Some(STANDARD.encode(KEY));
    let page = world.call(PeerSettings { security: Security::Sdes, ..settings(&[Codec::Pcmu]) }, &[PCMU]);
    (world, page)
}

/// Sends one packet each way, that of the phone encrypted, and waits 20 ms.
fn talk(world: &mut World, page: usize, number: u64) -> Vec<u8> {
    world.page_sends(page, 0, &[2; 160], 160);
    let packet = world.phone.packet(0, &[1; 160], 160);
    let packet = srtp(&KEY, &packet, (number >> 16) as u32);
    world.inject(Socket::Rtp(S), world.phone.at, packet.clone());
    world.run(20);
    packet
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }
}

/// Returns packets that do not belong to this stream, though their header matches.
fn spoilt(genuine: &[u8], kind: u64, dice: &mut Dice) -> Vec<u8> {
    let mut packet = genuine.to_vec();
    let sequence = u16::from_be_bytes([packet[2], packet[3]]).wrapping_add(dice.next() as u16);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    match kind {
        // A wrong tag, a packet that is too short, and random octets after the header.
        0 => *packet.last_mut().expect("a tag") ^= 1 << (dice.next() % 8),
        1 => packet.truncate(dice.next() as usize % genuine.len()),
        2 => packet[12..].iter_mut().for_each(|octet| *octet = dice.next() as u8),
        // A former report.
        _ => packet[1] = 200 + (dice.next() % 4) as u8,
    }
    packet
}

/// CVE-2021-41105: where each bad packet was counted, a hundred ended a call.
#[test]
fn a_million_malformed_packets_leave_a_call_unchanged() {
    const BAD: u64 = 1_000_000;
    let log = Log::start(LevelFilter::TRACE);
    let (mut world, page) = protected();
    world.tapped = Some(Vec::new());
    let of_phone = talk(&mut world, page, 0);
    let rtp = |bytes: &&Vec<u8>| bytes.len() > 160 && bytes[0] & 0xc0 == 0x80;
    let of_page = world.tapped.take().expect("tapped").iter().find(rtp).expect("a packet").clone();
    let (page_at, phone_at) = (world.pages[page].at, world.phone.at);
    let (received, heard) = (world.pages[page].received.len(), world.heard(0).len());
    let mut dice = Dice(41_105);
    let mut said = 0;
    for n in 0..BAD {
        let (socket, source, genuine) =
            if n % 2 == 0 { (Socket::Page, page_at, &of_page) } else { (Socket::Rtp(S), phone_at, &of_phone) };
        let mut bytes = spoilt(genuine, n / 2 % 4, &mut dice);
        world.engine.handle(world.now, Input::Datagram { socket, source, bytes: &mut bytes });
        if n % 10_000 == 0 {
            talk(&mut world, page, 0);
            said += 1;
        }
    }
    world.run(100);
    assert_eq!((world.pages[page].received.len() - received, world.heard(0).len() - heard), (said, said), "of {said} each way");
    assert!(!world.events.iter().any(|event| matches!(event, Event::Failed { .. } | Event::Silent { .. })), "{:?}", world.events);
    assert!((1..=10).contains(&log.lines().len()), "{:#?}", log.lines());
}

#[test]
fn ten_thousand_recorded_packets_are_not_heard_again_and_numbers_wrap() {
    let (mut world, page) = protected();
    (world.phone.sequence, world.pages[page].place.0) = (60_000, 60_000);
    world.tapped = Some(Vec::new());
    let of_phone: Vec<Vec<u8>> = (60_001..70_001).map(|number| talk(&mut world, page, number)).collect();
    let of_page = world.tapped.take().expect("tapped");
    assert_eq!((world.pages[page].received.len(), world.heard(0).len()), (10_000, 10_000), "over the end of 16 bits, too");
    let (page_at, phone_at) = (world.pages[page].at, world.phone.at);
    world.to_peer.clear();
    world.pages[page].received.clear();
    for bytes in of_page.into_iter().filter(|bytes| bytes[0] & 0xc0 == 0x80) {
        world.inject(Socket::Page, page_at, bytes);
    }
    for bytes in of_phone {
        world.inject(Socket::Rtp(S), phone_at, bytes);
    }
    assert_eq!((world.pages[page].received.len(), world.heard(0).len()), (0, 0), "of what was recorded");
    talk(&mut world, page, 70_001);
    assert_eq!((world.pages[page].received.len(), world.heard(0).len()), (1, 1));
}

/// Returns a ClientHello of DTLS 1.2 that asks for no encryption (RFC 6347, 4.2).
fn client_hello() -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([0x5a; 32]);
    // No session, no cookie; TLS_NULL_WITH_NULL_NULL; no compression; use_srtp with AES128_CM_SHA1_80 (RFC 5764).
    body.extend([0, 0, 0, 2, 0, 0, 1, 0, 0, 9, 0, 14, 0, 5, 0, 2, 0, 1, 0]);
    let length = [0, 0, body.len() as u8];
    let mut message = vec![1];
    message.extend([&length[..], &[0, 0, 0, 0, 0], &length].concat());
    message.extend(body);
    let mut record = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, message.len() as u8];
    record.extend(message);
    record
}

/// CVE-2023-49786, -51443 and -51275: the first sender of a ClientHello, from any address, took over the call.
#[test]
fn without_the_ice_password_nobody_can_start_dtls_first() {
    const CALLS: usize = 1_000;
    let mut world = World::new();
    let hello = client_hello();
    for n in 0..CALLS {
        world.pages.clear();
        let page = world.page(&format!("192.0.2.5:{}", 5_000 + n));
        world.open(settings(&[Codec::Pcmu]));
        let offer = world.pages[page].offer();
        let answer = world.offered(Leg::Page, offer).expect("an answer");
        world.inject(Socket::Page, address("192.0.2.66:666"), hello.clone());
        world.pages[page].accept(&answer);
        let mut waited = 0;
        while !world.pages[page].rtc.is_connected() {
            // From another host, and from another port of the page's host.
            world.inject(Socket::Page, address("192.0.2.66:666"), hello.clone());
            world.inject(Socket::Page, address("192.0.2.5:666"), hello.clone());
            world.run(1);
            waited += 1;
            assert!(waited < 3_000, "call {n}");
        }
        world.command(Command::Close { session: S });
    }
    assert_eq!(world.astray, 0, "nothing is answered");
    assert!(world.engine.dropped >= 3 * CALLS as u64);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Failed { .. })));
}

const ATTACKER: &str = "192.0.2.66:6000";

/// Returns a call to a phone behind NAT with the address `said` in its SDP, whose SIP comes from 203.0.113.9.
fn behind_nat(said: &str, security: Security) -> (World, usize) {
    let mut world = World::new();
    let there = std::mem::replace(&mut world.phone.at, address(said));
    world.phone.key = (security == Security::Sdes).then(|| STANDARD.encode(KEY));
    let settings = PeerSettings { nat: true, signalling: vec![there.ip()], security, ..settings(&[Codec::Pcmu]) };
    let page = world.call(settings, &[PCMU]);
    world.phone.at = there;
    world.to_peer.clear();
    (world, page)
}

/// Returns a packet of another stream.
fn foreign_packet(number: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(number.to_be_bytes());
    packet.extend((u32::from(number) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([9; 160]);
    packet
}

/// Phone and page talk while the attacker goes on; they hear each other and nobody else.
#[track_caller]
fn they_talk(world: &mut World, page: usize, attackers: &[&str]) {
    world.to_peer.clear();
    world.pages[page].received.clear();
    for number in 0..50 {
        let packet = world.phone.packet(0, &[1; 160], 160);
        let packet = if world.phone.key.is_some() { srtp(&KEY, &packet, 0) } else { packet };
        world.inject(Socket::Rtp(S), world.phone.at, packet);
        world.page_sends(page, 0, &[2; 160], 160);
        attackers.iter().for_each(|from| world.inject(Socket::Rtp(S), address(from), foreign_packet(1_000 + number, 7)));
        world.run(20);
    }
    let received = &world.pages[page].received;
    assert!(received.len() >= 48 && received.iter().all(|packet| packet.payload[0] == 1), "{} of 50", received.len());
    let sound = world.to_peer.iter().filter(|(socket, to, _)| *socket == Socket::Rtp(S) && *to == world.phone.at).count();
    assert!(sound >= 48, "{sound} of 50");
    let astray = world.to_peer.iter().filter(|(socket, to, _)| *socket == Socket::Rtp(S) && *to != world.phone.at).count();
    assert_eq!(astray, 0, "nothing to others");
}

/// CVE-2017-14099, CVE-2025-53399: the first sender to the port of a phone behind NAT was taken for the phone until new SDP.
#[test]
fn an_attacker_that_sends_first_does_not_get_the_media_of_a_phone_behind_nat() {
    for (said, attacker, before) in
        [("203.0.113.9:6000", ATTACKER, 200), ("10.1.1.1:6000", ATTACKER, 90), ("203.0.113.9:6000", "203.0.113.9:7777", 90)]
    {
        let (mut world, page) = behind_nat(said, Security::None);
        for number in 0..before {
            world.inject(Socket::Rtp(S), address(attacker), foreign_packet(number, 7));
            world.page_sends(page, 0, &[2; 160], 160);
            world.run(20);
        }
        assert!(attacker != ATTACKER || world.pages[page].received.is_empty(), "{said}: nothing of the attacker is heard");
        let leaked = world.to_peer.iter().filter(|(_, to, _)| *to == address(attacker)).count();
        assert!(leaked < 5, "{said}: {leaked} packets to {attacker}");
        they_talk(&mut world, page, &[attacker]);
        // New SDP does not help the attacker.
        let offer = world.phone.sdp(&[PCMU]).replace(&world.phone.at.ip().to_string(), &address(said).ip().to_string());
        world.offered(Leg::Peer, offer).expect("an answer");
        they_talk(&mut world, page, &[attacker]);
    }
}

/// Only a private address of the phone is known: another source that was accepted for lack of a better one is replaced at the
/// phone's first packet.
#[test]
fn a_phone_behind_nat_replaces_a_source_that_was_accepted_before_it() {
    let (mut world, page) = behind_nat("10.1.1.1:6000", Security::None);
    for number in 0..300 {
        world.inject(Socket::Rtp(S), address(ATTACKER), foreign_packet(number, 7));
        world.run(20);
    }
    they_talk(&mut world, page, &[ATTACKER]);
}

/// The same where another host behind the phone's NAT was first, and for long: packets in order from the signalled address win,
/// however many the other sends.
#[test]
fn the_signalled_port_replaces_other_ports_of_its_host() {
    let (mut world, page) = behind_nat("203.0.113.9:6000", Security::None);
    for number in 0..300 {
        world.inject(Socket::Rtp(S), address("203.0.113.9:7777"), foreign_packet(number, 7));
        world.run(20);
    }
    for number in 0..3 {
        world.phone_sends(0, &[1; 160], 160);
        world.inject(Socket::Rtp(S), address("203.0.113.9:7777"), foreign_packet(300 + number, 7));
        world.run(20);
    }
    they_talk(&mut world, page, &["203.0.113.9:7777"]);
}

/// Where its media come from another address than its SIP, they are accepted once no better source has sent for two seconds.
#[test]
fn a_phone_behind_a_nat_with_several_addresses_is_heard() {
    let (mut world, page) = behind_nat("10.1.1.1:6000", Security::None);
    world.phone.at = address("198.51.100.77:40000");
    for _ in 0..110 {
        world.phone_sends(0, &[1; 160], 160);
        world.run(20);
    }
    they_talk(&mut world, page, &[]);
}

/// Single packets from the address of the phone's NAT can be forged, but the forger does not see the answers.
#[test]
fn single_packets_of_others_do_not_replace_a_phone_behind_nat() {
    let (mut world, page) = behind_nat("10.1.1.1:6000", Security::None);
    for number in 0..20_u16 {
        let from = format!("203.0.113.9:{}", 20_000 + number);
        world.inject(Socket::Rtp(S), address(&from), foreign_packet(number * 999, number.into()));
        world.page_sends(page, 0, &[2; 160], 160);
    }
    assert!(world.to_peer.len() <= 3, "{} packets to where nobody is", world.to_peer.len());
    world.phone.at = address("203.0.113.9:40000");
    they_talk(&mut world, page, &[]);
}

/// Packets without a valid tag change nothing, even if they are first, and a replayed one is too late.
#[test]
fn with_srtp_no_other_source_is_accepted_behind_nat() {
    for said in ["203.0.113.9:6000", "10.1.1.1:6000"] {
        let (mut world, page) = behind_nat(said, Security::Sdes);
        for number in 0..200 {
            world.inject(Socket::Rtp(S), address(ATTACKER), foreign_packet(number, 7));
            world.inject(Socket::Rtp(S), address(ATTACKER), srtp(&[8; 30], &foreign_packet(number, 7), 0));
            world.inject(Socket::Rtp(S), address("203.0.113.9:7777"), srtp(&[8; 30], &foreign_packet(number, 7), 0));
            world.page_sends(page, 0, &[2; 160], 160);
            world.run(20);
        }
        let leaked = world.to_peer.iter().filter(|(_, to, _)| *to != address(said)).count();
        assert_eq!((world.pages[page].received.len(), leaked), (0, 0), "{said}");
        they_talk(&mut world, page, &[ATTACKER, "203.0.113.9:7777"]);
        let packet = srtp(&KEY, &world.phone.packet(0, &[1; 160], 160), 0);
        world.inject(Socket::Rtp(S), world.phone.at, packet.clone());
        world.inject(Socket::Rtp(S), address(ATTACKER), packet);
        they_talk(&mut world, page, &[ATTACKER]);
    }
}

/// The NAT gives the phone another port during the call, while others send, too.
#[test]
fn a_phone_with_a_new_port_is_accepted_and_no_other_source() {
    let mut world = World::new();
    let page = world.call(PeerSettings { nat: true, ..settings(&[Codec::Pcmu]) }, &[PCMU]);
    world.phone_sends(0, &[1; 160], 160);
    let ssrc = world.phone.ssrc;
    for round in 0..10u16 {
        let there = address(&format!("203.0.113.9:{}", 7_000 + round));
        world.phone.at = there;
        world.to_peer.clear();
        world.pages[page].received.clear();
        let mut first = None;
        for n in 0..50 {
            // A source that knows everything but cannot send from the phone's host, and one on that host that does not know the
            // stream.
            let spray = world.phone.packet(0, &[9; 160], 0);
            world.inject(Socket::Rtp(S), address("192.0.2.66:6000"), spray);
            world.phone.ssrc = 5;
            let spray = world.phone.packet(0, &[9; 160], 0);
            world.inject(Socket::Rtp(S), address("203.0.113.9:9999"), spray);
            world.phone.ssrc = ssrc;
            world.phone.sequence = world.phone.sequence.wrapping_sub(2);
            world.phone_sends(0, &[1; 160], 160);
            world.page_sends(page, 0, &[2; 160], 160);
            world.run(20);
            let is_there = world.to_peer.iter().any(|(socket, to, _)| *socket == Socket::Rtp(S) && *to == there);
            first = first.or((is_there && !world.pages[page].received.is_empty()).then_some(n));
        }
        assert!(first.is_some_and(|packets| packets * 20 <= 1_000), "both ways after {first:?} packets");
        assert_eq!(world.pages[page].received.len(), 50);
        assert!(world.pages[page].received.iter().all(|packet| packet.payload[0] == 1), "nothing of others");
        assert!(world.to_peer.iter().all(|(_, to, _)| to.ip() == there.ip() && to.port() < 9_000), "nothing to others");
    }
}
