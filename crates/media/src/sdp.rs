//! Session descriptions of the SIP side (RFC 8866, RFC 3264): parser and writer.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use offhook_sip::sdp::{is_host_name, tidy};
use sdp_types::{Connection, Media, MediaType, Origin, RtpMap, Session, Time, TransportProto};

use super::port::{Codec, MediaError, Security};
use super::srtp::Master;

/// The only supported crypto suite, which all peers support (RFC 4568, 6.2.1).
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// The longest description, octets.
pub const MAX_LEN: usize = 16 * 1024;
/// The largest number of media lines.
pub const MAX_LINES: usize = 16;

/// The direction of media (RFC 3264, 5.1), seen from the author of a description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both sides send.
    #[default]
    Both,
    /// Only the author sends.
    Send,
    /// Only the peer sends.
    Receive,
    /// Nobody sends.
    Neither,
}

impl Direction {
    /// Whether the author sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::Both | Self::Send)
    }

    /// Whether the author receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::Both | Self::Receive)
    }

    /// Returns the direction seen from the peer.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// Returns the direction for sending and receiving.
    #[must_use]
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::Both,
            (true, false) => Self::Send,
            (false, true) => Self::Receive,
            (false, false) => Self::Neither,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Both => "sendrecv",
            Self::Send => "sendonly",
            Self::Receive => "recvonly",
            Self::Neither => "inactive",
        }
    }
}

/// The key of one side, with the tag that offer and answer share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// The tag of the attribute.
    pub tag: u32,
    /// The key that this side encrypts with.
    pub master: Master,
}

/// The format of telephone events (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    /// The payload type.
    pub payload_type: u8,
    /// The clock, Hz: that of the sound beside it.
    pub clock: u32,
}

/// The audio of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio {
    /// The address for RTP.
    pub rtp: SocketAddr,
    /// The address for RTCP; the same where both share a port.
    pub rtcp: SocketAddr,
    /// Whether the description has a host name, and `rtp` is only an estimate.
    pub named: bool,
    /// Whether RTP and RTCP share a port (RFC 5761).
    pub mux: bool,
    /// The direction; with the address 0.0.0.0 nothing is sent to it (RFC 3264, 8.4).
    pub direction: Direction,
    /// Codecs with payload types, in the order of preference.
    pub codecs: Vec<(Codec, u8)>,
    /// The supported telephone events.
    pub events: Vec<Events>,
    /// Whether its Opus decoder uses in-band FEC (RFC 7587, 6.1).
    pub fec: bool,
    /// Its keys; empty for RTP/AVP.
    pub crypto: Vec<Crypto>,
    /// Media type, protocol and formats of each media line, to reject the others in the answer, and the index of this one.
    pub lines: (Vec<[String; 3]>, usize),
}

/// Returns the clock of RTP timestamps, Hz; for G.722 it is half of the sampling rate (RFC 3551, 4.5.2).
#[must_use]
pub const fn clock(codec: Codec) -> u32 {
    match codec {
        Codec::Opus => 48_000,
        Codec::G722 | Codec::Pcma | Codec::Pcmu => 8_000,
    }
}

/// Returns the codec of this name and clock.
#[must_use]
pub fn codec(name: &str, clock: u32) -> Option<Codec> {
    let named = |other: &str| name.eq_ignore_ascii_case(other);
    match clock {
        48_000 if named("opus") => Some(Codec::Opus),
        8_000 if named("g722") => Some(Codec::G722),
        8_000 if named("pcma") => Some(Codec::Pcma),
        8_000 if named("pcmu") => Some(Codec::Pcmu),
        _ => None,
    }
}

/// Returns name and clock of a static payload type (RFC 3551), which needs no rtpmap.
#[must_use]
pub const fn static_type(payload_type: u8) -> Option<(&'static str, u32)> {
    match payload_type {
        0 => Some(("PCMU", 8_000)),
        8 => Some(("PCMA", 8_000)),
        9 => Some(("G722", 8_000)),
        _ => None,
    }
}

/// Whether the Opus decoder of a side uses in-band FEC: copies of lost frames in the packets after them (RFC 7587, 6.1). No other
/// codec has this parameter.
#[must_use]
pub fn uses_fec(sdp: &str) -> bool {
    sdp.lines().any(|line| line.starts_with("a=fmtp:") && line.contains("useinbandfec=1"))
}

const fn name(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus => "opus",
        Codec::G722 => "G722",
        Codec::Pcma => "PCMA",
        Codec::Pcmu => "PCMU",
    }
}

/// Parses a description of the SIP side, which has to use `security`. `sip` is the source address of its SIP messages: it replaces
/// a host name.
pub fn read(sdp: &str, security: Security, sip: Option<IpAddr>) -> Result<Audio, MediaError> {
    if sdp.len() > MAX_LEN {
        return Err(MediaError::Malformed);
    }
    let session = parse(sdp)?;
    let (index, secure) = audio_line(&session, security)?;
    let media = &session.medias[index];
    let connection = media.connections.first().or(session.connection.as_ref()).ok_or(MediaError::Malformed)?;
    let named = is_host_name(&connection.connection_address);
    let address = match sip.filter(|_| named) {
        Some(sip) => sip,
        None => connection.try_address().map_err(|_| MediaError::Malformed)?.ip,
    };
    if address.is_multicast() {
        return Err(MediaError::NotAcceptable);
    }
    let rtp = SocketAddr::new(address, media.port);
    let mux = media.has_attribute("rtcp-mux");
    let (codecs, events) = formats(media);
    let lines = session.medias.iter().map(|media| [media.media.clone(), media.proto.clone(), media.fmt.clone()]).collect();
    Ok(Audio {
        rtp,
        rtcp: if mux { rtp } else { control(media, rtp) },
        named,
        mux,
        direction: if address.is_unspecified() { Direction::Send } else { direction(&session, media) },
        codecs,
        events,
        fec: uses_fec(sdp),
        crypto: if secure { keys(media) } else { Vec::new() },
        lines: (lines, index),
    })
}

fn parse(sdp: &str) -> Result<Session, MediaError> {
    let session = Session::parse(tidy(sdp).as_bytes()).map_err(|_| MediaError::Malformed)?;
    if session.medias.is_empty() || session.medias.len() > MAX_LINES { Err(MediaError::Malformed) } else { Ok(session) }
}

/// Returns the audio line that is accepted, and whether it has keys in SDP: the first active one with the required encryption, else
/// the first active one with plain RTP, so that its fault can be reported.
fn audio_line(session: &Session, security: Security) -> Result<(usize, bool), MediaError> {
    let lines = session.medias.iter().enumerate().filter(|(_, media)| media.media == "audio" && media.port != 0);
    let mut known = lines.filter_map(|(index, media)| match media.proto.as_str() {
        "RTP/AVP" | "RTP/AVPF" => Some((index, false)),
        "RTP/SAVP" | "RTP/SAVPF" => Some((index, true)),
        _ => None,
    });
    let first = known.next().ok_or(MediaError::NotAcceptable)?;
    let fits = |(_, secure): &(usize, bool)| *secure == (security == Security::Sdes);
    Ok(std::iter::once(first).chain(known).find(fits).unwrap_or(first))
}

/// Returns the RTCP port: that in `a=rtcp` (RFC 3605), or the next one.
fn control(media: &Media, rtp: SocketAddr) -> SocketAddr {
    let named = media.get_first_attribute_value("rtcp").flatten().and_then(|value| {
        let mut words = value.split(' ');
        let port = words.next()?.parse().ok()?;
        let address = words.nth(2).and_then(|address| address.parse().ok()).unwrap_or(rtp.ip());
        Some(SocketAddr::new(address, port))
    });
    named.unwrap_or_else(|| SocketAddr::new(rtp.ip(), rtp.port().saturating_add(1)))
}

fn direction(session: &Session, media: &Media) -> Direction {
    let all = [Direction::Both, Direction::Send, Direction::Receive, Direction::Neither];
    let named = |has: &dyn Fn(&str) -> bool| all.into_iter().find(|direction| has(direction.name()));
    named(&|name| media.has_attribute(name)).or_else(|| named(&|name| session.has_attribute(name))).unwrap_or_default()
}

fn formats(media: &Media) -> (Vec<(Codec, u8)>, Vec<Events>) {
    let (mut codecs, mut events) = (Vec::new(), Vec::new());
    let maps: Vec<RtpMap> = media.attributes_typed::<RtpMap>().filter_map(Result::ok).take(64).collect();
    for payload_type in
        media.fmt.split_ascii_whitespace().filter_map(|format| format.parse::<u8>().ok()).filter(|pt| *pt < 128).take(32)
    {
        let mapped = maps.iter().find(|map| map.payload_type == payload_type);
        let mapped = mapped.map(|map| (map.encoding_name.as_str(), map.clock_rate));
        let Some((name, clock)) = mapped.or_else(|| static_type(payload_type)) else { continue };
        if name.eq_ignore_ascii_case("telephone-event") {
            events.push(Events { payload_type, clock: clock.clamp(8_000, 48_000) });
        } else if let Some(codec) = codec(name, clock) {
            codecs.push((codec, payload_type));
        }
    }
    (codecs, events)
}

/// Returns the usable keys: of the supported suite, without MKI and without session parameters that turn something off (RFC 4568,
/// 6.3).
fn keys(media: &Media) -> Vec<Crypto> {
    let read = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let tag = words.next()?.parse().ok()?;
        let key = (words.next()? == SUITE).then(|| words.next())??.strip_prefix("inline:")?;
        if words.next().is_some() {
            return None;
        }
        let mut parts = key.split('|');
        let master = STANDARD.decode(parts.next()?).ok()?.try_into().ok()?;
        parts.all(|part| !part.contains(':')).then_some(Crypto { tag, master: Master(master) })
    };
    media.get_attribute_values("crypto").flatten().take(16).filter_map(read).collect()
}

/// The description of the gateway.
#[derive(Clone, Debug)]
pub struct Local<'a> {
    /// The id of the session.
    pub id: u64,
    /// The version, which increases with each change (RFC 3264, 8).
    pub version: u64,
    /// The address for RTP.
    pub address: IpAddr,
    /// The port for RTP; RTCP has the next one.
    pub port: u16,
    /// The direction.
    pub direction: Direction,
    /// Codecs with payload types.
    pub codecs: &'a [(Codec, u8)],
    /// The telephone events.
    pub events: &'a [Events],
    /// The key.
    pub crypto: Option<&'a Crypto>,
    /// The offer that is answered; `None`: this is an offer.
    pub offer: Option<&'a Audio>,
}

/// Returns the description as text.
#[must_use]
pub fn write(local: &Local<'_>) -> String {
    let origin = Origin { username: Some("offhook".into()), ..Origin::with_ip_addr(local.id, local.version, local.address) };
    let mut session = Session::new(origin, "-");
    session.set_connection(Connection::from_ip_addr(local.address));
    session.add_time(Time::new(0, 0));
    match local.offer.map(|offer| &offer.lines) {
        None => session.add_media(audio(local)),
        Some((lines, index)) => {
            for (at, [kind, protocol, formats]) in lines.iter().enumerate() {
                let refused = || Media::new(MediaType::Audio, 0, TransportProto::Other(protocol.clone()), formats);
                session.add_media(if at == *index { audio(local) } else { Media { media: kind.clone(), ..refused() } });
            }
        }
    }
    let mut text = Vec::with_capacity(512);
    session.write(&mut text).expect("a vector takes everything");
    String::from_utf8(text).expect("what is written here is text")
}

fn audio(local: &Local<'_>) -> Media {
    let types = local.codecs.iter().map(|(_, pt)| *pt).chain(local.events.iter().map(|events| events.payload_type));
    let formats = types.map(|pt| pt.to_string()).collect::<Vec<_>>().join(" ");
    let offered = local.offer.map(|offer| offer.lines.0[offer.lines.1][1].clone());
    let protocol = offered.unwrap_or_else(|| if local.crypto.is_some() { "RTP/SAVP" } else { "RTP/AVP" }.into());
    let mut media = Media::new(MediaType::Audio, local.port, TransportProto::Other(protocol), formats);
    for (codec, pt) in local.codecs {
        let channels = if *codec == Codec::Opus { "/2" } else { "" };
        media.add_attribute_with_value("rtpmap", format!("{pt} {}/{}{channels}", name(*codec), clock(*codec)));
        if *codec == Codec::Opus {
            media.add_attribute_with_value("fmtp", format!("{pt} minptime=10;useinbandfec=1"));
        }
    }
    for Events { payload_type, clock } in local.events {
        media.add_attribute_with_value("rtpmap", format!("{payload_type} telephone-event/{clock}"));
        media.add_attribute_with_value("fmtp", format!("{payload_type} 0-15"));
    }
    if let Some(Crypto { tag, master }) = local.crypto {
        media.add_attribute_with_value("crypto", format!("{tag} {SUITE} inline:{}", STANDARD.encode(master.0)));
    }
    if local.offer.is_some_and(|offer| offer.mux) {
        media.add_attribute_from_str("rtcp-mux");
    }
    media.add_attribute_with_value("ptime", "20");
    media.add_attribute_from_str(local.direction.name());
    media
}

/// Returns the codecs of a side that are also wanted, in the order of that side; [`MediaError::NotAcceptable`] where there is none,
/// or the encryption is another.
pub fn common(audio: &Audio, wanted: &[Codec], security: Security) -> Result<Vec<(Codec, u8)>, MediaError> {
    let secure = audio.lines.0[audio.lines.1][1].contains("SAVP");
    if secure != (security == Security::Sdes) || secure && audio.crypto.is_empty() {
        return Err(MediaError::NotAcceptable);
    }
    let codecs: Vec<_> = audio.codecs.iter().copied().filter(|(codec, _)| wanted.contains(codec)).collect();
    if codecs.is_empty() { Err(MediaError::NotAcceptable) } else { Ok(codecs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18 0 8 101\r\n\
                         a=rtpmap:101 telephone-event/8000\r\na=rtcp:4007\r\nm=video 4002 RTP/AVP 96\r\n";

    #[test]
    fn a_phones_offer_is_read() {
        let audio = read(PHONE, Security::None, None).expect("a description");
        assert_eq!(audio.codecs, [(Codec::Pcmu, 0), (Codec::Pcma, 8)]);
        assert_eq!(audio.events, [Events { payload_type: 101, clock: 8000 }]);
        assert_eq!((audio.rtp.port(), audio.rtcp.port(), audio.direction), (4000, 4007, Direction::Both));
    }

    #[test]
    fn the_answer_refuses_what_is_no_audio() {
        let offer = read(PHONE, Security::None, None).expect("a description");
        let codecs = common(&offer, &[Codec::Pcma], Security::None).expect("one in common");
        let local = Local {
            id: 1,
            version: 2,
            address: "198.51.100.7".parse().expect("an address"),
            port: 30_000,
            direction: offer.direction.reversed(),
            codecs: &codecs,
            events: &offer.events,
            crypto: None,
            offer: Some(&offer),
        };
        let text = write(&local);
        assert!(text.contains("m=audio 30000 RTP/AVP 8 101\r\n"), "{text}");
        assert!(text.contains("m=video 0 RTP/AVP 96\r\n"), "{text}");
        assert_eq!(read(&text, Security::None, None).expect("ours").codecs, [(Codec::Pcma, 8)]);
    }

    #[test]
    fn copies_are_made_for_who_asks_for_them() {
        let with = |line: &str| read(&PHONE.replace("a=rtcp:4007", line), Security::None, None).expect("sdp").fec;
        assert!(with("a=fmtp:111 minptime=10;useinbandfec=1"));
        assert!(!with("a=fmtp:111 minptime=10;useinbandfec=0"));
        assert!(!with("a=fmtp:111 minptime=10"));
    }

    #[test]
    fn hold_is_seen_in_each_of_its_forms() {
        let held = |line: &str| {
            read(&format!("{PHONE}a={line}\r\n").replace("m=video 4002 RTP/AVP 96\r\n", ""), Security::None, None)
                .expect("sdp")
                .direction
        };
        assert_eq!(held("sendonly"), Direction::Send);
        assert_eq!(held("inactive"), Direction::Neither);
        let old = read(&PHONE.replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0"), Security::None, None).expect("sdp");
        assert!(!old.direction.receives());
    }

    #[test]
    fn keys_are_taken_only_as_we_can_use_them() {
        let key = STANDARD.encode([5; 30]);
        let with = |line: &str| {
            let text = PHONE.replace("RTP/AVP 18", "RTP/SAVP 18").replace("a=rtcp:4007", &format!("a=crypto:{line}"));
            read(&text, Security::Sdes, None).expect("sdp").crypto.len()
        };
        assert_eq!(with(&format!("1 {SUITE} inline:{key}|2^20")), 1);
        assert_eq!(with(&format!("1 {SUITE} inline:{key}|2^20|1:4")), 0, "MKI");
        assert_eq!(with(&format!("1 {SUITE} inline:{key} UNENCRYPTED_SRTP")), 0);
        assert_eq!(with(&format!("1 AES_CM_128_HMAC_SHA1_32 inline:{key}")), 0);
        assert_eq!(with(&format!("1 {SUITE} inline:AAAA")), 0);
    }

    #[test]
    fn nonsense_is_refused() {
        let read = |text: &str| read(text, Security::None, None);
        for text in ["", "v=0", "v=0\r\ns=-\r\n", &PHONE.replace("192.0.2.1", "nowhere"), &PHONE.replace("192.0.2.1", "no, where")]
        {
            assert_eq!(read(text), Err(MediaError::Malformed));
        }
        assert_eq!(read(&PHONE.replace("m=audio 4000", "m=audio 0")), Err(MediaError::NotAcceptable));
        assert_eq!(read(&PHONE.replace("192.0.2.1", "224.0.0.1")), Err(MediaError::NotAcceptable));
        assert_eq!(read(&PHONE.replace("RTP/AVP 18", "UDP/TLS/RTP/SAVPF 18")), Err(MediaError::NotAcceptable));
    }

    #[test]
    fn of_several_sounds_the_one_that_is_protected_as_it_is_to_be_is_taken() {
        let secure = "m=audio 4010 RTP/SAVP 8\r\na=rtpmap:8 PCMA/8000\r\n";
        let both = format!("{PHONE}{secure}");
        assert_eq!(read(&both, Security::None, None).expect("sdp").rtp.port(), 4000);
        assert_eq!(read(&both, Security::Sdes, None).expect("sdp").rtp.port(), 4010);
        let dtls = PHONE.replace("RTP/AVP 18", "UDP/TLS/RTP/SAVPF 18");
        assert_eq!(read(&format!("{dtls}{secure}"), Security::Sdes, None).expect("sdp").rtp.port(), 4010);
    }

    #[test]
    fn a_host_that_is_only_named_is_taken_to_be_where_its_sip_is() {
        let named = PHONE.replace("c=IN IP4 192.0.2.1", "c=IN IP4 media.example.com");
        let sip = "203.0.113.9".parse().expect("an address");
        let audio = read(&named, Security::None, Some(sip)).expect("sdp");
        assert_eq!((audio.rtp, audio.named, audio.direction), (SocketAddr::new(sip, 4000), true, Direction::Both));
        assert!(!read(PHONE, Security::None, Some(sip)).expect("sdp").named);
        assert_eq!(read(&named, Security::None, None), Err(MediaError::Malformed));
    }
}
