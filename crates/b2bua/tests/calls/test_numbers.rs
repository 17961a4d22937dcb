//! The test numbers, each as its page sees it.

use offhook_media::{Event, Leg};

use crate::world::{FIRST, World, field, trunk};

#[test]
fn the_first_answers_says_that_it_is_connected_and_hangs_up() {
    let mut world = World::with(Vec::new());
    world.phone("+46000000000");
    world.media(Event::Connected { session: world.session() });
    world.run(7_300);
    assert_eq!(world.app(), ["progressing"]);
    world.run(200);
    assert_eq!(world.app(), ["progressing", "established"]);
    world.media(Event::Played { session: world.session() });
    world.run(100);
    world.ladder(
        "page > INVITE
         page < 100 INVITE
         ledger: Test +46000000000
         media: open
         media: Page offers
         page < 183 INVITE
         page < 180 INVITE
         page > PRACK
         page < 200 PRACK
         app: progressing
         ledger: connected
         page < 200 INVITE
         media: play 1
         page > ACK
         app: established
         page < BYE
         media: close
         ledger: callee hung up 200
         app: ended HUNG_UP
         page > 200 BYE",
    );
    world.nothing_left();
}

#[test]
fn others_repeat_it_last_two_minutes_or_end_by_a_key() {
    let mut world = World::with(Vec::new());
    world.phone("+46000000007");
    world.run(7_500);
    world.media(Event::Connected { session: world.session() });
    assert_eq!(world.lines("media: play "), ["7"], "played once it can be heard");
    world.hang_up(0);
    world.nothing_left();

    let mut world = World::with(Vec::new());
    world.phone("+4600000000010");
    world.media(Event::Connected { session: world.session() });
    world.run(7_400 + 119_900);
    assert_eq!(world.app(), ["progressing", "established"]);
    world.run(200);
    assert_eq!(world.app(), ["progressing", "established", "ended HUNG_UP"]);
    world.nothing_left();

    let mut world = World::with(Vec::new());
    world.phone("+46000000020");
    world.run(8_000);
    let session = world.session();
    world.media(Event::Digit { session, leg: Leg::Page, digit: '1', duration: 100 });
    assert_eq!(world.app(), ["progressing", "established"]);
    world.media(Event::Digit { session, leg: Leg::Page, digit: '0', duration: 100 });
    assert_eq!(world.app(), ["progressing", "established", "ended HUNG_UP"]);
    world.nothing_left();
}

#[test]
fn some_refuse_some_do_not_answer_and_some_are_congested() {
    for (number, after, told) in [
        ("+46000000030", 0, "ended DENIED"),
        ("+46000000031", 7_500, "ended DENIED"),
        ("+46000000040", 45_000, "ended NO_ANSWER"),
        ("+46000000050", 0, "ended FAILURE"),
        ("+46000000051", 7_500, "ended FAILURE"),
    ] {
        let mut world = World::with(Vec::new());
        world.phone(number);
        if after > 0 {
            world.run(after - 300);
            assert_eq!(world.app(), ["progressing"], "{number}");
        }
        world.run(300);
        // What is refused at once does not ring; who is denied is always told of a ring before.
        let rings = after > 0 || told == "ended DENIED";
        assert_eq!(world.app(), if rings { vec!["progressing", told] } else { vec![told] }, "{number}");
        world.nothing_left();
    }
    let mut world = World::with(Vec::new());
    world.phone("+46000000050");
    assert_eq!(field(world.text("503 INVITE"), "x-error"), "50300 Congestion");
}

#[test]
fn a_caller_who_gives_up_stops_it() {
    let mut world = World::with(Vec::new());
    world.phone("+46000000000");
    world.run(2_000);
    world.hang_up(0);
    world.run(100);
    assert_eq!(world.app(), ["progressing", "ended CANCELED"]);
    assert_eq!(world.lines("ledger: ").last(), Some(&"cancelled 487"));
    world.nothing_left();
}

/// How the last calls ended for their callers: `X-Error` of each that was refused.
fn errors(world: &World) -> Vec<String> {
    world.texts.iter().map(|text| field(text, "x-error")).filter(|error| !error.is_empty()).collect()
}

#[test]
fn test_calls_have_a_share_of_their_own_and_nobody_has_all_of_it() {
    let mut world = World::with(vec![trunk("first", FIRST)]);
    (1..=8).for_each(|number| world.open_page(&format!("user{number}")));
    world.run(1_000);
    for page in 0..9 {
        (0..3).for_each(|_| world.call_from(page, "+4600000000010"));
    }
    assert_eq!(world.exchange.b2bua().calls(), 10, "of twenty, half for one application");
    let refused = errors(&world);
    let (own, share) = ("40300 Too many test calls of this user at once", "50300 Too many test calls at once");
    assert_eq!(refused.iter().filter(|error| *error == own).count(), 5, "a tenth for each user: {refused:?}");
    assert_eq!(refused.iter().filter(|error| *error == share).count(), 12, "{refused:?}");
    // Those that are paid find all the room that is theirs, and take none of the tests'.
    (0..12).for_each(|number| world.call_from(number % 9, "+46701234567"));
    assert_eq!((world.lines("ledger: Phone ").len(), world.exchange.b2bua().calls()), (10, 20));
    assert_eq!(errors(&world).last().map(String::as_str), Some("50300 Too many calls at once"));
    world.run(130_000);
    assert_eq!(world.exchange.b2bua().calls(), 0, "two minutes later the tests are over, and nobody has answered");
    world.call_from(5, "+46000000000");
    assert_eq!(world.exchange.b2bua().calls(), 1);
}

#[test]
fn full_of_calls_it_still_takes_tests() {
    let mut world = World::with(vec![trunk("first", FIRST)]);
    world.open_page("carol");
    world.run(1_000);
    (0..10).for_each(|_| world.call_from(0, "+46701234567"));
    world.call_from(1, "+46000000000");
    assert_eq!(world.exchange.b2bua().calls(), 11);
}
