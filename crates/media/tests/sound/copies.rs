//! In-band FEC of Opus (RFC 6716, 2.1.7): copies of lost packets in the packets after them, in both directions.

use offhook_media::Codec;
use offhook_media::sound::{Packet, Transcoder};
use offhook_ua::time::Instant;

use crate::network::{BEGIN, Dice, Line, Mouth};

use offhook_testing::tone;

/// The quality of a voice, dB, compared with the same voice without loss.
fn left(line: Line) -> (f64, u64) {
    let line = Line { seconds: 12, sound: tone::voice, seed: 3, ..line };
    let (clean, lossy) = (Line { loss: 0, ..line }.run(), line.run());
    (tone::likeness(&lossy.pcm[8_000..], &clean.pcm[8_000..]), lossy.delay(50))
}

#[test]
fn copies_in_what_a_page_sends_stand_for_what_was_lost() {
    let line = Line::new(Codec::Opus, Codec::Pcmu);
    for (loss, gain) in [(100, 6.0), (200, 5.0)] {
        let (without, soon) = left(Line { loss, ..line });
        let (with, late) = left(Line { loss, copies: true, ..line });
        println!("{loss} of 1000 lost: {without:.1} dB without copies, {with:.1} dB with; {soon} ms of delay, {late} with");
        assert!(with > without + gain, "{loss} of 1000 lost: {without:.1} dB, with copies {with:.1} dB");
        assert!(soon <= 3 && late <= 23, "one packet is waited for, and only where there are copies: {soon} and {late} ms");
    }
}

#[test]
fn where_nothing_is_lost_nobody_waits() {
    let heard = Line { seconds: 30, copies: true, sound: tone::voice, ..Line::new(Codec::Opus, Codec::Pcmu) }.run();
    assert!(heard.delay(95) <= 3, "{} ms", heard.delay(95));
    // Nor after the losses have ended: in this network they are in the first of ten seconds.
    let mut transcoder = Transcoder::new(Codec::Opus, Codec::Pcmu, 20).expect("libopus");
    let mut mouth = Mouth::new(Codec::Opus, true);
    for i in 0..500u32 {
        let payload = mouth.say(&tone::voice(48_000, i as usize * 960, 960));
        let packet = Packet { ssrc: 1, sequence: i as u16, timestamp: i * 960, payload: &payload };
        let now = Instant::from_millis(BEGIN + u64::from(i) * 20);
        if i > 50 || i % 5 > 0 {
            transcoder.handle_packet(now, &packet);
        }
        while transcoder.poll_frame(now).is_some() {}
        if i == 45 {
            assert!(transcoder.delay() >= 20, "{} ms", transcoder.delay());
        }
    }
    assert!(transcoder.delay() <= 3, "{} ms", transcoder.delay());
}

/// The quality of a voice for a page with libopus, dB, compared with the same voice without loss, where the voice comes as G.711
/// and `loss` of a thousand packets to the page are lost; and the octets of all packets.
fn heard_by_a_page(expected: u8, loss: u64) -> (f64, usize) {
    let sent = Line { seconds: 12, sound: tone::voice, expected, ..Line::new(Codec::Pcmu, Codec::Opus) }.run();
    let mut dice = Dice(9);
    let came: Vec<Option<&[u8]>> = sent.payloads.iter().map(|p| (dice.below(1000) >= loss).then_some(p.as_slice())).collect();
    let mut ear = opus::Decoder::new(48_000, opus::Channels::Mono).expect("libopus");
    let (mut heard, mut frame) = (Vec::new(), [0; 960]);
    for (i, packet) in came.iter().enumerate() {
        let next = came.get(i + 1).copied().flatten();
        let (payload, copy) = packet.map_or((next.unwrap_or_default(), next.is_some()), |packet| (packet, false));
        ear.decode(payload, &mut frame, copy).expect("a frame");
        heard.extend_from_slice(&frame);
    }
    (tone::likeness(&heard, &sent.pcm), sent.payloads.iter().map(Vec::len).sum())
}

#[test]
fn a_page_that_says_that_it_misses_packets_gets_copies() {
    for (percent, loss) in [(10, 100), (20, 200)] {
        let (without, small) = heard_by_a_page(0, loss);
        let (with, large) = heard_by_a_page(percent, loss);
        println!("{percent} % lost: {without:.1} dB without copies, {with:.1} dB with; {small} and {large} octets");
        assert!(with > without + 5.0, "{percent} % lost: {without:.1} dB, with copies {with:.1} dB");
        assert!(large < small * 3 / 2, "{small} and {large} octets");
    }
}
