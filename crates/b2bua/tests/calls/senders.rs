//! Who may send requests in a call: Call-ID, tags and branch are right, but the sender is not.

use offhook_testing::switch::KEY;
use offhook_testing::text::head;
use offhook_trunk::Trunk;

use crate::alone::{Alone, invite_of_page};
use crate::world::{FIRST, SDP, SECOND, World, answer, answer_as, field, talking, trunk, two, within};

/// What may be asked within a call.
const METHODS: [&str; 10] = ["BYE", "INVITE", "UPDATE", "INFO", "PRACK", "OPTIONS", "REFER", "NOTIFY", "MESSAGE", "CANCEL"];

fn body(method: &str) -> Option<(&'static str, &'static str)> {
    match method {
        "INVITE" | "UPDATE" => Some(("application/sdp", SDP)),
        "INFO" => Some(("application/dtmf-relay", "Signal=5\r\nDuration=200\r\n")),
        _ => None,
    }
}

/// What has happened in the call so far: for the B2BUA, the media, the ledger and the page.
fn state(world: &World) -> (usize, usize, Vec<String>, usize) {
    let lines = world.lines("ledger: ").into_iter().map(str::to_owned).collect();
    (world.exchange.b2bua().calls(), world.commands.len(), lines, world.texts.len())
}

/// Each request within the call that `ours` has made, sent by `speaker`, gets 481 and changes nothing.
#[track_caller]
fn rejects_all_from(world: &mut World, speaker: &str, ours: &str) {
    let before = state(world);
    for (number, method) in (20..).zip(METHODS) {
        world.hear(speaker, &within(method, ours, number, "", body(method)));
        world.hear(speaker, &within("ACK", ours, number, "", None));
        let answers: Vec<String> = world.sent.drain(..).map(|(_, text)| head(&text)).filter(|head| head != "100 INVITE").collect();
        // Where nothing is to be taken back, no answer is larger than its request.
        let none = method == "CANCEL" && answers.is_empty();
        assert!(none || answers == [format!("481 {method}")], "{answers:?} {:#?}", world.log);
    }
    assert_eq!(state(world), before, "{:#?}", world.log);
}

#[test]
fn in_a_call_over_a_trunk_another_trunk_is_nobody() {
    let mut world = World::with(two());
    let invite = talking(&mut world);
    rejects_all_from(&mut world, SECOND, &invite);
    world.run(100);
    world.sent.clear();
    assert_eq!(world.app().last(), Some(&"established"));
    world.hear(FIRST, &within("BYE", &invite, 50, "", None));
    world.expect("200 BYE");
    assert_eq!(world.app().last(), Some(&"ended HUNG_UP"));
    world.nothing_left();
}

#[test]
fn in_a_call_from_a_trunk_another_trunk_is_nobody() {
    let mut world = World::with(two());
    let call = invite();
    world.hear(FIRST, &call);
    world.run(500);
    // It rings: it is not the other's to take back, nor are the answers the other's.
    world.sent.clear();
    world.hear(SECOND, &taken_back(&call, "CANCEL"));
    world.hear(SECOND, &call);
    assert!(world.sent.drain(..).all(|(_, text)| head(&text) == "481 CANCEL"), "{:#?}", world.log);
    world.answer(0);
    let (to, ok) = world.sent.pop_front().expect("an answer");
    assert_eq!((to.as_str(), head(&ok).as_str()), (FIRST, "200 INVITE"));
    // The other's ACK stops no 2xx.
    world.hear(SECOND, &within("ACK", &ok, 1, "", None));
    world.run(600);
    world.expect("200 INVITE");
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    world.run(4_000);
    world.silent();
    rejects_all_from(&mut world, SECOND, &ok);
    world.run(100);
    world.sent.clear();
    world.hear(FIRST, &within("BYE", &ok, 50, "", None));
    world.expect("200 BYE");
    world.nothing_left();
}

#[test]
fn a_refusal_is_acknowledged_by_whom_it_is_for() {
    let mut world = World::with(two());
    world.callee = None;
    let call = invite();
    world.hear(FIRST, &call);
    world.expect("100 INVITE");
    let refused = world.expect("404 INVITE");
    let ack = taken_back(&call, "ACK").replace(&field(&call, "to"), &field(&refused, "to"));
    world.hear(SECOND, &ack);
    world.run(600);
    world.expect("404 INVITE");
    world.hear(FIRST, &ack);
    world.run(10_000);
    world.silent();
}

#[test]
fn only_the_trunk_that_was_asked_answers() {
    let mut world = World::with(two());
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer(&invite, 180));
    world.run(100);
    let before = state(&world);
    for from in [SECOND, "203.0.113.1:5060"] {
        for code in [180, 183, 200, 302, 401, 407, 486, 503, 603] {
            world.hear(from, &answer_as("theirs", &invite, code, &[], code < 300));
            world.silent();
        }
    }
    assert_eq!(state(&world), before, "{:#?}", world.log);
    world.hear(FIRST, &answer(&invite, 200));
    world.expect("ACK");
    world.run(100);
    assert_eq!(world.app(), ["progressing", "established"]);
    // The end, too, is not answered by the other.
    world.hang_up(0);
    let bye = world.expect("BYE");
    world.hear(SECOND, &answer(&bye, 200));
    world.run(600);
    world.expect("BYE");
    world.hear(FIRST, &answer(&bye, 200));
    world.nothing_left();
}

#[test]
fn what_was_said_by_a_trunk_that_was_given_up_does_not_count() {
    let mut world = World::with(two());
    world.phone("+46701234567");
    let first = world.expect("INVITE");
    world.hear(FIRST, &answer_as("theirs", &first, 183, &[], true));
    world.hear(FIRST, &answer(&first, 503));
    world.expect("ACK");
    let second = world.expect("INVITE");
    world.hear(SECOND, &answer(&second, 200));
    world.expect("ACK");
    world.run(100);
    rejects_all_from(&mut world, FIRST, &second);
    world.run(100);
    world.sent.clear();
    world.hear(SECOND, &within("BYE", &second, 50, "", None));
    world.expect("200 BYE");
    world.nothing_left();
}

/// Two accounts with one provider send from one place: the call says which of them it is.
#[test]
fn trunks_at_one_address_speak_for_each_other() {
    let mut world = World::with(vec![Trunk { priority: 20, ..trunk("other", FIRST) }, trunk("first", FIRST)]);
    let invite = talking(&mut world);
    world.hear(FIRST, &within("BYE", &invite, 2, "", None));
    world.expect("200 BYE");
    assert_eq!(world.app().last(), Some(&"ended HUNG_UP"));
    world.nothing_left();
}

#[test]
fn a_provider_may_speak_from_all_of_its_networks() {
    let network =
        |name: &str, address: &str| Trunk { from: vec!["192.0.2.0/24".parse().expect("a network")], ..trunk(name, address) };
    let mut world = World::with(vec![network("first", FIRST), Trunk { priority: 20, ..network("second", SECOND) }]);
    let invite = talking(&mut world);
    world.hear(SECOND, &within("BYE", &invite, 2, "", None));
    world.expect("200 BYE");
    world.nothing_left();
}

/// The page's side: the switch knows who speaks.
#[test]
fn another_user_or_application_is_nobody_on_the_side_of_the_page() {
    let mut alone = Alone::new();
    alone.switch_sends(KEY, &invite_of_page(""));
    let ours = alone.carrier_has().to_owned();
    let answered = alone.carrier_sends(&answer(&ours, 200));
    let ok = answered.last().expect("an answer");
    alone.switch_sends(KEY, &within("ACK", ok, 1, "", None));
    let before = (alone.b2bua.calls(), alone.commands, alone.questions);
    assert_eq!(before.0, 1);
    for (number, method) in (90..).zip(METHODS) {
        let mine = within(method, ok, number, "", body(method));
        for (application, text) in
            [("other", mine.clone()), (KEY, mine.replace("sip:alice@", "sip:mallory@").replace("4bKin", "4bKmy"))]
        {
            let answers = [alone.switch_sends(application, &text), alone.switch_sends(application, &text.replace(method, "ACK"))];
            let answers: Vec<String> = answers.iter().flatten().map(|text| head(text)).collect();
            assert_eq!(answers, [format!("481 {method}")], "{method} of {application}");
        }
    }
    assert_eq!((alone.b2bua.calls(), alone.commands, alone.questions), before);
    assert_eq!(head(alone.carrier_has()), "ACK");
    alone.carrier_sends(&within("BYE", &ours, 2, "", None));
    assert_eq!((head(alone.carrier_has()).as_str(), alone.b2bua.calls()), ("200 BYE", 0));
}

#[test]
fn another_application_answers_for_no_page() {
    let mut alone = Alone::new();
    let rung = alone.carrier_sends(&invite());
    let rung = rung.last().expect("it rings");
    let before = (alone.b2bua.calls(), alone.commands, alone.questions);
    for code in [200, 486, 603] {
        let none: [&str; 0] = [];
        assert_eq!(alone.switch_sends("other", &answer_as("theirs", rung, code, &[], code == 200)), none);
    }
    assert_eq!((alone.b2bua.calls(), alone.commands, alone.questions), before);
    let acknowledged = alone.switch_sends(KEY, &answer_as("theirs", rung, 200, &[], true));
    assert_eq!((acknowledged.len(), head(alone.carrier_has()).as_str()), (1, "200 INVITE"));
}

fn invite() -> String {
    format!(
        "INVITE sip:+46401234@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcall\r\nMax-Forwards: 70\r\n\
         From: <sip:+46709999999@192.0.2.1;user=phone>;tag=theirs\r\nTo: <sip:+46401234@198.51.100.1>\r\nCall-ID: incoming\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:theirs@192.0.2.1:5060>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
}

/// The CANCEL or ACK with the branch of an INVITE.
fn taken_back(invite: &str, method: &str) -> String {
    let lines = invite.split("Contact:").next().expect("a Contact").replace("INVITE", method);
    format!("{lines}Content-Length: 0\r\n\r\n")
}
