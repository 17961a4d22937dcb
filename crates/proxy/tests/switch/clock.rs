//! The wall clock is put ahead and back. What runs goes on, and dates are judged by what it shows then.

use offhook_access::ticket::ticket;
use offhook_proxy::Input;
use offhook_ua::time::Instant;
use offhook_ua::wall::Wall;

use offhook_testing::switch::{KEY, SECRET};
use offhook_testing::text::head;
use offhook_testing::world::{Phone, World, code, talking, with};

const HOUR: i64 = 3_600_000;

/// What the wall clock shows once it was put ahead.
fn date(world: &World, ahead: i64) -> Instant {
    Instant::from_millis(world.now.millis().checked_add_signed(ahead).expect("after 1970"))
}

/// The answer to a REGISTER with a ticket of an hour, made at that date.
fn sign_in(world: &mut World, user: &str, number: u32, made: Instant) -> String {
    let phone = Phone::new(world, user, number);
    let text = phone.register_text("");
    world.send(phone.conn, &with(&text, &format!("Authorization: Bearer {}", ticket(KEY, SECRET, user, made, 3_600))));
    world.one(phone.conn)
}

#[test]
fn neither_registrations_nor_calls_end_with_a_step() {
    for ahead in [HOUR, -HOUR, 12 * HOUR, -12 * HOUR] {
        let mut world = World::new();
        let (alice, bob, mut caller, _) = talking(&mut world);
        let shown = date(&world, ahead);
        world.handle(Input::Wall(Wall::new(world.now, shown)));
        world.wait(60_000);
        assert_eq!((world.proxy.calls(), world.proxy.devices(), world.closed.len()), (1, 2, 0), "{ahead}");
        let carol = Phone::new(&mut world, "carol", 3);
        carol.call(&mut world, "bob", "without");
        assert_eq!(head(&world.one(carol.conn)), "407 INVITE");
        alice.call(&mut world, "bob", "another");
        assert_eq!(world.heads(bob.conn), ["INVITE"]);
        caller.send(&mut world, "BYE");
        assert_eq!(world.heads(bob.conn), ["BYE"]);
        // The registrations end when they would have ended.
        world.wait(3_539_000);
        assert_eq!(world.proxy.devices(), 2);
        world.wait(2_000);
        assert_eq!(world.proxy.devices(), 0);
    }
}

#[test]
fn tickets_and_credentials_are_dated_by_what_it_shows() {
    for ahead in [HOUR, -HOUR] {
        let mut world = World::new();
        let before = world.now;
        world.handle(Input::Wall(Wall::new(world.now, date(&world, ahead))));
        world.wait(120_000);
        let made = date(&world, ahead);
        let answer = sign_in(&mut world, "alice", 1, made);
        assert_eq!(code(&answer), 200);
        assert!(answer.contains(&format!("username=\"{}:alice\"", made.millis() / 1_000 + 600)), "{answer}");
        assert_eq!(code(&sign_in(&mut world, "bob", 2, before)), 401, "one hour off it is over, or has not begun");
        world.handle(Input::Wall(Wall::default()));
        let now = world.now;
        assert_eq!(code(&sign_in(&mut world, "bob", 3, now)), 200, "and it is right again");
        assert_eq!(world.proxy.devices(), 2);
    }
}
