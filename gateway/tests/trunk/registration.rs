//! Registering with a provider.

use offhook::sip::{Algorithm, Challenge, Name};
use offhook_gateway::config::Trunk;
use offhook_gateway::trunk::Record;

use crate::world::{PROVIDER, World, answer, header, id, provider, read};

fn registering() -> Trunk {
    Trunk { username: "us".into(), password: "secret".into(), register: true, expires: 600, ..provider() }
}

#[test]
fn it_registers_with_its_password_and_again_in_time() {
    let mut world = World::new(vec![registering()]);
    let first = world.expect("REGISTER");
    assert_eq!(read(&first).uri(), Some("sip:192.0.2.1"));
    assert_eq!(header(&first, Name::Contact), "<sip:us@198.51.100.1:5060>");
    let (realm, nonce) = ("p".into(), "n".into());
    let challenge = Challenge { realm, nonce, opaque: None, algorithm: Algorithm::Sha256, qop_auth: true, stale: false }.to_value();
    world.hear(PROVIDER, &answer(&first, 401, &format!("WWW-Authenticate: {challenge}")));
    let second = world.expect("REGISTER");
    assert!(header(&second, Name::Authorization).contains("response="));
    let granted = "Contact: <sip:us@10.0.0.1>;expires=9999, <sip:us@198.51.100.1:5060>;expires=100";
    world.hear(PROVIDER, &answer(&second, 200, granted));
    assert_eq!(world.records, [Record::Registration { trunk: id("provider"), code: 200 }]);
    world.pass(79_999);
    world.nothing_more();
    world.pass(1);
    let third = world.expect("REGISTER");
    assert_eq!(header(&third, Name::CallId), header(&first, Name::CallId));
    assert_eq!(read(&third).cseq().map(|cseq| cseq.number), Ok(3));
    assert!(header(&third, Name::Authorization).contains("nc=00000002"));
}

#[test]
fn a_refusal_is_not_hammered() {
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
