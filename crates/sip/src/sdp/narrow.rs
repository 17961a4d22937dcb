//! Descriptions with parts that are not supported here: these parts are removed for the reader of the description (a browser, or the media of
//! the gateway), and rejected in the answer.
//!
//! ```text
//! offer of the peer ── tidy ── Narrowed::of ──▶ supported media lines ── reader ──▶ its answer ── widen ──▶ answer with all media lines
//! offer to the peer ◀── widen ── offer of the reader;   answer of the peer ── without ──▶ answer that the reader takes
//! ```

use std::borrow::Cow;
use std::net::IpAddr;

use super::{SdpError, attribute, attributes, check_keys, first_line, is_secure, kind, sections, split, within_limits};

/// A description with only the media lines that its reader supports, and the rejections of the others (RFC 3264, section 6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// The description for the reader.
    pub text: String,
    /// For each media line of the peer its rejection; `None` where it is accepted.
    lines: Vec<Option<String>>,
}

impl Narrowed {
    /// Returns the description without the media sections for which `takes` is false; a section begins with its `m=`.
    pub fn of(sdp: &str, mut takes: impl FnMut(&str) -> bool) -> Self {
        let (session, media) = sections(sdp);
        let (mut text, mut lines, mut gone) = (String::with_capacity(sdp.len()), Vec::new(), Vec::new());
        for section in media {
            let taken = takes(section);
            if taken {
                text.push_str(section);
            } else {
                gone.extend(attribute(section, "mid:"));
            }
            lines.push((!taken).then(|| rejection(section)));
        }
        // A media line that was removed must not be in a BUNDLE group (RFC 8843, section 7.3).
        let session = if gone.is_empty() { Cow::Borrowed(session) } else { Cow::Owned(without_mids(session, &gone)) };
        Self { text: format!("{session}{text}"), lines }
    }

    /// Returns a description of the reader with all media lines of the peer: those that the reader does not know are rejected.
    #[must_use]
    pub fn widen(&self, sdp: &str) -> String {
        let (session, mut own) = sections(sdp);
        let mut text = session.to_owned();
        for line in &self.lines {
            text.push_str(line.as_deref().or_else(|| own.next()).unwrap_or_default());
        }
        own.for_each(|section| text.push_str(section));
        text
    }

    /// Returns the peer's answer to a widened description without the media lines that the reader does not know.
    #[must_use]
    pub fn without(&self, sdp: &str) -> String {
        let refused = |at: usize| self.lines.get(at).is_some_and(Option::is_some);
        let mut at = 0..;
        Self::of(sdp, |_| !at.next().is_some_and(refused)).text
    }
}

/// Returns the part of an offer that a browser supports: the media lines with DTLS. Others, such as T.38, are rejected, while the rest of the
/// offer can be accepted.
///
/// # Errors
///
/// The first fault; [`SdpError::Insecure`] where no media line remains.
pub fn usable(offer: &str) -> Result<Narrowed, SdpError> {
    within_limits(offer)?;
    if first_line(offer).0 != "v=0" {
        return Err(SdpError::Malformed);
    }
    let (mut live, mut insecure) = (false, false);
    let narrowed = Narrowed::of(&without_names(&tidy(offer)), |section| {
        let refused = port(section) == "0" && !attributes(section).any(|text| text == "bundle-only");
        let taken = is_secure(section) && matches!(kind(section), "audio" | "video" | "application");
        live |= taken && !refused;
        insecure |= !taken && !refused;
        taken
    });
    if insecure && !live {
        return Err(SdpError::Insecure);
    }
    check_keys(&narrowed.text).map(|()| narrowed)
}

/// Returns the description in a form that all readers accept: without lines that do not describe media, and with replacements for values that
/// occur although readers reject them, such as session ids of more than 64 bits, keys of RFC 2327 and bandwidths that are not numbers.
#[must_use]
pub fn tidy(sdp: &str) -> String {
    rewritten(sdp, |line| match line.get(..2) {
        Some("o=") if !is_origin(line) => Some("o=- 0 0 IN IP4 0.0.0.0".into()),
        Some("s=") if line.len() == 2 => Some("s=-".into()),
        Some("t=") if !is_time(line) => Some("t=0 0".into()),
        Some("b=") if split(line, b':').1.parse::<u64>().is_err() => None,
        Some("i=" | "u=" | "e=" | "p=" | "r=" | "z=" | "k=") | None => None,
        Some(_) => Some(line.into()),
    })
}

/// Returns the description with each line replaced by the result of `edit`; `None` removes it.
fn rewritten<'a>(sdp: &'a str, mut edit: impl FnMut(&'a str) -> Option<Cow<'a, str>>) -> String {
    let (mut text, mut rest) = (String::with_capacity(sdp.len()), sdp);
    while !rest.is_empty() {
        let (line, next) = first_line(rest);
        rest = next;
        if let Some(line) = edit(line) {
            text.push_str(&line);
            text.push_str("\r\n");
        }
    }
    text
}

fn is_origin(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    matches!(words[..], [_, id, version, _, _, _] if id.parse::<u64>().is_ok() && version.parse::<u64>().is_ok())
}

fn is_time(line: &str) -> bool {
    let times: Vec<&str> = line.get(2..).unwrap_or_default().split(' ').collect();
    times.len() == 2 && times.iter().all(|time| time.parse::<u64>().is_ok())
}

/// Whether a connection address is a host name (RFC 8866, section 5.7).
#[must_use]
pub fn is_host_name(address: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    address.parse::<IpAddr>().is_err() && !address.is_empty() && address.bytes().all(of_name)
}

/// Returns the description with 0.0.0.0 in place of host names: browsers do not resolve them, and with ICE only candidates count.
fn without_names(sdp: &str) -> String {
    rewritten(sdp, |line| match line.strip_prefix("c=").and_then(|line| line.rsplit_once(' ')) {
        Some((_, address)) if is_host_name(address) => Some("c=IN IP4 0.0.0.0".into()),
        _ => Some(line.into()),
    })
}

fn port(section: &str) -> &str {
    split(split(first_line(section).0, b' ').1, b' ').0
}

/// Returns the rejection of a media section: port 0, and one format with its `rtpmap`.
fn rejection(section: &str) -> String {
    let mut words = first_line(section).0.split(' ');
    let kind = words.next().unwrap_or_default();
    let (protocol, format) = (words.nth(1).unwrap_or("RTP/AVP"), words.next().unwrap_or("0"));
    let mut text = format!("{kind} 0 {protocol} {format}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n");
    let map = attributes(section).find(|text| text.strip_prefix("rtpmap:").is_some_and(|map| split(map, b' ').0 == format));
    let mid = attributes(section).find(|text| text.starts_with("mid:"));
    map.into_iter().chain(mid).for_each(|line| text.extend(["a=", line, "\r\n"]));
    text
}

fn without_mids(session: &str, gone: &[&str]) -> String {
    rewritten(session, |line| {
        let group = line.starts_with("a=group:");
        Some(if group {
            line.split(' ').filter(|word| !gone.contains(word)).collect::<Vec<_>>().join(" ").into()
        } else {
            line.into()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "a=fingerprint:sha-256 AA:BB\r\n";
    const FAX: &str = "m=image 5000 udptl t38\r\na=T38FaxVersion:0\r\na=mid:fax\r\n";
    const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n";

    fn offer(media: &[&str]) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 fax\r\n{PRINT}{}", media.concat())
    }

    #[test]
    fn a_fax_beside_the_sound_is_refused_and_the_sound_taken() {
        for media in [[AUDIO, FAX], [FAX, AUDIO]] {
            let narrowed = usable(&offer(&media)).expect("the sound can be taken");
            assert_eq!(narrowed.text, offer(&[AUDIO]).replace("BUNDLE 0 fax", "BUNDLE 0"));
            let refused = "m=image 0 udptl t38\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:fax\r\n";
            let wide = media.map(|section| if section == FAX { refused } else { "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" }).concat();
            assert_eq!(narrowed.widen("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"), format!("v=0\r\n{wide}"));
            assert_eq!(narrowed.without(&format!("v=0\r\n{wide}")), "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n");
        }
        assert_eq!(usable(&offer(&[FAX])), Err(SdpError::Insecure));
        assert_eq!(usable(&offer(&["m=audio 4000 RTP/AVP 0\r\n"])), Err(SdpError::Insecure));
    }

    #[test]
    fn what_is_right_stays_as_it_is() {
        let whole = offer(&[AUDIO]);
        let narrowed = usable(&whole).expect("it is right");
        assert_eq!((&*narrowed.text, &*narrowed.widen(&whole), &*narrowed.without(&whole)), (&*whole, &*whole, &*whole));
        let another = format!("{whole}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n");
        assert_eq!(narrowed.widen(&another), another, "a line that comes later");
    }

    #[test]
    fn keys_in_what_is_refused_harm_nobody() {
        let line = "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n";
        assert!(usable(&offer(&[line, AUDIO])).is_ok());
        assert_eq!(usable(&offer(&[AUDIO, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"])), Err(SdpError::Crypto));
    }

    #[test]
    fn names_are_told_from_addresses() {
        for (address, name) in [
            ("media.example.com", true),
            ("localhost", true),
            ("192.0.2.1", false),
            ("224.2.1.1/127", false),
            ("2001:db8::1", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(is_host_name(address), name, "{address}");
        }
    }
}
