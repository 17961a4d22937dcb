//! An identity lasts no longer than what was shown for it; calls that run last as long as they like.

use std::time::Duration;

use offhook_access::ticket::{ticket, ticket_for_password};
use offhook_proxy::ConnId;
use offhook_sip::{Name, parse};

use offhook_testing::switch::{DOMAIN, KEY, SECRET};
use offhook_testing::text::head;
use offhook_testing::world::{Phone, World, code, derived, digest, field, talking, with, with_start};

/// Shows a ticket that lasts for `seconds`, and gives the answer.
fn sign_in(world: &mut World, phone: &mut Phone, seconds: u32) -> String {
    let bearer = ticket(KEY, SECRET, &phone.user, world.now, seconds);
    register(world, phone, &format!("Authorization: Bearer {bearer}"))
}

fn register(world: &mut World, phone: &mut Phone, more: &str) -> String {
    phone.serial += 1;
    let text = phone.register_text("");
    let text = if more.is_empty() { text } else { with(&text, more) };
    world.send(phone.conn, &text);
    world.take(phone.conn).remove(0)
}

/// A device that has signed in with a password.
fn with_password(world: &mut World, user: &str, number: u32, password: &str) -> Phone {
    world.account(user, password, "");
    let mut phone = Phone::new(world, user, number);
    let proof = answer_challenge(world, &mut phone, password);
    assert_eq!(code(&register(world, &mut phone, &proof)), 200);
    phone
}

fn answer_challenge(world: &mut World, phone: &mut Phone, password: &str) -> String {
    // Of the nonces of a connection only the newest counts.
    world.wait(1);
    let challenge = register(world, phone, "");
    digest(&challenge, &phone.user, password, "REGISTER", &format!("sip:{DOMAIN}"), 1)
}

fn bearer_challenge(answer: &str) -> String {
    let message = parse(answer.as_bytes()).unwrap();
    let all = message.all(Name::WwwAuthenticate).chain(message.all(Name::ProxyAuthenticate));
    all.filter(|value| value.starts_with("Bearer ")).collect()
}

fn granted(answer: &str) -> u32 {
    let message = parse(answer.as_bytes()).unwrap();
    let contact = message.contacts().next().unwrap().unwrap();
    contact.params.get("expires").unwrap().parse().unwrap()
}

/// A new user calls `user`; whether that rings on `conn`.
fn rings(world: &mut World, user: &str, conn: ConnId, number: u32) -> bool {
    let caller = Phone::caller(world, "carol", number);
    let call_id = format!("ring{number}");
    caller.call(world, user, &call_id);
    world.wait(100);
    let rung = world.heads(conn) == ["INVITE"];
    caller.cancel(world, user, &call_id);
    world.take(conn);
    world.close(caller.conn);
    rung
}

#[test]
fn a_ticket_that_has_run_out_is_challenged() {
    let mut world = World::new();
    let mut alice = Phone::new(&mut world, "alice", 1);
    let answer = sign_in(&mut world, &mut alice, 1);
    assert_eq!((code(&answer), granted(&answer)), (200, 61), "a second, and a minute for clocks that differ");
    assert!(rings(&mut world, "alice", alice.conn, 2));
    world.wait(63_000);
    let answer = register(&mut world, &mut alice, "");
    assert_eq!(code(&answer), 401);
    assert_eq!(bearer_challenge(&answer), "Bearer realm=\"calls.example\", error=\"invalid_token\"");
    alice.call(&mut world, "alice", "late");
    let answer = world.one(alice.conn);
    assert_eq!(code(&answer), 407);
    assert!(bearer_challenge(&answer).ends_with("error=\"invalid_token\""));
    let options =
        with_start(&alice.register_text(""), &format!("OPTIONS sip:{DOMAIN} SIP/2.0")).replace("REGISTER\r\n", "OPTIONS\r\n");
    world.send(alice.conn, &options);
    assert_eq!(code(&world.one(alice.conn)), 401);
    assert_eq!(world.proxy.devices(), 0);
    assert!(!rings(&mut world, "alice", alice.conn, 3));
    assert!(!world.closed.contains_key(&alice.conn));
}

#[test]
fn the_last_moment_counts_and_the_next_does_not() {
    for (more, expected) in [(0, 200), (1, 401)] {
        let mut world = World::new();
        let mut alice = Phone::new(&mut world, "alice", 1);
        sign_in(&mut world, &mut alice, 10);
        world.wait(69_999);
        // The message comes before the timer is seen to.
        world.now = world.now + Duration::from_millis(more);
        assert_eq!(code(&register(&mut world, &mut alice, "")), expected);
    }
}

#[test]
fn no_registration_is_granted_beyond_the_proof() {
    let mut world = World::new();
    let mut alice = Phone::new(&mut world, "alice", 1);
    assert_eq!(granted(&sign_in(&mut world, &mut alice, 600)), 660);
    world.wait(600_000);
    // Without credentials, as a registration may be refreshed: no day is won by it.
    assert_eq!(granted(&register(&mut world, &mut alice, "")), 60);
    world.wait(58_500);
    let answer = register(&mut world, &mut alice, "");
    assert_eq!((code(&answer), granted(&answer)), (200, 1));
    world.wait(2_000);
    assert_eq!(world.proxy.devices(), 0);
    assert_eq!(granted(&sign_in(&mut world, &mut alice, 86_400)), 3600);
}

#[test]
fn a_fresh_proof_renews_and_one_for_another_user_is_refused() {
    let mut world = World::new();
    let mut alice = Phone::new(&mut world, "alice", 1);
    sign_in(&mut world, &mut alice, 1);
    for round in 2..6 {
        world.wait(70_000);
        assert!(!rings(&mut world, "alice", alice.conn, 10 * round));
        let other = ticket(KEY, SECRET, "bob", world.now, 60);
        let text = with(&alice.register_text(""), &format!("Authorization: Bearer {other}")).replace("alice", "bob");
        alice.serial += 1;
        world.send(alice.conn, &text);
        assert_eq!(code(&world.one(alice.conn)), 403, "it stays alice's connection");
        assert_eq!(code(&sign_in(&mut world, &mut alice, 1)), 200);
        assert!(rings(&mut world, "alice", alice.conn, 10 * round + 1));
    }
    // One that is handed over before the old one ends leaves no gap.
    for _ in 0..20 {
        assert_eq!(code(&sign_in(&mut world, &mut alice, 600)), 200);
        world.wait(590_000);
        assert_eq!(world.proxy.devices(), 1);
    }
}

#[test]
fn an_invite_may_bring_the_new_proof() {
    let mut world = World::new();
    let mut alice = Phone::new(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    sign_in(&mut world, &mut alice, 1);
    world.wait(63_000);
    let invite = alice.with_ticket(&world, &alice.invite_text("bob", "renewed"));
    world.send(alice.conn, &invite);
    assert_eq!(world.heads(alice.conn), ["100 INVITE"]);
    bob.rung(&mut world);
}

#[test]
fn a_running_call_goes_on_after_the_proofs_of_both_have_ended() {
    let mut world = World::new();
    let (alice, bob, mut caller, mut callee) = talking(&mut world);
    world.wait(3_700_000);
    for phone in [&alice, &bob] {
        phone.call(&mut world, "carol", &format!("new{}", phone.conn.0));
        assert_eq!(world.heads(phone.conn), ["407 INVITE"]);
    }
    assert_eq!((world.proxy.devices(), world.proxy.calls()), (0, 1));
    for method in ["INFO", "UPDATE", "PRACK", "INVITE", "BYE"] {
        for (from, to, side) in [(&alice, &bob, &mut caller), (&bob, &alice, &mut callee)] {
            if method == "BYE" && from.user == "bob" {
                continue;
            }
            side.send(&mut world, method);
            let request = world.one(to.conn);
            assert_eq!(head(&request), method);
            to.answer(&mut world, &request, 200);
            assert!(world.heads(from.conn).contains(&format!("200 {method}")), "{method}");
            if method == "INVITE" {
                side.send(&mut world, "ACK");
                assert_eq!(world.heads(to.conn), ["ACK"]);
            }
        }
    }
    assert_eq!(world.ends(), [("completed", 200)]);
}

#[test]
fn what_rings_when_the_proof_ends_can_be_answered_or_taken_back() {
    for answered in [true, false] {
        let mut world = World::new();
        let (mut alice, mut bob) = (Phone::new(&mut world, "alice", 1), Phone::new(&mut world, "bob", 2));
        sign_in(&mut world, &mut alice, 1);
        sign_in(&mut world, &mut bob, 1);
        world.wait(50_000);
        alice.call(&mut world, "bob", "late");
        let invite = bob.rung(&mut world);
        bob.answer(&mut world, &invite, 180);
        world.wait(20_000);
        world.take(alice.conn);
        if answered {
            bob.answer(&mut world, &invite, 200);
            assert_eq!(world.heads(alice.conn), ["200 INVITE"]);
        } else {
            let cancel = derived(&alice.invite_text("bob", "late"), "CANCEL");
            world.send(alice.conn, &cancel);
            assert_eq!(world.heads(alice.conn), ["200 CANCEL"]);
            assert_eq!(world.heads(bob.conn), ["CANCEL"]);
        }
    }
}

#[test]
fn only_requests_of_ones_own_call_pass_without_a_proof() {
    let mut world = World::new();
    let (alice, bob, caller, _) = talking(&mut world);
    let mallory = Phone::registered(&mut world, "mallory", 7);
    world.wait(3_700_000);
    let bye = |change: &dyn Fn(String) -> String| change(caller.clone().request_text("BYE"));
    let forged = [
        (mallory.conn, bye(&|text| text)),
        (mallory.conn, bye(&|text| text.replace("sip:alice@", "sip:mallory@"))),
        (alice.conn, bye(&|text| text.replace(&caller.route, "<sip:YQ.Yg.AAAAAAAAAAAAAAAAAAAAAA@calls.example;transport=ws;lr>"))),
        (alice.conn, bye(&|text| text.replace("Call-ID: talk", "Call-ID: other"))),
        (alice.conn, bye(&|text| text.replace("BYE", "REGISTER"))),
    ];
    for (conn, text) in forged {
        world.send(conn, &text);
        assert!(matches!(code(&world.one(conn)), 401 | 407), "{text}");
    }
    assert_eq!(world.heads(bob.conn), [""; 0]);
    assert_eq!(world.proxy.calls(), 1);
}

#[test]
fn a_changed_password_has_to_be_shown() {
    let mut world = World::new();
    let mut alice = with_password(&mut world, "alice", 1, "wonderland");
    world.account("bob", "builder", "");
    world.change_password("bob", "another");
    assert!(rings(&mut world, "alice", alice.conn, 2), "what bob changes is bob's");
    // Until the call whose end she has not heard is over.
    world.wait(60_000);
    world.change_password("alice", "looking-glass");
    assert_eq!(world.closed.remove(&alice.conn), Some((1008, "the password was changed")), "she does not have to wait for it");
    alice = alice.reconnected(&mut world);
    assert!(!rings(&mut world, "alice", alice.conn, 3));
    alice.call(&mut world, "bob", "late");
    assert_eq!(world.heads(alice.conn), ["407 INVITE"]);
    let old = answer_challenge(&mut world, &mut alice, "wonderland");
    let answer = register(&mut world, &mut alice, &old);
    assert_eq!((code(&answer), field(&answer, "x-error").as_deref()), (401, Some("40108 Invalid credentials")));
    assert_eq!(bearer_challenge(&answer), "Bearer realm=\"calls.example\"", "no token was shown");
    let new = answer_challenge(&mut world, &mut alice, "looking-glass");
    assert_eq!(code(&register(&mut world, &mut alice, &new)), 200);
    assert!(rings(&mut world, "alice", alice.conn, 4));
}

#[test]
fn a_ticket_for_a_password_is_good_for_that_password_only() {
    let mut world = World::new();
    world.account("alice", "wonderland", "");
    let given = ticket_for_password(KEY, SECRET, "alice", world.now, 86_400, 0);
    let given = format!("Authorization: Bearer {given}");
    let mut alice = Phone::new(&mut world, "alice", 1);
    assert_eq!(code(&register(&mut world, &mut alice, &given)), 200);
    // What the back end of the application vouches for does not depend on a password.
    let mut other = Phone::registered(&mut world, "alice", 2);
    world.change_password("alice", "looking-glass");
    assert!(world.closed.contains_key(&alice.conn) && !world.closed.contains_key(&other.conn));
    alice = alice.reconnected(&mut world);
    assert_eq!(code(&register(&mut world, &mut alice, "")), 401);
    let answer = register(&mut world, &mut alice, &given);
    assert_eq!(code(&answer), 401);
    assert!(bearer_challenge(&answer).ends_with("error=\"invalid_token\""));
    let mut elsewhere = Phone::new(&mut world, "alice", 3);
    assert_eq!(code(&register(&mut world, &mut elsewhere, &given)), 401);
    assert_eq!(code(&register(&mut world, &mut other, "")), 200);
    let fresh = ticket_for_password(KEY, SECRET, "alice", world.now, 86_400, 1);
    assert_eq!(code(&register(&mut world, &mut alice, &format!("Authorization: Bearer {fresh}"))), 200);
}

#[test]
fn nothing_is_left_of_a_connection_whose_proof_has_ended() {
    let mut world = World::new();
    let mut alice = Phone::new(&mut world, "alice", 1);
    sign_in(&mut world, &mut alice, 1);
    world.wait(70_000);
    world.close(alice.conn);
    world.wait(600_000);
    assert_eq!(world.proxy.footprint(), 0);
}
