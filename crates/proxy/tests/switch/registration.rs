//! Registering devices.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_sip::{Name, parse};
use offhook_testing::log::{LevelFilter, Log};
use sha1::Sha1;

use offhook_testing::text::head;
use offhook_testing::world::{Phone, START, World, code, field, with};

/// Sends a REGISTER with other fields and gives the answer.
fn register(world: &mut World, phone: &mut Phone, change: impl FnOnce(String) -> String) -> String {
    phone.serial += 1;
    let text = change(phone.with_ticket(world, &phone.register_text("")));
    world.send(phone.conn, &text);
    world.one(phone.conn)
}

fn contacts(answer: &str) -> Vec<String> {
    parse(answer.as_bytes()).unwrap().all(Name::Contact).map(str::to_owned).collect()
}

#[test]
fn the_answer_tells_everything_a_device_needs() {
    let mut world = World::new();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let answer = phone.register(&mut world);
    assert_eq!(
        contacts(&answer),
        [
            "<sip:alice@000000000001.invalid;transport=ws>;expires=3600;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";\
          pub-gruu=\"sip:alice@calls.example;gr=urn:uuid:00000000-0000-4000-8000-000000000001\";reg-id=1"
        ]
    );
    assert_eq!(field(&answer, "supported").unwrap(), "path, outbound, gruu");
    assert_eq!(field(&answer, "require").unwrap(), "outbound");
    assert!(field(&answer, "flow-timer").is_some());
    let message = parse(answer.as_bytes()).unwrap();
    let servers: Vec<&str> = message
        .fields()
        .iter()
        .filter(|field| field.raw_name.eq_ignore_ascii_case("x-ice-server"))
        .map(|field| field.value)
        .collect();
    let username = format!("{}:alice", START / 1000 + 600);
    let mut hash = Hmac::<Sha1>::new_from_slice(b"north").unwrap();
    hash.update(username.as_bytes());
    let credential = STANDARD.encode(hash.finalize().into_bytes());
    assert_eq!(servers[0], "<stun:stun.example:3478>");
    assert_eq!(servers[1], format!("<turn:turn.example:3478?transport=udp>;username=\"{username}\";credential=\"{credential}\""));
}

#[test]
fn without_contact_nothing_is_registered() {
    let mut world = World::new();
    let caller = Phone::caller(&mut world, "alice", 1);
    assert_eq!(world.proxy.devices(), 0);
    let bob = Phone::registered(&mut world, "bob", 2);
    caller.call(&mut world, "bob", "c1");
    bob.rung(&mut world);
}

#[test]
fn a_refresh_keeps_one_binding() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    let mut phone = Phone::registered(&mut world, "alice", 1);
    world.wait(1_000_000);
    let answer = register(&mut world, &mut phone, |text| text);
    assert_eq!(contacts(&answer).len(), 1);
    assert!(contacts(&answer)[0].contains("expires=3600"));
    // A refresh is no arrival.
    log.says("INFO registered application=demo user=a…e conn=1");
}

#[test]
fn several_devices_are_all_listed() {
    let mut world = World::new();
    for number in 1..=10 {
        Phone::registered(&mut world, "alice", number);
    }
    assert_eq!(world.proxy.devices(), 10);
    let mut eleventh = Phone::new(&mut world, "alice", 11);
    assert_eq!(code(&register(&mut world, &mut eleventh, |text| text)), 403);
    assert_eq!(world.proxy.devices(), 10);
}

#[test]
fn offline_devices_give_way_to_new_ones() {
    let mut world = World::new();
    let first = Phone::registered(&mut world, "alice", 1);
    for number in 2..=10 {
        Phone::registered(&mut world, "alice", number);
    }
    world.close(first.conn);
    let log = Log::start(LevelFilter::INFO);
    Phone::registered(&mut world, "alice", 11);
    assert_eq!(world.proxy.devices(), 10);
    log.says(
        "INFO unregistered application=demo user=a…e reason=a newer device takes its place
         INFO registered application=demo user=a…e conn=11",
    );
}

#[test]
fn a_registration_runs_out() {
    let log = Log::start(LevelFilter::INFO);
    let mut world = World::new();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let answer = register(&mut world, &mut phone, |text| with(&text, "Expires: 60"));
    assert!(contacts(&answer)[0].contains("expires=60"));
    world.wait(59_999);
    assert_eq!(world.proxy.devices(), 1);
    world.wait(1);
    assert_eq!(world.proxy.devices(), 0);
    log.says(
        "INFO registered application=demo user=a…e conn=1
         INFO unregistered application=demo user=a…e reason=it was not refreshed",
    );
}

#[test]
fn expiry_has_its_limits() {
    let mut world = World::new();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let answer = register(&mut world, &mut phone, |text| with(&text, "Expires: 59"));
    assert_eq!((code(&answer), field(&answer, "min-expires").as_deref()), (423, Some("60")));
    let answer = register(&mut world, &mut phone, |text| with(&text, "Expires: 99999999999"));
    assert!(contacts(&answer)[0].contains("expires=3600"));
    let answer = register(&mut world, &mut phone, |text| text.replace(";reg-id=1", ";reg-id=1;expires=90"));
    assert!(contacts(&answer)[0].contains("expires=90"));
}

#[test]
fn a_device_leaves() {
    let mut world = World::new();
    let mut phone = Phone::registered(&mut world, "alice", 1);
    Phone::registered(&mut world, "alice", 2);
    let answer = register(&mut world, &mut phone, |text| with(&text, "Expires: 0"));
    assert_eq!(contacts(&answer).len(), 1);
    assert_eq!(world.proxy.devices(), 1);
    let star =
        "<sip:alice@000000000001.invalid;transport=ws>;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";reg-id=1";
    let answer = register(&mut world, &mut phone, |text| with(&text, "Expires: 0").replace(star, "*"));
    assert_eq!((code(&answer), contacts(&answer).len()), (200, 0));
    assert_eq!(world.proxy.devices(), 0);
    let answer = register(&mut world, &mut phone, |text| text.replace(star, "*"));
    assert_eq!(code(&answer), 400, "* needs Expires: 0");
}

#[test]
fn nobody_touches_anothers_devices() {
    let mut world = World::new();
    let bob = Phone::registered(&mut world, "bob", 2);
    let mut mallory = Phone::registered(&mut world, "mallory", 9);
    let others = [
        |text: String| text.replace("To: <sip:mallory@", "To: <sip:bob@"),
        |text: String| text.replace("sip:mallory@calls", "sip:bob@calls"),
        |text: String| with(&text.replace("To: <sip:mallory@", "To: <sip:bob@"), "Expires: 0"),
        |text: String| text.replace("From: <sip:mallory@", "From: <sip:bob@"),
    ];
    for change in others {
        assert_eq!(code(&register(&mut world, &mut mallory, change)), 403);
    }
    // In her own name, with his contact and instance: that is a binding of hers.
    let instance = bob.instance.clone();
    let own = mallory.instance.clone();
    register(&mut world, &mut mallory, |text| {
        text.replace(&own, &instance).replace("sip:mallory@000000000009", "sip:bob@000000000002")
    });
    mallory.call(&mut world, "bob", "c1");
    bob.rung(&mut world);
}

#[test]
fn malformed_contacts_change_nothing() {
    let mut world = World::new();
    let mut phone = Phone::registered(&mut world, "alice", 1);
    let contact = phone.contact();
    for bad in ["<tel:+46>", "<http://x>", "<sip:>", "sip:a@b, sip:c@d, sip:e@f, sip:g@h, sip:i@j"] {
        let answer = register(&mut world, &mut phone, |text| text.replace(&contact, bad));
        assert!(matches!(code(&answer), 400 | 403), "{bad}: {answer}");
    }
    let headers = register(&mut world, &mut phone, |text| text.replace(&contact, &contact.replace('>', "?X-A=1>")));
    assert_eq!(code(&headers), 400, "they would get into requests to the device");
    for bad in ["urn:uuid:x\\\"y", "a b", &"x".repeat(200)] {
        let answer = register(&mut world, &mut phone, |text| text.replace("urn:uuid:00000000-0000-4000-8000-000000000001", bad));
        assert_eq!(code(&answer), 400, "{bad}");
    }
    assert_eq!(world.proxy.devices(), 1);
}

#[test]
fn an_old_register_after_a_newer_one_is_refused() {
    let mut world = World::new();
    let mut phone = Phone::new(&mut world, "alice", 1);
    phone.serial = 10;
    phone.register(&mut world);
    phone.serial = 4;
    assert_eq!(code(&register(&mut world, &mut phone, |text| text)), 500);
}

#[test]
fn unknown_extensions_are_named() {
    let mut world = World::new();
    let mut phone = Phone::new(&mut world, "alice", 1);
    let answer = register(&mut world, &mut phone, |text| with(&text, "Require: gruu, telepathy"));
    assert_eq!((code(&answer), field(&answer, "unsupported").as_deref()), (420, Some("telepathy")));
    let answer = register(&mut world, &mut phone, |text| with(&text, "Proxy-Require: foo\r\nRequire: telepathy"));
    assert_eq!((code(&answer), field(&answer, "unsupported").as_deref()), (420, Some("foo")));
}

#[test]
fn a_device_on_a_new_connection_replaces_the_old_one() {
    let mut world = World::new();
    let phone = Phone::registered(&mut world, "alice", 1);
    let mut again = phone.reconnected(&mut world);
    again.register(&mut world);
    assert!(world.closed.contains_key(&phone.conn));
    assert_eq!(world.proxy.devices(), 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    bob.call(&mut world, "alice", "c1");
    again.rung(&mut world);
    assert_eq!(world.heads(phone.conn), [""; 0]);
}

#[test]
fn a_lost_device_does_not_ring_until_it_is_back() {
    let mut world = World::new();
    let phone = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    world.close(phone.conn);
    bob.call(&mut world, "alice", "c1");
    assert_eq!(world.heads(bob.conn), ["100 INVITE"]);
    let mut again = phone.reconnected(&mut world);
    again.register(&mut world);
    let invite = again.rung(&mut world);
    again.answer(&mut world, &invite, 200);
    assert_eq!(world.heads(bob.conn), ["200 INVITE"]);
}

#[test]
fn a_query_lists_without_changing() {
    let mut world = World::new();
    let mut phone = Phone::registered(&mut world, "alice", 1);
    let answer = register(&mut world, &mut phone, |text| text.replace("\r\nContact: ", "\r\nX-None: "));
    assert_eq!((head(&answer).as_str(), contacts(&answer).len()), ("200 REGISTER", 1));
}

/// One REGISTER says what is to be so, and its contacts are no steps (RFC 3261, 10.3; RFC 5626, 6).
#[test]
fn the_order_of_the_contacts_in_a_register_means_nothing() {
    let device = |number: u8, more: &str| format!("<sip:alice@{number}.invalid;transport=ws>;+sip.instance=\"<urn:uuid:a>\"{more}");
    let plain = |number: u8, more: &str| format!("<sip:alice@{number}.invalid;transport=ws>{more}");
    for (contacts, bound) in [
        // A new contact of a device, and its old one.
        ([device(1, ";reg-id=1;expires=0"), device(2, ";reg-id=1"), plain(9, "")], ["2.", "9."].as_slice()),
        ([device(1, ";expires=0"), device(2, ""), device(3, ";expires=0")], &["2."]),
        // Another flow of a device, and one that ends.
        ([device(1, ";reg-id=1;expires=0"), device(2, ";reg-id=2"), plain(9, ";expires=0")], &["2."]),
        // The same contact twice, once without its device.
        ([device(1, ""), plain(1, ";expires=0"), plain(9, "")], &["1.", "9."]),
        ([device(1, ""), plain(1, ""), plain(9, ";expires=0")], &["1."]),
        // Two contacts that want the place of one device.
        ([device(1, ";reg-id=1"), device(2, ";reg-id=1"), plain(9, ";expires=0")], &["2."]),
    ] {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut world = World::new();
            let mut phone = Phone::new(&mut world, "alice", 1);
            let own = format!("{};+sip.instance=\"<urn:uuid:{}>\";reg-id=1", phone.contact(), phone.instance);
            let said = |contacts: &[String]| contacts.join(", ");
            // Before, the first contact is bound.
            let first = [contacts[0].replace(";expires=0", "")];
            assert_eq!(code(&register(&mut world, &mut phone, |text| text.replace(&own, &said(&first)))), 200);
            let all = order.map(|at| contacts[at].clone());
            let answer = register(&mut world, &mut phone, |text| text.replace(&own, &said(&all)));
            let mut listed: Vec<String> =
                self::contacts(&answer).iter().map(|one| one["<sip:alice@".len()..][..2].to_owned()).collect();
            listed.sort();
            assert_eq!(listed, bound, "{all:#?}");
        }
    }
}
