//! Losses: sockets, servers, media paths, pages. No call ends that could go on.

use offhook::client::call::Destination;
use offhook::client::{IceState, Input, Login};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::server::Server;
use crate::steps::{answer, clean, hang_up, ladder, pair, ringing_pair, talking};
use crate::world::{World, config};

#[test]
fn a_lost_socket_ends_no_call() {
    let (mut world, alice, bob, call) = talking();
    world.cut(bob);
    world.run(3_000);
    world.cut(alice);
    world.run(3_000);
    assert_eq!(world.events(alice), "progressing, established, connection reconnecting, connection connected");
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    clean(&mut world);
}

#[test]
fn the_callers_socket_is_lost_while_it_rings() {
    let (mut world, alice, bob, call) = ringing_pair();
    world.cut(alice);
    world.run(3_000);
    assert!(!world.events(alice).contains("ended"), "{}", world.events(alice));
    assert!(!world.events(bob).contains("ended"), "{}", world.events(bob));
    // This server responds to where the INVITE came from, and absorbs its retransmissions: a new transaction gets the response.
    answer(&mut world, bob);
    world.run(1_000);
    assert!(world.events(alice).ends_with("established"), "{}", world.events(alice));
    assert_eq!(world.events(bob), "incoming from alice, established");
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    clean(&mut world);
}

#[test]
fn the_callers_socket_is_lost_and_it_is_answered_before_it_is_back() {
    let (mut world, alice, bob, call) = ringing_pair();
    world.cut(alice);
    answer(&mut world, bob);
    world.run(5_000);
    assert!(world.events(alice).ends_with("established"), "{}", world.events(alice));
    assert_eq!(world.events(bob), "incoming from alice, established");
    ladder(&world, "answered-unheard");
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    clean(&mut world);
}

#[test]
fn the_callees_socket_is_lost_while_it_rings() {
    let (mut world, alice, bob, _) = ringing_pair();
    world.cut(bob);
    world.run(60_000);
    assert_eq!(world.events(alice).matches("ended").count(), 1);
    assert_eq!(world.events(bob).matches("ended").count(), 1);
    clean(&mut world);
}

#[test]
fn a_silent_server_is_found_dead_and_the_client_reconnects() {
    let (mut world, alice, _) = pair();
    // Messages still leave, nothing comes back: the server does not know the socket any more.
    let before = world.now;
    world.nodes[alice].offline = true;
    world.server = Server::default();
    world.blackhole(alice);
    world.run(15_000);
    assert!(
        world.events(alice).starts_with("connection reconnecting"),
        "{} after {} ms",
        world.events(alice),
        world.now.millis_since(before)
    );
    world.nodes[alice].offline = false;
    world.run(30_000);
    assert!(world.events(alice).ends_with("connection connected"), "{}", world.events(alice));
}

#[test]
fn start_fails_where_no_server_can_be_reached() {
    let mut world = World::new();
    let alice = world.add("A", config());
    world.nodes[alice].offline = true;
    let login = || Login::Token { user: "alice".into(), token: "t".into(), lasts: None };
    world.command(alice, |client, now| client.start(now, login()).unwrap());
    let error = world.command(alice, |client, now| client.start(now, login()).unwrap_err());
    assert_eq!(error.to_string(), "Sinch client already started");
    world.run(10_000);
    let events = world.events(alice);
    assert!(events.contains("start failed: server.test did not answer in time: check the address of the server"), "{events}");
    world.nodes[alice].offline = false;
    world.command(alice, |client, now| client.start(now, login()).unwrap());
    world.run(1_000);
    assert!(world.events(alice).ends_with("started, connection connected"), "{}", world.events(alice));
}

#[test]
fn a_call_is_refreshed_for_hours() {
    let (mut world, alice, bob, call) = ringing_pair();
    answer(&mut world, bob);
    world.run(3 * 3_600_000);
    assert_eq!(world.events(alice), "progressing, established");
    let updates = world.ladder.iter().filter(|line| line.contains("> UPDATE")).count();
    assert_eq!(updates, 11, "one UPDATE each quarter of an hour");
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

#[test]
fn a_remote_party_that_is_gone_is_found_by_the_session_timer() {
    let (mut world, alice, bob, _) = talking();
    world.nodes[alice].offline = true;
    world.cut(alice);
    world.run(1_800_000);
    assert!(world.events(bob).contains("ended FAILURE (The other side is gone)"), "{}", world.events(bob));
}

#[test]
fn a_lost_path_is_restored_by_an_ice_restart() {
    let (mut world, alice, bob, call) = talking();
    world.ladder.clear();
    let peers = [world.nodes[alice].peers[0], world.nodes[bob].peers[0]];
    for (node, peer) in [alice, bob].into_iter().zip(peers) {
        world.input(node, Input::IceState { peer, state: IceState::Disconnected });
    }
    world.run(5_000);
    assert!(world.ladder.contains(&"A > INVITE +sdp".to_owned()), "{:#?}", world.ladder);
    assert_eq!(world.events(alice), "progressing, established, reconnecting, reconnected");
    ladder(&world, "ice-restart");
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

#[test]
fn a_path_that_is_not_restored_ends_the_call() {
    let (mut world, alice, bob, _) = talking();
    for node in [alice, bob] {
        world.nodes[node].path = false;
        let peer = world.nodes[node].peers[0];
        world.input(node, Input::IceState { peer, state: IceState::Failed });
    }
    world.run(100_000);
    for node in [alice, bob] {
        assert_eq!(world.events(node).matches("ended").count(), 1, "{}", world.events(node));
    }
    assert!(world.events(alice).contains("FAILURE (The media path broke"), "{}", world.events(alice));
    clean(&mut world);
}

#[test]
fn who_ends_the_call_for_want_of_media_says_so() {
    let (mut world, alice, bob, _) = talking();
    world.nodes[alice].path = false;
    let peer = world.nodes[alice].peers[0];
    world.input(alice, Input::IceState { peer, state: IceState::Disconnected });
    world.run(100_000);
    let broken = "The media path broke and did not come back";
    assert!(world.events(alice).ends_with(&format!("ended FAILURE ({broken})")), "{}", world.events(alice));
    assert!(world.events(bob).ends_with(&format!("ended FAILURE (408 {broken})")), "{}", world.events(bob));
    clean(&mut world);
}

#[test]
fn offers_cross() {
    let (mut world, alice, bob, call) = talking();
    // Both offers are under way at the same time; the callee waits longer than the caller.
    world.ice(bob, IceState::Failed);
    world.run(2_495);
    world.ice(alice, IceState::Failed);
    world.run(10_000);
    assert_eq!(world.events(alice), "progressing, established, reconnecting, reconnected");
    assert_eq!(world.events(bob), "incoming from alice, established, reconnecting, reconnected");
    assert!(world.ladder.contains(&"A > 491 INVITE".to_owned()), "{:#?}", world.ladder);
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

#[test]
fn every_message_is_duplicated() {
    let (mut world, alice, bob) = pair();
    world.double_everything();
    let call = world.call(alice, "bob");
    world.run(1_000);
    answer(&mut world, bob);
    world.run(5_000);
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established, ended HUNG_UP");
    assert_eq!(world.events(bob), "incoming from alice, established, ended HUNG_UP");
    clean(&mut world);
}

#[test]
fn terminate_ends_everything() {
    let (mut world, alice, bob, _) = talking();
    world.command(alice, |client, now| client.terminate(now));
    world.run(1_000);
    assert!(world.events(alice).ends_with("ended HUNG_UP, connection closed"), "{}", world.events(alice));
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    world.run(100_000);
    assert_eq!(world.nodes[alice].client.deadline(), None, "no timer is left");
}

#[test]
fn terminate_ends_the_calls_of_a_client_that_was_not_started() {
    let mut world = World::new();
    let alice = world.add("alice", config());
    world.command(alice, |client, now| {
        client.call(now, Destination::User("bob".into()), Vec::new());
        client.terminate(now);
    });
    assert!(world.nodes[alice].client.is_clean(), "nothing is left of the call");
    assert_eq!(world.nodes[alice].client.deadline(), None, "no timer is left");
}

#[test]
fn terminate_leaves_a_call_alone_that_has_ended() {
    let (mut world, alice, bob, call) = talking();
    hang_up(&mut world, alice, call);
    world.run(1_000);
    for node in [alice, bob] {
        world.command(node, |client, now| client.terminate(now));
    }
    world.run(1_000);
    let sent: Vec<&String> = world.ladder.iter().filter(|line| line.contains("> BYE")).collect();
    assert_eq!(sent, ["A > BYE"], "one BYE, from who hung up: {:#?}", world.ladder);
}

#[test]
fn a_page_that_goes_away_ends_its_calls_but_not_those_that_ring() {
    let (mut world, alice, bob, _) = ringing_pair();
    world.command(bob, |client, now| client.leave(now, false));
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing");
    answer(&mut world, bob);
    world.run(1_000);
    world.command(bob, |client, now| client.leave(now, false));
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established, ended HUNG_UP");
    world.call(alice, "bob");
    world.run(1_000);
    world.command(alice, |client, now| client.leave(now, false));
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended CANCELED"), "{}", world.events(bob));
    clean(&mut world);
}

#[test]
fn the_server_loses_its_transactions_while_it_rings() {
    for wait in [25, 1_000] {
        let (mut world, alice, bob) = pair();
        let call = world.call(alice, "bob");
        world.run(wait);
        world.server = Server::default();
        world.cut(bob);
        world.run(200);
        world.cut(alice);
        world.run(3_000);
        assert_eq!(world.events(bob).matches("incoming").count(), 1, "{}", world.events(bob));
        answer(&mut world, bob);
        world.run(3_000);
        assert!(world.events(alice).ends_with("established"), "{}", world.events(alice));
        assert!(world.events(bob).ends_with("established"), "{}", world.events(bob));
        hang_up(&mut world, alice, call);
        world.run(1_000);
        assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
        clean(&mut world);
    }
}
