//! Calls for help: where they go, past what, and what happens where they go nowhere.

use offhook::client::call::Destination;
use offhook_b2bua::Emergency;
use offhook_b2bua::exchange::Input;
use offhook_ledger::{Grant, Refused};
use offhook_proxy as switch;
use offhook_testing::switch::DOMAIN;
use offhook_trunk::Trunk;

use crate::world::{FIRST, SECOND, World, answer, field, read, trunk};

fn help(trunk: &str) -> Emergency {
    Emergency { trunk: trunk.into(), numbers: vec!["112".into(), "911".into()] }
}

/// The provider has all numbers; help is elsewhere.
fn trunks() -> Vec<Trunk> {
    vec![trunk("provider", FIRST), Trunk { prefixes: Vec::new(), domains: Vec::new(), ..trunk("help", SECOND) }]
}

fn world() -> World {
    World::of(trunks(), &[], help("help"), "alice")
}

#[track_caller]
fn helped(world: &mut World, number: &str) -> String {
    let (to, _) = world.sent.front().unwrap_or_else(|| panic!("nobody was called: {:#?}", world.log)).clone();
    assert_eq!(to, SECOND);
    let invite = world.expect("INVITE");
    assert_eq!(read(&invite).uri(), Some(&*format!("sip:{number}@192.0.2.2;user=phone")));
    invite
}

#[test]
fn an_emergency_number_goes_to_the_trunk_that_is_named() {
    let mut world = world();
    world.phone("112");
    let invite = helped(&mut world, "112");
    assert!(field(&invite, "from").starts_with(&format!("<sip:+46401234@{DOMAIN};user=phone>;")), "{invite}");
    world.hear(SECOND, &answer(&invite, 180));
    world.hear(SECOND, &answer(&invite, 200));
    world.expect("ACK");
    world.run(600_000);
    assert_eq!(world.app(), ["progressing", "established"]);
    world.hang_up(0);
    let bye = world.expect("BYE");
    world.hear(SECOND, &answer(&bye, 200));
    assert_eq!(world.lines("ledger: "), ["Emergency 112", "connected", "caller hung up 200"]);
}

#[test]
fn it_is_one_however_it_is_dialled() {
    for uri in [
        format!("sip:911@{DOMAIN};user=phone"),
        format!("sip:911@{DOMAIN}"),
        "sip:911@localhost".into(),
        "sip:911@example.com".into(),
        "sip:9%311@example.com;user=Phone".into(),
        format!("sip:9-1.1@{DOMAIN};user=phone"),
        format!("sip:(9)11@{DOMAIN}"),
        format!("sip:911;phone-context=+46@{DOMAIN};user=phone"),
        "sip:9-11;phone-context=example.com@example.com".into(),
    ] {
        let mut world = world();
        world.dial(&uri);
        helped(&mut world, "911");
        assert_eq!(world.lines("ledger: "), ["Emergency 911"], "{uri}");
    }
}

#[test]
fn where_no_trunk_is_named_it_is_refused_and_never_dialled() {
    for uri in [format!("sip:112@{DOMAIN};user=phone"), format!("sip:112@{DOMAIN}"), "sip:112@example.com".into()] {
        let mut world = World::of(trunks(), &[], help(""), "alice");
        world.dial(&uri);
        world.silent();
        let error = "40310 Emergency calls are not possible here: use a telephone";
        assert_eq!(field(world.text("403 INVITE"), "x-error"), error, "{uri}");
        assert_eq!(world.lines("ledger: "), ["Emergency 112", "no emergency trunk 403"], "it is recorded");
        assert_eq!(world.app(), ["ended FAILURE"]);
        world.run(70_000);
        assert_eq!(
            (world.exchange.b2bua().calls(), world.exchange.b2bua().footprint(), world.exchange.switch().calls()),
            (0, 0, 0)
        );
    }
    let mut world = World::of(Vec::new(), &[], help(""), "alice");
    world.phone("112");
    assert!(field(world.text("403 INVITE"), "x-error").starts_with("40310 "), "also without any trunk");
}

#[test]
fn neither_credit_nor_a_broken_ledger_is_in_its_way() {
    for refused in [Refused::NoCredit, Refused::SpendCap, Refused::TooManyCalls, Refused::Store] {
        let mut world = world();
        world.grant = Err(refused);
        world.phone("112");
        let invite = helped(&mut world, "112");
        assert!(field(&invite, "from").starts_with("\"Anonymous\""), "{invite}");
    }
    let mut world = world();
    world.ledger_down = true;
    world.phone("112");
    world.silent();
    world.run(1_000);
    helped(&mut world, "112");
}

#[test]
fn the_callers_number_keeps_to_the_rule_of_the_trunk() {
    let mut only = trunks();
    only[1].caller_ids = vec!["+4681".into()];
    let mut world = World::of(only, &[], help("help"), "alice");
    world.grant = Ok(Grant { paid: None, more: false, caller_id: Some("+46401234".into()) });
    world.phone("112");
    assert!(field(&helped(&mut world, "112"), "from").starts_with("\"Anonymous\""));
}

#[test]
fn neither_limits_nor_a_drain_nor_overload_are_in_its_way() {
    // The trunk has as many calls as it may, and so has the user, and so has the gateway.
    let mut full = trunks();
    full[0].prefixes = vec!["+".into()];
    full[1].calls = 0;
    let mut world = World::of(full, &[], help("help"), "alice");
    for _ in 0..10 {
        world.phone("+46701234567");
        let invite = world.expect("INVITE");
        world.hear(FIRST, &answer(&invite, 180));
    }
    assert_eq!(world.exchange.b2bua().calls(), 10);
    world.phone("+46701234567");
    world.silent();
    for call in 0..4 {
        world.phone("112");
        let invite = helped(&mut world, "112");
        world.hear(SECOND, &answer(&invite, 180));
        assert_eq!(world.exchange.b2bua().calls(), 11 + call);
    }
    world.phone("112");
    world.silent();
    assert_eq!(field(world.text("403 INVITE"), "x-error"), "40300 Too many calls at once", "nobody needs help so often");

    let mut world = self::world();
    world.handle(Input::Drain);
    world.handle(Input::Switch(switch::Input::Overloaded(true)));
    world.phone("+46701234567");
    world.silent();
    world.phone("112");
    helped(&mut world, "112");
}

#[test]
fn a_trunk_that_is_silent_is_asked_all_the_same() {
    let mut world = world();
    for _ in 0..4 {
        world.phone("112");
        let invite = helped(&mut world, "112");
        world.hear(SECOND, &answer(&invite, 503));
        world.expect("ACK");
    }
    assert_eq!(world.app(), ["ended FAILURE"; 4]);
}

#[test]
fn other_short_numbers_are_none() {
    for number in ["113", "1122"] {
        let mut world = world();
        world.phone(number);
        world.silent();
        assert!(field(world.text("400 INVITE"), "x-error").starts_with("40001 "));
    }
    let mut world = world();
    world.open_page("1122");
    world.run(1_000);
    world.call(Destination::User("1122".into()));
    assert_eq!(world.pages[1].told, ["incoming from alice"], "a user may be called so");
}
