//! Datagrams that are lost or duplicated.

use offhook_trunk::Event;
use offhook_ua::random::Random;

use crate::world::{PROVIDER, World, answer, kind, provider, request};

/// Makes a call over a lossy network; returns whether it was set up.
fn call(seed: u8, lost: u64) -> bool {
    let mut dice = Random::new([seed; 32]);
    let mut world = World::new(vec![provider()]);
    let key = world.ask(&request("INVITE", "one", ""));
    world.trunks.persist(&key);
    let mut invite: Option<String> = None;
    for step in 0..700 {
        for (_, text) in std::mem::take(&mut world.sent) {
            if kind(&text) == "INVITE" && dice.below(100) >= lost {
                if dice.below(100) >= lost {
                    world.hear(PROVIDER, &answer(&text, 100, ""));
                }
                invite.get_or_insert(text);
            }
        }
        // It rings after two seconds at the earliest, and the 200 is retransmitted until the ACK.
        if let Some(invite) = invite.as_ref().filter(|_| step % 10 == 9 && step >= 20)
            && dice.below(100) >= lost
        {
            world.hear(PROVIDER, &answer(invite, 200, ""));
            if dice.below(100) < 30 {
                world.hear(PROVIDER, &answer(invite, 200, ""));
            }
        }
        let answered = |event: &Event| matches!(event, Event::Response { message, .. } if kind(message.text()) == "200");
        if world.events.iter().any(answered) {
            return true;
        }
        if world.events.iter().any(|event| matches!(event, Event::Failed { .. })) {
            return false;
        }
        world.pass(100);
    }
    false
}

#[test]
fn calls_are_set_up_although_datagrams_are_lost() {
    for (lost, least) in [(10, 200), (20, 199), (30, 196)] {
        let made = (0..200).filter(|seed| call(*seed, lost)).count();
        assert!(made >= least, "{made} of 200 at {lost} %");
    }
}
