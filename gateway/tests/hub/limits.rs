//! Nothing is without limit, and nothing is left behind.

use crate::world::{Phone, World, code, derived, field, settings, talking};
use offhook_gateway::hub::Record;

#[test]
fn a_flood_is_refused_and_then_cut_off() {
    let mut world = World::with(offhook_gateway::hub::Settings { per_second: 10, ..settings() });
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
    let mut world = World::with(offhook_gateway::hub::Settings { per_second: 10, ..settings() });
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
    let mut world = World::with(offhook_gateway::hub::Settings { user_per_second: 10, ..settings() });
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
    let mut world = World::with(offhook_gateway::hub::Settings { max_connections_per_user: 3, ..settings() });
    let phones: Vec<Phone> = (1..=4).map(|number| Phone::registered(&mut world, "alice", number)).collect();
    assert_eq!(world.closed.keys().copied().collect::<Vec<_>>(), [phones[0].conn]);
    assert_eq!(world.hub.devices(), 3);
}

#[test]
fn a_user_has_only_so_many_calls() {
    let mut world = World::with(offhook_gateway::hub::Settings { max_calls_per_user: 3, ..settings() });
    let alice = Phone::registered(&mut world, "alice", 1);
    let carol = Phone::registered(&mut world, "carol", 3);
    let bob = Phone::registered(&mut world, "bob", 2);
    for number in 0..5 {
        alice.call(&mut world, "bob", &format!("c{number}"));
    }
    assert_eq!(world.take(bob.conn).len(), 3);
    assert_eq!(world.heads(alice.conn)[3..], ["403 INVITE", "403 INVITE"]);
    carol.call(&mut world, "bob", "d1");
    assert_eq!(world.heads(carol.conn), ["486 INVITE"]);
    alice.cancel(&mut world, "bob", "c0");
    world.wait(5_000);
    carol.call(&mut world, "bob", "d2");
    assert_eq!(world.heads(carol.conn), ["100 INVITE"]);
}

#[test]
fn nothing_is_left_of_calls_that_ended() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    world.wait(60_000);
    let before = world.hub.footprint();
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
    assert_eq!((world.hub.calls(), world.hub.footprint()), (0, before));
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
fn torture_messages_harm_no_call() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora");
    let mut files = Vec::new();
    for corpus in ["rfc4475", "rfc5118", "rfc3665"] {
        let Ok(entries) = std::fs::read_dir(format!("{folder}/{corpus}")) else {
            return println!("skipped: the corpora are not here");
        };
        files.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
    }
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    let stranger = world.open();
    for bytes in files.iter().filter_map(|file| std::fs::read(file).ok()) {
        let text = String::from_utf8_lossy(&bytes);
        for (conn, user) in [(alice.conn, "alice"), (bob.conn, "bob"), (stranger, "x")] {
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
    [alice.conn, bob.conn, stranger].into_iter().for_each(|conn| world.close(conn));
    world.wait(4_000_000);
    assert_eq!((world.hub.calls(), world.hub.footprint()), (0, 0));
}
