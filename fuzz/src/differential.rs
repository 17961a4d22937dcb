//! The same octets to a reader of SIP that others wrote: where both can read a value, it is the same value.
//!
//! That one of the two refuses what the other takes is no finding: both are strict in their own places.

use bytes::Bytes;
use offhook_sip::{Message, StatusCode, parse};
use sipx_sip::headers::{CSeq, CallId, From, To, Via};
use sipx_sip::{Limits, parse_datagram};

/// Compares them.
pub fn differential(data: &[u8]) {
    let Ok(ours) = parse(data) else { return };
    // A message whose first octets are line ends, or that has lone line feeds, has its own rules in each.
    let Ok(theirs) = parse_datagram(Bytes::copy_from_slice(data), &Limits::datagram()) else { return };
    start(&ours, &theirs);
    if ours.check().is_err() {
        return;
    }
    assert_eq!(ours.body, theirs.body().as_ref(), "body");
    if let (Ok(our), Some(Ok(their))) = (ours.cseq(), theirs.headers().typed::<CSeq>()) {
        assert_eq!((our.number, our.method.as_str().as_bytes()), (their.sequence, their.method.as_bytes()), "CSeq");
    }
    if let (Ok(our), Some(Ok(their))) = (ours.call_id(), theirs.headers().typed::<CallId>()) {
        assert_eq!(our.as_bytes(), their.0, "Call-ID");
    }
    if let (Ok(our), Some(Ok(their))) = (ours.via(), theirs.headers().typed::<Via>()) {
        same("branch", our.branch().map(str::as_bytes), their.branch());
        assert!(our.port == their.port, "Via: {:?} {:?}", our.port, their.port);
    }
    if let (Ok(our), Some(Ok(their))) = (ours.from(), theirs.headers().typed::<From>()) {
        same("From tag", our.tag().map(str::as_bytes), their.0.tag());
        same_uri(&our.uri.user_text(), their.0.uri.decoded_user());
    }
    if let (Ok(our), Some(Ok(their))) = (ours.to(), theirs.headers().typed::<To>()) {
        same("To tag", our.tag().map(str::as_bytes), their.0.tag());
        same_uri(&our.uri.user_text(), their.0.uri.decoded_user());
    }
}

fn start(ours: &Message<'_>, theirs: &sipx_sip::Message) {
    if let (Some(our), Some(their)) = (ours.method(), theirs.as_request()) {
        assert_eq!(our.as_str().as_bytes(), their.method.as_bytes(), "method");
    }
    if let (Some(our), Some(their)) = (ours.code(), theirs.as_response()) {
        assert_eq!(our, StatusCode::new(their.status.code()).unwrap(), "status");
    }
    assert_eq!(ours.is_request(), theirs.as_request().is_some(), "request or response");
}

fn same(what: &str, ours: Option<&[u8]>, theirs: Option<&[u8]>) {
    let shown = |value: Option<&[u8]>| value.map(|value| String::from_utf8_lossy(value).into_owned());
    assert_eq!(shown(ours), shown(theirs), "{what}");
}

fn same_uri(ours: &str, theirs: Option<Vec<u8>>) {
    if let Some(theirs) = theirs.filter(|theirs| std::str::from_utf8(theirs).is_ok()) {
        assert_eq!(ours.as_bytes(), theirs, "user");
    }
}
