//! The little SDP that we read or edit: candidates, ICE credentials, fingerprints, and RFC 8840's fragments.
//!
//! The rest of a description passes through untouched: browsers write it and browsers read it.

mod narrow;

pub use narrow::{Narrowed, is_host_name, tidy, usable};

use core::fmt;

use crate::text::{cut_at, find_text};

/// The largest description in octets.
const MAX_LEN: usize = 64 * 1024;
/// The most candidates in a description or fragment.
const MAX_CANDIDATES: usize = 100;
/// The most media lines.
const MAX_MEDIA: usize = 16;

/// One ICE candidate, with the media line that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The media line's identification: what browsers call `sdpMid`. `""` where it has none.
    pub mid: String,
    /// The media line's index, from 0. In what [`read_fragment`] gives, the index in the fragment: go by `mid` there.
    pub line: u16,
    /// `candidate:…`, without `a=`.
    pub text: String,
    /// Which generation of ICE it belongs to.
    pub ufrag: Option<String>,
}

/// A description or fragment that the other side ought not to have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SdpError {
    /// It does not start with `v=0`.
    Malformed,
    /// More than 64 KiB, 100 candidates or 16 media lines.
    TooLarge,
    /// A media line whose media would not be encrypted with DTLS.
    Insecure,
    /// No fingerprint, so that anybody could be at the other end.
    NoFingerprint,
    /// A fingerprint of a hash weaker than SHA-256.
    WeakFingerprint,
    /// `a=crypto`: keys in the signalling.
    Crypto,
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a session description",
            Self::TooLarge => "session description too large",
            Self::Insecure => "media without DTLS",
            Self::NoFingerprint => "no fingerprint",
            Self::WeakFingerprint => "fingerprint weaker than SHA-256",
            Self::Crypto => "keys in the session description",
        })
    }
}

impl core::error::Error for SdpError {}

/// All candidates, in order.
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

/// The first ICE user name fragment and password.
#[must_use]
pub fn ice_credentials(sdp: &str) -> Option<(String, String)> {
    Some((attribute(sdp, "ice-ufrag:")?.into(), attribute(sdp, "ice-pwd:")?.into()))
}

/// The first fingerprint: `sha-256 AB:CD:…`.
#[must_use]
pub fn fingerprint(sdp: &str) -> Option<&str> {
    attribute(sdp, "fingerprint:")
}

/// Whether the audio takes DTMF as RTP events (RFC 4733).
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

/// The offer `sdp` as if its author wanted to begin the DTLS handshake itself (RFC 8842, 5.2).
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

/// Whether its author begins the DTLS handshake; `None` where it leaves that open.
#[must_use]
pub fn is_active(sdp: &str) -> Option<bool> {
    attributes(sdp).find_map(|text| match text.strip_prefix("setup:")? {
        "active" => Some(true),
        "passive" => Some(false),
        _ => None,
    })
}

/// Whether some media of its author stands still now: it is on hold (RFC 3264, 8.4).
#[must_use]
pub fn is_quiet(sdp: &str) -> bool {
    attributes(sdp).any(|text| matches!(text, "inactive" | "recvonly"))
}

/// Whether its author takes candidates later (RFC 8840).
#[must_use]
pub fn trickles(sdp: &str) -> bool {
    attributes(sdp).filter_map(|text| text.strip_prefix("ice-options:")).any(|tags| tags.split(' ').any(|tag| tag == "trickle"))
}

/// The `application/trickle-ice-sdpfrag` body that carries these candidates of the local description `sdp` (RFC 8840, 9).
/// `end`: there will be no more.
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
        // Port and profile of a fragment mean nothing.
        text.push_str("m=");
        push_line(&mut text, kind(section), " 9 RTP/AVP 0");
        push_line(&mut text, "a=mid:", mid);
        for candidate in candidates.iter().filter(belongs) {
            push_line(&mut text, "a=", &candidate.text);
        }
    }
    text
}

/// What a `application/trickle-ice-sdpfrag` body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Which generation of ICE it is about.
    pub ufrag: Option<String>,
    /// In order.
    pub candidates: Vec<Candidate>,
    /// There will be no more.
    pub end: bool,
}

/// Reads an `application/trickle-ice-sdpfrag` body.
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

/// Whether a description from the other side may be handed to a browser: bounded, and all of its media under DTLS with a
/// fingerprint worth the name. Refused media lines (port 0) may be what they like.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(sdp: &str) -> Result<(), SdpError> {
    within_limits(sdp)?;
    if first_line(sdp).0 != "v=0" {
        return Err(SdpError::Malformed);
    }
    let refused = |section: &str| split(split(first_line(section).0, b' ').1, b' ').0 == "0";
    if !sections(sdp).1.all(|section| refused(section) || is_secure(section)) {
        return Err(SdpError::Insecure);
    }
    check_keys(sdp)
}

/// Whether the media of a section are under DTLS.
fn is_secure(section: &str) -> bool {
    let (_, words) = split(first_line(section).0, b' ');
    PROFILES.contains(&split(split(words, b' ').1, b' ').0)
}

/// Whether all keys come by DTLS, from somebody whose fingerprint is worth the name.
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

/// Profiles under DTLS (RFC 5764, RFC 7850, RFC 8841).
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

/// The session part, and each media section from its `m=` on.
fn sections(sdp: &str) -> (&str, impl Iterator<Item = &str>) {
    let (session, mut rest) = if sdp.starts_with("m=") { ("", sdp) } else { cut(sdp) };
    let media = core::iter::from_fn(move || {
        let (section, after) = cut(rest);
        rest = after;
        Some(section).filter(|section| !section.is_empty())
    });
    (session, media)
}

/// Cuts before the first line but the one it begins with that starts with `m=`.
fn cut(sdp: &str) -> (&str, &str) {
    find_text(sdp, "\nm=").and_then(|at| sdp.split_at_checked(at + 1)).unwrap_or((sdp, ""))
}

/// What precedes the first `separator`, an ASCII character, and what follows it. Without one all of it precedes it.
fn split(text: &str, separator: u8) -> (&str, &str) {
    cut_at(text, separator).unwrap_or((text, ""))
}

/// The first line, without its end, and what follows it.
fn first_line(text: &str) -> (&str, &str) {
    let (line, rest) = split(text, b'\n');
    (line.strip_suffix("\r").unwrap_or(line), rest)
}

/// `audio` of `m=audio 9 …`.
fn kind(section: &str) -> &str {
    split(first_line(section).0.strip_prefix("m=").unwrap_or(""), b' ').0
}

/// What follows `a=` in each attribute line.
const fn attributes(section: &str) -> Attributes<'_> {
    Attributes { rest: section }
}

/// Written out, because what the adapters of iterators make of it is larger.
struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = &'a str;

    #[inline(never)]
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

/// The value of the first attribute of that name; `name` has its colon.
fn attribute<'a>(section: &'a str, name: &str) -> Option<&'a str> {
    attributes(section).find_map(|text| text.strip_prefix(name)).map(str::trim_ascii_end)
}

/// One line, whatever is in its parts.
fn push_line(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    for c in value.chars() {
        if !matches!(c, '\r' | '\n' | '\0') {
            text.push(c);
        }
    }
    text.push_str("\r\n");
}
