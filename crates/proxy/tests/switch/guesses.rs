//! Failed proofs of identity: how many are looked at, and whom they do not harm.

use std::net::IpAddr;

use offhook_access::proofs::Proofs;
use offhook_access::ticket::ticket;
use offhook_proxy::{ConnId, Settings};
use offhook_ua::time::Instant;

use offhook_testing::switch::{KEY, SECRET};
use offhook_testing::world::{Phone, World, code, digest, field, settings, with};

const URI: &str = "sip:calls.example";
const BUDGET: u32 = 60;
const WRONG: &str = "40108 Invalid credentials";

/// A switch with budgets, where alice and bob have passwords.
fn world() -> World {
    let mut world = World::with(Settings { proofs: Proofs::new(BUDGET, BUDGET), ..settings() });
    world.account("alice", "wonderland", "Alice");
    world.account("bob", "builder", "Bob");
    world
}

/// The attacker's address, or that of many behind one.
fn crowd() -> IpAddr {
    [203, 0, 113, 9].into()
}

/// A device of `user` that connects from `peer`.
fn phone(world: &mut World, user: &str, peer: IpAddr) -> Phone {
    let conn = world.open_from(peer);
    let number = u32::try_from(conn.0).unwrap();
    Phone {
        conn,
        ..Phone { conn: ConnId(0), user: user.into(), instance: format!("00000000-0000-4000-8000-{number:012}"), serial: 0 }
    }
}

/// The answer to a REGISTER with these credentials.
fn register(world: &mut World, phone: &mut Phone, proof: &str) -> String {
    phone.serial += 1;
    world.send(phone.conn, &with(&phone.register_text(""), proof));
    world.take(phone.conn).pop().unwrap_or_default()
}

/// The answer to a REGISTER with a password: the `count`th on this connection.
fn try_password(world: &mut World, phone: &mut Phone, password: &str, count: u32) -> String {
    let challenge = register(world, phone, "X-None: 1");
    assert_eq!(code(&challenge), 401, "{challenge}");
    let proof = digest(&challenge, &phone.user, password, "REGISTER", URI, count);
    register(world, phone, &proof)
}

/// Nine tries a connection, dropped, and again: how many were looked at, and the last answer.
fn guess(world: &mut World, user: &str, peer: IpAddr, tries: u32) -> (u32, String) {
    let (mut looked_at, mut last, mut left) = (0, String::new(), tries);
    while left > 0 {
        let mut thief = phone(world, user, peer);
        for count in 1..=left.min(9) {
            left -= 1;
            last = try_password(world, &mut thief, "guess", count);
            if field(&last, "x-error").as_deref() != Some(WRONG) {
                break;
            }
            looked_at += 1;
        }
        world.close(thief.conn);
    }
    (looked_at, last)
}

fn signs_in(world: &mut World, user: &str, password: &str, peer: IpAddr) -> (Phone, u16) {
    let mut device = phone(world, user, peer);
    let answer = try_password(world, &mut device, password, 1);
    (device, code(&answer))
}

#[test]
fn one_address_guesses_so_often_in_a_minute_however_often_it_connects() {
    let mut world = world();
    let (looked_at, last) = guess(&mut world, "alice", crowd(), 400);
    assert_eq!((looked_at, code(&last)), (BUDGET, 503), "{last}");
    assert_eq!(field(&last, "retry-after").as_deref(), Some("60"));
    let (device, status) = signs_in(&mut world, "alice", "wonderland", crowd());
    assert_eq!(status, 503, "not even the right one is looked at");
    assert_eq!(world.closed.get(&device.conn).map(|(code, _)| *code), Some(1013));
    assert_eq!(signs_in(&mut world, "bob", "builder", crowd()).1, 503, "nor that of another user");
    world.wait(59_999);
    assert_eq!(signs_in(&mut world, "bob", "builder", crowd()).1, 503);
    world.wait(1);
    assert_eq!(signs_in(&mut world, "bob", "builder", crowd()).1, 200, "the minute is over");
    assert_eq!(guess(&mut world, "alice", crowd(), 100).0, BUDGET, "the next one");
}

#[test]
fn addresses_of_one_customer_are_one() {
    let mut world = world();
    let address = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, number]);
    let looked_at: u32 = (0..20).map(|number| guess(&mut world, "alice", address(number), 9).0).sum();
    assert_eq!(looked_at, BUDGET);
}

#[test]
fn all_kinds_of_proof_draw_on_one_budget() {
    let mut world = world();
    let now = world.now;
    let wrong = [
        format!("Authorization: Bearer {}", ticket(KEY, b"another secret", "alice", now, 60)),
        "Authorization: Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImhrZGZ2MS0yMDI2MDMwMSJ9.e30.AAAA".into(),
        "Authorization: Bearer nonsense".into(),
        "Authorization: Basic YWxpY2U6d29uZGVybGFuZA==".into(),
    ];
    let mut looked_at = 0;
    for round in 0..40 {
        let mut thief = phone(&mut world, ["alice", "nobody"][round % 2], crowd());
        let answers = wrong.iter().map(|proof| register(&mut world, &mut thief, proof)).collect::<Vec<String>>();
        looked_at += answers.iter().filter(|answer| field(answer, "x-error").as_deref() == Some(WRONG)).count();
        looked_at += usize::try_from(guess(&mut world, "carol", crowd(), 1).0).unwrap();
    }
    assert_eq!(looked_at, usize::try_from(BUDGET).unwrap());
    let mut alice = phone(&mut world, "alice", crowd());
    let good = format!("Authorization: Bearer {}", ticket(KEY, SECRET, "alice", now, 60));
    assert_eq!(code(&register(&mut world, &mut alice, &good)), 503);
}

#[test]
fn what_is_no_guess_draws_on_nothing() {
    let mut world = world();
    let past = Instant::from_millis(world.now.millis() - 200_000);
    for _ in 0..200 {
        let mut device = phone(&mut world, "alice", crowd());
        let challenge = register(&mut world, &mut device, "X-None: 1");
        let proof = digest(&challenge, "alice", "wonderland", "REGISTER", URI, 1);
        // A nonce of another connection, and one that was never ours.
        let mut other = phone(&mut world, "alice", crowd());
        assert!(register(&mut world, &mut other, &proof).contains("stale=true"));
        assert!(register(&mut world, &mut other, &proof.replace("nonce=\"", "nonce=\"A")).contains("stale=true"));
        // Made by who has the secret, but too long ago.
        let late = format!("Authorization: Bearer {}", ticket(KEY, SECRET, "alice", past, 60));
        assert_eq!(code(&register(&mut world, &mut other, &late)), 401);
        [device.conn, other.conn].into_iter().for_each(|conn| world.close(conn));
    }
    assert_eq!(signs_in(&mut world, "alice", "wonderland", crowd()).1, 200);
}

#[test]
fn a_replay_is_a_guess() {
    let mut world = world();
    let mut replayed = 0;
    for _ in 0..30 {
        let mut device = phone(&mut world, "alice", crowd());
        let challenge = register(&mut world, &mut device, "X-None: 1");
        let proof = digest(&challenge, "alice", "guess", "REGISTER", URI, 1);
        for _ in 0..5 {
            replayed += u32::from(code(&register(&mut world, &mut device, &proof)) == 401);
        }
        world.close(device.conn);
    }
    assert_eq!(replayed, BUDGET);
}

#[test]
fn nobody_can_lock_a_user_out() {
    let mut world = world();
    let (mut inside, status) = signs_in(&mut world, "alice", "wonderland", [192, 0, 2, 1].into());
    assert_eq!(status, 200);
    for number in 0..10_000_u16 {
        let [high, low] = number.to_be_bytes();
        let (looked_at, _) = guess(&mut world, "alice", [198, 18, high, low].into(), 1);
        assert_eq!(looked_at, 1, "the first try of an address is looked at");
    }
    assert_eq!(guess(&mut world, "alice", [198, 18, 0, 1].into(), 100).0, 2, "and two more");
    assert_eq!(signs_in(&mut world, "alice", "wonderland", [198, 18, 0, 1].into()).1, 503);
    assert_eq!(try_code(&mut world, &mut inside, "wonderland"), 200, "who is in stays in");
    assert_eq!(signs_in(&mut world, "alice", "wonderland", [192, 0, 2, 2].into()).1, 200, "from a new address");
    let elsewhere = [192, 0, 2, 3].into();
    assert_eq!(guess(&mut world, "alice", elsewhere, 2).0, 2);
    assert_eq!(signs_in(&mut world, "alice", "wonderland", elsewhere).1, 200, "also after two mistakes");
    assert_eq!(guess(&mut world, "alice", elsewhere, 9).0, 9, "where it has proven itself it may err");
    assert_eq!(signs_in(&mut world, "bob", "builder", [198, 18, 0, 1].into()).1, 200, "another user");
    world.wait(60_000);
    assert_eq!(signs_in(&mut world, "alice", "wonderland", [198, 18, 0, 1].into()).1, 200);
}

/// The status of another REGISTER with a password, on a connection that is signed in.
fn try_code(world: &mut World, device: &mut Phone, password: &str) -> u16 {
    let challenge = register(world, device, "Authorization: Bearer nonsense");
    let proof = digest(&challenge, &device.user, password, "REGISTER", URI, 2);
    code(&register(world, device, &proof))
}

#[test]
fn a_neighbour_does_not_lock_out_those_behind_the_same_address() {
    let mut world = world();
    let (mut inside, status) = signs_in(&mut world, "bob", "builder", crowd());
    assert_eq!(status, 200);
    for number in 0..200 {
        guess(&mut world, &format!("user{number}"), crowd(), 1);
    }
    assert_eq!(try_code(&mut world, &mut inside, "builder"), 200, "who is in stays in");
    assert_eq!(signs_in(&mut world, "bob", "builder", crowd()).1, 200, "who was there before comes in");
    assert_eq!(signs_in(&mut world, "alice", "wonderland", crowd()).1, 503, "who was not waits");
    world.wait(3_600_000);
    guess(&mut world, "user", crowd(), 200);
    assert_eq!(guess(&mut world, "bob", crowd(), 100).0, 3, "but is not guessed at from there without end");
    world.wait(60_000);
    assert_eq!(signs_in(&mut world, "alice", "wonderland", crowd()).1, 200);
}
