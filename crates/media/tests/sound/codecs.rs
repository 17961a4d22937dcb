//! Transcoding between all codecs, with packets of all lengths.

use offhook_media::Codec;
use offhook_media::sound::Transcoder;
use offhook_ua::time::Instant;

use crate::network::{Dice, Line, TONE, rate, ticks};

use offhook_testing::tone;

/// From, to, and the smallest quality of a tone, dB.
const WAYS: [(Codec, Codec, f64); 12] = [
    (Codec::Opus, Codec::Pcmu, 30.0),
    (Codec::Opus, Codec::Pcma, 30.0),
    (Codec::Pcmu, Codec::Opus, 14.0),
    (Codec::Pcma, Codec::Opus, 14.0),
    (Codec::Opus, Codec::G722, 25.0),
    (Codec::G722, Codec::Opus, 25.0),
    (Codec::Pcma, Codec::Pcmu, 30.0),
    (Codec::G722, Codec::G722, 25.0),
    (Codec::G722, Codec::Pcmu, 25.0),
    (Codec::G722, Codec::Pcma, 25.0),
    (Codec::Pcmu, Codec::G722, 25.0),
    (Codec::Pcma, Codec::G722, 25.0),
];

#[test]
fn a_tone_goes_each_way_and_stays_a_tone() {
    for (from, to, bar) in WAYS {
        let heard = Line::new(from, to).run();
        let pcm = &heard.pcm[heard.pcm.len() / 5..];
        let quality = tone::quality(rate(to), TONE, pcm);
        println!("{from:?} → {to:?}: {quality:.1} dB");
        assert!(quality > bar, "{from:?} → {to:?}: {quality:.1} dB");
        let loudness = tone::loudness(pcm);
        assert!((0.19..0.24).contains(&loudness), "{from:?} → {to:?}: loudness {loudness}, sent 0.212");
    }
}

#[test]
fn packets_and_frames_may_be_of_any_usual_length() {
    for (from, to, _) in WAYS {
        let lengths: &[u32] = if from == Codec::Opus { &[10, 20, 40, 60] } else { &[10, 20, 30, 40, 60] };
        for ptime in lengths {
            for frame in [10, 20, 30, 60] {
                let line = Line { ptime: (*ptime, frame), seconds: 2, ..Line::new(from, to) };
                let heard = line.run();
                let pcm = &heard.pcm[heard.pcm.len() / 2..];
                let quality = tone::quality(rate(to), TONE, pcm);
                let bar = if to == Codec::Opus { 8.0 } else { 25.0 };
                assert!(quality > bar, "{from:?} of {ptime} ms → {to:?} of {frame}: {quality:.1} dB");
                let length = if to == Codec::Opus && frame == 30 { 20 } else { frame };
                for pair in heard.frames.windows(2) {
                    assert_eq!(pair[1].1 - pair[0].1, length * ticks(to), "{from:?} of {ptime} ms → {to:?} of {frame}");
                }
            }
        }
    }
}

/// Whatever the packets of a sender contain, frames are sent and nothing panics.
#[test]
fn packets_of_any_content_do_no_harm() {
    let mut dice = Dice(11);
    for (from, to, _) in WAYS {
        let mut transcoder = Transcoder::new(from, to, 20).expect("there is a way");
        let mut frames = 0;
        for i in 0..2000_u64 {
            let now = Instant::from_millis(i * 7);
            let payload: Vec<u8> = (0..dice.below(if i % 10 == 0 { 1600 } else { 60 })).map(|_| dice.next() as u8).collect();
            let packet = offhook_media::sound::Packet {
                ssrc: if dice.below(50) == 0 { dice.next() as u32 } else { 5 },
                sequence: if dice.below(20) == 0 { dice.next() as u16 } else { i as u16 },
                timestamp: if dice.below(20) == 0 { dice.next() as u32 } else { (i * 7) as u32 * ticks(from) },
                payload: &payload,
            };
            transcoder.handle_packet(now, &packet);
            while transcoder.poll_frame(now).is_some() {
                frames += 1;
            }
        }
        assert!((100..1500).contains(&frames), "{from:?} → {to:?}: {frames} frames in 14 s");
    }
}
