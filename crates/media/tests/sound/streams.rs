//! The jitter buffer: packets that are lost, late, early or duplicated, and other clocks.

use offhook_media::Codec;
use offhook_media::sound::Transcoder;
use offhook_ua::time::Instant;

use crate::network::{BEGIN, Ear, Heard, Line, Sent, TONE, rate, tone_packets};

use offhook_testing::tone;

/// Returns the quality of the tone for the listener after half a second.
fn quality(heard: &Heard, to: Codec) -> f64 {
    tone::quality(rate(to), TONE, &heard.pcm[rate(to) as usize / 2..])
}

#[test]
fn one_packet_of_twenty_lost_is_hardly_heard() {
    let calls = [
        ("G.711 → Opus", Codec::Pcmu, Codec::Opus, false, 14.0),
        ("Opus → G.711", Codec::Opus, Codec::Pcmu, false, 14.0),
        ("Opus with copies → G.711", Codec::Opus, Codec::Pcmu, true, 14.0),
        ("G.722 → Opus", Codec::G722, Codec::Opus, false, 14.0),
        ("A-law → µ-law", Codec::Pcma, Codec::Pcmu, false, 25.0),
    ];
    for (name, from, to, copies, bar) in calls {
        let clean = quality(&Line { seconds: 20, copies, ..Line::new(from, to) }.run(), to);
        let lossy = quality(&Line { seconds: 20, loss: 50, copies, ..Line::new(from, to) }.run(), to);
        let bursts = quality(&Line { seconds: 20, loss: 50, burst: 3, copies, ..Line::new(from, to) }.run(), to);
        println!("{name}: {clean:.1} dB; 5 % lost: {lossy:.1} dB; in bursts of three: {bursts:.1} dB");
        assert!(lossy > bar, "{name}: {lossy:.1} dB");
    }
}

#[test]
fn the_delay_is_what_the_network_needs_and_no_more() {
    for (jitter, most) in [(0, 3), (5, 8), (20, 23), (40, 43), (100, 103)] {
        for (from, to) in [(Codec::Opus, Codec::Pcmu), (Codec::Pcmu, Codec::Opus)] {
            let line = Line { seconds: 30, jitter, ..Line::new(from, to) };
            let heard = line.run();
            println!("{from:?} → {to:?}, jitter {jitter} ms: p50 {} p95 {} ms", heard.delay(50), heard.delay(95));
            assert!(heard.delay(95) <= most, "jitter {jitter}: {}", heard.delay(95));
            assert!(quality(&heard, to) > 14.0, "jitter {jitter}: {}", quality(&heard, to));
        }
    }
}

#[test]
fn a_clock_that_goes_wrong_makes_no_delay_in_ten_minutes() {
    for drift in [-200, 200] {
        let heard = Line { seconds: 600, drift, jitter: 4, ..Line::new(Codec::Pcma, Codec::Pcmu) }.run();
        let (early, late) = (heard.latency(8, 10_000, 40_000), heard.latency(8, 560_000, 590_000));
        println!("{drift} ppm: {early:.1} ms after half a minute, {late:.1} ms after ten");
        assert!((early - late).abs() < 2.0, "{drift} ppm: {early:.1} → {late:.1} ms");
        assert!(quality(&heard, Codec::Pcmu) > 30.0);
        let breaks = heard.frames.windows(2).filter(|pair| pair[1].1 - pair[0].1 != 160).count();
        assert_eq!(breaks, 0, "nothing is cut or stretched");
    }
}

#[test]
fn packets_twice_and_out_of_order_change_nothing() {
    let plain = Line { seconds: 10, jitter: 50, seed: 5, ..Line::new(Codec::Pcma, Codec::Pcmu) }.run();
    let twice = Line { twice: 1000, ..Line { seconds: 10, jitter: 50, seed: 5, ..Line::new(Codec::Pcma, Codec::Pcmu) } }.run();
    for heard in [plain, twice] {
        assert!(quality(&heard, Codec::Pcmu) > 28.0, "{}", quality(&heard, Codec::Pcmu));
        assert!(heard.delay(95) <= 53);
    }
}

/// Single packets, and the frames that each of them causes.
struct Feed {
    transcoder: Transcoder,
    now: u64,
    frames: Vec<(u64, u32, bool, Vec<u8>)>,
}

impl Feed {
    fn new(from: Codec, to: Codec) -> Self {
        Self { transcoder: Transcoder::new(from, to, 20).expect("there is a way"), now: BEGIN, frames: Vec::new() }
    }

    /// Lets time pass up to an instant.
    fn until(&mut self, millis: u64) {
        while self.now <= BEGIN + millis {
            let now = self.now;
            while let Some(frame) = self.transcoder.poll_frame(Instant::from_millis(now)) {
                self.frames.push((now - BEGIN, frame.timestamp, frame.marker, frame.payload.to_vec()));
            }
            self.now += 1;
        }
    }

    fn packet(&mut self, millis: u64, packet: &Sent) {
        self.until(millis);
        self.transcoder.handle_packet(Instant::from_millis(BEGIN + millis), &packet.borrow());
    }

    fn markers(&self) -> Vec<(u64, u32)> {
        self.frames.iter().filter(|frame| frame.2).map(|frame| (frame.0, frame.1 / 8)).collect()
    }
}

fn tone_from(sequence: u16, timestamp: u32, ssrc: u32, length: u32) -> Vec<Sent> {
    tone_packets(Codec::Pcmu, 20, length)
        .into_iter()
        .map(|p| Sent {
            ssrc,
            sequence: p.sequence.wrapping_add(sequence),
            timestamp: p.timestamp.wrapping_add(timestamp),
            payload: p.payload,
        })
        .collect()
}

#[test]
fn numbers_that_wrap_are_no_event() {
    let mut feed = Feed::new(Codec::Pcmu, Codec::Pcma);
    for (i, packet) in (0..).zip(tone_from(u16::MAX - 20, u32::MAX - 5000, 3, 2000)) {
        feed.packet(i * 20, &packet);
    }
    feed.until(2000);
    assert_eq!(feed.markers().len(), 1);
    assert!((99..=100).contains(&feed.frames.len()), "{}", feed.frames.len());
}

#[test]
fn another_sender_and_another_timeline_are_played_at_once_and_ours_goes_on() {
    let mut feed = Feed::new(Codec::Pcmu, Codec::Pcma);
    let parts = [(0, tone_from(0, 0, 3, 1000)), (1000, tone_from(900, 77, 4, 1000)), (2000, tone_from(950, 4_000_000, 4, 1000))];
    for (begin, packets) in parts {
        for (i, packet) in (0..).zip(packets) {
            feed.packet(begin + i * 20, &packet);
        }
    }
    feed.until(3000);
    assert_eq!(feed.markers().len(), 3, "{:?}", feed.markers());
    for frame in &feed.frames {
        let behind = frame.0 as i64 - i64::from(frame.1 / 8);
        assert!((-20..60).contains(&behind), "the frame of {} ms left at {}", frame.1 / 8, frame.0);
    }
    assert!(feed.frames.len() > 143, "{} frames in 3 s", feed.frames.len());
}

#[test]
fn a_single_packet_from_nowhere_is_not_believed() {
    let mut feed = Feed::new(Codec::Pcmu, Codec::Pcma);
    for (i, mut packet) in (0..).zip(tone_from(0, 0, 3, 2000)) {
        if i == 50 {
            packet.timestamp = 900_000_000;
        }
        feed.packet(i * 20, &packet);
    }
    feed.until(2000);
    assert_eq!(feed.markers().len(), 1);
}

/// A sender that sends nothing during silence (DTX, hold): concealment, then nothing, then frames again with a marker.
#[test]
fn silence_pauses_the_stream_and_speech_resumes_it() {
    let mut feed = Feed::new(Codec::Pcmu, Codec::Pcma);
    let packets = tone_from(0, 0, 3, 10_000);
    for (i, packet) in (0..).zip(&packets).filter(|(i, _)| *i < 50 || *i >= 300) {
        let sequence = if i < 50 { i } else { i - 250 } as u16;
        feed.packet(i * 20, &Sent { sequence, ..packet.clone() });
    }
    feed.until(10_000);
    let markers = feed.markers();
    assert_eq!(markers.len(), 2);
    assert!((6000..6015).contains(&markers[1].0) && markers[1].0.abs_diff(u64::from(markers[1].1)) < 30, "{markers:?}");
    let paused = feed.frames.iter().filter(|frame| (2050..5990).contains(&frame.0)).count();
    assert_eq!(paused, 0, "nothing is sent while nothing comes");
    let silent: Vec<i16> = feed
        .frames
        .iter()
        .filter(|frame| (1100..1900).contains(&frame.0))
        .flat_map(|frame| Ear::new(Codec::Pcma).hear(&frame.3))
        .collect();
    assert!(tone::loudness(&silent) < 0.001, "made-up sound fades");
}

/// A network that stops for half a second and then delivers everything at once.
#[test]
fn a_standstill_leaves_no_delay_behind() {
    let mut feed = Feed::new(Codec::Pcmu, Codec::Pcma);
    for (i, packet) in (0..).zip(tone_from(0, 0, 3, 30_000)) {
        let sent = i * 20;
        feed.packet(if (5000..5500).contains(&sent) { 5500 } else { sent }, &packet);
    }
    feed.until(30_000);
    assert!(feed.transcoder.delay() < 15, "{}", feed.transcoder.delay());
    let most = feed.frames.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
    assert!(most.is_some_and(|most| most <= 220), "{most:?}");
}
