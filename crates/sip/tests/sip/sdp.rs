//! Session descriptions: what is read from them, what is rejected, fragments of trickled candidates.

use offhook_sip::sdp::{
    Candidate, SdpError, candidates, check, fingerprint, fragment, has_telephone_event, ice_credentials, read_fragment, trickles,
};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const PRINT: &str = "a=fingerprint:sha-256 4A:AD:B9:B1\r\n";
const CANDIDATE: &str = "candidate:1 1 udp 2122260223 192.0.2.1 50000 typ host";

/// As browsers write it: candidates precede the mid of their section.
fn offer() -> String {
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 v\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 0.0.0.0\r\na={CANDIDATE}\r\na=ice-ufrag:abcd\r\na=ice-pwd:secretsecret\r\n\
         a=ice-options:trickle renomination\r\n{PRINT}a=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:126 Telephone-Event/8000\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ice-ufrag:abcd\r\na=ice-pwd:secretsecret\r\n{PRINT}a=mid:v\r\n"
    )
}

#[test]
fn a_description_tells_what_we_need() {
    let sdp = offer();
    assert_eq!(check(&sdp), Ok(()));
    let candidate = Candidate { mid: "0".into(), line: 0, text: CANDIDATE.into(), ufrag: Some("abcd".into()) };
    assert_eq!(candidates(&sdp), [candidate]);
    assert_eq!(ice_credentials(&sdp), Some(("abcd".into(), "secretsecret".into())));
    assert_eq!(fingerprint(&sdp), Some("sha-256 4A:AD:B9:B1"));
    assert!(has_telephone_event(&sdp) && trickles(&sdp));
    assert!(!has_telephone_event(&sdp.replace("Telephone-Event", "CN")) && !trickles(&sdp.replace("trickle ", "x ")));
    assert!(!has_telephone_event(&sdp.replace("m=audio", "m=text")));
}

#[test]
fn a_fragment_comes_back_with_its_mids() {
    let sdp = offer();
    let candidate =
        |mid: &str, line, text: &str| Candidate { mid: mid.into(), line, text: text.into(), ufrag: Some("abcd".into()) };
    let sent = [candidate("0", 0, CANDIDATE), candidate("v", 1, "candidate:2 x"), candidate("0", 0, "candidate:3 y\r\na=evil")];
    let text = fragment(&sdp, &sent, true);
    assert!(!text.contains("\r\na=evil"), "{text}");
    let read = read_fragment(&text).unwrap();
    assert!(read.end);
    assert_eq!(read.ufrag.as_deref(), Some("abcd"));
    let got: Vec<_> = read.candidates.iter().map(|c| (c.mid.as_str(), c.line, c.text.as_str())).collect();
    assert_eq!(got, [("0", 0, CANDIDATE), ("0", 0, "candidate:3 ya=evil"), ("v", 1, "candidate:2 x")]);
    assert!(read.candidates.iter().all(|candidate| candidate.ufrag.as_deref() == Some("abcd")));
}

#[test]
fn a_candidate_without_a_mid_goes_by_its_line() {
    let candidate = Candidate { mid: String::new(), line: 1, text: CANDIDATE.into(), ufrag: None };
    let read = read_fragment(&fragment(&offer(), &[candidate], false)).unwrap();
    assert_eq!((read.end, read.candidates[0].mid.as_str()), (false, "v"));
    let empty = read_fragment(&fragment(&offer(), &[], true)).unwrap();
    assert_eq!((empty.end, empty.candidates.len(), empty.ufrag.as_deref()), (true, 0, Some("abcd")));
}

#[test]
fn a_description_that_is_not_safe_is_refused() {
    let sdp = offer();
    let refused = |sdp: String, error| assert_eq!(check(&sdp), Err(error), "{sdp}");
    refused(String::new(), SdpError::Malformed);
    refused(sdp.replace("v=0\r\n", ""), SdpError::Malformed);
    refused(sdp.replace("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 9 RTP/AVP"), SdpError::Insecure);
    refused(sdp.replace("m=video 9 UDP/TLS/RTP/SAVPF 96", "m=video"), SdpError::Insecure);
    refused(sdp.replace(PRINT, ""), SdpError::NoFingerprint);
    refused(sdp.replacen("sha-256", "sha-1", 1), SdpError::WeakFingerprint);
    refused(sdp.clone() + "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", SdpError::Crypto);
    refused(sdp.clone() + &format!("a={CANDIDATE}\r\n").repeat(100), SdpError::TooLarge);
    refused(sdp.clone() + &"m=audio 0 RTP/AVP 0\r\n".repeat(15), SdpError::TooLarge);
    refused(sdp.clone() + &"a=x\r\n".repeat(14_000), SdpError::TooLarge);
    assert_eq!(check(&sdp.replace("m=video 9 UDP/TLS/RTP/SAVPF", "m=video 0 RTP/AVP")), Ok(()));
    assert_eq!(check(&sdp.replace("\r\n", "\n")), Ok(()));
    assert!(read_fragment(&format!("a={CANDIDATE}\r\n").repeat(101)).is_err());
}
