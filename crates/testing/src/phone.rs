//! The media of a SIP phone: SDP and RTP.

use std::net::SocketAddr;

/// G.711 µ-law, by name and payload type (RFC 3551, 6).
pub const PCMU: (&str, u8) = ("PCMU/8000", 0);

/// The media of a phone or trunk.
pub struct Phone {
    /// Its address for RTP.
    pub at: SocketAddr,
    /// The SSRC of its stream.
    pub ssrc: u32,
    /// The sequence number of the last packet.
    pub sequence: u16,
    /// The time stamp of the last packet.
    pub timestamp: u32,
    /// The port of the gateway for RTP.
    pub gateway: Option<u16>,
    /// Its key for SRTP as in SDP (RFC 4568); `None` for RTP.
    pub key: Option<String>,
}

impl Phone {
    /// Returns a phone with this address for RTP.
    ///
    /// # Panics
    /// Where it is not an address with a port.
    #[must_use]
    pub fn new(at: &str) -> Self {
        Self { at: at.parse().expect("an address"), ssrc: 0xabcd, sequence: 500, timestamp: 9_000, gateway: None, key: None }
    }

    /// Takes the port from SDP of the gateway.
    ///
    /// # Panics
    /// Where it has no audio line.
    pub fn heed(&mut self, sdp: &str) {
        let line = sdp.lines().find(|line| line.starts_with("m=audio ")).expect("audio");
        self.gateway = line.split(' ').nth(1).and_then(|port| port.parse().ok());
    }

    /// Returns its SDP with these codecs, by name and payload type.
    #[must_use]
    pub fn sdp(&self, codecs: &[(&str, u8)]) -> String {
        let formats = codecs.iter().map(|(_, pt)| pt.to_string()).collect::<Vec<_>>().join(" ");
        let maps: String = codecs.iter().map(|(name, pt)| format!("a=rtpmap:{pt} {name}\r\n")).collect();
        let (ip, port) = (self.at.ip(), self.at.port());
        let (profile, crypto) = match &self.key {
            Some(key) => ("RTP/SAVP", format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n")),
            None => ("RTP/AVP", String::new()),
        };
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} {profile} {formats}\r\n{maps}{crypto}a=sendrecv\r\n"
        )
    }

    /// Returns the next RTP packet (RFC 3550, 5.1), `ticks` of the clock after the last one.
    pub fn packet(&mut self, payload_type: u8, payload: &[u8], ticks: u32) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(ticks);
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        packet
    }
}
