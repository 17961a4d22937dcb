//! Signing in at servers that are none of ours: challenges, refusals, how long a registration lasts.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn an_invite_is_digested_for_the_proxy() {
    let mut page = Page::new(Login::Password { user: "alice".into(), password: "secret".into() });
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Md5);
    check_digest(&page.last("REGISTER"), Name::Authorization, Algorithm::Md5);
    page.answer("REGISTER", 200, |answer| answer);
    assert!(page.events.contains(&"Started".to_owned()));
    let id = page.call();
    challenge(&mut page, "INVITE", 407, "Proxy-Authenticate", Algorithm::Sha256);
    let invite = page.last("INVITE");
    check_digest(&invite, Name::ProxyAuthorization, Algorithm::Sha256);
    assert_eq!(parse(invite.as_bytes()).unwrap().cseq().unwrap().number, 2);
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2));
    let ack = page.last("ACK");
    assert_eq!(parse(ack.as_bytes()).unwrap().cseq().unwrap().number, 2);
    page.client.hangup(page.now, id).unwrap();
    page.drain();
    let bye = page.last("BYE");
    assert!(parse(bye.as_bytes()).unwrap().cseq().unwrap().number > 2);
}

pub fn challenge(page: &mut Page, method: &str, code: u16, name: &str, algorithm: Algorithm) {
    let challenge = Challenge {
        realm: "s.test".into(),
        nonce: format!("n{}", page.sent.len()),
        opaque: None,
        algorithm,
        qop_auth: true,
        stale: false,
    };
    page.answer(method, code, |answer| answer.field(name, &challenge.to_value()));
}

fn check_digest(text: &str, name: Name, algorithm: Algorithm) {
    let message: Message<'_> = parse(text.as_bytes()).unwrap();
    // The newest challenge of this kind is answered last.
    let value = message.fields().iter().rev().find(|field| field.name == name).expect("credentials").value;
    let credentials = Credentials::parse(value).unwrap();
    let hash = ha1(algorithm, "alice", "s.test", "secret");
    assert!(credentials.matches(&hash, message.method().unwrap()), "{value}");
}

#[test]
fn a_wrong_password_is_tried_once() {
    let mut page = Page::new(Login::Password { user: "alice".into(), password: "wrong".into() });
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Sha256);
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Sha256);
    assert_eq!(page.count("REGISTER"), 2);
    assert!(page.events.contains(&"StartFailed".to_owned()), "{:?}", page.events);
}

#[test]
fn a_refused_ticket_is_not_tried_again() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into() });
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Sha256);
    assert_eq!(page.count("REGISTER"), 1);
    assert!(page.events.contains(&"StartFailed".to_owned()));
}

#[test]
fn a_session_signs_in_again_without_the_password() {
    let mut page = Page::new(Login::Password { user: "alice".into(), password: "secret".into() });
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Sha256);
    page.answer("REGISTER", 200, |answer| answer);
    let session = page.client.session().unwrap();
    assert_eq!(session.session_id, "digest:SHA-256:s.test");
    assert!(!format!("{session:?}").contains(&session.session_secret));
    let mut page = Page::new(Login::Session(session));
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Sha256);
    check_digest(&page.last("REGISTER"), Name::Authorization, Algorithm::Sha256);
}

#[test]
fn a_registrar_may_want_longer_registrations() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into() });
    page.answer("REGISTER", 423, |answer| answer.field("Min-Expires", "1200"));
    assert_eq!(parse(page.last("REGISTER").as_bytes()).unwrap().number(Name::Expires), Some(1_200));
}

#[test]
fn the_registration_is_refreshed_in_time() {
    let mut page = Page::signed_in();
    // The server answers what keeps the connection alive.
    for _ in 0..100 {
        page.wait(5_000);
        page.input(Input::Received("\r\n".into()));
    }
    assert_eq!(page.count("REGISTER"), 1, "at 80 % of 600 s");
}
