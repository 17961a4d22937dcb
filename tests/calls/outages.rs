//! Networks that fail and come back, pages that sleep: what the app is told, once for each outage, and how long a call waits.

use std::time::Duration;

use offhook::client::{IceState, Input};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::steps::{clean, hang_up, pair, talking};
use crate::world::World;

/// After how long browsers report that a path is disconnected, and that it has failed.
const NOTICED: [(u64, IceState); 2] = [(5_000, IceState::Disconnected), (25_000, IceState::Failed)];

/// Drops all packets of these pages for so many ms; their browsers notice as browsers do.
fn outage(world: &mut World, nodes: &[usize], millis: u64) {
    for node in [0, 1] {
        world.nodes[node].path = false;
    }
    nodes.iter().for_each(|node| world.darken(*node, millis));
    let end = world.now + Duration::from_millis(millis);
    for (at, state) in NOTICED.into_iter().filter(|(at, _)| *at < millis) {
        world.run(at - (millis - end.millis_since(world.now)));
        for node in [0, 1] {
            if !world.nodes[node].peers.is_empty() {
                world.ice(node, state);
            }
        }
    }
    world.run(end.millis_since(world.now));
    for node in [0, 1] {
        world.nodes[node].path = true;
    }
}

fn told(world: &World, node: usize, event: &str) -> usize {
    world.nodes[node].events.iter().filter(|told| *told == event).count()
}

/// What a page was told since, without the events of its connection.
fn of_the_call(world: &World, node: usize) -> String {
    let events = world.nodes[node].events.iter().filter(|event| !event.starts_with("connection")).cloned();
    events.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_short_outage_is_reported_once_and_changes_nothing() {
    let (mut world, alice, bob, call) = talking();
    world.ladder.clear();
    outage(&mut world, &[alice, bob], 5_500);
    for node in [alice, bob] {
        world.ice(node, IceState::Connected);
    }
    world.run(20_000);
    assert!(!world.ladder.iter().any(|line| line.contains("INVITE")), "the path came back by itself: {:#?}", world.ladder);
    assert_eq!(of_the_call(&world, alice), "progressing, established, reconnecting, reconnected");
    assert_eq!(of_the_call(&world, bob), "incoming from alice, established, reconnecting, reconnected");
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

/// As browsers do when the network is back, in Firefox up to two seconds later.
#[test]
fn a_loss_that_is_over_when_ice_reports_it_is_no_outage() {
    let (mut world, alice, bob, call) = talking();
    world.ice(alice, IceState::Disconnected);
    world.run(2);
    world.ice(alice, IceState::Connected);
    world.run(20_000);
    assert_eq!(world.events(alice), "progressing, established");
    hang_up(&mut world, bob, call);
    clean(&mut world);
}

#[test]
fn a_path_that_flickers_is_one_outage() {
    let (mut world, alice, bob, call) = talking();
    for _ in 0..5 {
        world.ice(alice, IceState::Disconnected);
        world.run(400);
        world.ice(alice, IceState::Checking);
        world.ice(alice, IceState::Connected);
        world.run(100);
    }
    assert_eq!(world.events(alice), "progressing, established, reconnecting");
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established, reconnecting, reconnected");
    world.ice(alice, IceState::Completed);
    world.ice(alice, IceState::Disconnected);
    world.run(400);
    assert_eq!(told(&world, alice, "reconnecting"), 2, "the next one is told again");
    world.ice(alice, IceState::Connected);
    world.run(120_000);
    assert_eq!(told(&world, alice, "reconnected"), 2);
    hang_up(&mut world, bob, call);
    clean(&mut world);
}

#[test]
fn a_call_survives_sixty_seconds() {
    for dark in [&[0, 1][..], &[0], &[1]] {
        let (mut world, alice, bob, call) = talking();
        outage(&mut world, dark, 60_000);
        let back = world.now;
        while told(&world, alice, "reconnected") + told(&world, bob, "reconnected") < 2 && world.now.millis_since(back) < 30_000 {
            world.run(100);
        }
        // Where only one party was away, this server does not retransmit what the other one sent meanwhile: that takes its time.
        let most = if dark.len() == 2 { 5_000 } else { 20_000 };
        assert!(world.now.millis_since(back) <= most, "{dark:?}: {} ms\n{:#?}", world.now.millis_since(back), world.ladder);
        world.run(30_000);
        for node in [alice, bob] {
            assert!(
                of_the_call(&world, node).ends_with("established, reconnecting, reconnected"),
                "{dark:?}: {}",
                world.events(node)
            );
            let pairs = usize::from(dark.contains(&node));
            assert_eq!(told(&world, node, "connection reconnecting"), pairs, "{dark:?}: {}", world.events(node));
            assert_eq!(told(&world, node, "connection connected"), pairs, "{dark:?}: {}", world.events(node));
        }
        hang_up(&mut world, alice, call);
        world.run(1_000);
        assert!(world.events(bob).ends_with("ended HUNG_UP"), "{dark:?}: {}", world.events(bob));
        clean(&mut world);
    }
}

#[test]
fn two_minutes_end_the_call_at_both_parties_with_a_cause() {
    for dark in [&[0, 1][..], &[0], &[1]] {
        let (mut world, alice, bob, _) = talking();
        outage(&mut world, dark, 120_000);
        world.run(20_000);
        for node in [alice, bob] {
            let events = of_the_call(&world, node);
            assert!(events.contains("reconnecting, ended "), "{dark:?}: {events}");
            assert_eq!(events.matches("ended").count(), 1, "{dark:?}: {events}");
        }
        let events = [of_the_call(&world, alice), of_the_call(&world, bob)].concat();
        assert!(events.contains("ended FAILURE (The media path broke and did not come back)"), "{dark:?}: {events}");
        clean(&mut world);
    }
}

#[test]
fn a_lost_path_has_the_connection_probed() {
    let (mut world, alice, _, _) = talking();
    world.darken(alice, 60_000);
    world.ice(alice, IceState::Disconnected);
    world.run(1_900);
    assert_eq!(told(&world, alice, "connection reconnecting"), 0);
    world.run(200);
    assert_eq!(told(&world, alice, "connection reconnecting"), 1, "after 2 s and not after 12");
}

#[test]
fn a_connection_that_answers_a_probe_stays() {
    let (mut world, alice, _) = pair();
    for _ in 0..10 {
        world.input(alice, Input::Online);
        world.run(3_000);
    }
    assert_eq!(world.events(alice), "");
}

#[test]
fn a_try_that_hangs_is_aborted_when_the_network_is_back() {
    let (mut world, alice, _) = pair();
    world.darken(alice, 60_000);
    world.cut(alice);
    world.run(1_000);
    world.darken(alice, 0);
    world.input(alice, Input::Online);
    world.run(50);
    assert!(world.events(alice).ends_with("connection connected"), "{}", world.events(alice));
}

#[test]
fn the_pause_before_a_reconnect_is_shorter_during_a_call() {
    let (mut world, alice, bob, call) = talking();
    world.nodes[alice].offline = true;
    world.cut(alice);
    world.run(60_000);
    world.nodes[alice].offline = false;
    world.run(3_100);
    assert!(world.events(alice).ends_with("connection connected"), "{}", world.events(alice));
    hang_up(&mut world, bob, call);
    clean(&mut world);
}

#[test]
fn a_page_that_slept_is_back_within_five_seconds() {
    for noticed in [true, false] {
        let (mut world, alice, bob, _) = talking();
        // The server has closed the connection; the page learns of it, or does not.
        world.sleep(alice, 600_000);
        if noticed {
            world.cut(alice);
        } else {
            world.blackhole(alice);
        }
        world.ice(bob, IceState::Disconnected);
        world.nodes[bob].path = false;
        world.run(600_000);
        assert!(world.events(bob).ends_with("ended FAILURE (The media path broke and did not come back)"), "{}", world.events(bob));
        world.run(5_000);
        assert!(world.events(alice).contains("connection reconnecting, connection connected"), "{}", world.events(alice));
        assert!(world.events(alice).ends_with("ended FAILURE (The other side is gone)"), "{}", world.events(alice));
        clean(&mut world);
    }
}

#[test]
fn a_page_that_slept_for_a_moment_goes_on() {
    let (mut world, alice, bob, call) = talking();
    world.sleep(alice, 30_000);
    world.run(40_000);
    assert_eq!(world.events(alice), "progressing, established");
    hang_up(&mut world, bob, call);
    world.run(1_000);
    assert!(world.events(alice).ends_with("ended HUNG_UP"));
    clean(&mut world);
}

#[test]
fn a_page_in_the_back_forward_cache_has_no_connection_and_opens_one_when_it_is_back() {
    let (mut world, alice, bob, _) = talking();
    world.command(alice, |client, now| client.leave(now, true));
    world.sleep(alice, 100_000);
    world.run(100_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    assert!(world.events(alice).ends_with("ended HUNG_UP, connection reconnecting"), "{}", world.events(alice));
    world.input(alice, Input::Online);
    world.run(100);
    assert!(world.events(alice).ends_with("connection connected"), "{}", world.events(alice));
    clean(&mut world);
}

#[test]
fn ice_that_has_failed_gets_another_peer_connection() {
    for failed in [&[0, 1][..], &[0], &[1]] {
        let (mut world, alice, bob, call) = talking();
        world.ladder.clear();
        let before = [world.nodes[alice].peers[0], world.nodes[bob].peers[0]];
        for node in [alice, bob] {
            world.ice(node, if failed.contains(&node) { IceState::Failed } else { IceState::Disconnected });
        }
        world.run(5_000);
        for node in [alice, bob] {
            assert_eq!(world.nodes[node].peers.len(), 1);
            if failed.contains(&node) {
                assert!(of_the_call(&world, node).ends_with("established, reconnecting, reconnected"), "{}", world.events(node));
                assert_ne!(world.nodes[node].peers[0], before[node], "in Firefox the old one's DTLS is dead");
            }
            assert!(world.nodes[node].sending);
        }
        hang_up(&mut world, alice, call);
        clean(&mut world);
    }
}

#[test]
fn both_parties_change_networks_at_once() {
    let (mut world, alice, bob, call) = talking();
    for node in [alice, bob] {
        world.ice(node, IceState::Disconnected);
        world.cut(node);
    }
    world.run(10_000);
    for node in [alice, bob] {
        assert!(of_the_call(&world, node).ends_with("established, reconnecting, reconnected"), "{}", world.events(node));
    }
    assert!(
        !world.ladder.iter().any(|line| line.contains("491")),
        "one offers, and the other waits for the offer: {:#?}",
        world.ladder
    );
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

/// Moves pages to another network: their connections break, and no media arrives, which ICE has not noticed yet.
fn moved(world: &mut World, nodes: &[usize]) {
    for node in [0, 1] {
        world.nodes[node].hears = false;
    }
    nodes.iter().for_each(|node| world.cut(*node));
}

fn offers(world: &World) -> usize {
    world.ladder.iter().filter(|line| line.contains("> INVITE")).count()
}

#[test]
fn a_page_on_another_network_without_media_does_not_wait_for_ice() {
    for (nodes, reticent) in [(&[0, 1][..], false), (&[0, 1], true), (&[0], false), (&[0], true), (&[1], false), (&[1], true)] {
        let (mut world, alice, bob, call) = talking();
        world.ladder.clear();
        [alice, bob].into_iter().for_each(|node| world.nodes[node].reticent = reticent);
        moved(&mut world, nodes);
        world.run(2_500);
        for node in [alice, bob].into_iter().filter(|node| nodes.contains(node)) {
            let events = of_the_call(&world, node);
            assert!(events.ends_with("established, reconnecting, reconnected"), "{nodes:?}: {events}: {:#?}", world.ladder);
        }
        world.run(120_000);
        assert_eq!(offers(&world), 1, "{nodes:?}: one looks for a path, once: {:#?}", world.ladder);
        hang_up(&mut world, alice, call);
        clean(&mut world);
    }
}

#[test]
fn a_call_goes_on_when_connections_break() {
    let (mut world, alice, bob, call) = talking();
    world.ladder.clear();
    for node in [alice, bob] {
        world.cut(node);
        world.run(5_000);
        world.input(node, Input::Online);
        world.run(5_000);
    }
    assert_eq!(offers(&world), 0, "{:#?}", world.ladder);
    assert_eq!(of_the_call(&world, alice), "progressing, established");
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

#[test]
fn a_change_of_the_network_is_noticed_before_the_connection_breaks() {
    let (mut world, alice, bob, call) = talking();
    world.ladder.clear();
    moved(&mut world, &[]);
    [alice, bob].into_iter().for_each(|node| world.input(node, Input::Online));
    world.run(2_500);
    assert_eq!(offers(&world), 1, "{:#?}", world.ladder);
    for node in [alice, bob] {
        assert!(of_the_call(&world, node).ends_with("established, reconnecting, reconnected"), "{}", world.events(node));
    }
    hang_up(&mut world, bob, call);
    clean(&mut world);
}

#[test]
fn a_path_that_stays_silent_ends_the_call() {
    let (mut world, alice, bob, _) = talking();
    [alice, bob].into_iter().for_each(|node| (world.nodes[node].path, world.nodes[node].reticent) = (false, true));
    moved(&mut world, &[alice, bob]);
    world.run(89_000);
    assert!(of_the_call(&world, alice).ends_with("established, reconnecting"), "{}", world.events(alice));
    world.run(5_000);
    assert!(of_the_call(&world, alice).ends_with("ended FAILURE (The media path broke and did not come back)"));
    clean(&mut world);
}
