//! What unauthenticated clients and hostile users try, each with everything that they could know.

use offhook_access::ticket::ticket;
use offhook_proxy::{Input, Settings};

use offhook_testing::switch::DOMAIN;
use offhook_testing::text::head;
use offhook_testing::world::{Dialog, Phone, World, code, derived, settings, talking, with};

/// Every method that a dialog may carry, and one that nobody knows.
const METHODS: [&str; 13] = [
    "BYE",
    "INVITE",
    "INFO",
    "REFER",
    "UPDATE",
    "PRACK",
    "MESSAGE",
    "NOTIFY",
    "SUBSCRIBE",
    "OPTIONS",
    "PUBLISH",
    "REGISTER",
    "X-END",
];

#[test]
fn a_call_cannot_be_touched_from_a_connection_without_identity() {
    let mut world = World::new();
    let (alice, bob, caller, callee) = talking(&mut world);
    for (side, dialog) in [&caller, &callee].into_iter().enumerate() {
        for method in METHODS {
            let mut stolen = dialog.clone();
            (stolen.conn, stolen.serial) = (world.open(), 90 + side as u32);
            let text = stolen.request_text(method);
            world.send(stolen.conn, &text);
            let answer = world.one(stolen.conn);
            assert!(matches!(code(&answer), 401 | 407), "{answer}");
        }
        let mut silent = dialog.clone();
        silent.conn = world.open();
        silent.send(&mut world, "ACK");
        assert_eq!(world.heads(silent.conn), [""; 0], "an ACK is never answered");
    }
    still_talking(&mut world, &alice, &bob, caller);
}

#[test]
fn a_call_cannot_be_touched_by_another_user_who_copies_its_requests() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    let mallory = Phone::registered(&mut world, "mallory", 9);
    // A request that is under way, copied to the octet: neither it nor its answer is hers.
    let info = caller.request_text("INFO");
    world.send(alice.conn, &info);
    let passed = world.one(bob.conn);
    world.send(mallory.conn, &info);
    // A response of the callee, made up.
    world.send(mallory.conn, &bob.answer_text(&passed, 200));
    assert_eq!((world.heads(mallory.conn), world.heads(alice.conn)), (vec![], vec![]));
    bob.answer(&mut world, &passed, 200);
    assert_eq!(world.heads(alice.conn), ["200 INFO"]);
    still_talking(&mut world, &alice, &bob, caller);
}

/// With a call of her own she has what the switch gives to the parties of a call; it is good for that call only.
#[test]
fn a_call_cannot_be_touched_by_another_user_with_a_call_of_her_own() {
    let mut world = World::new();
    let (alice, bob, caller, callee) = talking(&mut world);
    let mallory = Phone::registered(&mut world, "mallory", 9);
    mallory.call(&mut world, "bob", "hers");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 200);
    let hers = world.take(mallory.conn).pop().expect("an answer");
    let route = Dialog::caller(&mallory, &hers).route;
    for (side, dialog) in [&caller, &callee].into_iter().enumerate() {
        for method in METHODS.into_iter().filter(|method| *method != "REGISTER").chain(["ACK"]) {
            let mut stolen = dialog.clone();
            (stolen.conn, stolen.serial) = (mallory.conn, 90 + side as u32);
            for route in [&route, &dialog.route] {
                (stolen.route, stolen.serial) = (route.clone(), stolen.serial + 10);
                let text = stolen.request_text(method);
                let named = ["alice", "bob"]
                    .iter()
                    .fold(text, |text, name| text.replace(&format!("From: <sip:{name}@"), "From: <sip:mallory@"));
                world.send(mallory.conn, &named);
                let answers: Vec<u16> = world.take(mallory.conn).iter().map(|text| code(text)).collect();
                let refused = method == "ACK" && answers.is_empty() || matches!(answers[..], [403 | 481]);
                assert!(refused, "{method}: {answers:?}");
            }
        }
    }
    // A call that has the Call-ID of one that runs would give her what she needs.
    mallory.call(&mut world, "bob", "talk");
    assert_eq!(world.heads(mallory.conn), ["482 INVITE"]);
    assert_eq!((world.heads(alice.conn), world.heads(bob.conn), world.proxy.calls()), (vec![], vec![], 2));
}

/// The same names and the same call in another application.
#[test]
fn a_call_cannot_be_touched_from_another_application() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    let foreign = |world: &mut World, user: &str, number| {
        let phone = Phone {
            conn: world.open_for("other"),
            user: user.into(),
            instance: format!("00000000-0000-4000-8000-{number:012}"),
            serial: 1,
        };
        let ticket = ticket("other", b"another secret", user, world.now, 3600);
        world.send(phone.conn, &with(&phone.register_text(""), &format!("Authorization: Bearer {ticket}")));
        assert_eq!(code(&world.one(phone.conn)), 200);
        phone
    };
    let (their_alice, their_bob) = (foreign(&mut world, "alice", 31), foreign(&mut world, "bob", 32));
    their_alice.call(&mut world, "bob", "talk");
    let invite = their_bob.rung(&mut world);
    their_bob.answer(&mut world, &invite, 200);
    let ok = world.take(their_alice.conn).pop().expect("an answer");
    let theirs = Dialog::caller(&their_alice, &ok);
    for (method, route) in METHODS.iter().flat_map(|method| [(method, &theirs.route), (method, &caller.route)]) {
        caller.serial += 1;
        let mut stolen = caller.clone();
        (stolen.conn, stolen.route) = (their_alice.conn, route.clone());
        let text = stolen.request_text(method);
        world.send(their_alice.conn, &text);
    }
    still_talking(&mut world, &alice, &bob, caller);
}

#[test]
fn a_call_that_rings_cannot_be_cancelled_from_another_connection() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    let mallory = Phone::registered(&mut world, "mallory", 9);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    let cancel = derived(&alice.invite_text("bob", "c1"), "CANCEL");
    let unauthenticated = world.open();
    for conn in [mallory.conn, unauthenticated] {
        world.send(conn, &cancel);
        assert!(world.heads(conn).iter().all(|answer| matches!(answer.as_str(), "403 CANCEL" | "481 CANCEL")));
        // Nobody else can end the ringing.
        world.send(conn, &bob.answer_text(&invite, 603));
    }
    assert_eq!(world.heads(bob.conn), [""; 0]);
    bob.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "180 INVITE", "200 INVITE"]);
}

#[test]
fn a_second_message_in_a_frame_is_not_there() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    let mallory = Phone::registered(&mut world, "mallory", 9);
    let bye = caller.clone().request_text("BYE");
    let options = mallory.invite_text(DOMAIN, "o1").replace("INVITE", "OPTIONS");
    let bare = format!("{}\r\nContent-Length: 0\r\n\r\n", &options[..options.find("\r\nContent-Type").expect("a body")]);
    for hidden in [bye.clone(), mallory.invite_text("bob", "c2"), format!("\r\n\r\n{bye}")] {
        world.send(mallory.conn, &format!("{bare}{hidden}"));
        assert!(world.heads(mallory.conn).len() <= 1);
    }
    // What is passed on ends where Content-Length says, too.
    let info = caller.request_text("INFO").replace("Content-Length: 0", "Content-Type: text/plain\r\nContent-Length: 2");
    world.send(alice.conn, &format!("{info}ok{bye}"));
    let passed = world.one(bob.conn);
    assert!(head(&passed) == "INFO" && passed.ends_with("Content-Length: 2\r\n\r\nok"), "{passed}");
    still_talking(&mut world, &alice, &bob, caller);
}

#[test]
fn a_length_that_cannot_be_believed_is_refused() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    let invite = alice.invite_text("bob", "c1");
    let at = invite.find("Content-Length: ").expect("a length");
    let length = &invite[at..at + invite[at..].find("\r\n").expect("a line")];
    for (number, lie) in [
        "Content-Length: 9999".to_owned(),
        "Content-Length: -1".into(),
        "Content-Length: 1x".into(),
        "Content-Length: 99999999999999999999".into(),
        format!("{length}\r\n{length}"),
        format!("{length}\r\nl: 0"),
    ]
    .iter()
    .enumerate()
    {
        world.send(alice.conn, &invite.replace(length, lie).replace("z9hG4bKc1", &format!("z9hG4bKc{number}x")));
        assert_eq!(world.heads(alice.conn), ["400 INVITE"], "{lie}");
    }
    assert_eq!((world.heads(bob.conn), world.proxy.calls()), (vec![], 0));
}

#[test]
fn keep_alives_beyond_all_measure_end_the_connection_and_no_other() {
    let mut world = World::with(Settings { per_second: 10, user_per_second: 10, ..settings() });
    let alice = Phone::registered(&mut world, "alice", 1);
    let unauthenticated = world.open();
    for _ in 0..10 {
        for _ in 0..100 {
            world.send(unauthenticated, "\r\n\r\n");
        }
        // Frames with nothing in them cost as much as others.
        world.send(unauthenticated, "");
        world.wait(100);
    }
    assert!(world.take(unauthenticated).len() <= 40);
    assert_eq!(world.closed.get(&unauthenticated).map(|(code, _)| *code), Some(1008));
    world.send(alice.conn, "\r\n\r\n");
    assert_eq!(world.take(alice.conn), ["\r\n"]);
}

#[test]
fn floods_of_unauthenticated_clients_leave_nothing_behind() {
    let mut world = World::with(Settings { per_second: 0, user_per_second: 0, ..settings() });
    let bob = Phone::registered(&mut world, "bob", 2);
    world.wait(10_000);
    let before = world.proxy.footprint();
    let clients: Vec<Phone> = (1..=10).map(|number| Phone::new(&mut world, "mallory", number)).collect();
    let made_up = "Authorization: Digest username=\"bob\", realm=\"calls.example\", nonce=\"AAAA\", uri=\"sip:calls.example\", \
                   algorithm=SHA-256, response=\"00\", qop=auth, nc=00000001, cnonce=\"x\"";
    for number in 0..1_000 {
        for phone in &clients {
            let invite = phone.invite_text("bob", &format!("c{number}"));
            let texts = ["INVITE", "OPTIONS", "REGISTER", "MESSAGE"].map(|method| invite.replace("INVITE", method));
            texts.iter().for_each(|text| world.send(phone.conn, text));
            world.send(phone.conn, &with(&texts[2].replace("z9hG4bK", "z9hG4bKmade"), made_up));
            world.take(phone.conn);
        }
    }
    // Ten connections with the moment until which they have to sign in; made-up credentials are not tried for ever.
    assert!(world.proxy.footprint() <= before + 10 * 20, "{}", world.proxy.footprint());
    assert_eq!(world.closed.len(), 10);
    assert_eq!(world.heads(bob.conn), [""; 0]);
    world.wait(40_000);
    assert_eq!(world.proxy.footprint(), before);
}

#[test]
fn of_silent_connections_one_of_those_who_have_most_gives_way() {
    let mut world = World::with(Settings { max_silent: 3, ..settings() });
    let alice = Phone::registered(&mut world, "alice", 1);
    let talks = world.open();
    world.send(talks, "\r\n\r\n");
    let silent = [world.open(), world.open(), world.open()];
    let bob = Phone::registered(&mut world, "bob", 2);
    assert_eq!(world.closed.iter().map(|(conn, (code, _))| (*conn, *code)).collect::<Vec<_>>(), [(silent[0], 1013)]);
    let newcomer = world.open_from([192, 0, 2, 1].into());
    let _others: Vec<_> = (0..20).map(|_| world.open()).collect();
    assert!([alice.conn, bob.conn, talks, newcomer].iter().all(|conn| !world.closed.contains_key(conn)));
}

#[test]
fn an_overloaded_switch_takes_no_calls_and_keeps_those_it_has() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    world.handle(Input::Overloaded(true));
    let carol = Phone::registered(&mut world, "carol", 3);
    carol.call(&mut world, "bob", "c1");
    let answer = world.one(carol.conn);
    assert!(answer.starts_with("SIP/2.0 503 ") && answer.contains("\r\nRetry-After: 5\r\n"), "{answer}");
    caller.send(&mut world, "INVITE");
    assert_eq!(world.heads(bob.conn), ["INVITE"], "in a call that runs");
    world.handle(Input::Overloaded(false));
    world.take(alice.conn);
    carol.call(&mut world, "bob", "c2");
    assert_eq!(world.heads(carol.conn), ["100 INVITE"]);
}

#[track_caller]
fn still_talking(world: &mut World, alice: &Phone, bob: &Phone, mut caller: Dialog) {
    assert_eq!((world.heads(alice.conn), world.heads(bob.conn), world.proxy.calls()), (vec![], vec![], 1));
    caller.serial += 200;
    caller.send(world, "BYE");
    let bye = world.one(bob.conn);
    assert_eq!(head(&bye), "BYE");
    bob.answer(world, &bye, 200);
    assert_eq!(world.heads(alice.conn), ["200 BYE"]);
}
