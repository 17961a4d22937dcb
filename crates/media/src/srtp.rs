//! SRTP and SRTCP with AES_CM_128_HMAC_SHA1_80 (RFC 3711), for peers with keys in SDP (RFC 4568). For WebRTC str0m has its own.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::rtp::{Window, extend};

/// The length of an authentication tag, octets.
pub const TAG: usize = 10;

/// The largest number of streams of one key; a peer has one or two.
const STREAMS: usize = 8;

/// Master key and master salt, as in SDP.
#[derive(Clone, PartialEq, Eq)]
pub struct Master(pub [u8; 30]);

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Master(…)")
    }
}

/// The context of one direction.
pub struct Context {
    rtp: Keys,
    rtcp: Keys,
    streams: BTreeMap<u32, Window>,
    reports: Window,
    sent: u32,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context(…)")
    }
}

/// Session keys (RFC 3711, 4.3).
struct Keys {
    cipher: EncryptingKey,
    tag: hmac::Key,
    salt: [u8; 14],
}

impl Context {
    /// Derives the session keys from a master key.
    #[must_use]
    pub fn new(master: &Master) -> Self {
        Self {
            rtp: Keys::derive(master, 0),
            rtcp: Keys::derive(master, 3),
            streams: BTreeMap::new(),
            reports: Window::default(),
            sent: 0,
        }
    }

    /// Encrypts a packet whose payload begins at `start`; `number` is its extended sequence number.
    pub fn protect(&self, packet: &mut Vec<u8>, start: usize, ssrc: u32, number: u64) {
        self.rtp.crypt(&mut packet[start..], ssrc, number);
        let tag = self.rtp.tag(&[packet, &rollover(number)]);
        packet.extend_from_slice(&tag);
    }

    /// Decrypts a packet in place; the payload begins at `start`. Returns the length without the tag, or `None` for a packet that
    /// is forged, damaged or replayed.
    pub fn unprotect(&mut self, packet: &mut [u8], start: usize, ssrc: u32, sequence: u16) -> Option<usize> {
        let length = packet.len().checked_sub(TAG).filter(|length| *length >= start)?;
        let window = self.streams.get(&ssrc).copied();
        let number = window.map_or(u64::from(sequence), |window| extend(window.top(), sequence));
        let mut window = window.unwrap_or_default();
        if !window.is_new(number) {
            return None;
        }
        let (message, tag) = packet.split_at_mut(length);
        self.rtp.verify(&[message, &rollover(number)], tag)?;
        if self.streams.len() >= STREAMS && !self.streams.contains_key(&ssrc) {
            return None;
        }
        window.mark(number);
        self.streams.insert(ssrc, window);
        self.rtp.crypt(&mut message[start..], ssrc, number);
        Some(length)
    }

    /// Encrypts a compound RTCP packet (RFC 3711, 3.4).
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) {
        let index = self.sent & 0x7fff_ffff;
        self.sent += 1;
        let ssrc = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        self.rtcp.crypt(&mut packet[8..], ssrc, u64::from(index));
        packet.extend_from_slice(&(index | 0x8000_0000).to_be_bytes());
        let tag = self.rtcp.tag(&[packet]);
        packet.extend_from_slice(&tag);
    }

    /// Decrypts a compound RTCP packet in place, and returns its length.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let length = packet.len().checked_sub(TAG + 4).filter(|length| *length >= 8)?;
        let (message, tag) = packet.split_at_mut(length + 4);
        let word = u32::from_be_bytes([message[length], message[length + 1], message[length + 2], message[length + 3]]);
        let index = u64::from(word & 0x7fff_ffff);
        if !self.reports.is_new(index) {
            return None;
        }
        self.rtcp.verify(&[message], tag)?;
        self.reports.mark(index);
        if word >> 31 == 1 {
            let ssrc = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
            self.rtcp.crypt(&mut message[8..length], ssrc, index);
        }
        Some(length)
    }
}

fn rollover(number: u64) -> [u8; 4] {
    ((number >> 16) as u32).to_be_bytes()
}

impl Keys {
    /// Derives a session key (RFC 3711, 4.3.1) with a key derivation rate of zero: label 0 to 2 for RTP, 3 to 5 for RTCP.
    fn derive(master: &Master, label: u8) -> Self {
        let cipher = cipher(&master.0[..16]);
        let material = |label: u8, into: &mut [u8]| {
            let mut iv = [0; 16];
            iv[..14].copy_from_slice(&master.0[16..]);
            iv[7] ^= label;
            counter_mode(&cipher, iv, into);
        };
        let (mut key, mut tag, mut salt) = ([0; 16], [0; 20], [0; 14]);
        material(label, &mut key);
        material(label + 1, &mut tag);
        material(label + 2, &mut salt);
        Self { cipher: self::cipher(&key), tag: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &tag), salt }
    }

    /// Encrypts or decrypts (RFC 3711, 4.1.1).
    fn crypt(&self, payload: &mut [u8], ssrc: u32, index: u64) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        let (source, index) = (ssrc.to_be_bytes(), index.to_be_bytes());
        iv[4..8].iter_mut().zip(source).for_each(|(octet, other)| *octet ^= other);
        iv[8..14].iter_mut().zip(&index[2..]).for_each(|(octet, other)| *octet ^= other);
        counter_mode(&self.cipher, iv, payload);
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; TAG] {
        let mut context = hmac::Context::with_key(&self.tag);
        parts.iter().for_each(|part| context.update(part));
        let mut tag = [0; TAG];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG]);
        tag
    }

    fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Option<()> {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.tag(parts), tag).ok()
    }
}

fn cipher(key: &[u8]) -> EncryptingKey {
    let key = UnboundCipherKey::new(&AES_128, key).expect("16 octets are an AES-128 key");
    EncryptingKey::ctr(key).expect("AES has a counter mode")
}

fn counter_mode(cipher: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    cipher.less_safe_encrypt(data, context).expect("counter mode takes any length");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{HEADER, Header, parse, write};

    fn octets(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
    }

    fn master(octet: u8) -> Master {
        Master([octet; 30])
    }

    /// RFC 3711, B.2.
    #[test]
    fn the_key_stream_is_that_of_the_standard() {
        let cipher = cipher(&octets("2B7E151628AED2A6ABF7158809CF4F3C"));
        let mut stream = [0; 32];
        let iv = octets("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().expect("16 octets");
        counter_mode(&cipher, iv, &mut stream);
        assert_eq!(stream.to_vec(), octets("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"));
    }

    /// RFC 3711, B.3: the derived salt is visible, the key by what it encrypts.
    #[test]
    fn session_keys_are_those_of_the_standard() {
        let master = octets("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6").try_into().expect("30 octets");
        let keys = Keys::derive(&Master(master), 0);
        assert_eq!(keys.salt.to_vec(), octets("30CBBC08863D8C85D49DB34A9AE1"));
        let (mut ours, mut theirs) = ([0; 16], [0; 16]);
        counter_mode(&keys.cipher, [1; 16], &mut ours);
        counter_mode(&cipher(&octets("C61E7A93744F39EE10734AFE3FF7A087")), [1; 16], &mut theirs);
        assert_eq!(ours, theirs);
    }

    #[test]
    fn a_packet_comes_through_once_and_only_unharmed() {
        let header = Header { marker: false, payload_type: 0, sequence: 65_535, timestamp: 1, ssrc: 9 };
        let (sender, mut receiver) = (Context::new(&master(3)), Context::new(&master(3)));
        let mut packet = write(&header, b"sound", TAG);
        sender.protect(&mut packet, HEADER, 9, 65_535);
        let mut damaged = packet.clone();
        damaged[13] ^= 1;
        assert_eq!(receiver.unprotect(&mut damaged, HEADER, 9, 65_535), None);
        assert_eq!(Context::new(&master(4)).unprotect(&mut packet.clone(), HEADER, 9, 65_535), None);
        let mut first = packet.clone();
        assert_eq!(receiver.unprotect(&mut first, HEADER, 9, 65_535), Some(17));
        assert_eq!(&first[12..17], b"sound");
        assert_eq!(receiver.unprotect(&mut packet, HEADER, 9, 65_535), None, "a copy");

        let next = Header { sequence: 0, ..header };
        let mut packet = write(&next, b"after", TAG);
        sender.protect(&mut packet, HEADER, 9, 65_536);
        assert_eq!(parse(&packet).map(|(header, _)| header), Some(next));
        assert_eq!(receiver.unprotect(&mut packet, HEADER, 9, 0), Some(17), "over the end of 16 bits");
        assert_eq!(&packet[12..17], b"after");
    }

    #[test]
    fn reports_come_through_once() {
        let (mut sender, mut receiver) = (Context::new(&master(3)), Context::new(&master(3)));
        let mut packet = vec![0x81, 201, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4];
        let plain = packet.clone();
        sender.protect_rtcp(&mut packet);
        assert_ne!(packet[8..12], plain[8..12]);
        let length = receiver.unprotect_rtcp(&mut packet.clone()).expect("unharmed");
        assert_eq!(receiver.unprotect_rtcp(&mut packet), None);
        assert_eq!(length, plain.len());
        assert_eq!(receiver.unprotect_rtcp(&mut [0; 13]), None);
    }
}
