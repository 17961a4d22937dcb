//! Registration with a provider.

use offhook_sip::{Algorithm, Challenge, Name};
use offhook_testing::log::{LevelFilter, Log};
use offhook_trunk::Trunk;

use crate::world::{PROVIDER, World, answer, header, provider, read};

fn registering() -> Trunk {
    Trunk { username: "us".into(), password: "secret".into(), register: true, expires: 600, ..provider() }
}

#[test]
fn it_registers_with_its_password_and_again_in_time() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new(vec![registering()]);
    let first = world.expect("REGISTER");
    assert_eq!(read(&first).uri(), Some("sip:192.0.2.1"));
    assert_eq!(header(&first, Name::Contact), "<sip:us@198.51.100.1:5060>");
    assert_eq!(header(&first, Name::MaxForwards), "70");
    world.hear(PROVIDER, &answer(&first, 401, &format!("WWW-Authenticate: {}", challenge("n", false))));
    let second = world.expect("REGISTER");
    assert!(header(&second, Name::Authorization).contains("response="));
    let granted = "Contact: <sip:us@10.0.0.1>;expires=9999, <sip:@>;expires=1, no address, <sip:us@198.51.100.1:5060>;expires=100";
    world.hear(PROVIDER, &answer(&second, 200, granted));
    log.says("INFO registered with the provider trunk=provider seconds=100");
    world.pass(79_999);
    world.nothing_more();
    world.pass(1);
    let third = world.expect("REGISTER");
    assert_eq!(header(&third, Name::CallId), header(&first, Name::CallId));
    assert_eq!(read(&third).cseq().map(|cseq| cseq.number), Ok(3));
    assert!(header(&third, Name::Authorization).contains("nc=00000002"));
}

#[test]
fn after_a_rejection_registration_is_retried_slowly() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new(vec![registering()]);
    let mut times = 0;
    for _ in 0..9_000 {
        world.pass(400);
        while let Some((_, register)) = world.sent.pop_front() {
            times += 1;
            world.hear(PROVIDER, &answer(&register, 403, ""));
        }
    }
    assert!((8..=12).contains(&times), "{times} in an hour");
    let lines = log.lines();
    assert!(lines.iter().all(|line| line.starts_with("WARN not registered with the provider trunk=provider code=403 again_in=")));
    assert_eq!(lines.len(), times);
}

#[test]
fn it_waits_as_long_as_it_is_told_and_asks_for_as_long_as_it_must() {
    let mut world = World::new(vec![registering()]);
    let register = world.expect("REGISTER");
    world.hear(PROVIDER, &answer(&register, 503, "Retry-After: 60"));
    world.pass(59_999);
    world.nothing_more();
    world.pass(6_002);
    let register = world.expect("REGISTER");
    world.sent.clear();
    world.hear(PROVIDER, &answer(&register, 423, "Min-Expires: 1800"));
    world.pass(1);
    let register = world.expect("REGISTER");
    assert_eq!(header(&register, Name::Expires), "1800");
}

/// Returns a world that is registered and knows the nonce.
fn registered() -> (World, String) {
    let mut world = World::new(vec![registering()]);
    let first = world.expect("REGISTER");
    world.hear(PROVIDER, &answer(&first, 401, &format!("WWW-Authenticate: {}", challenge("n", false))));
    let second = world.expect("REGISTER");
    world.hear(PROVIDER, &answer(&second, 200, "Contact: <sip:us@198.51.100.1:5060>;expires=600"));
    (world, second)
}

fn challenge(nonce: &str, stale: bool) -> String {
    let (realm, nonce) = ("p".into(), nonce.into());
    Challenge { realm, nonce, opaque: None, algorithm: Algorithm::Sha256, qop_auth: true, stale }.to_value()
}

fn leave(world: &mut World) {
    let now = world.now;
    world.trunks.leave(now);
    world.drain();
}

#[test]
fn the_registration_is_removed_at_the_end() {
    let log = Log::start(LevelFilter::INFO);
    for stale in [false, true] {
        let (mut world, before) = registered();
        leave(&mut world);
        let mut last = world.expect("REGISTER");
        assert_eq!((header(&last, Name::Expires).as_str(), header(&last, Name::Contact)), ("0", header(&before, Name::Contact)));
        assert_eq!(header(&last, Name::CallId), header(&before, Name::CallId));
        assert!(header(&last, Name::Authorization).contains("nc=00000002"), "with the nonce that is known");
        if stale {
            world.hear(PROVIDER, &answer(&last, 401, &format!("WWW-Authenticate: {}", challenge("other", true))));
            last = world.expect("REGISTER");
            assert!(header(&last, Name::Authorization).contains("nonce=\"other\""));
        }
        assert!(!world.trunks.is_quiet());
        world.hear(PROVIDER, &answer(&last, 200, ""));
        assert!(world.trunks.is_quiet());
        assert_eq!(log.take().last().unwrap(), "INFO the registration with the provider is taken back trunk=provider");
        world.pass(1_000_000);
        world.nothing_more();
        assert_eq!(world.trunks.footprint(), 0);
    }
}

#[test]
fn the_end_waits_two_seconds_for_a_registrar_that_is_silent() {
    let log = Log::start(LevelFilter::INFO);
    let (mut world, _) = registered();
    leave(&mut world);
    world.pass(1_999);
    assert!(!world.trunks.is_quiet());
    world.pass(1);
    assert!(world.trunks.is_quiet());
    let lapses = "WARN the registration with the provider could not be taken back: it lapses by itself trunk=provider code=408";
    assert_eq!(log.take().last().unwrap(), lapses);
}

#[test]
fn only_a_possible_registration_is_removed() {
    let mut world = World::new(vec![registering()]);
    let register = world.expect("REGISTER");
    world.hear(PROVIDER, &answer(&register, 403, ""));
    leave(&mut world);
    world.nothing_more();
    assert!(world.trunks.is_quiet());

    let mut world = World::new(vec![registering()]);
    let under_way = world.expect("REGISTER");
    leave(&mut world);
    let last = world.expect("REGISTER");
    assert_eq!(header(&last, Name::Expires), "0");
    assert!(read(&last).cseq().expect("CSeq").number > read(&under_way).cseq().expect("CSeq").number);
    world.hear(PROVIDER, &answer(&under_way, 200, ""));
    assert!(!world.trunks.is_quiet(), "that answer is of no interest any more");
    world.hear(PROVIDER, &answer(&last, 200, ""));
    assert!(world.trunks.is_quiet());
}
