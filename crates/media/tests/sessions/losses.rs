//! Losses that sides report, and the reaction to them; and sound between phones and pages without a common codec.

use offhook_media::{Codec, Leg, Socket};
use offhook_testing::phone::PCMU;
use offhook_testing::tone::{loudness, quality, sine, voice};

use crate::world::{S, World, address, only, settings};

const OPUS: (&str, u8) = ("opus/48000/2", 111);

/// Whether an Opus packet of 20 ms has in-band FEC (RFC 6716, 4.2.4).
fn holds_copy(payload: &[u8]) -> bool {
    payload[0] >> 3 < 16 && payload[1] & 0x40 != 0
}

fn to_pcmu(pcm: &[i16]) -> Vec<u8> {
    let mut out = vec![0; pcm.len()];
    audio_codec::Encoder::encode_into(&mut audio_codec::pcmu::PcmuEncoder::new(), pcm, &mut out).expect("room");
    out
}

/// Returns the fraction of packets with in-band FEC that an Opus page gets in the last 10 of 40 seconds of a voice; it loses one of
/// six.
fn copies_for_a_page(write: fn(String) -> String) -> f64 {
    let mut world = World::new();
    let page = world.call_as(settings(&[Codec::Pcmu]), &[PCMU], |offer| write(only(&[111], &offer)));
    world.lose_to_page = |n| n % 6 == 0;
    for n in 0..2_000 {
        world.phone_sends(0, &to_pcmu(&voice(8_000, n * 160, 160)), 160);
        world.run(20);
    }
    let received = &world.pages[page].received;
    let last = &received[received.len() - 400..];
    last.iter().filter(|packet| holds_copy(&packet.payload)).count() as f64 / last.len() as f64
}

#[test]
fn a_page_that_reports_losses_gets_copies_of_what_it_may_lose() {
    let share = copies_for_a_page(|offer| offer);
    assert!(share > 0.7, "{share} of the packets hold a copy");
    assert_eq!(copies_for_a_page(|offer| offer.replace("useinbandfec=1", "useinbandfec=0")), 0.0, "who cannot use them gets none");
}

/// Returns a receiver report about the stream of the gateway (RFC 3550, 6.4.2).
fn report(ours: &[u8], fraction: u8) -> Vec<u8> {
    let mut packet = vec![0x81, 201, 0, 7, 0, 0, 0, 9];
    packet.extend(ours);
    packet.push(fraction);
    packet.resize(32, 0);
    packet
}

#[test]
fn a_phone_that_reports_losses_gets_copies_until_it_reports_none() {
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    world.open(settings(&[Codec::Opus]));
    let offer = only(&[0], &world.pages[page].offer());
    let answer = world.offered(Leg::Page, offer).expect("an answer");
    world.pages[page].accept(&answer);
    world.offer(Leg::Peer).expect("an offer");
    let answer = world.phone.sdp(&[OPUS]) + "a=fmtp:111 useinbandfec=1\r\n";
    world.answered(Leg::Peer, answer);
    world.run(500);
    world.phone_sends(111, b"\x08\x00", 960);
    let mut n = 0;
    for (reports, copies) in [(0, false), (26, true), (26, true), (0, true), (0, true), (0, true), (0, false)] {
        if n > 0 {
            let ours = world.heard(111)[0][8..12].to_vec();
            world.inject(Socket::Rtcp(S), address("203.0.113.9:6001"), report(&ours, reports));
        }
        world.to_peer.retain(|(socket, _, _)| *socket == Socket::Rtp(S));
        let before = world.heard(111).len();
        for _ in 0..100 {
            world.page_sends(page, 0, &to_pcmu(&voice(8_000, n * 160, 160)), 160);
            world.run(20);
            n += 1;
        }
        let heard = world.heard(111);
        let share = heard[before + 2..].iter().filter(|packet| holds_copy(&packet[12..])).count();
        assert_eq!(share > 50, copies, "{share} of 98 after a report of {reports}/256");
    }
}

/// A page and a phone with one codec each, and a tone both ways; returns its quality at the phone and at the page, dB.
fn between(page_has: (Codec, u8), phone_has: (Codec, &str, u8)) -> [f64; 2] {
    let mut world = World::new();
    let page = world.call_as(settings(&[phone_has.0]), &[(phone_has.1, phone_has.2)], |offer| only(&[page_has.1], &offer));
    let (mut mouths, mut ears) = ([mouth(page_has.0), mouth(phone_has.0)], [ear(phone_has.0), ear(page_has.0)]);
    let rates = [rate(page_has.0), rate(phone_has.0)];
    let mut say = |side: usize, n: usize| {
        let pcm = sine(rates[side], 700.0, 0.3, n * rates[side] as usize / 50, rates[side] as usize / 50);
        let mut out = vec![0; 400];
        let length = mouths[side].encode_into(&pcm, &mut out).expect("room");
        out[..length].to_vec()
    };
    for n in 0..150 {
        let (from_page, from_phone) = (say(0, n), say(1, n));
        world.page_sends(page, page_has.1, &from_page, 160);
        world.phone_sends(phone_has.2, &from_phone, 160);
        world.run(20);
    }
    let at_phone: Vec<Vec<u8>> = world.heard(phone_has.2).iter().map(|packet| packet[12..].to_vec()).collect();
    let at_page = world.pages[page].received.iter().filter(|packet| *packet.header.payload_type == page_has.1);
    let at_page: Vec<Vec<u8>> = at_page.map(|packet| packet.payload.to_vec()).collect();
    let mut side = 0;
    [(at_phone, phone_has.0), (at_page, page_has.0)].map(|(payloads, codec)| {
        assert!((145..=150).contains(&payloads.len()), "{}", payloads.len());
        let mut pcm = Vec::new();
        for payload in payloads {
            let mut frame = vec![0; 2_000];
            let length = ears[side].decode_into(&payload, &mut frame).expect("room");
            pcm.extend_from_slice(&frame[..length]);
        }
        side += 1;
        let heard = &pcm[rate(codec) as usize..];
        assert!((0.19..0.24).contains(&loudness(heard)), "{codec:?}: loudness {}, sent 0.212", loudness(heard));
        quality(rate(codec), 700.0, heard)
    })
}

const fn rate(codec: Codec) -> u32 {
    if matches!(codec, Codec::G722) { 16_000 } else { 8_000 }
}

fn mouth(codec: Codec) -> Box<dyn audio_codec::Encoder> {
    match codec {
        Codec::G722 => Box::new(audio_codec::g722::G722Encoder::new()),
        Codec::Pcma => Box::new(audio_codec::pcma::PcmaEncoder::new()),
        _ => Box::new(audio_codec::pcmu::PcmuEncoder::new()),
    }
}

fn ear(codec: Codec) -> Box<dyn audio_codec::Decoder> {
    match codec {
        Codec::G722 => Box::new(audio_codec::g722::G722Decoder::new()),
        Codec::Pcma => Box::new(audio_codec::pcma::PcmaDecoder::new()),
        _ => Box::new(audio_codec::pcmu::PcmuDecoder::new()),
    }
}

#[test]
fn a_page_without_opus_talks_to_a_phone_that_has_the_other_codec() {
    for (page, phone) in [
        ((Codec::G722, 9), (Codec::Pcmu, "PCMU/8000", 0)),
        ((Codec::G722, 9), (Codec::Pcma, "PCMA/8000", 8)),
        ((Codec::Pcmu, 0), (Codec::G722, "G722/8000", 9)),
        ((Codec::Pcma, 8), (Codec::G722, "G722/8000", 9)),
        ((Codec::Pcmu, 0), (Codec::Pcma, "PCMA/8000", 8)),
    ] {
        let heard = between(page, phone);
        println!("{page:?}, {phone:?}: {:.1} dB at the phone, {:.1} dB at the page", heard[0], heard[1]);
        assert!(heard.iter().all(|heard| *heard > 25.0), "{page:?}, {phone:?}: {heard:?}");
    }
}
