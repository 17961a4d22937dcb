//! Descriptions of browsers, reduced to the one audio line that the gateway supports.
//!
//! str0m parses and writes the rest. It gets no candidates (the gateway is ICE-lite and sends no checks: RFC 8445, 2.5), no video,
//! no data channel and no unsupported codec; what was removed is rejected in the answer.

use offhook_sip::sdp::{Narrowed, SdpError, usable};

use super::port::MediaError;
use super::sdp::{MAX_LEN, codec, static_type};

/// The largest number of lines in the session section, and in the audio section, for str0m.
const KEPT_LINES: usize = 100;

/// The attributes that are kept, in addition to those that are treated one by one.
const KEPT: &[&str] = &["ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "fingerprint", "setup", "rtcp-mux"];
const DIRECTIONS: &[&str] = &["sendrecv", "sendonly", "recvonly", "inactive"];

/// A description of a browser with only its audio.
#[derive(Clone, Debug)]
pub struct PageSdp {
    /// The description for str0m.
    pub text: String,
    /// The identification of the audio line.
    pub mid: String,
    /// The user name fragment: a new one restarts ICE.
    pub ufrag: String,
    /// The fingerprint: a new one means a new transport.
    pub fingerprint: String,
    /// The media lines with DTLS, and the index of the audio.
    narrowed: [Narrowed; 2],
}

impl PageSdp {
    /// Parses an offer or answer of a page.
    pub fn read(sdp: &str) -> Result<Self, MediaError> {
        if sdp.len() > MAX_LEN {
            return Err(MediaError::Malformed);
        }
        let usable = usable(sdp).map_err(|error| match error {
            SdpError::Malformed | SdpError::TooLarge => MediaError::Malformed,
            SdpError::Insecure | SdpError::Crypto => MediaError::NotAcceptable,
            SdpError::NoFingerprint | SdpError::WeakFingerprint => MediaError::Fingerprint,
        })?;
        let mut found = false;
        let single = Narrowed::of(&usable.text, |section| {
            let first = !found && is_audio(section);
            found |= first;
            first
        });
        let all: Vec<&str> = single.text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let first = all.iter().position(|line| line.starts_with("m=")).ok_or(MediaError::NotAcceptable)?;
        let (session, audio) = all.split_at(first);

        // Identifications in str0m have at most 16 octets.
        let fits = |mid: &&str| (1..=16).contains(&mid.len()) && mid.bytes().all(|octet| octet.is_ascii_graphic());
        let mid = Some(attribute(audio, "mid").unwrap_or("0")).filter(fits).ok_or(MediaError::Malformed)?.to_owned();
        let of_both = |name| attribute(audio, name).or_else(|| attribute(session, name));
        let ufrag = of_both("ice-ufrag").ok_or(MediaError::Malformed)?.to_owned();
        of_both("ice-pwd").ok_or(MediaError::Malformed)?;
        let fingerprint = one_fingerprint(session, audio)?;
        let text = narrow(session, audio, &mid)?;
        Ok(Self { text, mid, ufrag, fingerprint, narrowed: [usable, single] })
    }

    /// Returns the description with another identification of the audio line, and without the header extension for it.
    #[must_use]
    pub fn with_mid(&self, mid: &str) -> String {
        let lines = self.text.lines().filter(|line| !line.starts_with("a=extmap:")).map(|line| match line {
            _ if line.starts_with("a=mid:") => format!("a=mid:{mid}\r\n"),
            _ if line.starts_with("a=group:") => format!("a=group:BUNDLE {mid}\r\n"),
            _ => format!("{line}\r\n"),
        });
        lines.collect()
    }

    /// Returns the answer of str0m with all media lines of this offer.
    #[must_use]
    pub fn widen(&self, answer: &str) -> String {
        let [usable, single] = &self.narrowed;
        usable.widen(&single.widen(answer))
    }
}

/// Whether this is an audio line that is not rejected: with port 0 it may still share the transport of another line (RFC 8843, 6).
fn is_audio(section: &str) -> bool {
    let line = section.lines().next().unwrap_or_default();
    let on = line.split(' ').nth(1) != Some("0") || section.lines().any(|line| line == "a=bundle-only");
    line.starts_with("m=audio ") && on
}

fn attribute<'a>(section: &[&'a str], name: &str) -> Option<&'a str> {
    section.iter().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

/// Returns the only fingerprint: with several of them, the certificate would not be determined.
fn one_fingerprint(session: &[&str], audio: &[&str]) -> Result<String, MediaError> {
    let mut all = session.iter().chain(audio).filter_map(|line| line.strip_prefix("a=fingerprint:")).map(str::to_ascii_uppercase);
    let first = all.next().filter(|text| text.starts_with("SHA-256 ")).ok_or(MediaError::Fingerprint)?;
    if all.all(|other| other == first) { Ok(first) } else { Err(MediaError::Fingerprint) }
}

fn narrow(session: &[&str], audio: &[&str], mid: &str) -> Result<String, MediaError> {
    let mut words = audio[0].split(' ');
    let protocol = words.nth(2).filter(|protocol| protocol.starts_with("UDP/TLS/RTP/SAVP")).ok_or(MediaError::NotAcceptable)?;
    let formats = known_formats(audio, words);
    if formats.is_empty() {
        return Err(MediaError::NotAcceptable);
    }
    let of_session = |line: &&&str| ["v=", "o=", "s=", "t="].iter().any(|kind| line.starts_with(kind)) || is_kept(line);
    let mut lines: Vec<String> = session.iter().filter(of_session).take(KEPT_LINES).map(|line| (*line).to_owned()).collect();
    lines.push(format!("a=group:BUNDLE {mid}"));
    lines.push(format!("m=audio 9 {protocol} {}", formats.join(" ")));
    lines.push("c=IN IP4 0.0.0.0".into());
    lines.push(format!("a=mid:{mid}"));
    // A page has one stream, and str0m allocates memory for each one that is declared.
    let stream = audio[1..].iter().position(|line| line.starts_with("a=ssrc:") && line.contains(" cname:")).map(|at| at + 1);
    let names_line = |line: &str| line.starts_with("a=extmap:") && line.ends_with("urn:ietf:params:rtp-hdrext:sdes:mid");
    let wanted = |at: usize, line: &str| is_kept(line) || Some(at) == stream || names_line(line) || is_of_format(line, &formats);
    let wanted = audio.iter().enumerate().skip(1).filter(|(at, line)| wanted(*at, line));
    lines.extend(wanted.take(KEPT_LINES).map(|(_, line)| (*line).to_owned()));
    lines.push(String::new());
    Ok(lines.join("\r\n"))
}

fn is_kept(line: &str) -> bool {
    let Some(text) = line.strip_prefix("a=") else { return false };
    let name = text.split(':').next().unwrap_or_default();
    KEPT.contains(&name) || DIRECTIONS.contains(&text)
}

/// Returns the supported payload types, each once.
fn known_formats<'a>(audio: &[&'a str], offered: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known: Vec<&str> = Vec::new();
    for format in offered.filter(|format| format.parse::<u8>().is_ok_and(|pt| pt < 128)).take(32) {
        let map = audio.iter().find_map(|line| line.strip_prefix("a=rtpmap:")?.strip_prefix(format)?.strip_prefix(' '));
        let (name, clock) = match map {
            Some(map) => {
                let mut parts = map.split('/');
                (parts.next().unwrap_or_default(), parts.next().and_then(|clock| clock.parse().ok()).unwrap_or(0))
            }
            None => format.parse().ok().and_then(static_type).unwrap_or_default(),
        };
        let events = name.eq_ignore_ascii_case("telephone-event") && [8_000, 48_000].contains(&clock);
        if (events || codec(name, clock).is_some()) && !known.contains(&format) {
            known.push(format);
        }
    }
    known
}

fn is_of_format(line: &str, formats: &[&str]) -> bool {
    let Some(rest) = line.strip_prefix("a=rtpmap:").or_else(|| line.strip_prefix("a=fmtp:")) else { return false };
    formats.contains(&rest.split(' ').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=msid-semantic: WMS\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0 111\r\na=mid:1\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 AA:BB\r\n\
        a=setup:actpass\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:63 red/48000/2\r\n\
        a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\na=rtcp-mux\r\n";

    #[test]
    fn only_the_audio_is_left_and_the_rest_refused() {
        let page = PageSdp::read(OFFER).expect("an offer");
        assert!(page.text.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\n"), "{}", page.text);
        for gone in ["video", "candidate", "red/", "a=mid:0"] {
            assert!(!page.text.contains(gone), "{gone}");
        }
        let answer = page.widen("v=0\r\na=group:BUNDLE 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n");
        let lines: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(lines, ["m=video 0 UDP/TLS/RTP/SAVPF 96", "m=audio 9 UDP/TLS/RTP/SAVPF 0"]);
    }

    #[test]
    fn a_page_shows_one_strong_certificate() {
        let with = |one: &str| {
            PageSdp::read(&OFFER.replacen(
                "a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=can",
                &format!("{one}a=setup:actpass\r\na=can"),
                1,
            ))
            .err()
        };
        assert_eq!(with("a=fingerprint:sha-256 AA:BB\r\n"), None);
        assert_eq!(with(""), Some(MediaError::Fingerprint));
        assert_eq!(with("a=fingerprint:md5 AA:BB\r\n"), Some(MediaError::Fingerprint));
        assert_eq!(with("a=fingerprint:sha-256 AA:BB\r\na=fingerprint:sha-256 AA:BC\r\n"), Some(MediaError::Fingerprint));
    }
}
