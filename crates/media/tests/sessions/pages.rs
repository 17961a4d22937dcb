//! The page's side: codecs, restarts, hold, other devices, and rejected sources.

use offhook_media::{Codec, Command, Event, Leg, MediaError, Socket};
use offhook_testing::phone::PCMU;
use str0m::media::Direction;

use crate::world::{EVENTS, PCMA, S, SILENCE, World, address, settings};

#[test]
fn sound_goes_both_ways_as_it_is() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu, Codec::Pcma]), &[PCMU, EVENTS]);
    for n in 0..50u8 {
        world.page_sends(page, 0, &[n; 160], 160);
        world.phone_sends(0, &[n ^ 0xff; 160], 160);
        world.run(20);
    }
    let heard = world.heard(0);
    assert_eq!(heard.len(), 50);
    assert!(heard.iter().enumerate().all(|(n, packet)| packet[12..] == [n as u8; 160]));
    let sequence = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
    assert!(heard.windows(2).all(|pair| sequence(pair[1]) == sequence(pair[0]).wrapping_add(1)));
    let received = &world.pages[page].received;
    assert_eq!(received.len(), 50);
    assert!(received.iter().enumerate().all(|(n, packet)| packet.payload[..] == [n as u8 ^ 0xff; 160]));
    assert!(received.windows(2).all(|pair| pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp) == 160));
    assert!(received.iter().all(|packet| *packet.header.ssrc != world.phone.ssrc), "a stream of ours");
}

#[test]
fn opus_passes_where_the_phone_has_it() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Opus, Codec::Pcmu]), &[("opus/48000/2", 96)]);
    let (_, payload_type) = world.pages[page].codecs()[0];
    world.page_sends(page, payload_type, b"frame", 960);
    world.phone_sends(111, b"frames", 960);
    world.run(5);
    assert_eq!(world.heard(96).len(), 1, "as the payload type that the phone has named");
    assert_eq!(&world.pages[page].received[0].payload[..], b"frames");
}

#[test]
fn the_order_of_codecs_is_the_trunks() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcma, Codec::Opus]), &[PCMA]);
    let codecs: Vec<_> = world.pages[page].codecs().iter().map(|(codec, _)| *codec).collect();
    assert!(
        world.events.iter().any(|event| matches!(event, Event::Answer { sdp: Ok(sdp), .. } if sdp.contains("SAVPF 8 111 "))),
        "{codecs:?}"
    );
}

#[test]
fn a_page_is_called() {
    let mut world = World::new();
    let page = world.page("192.0.2.6:5000");
    world.open(settings(&[Codec::Opus, Codec::Pcmu]));
    let offer = world.phone.sdp(&[PCMU, EVENTS]);
    let answer = world.offered(Leg::Peer, offer).expect("an answer");
    assert!(answer.contains("m=audio 30000 RTP/AVP 0 101\r\n"), "{answer}");
    let offer = world.offer(Leg::Page).expect("an offer");
    assert!(offer.contains("a=ice-lite") && offer.contains("a=setup:actpass"));
    let answer = world.pages[page].answer(&offer);
    world.answered(Leg::Page, answer);
    world.run(500);
    world.phone_sends(0, &[1; 160], 160);
    assert!(offer.contains("SAVPF 0 111 "), "what the phone has comes first: {offer}");
    world.page_sends(page, 0, &[2; 160], 160);
    world.run(5);
    assert_eq!((world.pages[page].received.len(), world.heard(0).len()), (1, 1));
}

#[test]
fn another_device_answers_in_the_end() {
    let mut world = World::new();
    let (first, second) = (world.page("192.0.2.6:5000"), world.page("192.0.2.7:5000"));
    world.open(settings(&[Codec::Pcmu]));
    let offer = world.phone.sdp(&[PCMU]);
    world.offered(Leg::Peer, offer).expect("an answer");
    let offer = world.offer(Leg::Page).expect("an offer");
    let (early, last) = (world.pages[first].answer(&offer), world.pages[second].answer(&offer));
    world.answered(Leg::Page, early.clone());
    world.run(300);
    assert!(world.pages[first].rtc.is_connected());
    world.answered(Leg::Page, early);
    world.answered(Leg::Page, last);
    world.run(2_000);
    assert!(world.pages[second].rtc.is_connected());
    world.phone_sends(0, &[1; 160], 160);
    world.page_sends(second, 0, &[2; 160], 160);
    world.run(5);
    assert_eq!((world.pages[second].received.len(), world.heard(0).len()), (1, 1));
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Connected { .. })).count(), 2);
}

#[test]
fn ice_is_restarted_from_another_network() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    let there = address("192.0.2.99:7000");
    world.pages[page].at = there;
    world.pages[page].rtc.add_local_candidate(str0m::Candidate::host(there, "udp").expect("a candidate"));
    let offer = world.pages[page].change(None);
    let answer = world.offered(Leg::Page, offer).expect("an answer");
    world.pages[page].accept(&answer);
    world.run(3_000);
    world.page_sends(page, 0, &[2; 160], 160);
    world.phone_sends(0, &[1; 160], 160);
    world.run(5);
    assert_eq!((world.pages[page].received.len(), world.heard(0).len()), (1, 1));
}

#[test]
fn a_page_on_hold_gets_nothing_and_stays() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    let offer = world.pages[page].change(Some(Direction::Inactive));
    let answer = world.offered(Leg::Page, offer).expect("an answer");
    assert!(answer.contains("a=inactive"));
    world.pages[page].accept(&answer);
    for _ in 0..2_000 {
        world.phone_sends(0, &[1; 160], 160);
        world.run(20);
    }
    assert_eq!(world.pages[page].received.len(), 0);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Silent { .. })), "the page still asks for consent");
}

/// Who is on hold may be silent, also by the page's will; from the end of the hold on it has to send again.
#[test]
fn a_phone_that_a_page_holds_need_not_send() {
    for held in [Direction::Inactive, Direction::SendOnly] {
        let mut world = World::new();
        let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
        let set = |world: &mut World, direction| {
            let offer = world.pages[page].change(Some(direction));
            let answer = world.offered(Leg::Page, offer).expect("an answer");
            world.pages[page].accept(&answer);
        };
        let silent = |world: &World| world.events.iter().filter(|event| matches!(event, Event::Silent { .. })).count();
        world.phone_sends(0, &[1; 160], 160);
        set(&mut world, held);
        world.run(3 * SILENCE);
        assert_eq!(silent(&world), 0, "{held:?}");
        set(&mut world, Direction::SendRecv);
        world.run(SILENCE - 1_000);
        assert_eq!(silent(&world), 0, "{held:?}: it has the whole time again");
        world.run(2_000);
        assert_eq!(silent(&world), 1, "{held:?}");
    }
}

#[test]
fn what_is_no_audio_is_refused_in_the_answer() {
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    world.open(settings(&[Codec::Opus]));
    let mut changes = world.pages[page].rtc.sdp_api();
    changes.add_media(str0m::media::MediaKind::Video, Direction::SendRecv, None, None, None);
    changes.add_media(str0m::media::MediaKind::Audio, Direction::SendRecv, None, None, None);
    let (offer, pending) = changes.apply().expect("a change");
    let answer = world.offered(Leg::Page, offer.to_sdp_string()).expect("an answer");
    let kinds: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).map(|line| &line[..9]).collect();
    assert_eq!(kinds, ["m=video 0", "m=audio 9"]);
    let answer = str0m::change::SdpAnswer::from_sdp_string(&answer).expect("an answer");
    world.pages[page].rtc.sdp_api().accept_answer(pending, answer).expect("an answer that fits");
}

#[test]
fn a_page_that_shows_another_certificate_is_not_connected() {
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    world.open(settings(&[Codec::Pcmu]));
    let offer = world.pages[page].offer();
    let at = offer.find("a=fingerprint:sha-256 ").expect("a fingerprint") + 22;
    let wrong = if offer[at..].starts_with("00") { "11" } else { "00" };
    let other = format!("{}{wrong}{}", &offer[..at], &offer[at + 2..]);
    let answer = world.offered(Leg::Page, other).expect("an answer");
    world.pages[page].accept(&answer);
    world.run(2_000);
    assert!(world.events.iter().any(|event| matches!(event, Event::Failed { leg: Leg::Page, error: MediaError::Fingerprint, .. })));
    assert!(!world.events.iter().any(|event| matches!(event, Event::Connected { .. })));
    world.phone_sends(0, &[1; 160], 160);
    assert!(world.pages[page].received.is_empty());
}

#[test]
fn unknown_sources_begin_no_handshake_and_garbage_does_no_harm() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    let mut dice = 12_345u64;
    for n in 0..5_000 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = (dice >> 33) as usize % 300;
        let mut bytes: Vec<u8> = (0..length).map(|at| (dice.rotate_left(at as u32) >> 7) as u8).collect();
        if let Some(first) = bytes.first_mut() {
            *first = [0, 1, 22, 128, 129, 144, 191, 255][n % 8];
        }
        // From the page's own address, which can be forged, and from another one.
        let source = if n % 2 == 0 { world.pages[page].at } else { address("192.0.2.66:666") };
        world.inject(Socket::Page, source, bytes.clone());
        world.inject(Socket::Rtp(S), if n % 2 == 0 { world.phone.at } else { source }, bytes.clone());
        world.inject(Socket::Rtcp(S), world.phone.at, bytes);
    }
    world.to_peer.clear();
    world.pages[page].received.clear();
    world.run(100);
    world.phone.ssrc = 99;
    world.phone_sends(0, &[1; 160], 160);
    world.page_sends(page, 0, &[2; 160], 160);
    world.run(5);
    assert_eq!((world.pages[page].received.len(), world.heard(0).len()), (1, 1));
    assert!(world.engine.dropped >= 2_000);
}

#[test]
fn replayed_packets_of_a_page_are_not_passed_on() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    let moment = world.epoch.moment(world.now);
    world.pages[page].send(moment, 0, &[2; 160], 160);
    let source = world.pages[page].at;
    world.settle();
    assert_eq!(world.heard(0).len(), 1);
    world.pages[page].send(moment, 0, &[3; 160], 160);
    let mut captured = Vec::new();
    while let Ok(str0m::Output::Transmit(transmit)) = world.pages[page].rtc.poll_output() {
        captured.push(Vec::from(transmit.contents));
    }
    for _ in 0..100 {
        for datagram in &captured {
            world.inject(Socket::Page, source, datagram.clone());
        }
    }
    assert_eq!(world.heard(0).len(), 2);
}

#[test]
fn a_page_that_vanishes_is_missed() {
    let mut world = World::new();
    world.call(settings(&[Codec::Pcmu]), &[PCMU, EVENTS]);
    world.lose = |_| true;
    for _ in 0..1_600 {
        world.phone_sends(0, &[1; 160], 160);
        world.run(20);
    }
    let silent = world.events.iter().filter_map(|event| match event {
        Event::Silent { leg, .. } => Some(*leg),
        _ => None,
    });
    assert_eq!(silent.collect::<Vec<_>>(), [Leg::Page]);
}

#[test]
fn losses_of_a_page_are_seen_by_the_phone_as_losses() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    world.lose = |n| n % 5 == 0;
    for _ in 0..100 {
        world.page_sends(page, 0, &[2; 160], 160);
        world.run(20);
    }
    world.lose = |_| false;
    world.page_sends(page, 0, &[2; 160], 160);
    let heard = world.heard(0);
    let number = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
    let stamp = |packet: &[u8]| u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    let (first, last) = (heard[0], heard[heard.len() - 1]);
    let span = u32::from(number(last).wrapping_sub(number(first)));
    assert_eq!(stamp(last).wrapping_sub(stamp(first)), span * 160);
    assert!(heard.len() < span as usize, "{} of {span}", heard.len());
    let heard = heard.len() as u64;
    world.command(Command::Close { session: S });
    let closed = world.events.iter().find_map(|event| match event {
        Event::Closed { traffic, .. } => Some(*traffic),
        _ => None,
    });
    let (received, lost) = closed.expect("closed").from_page;
    assert_eq!(received, heard);
    assert!(lost >= 10, "{lost}");
    assert_eq!(world.bound, 0);
}

#[test]
fn no_words_of_a_page_bring_the_gateway_down() {
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    world.open(settings(&[Codec::Opus]));
    let offer = world.pages[page].offer();
    let mut dice = 99u64;
    for _ in 0..3_000 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut lines: Vec<String> = offer.lines().map(str::to_owned).collect();
        let at = (dice >> 40) as usize % lines.len();
        match (dice >> 33) % 5 {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[(dice >> 20) as usize % lines.len()].clone()),
            2 => lines[at].push_str(["é€€€€€€€€€€€€", " 0", "/2", ":", " 111 111"][(dice >> 50) as usize % 5]),
            3 => lines[at] = lines[at].chars().filter(|character| !character.is_ascii_digit()).collect(),
            _ => {
                let length = (dice >> 44) as usize % (lines[at].len() + 1);
                lines[at].truncate(length);
            }
        }
        // It may be answered or rejected.
        drop(world.offered(Leg::Page, lines.join("\r\n") + "\r\n"));
        world.run(1);
    }
}

#[test]
fn an_offer_of_firefox_is_answered() {
    let mut world = World::new();
    world.open(settings(&[Codec::Pcma]));
    let print = (0..32).map(|n| format!("{n:02X}")).collect::<Vec<_>>().join(":");
    let offer = format!(
        "v=0\r\no=mozilla...THIS_IS_SDPARTA-99.0 7710052215259647220 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=sendrecv\r\n\
         a=fingerprint:sha-256 {print}\r\na=group:BUNDLE 0\r\na=ice-options:trickle\r\na=msid-semantic:WMS *\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 109 9 0 8 101\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\n\
         a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level\r\n\
         a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap-allow-mixed\r\n\
         a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\na=fmtp:101 0-15\r\na=ice-pwd:b0ea4dc7f2d9f07ae1fb4b1b9ad6ab4e\r\n\
         a=ice-ufrag:d3ab3f9d\r\na=mid:0\r\na=msid:- {{86f1f8d6-6d1e-4bd6-9b6a-0b3d4c8c5b6f}}\r\na=rtcp-mux\r\n\
         a=rtpmap:109 opus/48000/2\r\na=rtpmap:9 G722/8000/1\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000/1\r\na=setup:actpass\r\na=ssrc:2655508255 cname:{{735484ea-4f6c-f74a-bd66-7425f8476c2e}}\r\n"
    );
    let answer = world.offered(Leg::Page, offer).expect("an answer");
    assert!(answer.contains("m=audio 9 UDP/TLS/RTP/SAVPF 8 109 0 9 101\r\n"), "{answer}");
    assert!(
        answer.lines().any(|line| line.starts_with("a=fmtp:109 ") && line.contains("useinbandfec=1")),
        "we use copies: {answer}"
    );
    assert!(answer.contains("a=setup:passive") && answer.contains("a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid"), "{answer}");
}
