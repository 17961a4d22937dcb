//! Microphones and cameras that go away during a call, and come back.

use offhook::client::{IceState, Input, TaskKind};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::steps::{clean, hang_up, talking};
use super::world::World;

/// How often a page was told that its stream is there.
fn streams(world: &World, node: usize) -> usize {
    world.nodes[node].media.iter().filter(|line| *line == "local stream").count()
}

fn reopened(world: &World, node: usize, video: bool) -> usize {
    world.nodes[node].asked.iter().filter(|kind| matches!(kind, TaskKind::Reopen { video: other, .. } if *other == video)).count()
}

#[test]
fn a_microphone_that_goes_away_is_opened_anew() {
    let (mut world, alice, bob, call) = talking();
    let sent = world.ladder.len();
    assert_eq!(streams(&world, alice), 1);
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established, localtrackended { video: false }");
    assert_eq!((reopened(&world, alice, false), reopened(&world, alice, true), streams(&world, alice)), (1, 0, 2));
    world.input(alice, Input::DevicesChanged);
    world.run(1_000);
    assert_eq!(reopened(&world, alice, false), 1, "nothing is missing any more");
    assert!(!world.ladder[sent..].iter().any(|line| line.contains("INVITE")), "{:?}", &world.ladder[sent..]);
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    clean(&mut world);
}

#[test]
fn a_call_goes_on_without_a_microphone_until_there_is_one() {
    let (mut world, alice, bob, call) = talking();
    world.nodes[alice].microphone = None;
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(5_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (1, 1));
    world.input(alice, Input::DevicesChanged);
    world.run(5_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (2, 1), "another device is no microphone");
    assert!(world.nodes[alice].client.has_calls() && world.nodes[bob].client.has_calls());
    world.nodes[alice].microphone = Some(30);
    world.input(alice, Input::DevicesChanged);
    world.run(1_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (3, 2));
    hang_up(&mut world, bob, call);
    world.run(1_000);
    clean(&mut world);
}

/// The list of devices changes while a try is under way that knows the list before.
#[test]
fn a_change_of_devices_during_a_try_causes_another() {
    let (mut world, alice, _, call) = talking();
    world.nodes[alice].microphone = None;
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.nodes[alice].microphone = Some(30);
    world.input(alice, Input::DevicesChanged);
    world.input(alice, Input::DevicesChanged);
    world.run(1_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (2, 2));
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

#[test]
fn audio_and_video_are_replaced_apart() {
    let (mut world, alice, _, call) = talking();
    world.nodes[alice].microphone = None;
    world.input(alice, Input::LocalTrackEnded { call, video: true });
    world.run(1_000);
    world.nodes[alice].microphone = Some(30);
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(1_000);
    assert_eq!((reopened(&world, alice, false), reopened(&world, alice, true), streams(&world, alice)), (1, 1, 2));
    // The page sends a picture of its own: nothing is missing.
    world.input(alice, Input::LocalStreamReplaced { call, audio: false, video: true });
    world.input(alice, Input::DevicesChanged);
    world.run(1_000);
    assert_eq!((reopened(&world, alice, true), streams(&world, alice)), (1, 3));
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

#[test]
fn what_happens_after_the_end_of_a_call_changes_nothing() {
    let (mut world, alice, bob, call) = talking();
    world.nodes[alice].microphone = None;
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(100);
    hang_up(&mut world, alice, call);
    let told = world.events(alice);
    world.input(alice, Input::LocalTrackEnded { call, video: true });
    world.input(alice, Input::LocalStreamReplaced { call, audio: true, video: true });
    world.input(alice, Input::DevicesChanged);
    world.run(1_000);
    assert_eq!(world.events(alice), told);
    assert_eq!((reopened(&world, alice, false), reopened(&world, alice, true), streams(&world, alice)), (1, 0, 1));
    assert!(world.events(bob).ends_with("ended HUNG_UP"), "{}", world.events(bob));
    clean(&mut world);
}

/// The path breaks while the microphone is being opened anew: the call takes another peer connection, and the microphone when it comes.
#[test]
fn a_microphone_is_opened_anew_though_the_call_takes_another_peer() {
    let (mut world, alice, _, call) = talking();
    world.nodes[alice].microphone = Some(20_000);
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    let before = world.nodes[alice].peers[0];
    world.ice(alice, IceState::Failed);
    world.run(10_000);
    assert!(!world.nodes[alice].peers.contains(&before), "another peer connection");
    assert_eq!(streams(&world, alice), 1, "no microphone yet");
    world.run(15_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (1, 2));
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(21_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (2, 3), "one that goes away later is opened anew, too");
    hang_up(&mut world, alice, call);
    clean(&mut world);
}

/// A device that opens and ends at once would be opened for ever.
#[test]
fn a_microphone_that_ends_at_once_waits_for_another() {
    let (mut world, alice, _, call) = talking();
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(500);
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(10_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (1, 2), "not tried again");
    world.input(alice, Input::DevicesChanged);
    world.run(2_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (2, 3));
    world.input(alice, Input::LocalTrackEnded { call, video: false });
    world.run(1_000);
    assert_eq!((reopened(&world, alice, false), streams(&world, alice)), (3, 4), "it had lasted");
    hang_up(&mut world, alice, call);
    clean(&mut world);
}
