//! Signing in at servers of others: challenges, rejections, how long a registration lasts.

use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn an_invite_has_a_digest_for_the_proxy() {
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
fn contacts_of_other_devices_that_cannot_be_read_are_skipped() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
    let own = "<sip:a@x.invalid>;+sip.instance=\"<urn:uuid:i>\";expires=100";
    page.answer("REGISTER", 200, |answer| answer.field("Contact", "<sip:@>;expires=7, no address").field("Contact", own));
    assert!(page.events.contains(&"Started".to_owned()), "{:?}", page.events);
    page.wait(79_000);
    assert_eq!(page.count("REGISTER"), 1);
    page.wait(2_000);
    assert_eq!(page.count("REGISTER"), 2, "after 80 % of what was granted");
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
fn a_rejected_ticket_is_not_tried_again() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
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
fn a_registrar_may_demand_longer_registrations() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
    page.answer("REGISTER", 423, |answer| answer.field("Min-Expires", "1200"));
    assert_eq!(parse(page.last("REGISTER").as_bytes()).unwrap().number(Name::Expires), Some(1_200));
}

fn lasting(lasts: u64) -> Page {
    let mut page = Page::new(token("t", lasts));
    page.answer("REGISTER", 200, |answer| answer);
    page
}

fn token(token: &str, lasts: u64) -> Login {
    Login::Token { user: "alice".into(), token: token.into(), lasts: Some(Duration::from_millis(lasts)) }
}

fn told(page: &Page, what: &str) -> usize {
    page.events.iter().filter(|event| *event == what).count()
}

/// Lets time pass, with a server that accepts each REGISTER.
fn served(page: &mut Page, seconds: u64) {
    for _ in 0..seconds {
        let before = page.count("REGISTER");
        page.wait(1_000);
        page.input(Input::Received("\r\n".into()));
        if page.count("REGISTER") > before {
            page.answer("REGISTER", 200, |answer| answer);
        }
    }
}

#[test]
fn the_app_is_told_before_its_token_expires() {
    for (lasts, early) in [(600, 30), (301, 30), (120, 12), (20, 2)] {
        let mut page = lasting(lasts * 1_000);
        served(&mut page, lasts - early - 1);
        assert_eq!(told(&page, "TokenWillExpire"), 0, "{lasts}");
        served(&mut page, 1);
        assert_eq!(told(&page, "TokenWillExpire"), 1, "{lasts}");
        page.client.update_token(page.now, token("u", 7_200_000)).unwrap();
        page.drain();
        assert!(page.last("REGISTER").contains("Bearer u\r\n"));
        page.answer("REGISTER", 200, |answer| answer);
        assert_eq!(told(&page, "TokenUpdated"), 1);
        served(&mut page, 7_100);
        assert_eq!((told(&page, "TokenWillExpire"), told(&page, "TokenExpired")), (1, 0), "{lasts}");
    }
}

#[test]
fn a_token_that_the_server_rejects_is_reported_once() {
    let refuse = |page: &mut Page| {
        page.answer("REGISTER", 401, |answer| answer.field("WWW-Authenticate", "Bearer realm=\"s.test\", error=\"invalid_token\""));
    };
    let mut page = lasting(60_000);
    served(&mut page, 59);
    page.sent.clear();
    page.wait(1_000);
    assert_eq!(page.count("REGISTER"), 1, "the server is asked when the token expires");
    page.answer("REGISTER", 200, |answer| answer);
    page.wait(30_000);
    assert_eq!(page.count("REGISTER"), 2, "and again: its clock may be late");
    refuse(&mut page);
    assert_eq!((told(&page, "TokenExpired"), told(&page, "Active")), (1, 1));
    for _ in 0..100 {
        page.wait(5_000);
        page.input(Input::Received("\r\n".into()));
    }
    assert_eq!(page.count("REGISTER"), 2, "a server that has rejected it is not asked again");
    let id = page.call();
    page.answer("INVITE", 407, |answer| answer.field("Proxy-Authenticate", "Bearer realm=\"s.test\", error=\"invalid_token\""));
    assert_eq!(page.state(id), State::Ended);
    assert_eq!((page.count("REGISTER"), told(&page, "TokenExpired")), (2, 1));
    page.client.update_token(page.now, token("u", 60_000)).unwrap();
    page.drain();
    page.answer("REGISTER", 200, |answer| answer);
    assert_eq!((told(&page, "TokenUpdated"), told(&page, "TokenWillExpire")), (1, 1));
    served(&mut page, 54);
    assert_eq!(told(&page, "TokenWillExpire"), 2);
}

#[test]
fn a_call_that_is_challenged_in_vain_shows_that_the_token_has_expired() {
    let mut page = Page::signed_in();
    page.call();
    page.answer("INVITE", 407, |answer| answer.field("Proxy-Authenticate", "Bearer realm=\"s.test\", error=\"invalid_token\""));
    assert_eq!(page.count("REGISTER"), 1);
    page.answer("REGISTER", 401, |answer| answer.field("WWW-Authenticate", "Bearer realm=\"s.test\", error=\"invalid_token\""));
    assert_eq!(told(&page, "TokenExpired"), 1);
}

#[test]
fn a_token_update_that_is_rejected_keeps_the_old_one() {
    let mut page = Page::signed_in();
    page.client.update_token(page.now, token("first", 60_000)).unwrap();
    page.client.update_token(page.now, token("second", 60_000)).unwrap();
    page.drain();
    assert!(page.last("REGISTER").contains("Bearer second\r\n"));
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Sha256);
    assert!(page.last("REGISTER").contains("Bearer t\r\n"), "neither was accepted");
    page.answer("REGISTER", 200, |answer| answer);
    assert_eq!((told(&page, "TokenUpdated"), told(&page, "TokenExpired")), (1, 0));
    served(&mut page, 600);
    assert_eq!(told(&page, "TokenWillExpire"), 0);
    let others = Login::Token { user: "bob".into(), token: "t".into(), lasts: None };
    assert!(page.client.update_token(page.now, others).is_err());
    page.client.terminate(page.now);
    assert!(page.client.update_token(page.now, token("late", 60_000)).is_err());
}

#[test]
fn requests_under_way_are_dropped_by_the_next_start() {
    let mut page = Page::signed_in();
    page.client.update_token(page.now, token("new", 60_000)).unwrap();
    page.client.terminate(page.now);
    page.drain();
    page.client.start(page.now, token("wrong", 60_000)).unwrap();
    page.drain();
    page.input(Input::Opened);
    assert!(page.last("REGISTER").contains("Bearer wrong\r\n"));
    let started = told(&page, "Started");
    page.answer("REGISTER", 401, |answer| answer.field("WWW-Authenticate", "Bearer realm=\"s.test\", error=\"invalid_token\""));
    assert!(!page.last("REGISTER").contains("Bearer t\r\n"), "the earlier login is not tried");
    assert_eq!((told(&page, "StartFailed"), told(&page, "Started")), (1, started));
}

#[test]
fn a_start_that_fails_ends_no_call_again() {
    let (mut page, _) = established();
    page.client.terminate(page.now);
    page.drain();
    page.answer("BYE", 200, |answer| answer);
    assert_eq!((page.count("BYE"), page.events.iter().filter(|event| event.starts_with("Ended")).count()), (1, 1));
    page.client.start(page.now, token("wrong", 60_000)).unwrap();
    page.drain();
    page.input(Input::Opened);
    page.answer("REGISTER", 403, |answer| answer);
    page.wait(1);
    page.client.start(page.now, token("right", 60_000)).unwrap();
    page.drain();
    page.input(Input::Opened);
    page.answer("REGISTER", 200, |answer| answer);
    assert_eq!((told(&page, "StartFailed"), told(&page, "Started")), (1, 1));
    assert_eq!((page.count("BYE"), page.events.iter().filter(|event| event.starts_with("Ended")).count()), (1, 1));
}

#[test]
fn the_registration_is_refreshed_in_time() {
    let mut page = Page::signed_in();
    // The server answers keep-alives.
    for _ in 0..100 {
        page.wait(5_000);
        page.input(Input::Received("\r\n".into()));
    }
    assert_eq!(page.count("REGISTER"), 1, "at 80 % of 600 s");
}
