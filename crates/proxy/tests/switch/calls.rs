//! Setting calls up: forks, declines, holds, cancels.

use offhook_proxy::{Input, Record};
use offhook_sip::{Name, parse};

use offhook_testing::text::head;
use offhook_testing::world::{Phone, World, code, derived, digest, field, with, with_start};

fn pair() -> (World, Phone, Phone) {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    (world, alice, bob)
}

#[test]
fn a_call_rings_and_is_answered() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    assert_eq!(world.heads(alice.conn), ["100 INVITE"]);
    let invite = bob.rung(&mut world);
    let message = parse(invite.as_bytes()).unwrap();
    assert_eq!(message.uri(), Some(bob.contact().trim_matches(['<', '>'])));
    assert_eq!(message.number(Name::MaxForwards), Some(69));
    assert_eq!(message.all(Name::Via).count(), 1, "the caller's Via stays here");
    assert_eq!(message.all(Name::RecordRoute).count(), 1);
    assert_eq!(message.get_other("x-color"), Some("blue"));
    assert!(invite.ends_with("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"));
    bob.answer(&mut world, &invite, 180);
    let ringing = world.one(alice.conn);
    assert_eq!(head(&ringing), "180 INVITE");
    assert_eq!(field(&ringing, "via").unwrap(), "SIP/2.0/WS 000000000001.invalid;branch=z9hG4bKc1");
    assert_eq!(field(&ringing, "from").unwrap(), "<sip:alice@calls.example>;tag=fc1");
    bob.answer(&mut world, &invite, 200);
    let answer = world.one(alice.conn);
    assert_eq!(field(&answer, "record-route"), field(&invite, "record-route"));
    assert_eq!(world.proxy.calls(), 1);
    assert!(world.records.contains(&Record::CallAnswered { call_id: "c1".into() }));
}

#[test]
fn the_name_that_is_seen_is_the_stores() {
    let (mut world, alice, bob) = pair();
    world.account("alice", "pw", "Alice \"the\" Boss");
    let text = alice.invite_text("bob", "c1").replace("From: <", "From: \"The Queen\" <");
    let again = alice.reconnected(&mut world);
    world.send(again.conn, &text);
    let challenge = world.one(again.conn);
    let proof = digest(&challenge, "alice", "pw", "INVITE", "sip:bob@calls.example", 1);
    world.send(again.conn, &with(&text.replace("z9hG4bKc1", "z9hG4bKc2"), &proof));
    let invite = bob.rung(&mut world);
    assert_eq!(field(&invite, "from").unwrap(), "\"Alice \\\"the\\\" Boss\" <sip:alice@calls.example>;tag=fc1");
    assert_eq!(field(&invite, "proxy-authorization"), None);
}

#[test]
fn all_devices_ring_and_the_first_answer_wins() {
    let (mut world, alice, bob) = pair();
    let tablet = Phone::registered(&mut world, "bob", 3);
    let silent = Phone::registered(&mut world, "bob", 4);
    alice.call(&mut world, "bob", "c1");
    let (first, second, third) = (bob.rung(&mut world), tablet.rung(&mut world), silent.rung(&mut world));
    bob.answer(&mut world, &first, 180);
    tablet.answer(&mut world, &second, 183);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE", "183 INVITE"]);
    tablet.answer(&mut world, &second, 200);
    assert_eq!(world.heads(alice.conn), ["200 INVITE"]);
    let cancel = world.one(bob.conn);
    assert_eq!(head(&cancel), "CANCEL");
    assert_eq!(field(&cancel, "reason").unwrap(), "SIP;cause=200;text=\"Call completed elsewhere\"");
    assert_eq!(field(&cancel, "via"), field(&first, "via"));
    assert_eq!(world.heads(silent.conn), [""; 0], "no CANCEL before a provisional answer");
    silent.answer(&mut world, &third, 180);
    assert_eq!(world.heads(silent.conn), ["CANCEL"]);
    bob.answer(&mut world, &cancel, 200);
    bob.answer(&mut world, &first, 487);
    assert_eq!(world.heads(bob.conn), ["ACK"]);
    assert_eq!(world.heads(alice.conn), [""; 0]);
}

#[test]
fn a_second_answer_reaches_the_caller_too() {
    let (mut world, alice, bob) = pair();
    let tablet = Phone::registered(&mut world, "bob", 3);
    alice.call(&mut world, "bob", "c1");
    let (first, second) = (bob.rung(&mut world), tablet.rung(&mut world));
    bob.answer(&mut world, &first, 200);
    tablet.answer(&mut world, &second, 200);
    tablet.answer(&mut world, &second, 200);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "200 INVITE", "200 INVITE", "200 INVITE"]);
}

#[test]
fn a_decline_is_for_all_devices() {
    let (mut world, alice, bob) = pair();
    let tablet = Phone::registered(&mut world, "bob", 3);
    alice.call(&mut world, "bob", "c1");
    let (first, second) = (bob.rung(&mut world), tablet.rung(&mut world));
    tablet.answer(&mut world, &second, 180);
    bob.answer(&mut world, &first, 603);
    let cancel = world.take(tablet.conn).pop().unwrap();
    assert_eq!(head(&cancel), "CANCEL");
    tablet.answer(&mut world, &cancel, 200);
    tablet.answer(&mut world, &second, 487);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE", "603 INVITE"]);
    assert_eq!(world.ends(), [("declined", 603)]);
    assert_eq!(world.proxy.calls(), 0);
}

#[test]
fn busy_counts_only_where_every_device_is_busy() {
    let (mut world, alice, bob) = pair();
    let tablet = Phone::registered(&mut world, "bob", 3);
    alice.call(&mut world, "bob", "c1");
    let (first, second) = (bob.rung(&mut world), tablet.rung(&mut world));
    bob.answer(&mut world, &first, 486);
    assert_eq!(world.heads(alice.conn), ["100 INVITE"]);
    tablet.answer(&mut world, &second, 486);
    assert_eq!(world.heads(alice.conn), ["486 INVITE"]);
    assert_eq!(world.ends(), [("busy", 486)]);
    world.send(alice.conn, &derived(&alice.invite_text("bob", "c1"), "ACK"));
    alice.call(&mut world, "bob", "c2");
    let (first, second) = (world.take(bob.conn).pop().unwrap(), world.take(tablet.conn).pop().unwrap());
    bob.answer(&mut world, &first, 486);
    tablet.answer(&mut world, &second, 480);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "480 INVITE"]);
}

#[test]
fn a_sleeping_device_keeps_nobody_waiting() {
    let (mut world, alice, bob) = pair();
    let asleep = Phone::registered(&mut world, "bob", 3);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    asleep.rung(&mut world);
    bob.answer(&mut world, &invite, 603);
    world.wait(2_000);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "603 INVITE"]);
    alice.call(&mut world, "bob", "c2");
    let invite = world.take(bob.conn).pop().unwrap();
    bob.answer(&mut world, &invite, 486);
    world.wait(32_000);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "486 INVITE"]);
}

#[test]
fn an_unknown_user_is_not_found() {
    let (mut world, alice, _) = pair();
    alice.call(&mut world, "nobody", "c1");
    let answers = world.take(alice.conn);
    assert_eq!(code(&answers[1]), 404);
    assert_eq!(field(&answers[1], "x-error").unwrap(), "40400 No such user");
    assert_eq!(world.ends(), [("unknown", 404)]);
}

#[test]
fn a_user_without_device_is_waited_for() {
    let (mut world, alice, _) = pair();
    world.known("carol");
    alice.call(&mut world, "carol", "c1");
    world.wait(10_499);
    assert_eq!(world.heads(alice.conn), ["100 INVITE"]);
    world.wait(1);
    assert_eq!(world.heads(alice.conn), ["480 INVITE"]);
    assert_eq!(world.ends(), [("offline", 480)]);
}

#[test]
fn a_device_that_comes_late_rings() {
    let (mut world, alice, bob) = pair();
    world.known("carol");
    alice.call(&mut world, "carol", "c1");
    alice.call(&mut world, "bob", "c2");
    bob.rung(&mut world);
    world.wait(9_000);
    let carol = Phone::registered(&mut world, "carol", 7);
    let invite = carol.rung(&mut world);
    carol.answer(&mut world, &invite, 180);
    world.wait(30_000);
    carol.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "100 INVITE", "180 INVITE", "408 INVITE", "200 INVITE"]);
}

#[test]
fn a_device_that_comes_while_others_ring_rings_too() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    let tablet = Phone::registered(&mut world, "bob", 3);
    let second = tablet.rung(&mut world);
    tablet.answer(&mut world, &second, 200);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE", "200 INVITE"]);
    assert_eq!(world.heads(bob.conn), ["CANCEL"]);
}

#[test]
fn who_calls_himself_rings_on_his_other_devices() {
    let (mut world, alice, _) = pair();
    let tablet = Phone::registered(&mut world, "alice", 3);
    alice.call(&mut world, "alice", "c1");
    tablet.rung(&mut world);
    assert_eq!(world.heads(alice.conn), ["100 INVITE"]);
}

#[test]
fn a_cancelled_call_stops_ringing() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    alice.cancel(&mut world, "bob", "c1");
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE", "200 CANCEL"]);
    let cancel = world.one(bob.conn);
    assert_eq!(head(&cancel), "CANCEL");
    assert_eq!(field(&cancel, "reason"), None);
    bob.answer(&mut world, &cancel, 200);
    bob.answer(&mut world, &invite, 487);
    assert_eq!(world.heads(alice.conn), ["487 INVITE"]);
    assert_eq!(world.ends(), [("cancelled", 487)]);
}

#[test]
fn a_cancel_waits_for_the_provisional_answer_and_says_why() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    let cancel = derived(&alice.invite_text("bob", "c1"), "CANCEL");
    world.send(alice.conn, &with(&cancel, "Reason: SIP;cause=200;text=\"elsewhere\"\r\nReason: Q.850;cause=26"));
    assert_eq!(world.heads(bob.conn), [""; 0]);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "200 CANCEL"]);
    bob.answer(&mut world, &invite, 100);
    let cancel = world.one(bob.conn);
    assert_eq!(head(&cancel), "CANCEL");
    assert_eq!(field(&cancel, "reason").unwrap(), "SIP;cause=200;text=\"elsewhere\", Q.850;cause=26");
    bob.answer(&mut world, &invite, 487);
    assert_eq!(world.heads(alice.conn), ["487 INVITE"]);
}

#[test]
fn a_device_that_does_not_answer_its_cancel_is_not_waited_for_long() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    alice.cancel(&mut world, "bob", "c1");
    world.wait(2_000);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE", "200 CANCEL", "487 INVITE"]);
    bob.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(alice.conn), ["200 INVITE"], "an answer that crosses is still delivered");
}

#[test]
fn an_answer_that_crosses_the_cancel_is_delivered() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    alice.cancel(&mut world, "bob", "c1");
    bob.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE", "200 CANCEL", "200 INVITE"]);
}

#[test]
fn a_call_can_be_cancelled_before_anybody_rings() {
    let (mut world, alice, _) = pair();
    world.known("carol");
    alice.call(&mut world, "carol", "c1");
    alice.cancel(&mut world, "carol", "c1");
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "200 CANCEL", "487 INVITE"]);
    let carol = Phone::registered(&mut world, "carol", 7);
    assert_eq!(world.heads(carol.conn), [""; 0]);
    alice.cancel(&mut world, "carol", "c9");
    assert_eq!(world.heads(alice.conn), ["481 CANCEL"]);
}

#[test]
fn the_answer_to_a_cancel_has_the_to_tag_of_the_other_answers() {
    fn assert_same_to(world: &mut World, phone: &Phone) {
        let answers = world.take(phone.conn);
        assert_eq!(answers.iter().map(|text| head(text)).collect::<Vec<_>>(), ["200 CANCEL", "487 INVITE"]);
        let to = |text: &str| field(text, "to").filter(|to| to.contains(";tag="));
        assert!(to(&answers[0]).is_some() && to(&answers[0]) == to(&answers[1]), "{answers:#?}");
    }

    let (mut world, alice, bob) = pair();
    world.known("carol");
    // Nobody rings.
    alice.call(&mut world, "carol", "c1");
    world.take(alice.conn);
    alice.cancel(&mut world, "carol", "c1");
    assert_same_to(&mut world, &alice);
    // A device rings.
    alice.call(&mut world, "bob", "c2");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    world.take(alice.conn);
    alice.cancel(&mut world, "bob", "c2");
    bob.answer(&mut world, &invite, 487);
    assert_same_to(&mut world, &alice);
    // The store has not answered for the caller.
    let dora = Phone::new(&mut world, "dora", 4);
    world.store_down = true;
    let invite = dora.invite_text("bob", "c3");
    world.send(dora.conn, &invite);
    let challenge = world.one(dora.conn);
    let uri = parse(invite.as_bytes()).unwrap().uri().unwrap().to_owned();
    world.send(dora.conn, &with(&invite, &digest(&challenge, "dora", "wonderland", "INVITE", &uri, 1)));
    assert_eq!(world.heads(dora.conn), [""; 0]);
    dora.cancel(&mut world, "bob", "c3");
    assert_same_to(&mut world, &dora);
}

#[test]
fn nobody_else_cancels_a_call() {
    let (mut world, alice, bob) = pair();
    let mallory = Phone::registered(&mut world, "mallory", 9);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    let cancel = derived(&alice.invite_text("bob", "c1"), "CANCEL");
    world.send(mallory.conn, &cancel);
    assert_eq!(world.heads(mallory.conn), ["481 CANCEL"]);
    assert_eq!(world.heads(bob.conn), [""; 0]);
}

#[test]
fn silence_ends_in_a_time_out() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    bob.rung(&mut world);
    world.wait(32_000);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "408 INVITE"]);
    assert_eq!(world.ends(), [("unanswered", 408)]);
}

#[test]
fn nothing_rings_for_ever() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    world.wait(170_000);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE"]);
    world.wait(20_000);
    assert_eq!(world.heads(bob.conn), ["CANCEL"]);
    assert_eq!(world.heads(alice.conn), ["408 INVITE"]);
}

#[test]
fn a_device_cannot_ask_the_caller_for_credentials() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    let text = bob.answer_text(&invite, 407).replacen(
        "\r\nCSeq",
        "\r\nProxy-Authenticate: Digest realm=\"calls.example\", nonce=\"x\"\r\nX-Error: 40200 Pay\r\nP-Asserted-Identity: <sip:king@calls.example>\r\nCSeq",
        1,
    );
    world.send(bob.conn, &text);
    let answer = world.take(alice.conn).pop().unwrap();
    assert_eq!(code(&answer), 403);
    for name in ["proxy-authenticate", "x-error", "p-asserted-identity"] {
        assert_eq!(field(&answer, name), None, "{name}");
    }
}

#[test]
fn an_answer_counts_only_from_the_device_that_was_asked() {
    let (mut world, alice, bob) = pair();
    let mallory = Phone::registered(&mut world, "mallory", 9);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    world.take(alice.conn);
    world.send(mallory.conn, &bob.answer_text(&invite, 200));
    world.send(alice.conn, &bob.answer_text(&invite, 603));
    world.send(bob.conn, &bob.answer_text(&invite, 200).replace("z9hG4bK", "z9hG4bKx"));
    world.send(bob.conn, &bob.answer_text(&invite, 200).replace("1 INVITE", "1 BYE"));
    world.send(bob.conn, &bob.answer_text(&invite, 200).replace("SIP/2.0/WS calls.example", "SIP/2.0/WS evil.example"));
    assert_eq!(world.heads(alice.conn), [""; 0]);
    bob.answer(&mut world, &invite, 180);
    assert_eq!(world.heads(alice.conn), ["180 INVITE"]);
}

#[test]
fn other_destinations_are_refused_with_a_reason() {
    let (mut world, alice, _) = pair();
    let cases = [
        ("sip:+46700000000@calls.example;user=phone", 501),
        ("sip:room@conference.calls.example", 501),
        ("sip:Alice@elsewhere.example", 501),
        ("tel:+46700000000", 416),
        ("sip:calls.example", 404),
    ];
    for (number, (uri, status)) in cases.into_iter().enumerate() {
        let text = alice.invite_text("bob", &format!("d{number}"));
        world.send(alice.conn, &with_start(&text, &format!("INVITE {uri} SIP/2.0")));
        let answer = world.one(alice.conn);
        assert_eq!(code(&answer), status, "{uri}");
        assert!(field(&answer, "x-error").is_some(), "{uri}");
    }
    assert_eq!(world.proxy.calls(), 0);
}

#[test]
fn the_gateway_is_called_what_the_page_calls_it() {
    let (mut world, alice, bob) = pair();
    for (number, host) in
        ["calls.example", "CALLS.example", "127.0.0.1", "[::1]", "localhost", "www.example"].into_iter().enumerate()
    {
        let text = alice.invite_text("bob", &format!("h{number}")).replace("@calls.example", &format!("@{host}"));
        world.send(alice.conn, &text);
        let invite = bob.rung(&mut world);
        bob.answer(&mut world, &invite, 486);
        assert_eq!(world.heads(bob.conn), ["ACK"]);
    }
}

#[test]
fn users_are_compared_unescaped() {
    let (mut world, alice, _) = pair();
    let odd = Phone::registered(&mut world, "anna lena/ü=_-", 5);
    alice.call(&mut world, "anna lena/ü=_-", "c1");
    odd.rung(&mut world);
    let text = alice.invite_text("bob", "c2").replace("From: <sip:alice@", "From: <sip:%61lice@");
    world.send(alice.conn, &text);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "100 INVITE"]);
}

#[test]
fn hops_run_out() {
    let (mut world, alice, _) = pair();
    world.send(alice.conn, &alice.invite_text("bob", "c1").replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(world.heads(alice.conn), ["483 INVITE"]);
}

#[test]
fn a_draining_server_takes_no_calls_but_keeps_devices() {
    let (mut world, mut alice, _) = pair();
    world.handle(Input::Drain);
    alice.call(&mut world, "bob", "c1");
    let answer = world.one(alice.conn);
    assert_eq!(code(&answer), 503);
    assert!(field(&answer, "retry-after").is_some());
    alice.register(&mut world);
}

#[test]
fn a_message_that_comes_twice_counts_once() {
    let (mut world, alice, bob) = pair();
    for _ in 0..2 {
        alice.call(&mut world, "bob", "c1");
    }
    let invite = bob.rung(&mut world);
    for status in [180, 180, 603, 603] {
        bob.answer(&mut world, &invite, status);
    }
    let heads = world.heads(alice.conn);
    assert_eq!(heads.iter().filter(|head| *head == "603 INVITE").count(), 1, "{heads:?}");
    assert_eq!(world.ends().len(), 1);
}

#[test]
fn two_calls_with_one_call_id_are_not_mixed_up() {
    let (mut world, alice, bob) = pair();
    alice.call(&mut world, "bob", "c1");
    bob.rung(&mut world);
    world.take(alice.conn);
    world.send(alice.conn, &alice.invite_text("bob", "c1").replace("z9hG4bKc1", "z9hG4bKother"));
    assert_eq!(world.heads(alice.conn), ["482 INVITE"]);
}

#[test]
fn a_store_that_is_down_fails_calls_and_logins_in_time() {
    let (mut world, alice, _) = pair();
    world.store_down = true;
    alice.call(&mut world, "bob", "c1");
    world.wait(10_000);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "500 INVITE"]);
}
