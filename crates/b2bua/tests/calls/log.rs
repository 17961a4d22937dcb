//! What an operator reads of calls to and from the outside: each is followed by one Call-ID through switch, back-to-back user agent and trunk.

use std::time::Duration;

use offhook_b2bua::Emergency;
use offhook_ledger::{Grant, Refused};
use offhook_media::{Event, Leg};
use offhook_testing::log::{LevelFilter, Log};

use crate::incoming::invite;
use crate::world::{FIRST, SDP, SECOND, World, answer, field, talking, two, within};

const NUMBER: &str = "+46701234567";

/// The lines with the Call-IDs, which are random, in words.
fn told(log: &Log, ids: &[(&str, &str)]) -> Vec<String> {
    let named = |line: String| ids.iter().fold(line, |line, (id, word)| line.replace(id, word));
    log.take().into_iter().map(named).collect()
}

#[track_caller]
fn says(lines: &[String], expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(lines, expected, "{lines:#?}");
}

/// Alice calls a number: the first trunk is out of service, the second takes the call, and ends it after 35 seconds. Gives the Call-IDs of
/// the page, of the first trunk and of the second.
fn failed_over(world: &mut World) -> [String; 3] {
    world.grant = Ok(Grant { paid: Some(Duration::from_secs(60)), more: false, caller_id: Some("+46401234".into()) });
    world.phone(NUMBER);
    let refused = world.expect("INVITE");
    world.hear(FIRST, &answer(&refused, 503).replace("Service Unavailable", "No way to +46701234567"));
    world.expect("ACK");
    let invite = world.expect("INVITE");
    world.hear(SECOND, &answer(&invite, 180));
    world.hear(SECOND, &answer(&invite, 200));
    world.expect("ACK");
    world.run(35_000);
    world.hear(SECOND, &within("BYE", &invite, 2, "", None));
    [field(world.text("200 INVITE"), "call-id"), field(&refused, "call-id"), field(&invite, "call-id")]
}

#[test]
fn a_call_of_a_page_is_followed_to_the_trunk_by_one_id() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::with(two());
    log.take();
    let [page, first, second] = failed_over(&mut world);
    let lines = told(&log, &[(&page, "PAGE"), (&first, "ONE"), (&second, "TWO")]);
    says(
        &lines,
        "INFO call started call=PAGE application=demo from=a…e to=+4…67 conn=1
         INFO dialled call=PAGE trunk_call=ONE application=demo user=a…e trunk=first to=+4…67
         INFO not taken: the next trunk call=PAGE trunk_call=ONE trunk=first code=503 reason=Service Unavailable
         INFO dialled call=PAGE trunk_call=TWO application=demo user=a…e trunk=second to=+4…67
         INFO call answered call=PAGE application=demo
         INFO low credit call=PAGE application=demo user=a…e milliseconds=30000
         INFO outside call ended call=PAGE trunk_call=TWO application=demo user=a…e trunk=second cause=callee hung up code=200 duration=35000
         INFO call ended call=PAGE application=demo cause=completed by=callee code=200 duration=35000",
    );
}

#[test]
fn the_decisions_inside_are_told_at_debug() {
    let log = Log::start(LevelFilter::DEBUG);
    let mut world = World::with(two());
    log.take();
    let [page, first, second] = failed_over(&mut world);
    let ours = |line: &String| !line.contains(" conn=1") && !line.contains("a request is sent");
    let lines: Vec<String> = told(&log, &[(&page, "PAGE"), (&first, "ONE"), (&second, "TWO")]).into_iter().filter(ours).collect();
    says(
        &lines,
        "DEBUG it leaves for the outside call=PAGE
         DEBUG the ledger is asked call=PAGE application=demo user=alice kind=Phone to=+46701234567
         DEBUG the ledger has reserved it call=PAGE paid=60000 more=false shown=+46401234
         DEBUG routes call=PAGE trunks=[\"first\", \"second\"]
         INFO dialled call=PAGE trunk_call=ONE application=demo user=alice trunk=first to=+46701234567
         DEBUG an address of the trunk says 503 call=ONE trunk=first from=192.0.2.1:5060 more=false
         DEBUG the INVITE was rejected call=PAGE side=trunk code=503 words=No way to +46701234567
         INFO not taken: the next trunk call=PAGE trunk_call=ONE trunk=first code=503 reason=Service Unavailable
         INFO dialled call=PAGE trunk_call=TWO application=demo user=alice trunk=second to=+46701234567
         DEBUG ringing call=PAGE trunk_call=TWO side=trunk code=180 early=false
         DEBUG answered call=PAGE trunk_call=TWO side=trunk
         INFO call answered call=PAGE application=demo
         INFO low credit call=PAGE application=demo user=alice milliseconds=30000
         DEBUG the reservation is closed call=PAGE
         INFO outside call ended call=PAGE trunk_call=TWO application=demo user=alice trunk=second cause=callee hung up code=200 duration=35000
         INFO call ended call=PAGE application=demo cause=completed by=callee code=200 duration=35000",
    );
}

#[test]
fn a_call_from_outside_has_one_id_inside_and_that_of_the_trunk() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    log.take();
    world.hear(FIRST, &invite("", SDP));
    world.run(1_000);
    world.answer(0);
    let ok = world.sent.pop_back().expect("200").1;
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    world.run(5_000);
    world.hang_up(0);
    let page = field(world.text("INVITE"), "call-id");
    let lines = told(&log, &[(&page, "PAGE")]);
    says(
        &lines,
        "INFO called from outside call=PAGE trunk_call=incoming trunk=first from=+4…99 to=+4…34
         INFO call started call=PAGE application=demo from=+4…99 to=a…e
         INFO call answered call=PAGE application=demo conn=1
         INFO call ended call=PAGE application=demo cause=completed by=callee code=200 duration=5050
         INFO outside call ended call=PAGE trunk_call=incoming application=demo user=a…e trunk=first cause=callee hung up code=200 duration=5050",
    );
}

#[test]
fn who_may_not_call_is_told_and_why() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    log.take();
    world.grant = Err(Refused::NoCredit);
    world.phone(NUMBER);
    let paid = field(world.text("402 INVITE"), "call-id");
    world.dial("sip:0701234567@calls.example;user=phone");
    let number = field(world.text("400 INVITE"), "call-id");
    let lines = told(&log, &[(&paid, "ONE"), (&number, "TWO")]);
    says(
        &lines,
        "INFO call started call=ONE application=demo from=a…e to=+4…67 conn=1
         INFO outside call ended call=ONE application=demo user=a…e cause=no credit code=402 reason=Not enough credit duration=0
         INFO call ended call=ONE application=demo cause=failed code=402
         INFO call started call=TWO application=demo from=a…e to=07…67 conn=1
         INFO outside call refused call=TWO application=demo user=a…e to=07…67 code=400 reason=A phone number begins with + and the country code, as +14155550101 does
         INFO call ended call=TWO application=demo cause=failed code=400",
    );
}

#[test]
fn no_line_has_a_secret_nor_at_info_a_number() {
    let log = Log::start(LevelFilter::TRACE);
    let mut world = World::new();
    let invite = talking(&mut world);
    let session = world.session();
    // What is pressed may be somebody's PIN.
    world.media(Event::Digit { session, leg: Leg::Page, digit: '7', duration: 100 });
    world.hear(FIRST, &within("INFO", &invite, 2, "", Some(("application/dtmf-relay", "Signal=8\r\nDuration=77\r\n"))));
    world.hang_up(0);
    let line =
        format!("TRACE sent by={FIRST} line=INVITE sip:{NUMBER}@192.0.2.1;user=phone SIP/2.0 call={}", field(&invite, "call-id"));
    assert!(log.lines().contains(&line), "{:#?}", log.lines());
    let password = "0123456789012345678901";
    assert!(world.texts.iter().any(|text| text.contains(&format!("ice-pwd:{password}"))), "the test would see it");
    log.never_says(&[password, "ice-", "fingerprint", "m=audio", "Bearer", "Signal=", "digit=", "Digit"]);
    drop(log);

    let log = Log::start(LevelFilter::INFO);
    for act in
        [|world: &mut World| drop(failed_over(world)), |world: &mut World| world.hear(FIRST, &crate::incoming::invite("", SDP))]
    {
        act(&mut World::with(two()));
    }
    log.never_says(&["4670123", "4640123", "4670999", "alice"]);
}

#[test]
fn a_call_for_help_that_the_ledger_would_refuse_says_so_and_one_without_a_trunk_why() {
    let log = Log::start(LevelFilter::INFO);
    let mut helped = World::of(two(), &[], Emergency { trunk: "second".into(), ..Emergency::default() }, "alice");
    helped.grant = Err(Refused::NoCredit);
    log.take();
    helped.phone("112");
    let invite = helped.expect("INVITE");
    helped.hear(SECOND, &answer(&invite, 486));
    let page = field(helped.text("486 INVITE"), "call-id");
    says(
        &told(&log, &[(&page, "PAGE"), (&field(&invite, "call-id"), "TRUNK")]),
        "INFO call started call=PAGE application=demo from=a…e to=1…2 conn=1
         INFO the ledger refuses: an emergency call goes on call=PAGE reason=no credit
         INFO dialled call=PAGE trunk_call=TRUNK application=demo user=a…e trunk=second to=1…2
         INFO outside call ended call=PAGE trunk_call=TRUNK application=demo user=a…e trunk=second cause=busy code=486 reason=Busy Here duration=0
         INFO call ended call=PAGE application=demo cause=busy code=486",
    );
    let mut alone = World::of(two(), &[], Emergency::default(), "alice");
    log.take();
    alone.phone("112");
    let page = field(alone.text("403 INVITE"), "call-id");
    says(
        &told(&log, &[(&page, "PAGE")]),
        "INFO call started call=PAGE application=demo from=a…e to=1…2 conn=1
         INFO outside call ended call=PAGE application=demo user=a…e cause=no emergency trunk code=403 reason=Emergency calls are not possible here: use a telephone duration=0
         INFO call ended call=PAGE application=demo cause=failed code=403",
    );
}
