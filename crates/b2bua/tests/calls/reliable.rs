//! Responses that are retransmitted until they are acknowledged: reliable provisional ones (RFC 3262) and 2xx (RFC 3261, 13.3.1.4).

use offhook_testing::switch::KEY;
use offhook_testing::text::head;

use crate::alone::{Alone, invite_of_page};
use crate::world::{FIRST, World, answer, answer_as, field, within};

/// A page that knows 100rel calls, and the carrier has the INVITE. Returns the 183 that the page gets, and what the carrier got.
fn called() -> (Alone, String, String) {
    let mut alone = Alone::new();
    let answers = alone.switch_sends(KEY, &invite_of_page("Supported: 100rel\r\n"));
    let early = answers.into_iter().find(|text| head(text) == "183 INVITE").expect("an early answer");
    let invite = alone.carrier_has().to_owned();
    (alone, early, invite)
}

fn prack(early: &str, number: u32) -> String {
    within("PRACK", early, number, &format!("RAck: {} 1 INVITE\r\n", field(early, "rseq")), None)
}

fn heads(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| head(text)).collect()
}

#[test]
fn a_183_is_retransmitted_until_its_prack() {
    let (mut alone, early, _) = called();
    assert_eq!(heads(&alone.run(4_000)), ["183 INVITE"; 3], "after 0.5, 1.5 and 3.5 s");
    assert_eq!(heads(&alone.switch_sends(KEY, &prack(&early, 2).replace("RAck: ", "RAck: 9"))), ["481 PRACK"]);
    assert_eq!(heads(&alone.switch_sends(KEY, &prack(&early, 3))), ["200 PRACK"]);
    assert!(alone.run(20_000).is_empty());
    assert_eq!(heads(&alone.switch_sends(KEY, &prack(&early, 4))), ["481 PRACK"], "nothing waits for it any more");
}

#[test]
fn a_183_that_is_never_acknowledged_ends_the_call() {
    let (mut alone, ..) = called();
    let sent = heads(&alone.run(32_000));
    assert_eq!(sent[..6], ["183 INVITE"; 6]);
    assert_eq!(sent[6..], ["504 INVITE"]);
    assert_eq!(alone.b2bua.calls(), 0);
}

#[test]
fn a_2xx_waits_for_a_lost_prack_but_not_for_ever() {
    let (mut alone, early, invite) = called();
    assert!(alone.carrier_sends(&answer(&invite, 200)).is_empty(), "PRACK first (RFC 3262, 3)");
    assert!(!heads(&alone.run(1_999)).contains(&"200 INVITE".to_owned()));
    let sent = alone.run(2_000);
    let ok = sent.iter().find(|text| head(text) == "200 INVITE").expect("an answer");
    assert!(ok.ends_with(&crate::world::SDP), "the page may have heard nothing of the other answer");
    assert_eq!(heads(&alone.switch_sends(KEY, &prack(&early, 2))), ["481 PRACK"], "the 200 stands for it");
}

#[test]
fn a_2xx_to_a_page_is_retransmitted_until_its_ack() {
    let (mut alone, early, invite) = called();
    alone.switch_sends(KEY, &prack(&early, 2));
    let sent = alone.carrier_sends(&answer(&invite, 200));
    assert_eq!(heads(&sent), ["200 INVITE"]);
    assert_eq!(heads(&alone.run(4_000)), ["200 INVITE"; 3]);
    alone.switch_sends(KEY, &within("ACK", &sent[0], 7, "", None));
    assert_eq!(heads(&alone.run(4_000)), ["200 INVITE"], "that was the ACK to something else");
    alone.switch_sends(KEY, &within("ACK", &sent[0], 1, "", None));
    assert!(alone.run(28_000).is_empty());
    assert_eq!(alone.b2bua.calls(), 1);
}

#[test]
fn a_2xx_to_a_page_that_is_never_acknowledged_ends_the_call() {
    let (mut alone, early, invite) = called();
    alone.switch_sends(KEY, &prack(&early, 2));
    alone.carrier_sends(&answer(&invite, 200));
    let sent = heads(&alone.run(32_000));
    assert_eq!(sent[..10], ["200 INVITE"; 10]);
    assert_eq!((&sent[10..], head(alone.carrier_has()).as_str()), (&["BYE".to_owned()][..], "BYE"));
}

#[test]
fn a_prack_that_is_rejected_is_sent_again_with_the_next_retransmission() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    let early = answer_as("theirs", &invite, 183, &[("Require", "100rel"), ("RSeq", "7")], true);
    world.hear(FIRST, &early);
    let prack = world.expect("PRACK");
    world.hear(FIRST, &answer(&prack, 500));
    world.hear(FIRST, &early);
    let prack = world.expect("PRACK");
    assert_eq!((field(&prack, "rack").as_str(), field(&prack, "cseq").as_str()), ("7 1 INVITE", "3 PRACK"));
    world.hear(FIRST, &answer(&prack, 200));
    world.hear(FIRST, &early);
    world.silent();
}

#[test]
fn provisional_responses_are_acknowledged_in_order() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    let ringing = |rseq: &str| answer_as("theirs", &invite, 180, &[("Require", "100rel"), ("RSeq", rseq)], false);
    world.hear(FIRST, &ringing("7"));
    world.hear(FIRST, &ringing("9"));
    let first = world.expect("PRACK");
    world.silent();
    world.hear(FIRST, &ringing("8"));
    let second = world.expect("PRACK");
    assert_eq!((field(&first, "rack").as_str(), field(&second, "rack").as_str()), ("7 1 INVITE", "8 1 INVITE"));
}
