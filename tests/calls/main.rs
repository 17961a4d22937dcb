//! Whole calls in virtual time: two and more clients, a server, and what can go wrong between them.
//!
//! The ladders in `tests/calls/ladders` can be checked by a person: `>` leaves a client, `<` reaches it. `BLESS=1` writes them.

mod devices;
mod failover;
mod inquiries;
mod losses;
mod outages;
mod refreshes;
mod server;
mod steps;
mod world;

use offhook::client::call::{Destination, Domain, EndCause, State};
use offhook::client::{Config, Login};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use steps::{answer, clean, hang_up, ladder, pair, ringing, ringing_pair};
use world::{World, config};

#[test]
fn a_normal_call() {
    let (mut world, alice, bob, call) = ringing_pair();
    assert!(!world.nodes[alice].sending, "silent until the answer");
    answer(&mut world, bob);
    world.run(1_000);
    assert!(world.nodes[alice].sending && world.nodes[bob].sending);
    world.run(5_000);
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established, ended HUNG_UP");
    assert_eq!(world.events(bob), "incoming from alice, established, ended HUNG_UP");
    ladder(&world, "normal");
    clean(&mut world);
}

#[test]
fn a_call_without_early_connection() {
    let mut world = World::new();
    let quiet = Config { connect_while_ringing: false, ..config() };
    let (alice, bob) = (world.join("A", "alice", quiet.clone()), world.join("B", "bob", Config { instance: "b".into(), ..quiet }));
    world.call(alice, "bob");
    world.run(1_000);
    assert!(world.nodes[bob].peers.is_empty(), "the callee tells no address before the answer");
    let call = answer(&mut world, bob);
    world.run(1_000);
    hang_up(&mut world, bob, call);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established, ended HUNG_UP");
    ladder(&world, "late-connection");
    clean(&mut world);
}

#[test]
fn the_caller_hangs_up_while_it_rings() {
    let (mut world, alice, bob) = pair();
    let call = world.call(alice, "bob");
    world.run(2_000);
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, ended CANCELED");
    assert_eq!(world.events(bob), "incoming from alice, ended CANCELED");
    ladder(&world, "caller-gives-up");
    clean(&mut world);
}

#[test]
fn the_caller_hangs_up_before_any_response() {
    for wait in [0, 13, 25] {
        let (mut world, alice, bob) = pair();
        let call = world.call(alice, "bob");
        world.run(wait);
        hang_up(&mut world, alice, call);
        assert_eq!(world.events(alice), "ended CANCELED", "at once");
        world.run(2_000);
        let heard = world.events(bob);
        assert!(heard.is_empty() || heard == "incoming from alice, ended CANCELED", "{heard}");
        clean(&mut world);
    }
}

#[test]
fn the_callee_declines() {
    let (mut world, alice, bob, _) = ringing_pair();
    let call = ringing(&world, bob);
    hang_up(&mut world, bob, call);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, ended DENIED");
    assert_eq!(world.events(bob), "incoming from alice, ended DENIED");
    ladder(&world, "declined");
    clean(&mut world);
}

#[test]
fn a_busy_callee_has_no_event_and_the_caller_sees_denied() {
    let (mut world, alice, bob) = pair();
    let carol = world.join("C", "carol", Config { instance: "c".into(), ..config() });
    let first = world.call(alice, "bob");
    world.run(1_000);
    answer(&mut world, bob);
    world.run(1_000);
    let before = world.nodes[bob].events.len();
    world.call(carol, "bob");
    world.run(1_000);
    assert_eq!(world.events(carol), "progressing, ended DENIED");
    assert_eq!(world.nodes[bob].events.len(), before);
    hang_up(&mut world, alice, first);
    clean(&mut world);
}

#[test]
fn several_calls_at_once_where_the_app_wants_them() {
    let (mut world, alice, _) = pair();
    let dora = world.join("D", "dora", Config { multi_call: true, instance: "d".into(), ..config() });
    let carol = world.join("C", "carol", Config { instance: "c".into(), ..config() });
    world.call(alice, "dora");
    world.call(carol, "dora");
    world.run(1_000);
    assert_eq!(world.nodes[dora].events.iter().filter(|event| event.starts_with("incoming")).count(), 2);
}

#[test]
fn no_device_is_online() {
    let (mut world, alice, _) = pair();
    world.server.known.push("zoe".into());
    world.call(alice, "zoe");
    world.run(10_400);
    assert_eq!(world.events(alice), "");
    world.run(200);
    assert_eq!(world.events(alice), "ended TIMEOUT (The other side is not online: none of its devices has answered)");
    ladder(&world, "no-device");
    clean(&mut world);
}

#[test]
fn no_answer() {
    let (mut world, alice, bob) = pair();
    world.call(alice, "bob");
    world.run(44_000);
    assert_eq!(world.events(alice), "progressing");
    world.run(2_000);
    assert_eq!(world.events(alice), "progressing, ended NO_ANSWER");
    assert_eq!(world.events(bob), "incoming from alice, ended CANCELED");
    ladder(&world, "no-answer");
    clean(&mut world);
}

#[test]
fn answered_on_another_device() {
    let (mut world, alice, bob) = pair();
    let phone = world.join("P", "bob", Config { instance: "p".into(), ..config() });
    let call = world.call(alice, "bob");
    world.run(1_000);
    // The first early answer was of the one device; the other one answers the call, so the media is set up again.
    answer(&mut world, phone);
    world.run(2_000);
    assert_eq!(world.events(bob), "incoming from alice, ended OTHER_DEVICE_ANSWERED");
    assert_eq!(world.events(phone), "incoming from alice, established");
    assert_eq!(world.events(alice), "progressing, established");
    assert_eq!(world.nodes[alice].peers.len(), 1);
    assert!(world.nodes[alice].sending && world.nodes[phone].sending);
    hang_up(&mut world, alice, call);
    world.run(1_000);
    assert_eq!(world.events(phone), "incoming from alice, established, ended HUNG_UP");
    ladder(&world, "other-device");
    clean(&mut world);
}

#[test]
fn one_device_declines_for_all() {
    let (mut world, alice, bob) = pair();
    let phone = world.join("P", "bob", Config { instance: "p".into(), ..config() });
    world.call(alice, "bob");
    world.run(1_000);
    let call = ringing(&world, bob);
    hang_up(&mut world, bob, call);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, ended DENIED");
    assert_eq!(world.events(phone), "incoming from alice, ended CANCELED");
    clean(&mut world);
}

#[test]
fn an_unknown_user() {
    let (mut world, alice, _) = pair();
    world.call(alice, "nobody");
    world.run(1_000);
    assert_eq!(world.events(alice), "ended FAILURE (404 Not Found)");
    ladder(&world, "unknown-user");
    clean(&mut world);
}

#[test]
fn the_server_rejects() {
    for (code, events) in [
        (403, "ended FAILURE (403 Forbidden)"),
        (480, "ended TIMEOUT (480 Temporarily Unavailable)"),
        (486, "progressing, ended DENIED"),
        (503, "ended FAILURE (503 Service Unavailable)"),
        (600, "progressing, ended DENIED"),
    ] {
        let (mut world, alice, _) = pair();
        world.server.refuse = Some(code);
        world.call(alice, "bob");
        world.run(1_000);
        assert_eq!(world.events(alice), events);
        clean(&mut world);
    }
}

#[test]
fn the_callers_microphone_is_not_allowed() {
    let (mut world, alice, bob) = pair();
    world.nodes[alice].microphone = None;
    world.call(alice, "bob");
    world.run(2_000);
    let events = world.events(alice);
    assert!(events.ends_with("ended FAILURE (NotAllowedError: Permission denied)"), "{events}");
    let events = world.events(bob);
    assert!(events.is_empty() || events == "incoming from alice, ended CANCELED", "{events}");
    clean(&mut world);
}

#[test]
fn the_callees_microphone_is_not_allowed() {
    let (mut world, alice, bob) = pair();
    world.nodes[bob].microphone = None;
    world.call(alice, "bob");
    world.run(1_000);
    answer(&mut world, bob);
    world.run(1_000);
    assert_eq!(world.events(bob), "incoming from alice, ended FAILURE (NotAllowedError: Permission denied)");
    assert_eq!(world.events(alice), "progressing, ended FAILURE (488 Not Acceptable Here)");
    ladder(&world, "callee-microphone-refused");
    clean(&mut world);
}

#[test]
fn the_answer_does_not_wait_for_a_microphone_that_was_allowed_before() {
    for (granted, heard) in [(true, true), (false, false)] {
        let (mut world, alice, bob) = pair();
        world.nodes[bob].microphone = Some(2_000);
        let call = world.call(alice, "bob");
        world.run(1_000);
        let id = ringing(&world, bob);
        world.command(bob, |client, now| client.answer(now, id, granted).unwrap());
        world.run(100);
        assert_eq!(world.events(alice).ends_with("established"), heard);
        assert_eq!((world.nodes[alice].sending, world.nodes[bob].sending), (heard, false));
        world.run(2_000);
        assert!(world.nodes[alice].sending && world.nodes[bob].sending);
        hang_up(&mut world, alice, call);
        clean(&mut world);
    }
}

#[test]
fn a_microphone_that_fails_after_the_answer_ends_the_call() {
    let (mut world, alice, bob, _) = ringing_pair();
    world.nodes[bob].microphone = None;
    let id = ringing(&world, bob);
    world.command(bob, |client, now| client.answer(now, id, true).unwrap());
    world.run(1_000);
    assert!(
        world.events(bob).ends_with("established, ended FAILURE (NotAllowedError: Permission denied)"),
        "{}",
        world.events(bob)
    );
    let told = "established, ended FAILURE (488 The microphone or the media of the other side failed)";
    assert!(world.events(alice).ends_with(told), "{}", world.events(alice));
    clean(&mut world);
}

#[test]
fn a_slow_microphone_delays_no_ring() {
    let (mut world, alice, bob) = pair();
    world.nodes[alice].microphone = Some(30_000);
    world.call(alice, "bob");
    world.run(100);
    assert_eq!(world.events(bob), "incoming from alice");
    assert_eq!(world.events(alice), "progressing");
}

#[test]
fn both_call_each_other() {
    let (mut world, alice, bob) = pair();
    world.call(alice, "bob");
    world.call(bob, "alice");
    world.run(60_000);
    // Neither takes several calls: each is busy.
    assert_eq!(world.events(alice), "progressing, ended DENIED");
    assert_eq!(world.events(bob), "progressing, ended DENIED");
    ladder(&world, "both-call");
    clean(&mut world);
}

#[test]
fn hanging_up_answering_and_muting_twice() {
    let (mut world, alice, bob, call) = ringing_pair();
    let incoming = answer(&mut world, bob);
    assert!(world.command(bob, |client, now| client.answer(now, incoming, false)).is_ok(), "a second answer changes nothing");
    assert!(world.command(alice, |client, now| client.answer(now, call, false)).is_err(), "an outgoing call cannot be answered");
    world.run(1_000);
    hang_up(&mut world, alice, call);
    let error = world.command(alice, |client, now| client.hangup(now, call)).unwrap_err();
    assert_eq!((error.domain(), error.code()), (5, 6002));
    assert!(world.command(alice, |client, _| client.mute(call, true)).is_err());
    world.run(1_000);
    assert_eq!(world.events(bob).matches("established").count(), 1);
    clean(&mut world);
}

#[test]
fn a_200_that_crosses_the_cancel() {
    // 0: the answer is late; 5 to 9 ms: both are under way at the same time.
    for lead in 0..25 {
        let (mut world, alice, bob) = pair();
        world.nodes[bob].microphone = Some(0);
        let call = world.call(alice, "bob");
        world.run(1_000);
        answer(&mut world, bob);
        world.run(lead);
        if world.nodes[alice].client.call_info(call).is_some_and(|info| info.state != State::Ended) {
            hang_up(&mut world, alice, call);
        }
        world.run(2_000);
        for node in [alice, bob] {
            assert_eq!(world.events(node).matches("ended").count(), 1, "{}", world.events(node));
        }
        if lead == 5 {
            ladder(&world, "cancel-crosses-answer");
        }
        clean(&mut world);
    }
}

#[test]
fn both_hang_up_at_once() {
    let (mut world, alice, bob, call) = ringing_pair();
    let incoming = answer(&mut world, bob);
    world.run(1_000);
    hang_up(&mut world, alice, call);
    hang_up(&mut world, bob, incoming);
    world.run(1_000);
    assert_eq!(world.events(alice), "progressing, established, ended HUNG_UP");
    assert_eq!(world.events(bob), "incoming from alice, established, ended HUNG_UP");
    ladder(&world, "bye-crosses-bye");
    clean(&mut world);
}

#[test]
fn a_call_of_a_client_that_is_not_started_fails_later_and_not_inside_the_call() {
    let mut world = World::new();
    let alice = world.add("A", config());
    world.call(alice, "bob");
    assert_eq!(world.events(alice), "");
    world.run(10);
    assert_eq!(world.events(alice), "ended FAILURE (The client is not started: call `start` first, and wait until it is done)");
    clean(&mut world);
}

#[test]
fn a_call_placed_while_the_client_signs_in_waits_for_it() {
    let (mut world, _, bob) = pair();
    let carol = world.add("C", config());
    let login = Login::Token { user: "carol".into(), token: "t".into(), lasts: None };
    world.command(carol, |client, now| client.start(now, login).unwrap());
    world.call(carol, "bob");
    world.run(1_000);
    assert_eq!(world.events(bob), "incoming from carol");
}

#[test]
fn a_client_without_active_connection_places_calls_and_receives_none() {
    let mut world = World::new();
    let alice = world.join("A", "alice", Config { active: false, activate: false, ..config() });
    let bob = world.join("B", "bob", Config { activate: false, instance: "b".into(), ..config() });
    world.call(alice, "bob");
    world.run(11_000);
    assert_eq!(world.events(alice), "ended TIMEOUT (The other side is not online: none of its devices has answered)");
    assert!(world.command(alice, |client, now| client.start_active_connection(now)).is_err());
    assert_eq!(world.command(bob, |client, now| client.start_active_connection(now)), Ok(true));
    world.run(500);
    assert_eq!(world.events(bob), "active");
    world.call(alice, "bob");
    world.run(1_000);
    assert_eq!(world.events(bob), "active, incoming from alice");
    let call = ringing(&world, bob);
    hang_up(&mut world, bob, call);
    world.run(500);
    assert_eq!(world.command(bob, |client, now| client.stop_active_connection(now)), Ok(true));
    world.run(500);
    assert!(world.events(bob).ends_with("inactive"));
    world.call(alice, "bob");
    world.run(11_000);
    assert!(world.events(alice).ends_with("ended TIMEOUT (The other side is not online: none of its devices has answered)"));
}

#[test]
fn dtmf_digits_go_by_rtp() {
    let (mut world, alice, bob) = pair();
    let call = world.call(alice, "bob");
    assert!(world.command(alice, |client, now| client.send_dtmf(now, call, "1")).is_ok(), "too early: nothing happens");
    world.run(1_000);
    answer(&mut world, bob);
    world.run(1_000);
    world.command(alice, |client, now| client.send_dtmf(now, call, "12#a").unwrap());
    assert!(world.nodes[alice].media.contains(&"tones 12#A".to_owned()));
    assert!(world.command(alice, |client, now| client.send_dtmf(now, call, "12x")).is_err());
}

#[test]
fn candidates_are_exchanged_while_it_rings() {
    let (world, alice, bob, _) = ringing_pair();
    for node in [alice, bob] {
        let media = &world.nodes[node].media;
        assert!(media.iter().any(|line| line.ends_with("end")), "{media:?}");
    }
}

#[test]
fn headers_and_unusual_names_arrive_as_they_were_given() {
    let mut world = World::new();
    let (alice, bob) = (
        world.join("A", "Zoë <\"x\">;a=b", config()),
        world.join("B", "<remote user id>", Config { instance: "b".into(), ..config() }),
    );
    let headers = vec![("x-one".to_owned(), "1, 2; \"3\"".to_owned()), ("two".to_owned(), "zwei ü".to_owned())];
    let to = Destination::User("<remote user id>".into());
    world.command(alice, |client, now| client.call(now, to, headers.clone()));
    world.run(1_000);
    let id = ringing(&world, bob);
    let info = world.nodes[bob].client.call_info(id).unwrap();
    assert_eq!(info.from_id, "Zoë <\"x\">;a=b");
    assert_eq!(info.headers, headers);
    assert_eq!(info.domain, Domain::Data);
    assert_eq!(info.end_cause, EndCause::None);
}
