//! Connections that are lost in the middle of everything.

use offhook_testing::text::head;
use offhook_testing::world::{Dialog, Phone, World, talking};

fn ringing() -> (World, Phone, Phone, String) {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    bob.answer(&mut world, &invite, 180);
    world.take(alice.conn);
    (world, alice, bob, invite)
}

#[test]
fn a_held_request_reaches_the_device_that_is_back() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    world.close(bob.conn);
    caller.send(&mut world, "INFO");
    caller.send(&mut world, "BYE");
    world.wait(5_000);
    let mut again = bob.reconnected(&mut world);
    again.register(&mut world);
    let requests = world.take(again.conn);
    assert_eq!(requests.iter().map(|text| head(text)).collect::<Vec<_>>(), ["INFO", "BYE"], "in their order");
    again.answer(&mut world, &requests[1], 200);
    assert_eq!(world.heads(alice.conn), ["200 BYE"]);
}

#[test]
fn another_device_does_not_get_what_is_held() {
    let mut world = World::new();
    let (_, bob, mut caller, _) = talking(&mut world);
    world.close(bob.conn);
    caller.send(&mut world, "INFO");
    let other = Phone::registered(&mut world, "bob", 8);
    assert_eq!(world.heads(other.conn), [""; 0]);
}

#[test]
fn a_caller_who_reconnects_gets_the_answer() {
    let (mut world, alice, bob, invite) = ringing();
    world.close(alice.conn);
    bob.answer(&mut world, &invite, 200);
    let mut again = alice.reconnected(&mut world);
    again.register(&mut world);
    let answers = world.take(again.conn);
    assert_eq!(answers.iter().map(|text| head(text)).collect::<Vec<_>>(), ["200 INVITE"]);
    let mut dialog = Dialog::caller(&again, &answers[0]);
    dialog.send(&mut world, "ACK");
    dialog.send(&mut world, "BYE");
    assert_eq!(world.heads(bob.conn), ["ACK", "BYE"]);
}

#[test]
fn a_caller_who_cannot_be_called_reconnects_by_saying_it_again() {
    let mut world = World::new();
    let alice = Phone::caller(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    alice.call(&mut world, "bob", "c1");
    let invite = bob.rung(&mut world);
    world.close(alice.conn);
    bob.answer(&mut world, &invite, 180);
    let mut again = alice.reconnected(&mut world);
    again.serial += 1;
    let login = again.with_ticket(&world, &again.register_text("")).replace("\r\nContact: ", "\r\nX-None: ");
    world.send(again.conn, &login);
    again.call(&mut world, "bob", "c1");
    assert_eq!(world.heads(again.conn), ["200 REGISTER", "180 INVITE", "180 INVITE"], "the last answer, and what was kept");
    assert_eq!(world.heads(bob.conn), [""; 0], "a copy is no second call");
    again.cancel(&mut world, "bob", "c1");
    assert_eq!(world.heads(again.conn), ["200 CANCEL"]);
    assert_eq!(world.heads(bob.conn), ["CANCEL"]);
}

#[test]
fn nobody_gets_an_answer_by_copying_the_question() {
    let (mut world, alice, bob, invite) = ringing();
    let mallory = Phone::registered(&mut world, "mallory", 9);
    world.send(mallory.conn, &alice.invite_text("bob", "c1"));
    bob.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(mallory.conn), [""; 0]);
    assert_eq!(world.heads(alice.conn), ["200 INVITE"]);
}

#[test]
fn a_ringing_device_that_reconnects_can_answer() {
    let (mut world, alice, bob, invite) = ringing();
    world.close(bob.conn);
    world.wait(3_000);
    assert_eq!(world.heads(alice.conn), [""; 0], "the call goes on ringing");
    let mut again = bob.reconnected(&mut world);
    again.register(&mut world);
    assert_eq!(world.heads(again.conn), [""; 0], "nothing is sent again");
    again.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(alice.conn), ["200 INVITE"]);
}

#[test]
fn a_device_that_lost_the_invite_gets_it_again() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    alice.call(&mut world, "bob", "c1");
    let first = bob.rung(&mut world);
    world.close(bob.conn);
    let mut again = bob.reconnected(&mut world);
    again.register(&mut world);
    assert_eq!(again.rung(&mut world), first, "the same, so that a device that has it knows it as a copy");
}

#[test]
fn a_cancel_reaches_the_device_that_is_back() {
    let (mut world, alice, bob, invite) = ringing();
    world.close(bob.conn);
    alice.cancel(&mut world, "bob", "c1");
    assert_eq!(world.heads(alice.conn), ["200 CANCEL", "487 INVITE"], "nobody waits for a lost device");
    let mut again = bob.reconnected(&mut world);
    again.register(&mut world);
    assert_eq!(world.heads(again.conn), ["CANCEL"]);
    again.answer(&mut world, &invite, 487);
    assert_eq!(world.heads(again.conn), ["ACK"]);
}

#[test]
fn a_half_open_connection_is_taken_over() {
    let (mut world, alice, bob, invite) = ringing();
    let mut again = bob.reconnected(&mut world);
    again.register(&mut world);
    assert!(world.closed.contains_key(&bob.conn));
    again.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(alice.conn), ["200 INVITE"]);
    bob.answer(&mut world, &invite, 603);
    assert_eq!(world.heads(alice.conn), [""; 0]);
}

#[test]
fn a_caller_who_is_gone_for_good_stops_the_ringing() {
    let (mut world, alice, bob, _) = ringing();
    world.close(alice.conn);
    world.wait(31_999);
    assert_eq!(world.heads(bob.conn), [""; 0]);
    world.wait(1);
    assert_eq!(world.heads(bob.conn), ["CANCEL"]);
}

#[test]
fn a_call_that_both_left_is_over() {
    let mut world = World::new();
    let (alice, bob, ..) = talking(&mut world);
    world.close(alice.conn);
    world.wait(120_000);
    assert_eq!(world.proxy.calls(), 1, "one side is there");
    world.close(bob.conn);
    world.wait(120_000);
    assert_eq!(world.proxy.calls(), 0);
    assert_eq!(world.ends(), [("lost", 200)]);
}

#[test]
fn a_device_may_reconnect_many_times() {
    let (mut world, alice, mut bob, invite) = ringing();
    for _ in 0..6 {
        world.close(bob.conn);
        bob = bob.reconnected(&mut world);
        bob.register(&mut world);
        world.wait(1_000);
    }
    bob.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(alice.conn), ["200 INVITE"]);
}

#[test]
fn a_page_that_left_calls_nobody_any_more() {
    let (mut world, alice, bob, _) = ringing();
    world.leave(alice.conn);
    assert_eq!(world.heads(bob.conn), ["CANCEL"], "at once, and not after the time that a lost connection gets");
}

#[test]
fn a_page_that_was_reloaded_while_it_rang_rings_again() {
    let (mut world, alice, bob, invite) = ringing();
    world.leave(bob.conn);
    let reloaded = Phone::registered(&mut world, "bob", 3);
    let again = reloaded.rung(&mut world);
    assert_ne!(again, invite);
    reloaded.answer(&mut world, &again, 200);
    assert_eq!(world.heads(alice.conn), ["200 INVITE"]);
}

#[test]
fn what_a_device_never_got_it_gets_when_it_is_back() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    // Nobody has noticed that the device's connection is dead.
    caller.send(&mut world, "UPDATE");
    let first = world.take(bob.conn);
    world.wait(10_000);
    let mut again = bob.reconnected(&mut world);
    again.register(&mut world);
    let second = world.take(again.conn);
    assert_eq!(second, first, "the same, so that a device that has it knows it as a copy");
    // Noticed: what was kept is sent once.
    world.close(again.conn);
    caller.send(&mut world, "INFO");
    let mut third = again.reconnected(&mut world);
    third.register(&mut world);
    assert_eq!(world.heads(third.conn), ["UPDATE", "INFO"]);
    third.answer(&mut world, &first[0], 200);
    assert_eq!(world.heads(alice.conn), ["200 UPDATE"]);
}

#[test]
fn a_page_that_was_closed_in_a_call_is_gone_for_the_other_side() {
    let mut world = World::new();
    let (alice, bob, mut caller, _) = talking(&mut world);
    world.leave(bob.conn);
    caller.send(&mut world, "UPDATE");
    assert_eq!(world.heads(alice.conn), ["410 UPDATE"], "at once: it cannot come back into this call");
}
