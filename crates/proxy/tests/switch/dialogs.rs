//! Requests in a dialog: those of its two parties reach the other one, and no others do.

use offhook_sip::{Name, escape_user, parse};

use offhook_testing::switch::DOMAIN;
use offhook_testing::text::head;
use offhook_testing::world::{Dialog, Phone, World, code, derived, field, settings, talking};

#[test]
fn each_side_reaches_the_other_with_every_method() {
    let mut world = World::new();
    let (alice, bob, mut caller, mut callee) = talking(&mut world);
    for method in ["INFO", "UPDATE", "PRACK", "MESSAGE", "REFER", "NOTIFY", "OPTIONS", "INVITE"] {
        for (dialog, from, to) in [(&mut caller, &alice, &bob), (&mut callee, &bob, &alice)] {
            dialog.send(&mut world, method);
            let request = world.one(to.conn);
            assert_eq!(head(&request), method);
            let message = parse(request.as_bytes()).unwrap();
            assert_eq!(message.number(Name::MaxForwards), Some(69));
            assert_eq!((message.all(Name::Route).count(), message.all(Name::Via).count()), (0, 1));
            to.answer(&mut world, &request, 200);
            let answers = world.heads(from.conn);
            assert_eq!(answers.last(), Some(&format!("200 {method}")));
        }
    }
    callee.send(&mut world, "BYE");
    let bye = world.one(alice.conn);
    alice.answer(&mut world, &bye, 200);
    assert_eq!(world.heads(bob.conn), ["200 BYE"]);
    assert_eq!(world.ends(), [("completed", 200)]);
    assert_eq!(world.proxy.calls(), 0);
}

#[test]
fn a_body_passes_untouched() {
    let mut world = World::new();
    let (_, bob, mut caller, _) = talking(&mut world);
    let body = "a=ice-ufrag:x\r\nm=audio 9 RTP/AVP 0\r\na=candidate:1 1 UDP 1 ü 1 typ host\r\n";
    let framing = format!(
        "Info-Package: trickle-ice\r\nContent-Disposition: Info-Package\r\nContent-Type: application/trickle-ice-sdpfrag\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let text = caller.request_text("INFO").replace("Content-Length: 0\r\n\r\n", &framing);
    world.send(caller.conn, &text);
    let info = world.one(bob.conn);
    assert!(info.ends_with(&format!("\r\n\r\n{body}")), "{info}");
    assert_eq!(field(&info, "info-package").unwrap(), "trickle-ice");
    assert_eq!(field(&info, "content-disposition").unwrap(), "Info-Package");
}

#[test]
fn early_dialogs_work_too() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 183);
    let early = world.take(alice.conn).pop().unwrap();
    Dialog::caller(&alice, &early).send(&mut world, "PRACK");
    assert_eq!(world.heads(bob.conn), ["PRACK"]);
    Dialog::callee(&bob, &invite).send(&mut world, "UPDATE");
    assert_eq!(world.heads(alice.conn), ["UPDATE"]);
}

#[test]
fn a_gruu_names_a_device() {
    let mut world = World::new();
    let (_, bob, mut caller, _) = talking(&mut world);
    Phone::registered(&mut world, "bob", 5);
    caller.target = format!("sip:bob@{DOMAIN};gr=urn:uuid:{}", bob.instance);
    caller.send(&mut world, "INFO");
    let info = world.one(bob.conn);
    assert!(info.starts_with("INFO sip:bob@000000000002.invalid;transport=ws SIP/2.0\r\n"), "{info}");
}

#[test]
fn a_caller_who_cannot_be_called_is_found() {
    let mut world = World::new();
    let alice = Phone::caller(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 200);
    Dialog::callee(&bob, &invite).send(&mut world, "BYE");
    assert_eq!(world.heads(alice.conn).last().unwrap(), "BYE");
}

#[test]
fn a_callee_who_stopped_being_callable_is_found() {
    let mut world = World::new();
    let (_, mut bob, mut caller, _) = talking(&mut world);
    bob.serial += 1;
    world.send(bob.conn, &bob.register_text("Expires: 0\r\n"));
    assert_eq!(world.heads(bob.conn), ["200 REGISTER"]);
    caller.send(&mut world, "BYE");
    assert_eq!(world.heads(bob.conn), ["BYE"]);
}

#[test]
fn who_is_not_a_party_cannot_touch_a_call() {
    let mut world = World::new();
    let (alice, bob, caller, callee) = talking(&mut world);
    let mallory = Phone::registered(&mut world, "mallory", 9);
    for dialog in [&caller, &callee] {
        for method in ["BYE", "INVITE", "INFO", "REFER", "UPDATE", "MESSAGE", "PRACK"] {
            // She knows everything: Call-ID, both tags, the route with its token.
            let mut stolen = dialog.clone();
            stolen.conn = mallory.conn;
            let text = stolen.request_text(method);
            world.send(mallory.conn, &text);
            assert_eq!(world.heads(mallory.conn), [format!("403 {method}")], "in another's name");
            stolen.serial += 1;
            let own = text.replace("From: <sip:alice@", "From: <sip:mallory@").replace("From: <sip:bob@", "From: <sip:mallory@");
            world.send(mallory.conn, &own.replace("z9hG4bK", "z9hG4bKx"));
            assert_eq!(world.heads(mallory.conn), [format!("403 {method}")], "in her own name");
        }
    }
    assert_eq!((world.heads(alice.conn), world.heads(bob.conn)), (vec![], vec![]));
}

#[test]
fn tokens_cannot_be_made_up() {
    let mut world = World::new();
    let (alice, bob, caller, _) = talking(&mut world);
    let token = caller.route[5..caller.route.find('@').unwrap()].to_owned();
    let parts: Vec<&str> = token.split('.').collect();
    let (eve, long) = ("ZXZl", "A".repeat(300));
    let tokens = [
        String::new(),
        "x".into(),
        "..".into(),
        parts[..2].join("."),
        format!("{token}.x"),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], parts[1], &parts[2][..8]),
        format!("{}.{}.{}", parts[1], parts[0], parts[2]),
        format!("{}.{eve}.{}", parts[0], parts[2]),
        format!("{eve}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.AAAAAAAAAAAAAAAAAAAAAA", parts[0], parts[1]),
        token.to_ascii_uppercase(),
        long,
    ];
    for (number, token) in tokens.iter().enumerate() {
        let mut forged = caller.clone();
        forged.serial += number as u32;
        forged.route = format!("<sip:{}@{DOMAIN};lr>", escape_user(token));
        forged.send(&mut world, "BYE");
        assert!(matches!(world.heads(alice.conn)[0].as_str(), "481 BYE" | "400 BYE"), "{token}");
    }
    let mut none = caller.clone();
    none.serial += 90;
    let text = none.request_text("BYE");
    world.send(alice.conn, &text.replace("\r\nRoute: ", "\r\nX-Route: "));
    assert_eq!(world.heads(alice.conn), ["481 BYE"]);
    let mut other = caller.clone();
    other.serial += 91;
    let text = other.request_text("BYE").replace("Call-ID: talk", "Call-ID: other");
    world.send(alice.conn, &text);
    assert_eq!(world.heads(alice.conn), ["481 BYE"], "a token is for one call");
    assert_eq!(world.heads(bob.conn), [""; 0]);
}

#[test]
fn a_call_outlives_a_restart_of_the_switch() {
    let mut world = World::new();
    let (_, _, mut caller, _) = talking(&mut world);
    let mut after = World::with(settings());
    let alice = Phone::registered(&mut after, "alice", 1);
    let bob = Phone::registered(&mut after, "bob", 2);
    caller.conn = alice.conn;
    caller.send(&mut after, "BYE");
    let bye = after.one(bob.conn);
    bob.answer(&mut after, &bye, 200);
    assert_eq!(after.heads(alice.conn), ["200 BYE"]);
}

#[test]
fn a_request_for_someone_who_is_away_is_held() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    world.close(bob.conn);
    caller.send(&mut world, "INFO");
    caller.send(&mut world, "BYE");
    world.wait(7_999);
    assert_eq!(world.heads(alice.conn), [""; 0]);
    world.wait(1);
    assert_eq!(world.heads(alice.conn), ["480 INFO", "480 BYE"]);
}

#[test]
fn a_reinvite_is_cancelled_at_the_other_side() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    let again = caller.request_text("INVITE");
    world.send(alice.conn, &again);
    let cancel = derived(&again, "CANCEL");
    let invite = world.one(bob.conn);
    world.send(alice.conn, &cancel);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "200 CANCEL"]);
    bob.answer(&mut world, &invite, 180);
    assert_eq!(world.heads(bob.conn), ["CANCEL"]);
    bob.answer(&mut world, &invite, 487);
    assert_eq!(world.heads(alice.conn), ["180 INVITE", "487 INVITE"]);
    assert_eq!(world.proxy.calls(), 1);
}

#[test]
fn glare_is_for_the_two_sides_to_solve() {
    let mut world = World::new();
    let (alice, bob, mut caller, mut callee) = talking(&mut world);
    caller.send(&mut world, "INVITE");
    callee.send(&mut world, "INVITE");
    let to_bob = world.take(bob.conn).remove(0);
    let to_alice = world.take(alice.conn).pop().unwrap();
    bob.answer(&mut world, &to_bob, 491);
    alice.answer(&mut world, &to_alice, 491);
    assert!(world.heads(alice.conn).contains(&"491 INVITE".into()));
    assert!(world.heads(bob.conn).contains(&"491 INVITE".into()));
}

#[test]
fn both_hang_up_at_once() {
    let mut world = World::new();
    let (alice, bob, mut caller, mut callee) = talking(&mut world);
    caller.send(&mut world, "BYE");
    callee.send(&mut world, "BYE");
    let (to_bob, to_alice) = (world.one(bob.conn), world.one(alice.conn));
    bob.answer(&mut world, &to_bob, 200);
    alice.answer(&mut world, &to_alice, 481);
    assert_eq!((world.heads(alice.conn), world.heads(bob.conn)), (vec!["200 BYE".into()], vec!["481 BYE".into()]));
    assert_eq!(world.ends().len(), 1);
}

#[test]
fn a_repeated_answer_reaches_the_caller_until_the_ack() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    for _ in 0..5 {
        bob.answer(&mut world, &invite, 200);
        world.wait(4_000);
    }
    assert_eq!(world.take(alice.conn).iter().filter(|text| code(text) == 200).count(), 5);
}

#[test]
fn who_does_not_answer_is_given_up() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    caller.send(&mut world, "INFO");
    caller.send(&mut world, "INVITE");
    world.take(bob.conn);
    world.wait(32_000);
    let mut heads = world.heads(alice.conn);
    // Both time out in the same instant.
    heads.sort_unstable();
    assert_eq!(heads, ["100 INVITE", "408 INFO", "408 INVITE"]);
}

#[test]
fn hops_run_out_in_a_dialog() {
    let mut world = World::new();
    let (alice, _, mut caller, _) = talking(&mut world);
    let text = caller.request_text("INFO").replace("Max-Forwards: 70", "Max-Forwards: 0");
    world.send(alice.conn, &text);
    assert_eq!(world.heads(alice.conn), ["483 INFO"]);
}
