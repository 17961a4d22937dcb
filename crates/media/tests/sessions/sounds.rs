//! What the gateway makes itself: transcoded sound, DTMF digits, announcements; and SRTP on the SIP side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_media::{Codec, Command, Event, Leg, PeerSettings, Prompt, Security, Socket};
use offhook_testing::phone::PCMU;
use offhook_testing::tone::{quality, sine};

use crate::srtp::srtp;
use crate::world::{EVENTS, PCMA, S, World, only, settings};

const OPUS: (&str, u8) = ("opus/48000/2", 111);

/// Returns µ-law of G.711.
fn to_ulaw(sample: i16) -> u8 {
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let exponent = (24 - (magnitude as u32).leading_zeros()) as u8;
    let mantissa = (magnitude >> (exponent + 3)) as u8 & 0x0f;
    !(if sample < 0 { 0x80 } else { 0 } | exponent << 4 | mantissa)
}

fn from_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = (((i32::from(byte & 0x0f) << 3) + 132) << ((byte >> 4) & 7)) - 132;
    (if byte & 0x80 != 0 { -magnitude } else { magnitude }) as i16
}

#[test]
fn a_tone_comes_through_from_opus_to_g711() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Opus, Codec::Pcmu]), &[PCMU]);
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip).expect("an encoder");
    for n in 0..150 {
        let frame = encoder.encode_vec(&sine(48_000, 1_000.0, 0.4, n * 960, 960), 400).expect("a frame");
        world.page_sends(page, 111, &frame, 960);
        world.run(20);
    }
    let heard = world.heard(0);
    assert!((145..=151).contains(&heard.len()), "{}", heard.len());
    let stamp = |packet: &[u8]| u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    assert!(heard.windows(2).all(|pair| stamp(pair[1]).wrapping_sub(stamp(pair[0])) == 160));
    let pcm: Vec<i16> = heard.iter().flat_map(|packet| packet[12..].iter().map(|byte| from_ulaw(*byte))).collect();
    let heard = quality(8_000, 1_000.0, &pcm[8_000..]);
    assert!(heard > 20.0, "{heard} dB");
}

#[test]
fn a_tone_comes_through_from_g711_to_a_page_without_it() {
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    world.open(settings(&[Codec::Pcmu]));
    let offer = world.pages[page].offer();
    let answer = world.offered(Leg::Page, only(&[111], &offer)).expect("an answer");
    world.pages[page].accept(&answer);
    world.offer(Leg::Peer).expect("an offer");
    let answer = world.phone.sdp(&[PCMU]);
    world.answered(Leg::Peer, answer);
    world.run(500);
    for n in 0..150 {
        let frame: Vec<u8> = sine(8_000, 700.0, 0.4, n * 160, 160).into_iter().map(to_ulaw).collect();
        world.phone_sends(0, &frame, 160);
        world.run(20);
    }
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Mono).expect("a decoder");
    let mut pcm = Vec::new();
    for packet in &world.pages[page].received {
        assert_eq!(*packet.header.payload_type, 111);
        let mut frame = [0; 5760];
        let length = decoder.decode(&packet.payload, &mut frame, false).expect("a frame");
        pcm.extend_from_slice(&frame[..length]);
    }
    let heard = quality(48_000, 700.0, &pcm[48_000..]);
    assert!(pcm.len() > 48_000 * 28 / 10 && heard > 15.0, "{heard} dB of {} samples", pcm.len());
}

/// Returns the packets of a DTMF digit: its event code, and its length in ticks.
fn send_digit(world: &mut World, page: Option<usize>, payload_type: u8, code: u8, ticks: u16) {
    let start = 160;
    for n in 1..=5u16 {
        let end = if n == 5 { 0x80 } else { 0 };
        let [high, low] = (ticks / 5 * n).to_be_bytes();
        let payload = [code, end | 10, high, low];
        let ticks = if n == 1 { start } else { 0 };
        match page {
            Some(page) => world.page_sends(page, payload_type, &payload, ticks),
            None => world.phone_sends(payload_type, &payload, ticks),
        }
        world.run(20);
    }
    world.run(300);
}

#[test]
fn digits_of_a_page_reach_the_phone() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU, EVENTS]);
    for _ in 0..5 {
        world.page_sends(page, 0, &[2; 160], 160);
        world.run(20);
    }
    send_digit(&mut world, Some(page), 126, 5, 800);
    send_digit(&mut world, Some(page), 126, 11, 800);
    let ends: Vec<u8> = world.heard(101).iter().filter(|packet| packet[13] & 0x80 != 0).map(|packet| packet[12]).collect();
    assert_eq!(ends, [5, 5, 5, 11, 11, 11]);
    assert!(!world.events.iter().any(|event| matches!(event, Event::Digit { .. })));
}

#[test]
fn digits_are_reported_where_the_phone_takes_them_by_info() {
    let mut world = World::new();
    let info = PeerSettings { info: true, ..settings(&[Codec::Pcmu]) };
    let page = world.call(info, &[PCMU]);
    send_digit(&mut world, Some(page), 126, 5, 800);
    let digit = world.events.iter().find_map(|event| match event {
        Event::Digit { leg, digit, duration, .. } => Some((*leg, *digit, *duration)),
        _ => None,
    });
    assert_eq!(digit, Some((Leg::Page, '5', 100)));
}

#[test]
fn digits_of_the_phone_reach_the_page() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU, EVENTS]);
    for _ in 0..5 {
        world.phone_sends(0, &[2; 160], 160);
        world.run(20);
    }
    send_digit(&mut world, None, 101, 9, 800);
    world.command(Command::SendDigit { session: S, leg: Leg::Page, digit: '#', duration: 100 });
    world.run(400);
    let digits =
        world.pages[page].received.iter().filter(|packet| *packet.header.payload_type == 126 && packet.payload[1] & 0x80 != 0);
    assert_eq!(digits.map(|packet| packet.payload[0]).collect::<Vec<_>>(), [9, 9, 9, 11, 11, 11]);
    world.phone_sends(0, &[2; 160], 160);
    world.run(5);
    let numbers: Vec<u64> = world.pages[page].received.iter().map(|packet| *packet.seq_no).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

#[test]
fn a_digit_by_info_is_sent_to_the_phone() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcma]), &[PCMA, EVENTS]);
    world.page_sends(page, 8, &[2; 160], 160);
    world.command(Command::SendDigit { session: S, leg: Leg::Peer, digit: '1', duration: 200 });
    for _ in 0..20 {
        world.page_sends(page, 8, &[2; 160], 160);
        world.run(20);
    }
    let events = world.heard(101);
    assert!(events.len() > 8 && events.iter().all(|packet| packet[12] == 1), "{}", events.len());
    assert!(events[0][1] & 0x80 != 0, "marked");
    assert!((4..=12).contains(&world.heard(8).len()), "no sound during the digit: {}", world.heard(8).len());
}

#[test]
fn an_announcement_is_played_in_place_of_the_phone() {
    let mut world = World::new();
    let page = world.call(settings(&[Codec::Pcmu]), &[PCMU]);
    world.command(Command::Play { session: S, prompt: Prompt::Connected, times: 2 });
    let mut waited = 0;
    while !world.events.iter().any(|event| matches!(event, Event::Played { .. })) {
        world.phone_sends(0, &[0x55; 160], 160);
        world.run(20);
        waited += 20;
        assert!(waited < 60_000);
    }
    let received = &world.pages[page].received;
    assert!(received.iter().all(|packet| packet.payload[..] != [0x55; 160]));
    assert!(received.len().abs_diff(waited / 20) <= 2, "{} in {waited} ms", received.len());
    assert!(received.windows(2).all(|pair| pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp) == 160));
    world.phone_sends(0, &[0x55; 160], 160);
    world.run(5);
    assert_eq!(world.pages[page].received.last().expect("the phone again").payload[..], [0x55; 160]);
}

#[test]
fn the_sip_side_is_encrypted_with_the_keys_in_its_sdp() {
    let mut world = World::new();
    let (key, secure) = ([7; 30], PeerSettings { security: Security::Sdes, ..settings(&[Codec::Pcmu]) });
    world.phone.key = Some(STANDARD.encode(key));
    let page = world.call(secure, &[PCMU]);
    let offer = world.events.iter().find_map(|event| match event {
        Event::Offer { sdp: Ok(sdp), .. } => Some(sdp.clone()),
        _ => None,
    });
    let offer = offer.expect("an offer");
    let line = offer.lines().find_map(|line| line.strip_prefix("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:")).expect("keys");
    let ours = STANDARD.decode(line).expect("a key");
    assert!(offer.contains(" RTP/SAVP 0"));

    let plain = world.phone.packet(0, &[1; 160], 160);
    world.inject(Socket::Rtp(S), world.phone.at, plain.clone());
    assert!(world.pages[page].received.is_empty(), "not in the clear");
    let sealed = srtp(&key, &plain, 0);
    let mut forged = sealed.clone();
    forged[20] ^= 1;
    world.inject(Socket::Rtp(S), world.phone.at, forged);
    assert!(world.pages[page].received.is_empty(), "not forged");
    for _ in 0..1_000 {
        world.inject(Socket::Rtp(S), world.phone.at, sealed.clone());
    }
    assert_eq!(world.pages[page].received.len(), 1, "and not twice");

    world.page_sends(page, 0, &[2; 160], 160);
    world.run(5);
    let heard = world.heard(0)[0].to_vec();
    assert_eq!(heard.len(), 12 + 160 + 10);
    let mut plain = heard[..12].to_vec();
    plain.extend([2; 160]);
    assert_eq!(srtp(&ours, &plain, 0), heard);
    world.command(Command::Close { session: S });
    assert!(world.events.iter().any(|event| matches!(event, Event::Closed { traffic, .. } if traffic.refused == 1_001)));
}

#[test]
fn a_phone_without_keys_is_refused_where_they_are_wanted() {
    let mut world = World::new();
    world.open(PeerSettings { security: Security::Sdes, ..settings(&[Codec::Pcmu]) });
    let offer = world.phone.sdp(&[PCMU, OPUS]);
    assert_eq!(world.offered(Leg::Peer, offer), Err(offhook_media::MediaError::NotAcceptable));
}
