//! DTMF digits to packets, and back, over networks with losses.

use offhook_media::sound::{DigitEvent, DigitPacket, DigitReader, DigitWriter};
use offhook_ua::time::Instant;

use crate::network::Dice;

const DIGITS: &str = "0123456789*#ABCD";

fn at(millis: u64) -> Instant {
    Instant::from_millis(1_790_000_000_000 + millis)
}

/// All packets of some digits of 160 ms each, with the time at which they are sent, ms.
fn packets(clock: u32, digits: &str) -> Vec<(u64, DigitPacket)> {
    let mut writer = DigitWriter::new(clock);
    for digit in digits.chars() {
        assert!(writer.send(at(0), 5000, digit, 160), "{digit}");
    }
    let mut sent = Vec::new();
    for now in 0..20_000 {
        while let Some(packet) = writer.poll(at(now)) {
            sent.push((now, packet));
        }
    }
    assert!(!writer.is_busy());
    sent
}

fn read(clock: u32, packets: &[(u64, DigitPacket)]) -> Vec<DigitEvent> {
    let mut reader = DigitReader::new(clock);
    let mut events = Vec::new();
    let mut packets = packets.iter().peekable();
    for now in 0..25_000 {
        while let Some((_, packet)) = packets.next_if(|(time, _)| *time <= now) {
            reader.handle_packet(at(now), packet.timestamp, &packet.payload);
        }
        reader.handle_timeout(at(now));
        events.extend(std::iter::from_fn(|| reader.poll()));
    }
    assert_eq!(reader.deadline(), None);
    events
}

fn completed(events: &[DigitEvent]) -> String {
    let mut down = None;
    let mut digits = String::new();
    for event in events {
        match *event {
            DigitEvent::Down { digit } => assert_eq!(down.replace(digit), None),
            DigitEvent::Up { digit, .. } => {
                assert_eq!(down.take(), Some(digit));
                digits.push(digit);
            }
        }
    }
    assert_eq!(down, None);
    digits
}

#[test]
fn a_digit_is_a_beginning_updates_and_three_ends() {
    let sent = packets(8000, "5");
    let durations: Vec<u16> = sent.iter().map(|(_, p)| u16::from_be_bytes([p.payload[2], p.payload[3]])).collect();
    assert_eq!(durations, [160, 320, 480, 640, 800, 960, 1120, 1280, 1280, 1280, 1280]);
    assert_eq!(sent.iter().map(|(now, _)| *now).collect::<Vec<_>>(), [0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200]);
    assert!(sent.iter().all(|(_, p)| p.timestamp == 5000 && p.payload[0] == 5));
    let ends: Vec<bool> = sent.iter().map(|(_, p)| p.payload[1] & 0x80 != 0).collect();
    assert_eq!(ends, [[false; 8].as_slice(), &[true; 3]].concat());
    let markers: Vec<bool> = sent.iter().map(|(_, p)| p.marker).collect();
    assert_eq!(markers, [[true].as_slice(), &[false; 10]].concat());
}

#[test]
fn all_digits_go_over_the_line_each_once_and_for_their_time() {
    for clock in [8000, 48000] {
        let events = read(clock, &packets(clock, DIGITS));
        assert_eq!(completed(&events), DIGITS);
        let durations = events.iter().filter_map(|event| match event {
            DigitEvent::Up { duration, .. } => Some(*duration),
            DigitEvent::Down { .. } => None,
        });
        assert!(durations.into_iter().all(|duration| duration == 160));
    }
}

#[test]
fn a_digit_is_one_whatever_the_network_does_to_its_packets() {
    let mut dice = Dice(3);
    for round in 0..300 {
        let mut rough = Vec::new();
        let sent = packets(8000, "112#");
        for packets_of_digit in sent.chunk_by(|a, b| a.1.timestamp == b.1.timestamp) {
            // At least one packet of each digit arrives; of the others three in ten are lost, and one in ten is duplicated.
            let kept = dice.below(packets_of_digit.len() as u64) as usize;
            for (i, (now, packet)) in packets_of_digit.iter().enumerate() {
                let packet = DigitPacket { marker: false, ..*packet };
                let copies = if i == kept { 1 } else { [0, 0, 0, 1, 1, 1, 1, 1, 1, 2][dice.below(10) as usize] };
                rough.extend((0..copies).map(|_| (now + dice.below(60), packet)));
            }
        }
        rough.sort_by_key(|(now, _)| *now);
        assert_eq!(completed(&read(8000, &rough)), "112#", "round {round}");
    }
}

#[test]
fn a_digit_whose_ends_are_lost_is_released_in_time_or_by_the_next() {
    let mut sent = packets(8000, "77");
    sent.retain(|(_, packet)| packet.payload[1] & 0x80 == 0);
    assert_eq!(completed(&read(8000, &sent)), "77");
    let mut reader = DigitReader::new(8000);
    reader.handle_packet(at(0), 1, &sent[0].1.payload);
    assert_eq!(reader.deadline(), Some(at(200)));
    reader.handle_timeout(at(200));
    let events: Vec<DigitEvent> = std::iter::from_fn(|| reader.poll()).collect();
    assert_eq!(events, [DigitEvent::Down { digit: '7' }, DigitEvent::Up { digit: '7', duration: 20 }]);
    reader.handle_packet(at(210), 1, &sent[1].1.payload);
    assert_eq!(reader.poll(), None, "it was released");
}

#[test]
fn a_long_digit_goes_on_under_other_timestamps_and_is_one() {
    let mut writer = DigitWriter::new(48000);
    assert!(writer.down(at(0), u32::MAX - 10, '#'));
    let mut sent = Vec::new();
    for now in 0..4000 {
        if now == 3000 {
            writer.up(3000);
        }
        sent.extend(std::iter::from_fn(|| writer.poll(at(now))).map(|packet| (now, packet)));
    }
    let segments = sent.chunk_by(|a, b| a.1.timestamp == b.1.timestamp).count();
    assert_eq!(segments, 3, "144,000 ticks in fields of 65,535");
    let events = read(48000, &sent);
    assert_eq!(events, [DigitEvent::Down { digit: '#' }, DigitEvent::Up { digit: '#', duration: 3000 }]);
}

#[test]
fn a_digit_that_is_held_ends_by_itself_and_the_next_waits() {
    let mut writer = DigitWriter::new(8000);
    assert!(writer.down(at(0), 0, '1'));
    assert!(writer.poll(at(0)).is_some());
    assert!(writer.down(at(30), 240, '2'), "the first is released: one finger");
    writer.up(90);
    let sent: Vec<(u64, DigitPacket)> =
        (1..1000).flat_map(|now| std::iter::from_fn(|| writer.poll(at(now))).map(|p| (now, p)).collect::<Vec<_>>()).collect();
    let second: Vec<_> = sent.iter().filter(|(_, packet)| packet.payload[0] == 2).collect();
    assert_eq!((second[0].0, second[0].1.timestamp), (130, 130 * 8), "40 ms, two more ends, 50 ms");
    assert!(!writer.send(at(1000), 0, 'x', 100) && !writer.is_busy());
    assert!((0..40).filter(|_| writer.send(at(1000), 0, '5', 100)).count() == 32);
}

#[test]
fn an_event_that_is_not_a_digit_is_ignored() {
    let mut reader = DigitReader::new(8000);
    for payload in [&[][..], &[1, 2, 3], &[16, 0, 1, 0], &[255, 255, 255, 255]] {
        reader.handle_packet(at(0), 9, payload);
    }
    assert_eq!((reader.poll(), reader.deadline()), (None, None));
    for i in 0..1000 {
        reader.handle_packet(at(0), i * 80_000, &[1, 0, 0, 160]);
    }
    assert!(std::iter::from_fn(|| reader.poll()).count() <= 64);
}
