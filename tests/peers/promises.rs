//! What an app waits for comes to an end, whatever a server answers, and where it answers nothing.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// How long an app waits at most, s: two tries of a server that does not answer.
const LONGEST: u64 = 80;

/// What a server does with each REGISTER that it gets.
type Server = fn(&mut Page);

/// The servers that answer oddly, or not at all.
const SERVERS: [(&str, Server); 16] = [
    ("nothing", |_| {}),
    ("100", |page| page.answer("REGISTER", 100, |answer| answer)),
    ("183 again and again", |page| {
        for _ in 0..3 {
            page.answer("REGISTER", 183, |answer| answer);
        }
    }),
    ("302", |page| page.answer("REGISTER", 302, |answer| answer)),
    ("401 without a challenge", |page| page.answer("REGISTER", 401, |answer| answer)),
    ("401 with a stale nonce, each time", |page| {
        page.answer("REGISTER", 401, |answer| {
            answer.field("WWW-Authenticate", "Digest realm=\"s.test\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256, stale=true")
        });
    }),
    ("401 for a token", |page| page.answer("REGISTER", 401, |answer| answer.field("WWW-Authenticate", "Bearer realm=\"s.test\""))),
    ("408", |page| page.answer("REGISTER", 408, |answer| answer)),
    ("423 without an interval", |page| page.answer("REGISTER", 423, |answer| answer)),
    ("423 with a longer interval each time", |page| {
        let asked = parse(page.last("REGISTER").as_bytes()).unwrap().number(Name::Expires).unwrap_or(0);
        page.answer("REGISTER", 423, |answer| answer.field("Min-Expires", &(u64::from(asked) + 1).to_string()));
    }),
    ("503", |page| page.answer("REGISTER", 503, |answer| answer)),
    ("699", |page| page.answer("REGISTER", 699, |answer| answer)),
    ("a 200 that is for nobody", |page| {
        let request = page.last("REGISTER").replace("branch=z9hG4bK", "branch=z9hG4bKx");
        page.input(Input::Received(reply(&parse(request.as_bytes()).unwrap(), StatusCode::OK, Some("t")).end()));
    }),
    ("half a 200", |page| {
        let request = page.last("REGISTER");
        let text = reply(&parse(request.as_bytes()).unwrap(), StatusCode::OK, Some("t")).end();
        page.input(Input::Received(text[..text.len() / 2].to_owned()));
    }),
    ("no SIP", |page| page.input(Input::Received("{\"ok\":true}".into()))),
    ("the end of the connection", |page| page.input(Input::Closed { code: 1006, reason: String::new() })),
];

/// Lets the server answer each new REGISTER, and open each new connection, until the app has heard one of `words`. Fails where that takes too
/// long.
fn served_until(page: &mut Page, server: Server, words: &[&str], case: &str) {
    let mut answered = page.count("REGISTER").saturating_sub(1);
    for _ in 0..LONGEST {
        // Answers to what was sent in answer to an answer, too: where there is no end of it, the time never passes.
        for _ in 0..100 {
            if page.count("REGISTER") <= answered {
                break;
            }
            answered = page.count("REGISTER");
            server(page);
        }
        assert!(page.count("REGISTER") < answered + 1, "{case}: REGISTER without end");
        if page.events.iter().any(|event| words.contains(&event.as_str())) {
            return;
        }
        page.wait(1_000);
        if page.asks_to_connect() {
            page.input(Input::Opened);
        }
        page.input(Input::Received("\r\n".into()));
    }
    panic!("{case}: after {LONGEST} s the app has heard {:?}", page.events);
}

fn logins() -> [Login; 2] {
    [
        Login::Password { user: "alice".into(), password: "secret".into() },
        Login::Token { user: "alice".into(), token: "t".into(), lasts: None },
    ]
}

#[test]
fn a_start_comes_to_an_end() {
    for (name, server) in SERVERS {
        for login in logins() {
            let mut page = Page::new(login);
            served_until(&mut page, server, &["Started", "StartFailed"], name);
        }
    }
}

#[test]
fn a_change_of_the_active_connection_comes_to_an_end() {
    for (name, server) in SERVERS {
        let mut page = Page::signed_in();
        assert!(page.client.stop_active_connection(page.now).unwrap());
        page.drain();
        served_until(&mut page, server, &["Active", "Inactive"], &format!("stop, {name}"));
        let mut page = Page::signed_in();
        page.client.stop_active_connection(page.now).unwrap();
        page.drain();
        page.answer("REGISTER", 200, |answer| answer);
        page.events.clear();
        assert!(page.client.start_active_connection(page.now).unwrap());
        page.drain();
        served_until(&mut page, server, &["Active"], &format!("start, {name}"));
    }
}

#[test]
fn an_update_of_the_token_comes_to_an_end() {
    for (name, server) in SERVERS {
        for login in logins() {
            let mut page = Page::signed_in();
            page.client.update_token(page.now, login).unwrap();
            page.drain();
            served_until(&mut page, server, &["TokenUpdated"], name);
        }
    }
}

/// The network is gone: no connection can be opened.
fn offline(page: &mut Page) {
    page.input(Input::Closed { code: 1006, reason: String::new() });
    for _ in 0..LONGEST {
        page.wait(1_000);
        if page.asks_to_connect() {
            page.input(Input::Closed { code: 1006, reason: String::new() });
        }
    }
}

#[test]
fn without_a_network_the_app_hears_that_it_goes_on_later() {
    let mut page = Page::signed_in();
    page.client.start_active_connection(page.now).unwrap();
    page.client.update_token(page.now, Login::Token { user: "alice".into(), token: "u".into(), lasts: None }).unwrap();
    page.drain();
    page.events.clear();
    offline(&mut page);
    assert_eq!(page.events.iter().filter(|event| *event == "TokenUpdated").count(), 1, "{:?}", page.events);
    page.client.stop_active_connection(page.now).unwrap();
    page.client.start_active_connection(page.now).unwrap();
    page.drain();
    page.events.clear();
    offline(&mut page);
    assert_eq!(page.events.iter().filter(|event| *event == "Active").count(), 1, "{:?}", page.events);
    // The network is back: the new token is used, and the app hears of that.
    page.events.clear();
    page.sent.clear();
    while !page.asks_to_connect() {
        page.wait(1_000);
    }
    page.input(Input::Opened);
    assert!(page.last("REGISTER").contains("Bearer u"), "{:?}", page.sent);
    page.answer("REGISTER", 200, |answer| answer);
    assert!(page.events.contains(&"TokenUpdated".to_owned()), "{:?}", page.events);
}

#[test]
fn after_terminate_no_time_out_is_left() {
    let mut page = Page::signed_in();
    page.client.stop_active_connection(page.now).unwrap();
    page.client.update_token(page.now, Login::Token { user: "alice".into(), token: "u".into(), lasts: None }).unwrap();
    page.client.terminate(page.now);
    page.drain();
    page.events.clear();
    page.wait(200_000);
    assert_eq!(page.events, [""; 0]);
}
