//! The log of trunks: a registration, a call that goes over to another address, and rejections.

use offhook_access::proofs::Proofs;
use offhook_sip::{Algorithm, Challenge, Method, Name, ha1, strongest};
use offhook_testing::log::{LevelFilter, Log};
use offhook_trunk::{Settings, Trunk};

use crate::world::{PROVIDER, World, answer, foreign, header, provider, read, request, settings};

const PASSWORD: &str = "canary-of-password";
const FROM_PASSWORD: &str = "canary-of-from-password";

fn named() -> Trunk {
    let (username, password) = ("us".into(), PASSWORD.into());
    Trunk { address: "sip.provider.example".into(), username, password, register: true, expires: 600, ..provider() }
}

fn challenge(nonce: &str) -> String {
    let (realm, nonce) = ("p".into(), nonce.into());
    let challenge = Challenge { realm, nonce, opaque: None, algorithm: Algorithm::Sha256, qop_auth: true, stale: false };
    format!("WWW-Authenticate: {}", challenge.to_value())
}

/// Registers, and calls by the second address, as the first is out of service; returns the last request, which has credentials.
fn busy_day(world: &mut World) -> String {
    world.resolve(&["192.0.2.1:5060", "192.0.2.2:5060"]);
    let register = world.expect("REGISTER");
    world.hear(PROVIDER, &answer(&register, 401, &challenge("nonce-one")));
    let register = world.expect("REGISTER");
    world.hear(PROVIDER, &answer(&register, 200, "Contact: <sip:us@198.51.100.1:5060>;expires=600"));
    world.ask(&request("INVITE", "call-one", ""));
    let invite = world.expect("INVITE");
    world.hear(PROVIDER, &answer(&invite, 503, ""));
    world.expect("ACK");
    let invite = world.expect("INVITE");
    world.hear("192.0.2.2:5060", &answer(&invite, 401, &challenge("nonce-two")));
    world.expect("ACK");
    let invite = world.expect("INVITE");
    world.hear("192.0.2.2:5060", &answer(&invite, 401, &challenge("nonce-three")));
    assert_eq!(world.event().as_deref(), Some("401"));
    invite
}

#[test]
fn a_registration_and_a_call_are_followed_by_the_call_id() {
    let log = Log::start(LevelFilter::DEBUG);
    let mut world = World::new(vec![named()]);
    let invite = busy_day(&mut world);
    let register = read(&invite).uri().expect("a request").to_owned();
    assert_eq!(register, "sip:+4670@192.0.2.1");
    let registration = log.lines().iter().find_map(|line| Some(line.split("call=").nth(1)?.split(' ').next()?.to_owned()));
    let registration = registration.expect("a Call-ID");
    log.says(&format!(
        "INFO the trunk was looked up trunk=provider addresses=[192.0.2.1:5060, 192.0.2.2:5060]
         DEBUG a request is sent call={registration} trunk=provider method=REGISTER to=192.0.2.1:5060 wire=Udp credentials=false
         DEBUG a request is sent call={registration} trunk=provider method=REGISTER to=192.0.2.1:5060 wire=Udp credentials=true
         INFO registered with the provider trunk=provider seconds=600
         DEBUG a request is sent call=call-one trunk=provider method=INVITE to=192.0.2.1:5060 wire=Udp credentials=false
         DEBUG an address of the trunk says 503 call=call-one trunk=provider from=192.0.2.1:5060 more=true
         DEBUG a request is sent call=call-one trunk=provider method=INVITE to=192.0.2.2:5060 wire=Udp credentials=false
         DEBUG a request is sent call=call-one trunk=provider method=INVITE to=192.0.2.2:5060 wire=Udp credentials=true
         WARN the trunk does not take our credentials call=call-one trunk=provider code=401"
    ));
}

/// A trunk fails to authenticate until its credentials are no longer verified; then an untrusted source sends a request.
fn refusals(world: &mut World) -> String {
    world.hear(PROVIDER, &foreign("INVITE", "call-two", ""));
    let asked = world.expect("401");
    let values: Vec<String> = read(&asked).values(Name::WwwAuthenticate).map(str::to_owned).collect();
    let asked = strongest(values.iter().map(String::as_str)).expect("a challenge");
    let mut last = String::new();
    for (password, count) in [("guess", 1), (FROM_PASSWORD, 2)] {
        let secret = ha1(asked.algorithm, "them", &asked.realm, password);
        let shown = asked.answer("them", &secret, Method::Invite, "sip:+4640@198.51.100.1", "cnonce", count);
        last = foreign("INVITE", &format!("call-{count}"), &format!("Authorization: {shown}\r\n"));
        world.hear(PROVIDER, &last);
    }
    world.expect("401");
    world.expect("503");
    world.pass(1_000);
    world.hear("192.0.2.66:5060", &foreign("INVITE", "call-three", ""));
    world.nothing_more();
    last
}

fn proving() -> World {
    let trunk = Trunk { from_username: "them".into(), from_password: FROM_PASSWORD.into(), ..provider() };
    World::with(Settings { proofs: Proofs::new(1, 100), ..settings(vec![trunk]) })
}

#[test]
fn rejections_are_logged_with_their_reason() {
    let log = Log::start(LevelFilter::DEBUG);
    refusals(&mut proving());
    log.says(
        "DEBUG wrong credentials call=call-1 trunk=provider address=192.0.2.1:5060
         INFO not a trunk peer=192.0.2.1:5060 what=credentials
         DEBUG refused: too many failed proofs of identity call=call-2 trunk=provider address=192.0.2.1:5060 seconds=60
         INFO not a trunk peer=192.0.2.66:5060 what=method",
    );
}

#[test]
fn no_line_has_a_secret_nor_at_info_a_number() {
    let log = Log::start(LevelFilter::TRACE);
    let (ours, theirs) = (busy_day(&mut World::new(vec![named()])), refusals(&mut proving()));
    let mut secrets = vec![PASSWORD.to_owned(), FROM_PASSWORD.to_owned(), "nonce-one".into(), "nonce-two".into(), "cnonce".into()];
    for text in [&ours, &theirs] {
        let shown = header(text, Name::Authorization);
        let response = shown.split("response=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a response");
        secrets.extend([response.to_owned(), shown]);
    }
    log.never_says(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(log.lines().iter().any(|line| line == "TRACE received by=192.0.2.2:5060 line=SIP/2.0 401 Unauthorized call=call-one"));
    drop(log);

    let log = Log::start(LevelFilter::INFO);
    busy_day(&mut World::new(vec![named()]));
    refusals(&mut proving());
    log.never_says(&["4670", "4640"]);
}

#[test]
fn an_unanswered_call_is_logged_at_the_end_of_its_transaction() {
    let log = Log::start(LevelFilter::DEBUG);
    let mut world = World::new(vec![provider()]);
    let key = world.ask(&request("INVITE", "call-four", ""));
    world.trunks.persist(&key);
    world.pass(32_000);
    assert_eq!(world.event().as_deref(), Some("failed 408"));
    log.says(
        "DEBUG a request is sent call=call-four trunk=provider method=INVITE to=192.0.2.1:5060 wire=Udp credentials=false
         DEBUG no final answer in time call=call-four method=INVITE",
    );
}
