//! Which trunk is tried when, and which failures are the trunk's own.

use offhook_testing::log::{LevelFilter, Log};

use crate::world::{FIRST, SECOND, World, answer, answer_as, field, trunk, two};

#[test]
fn the_next_trunk_is_tried_at_once_where_the_first_is_out_of_service() {
    let log = Log::start(LevelFilter::INFO);
    for code in [503, 500, 502, 504, 401, 302] {
        let mut world = World::with(two());
        world.phone("+46701234567");
        let (to, invite) = world.sent.pop_front().unwrap();
        assert_eq!(to, FIRST);
        let before = world.now;
        world.hear(FIRST, &answer(&invite, code));
        world.expect("ACK");
        let (to, invite) = world.sent.pop_front().unwrap_or_else(|| panic!("{code}: {:#?}", world.log));
        assert_eq!((to.as_str(), world.now), (SECOND, before), "{code}");
        world.hear(SECOND, &answer(&invite, 200));
        world.expect("ACK");
        world.run(100);
        assert_eq!(world.app(), ["progressing", "established"]);
        assert!(world.lines("media: ").contains(&"forget"));
        let call = field(world.text("200 INVITE"), "call-id");
        let passed = |line: &String| {
            let taken_on = line.starts_with(&format!("INFO not taken: the next trunk call={call} trunk_call="));
            taken_on && line.contains(&format!(" trunk=first code={code} reason="))
        };
        assert_eq!(log.lines().iter().filter(|line| passed(line)).count(), 1, "{:#?}", log.lines());
        world.hang_up(0);
        world.expect("BYE");
        world.nothing_left();
    }
}

#[test]
fn the_next_trunk_is_tried_after_four_seconds_of_silence() {
    let mut world = World::with(two());
    world.phone("+46701234567");
    world.run(3_850);
    assert!(world.sent.iter().all(|(to, _)| to == FIRST));
    world.run(100);
    let (_, invite) = world.sent.iter().find(|(to, _)| to == SECOND).cloned().expect("the second trunk");
    world.hear(SECOND, &answer(&invite, 200));
    world.run(100);
    assert_eq!(world.app(), ["progressing", "established"]);
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn where_all_are_out_of_service_the_call_fails() {
    let mut world = World::with(two());
    world.phone("+46701234567");
    for from in [FIRST, SECOND] {
        let invite = world.expect("INVITE");
        world.hear(from, &answer_as("t", &invite, 503, &[("X-Why", "overload")], false));
        world.expect("ACK");
    }
    assert_eq!(world.app(), ["ended FAILURE"]);
    assert_eq!(field(world.text("503 INVITE"), "x-why"), "overload");
    assert_eq!(world.lines("ledger: "), ["Phone +46701234567", "failed 503"]);
    world.nothing_left();
}

#[test]
fn without_a_trunk_for_it_a_call_is_refused() {
    let mut world = World::with(Vec::new());
    world.phone("+46701234567");
    assert_eq!(world.app(), ["ended FAILURE"]);
    assert_eq!(field(world.text("503 INVITE"), "x-error"), "50300 There is no way to this destination now");
    world.nothing_left();
}

#[test]
fn a_trunk_with_as_many_calls_as_it_may_gets_no_more() {
    let mut full = trunk("first", FIRST);
    full.calls = 1;
    let mut world = World::with(vec![full]);
    let invite = crate::world::talking(&mut world);
    world.phone("+46701234568");
    world.silent();
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
    world.hear(FIRST, &crate::world::within("BYE", &invite, 2, "", None));
    world.expect("200 BYE");
    world.phone("+46701234568");
    world.expect("INVITE");
    world.hang_up(0);
}

#[test]
fn a_longer_interval_between_refreshes_is_granted() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("t", &invite, 422, &[("Min-SE", "3600")], false));
    world.expect("ACK");
    let again = world.expect("INVITE");
    assert_eq!((field(&again, "session-expires"), field(&again, "cseq")), ("3600".to_owned(), "2 INVITE".to_owned()));
    assert_eq!(field(&again, "call-id"), field(&invite, "call-id"));
    world.hear(FIRST, &answer(&again, 200));
    world.expect("ACK");
    world.run(100);
    assert_eq!(world.app(), ["progressing", "established"]);
    world.hang_up(0);
    world.nothing_left();
}
