//! Credit while a call runs.

use std::time::Duration;

use offhook_ledger::Grant;

use crate::world::{World, answer, field, talking};

fn paid(paid: u64, more: bool) -> World {
    let mut world = World::new();
    world.grant = Ok(Grant { paid: Some(Duration::from_millis(paid)), more, caller_id: None });
    world
}

#[test]
fn more_is_asked_for_in_time_and_the_end_comes_at_the_paid_millisecond() {
    let mut world = paid(60_000, true);
    world.extensions = [(Some(Duration::from_secs(120)), true), (Some(Duration::from_secs(130)), false)].into();
    let began = world.now + Duration::from_millis(100);
    talking(&mut world);
    world.run(44_890);
    assert_eq!(world.lines("ledger: ").len(), 2);
    world.run(20);
    assert_eq!(world.lines("ledger: ").last(), Some(&"Some(120s) paid"));
    world.run(60_000);
    assert_eq!(world.lines("ledger: ").last(), Some(&"Some(130s) paid"), "asked again 15 s before the end");
    assert_eq!(world.app().last(), Some(&"credit low 25"), "what is left is less than 30 s: warned at once");
    world.run((began + Duration::from_millis(129_990)).millis_since(world.now));
    assert_eq!(world.app().last(), Some(&"credit low 25"));
    world.run(10);
    let bye = world.sent.pop_back().unwrap().1;
    assert!(bye.starts_with("BYE "), "{bye}");
    world.hear(crate::world::FIRST, &answer(&bye, 200));
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
    assert_eq!(field(world.text("BYE"), "reason"), "SIP;cause=402;text=\"Not enough credit\"", "the page hears why");
    assert_eq!(field(world.text("BYE"), "x-error"), "40200 Not enough credit", "with the code of the calling API");
    assert_eq!((field(&bye, "reason"), field(&bye, "x-error")), (String::new(), String::new()), "the carrier does not");
    assert_eq!(world.lines("ledger: ").last(), Some(&"no credit 402"));
    let ended = world.log.iter().filter(|line| line.starts_with("ledger: no credit")).count();
    assert_eq!(ended, 1);
    world.nothing_left();
}

#[test]
fn credit_that_is_added_in_the_last_seconds_counts() {
    let mut world = paid(60_000, false);
    world.extensions = [(Some(Duration::from_secs(60)), false), (Some(Duration::from_secs(600)), true)].into();
    talking(&mut world);
    world.run(30_000);
    assert_eq!(world.app().last(), Some(&"credit low 30"));
    world.run(60_000);
    assert_eq!(world.exchange.b2bua().calls(), 1, "{:#?}", world.log);
    assert_eq!(world.app().last(), Some(&"credit low 30"), "it goes on");
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn what_is_free_is_never_asked_about() {
    let mut world = World::new();
    talking(&mut world);
    world.run(600_000);
    assert_eq!(world.lines("ledger: "), ["Phone +46701234567", "connected"]);
    world.hang_up(0);
    world.nothing_left();
}
