//! RTCP with the SIP side (RFC 3550, 6.4): writing of reports, parsing of received ones. No report is passed on.

use offhook_ua::time::Instant;

use super::rtp::Reception;

/// Seconds from 1900, the epoch of NTP, to 1970.
const NTP: u64 = 2_208_988_800;

/// Counters of a stream that was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Packets.
    pub packets: u32,
    /// Octets of payload.
    pub octets: u32,
}

/// Returns a sender report, or a receiver report where nothing was sent since the last one, with the canonical name.
#[must_use]
pub fn report(now: Instant, ssrc: u32, name: &str, sent: Option<(Sent, u32)>, heard: Option<&mut Reception>) -> Vec<u8> {
    let mut packet = Vec::with_capacity(96);
    let kind = if sent.is_some() { 200 } else { 201 };
    packet.extend_from_slice(&[0x80 | u8::from(heard.is_some()), kind, 0, 0]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    if let Some((sent, timestamp)) = sent {
        packet.extend_from_slice(&ntp(now).to_be_bytes());
        for word in [timestamp, sent.packets, sent.octets] {
            packet.extend_from_slice(&word.to_be_bytes());
        }
    }
    if let Some(heard) = heard {
        reception(&mut packet, now, heard);
    }
    close(&mut packet, 0);
    describe(&mut packet, ssrc, name);
    packet
}

/// Returns a report block (RFC 3550, 6.4.1).
fn reception(packet: &mut Vec<u8>, now: Instant, heard: &mut Reception) {
    let lost = u32::try_from(heard.lost()).unwrap_or(u32::MAX).min(0x7f_ffff);
    let (last, delay) =
        heard.sender_report.map_or((0, 0), |(ntp, at)| (ntp, (now.millis_since(at).min(60_000) * 65_536 / 1000) as u32));
    let fraction = u32::from(heard.fraction()) << 24;
    for word in [heard.ssrc, fraction | lost, heard.highest() as u32, heard.jitter(), last, delay] {
        packet.extend_from_slice(&word.to_be_bytes());
    }
}

/// Returns SDES with the canonical name (RFC 3550, 6.5).
fn describe(packet: &mut Vec<u8>, ssrc: u32, name: &str) {
    let start = packet.len();
    packet.extend_from_slice(&[0x81, 202, 0, 0]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    let name = &name.as_bytes()[..name.len().min(255)];
    packet.extend_from_slice(&[1, name.len() as u8]);
    packet.extend_from_slice(name);
    packet.push(0);
    while !(packet.len() - start).is_multiple_of(4) {
        packet.push(0);
    }
    close(packet, start);
}

/// Writes the length of the packet that begins at `start`.
fn close(packet: &mut [u8], start: usize) {
    let words = ((packet.len() - start) / 4 - 1) as u16;
    packet[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

/// The content of a compound packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// Sender reports: SSRC, and the middle 32 bits of the NTP time.
    pub sent: Vec<(u32, u32)>,
    /// Report blocks: SSRC, and the fraction lost since the previous report, of 256.
    pub loss: Vec<(u32, u8)>,
}

/// Parses a compound packet; `None` where it is malformed.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Reports> {
    let (mut reports, mut rest) = (Reports::default(), bytes);
    while !rest.is_empty() {
        if rest.len() < 8 || rest[0] >> 6 != 2 {
            return None;
        }
        let length = (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1) * 4;
        let packet = rest.get(..length)?;
        let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
        let blocks = match packet[1] {
            200 => {
                reports.sent.push((word(4)?, word(8)? << 16 | word(12)? >> 16));
                packet.get(28..)
            }
            201 => packet.get(8..),
            _ => None,
        };
        let blocks = blocks.unwrap_or_default().chunks_exact(24).take(usize::from(packet[0] & 0x1f));
        reports.loss.extend(blocks.map(|block| (u32::from_be_bytes([block[0], block[1], block[2], block[3]]), block[4])));
        rest = &rest[length..];
    }
    Some(reports)
}

fn ntp(now: Instant) -> u64 {
    let (seconds, rest) = (now.millis() / 1000, now.millis() % 1000);
    ((seconds + NTP) << 32) | ((rest << 32) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::Header;

    const T0: Instant = Instant::from_millis(1_700_000_000_500);

    #[test]
    fn a_report_says_when_it_was_and_what_came() {
        let mut heard = Reception::new(&Header { marker: false, payload_type: 0, sequence: 7, timestamp: 0, ssrc: 9 });
        heard.take(T0, &Header { marker: false, payload_type: 0, sequence: 7, timestamp: 0, ssrc: 9 }, 8000);
        let packet = report(T0, 5, "me", Some((Sent { packets: 3, octets: 480 }, 77)), Some(&mut heard));
        assert_eq!(packet.len() % 4, 0);
        let middle = ((ntp(T0) >> 16) & 0xffff_ffff) as u32;
        assert_eq!(read(&packet), Some(Reports { sent: vec![(5, middle)], loss: vec![(9, 0)] }));
        assert_eq!(packet[28..32], 9u32.to_be_bytes());
        assert_eq!(read(&report(T0, 5, "me", None, None)), Some(Reports::default()));
        heard.take(T0, &Header { marker: false, payload_type: 0, sequence: 10, timestamp: 480, ssrc: 9 }, 8000);
        let packet = report(T0, 5, "me", None, Some(&mut heard));
        assert_eq!(read(&packet), Some(Reports { sent: vec![], loss: vec![(9, 170)] }), "two of three");
    }

    #[test]
    fn what_lies_about_its_length_is_no_report() {
        for bytes in [&[0x80, 200, 0, 1, 0, 0, 0, 1][..], &[0x80, 200, 255, 255, 0, 0, 0, 1], &[0x80, 201, 0, 0, 1], &[1; 16]] {
            assert_eq!(read(bytes), None);
        }
    }
}
