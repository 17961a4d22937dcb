//! Nothing is without limit, and nothing is left behind.

use offhook_proxy::Record;

use offhook_testing::corpora::FILES;
use offhook_testing::world::{Dialog, Phone, World, code, derived, field, settings, talking};

#[test]
fn a_flood_is_refused_and_then_cut_off() {
    let mut world = World::with(offhook_proxy::Settings { per_second: 10, ..settings() });
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    for number in 0..40 {
        alice.call(&mut world, "nobody", &format!("c{number}"));
    }
    let answers = world.take(alice.conn);
    let refused: Vec<&String> = answers.iter().filter(|text| code(text) == 503).collect();
    assert!((20..30).contains(&refused.len()), "{}", refused.len());
    assert!(field(refused[0], "retry-after").is_some());
    assert!(world.closed.is_empty());
    for number in 40..80 {
        alice.call(&mut world, "nobody", &format!("c{number}"));
    }
    assert_eq!(world.closed.get(&alice.conn).map(|(code, _)| *code), Some(1008));
    assert!(!world.closed.contains_key(&bob.conn));
    assert!(world.records.contains(&Record::Throttled { conn: alice.conn }));
}

#[test]
fn an_allowance_comes_back() {
    let mut world = World::with(offhook_proxy::Settings { per_second: 10, ..settings() });
    let conn = world.open();
    for _ in 0..25 {
        world.send(conn, "\r\n\r\n");
    }
    assert_eq!(world.take(conn).len(), 20);
    world.wait(1_000);
    for _ in 0..15 {
        world.send(conn, "\r\n\r\n");
    }
    assert_eq!(world.take(conn).len(), 10);
}

#[test]
fn all_connections_of_a_user_share_one_allowance() {
    let mut world = World::with(offhook_proxy::Settings { user_per_second: 10, ..settings() });
    let phones: Vec<Phone> = (1..=4).map(|number| Phone::registered(&mut world, "alice", number)).collect();
    for _ in 0..10 {
        for phone in &phones {
            world.send(phone.conn, "\r\n\r\n");
        }
    }
    let answered: usize = phones.iter().map(|phone| world.take(phone.conn).len()).sum();
    assert!(answered <= 20, "{answered}");
}

#[test]
fn the_oldest_connection_of_a_user_gives_way() {
    let mut world = World::with(offhook_proxy::Settings { max_connections_per_user: 3, ..settings() });
    let phones: Vec<Phone> = (1..=4).map(|number| Phone::registered(&mut world, "alice", number)).collect();
    assert_eq!(world.closed.keys().copied().collect::<Vec<_>>(), [phones[0].conn]);
    assert_eq!(world.proxy.devices(), 3);
}

#[test]
fn a_user_makes_only_so_many_calls() {
    let mut world = World::with(offhook_proxy::Settings { max_calls_per_user: 3, ..settings() });
    let alice = Phone::registered(&mut world, "alice", 1);
    let callees = ["bob", "carol", "dave", "erin", "frank"].map(|user| Phone::registered(&mut world, user, user.len() as u32 + 10));
    for callee in &callees {
        alice.call(&mut world, &callee.user, &callee.user);
    }
    let tablet = Phone::registered(&mut world, "alice", 2);
    tablet.call(&mut world, "frank", "another");
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "100 INVITE", "100 INVITE", "403 INVITE", "403 INVITE"]);
    assert_eq!(world.heads(tablet.conn), ["403 INVITE"]);
    alice.cancel(&mut world, "bob", "bob");
    world.wait(5_000);
    tablet.call(&mut world, "frank", "again");
    assert_eq!(world.heads(tablet.conn), ["100 INVITE"]);
}

/// As the gateway comes.
fn usual() -> World {
    World::with(offhook_proxy::Settings { max_calls_per_user: 20, max_waiting_per_caller: 3, ..settings() })
}

/// How many of so many INVITEs to bob are taken; the others get 486.
#[track_caller]
fn taken(world: &mut World, caller: &Phone, id: &str, calls: usize) -> usize {
    (0..calls).for_each(|number| caller.call(world, "bob", &format!("{id}{number}")));
    let heads = world.heads(caller.conn);
    assert!(heads.len() == calls && heads.iter().all(|head| head == "100 INVITE" || head == "486 INVITE"), "{heads:?}");
    heads.iter().filter(|head| *head == "100 INVITE").count()
}

#[test]
fn nobody_silences_another_by_ringing_him() {
    let mut world = usual();
    let (bob, mallory) = (Phone::registered(&mut world, "bob", 1), Phone::registered(&mut world, "mallory", 2));
    let (alice, tablet) = (Phone::registered(&mut world, "alice", 3), Phone::registered(&mut world, "mallory", 4));
    assert_eq!(taken(&mut world, &mallory, "first", 25), 3);
    assert_eq!(taken(&mut world, &tablet, "tablet", 5), 0, "another device of the same user");
    mallory.call(&mut world, "bob", "why");
    assert_eq!(field(&world.one(mallory.conn), "x-error").unwrap(), "48600 Earlier calls of this caller still ring or wait");
    world.wait(1_000);
    assert_eq!(taken(&mut world, &alice, "alice", 1), 1);
    assert_eq!(world.heads(bob.conn), ["INVITE"; 4]);
    (0..20).for_each(|number| bob.call(&mut world, "alice", &format!("own{number}")));
    assert!(world.heads(bob.conn)[..3].iter().all(|head| head == "100 INVITE"), "what rings him takes nothing of his own");
    // Retransmissions count for nothing, and a cancelled call no longer counts.
    let invite = mallory.invite_text("bob", "first0");
    (0..5).for_each(|_| world.send(mallory.conn, &invite));
    mallory.cancel(&mut world, "bob", "first0");
    world.wait(5_000);
    world.take(mallory.conn);
    assert_eq!(taken(&mut world, &mallory, "third", 3), 1);
}

#[test]
fn nobody_silences_another_by_waiting_for_him() {
    let mut world = usual();
    world.known("bob");
    let (mallory, alice) = (Phone::registered(&mut world, "mallory", 2), Phone::registered(&mut world, "alice", 3));
    assert_eq!(taken(&mut world, &mallory, "first", 25), 3);
    world.close(mallory.conn);
    let mallory = mallory.reconnected(&mut world);
    let mut again = mallory.clone();
    again.register(&mut world);
    world.take(again.conn);
    assert_eq!(taken(&mut world, &again, "second", 20), 0, "over a new connection");
    assert_eq!(taken(&mut world, &alice, "alice", 1), 1);
    let bob = Phone::registered(&mut world, "bob", 1);
    let rung = world.take(bob.conn);
    assert_eq!(rung.len(), 4, "all that wait ring");
    bob.call(&mut world, "alice", "own");
    assert_eq!(world.heads(bob.conn), ["100 INVITE"]);
    // Who was answered waits no more.
    rung.iter().for_each(|invite| bob.answer(&mut world, invite, 200));
    world.take(again.conn);
    assert_eq!(taken(&mut world, &again, "third", 5), 3);
}

#[test]
fn a_few_who_conspire_do_not_fill_a_user() {
    let mut world = usual();
    let bob = Phone::registered(&mut world, "bob", 1);
    let crowd: Vec<Phone> = (0..12).map(|n| Phone::registered(&mut world, &format!("mallory{n}"), 10 + n)).collect();
    let rung: usize = crowd.iter().map(|one| taken(&mut world, one, &one.user, 25)).sum();
    assert_eq!(rung, 18, "half of all there is, by threes, then one for each");
    let alice = Phone::registered(&mut world, "alice", 2);
    assert_eq!(taken(&mut world, &alice, "alice", 2), 1);
    world.take(bob.conn);
    bob.call(&mut world, "alice", "own");
    assert_eq!(world.heads(bob.conn), ["100 INVITE"]);
    // Against a crowd of any size there is an end.
    let mut more = 0;
    for n in 20..60 {
        let one = Phone::registered(&mut world, &format!("mallory{n}"), n);
        more += taken(&mut world, &one, &one.user, 2);
    }
    assert_eq!(more, 1);
}

#[test]
fn nothing_is_left_of_calls_that_ended() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    world.wait(60_000);
    let before = world.proxy.footprint();
    for number in 0..1_000 {
        let id = format!("c{number}");
        alice.call(&mut world, "bob", &id);
        let invite = bob.rung(&mut world);
        bob.answer(&mut world, &invite, 180);
        if number % 2 == 0 {
            bob.answer(&mut world, &invite, 603);
        } else {
            alice.cancel(&mut world, "bob", &id);
            let cancel = world.one(bob.conn);
            bob.answer(&mut world, &cancel, 200);
            bob.answer(&mut world, &invite, 487);
        }
        world.send(alice.conn, &derived(&alice.invite_text("bob", &id), "ACK"));
        world.take(alice.conn);
        world.take(bob.conn);
        world.wait(10);
    }
    world.wait(120_000);
    assert_eq!((world.proxy.calls(), world.proxy.footprint()), (0, before));
}

#[test]
fn held_requests_are_bounded() {
    let mut world = World::new();
    let (_, bob, mut caller, _) = talking(&mut world);
    world.close(bob.conn);
    for _ in 0..100 {
        caller.send(&mut world, "INFO");
    }
    let refused = world.heads(caller.conn);
    assert_eq!(refused.len(), 68);
    world.wait(8_000);
    assert_eq!(world.heads(caller.conn).len(), 32);
}

#[test]
fn the_requests_of_one_caller_leave_room_for_those_of_another() {
    let mut world = World::new();
    let (_, bob, mut mallory, _) = talking(&mut world);
    let carol = Phone::registered(&mut world, "carol", 3);
    carol.call(&mut world, "bob", "carol");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 200);
    let mut good = Dialog::caller(&carol, &world.take(carol.conn)[1]);
    good.send(&mut world, "ACK");
    world.close(bob.conn);
    (0..100).for_each(|_| mallory.send(&mut world, "INFO"));
    good.send(&mut world, "BYE");
    assert_eq!(world.heads(carol.conn), [""; 0], "it waits for bob");
    let mut back = bob.reconnected(&mut world);
    back.register(&mut world);
    assert!(world.heads(back.conn).contains(&"BYE".to_owned()));
}

#[test]
#[cfg_attr(not(corpora), ignore = "the corpora are not here")]
fn torture_messages_harm_no_call() {
    let corpora = ["rfc4475/", "rfc5118/", "rfc3665/"];
    let files = FILES.iter().filter(|(path, _)| corpora.iter().any(|corpus| path.starts_with(corpus)));
    assert!(files.clone().count() > 200, "all of them");
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    let unauthenticated = world.open();
    for (_, bytes) in files {
        let text = String::from_utf8_lossy(bytes);
        for (conn, user) in [(alice.conn, "alice"), (bob.conn, "bob"), (unauthenticated, "x")] {
            world.send(conn, &text);
            // Once more in the name of the user who sends it.
            let own = text
                .lines()
                .map(|line| if line.starts_with("From:") { format!("From: <sip:{user}@x>;tag=1") } else { line.into() });
            world.send(conn, &own.collect::<Vec<String>>().join("\r\n").replace("z9hG4bK", &format!("z9hG4bK{user}")));
        }
        world.wait(100);
    }
    world.take(alice.conn);
    world.take(bob.conn);
    assert!(!world.closed.contains_key(&alice.conn) && !world.closed.contains_key(&bob.conn));
    caller.send(&mut world, "BYE");
    assert_eq!(world.heads(bob.conn), ["BYE"]);
    [alice.conn, bob.conn, unauthenticated].into_iter().for_each(|conn| world.close(conn));
    world.wait(4_000_000);
    assert_eq!((world.proxy.calls(), world.proxy.footprint()), (0, 0));
}
