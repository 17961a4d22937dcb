//! What crosses on the way, and what is lost or comes twice.

use offhook_testing::text::head;
use offhook_ua::random::Random;

use crate::world::{FIRST, SECOND, World, answer, answer_as, field, talking, two, within};

#[test]
fn a_call_that_is_answered_while_it_is_taken_back_is_ended() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer(&invite, 180));
    world.hang_up(0);
    let cancel = world.expect("CANCEL");
    world.hear(FIRST, &answer(&invite, 200));
    world.hear(FIRST, &answer(&cancel, 200));
    world.expect("ACK");
    let bye = world.expect("BYE");
    world.hear(FIRST, &answer(&bye, 200));
    assert_eq!(world.app(), ["progressing", "ended CANCELED"]);
    assert_eq!(world.lines("ledger: "), ["Phone +46701234567", "cancelled 487"], "it was never connected");
    world.nothing_left();
}

#[test]
fn a_call_is_taken_back_before_the_carrier_has_said_anything() {
    let mut world = World::with(two());
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hang_up(0);
    world.silent();
    // CANCEL waits for a provisional answer (RFC 3261, 9.1), and no other trunk is asked meanwhile.
    world.hear(FIRST, &answer(&invite, 100));
    let cancel = world.expect("CANCEL");
    world.hear(FIRST, &answer(&cancel, 200));
    world.hear(FIRST, &answer(&invite, 487));
    world.expect("ACK");
    world.run(10_000);
    assert!(world.sent.iter().all(|(to, _)| to != SECOND));
    assert_eq!(world.app(), ["ended CANCELED"]);
    world.nothing_left();
}

#[test]
fn a_carrier_that_never_answers_the_cancel_is_not_waited_for() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer(&invite, 180));
    world.hang_up(0);
    assert_eq!(world.exchange.b2bua().calls(), 0);
    world.nothing_left();
}

#[test]
fn both_hang_up_at_once() {
    let mut world = World::new();
    let invite = talking(&mut world);
    world.hang_up(0);
    let bye = world.expect("BYE");
    world.hear(FIRST, &within("BYE", &invite, 2, "", None));
    let answered = world.sent.pop_front().unwrap().1;
    assert!(["200 BYE", "481 BYE"].contains(&head(&answered).as_str()), "{answered}");
    world.hear(FIRST, &answer(&bye, 481));
    assert_eq!(world.lines("ledger: ").iter().filter(|line| **line == "caller hung up 200").count(), 1);
    assert_eq!(world.app(), ["progressing", "established", "ended HUNG_UP"]);
    world.nothing_left();
}

#[test]
fn a_bye_comes_before_the_page_has_acknowledged() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer(&invite, 200));
    world.expect("ACK");
    world.hear(FIRST, &within("BYE", &invite, 2, "", None));
    world.expect("200 BYE");
    world.run(1_000);
    assert_eq!(world.app(), ["progressing", "established", "ended HUNG_UP"]);
    world.nothing_left();
}

#[test]
fn a_late_answer_of_a_trunk_that_was_given_up_is_ended() {
    let mut world = World::with(two());
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.run(4_100);
    let second = world.sent.iter().find(|(to, text)| to == SECOND && head(text) == "INVITE").cloned().unwrap().1;
    world.sent.clear();
    world.hear(SECOND, &answer(&second, 180));
    world.hear(FIRST, &answer(&invite, 200));
    world.expect("ACK");
    world.expect("BYE");
    world.hear(SECOND, &answer(&second, 200));
    world.expect("ACK");
    world.run(100);
    assert_eq!(world.app(), ["progressing", "established"]);
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn a_page_that_vanishes_while_it_rings_stops_the_ringing() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer(&invite, 180));
    world.cut(0);
    world.pages[0].told.clear();
    world.run(40_000);
    let cancel = world.expect("CANCEL");
    world.hear(FIRST, &answer(&cancel, 200));
    world.hear(FIRST, &answer(&invite, 487));
    assert_eq!(world.lines("ledger: ").last(), Some(&"cancelled 487"));
    world.nothing_left();
}

#[test]
fn nobody_gets_into_a_call_by_its_names() {
    let mut world = World::with(two());
    let invite = talking(&mut world);
    // Another trunk knows all the tags, and is still not the one that the call is on.
    let text = within("INVITE", &invite, 2, "", None).replace("192.0.2.1", "192.0.2.2");
    world.hear(SECOND, &text.replace(&field(&invite, "call-id"), "another"));
    world.sent.pop_front();
    world.expect("481 INVITE");
    world.hang_up(0);
}

/// A carrier that answers, hangs up or is hung up on, over a wire that loses, doubles and delays.
#[test]
fn five_hundred_calls_over_a_bad_wire_leave_nothing_behind() {
    for seed in 0..500_u64 {
        let mut random = Random::new([u8::try_from(seed % 251).unwrap(); 32]);
        for _ in 0..seed / 251 {
            random.bytes();
        }
        let mut world = World::with(two());
        world.phone("+46701234567");
        let (mut ends_at, mut invite) = (None, None);
        for step in 0..400_u64 {
            while let Some((to, text)) = world.sent.pop_front() {
                if random.below(100) < 25 {
                    continue;
                }
                let replies: &[u16] = match head(&text).as_str() {
                    "INVITE" if random.below(8) == 0 => &[503],
                    "INVITE" if random.below(8) == 0 => &[486],
                    "INVITE" => {
                        invite = Some((to.clone(), text.clone()));
                        &[100, 180, 200]
                    }
                    "BYE" | "CANCEL" | "PRACK" | "UPDATE" => &[200],
                    _ => &[],
                };
                for code in replies {
                    for _ in 0..random.below(3) {
                        world.hear(&to, &answer_as("theirs", &text, *code, &[], *code == 200));
                    }
                }
            }
            let ended = world.app().last().is_some_and(|told| told.starts_with("ended"));
            if !ended && ends_at.is_none() && random.below(60) == 0 {
                ends_at = Some(step);
                match (random.below(2), &invite) {
                    (0, Some((to, invite))) => world.hear(to, &within("BYE", invite, 2, "", None)),
                    _ => world.hang_up(0),
                }
            }
            world.run(50);
        }
        if !world.app().last().is_some_and(|told| told.starts_with("ended")) {
            world.hang_up(0);
        }
        world.nothing_left();
    }
}
