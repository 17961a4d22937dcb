//! Long sessions of whole pages, whose tickets and passwords do not last as long.

use std::time::Duration;

use offhook::client::{Client, Config, Login};
use offhook_access::ticket::ticket;
use offhook_testing::switch::{DOMAIN, KEY, SECRET};
use offhook_testing::world::Phone;
use offhook_ua::time::Instant;

use crate::pages::{Web, sdp};

const MINUTE: u64 = 60_000;

/// A page of this user that takes several calls at once.
fn join(web: &mut Web, login: Login) {
    let number = web.pages.len() + 1;
    let config = Config {
        servers: vec!["wss://calls.example/sip".into()],
        domain: DOMAIN.into(),
        instance: format!("00000000-0000-4000-8000-{number:012}"),
        active: true,
        activate: true,
        multi_call: true,
        ..Config::default()
    };
    let mut client = Client::new(config, [number as u8; 32]);
    assert!(client.start(web.world.now, login).is_ok());
    web.add(client);
    web.run(100);
    assert_eq!(web.pages[number - 1].events, ["started"]);
}

fn lasting(user: &str, now: Instant, seconds: u32) -> Login {
    Login::Token {
        user: user.into(),
        token: ticket(KEY, SECRET, user, now, seconds),
        lasts: Some(Duration::from_millis(u64::from(seconds) * 1000)),
    }
}

fn password(user: &str, password: &str) -> Login {
    Login::Password { user: user.into(), password: password.into() }
}

/// Alice and bob in a call, with tickets of ten minutes.
fn talking() -> Web {
    let mut web = Web::empty();
    for user in ["alice", "bob"] {
        let login = lasting(user, web.world.now, 600);
        join(&mut web, login);
    }
    web.call(0, "bob");
    web.run(500);
    web.answer(1);
    web.run(500);
    assert_eq!(web.world.proxy.calls(), 1);
    web
}

fn update(web: &mut Web, page: usize, login: Login) {
    let now = web.world.now;
    web.pages[page].client.update_token(now, login).expect("a login of the same user");
    web.settle();
}

/// Another user calls `user` and takes it back; whether that rang.
fn rings(web: &mut Web, user: &str) -> bool {
    let call_id = format!("probe{}", web.world.now.millis());
    let caller = Phone::caller(&mut web.world, "carol", 9);
    let invite = caller.invite_text(user, &call_id);
    let (head, _) = invite.split_once("Content-Length").expect("a length");
    let body = sdp(9);
    web.world.send(caller.conn, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    web.run(100);
    let rang = web.world.heads(caller.conn).contains(&"180 INVITE".to_owned());
    caller.cancel(&mut web.world, user, &call_id);
    web.settle();
    web.world.close(caller.conn);
    web.run(100);
    rang
}

/// The events that the app of a page got of its token, and of the call with the other page.
fn events(web: &Web, page: usize) -> Vec<&str> {
    let probes = ["incoming from carol", "ended CANCELED"];
    web.pages[page].events().into_iter().filter(|event| !probes.contains(event)).collect()
}

#[test]
fn hours_over_tickets_of_ten_minutes_have_no_gap() {
    let mut web = talking();
    let mut handed = [0, 0];
    for _ in 0..3 * 60 * 4 {
        web.run_in_steps(MINUTE / 4, 500);
        for (page, user) in ["alice", "bob"].into_iter().enumerate() {
            let asked = web.pages[page].events.iter().filter(|event| *event == "token will expire in 30").count();
            if asked > handed[page] {
                handed[page] = asked;
                let fresh = lasting(user, web.world.now, 600);
                update(&mut web, page, fresh);
            }
            assert!(rings(&mut web, user), "{user} at {:?}", web.world.now);
        }
    }
    assert!(handed.iter().all(|count| (18..=22).contains(count)), "{handed:?}");
    assert!(web.world.closed.is_empty(), "over the same connections");
    web.hangup(0);
    web.run(100);
    for page in [0, 1] {
        let (asked, others): (Vec<&str>, Vec<&str>) = events(&web, page).into_iter().partition(|event| event.starts_with("token"));
        assert_eq!(asked.len() / 2, handed[page], "each time once, and each time taken: {asked:?}");
        let pair = ["token will expire in 30", "token updated"];
        assert!(asked.chunks(2).all(|events| events == &pair[..events.len()]), "{asked:?}");
        let began = if page == 0 { "progressing" } else { "incoming from alice" };
        assert_eq!(others, [began, "established", "ended HUNG_UP"]);
    }
}

#[test]
fn a_page_that_does_nothing_gets_an_event_and_keeps_its_call() {
    let mut web = talking();
    web.run_in_steps(661_000, 500);
    // Beyond the time after which calls are refreshed.
    web.run_in_steps(40 * MINUTE, 500);
    for page in [0, 1] {
        let after = &events(&web, page)[2..];
        assert_eq!(after, ["token will expire in 30", "token expired", "not active"]);
    }
    assert_eq!((web.world.proxy.calls(), web.world.proxy.devices()), (1, 0));
    assert!(web.world.closed.is_empty());
    assert!(!rings(&mut web, "alice"));
    web.call(0, "bob");
    web.run(1_000);
    assert_eq!(events(&web, 0).last(), Some(&"ended FAILURE"));
    let fresh = lasting("alice", web.world.now, 600);
    update(&mut web, 0, fresh);
    assert_eq!(events(&web, 0).last(), Some(&"token updated"));
    assert!(rings(&mut web, "alice"));
    assert!(!rings(&mut web, "bob"));
    assert_eq!(web.world.proxy.calls(), 1);
    web.hangup(1);
    web.run(100);
    for page in [0, 1] {
        assert_eq!(events(&web, page).last(), Some(&"ended HUNG_UP"));
    }
}

#[test]
fn a_page_that_cannot_be_called_gets_an_event_of_the_end_too() {
    let mut web = Web::empty();
    let login = lasting("alice", web.world.now, 120);
    join(&mut web, login);
    let now = web.world.now;
    web.pages[0].client.stop_active_connection(now).expect("it was on");
    web.settle();
    web.run_in_steps(5 * MINUTE, 500);
    assert_eq!(events(&web, 0), ["token will expire in 12", "token expired", "not active"]);
}

#[test]
fn what_the_server_refuses_changes_nothing() {
    let mut web = talking();
    let forged = |user: &str, now| Login::Token {
        user: user.into(),
        token: ticket(KEY, b"guessed", user, now, 600),
        lasts: Some(Duration::from_secs(600)),
    };
    let (forged, others) = (forged("alice", web.world.now), lasting("bob", web.world.now, 600));
    update(&mut web, 0, forged);
    assert_eq!(events(&web, 0)[2..], ["token refused"]);
    let now = web.world.now;
    assert!(web.pages[0].client.update_token(now, others).is_err(), "another user's");
    assert!(rings(&mut web, "alice"));
    web.run_in_steps(9 * MINUTE + 30_000, 500);
    assert_eq!(events(&web, 0)[2..], ["token refused", "token will expire in 30"], "it is still that of the one before");
    assert!(rings(&mut web, "alice"));
    assert_eq!(web.world.proxy.calls(), 1);
}

#[test]
fn a_ticket_handed_over_without_network_counts_from_the_next_connection_on() {
    let mut web = talking();
    web.cut(0);
    web.run(100);
    let fresh = lasting("alice", web.world.now, 3_600);
    update(&mut web, 0, fresh);
    assert!(!events(&web, 0).contains(&"token updated"));
    web.back(0);
    web.run(2_000);
    assert!(events(&web, 0).contains(&"token updated"));
    web.run_in_steps(20 * MINUTE, 500);
    assert!(rings(&mut web, "alice"));
}

#[test]
fn a_new_password_is_asked_for_and_the_call_goes_on() {
    let mut web = Web::empty();
    for (user, secret) in [("alice", "wonderland"), ("bob", "builder")] {
        web.world.account(user, secret, "");
        join(&mut web, password(user, secret));
    }
    web.call(0, "bob");
    web.run(500);
    web.answer(1);
    web.run(500);
    // The challenge of a day later is answered by the page itself.
    web.run_in_steps(30 * MINUTE, 500);
    assert!(rings(&mut web, "alice"));
    web.world.change_password("alice", "looking-glass");
    assert!(!rings(&mut web, "alice"));
    web.call(0, "bob");
    web.run(1_000);
    assert_eq!(events(&web, 0)[2..], ["ended FAILURE", "token expired", "not active"]);
    update(&mut web, 0, password("alice", "looking-glass"));
    web.run(100);
    assert_eq!(events(&web, 0).last(), Some(&"token updated"));
    assert!(rings(&mut web, "alice"));
    assert_eq!(web.world.proxy.calls(), 1);
    web.hangup(0);
    web.run(100);
    assert_eq!(events(&web, 1).last(), Some(&"ended HUNG_UP"));
}
