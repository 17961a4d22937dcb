//! How a call ended: the ledger, the page and the carrier hear the same.

use offhook_b2bua::exchange::Input;
use offhook_media::{Event, Leg};
use offhook_testing::log::{LevelFilter, Log};
use offhook_testing::text::head;

use crate::world::{FIRST, World, answer, field, talking, within};

/// What the page's app was told last, with the code of its error; what the ledger and the log were told.
fn told(world: &World, log: &Log) -> (String, Option<i32>, String) {
    let info = world.pages[0].last.as_ref().expect("an ended call");
    let ledger = (*world.lines("ledger: ").last().expect("a call")).to_owned();
    let logged: Vec<String> = log.take().into_iter().filter(|line| line.starts_with("INFO outside call ended ")).collect();
    let (cause, code) = ledger.rsplit_once(' ').expect("a cause and a code");
    assert!(logged.len() == 1 && logged[0].contains(&format!(" cause={cause} code={code} ")), "{ledger}: {logged:?}");
    (info.end_cause.as_str().into(), info.error.as_ref().map(offhook::client::call::Error::code), ledger)
}

fn ended(cause: &str, error: Option<i32>, ledger: &str) -> (String, Option<i32>, String) {
    (cause.into(), error, ledger.into())
}

#[test]
fn who_hangs_up_is_told() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    talking(&mut world);
    world.hang_up(0);
    let bye = world.expect("BYE");
    assert_eq!(field(&bye, "reason"), "");
    world.hear(FIRST, &answer(&bye, 200));
    assert_eq!(told(&world, &log), ended("HUNG_UP", None, "caller hung up 200"));
    world.nothing_left();

    let mut world = World::new();
    let invite = talking(&mut world);
    world.hear(FIRST, &within("BYE", &invite, 2, "Reason: Q.850;cause=16\r\nX-Error: 40200 a lie\r\n", None));
    assert_eq!((field(world.text("BYE"), "reason"), field(world.text("BYE"), "x-error")), ("Q.850;cause=16".into(), String::new()));
    assert_eq!(told(&world, &log), ended("HUNG_UP", None, "callee hung up 200"));
    world.nothing_left();
}

#[test]
fn a_side_that_vanishes_is_named_to_both() {
    let log = Log::start(LevelFilter::INFO);
    for (leg, ledger, why) in [
        (Leg::Peer, "callee silent 408", "No media from the phone"),
        (Leg::Page, "caller lost 408", "No sign of life from the caller"),
    ] {
        let mut world = World::new();
        talking(&mut world);
        let session = world.session();
        world.media(Event::Silent { session, leg });
        let bye = world.expect("BYE");
        let told_page = world.text("BYE");
        assert_eq!(field(&bye, "reason"), format!("SIP;cause=408;text=\"{why}\""), "{bye}");
        assert_eq!(field(told_page, "reason"), field(&bye, "reason"));
        assert_eq!(field(told_page, "x-error"), format!("40800 {why}"));
        assert_eq!(field(&bye, "x-error"), "", "the code is the page's");
        assert_eq!(told(&world, &log), ended("FAILURE", Some(40_800), ledger));
        world.hear(FIRST, &answer(&bye, 200));
        world.nothing_left();
    }
}

#[test]
fn a_gateway_that_stops_ends_what_runs_and_what_rings() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    talking(&mut world);
    world.handle(Input::Stop);
    world.run(10);
    let bye = world.expect("BYE");
    assert!(field(&bye, "reason").starts_with("SIP;cause=503"), "{bye}");
    assert_eq!(told(&world, &log), ended("FAILURE", Some(50_300), "gateway going down 503"));
    assert!(!world.exchange.is_quiet(), "it waits for the carrier");
    world.hear(FIRST, &answer(&bye, 200));
    assert!(world.exchange.is_quiet());
    world.nothing_left();

    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer(&invite, 180));
    world.handle(Input::Stop);
    world.run(10);
    let cancel = world.expect("CANCEL");
    assert!(field(&cancel, "reason").starts_with("SIP;cause=503"), "{cancel}");
    assert_eq!(told(&world, &log), ended("FAILURE", Some(50300), "gateway going down 503"));
    world.hear(FIRST, &answer(&cancel, 200));
    world.hear(FIRST, &answer(&invite, 487));
    world.expect("ACK");
    assert!(world.exchange.is_quiet());
    world.phone("+46701234567");
    assert_eq!(head(world.text("503 INVITE")), "503 INVITE", "nothing new is begun");
    world.nothing_left();
}
