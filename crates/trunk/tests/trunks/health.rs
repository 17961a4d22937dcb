//! Whether a trunk is up, and its addresses: OPTIONS, failures of calls, 503, names that change.

use std::time::Duration;

use offhook_sip::Name;
use offhook_testing::log::{LevelFilter, Log};
use offhook_trunk::Trunk;
use offhook_trunk::{Destination, Flow};

use crate::world::{PROVIDER, World, address, answer, foreign, header, id, provider, request, within};

fn watched() -> Trunk {
    Trunk { watch: 30, ..provider() }
}

fn named() -> Trunk {
    Trunk { address: "sip.provider.example".into(), ..provider() }
}

fn is_up(world: &mut World) -> bool {
    let routes = world.trunks.routes(world.now, &Destination::Phone("+4670".into()));
    routes == [id("provider")]
}

const DOWN: &str = "WARN trunk is down trunk=provider reason=silence";
const UP: &str = "INFO trunk is up trunk=provider reason=answers";

#[test]
fn options_detect_that_a_trunk_is_down_and_up_again() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new(vec![watched()]);
    let options = world.expect("OPTIONS");
    assert_eq!(header(&options, Name::MaxForwards), "70");
    world.hear(PROVIDER, &answer(&options, 404, ""));
    assert!(is_up(&mut world), "any answer is a sign of life");
    world.pass(60_000);
    assert!(!is_up(&mut world) && log.lines() == [DOWN]);
    world.sent.clear();
    let (mut answers, gone) = (0, world.now);
    while !is_up(&mut world) && world.now - gone < Duration::from_secs(60) {
        world.pass(100);
        while let Some((_, options)) = world.sent.pop_front() {
            world.hear(PROVIDER, &answer(&options, 200, ""));
            answers += 1;
        }
    }
    assert_eq!((answers, log.lines()), (2, vec![DOWN.into(), UP.into()]));
    assert!(world.now - gone < Duration::from_secs(10), "back after {} ms", world.now.millis_since(gone));
}

#[test]
fn one_lost_answer_is_no_failure() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new(vec![watched()]);
    for _ in 0..20 {
        world.sent.clear();
        world.pass(9_000);
        if let Some((_, options)) = world.sent.pop_back() {
            world.hear(PROVIDER, &answer(&options, 200, ""));
        }
    }
    assert!(is_up(&mut world) && log.lines().is_empty());
}

#[test]
fn after_two_unanswered_calls_a_trunk_rests() {
    let mut world = World::new(vec![provider()]);
    for call in ["one", "two"] {
        assert!(is_up(&mut world));
        world.ask(&request("INVITE", call, ""));
        world.pass(4_000);
        assert_eq!(world.event().as_deref(), Some("failed 408"));
    }
    assert!(!is_up(&mut world));
    world.pass(30_000);
    assert!(is_up(&mut world), "without OPTIONS it has to be tried again");
}

#[test]
fn a_503_takes_the_trunk_out_of_service_for_its_retry_after() {
    let mut world = World::new(vec![provider()]);
    world.ask(&request("INVITE", "one", ""));
    let invite = world.expect("INVITE");
    world.hear(PROVIDER, &answer(&invite, 503, "Retry-After: 120"));
    world.expect("ACK");
    assert_eq!(world.event().as_deref(), Some("503"));
    assert!(!is_up(&mut world));
    world.pass(119_999);
    assert!(!is_up(&mut world));
    world.pass(1);
    assert!(is_up(&mut world));
}

#[test]
fn the_next_address_is_tried_and_stays_first() {
    for silent in [true, false] {
        let mut world = World::new(vec![named()]);
        world.resolve(&["192.0.2.1:5060", "192.0.2.2:5060"]);
        world.ask(&request("INVITE", "one", ""));
        let (flow, first) = world.next();
        assert_eq!(flow, Flow::Udp(address("192.0.2.1:5060")));
        if silent {
            world.pass(3_999);
            world.sent.clear();
            world.pass(1);
        } else {
            world.hear("192.0.2.1:5060", &answer(&first, 503, ""));
            world.expect("ACK");
        }
        let (flow, second) = world.next();
        assert_eq!(flow, Flow::Udp(address("192.0.2.2:5060")));
        world.hear("192.0.2.2:5060", &answer(&second, 200, ""));
        assert_eq!(world.event().as_deref(), Some("200"));
        world.sent.clear();
        world.ask(&request("INVITE", "two", ""));
        assert_eq!(world.next().0, Flow::Udp(address("192.0.2.2:5060")));
        if silent {
            // The first one was only slow: its call is ended, not that of the second.
            world.hear("192.0.2.1:5060", &answer(&first, 200, ""));
            world.expect("ACK");
            world.expect("BYE");
        }
    }
}

#[test]
fn a_call_waits_for_the_resolver_but_not_for_ever() {
    let mut world = World::new(vec![named()]);
    world.ask(&request("INVITE", "one", ""));
    world.nothing_more();
    assert_eq!(world.questions.len(), 1, "the trunk is asked for once");
    world.resolve(&[PROVIDER]);
    world.expect("INVITE");

    let mut world = World::new(vec![named()]);
    world.ask(&request("INVITE", "one", ""));
    world.pass(4_000);
    assert_eq!(world.event().as_deref(), Some("failed 503"));
    assert_eq!(world.event(), None);
}

#[test]
fn known_addresses_stay_valid_while_the_resolver_fails() {
    let mut world = World::new(vec![named()]);
    let (_, host, port, _) = world.questions[0].clone();
    assert_eq!((host.as_str(), port), ("sip.provider.example", None));
    world.resolve(&[PROVIDER]);
    world.pass(300_000);
    world.resolve(&[]);
    world.ask(&request("INVITE", "one", ""));
    assert_eq!(world.next().0, Flow::Udp(address(PROVIDER)));
    world.pass(5_000);
    world.sent.clear();
    world.resolve(&["192.0.2.9:5060"]);
    world.ask(&request("INVITE", "two", ""));
    assert_eq!(world.next().0, Flow::Udp(address("192.0.2.9:5060")));
}

#[test]
fn the_only_trunk_is_waited_for_at_its_last_address_only() {
    let mut world = World::new(vec![named()]);
    let key = world.ask(&request("INVITE", "one", ""));
    world.trunks.persist(&key);
    world.resolve(&["192.0.2.1:5060", "192.0.2.2:5060"]);
    assert_eq!(world.next().0, Flow::Udp(address("192.0.2.1:5060")));
    world.pass(3_999);
    world.sent.clear();
    world.pass(1);
    assert_eq!(world.next().0, Flow::Udp(address("192.0.2.2:5060")));
    world.pass(31_999);
    assert_eq!(world.event(), None);
    world.pass(1);
    assert_eq!(world.event().as_deref(), Some("failed 408"));
}

#[test]
fn changed_addresses_of_a_trunk_are_logged() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new(vec![named()]);
    let said = |addresses: &str| format!("INFO the trunk was looked up trunk=provider addresses=[{addresses}]");
    let unknown = "WARN the trunk's name cannot be looked up, or has no address trunk=provider".to_owned();
    for (addresses, told) in [
        (&["192.0.2.2:5060", "192.0.2.1:5060"][..], Some(said("192.0.2.1:5060, 192.0.2.2:5060"))),
        (&["192.0.2.1:5060", "192.0.2.2:5060"], None),
        (&[], Some(unknown)),
        (&[], None),
        (&["192.0.2.9:5060"], Some(said("192.0.2.9:5060"))),
    ] {
        world.resolve(addresses);
        assert_eq!(log.take(), Vec::from_iter(told));
        world.pass(if addresses.is_empty() { 5_000 } else { 300_000 });
    }
}

#[test]
fn calls_of_a_trunk_that_has_moved_go_on() {
    let mut world = World::new(vec![named()]);
    world.resolve(&[PROVIDER]);
    world.pass(300_000);
    world.resolve(&["192.0.2.9:5060"]);
    world.hear(
        PROVIDER,
        &within("BYE", "one", 2, "sip:us@198.51.100.1").replacen("\r\n", "\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n", 1),
    );
    assert_eq!(world.event().as_deref(), Some("BYE"));
    for _ in 0..13 {
        world.pass(300_000);
        world.resolve(&["192.0.2.9:5060"]);
    }
    world.hear(PROVIDER, &foreign("INVITE", "late", ""));
    assert_eq!(world.event(), None, "but not for ever");
}
