//! The parts of session descriptions (RFC 8866) that signalling reads or edits: candidates, ICE credentials, fingerprints, and fragments for
//! trickle ICE (RFC 8840).
//!
//! The rest of a description is passed on unchanged: browsers write it and browsers read it.
//!
//! ```
//! use offhook_sip::sdp;
//!
//! let offer = format!(
//!     "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
//!      a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-options:trickle\r\na=fingerprint:sha-256 {}\r\n\
//!      a=candidate:1 1 udp 2113937151 192.0.2.1 54400 typ host\r\n",
//!     ["AB"; 32].join(":")
//! );
//! assert_eq!(sdp::check(&offer), Ok(()), "it may be given to a browser");
//! assert!(sdp::trickles(&offer));
//!
//! // The candidates of a description, as the body of an INFO request.
//! let candidates = sdp::candidates(&offer);
//! let body = sdp::fragment(&offer, &candidates, true);
//! let fragment = sdp::read_fragment(&body)?;
//! assert_eq!((fragment.ufrag.as_deref(), fragment.end), (Some("8hhY"), true));
//! assert_eq!(fragment.candidates[0].text, candidates[0].text);
//!
//! let plain = offer.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
//! assert_eq!(sdp::check(&plain), Err(sdp::SdpError::Insecure));
//! # Ok::<(), sdp::SdpError>(())
//! ```

use thiserror::Error;

mod narrow;

pub use narrow::{Narrowed, is_host_name, tidy, usable};

use crate::text::{cut_at, find_text};

/// The longest description, octets.
const MAX_LEN: usize = 64 * 1024;
/// The largest number of candidates in a description or fragment.
const MAX_CANDIDATES: usize = 100;
/// The largest number of media lines.
const MAX_MEDIA: usize = 16;

/// An ICE candidate, with the media line that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The identification of the media line, `sdpMid` in browsers; `""` where it has none.
    pub mid: String,
    /// The index of the media line, from 0. In the result of [`read_fragment`] it is the index in the fragment: use `mid` there.
    pub line: u16,
    /// `candidate:…`, without `a=`.
    pub text: String,
    /// The user name fragment: the ICE generation that the candidate belongs to.
    pub ufrag: Option<String>,
}

/// Why a description or fragment is rejected. The peer is at fault in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SdpError {
    /// It does not start with `v=0`.
    #[error("not a session description")]
    Malformed,
    /// It has more than 64 KiB, 100 candidates or 16 media lines.
    #[error("session description too large")]
    TooLarge,
    /// It has a media line that is not encrypted with DTLS.
    #[error("media without DTLS")]
    Insecure,
    /// It has no fingerprint, so the peer could not be authenticated.
    #[error("no fingerprint")]
    NoFingerprint,
    /// It has a fingerprint with a hash function weaker than SHA-256.
    #[error("fingerprint weaker than SHA-256")]
    WeakFingerprint,
    /// It has keys in the signalling: `a=crypto`.
    #[error("keys in the session description")]
    Crypto,
}

/// Returns all candidates in their order.
#[must_use]
pub fn candidates(sdp: &str) -> Vec<Candidate> {
    let (session, media) = sections(sdp);
    let shared = attribute(session, "ice-ufrag:");
    let mut found = Vec::new();
    for (line, section) in media.enumerate() {
        let mid = attribute(section, "mid:").unwrap_or("");
        let ufrag = attribute(section, "ice-ufrag:").or(shared);
        for text in attributes(section) {
            if is_candidate(text) {
                let line = u16::try_from(line).unwrap_or(u16::MAX);
                found.push(Candidate { mid: mid.into(), line, text: text.into(), ufrag: ufrag.map(String::from) });
            }
        }
    }
    found
}

/// Returns the first ICE user name fragment and password.
#[must_use]
pub fn ice_credentials(sdp: &str) -> Option<(String, String)> {
    Some((attribute(sdp, "ice-ufrag:")?.into(), attribute(sdp, "ice-pwd:")?.into()))
}

/// Returns the first fingerprint: `sha-256 AB:CD:…`.
#[must_use]
pub fn fingerprint(sdp: &str) -> Option<&str> {
    attribute(sdp, "fingerprint:")
}

/// Whether the audio supports DTMF digits as RTP events (RFC 4733).
#[must_use]
pub fn has_telephone_event(sdp: &str) -> bool {
    let is_event = |text: &str| {
        let codec = text.strip_prefix("rtpmap:").map(|map| split(map, b' ').1);
        codec.is_some_and(|codec| split(codec, b'/').0.eq_ignore_ascii_case("telephone-event"))
    };
    sections(sdp).1.any(|section| section.starts_with("m=audio ") && attributes(section).any(is_event))
}

/// Whether there is a candidate.
#[must_use]
pub fn has_candidates(sdp: &str) -> bool {
    attributes(sdp).any(is_candidate)
}

/// Whether there is a media line for video.
#[must_use]
pub fn has_video(sdp: &str) -> bool {
    sections(sdp).1.any(|section| kind(section) == "video")
}

/// Returns the offer with `a=setup:active` in place of `actpass`: its author is the DTLS client (RFC 8842, 5.2).
#[must_use]
pub fn taking_the_lead(sdp: &str) -> String {
    let mut text = String::with_capacity(sdp.len());
    let mut rest = sdp;
    while !rest.is_empty() {
        let (line, next) = first_line(rest);
        text.push_str(if line == "a=setup:actpass" { "a=setup:active" } else { line });
        text.push_str("\r\n");
        rest = next;
    }
    text
}

/// Whether the author is the DTLS client; `None` where the description leaves that open.
#[must_use]
pub fn is_active(sdp: &str) -> Option<bool> {
    attributes(sdp).find_map(|text| match text.strip_prefix("setup:")? {
        "active" => Some(true),
        "passive" => Some(false),
        _ => None,
    })
}

/// Whether the author sends no media on some media line, because it has put the peer on hold or is on hold (RFC 3264, 8.4).
#[must_use]
pub fn is_quiet(sdp: &str) -> bool {
    attributes(sdp).any(|text| matches!(text, "inactive" | "recvonly"))
}

/// Whether the author supports trickle ICE (RFC 8840).
#[must_use]
pub fn trickles(sdp: &str) -> bool {
    attributes(sdp).filter_map(|text| text.strip_prefix("ice-options:")).any(|tags| tags.split(' ').any(|tag| tag == "trickle"))
}

/// Returns the `application/trickle-ice-sdpfrag` body with these candidates of the local description `sdp` (RFC 8840, 9).
/// `end`: whether these are the last ones.
#[must_use]
pub fn fragment(sdp: &str, candidates: &[Candidate], end: bool) -> String {
    let mut text = String::with_capacity(256);
    if let Some((ufrag, pwd)) = ice_credentials(sdp) {
        push_line(&mut text, "a=ice-pwd:", &pwd);
        push_line(&mut text, "a=ice-ufrag:", &ufrag);
    }
    if end {
        push_line(&mut text, "a=end-of-candidates", "");
    }
    for (line, section) in sections(sdp).1.enumerate() {
        let mid = attribute(section, "mid:").unwrap_or("");
        let belongs = |candidate: &&Candidate| match candidate.mid.as_str() {
            "" => usize::from(candidate.line) == line,
            other => other == mid,
        };
        if !candidates.iter().any(|candidate| belongs(&candidate)) {
            continue;
        }
        // Port and profile have no meaning in a fragment.
        text.push_str("m=");
        push_line(&mut text, kind(section), " 9 RTP/AVP 0");
        push_line(&mut text, "a=mid:", mid);
        for candidate in candidates.iter().filter(belongs) {
            push_line(&mut text, "a=", &candidate.text);
        }
    }
    text
}

/// The content of an `application/trickle-ice-sdpfrag` body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The user name fragment: the ICE generation that it belongs to.
    pub ufrag: Option<String>,
    /// The candidates in their order.
    pub candidates: Vec<Candidate>,
    /// Whether these are the last candidates.
    pub end: bool,
}

/// Parses an `application/trickle-ice-sdpfrag` body.
///
/// # Errors
///
/// [`SdpError::TooLarge`].
pub fn read_fragment(text: &str) -> Result<Fragment, SdpError> {
    within_limits(text)?;
    Ok(Fragment {
        ufrag: attribute(text, "ice-ufrag:").map(String::from),
        candidates: candidates(text),
        end: attributes(text).any(|text| text == "end-of-candidates"),
    })
}

/// Checks whether a description of the peer may be given to a browser: it is within the limits, and all of its media are encrypted with
/// DTLS, with a fingerprint of SHA-256 or stronger. Rejected media lines (port 0) are not checked.
///
/// # Errors
///
/// The first fault.
pub fn check(sdp: &str) -> Result<(), SdpError> {
    within_limits(sdp)?;
    if first_line(sdp).0 != "v=0" {
        return Err(SdpError::Malformed);
    }
    let rejected = |section: &str| split(split(first_line(section).0, b' ').1, b' ').0 == "0";
    if !sections(sdp).1.all(|section| rejected(section) || is_secure(section)) {
        return Err(SdpError::Insecure);
    }
    check_keys(sdp)
}

/// Whether the media of a section are encrypted with DTLS.
fn is_secure(section: &str) -> bool {
    let (_, words) = split(first_line(section).0, b' ');
    PROFILES.contains(&split(split(words, b' ').1, b' ').0)
}

/// Checks that all keys are negotiated by DTLS, with a fingerprint of SHA-256 or stronger.
fn check_keys(sdp: &str) -> Result<(), SdpError> {
    if attribute(sdp, "crypto:").is_some() {
        return Err(SdpError::Crypto);
    }
    let mut result = Err(SdpError::NoFingerprint);
    for text in attributes(sdp) {
        let Some(print) = text.strip_prefix("fingerprint:") else { continue };
        let hash = split(print, b' ').0;
        if !["sha-256", "sha-384", "sha-512"].iter().any(|known| known.eq_ignore_ascii_case(hash)) {
            return Err(SdpError::WeakFingerprint);
        }
        result = Ok(());
    }
    result
}

/// Profiles with DTLS (RFC 5764, RFC 7850, RFC 8841).
const PROFILES: [&str; 5] = ["UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP", "TCP/DTLS/SCTP"];

fn within_limits(sdp: &str) -> Result<(), SdpError> {
    if sdp.len() > MAX_LEN {
        return Err(SdpError::TooLarge);
    }
    let (mut media, mut candidates) = (0, 0);
    for _ in sections(sdp).1 {
        media += 1;
    }
    for text in attributes(sdp) {
        candidates += usize::from(is_candidate(text));
    }
    if media > MAX_MEDIA || candidates > MAX_CANDIDATES { Err(SdpError::TooLarge) } else { Ok(()) }
}

/// Returns the session section, and each media section beginning with its `m=`.
fn sections(sdp: &str) -> (&str, impl Iterator<Item = &str>) {
    let (session, mut rest) = if sdp.starts_with("m=") { ("", sdp) } else { cut(sdp) };
    let media = core::iter::from_fn(move || {
        let (section, after) = cut(rest);
        rest = after;
        Some(section).filter(|section| !section.is_empty())
    });
    (session, media)
}

/// Cuts before the first line after the first one that begins with `m=`.
fn cut(sdp: &str) -> (&str, &str) {
    find_text(sdp, "\nm=").and_then(|at| sdp.split_at_checked(at + 1)).unwrap_or((sdp, ""))
}

/// Returns the text before and after the first `separator`, an ASCII character; all of the text and `""` where there is none.
fn split(text: &str, separator: u8) -> (&str, &str) {
    cut_at(text, separator).unwrap_or((text, ""))
}

/// Returns the first line without its line end, and the text that follows it.
fn first_line(text: &str) -> (&str, &str) {
    let (line, rest) = split(text, b'\n');
    (line.strip_suffix("\r").unwrap_or(line), rest)
}

/// Returns the media type of a section: `audio` of `m=audio 9 …`.
fn kind(section: &str) -> &str {
    split(first_line(section).0.strip_prefix("m=").unwrap_or(""), b' ').0
}

/// Iterates over the attributes, without `a=`.
const fn attributes(section: &str) -> Attributes<'_> {
    Attributes { rest: section }
}

/// An iterator over attributes; not made of iterator adapters, whose code is larger.
struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let (line, rest) = first_line(self.rest);
            self.rest = rest;
            if let Some(text) = line.strip_prefix("a=") {
                return Some(text);
            }
        }
        None
    }
}

fn is_candidate(attribute: &str) -> bool {
    attribute.starts_with("candidate:")
}

/// Returns the value of the first attribute of this name; `name` includes the colon.
fn attribute<'a>(section: &'a str, name: &str) -> Option<&'a str> {
    attributes(section).find_map(|text| text.strip_prefix(name)).map(str::trim_ascii_end)
}

/// Appends one line; CR, LF and NUL in `value` are left out.
fn push_line(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    for c in value.chars() {
        if !matches!(c, '\r' | '\n' | '\0') {
            text.push(c);
        }
    }
    text.push_str("\r\n");
}
