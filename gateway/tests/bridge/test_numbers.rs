//! The test numbers, each as its page sees it.

use offhook_gateway::media::{Event, Leg};

use crate::world::{World, field};

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
    world.media(Event::Pressed { session, leg: Leg::Page, key: '1', duration: 100 });
    assert_eq!(world.app(), ["progressing", "established"]);
    world.media(Event::Pressed { session, leg: Leg::Page, key: '0', duration: 100 });
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
