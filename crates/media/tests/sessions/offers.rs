//! The encryption of a call (RFC 3264): on the page's side DTLS-SRTP with one strong certificate, on the SIP side as its trunk is
//! configured; all other offers are rejected.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_media::{Codec, Event, Leg, MediaError, PeerSettings, Security, Socket};
use offhook_testing::phone::PCMU;

use crate::world::{S, World, settings};

/// The registry of RFC 4568, 10.3.2.1, with later additions, and names that are not in it. Only the first suite is supported.
const SUITES: [&str; 20] = [
    "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32",
    "F8_128_HMAC_SHA1_80",
    "F8_128_HMAC_SHA1_32",
    "AES_192_CM_HMAC_SHA1_80",
    "AES_192_CM_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_32",
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
    "AEAD_AES_128_GCM_8",
    "AEAD_AES_256_GCM_8",
    "SEED_CTR_128_HMAC_SHA1_80",
    "SEED_128_CCM_80",
    "SEED_128_GCM_96",
    "NULL_HMAC_SHA1_80",
    "NULL_HMAC_SHA1_32",
    "NULL_NULL",
    "AES_CM_128_NULL_AUTH",
    "AES_CM_128_HMAC_SHA1_8",
];

const PROFILES: [&str; 12] = [
    "UDP/TLS/RTP/SAVPF",
    "UDP/TLS/RTP/SAVP",
    "UDP/TLS/RTP/SAVPX",
    "TCP/TLS/RTP/SAVPF",
    "TCP/DTLS/RTP/SAVPF",
    "RTP/SAVPF",
    "RTP/SAVP",
    "RTP/AVPF",
    "RTP/AVP",
    "TCP/RTP/AVP",
    "UDP/DTLS/SCTP",
    "udp",
];

fn key() -> String {
    STANDARD.encode([7; 30])
}

/// Returns the result of a page's offer with a change.
fn to_page(change: impl Fn(&str) -> String) -> Result<String, MediaError> {
    let mut world = World::new();
    let page = world.page("192.0.2.5:5000");
    world.open(settings(&[Codec::Pcmu]));
    let offer = world.pages[page].offer();
    let answer = world.offered(Leg::Page, change(&offer));
    if answer.is_err() {
        world.run(300);
        assert!(
            !world.pages[page].rtc.is_connected() && !world.events.iter().any(|event| matches!(event, Event::Connected { .. }))
        );
    }
    answer
}

#[test]
fn a_page_gets_dtls_srtp_and_nothing_else() {
    for profile in PROFILES {
        let answer = to_page(|offer| offer.replace("UDP/TLS/RTP/SAVPF", profile));
        if profile == PROFILES[0] {
            let answer = answer.expect("an answer");
            assert!(answer.contains(&format!(" {profile} ")) && !answer.contains("a=crypto"), "{answer}");
        } else {
            assert_eq!(answer, Err(MediaError::NotAcceptable), "{profile}");
        }
    }
    for suite in SUITES {
        let crypto = format!("a=crypto:1 {suite} inline:{}\r\na=mid:", key());
        let answer = to_page(|offer| offer.replacen("a=mid:", &crypto, 1));
        assert_eq!(answer, Err(MediaError::NotAcceptable), "keys in SDP beside DTLS: {suite}");
        let answer = to_page(|offer| offer.replacen("a=mid:", &crypto, 1).replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF"));
        assert_eq!(answer, Err(MediaError::NotAcceptable), "keys in SDP: {suite}");
    }
}

#[test]
fn a_page_shows_one_strong_fingerprint_or_gets_no_media() {
    let other = |offer: &str, fingerprint: &str| {
        let lines = offer.lines().map(|line| if line.starts_with("a=fingerprint:") { fingerprint } else { line });
        lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect::<String>()
    };
    let octets = |count: usize| vec!["AB"; count].join(":");
    assert!(to_page(|offer| other(offer, &format!("a=fingerprint:sha-256 {}", octets(32)))).is_ok());
    for fingerprint in [
        String::new(),
        "a=fingerprint:sha-256".into(),
        format!("a=fingerprint:md5 {}", octets(16)),
        format!("a=fingerprint:md2 {}", octets(16)),
        format!("a=fingerprint:sha-1 {}", octets(20)),
        format!("a=fingerprint:md5 {}\r\na=fingerprint:sha-256 {}", octets(16), octets(32)),
        format!("a=fingerprint:sha-256 {}\r\na=fingerprint:sha-256 {}", octets(32), octets(32).replacen("AB", "AC", 1)),
    ] {
        assert_eq!(to_page(|offer| other(offer, &fingerprint)), Err(MediaError::Fingerprint), "{fingerprint}");
    }
}

/// Returns the result of a phone's offer with these lines and this profile.
fn to_phone(security: Security, profile: &str, crypto: &[String]) -> Result<String, MediaError> {
    let mut world = World::new();
    world.open(PeerSettings { security, ..settings(&[Codec::Pcmu]) });
    let lines: String = crypto.iter().map(|line| format!("a=crypto:{line}\r\n")).collect();
    let offer = world.phone.sdp(&[PCMU]).replace("RTP/AVP", profile) + &lines;
    let answer = world.offered(Leg::Peer, offer);
    if answer.is_err() {
        world.phone_sends(0, &[1; 160], 160);
        assert!(world.to_peer.iter().all(|(socket, ..)| *socket != Socket::Rtp(S)));
    }
    answer
}

#[test]
fn a_phone_gets_the_one_suite_or_none() {
    let line = |tag: u8, suite: &str, rest: &str| format!("{tag} {suite} inline:{}{rest}", key());
    for suite in SUITES {
        let answer = to_phone(Security::Sdes, "RTP/SAVP", &[line(1, suite, "|2^20")]);
        if suite == SUITES[0] {
            assert!(answer.expect("an answer").contains(&format!("a=crypto:1 {suite} inline:")));
        } else {
            assert_eq!(answer, Err(MediaError::NotAcceptable), "{suite}");
            let both = to_phone(Security::Sdes, "RTP/SAVP", &[line(1, suite, ""), line(2, SUITES[0], "")]).expect("an answer");
            let keys: Vec<&str> = both.lines().filter(|line| line.starts_with("a=crypto:")).collect();
            assert!(keys.len() == 1 && keys[0].starts_with(&format!("a=crypto:2 {} inline:", SUITES[0])), "{both}");
        }
    }
    for rest in [" UNENCRYPTED_SRTP", " UNENCRYPTED_SRTCP", " UNAUTHENTICATED_SRTP", " KDR=1", " WSH=1", "|2^20|1:4", "x"] {
        let answer = to_phone(Security::Sdes, "RTP/SAVP", &[line(1, SUITES[0], rest)]);
        assert_eq!(answer, Err(MediaError::NotAcceptable), "{rest}");
    }
}

#[test]
fn a_phone_gets_the_profile_that_its_trunk_is_set_to() {
    let keys = [format!("1 {} inline:{}", SUITES[0], key())];
    for profile in PROFILES {
        let plain = to_phone(Security::None, profile, &[]);
        assert_eq!(
            plain.is_ok(),
            ["RTP/AVP", "RTP/AVPF"].contains(&profile),
            "{profile} where nothing is to be protected: {plain:?}"
        );
        let secure = to_phone(Security::Sdes, profile, &keys);
        assert_eq!(secure.is_ok(), ["RTP/SAVP", "RTP/SAVPF"].contains(&profile), "{profile} where all is to be: {secure:?}");
        assert!(to_phone(Security::Sdes, profile, &[]).is_err(), "{profile} without keys");
    }
}
