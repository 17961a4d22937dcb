//! Several servers with a common registrar: which one a client connects to, and what happens to its calls when one dies.

use offhook::client::{Config, IceState, Input};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::steps::{answer, clean, hang_up, ladder};
use crate::world::{World, config};

const ONE: &str = "wss://one.test";
const OTHER: &str = "wss://other.test";

/// A page that prefers the first of these servers.
fn page(world: &mut World, name: &'static str, user: &str, servers: [&str; 2]) -> usize {
    let servers = servers.map(str::to_owned).to_vec();
    world.join(name, user, Config { servers, instance: name.into(), ..config() })
}

/// A caller at the one server and a callee at the other, and both talk.
fn talking() -> (World, usize, usize, offhook::client::call::CallId) {
    let mut world = World::new();
    let (alice, bob) = (page(&mut world, "A", "alice", [ONE, OTHER]), page(&mut world, "B", "bob", [OTHER, ONE]));
    let call = world.call(alice, "bob");
    world.run(1_000);
    answer(&mut world, bob);
    world.run(6_000);
    (world, alice, bob, call)
}

fn alive(world: &World, nodes: [usize; 2]) {
    for node in nodes {
        assert!(!world.events(node).contains("ended"), "{}", world.events(node));
    }
}

#[test]
fn the_next_server_is_tried_at_once() {
    let mut world = World::new();
    let alice = page(&mut world, "A", "alice", [ONE, OTHER]);
    world.run(10_000);
    let died = world.now;
    world.kill(ONE);
    world.run(150);
    assert_eq!(world.events(alice), "connection reconnecting, connection connected");
    let (at, url) = world.nodes[alice].tried.last().unwrap();
    assert_eq!(url, OTHER);
    assert_eq!(*at, died, "without a timer: in a tab that nobody looks at the shortest takes a second");
}

#[test]
fn clients_stay_where_they_are_when_a_server_comes_back() {
    let mut world = World::new();
    let alice = page(&mut world, "A", "alice", [ONE, OTHER]);
    world.run(10_000);
    world.kill(ONE);
    world.run(1_000);
    world.revive(ONE);
    world.run(3_600_000);
    assert_eq!(world.nodes[alice].tried.len(), 2, "it stays where it is");
    world.kill(OTHER);
    world.run(200);
    assert_eq!(world.at(alice), ONE);
    assert!(world.events(alice).ends_with("connection connected"));
}

#[test]
fn a_server_that_failed_comes_after_the_one_that_served() {
    let mut world = World::new();
    let alice = page(&mut world, "A", "alice", [ONE, OTHER]);
    world.run(10_000);
    world.kill(ONE);
    world.run(10_000);
    for (cut, tried) in [(1, &[ONE, OTHER][..]), (2, &[OTHER]), (3, &[OTHER])] {
        let before = world.nodes[alice].tried.len();
        world.cut(alice);
        world.run(10_000);
        let urls: Vec<_> = world.nodes[alice].tried.iter().skip(before).map(|(_, url)| url.as_str()).collect();
        assert_eq!(urls, tried, "cut {cut}");
    }
    // It is tried again as soon as the other one fails, and stays from then on.
    world.revive(ONE);
    world.kill(OTHER);
    world.run(200);
    assert_eq!(world.at(alice), ONE);
}

#[test]
fn the_pause_grows_with_each_round_and_has_jitter() {
    let mut world = World::new();
    let pages = [("A", "alice"), ("B", "bob")].map(|(name, user)| page(&mut world, name, user, [ONE, OTHER]));
    world.run(10_000);
    world.kill(OTHER);
    world.kill(ONE);
    world.run(300_000);
    let [a, b] = pages.map(|page| {
        let tried: Vec<_> = world.nodes[page].tried.iter().skip(1).collect();
        assert!(tried.iter().zip(tried.iter().skip(1)).all(|((_, a), (_, b))| a != b), "in turn: {tried:?}");
        tried.iter().zip(tried.iter().skip(1)).map(|((a, _), (b, _))| b.millis_since(*a)).collect::<Vec<_>>()
    });
    for pauses in [&a, &b] {
        assert!(pauses[0] < 100, "all servers are tried at once before any pause: {pauses:?}");
        assert!((150..=500).contains(&pauses[1]), "{pauses:?}");
        assert!(pauses.iter().rev().take(4).all(|pause| (10_000..=31_000).contains(pause)), "{pauses:?}");
    }
    assert!(a.iter().zip(&b).skip(1).all(|(a, b)| a != b), "{a:?} {b:?}");
    world.revive(ONE);
    world.run(62_000);
    assert!(world.events(pages[0]).ends_with("connection connected"), "{}", world.events(pages[0]));
}

#[test]
fn servers_that_close_after_sign_in_are_tried_ever_more_slowly() {
    let mut world = World::new();
    let alice = page(&mut world, "A", "alice", [ONE, OTHER]);
    for _ in 0..60_000 / 100 {
        world.run(100);
        if world.events(alice).ends_with("connected") || world.events(alice).is_empty() {
            world.cut(alice);
        }
    }
    let tries = world.nodes[alice].tried.len();
    assert!((8..30).contains(&tries), "{tries} tries in a minute");
    // Once a server serves for a while, the next loss is a first one again.
    world.run(60_000);
    let before = world.nodes[alice].tried.len();
    world.cut(alice);
    world.run(100);
    assert_eq!(world.nodes[alice].tried.len(), before + 1);
}

#[test]
fn a_call_outlives_the_server_of_either_party() {
    for dead in [ONE, OTHER] {
        for ends in 0..2 {
            let (mut world, alice, bob, call) = talking();
            world.kill(dead);
            world.run(2_000);
            alive(&world, [alice, bob]);
            for node in [alice, bob] {
                // A lost path takes a re-INVITE.
                let peer = world.nodes[node].peers[0];
                world.ladder.clear();
                world.input(node, Input::IceState { peer, state: IceState::Failed });
                world.run(5_000);
                let name = world.nodes[node].name;
                assert!(world.ladder.contains(&format!("{name} > INVITE +sdp")), "{dead}: {:#?}", world.ladder);
                assert!(world.ladder.contains(&format!("{name} < 200 INVITE +sdp")), "{dead}: {:#?}", world.ladder);
            }
            alive(&world, [alice, bob]);
            hang_up(&mut world, [alice, bob][ends], call);
            world.run(1_000);
            for node in [alice, bob] {
                assert!(world.events(node).ends_with("ended HUNG_UP"), "{}", world.events(node));
            }
            clean(&mut world);
        }
    }
}

#[test]
fn the_dialog_is_refreshed_after_a_reconnect() {
    let (mut world, alice, bob, call) = talking();
    world.ladder.clear();
    world.kill(ONE);
    world.run(1_000);
    assert!(
        world.ladder.contains(&"A > UPDATE".to_owned()) && world.ladder.contains(&"A < 200 UPDATE".to_owned()),
        "{:?}",
        world.ladder
    );
    // And the interval goes on: the next refresh is due a quarter of an hour after this one.
    world.ladder.clear();
    world.run(3_600_000);
    assert_eq!(world.ladder.iter().filter(|line| line.contains("> UPDATE")).count(), 4, "{:?}", world.ladder);
    alive(&world, [alice, bob]);
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

/// A caller at the one server, and a callee at the other where it rings.
fn ringing() -> (World, usize, usize, offhook::client::call::CallId) {
    let mut world = World::new();
    let (alice, bob) = (page(&mut world, "A", "alice", [ONE, OTHER]), page(&mut world, "B", "bob", [OTHER, ONE]));
    world.run(6_000);
    let call = world.call(alice, "bob");
    world.run(1_000);
    (world, alice, bob, call)
}

#[test]
fn a_call_that_rings_outlives_the_server_of_the_caller() {
    let (mut world, alice, bob, call) = ringing();
    world.kill(ONE);
    world.run(500);
    alive(&world, [alice, bob]);
    answer(&mut world, bob);
    world.run(1_000);
    assert!(world.events(alice).ends_with("established"), "{:#?}", world.ladder);
    assert_eq!(world.events(bob), "incoming from alice, established");
    ladder(&world, "caller-moves");
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    clean(&mut world);
}

/// The response would go through the dead server, and there is no other path (RFC 3261, 18.2.2).
#[test]
fn a_call_that_rings_at_a_server_that_died_ends_at_both_parties() {
    let (mut world, alice, bob, _) = ringing();
    world.kill(OTHER);
    world.run(500);
    answer(&mut world, bob);
    world.run(60_000);
    assert_eq!(world.events(alice).matches("ended").count(), 1, "{}", world.events(alice));
    assert_eq!(world.events(bob).matches("ended").count(), 1, "{}", world.events(bob));
    clean(&mut world);
}
