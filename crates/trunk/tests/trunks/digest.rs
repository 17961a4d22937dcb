//! Digest authentication: of the gateway at a provider, and of a trunk at the gateway.

use std::collections::BTreeSet;

use offhook_access::proofs::Proofs;
use offhook_sip::{Algorithm, Challenge, Credentials, Method, Name, ha1, strongest};
use offhook_trunk::Trunk;
use offhook_trunk::{Record, Settings};

use crate::world::{PROVIDER, World, answer, foreign, header, provider, read, request, settings};

fn with_password() -> Trunk {
    Trunk { username: "us".into(), password: "secret".into(), ..provider() }
}

fn challenge(realm: &str, nonce: &str, algorithm: Algorithm) -> String {
    let (realm, nonce) = (realm.into(), nonce.into());
    Challenge { realm, nonce, opaque: None, algorithm, qop_auth: true, stale: false }.to_value()
}

fn is_right(text: &str, name: Name, realm: &str) -> bool {
    let value = header(text, name);
    let shown = Credentials::parse(&value).expect("credentials");
    shown.matches(&ha1(shown.algorithm, "us", realm, "secret"), read(text).method().expect("a request"))
}

#[test]
fn a_challenge_is_answered_by_the_trunk_itself() {
    for (code, asks, shows, algorithm) in [
        (401, "WWW-Authenticate", Name::Authorization, Algorithm::Sha256),
        (407, "Proxy-Authenticate", Name::ProxyAuthorization, Algorithm::Md5),
    ] {
        let mut world = World::new(vec![with_password()]);
        let key = world.ask(&request("INVITE", "one", ""));
        let invite = world.expect("INVITE");
        world.hear(PROVIDER, &answer(&invite, code, &format!("{asks}: {}", challenge("p", "n1", algorithm))));
        world.expect("ACK");
        let again = world.expect("INVITE");
        assert_eq!(read(&again).cseq().map(|cseq| cseq.number), Ok(2));
        assert!(is_right(&again, shows, "p") && header(&again, Name::Via) != header(&invite, Name::Via));
        world.hear(PROVIDER, &answer(&again, 180, ""));
        let Some(offhook_trunk::Event::Response { key: told, .. }) = world.events.pop_front() else { panic!("180") };
        assert_eq!(told, key, "the key stays");
        // The next request has credentials at once, and increments the nonce count.
        world.ask(&request("INVITE", "two", ""));
        let next = world.expect("INVITE");
        assert!(is_right(&next, shows, "p") && header(&next, shows).contains("nc=00000002"));
    }
}

#[test]
fn a_rejected_password_is_sent_once() {
    let mut world = World::new(vec![with_password()]);
    world.ask(&request("INVITE", "one", ""));
    for nonce in ["n1", "n2"] {
        let invite = world.expect("INVITE");
        let more = format!("WWW-Authenticate: {}", challenge("p", nonce, Algorithm::Md5));
        world.hear(PROVIDER, &answer(&invite, 401, &more));
        world.expect("ACK");
    }
    assert_eq!(world.event().as_deref(), Some("401"));
    world.nothing_more();
}

#[test]
fn a_request_is_not_sent_again_for_ever_where_every_nonce_is_stale() {
    let mut world = World::new(vec![with_password()]);
    world.ask(&request("INVITE", "one", ""));
    let stale = format!("WWW-Authenticate: {}, stale=true", challenge("p", "n1", Algorithm::Md5));
    for _ in 0..=4 {
        let invite = world.expect("INVITE");
        world.hear(PROVIDER, &answer(&invite, 401, &stale));
        world.expect("ACK");
    }
    assert_eq!(world.event().as_deref(), Some("401"));
    world.nothing_more();
}

#[test]
fn a_password_is_sent_in_one_realm_only() {
    for (realm, asked) in [("", ["p", "q"]), ("p", ["q", "q"])] {
        let mut world = World::new(vec![Trunk { realm: realm.into(), ..with_password() }]);
        for (call, asked) in asked.into_iter().enumerate() {
            world.ask(&request("BYE", &call.to_string(), ""));
            let bye = world.expect("BYE");
            let more = format!("WWW-Authenticate: {}", challenge(asked, "n1", Algorithm::Md5));
            world.hear(PROVIDER, &answer(&bye, 401, &more));
            let again = world.sent.pop_front().map(|(_, text)| text);
            assert_eq!(again.is_some(), asked == "p", "{realm} {asked}");
        }
    }
}

fn proving() -> Trunk {
    Trunk { from_username: "them".into(), from_password: "other".into(), ..provider() }
}

/// Returns the INVITE with credentials for the challenge.
fn proven(challenge: &str, branch: &str, password: &str, count: u32) -> String {
    let values: Vec<String> = read(challenge).values(Name::WwwAuthenticate).map(str::to_owned).collect();
    let asked = strongest(values.iter().map(String::as_str)).expect("a challenge");
    let secret = ha1(asked.algorithm, "them", &asked.realm, password);
    let shown = asked.answer("them", &secret, Method::Invite, "sip:+4640@198.51.100.1", "cnonce", count);
    foreign("INVITE", branch, &format!("Authorization: {shown}\r\n"))
}

#[test]
fn a_trunk_with_a_password_is_challenged_without_state() {
    let mut world = World::new(vec![proving()]);
    world.hear(PROVIDER, &foreign("INVITE", "a", ""));
    let challenge = world.expect("401");
    assert_eq!((world.event(), world.trunks.footprint()), (None, 0));
    assert!(challenge.len() <= foreign("INVITE", "a", "").len());

    world.hear(PROVIDER, &proven(&challenge, "b", "wrong", 1));
    world.expect("401");
    assert!(matches!(world.records.last(), Some(Record::Untrusted { what: "credentials", .. })));
    world.hear(PROVIDER, &proven(&challenge, "c", "other", 1));
    world.expect("100");
    assert_eq!(world.event().as_deref(), Some("INVITE"));

    world.hear(PROVIDER, &proven(&challenge, "d", "other", 1));
    let stale = world.expect("401");
    assert!(stale.contains("stale=true"), "a replay: {stale}");
    world.hear("192.0.2.1:40000", &proven(&challenge, "e", "other", 2));
    world.expect("100");
    world.pass(301_000);
    world.hear(PROVIDER, &proven(&challenge, "f", "other", 3));
    world.expect("401");
}

#[test]
fn credentials_of_another_request_are_rejected() {
    let mut world = World::new(vec![proving()]);
    world.hear(PROVIDER, &foreign("INVITE", "a", ""));
    let challenge = world.expect("401");
    let stolen = proven(&challenge, "b", "other", 1);
    let others =
        BTreeSet::from([stolen.replace("INVITE sip:+4640@", "INVITE sip:+1900@"), stolen.replace("nc=00000001", "nc=00000009")]);
    for text in others {
        world.hear(PROVIDER, &text);
        world.expect("401");
        assert_eq!(world.event(), None);
    }
}

#[test]
fn failed_passwords_of_a_trunk_are_limited_and_forged_sources_use_up_nothing() {
    let mut world = World::with(Settings { proofs: Proofs::new(3, 100), ..settings(vec![proving()]) });
    let stolen = proven_nowhere();
    for branch in 0..20 {
        world.hear(PROVIDER, &stolen.replace("z9hG4bK", &format!("z9hG4bK{branch}")));
        world.expect("401");
    }
    world.hear(PROVIDER, &foreign("INVITE", "a", ""));
    let challenge = world.expect("401");
    for (branch, count) in [("b", 1), ("c", 2), ("d", 3)] {
        world.hear(PROVIDER, &proven(&challenge, branch, "guess", count));
        world.expect("401");
    }
    world.hear(PROVIDER, &proven(&challenge, "e", "other", 4));
    assert_eq!(header(&world.expect("503"), Name::RetryAfter), "60");
    assert_eq!(world.event(), None);
    world.pass(60_000);
    world.hear(PROVIDER, &proven(&challenge, "f", "other", 5));
    world.expect("100");
}

/// Returns an INVITE with credentials for a challenge that the gateway did not send; its source may be forged.
fn proven_nowhere() -> String {
    let mut elsewhere = World::new(vec![proving()]);
    elsewhere.hear(PROVIDER, &foreign("INVITE", "x", ""));
    let challenge = elsewhere.expect("401");
    proven(&challenge, "x", "guess", 1).replace("nonce=\"", "nonce=\"A")
}
