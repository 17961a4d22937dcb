//! Session timers (RFC 4028) in virtual time: who refreshes a call, how often, and what happens without refreshes.

use offhook::client::Config;
use offhook::client::call::CallId;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::server::Server;
use crate::steps::{answer, clean, hang_up, ladder};
use crate::world::{World, config};

const TEN_MINUTES: u64 = 600_000;

/// Two pages, of which the first asks for a refresh every `expires` s, at a server that `sets` it up.
fn talking(expires: u32, sets: impl Fn(&mut Server)) -> (World, usize, usize, CallId) {
    let mut world = World::new();
    let alice = world.join("A", "alice", Config { session_expires: expires, ..config() });
    let bob = world.join("B", "bob", Config { instance: "b".into(), ..config() });
    sets(&mut world.server);
    let call = world.call(alice, "bob");
    world.run(1_000);
    answer(&mut world, bob);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established");
    world.ladder.clear();
    (world, alice, bob, call)
}

fn updates(world: &World, name: &str) -> usize {
    world.ladder.iter().filter(|line| **line == format!("{name} > UPDATE")).count()
}

/// Checks that the call lasted ten minutes and ends as it should.
fn ten_minutes(world: &mut World, alice: usize, bob: usize, call: CallId) {
    world.run(TEN_MINUTES - 1_000);
    assert_eq!(world.events(alice), "progressing, established");
    assert_eq!(world.events(bob), "incoming from alice, established");
    hang_up(world, alice, call);
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
}

#[test]
fn a_call_of_ten_minutes_is_refreshed_by_the_caller() {
    let (mut world, alice, bob, call) = talking(90, |_| ());
    ten_minutes(&mut world, alice, bob, call);
    assert_eq!((updates(&world, "A"), updates(&world, "B")), (13, 0), "at half of the interval (RFC 4028, 10)");
    ladder(&world, "ten-minutes");
    clean(&mut world);
}

#[test]
fn a_call_of_ten_minutes_is_refreshed_by_the_callee() {
    let (mut world, alice, bob, call) = talking(1_800, |server| server.session = Some("90;refresher=uas"));
    ten_minutes(&mut world, alice, bob, call);
    assert_eq!((updates(&world, "A"), updates(&world, "B")), (0, 13));
    clean(&mut world);
}

#[test]
fn a_server_may_want_shorter_intervals() {
    let (mut world, alice, bob, call) = talking(1_800, |server| server.session = Some("120"));
    ten_minutes(&mut world, alice, bob, call);
    assert_eq!((updates(&world, "A"), updates(&world, "B")), (9, 0));
    clean(&mut world);
}

#[test]
fn a_server_may_want_longer_intervals() {
    let (mut world, alice, bob, call) = talking(90, |server| server.least = 300);
    ten_minutes(&mut world, alice, bob, call);
    assert_eq!((updates(&world, "A"), updates(&world, "B")), (3, 0), "422, and the INVITE again with what it wants");
    clean(&mut world);
}

#[test]
fn a_call_without_session_timers_is_not_refreshed() {
    let (mut world, alice, bob, call) = talking(0, |_| ());
    ten_minutes(&mut world, alice, bob, call);
    assert_eq!((updates(&world, "A"), updates(&world, "B")), (0, 0));
    clean(&mut world);
}

/// Both parties end a call whose refresher is gone: the one that waits sends BYE 30 s before the interval ends (a third of 90 s), and the one
/// whose messages are lost ends it, too.
#[test]
fn a_call_whose_refreshes_are_lost_ends_at_both_parties() {
    for (session, refresher) in [("90;refresher=uac", 0), ("90;refresher=uas", 1)] {
        let (mut world, alice, bob, _) = talking(90, |server| server.session = Some(session));
        let silent = [alice, bob][refresher];
        let waits = [alice, bob][1 - refresher];
        world.nodes[silent].offline = true;
        world.cut(silent);
        world.run(57_000);
        assert!(!world.events(waits).contains("ended"), "{session}: {}", world.events(waits));
        world.run(3_000);
        for node in [silent, waits] {
            assert!(world.events(node).contains("ended FAILURE (The other side is gone)"), "{session}: {}", world.events(node));
        }
        let name = world.nodes[waits].name;
        assert!(
            world.ladder.contains(&format!("{name} > BYE [SIP;cause=408;text=\"The other side is gone\"]")),
            "{:?}",
            world.ladder
        );
        world.nodes[silent].offline = false;
        clean(&mut world);
    }
}

/// The refresher is away when a refresh is due, and comes back in time.
#[test]
fn a_refresh_that_comes_late_but_in_time_keeps_the_call() {
    let (mut world, alice, bob, call) = talking(90, |_| ());
    world.run(40_000);
    world.nodes[alice].offline = true;
    world.cut(alice);
    world.run(8_000);
    world.nodes[alice].offline = false;
    world.run(600_000);
    assert!(!world.events(alice).contains("ended") && !world.events(bob).contains("ended"), "{}", world.events(bob));
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    clean(&mut world);
}
