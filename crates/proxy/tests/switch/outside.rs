//! Calls to telephones and other SIP domains go to the back-to-back user agent, and come from there.

use offhook_proxy::{Input, Settings};
use offhook_sip::{StatusCode, parse, reply};

use offhook_testing::switch::DOMAIN;
use offhook_testing::text::head;
use offhook_testing::world::{Dialog, Phone, World, code, derived, field, settings, with, with_start};

fn with_b2bua() -> World {
    World::with(Settings { b2bua: true, ..settings() })
}

/// The one message that the back-to-back user agent was handed.
#[track_caller]
fn one_outside(world: &mut World) -> String {
    let [one] = &world.take_outside()[..] else { panic!("not one message") };
    one.clone()
}

fn heads_outside(world: &mut World) -> Vec<String> {
    world.take_outside().iter().map(|text| head(text)).collect()
}

/// An INVITE to any URI.
fn invite(phone: &Phone, uri: &str) -> String {
    let text = phone.invite_text("x", "c1").replace(&format!("To: <sip:x@{DOMAIN}>"), &format!("To: <{uri}>"));
    with_start(&text, &format!("INVITE {uri} SIP/2.0"))
}

/// The answer of the back-to-back user agent.
fn answer(world: &mut World, request: &str, code: u16, more: &[(&str, &str)]) {
    let request = parse(request.as_bytes()).expect("a request");
    let text = reply(&request, StatusCode::new(code).unwrap(), Some("out")).field("Contact", "<sip:out@out.invalid>");
    let text = more.iter().fold(text, |text, (name, value)| text.field(name, value)).end();
    world.send_from_outside(&text);
}

#[test]
fn telephones_and_other_domains_go_out_and_nothing_else_does() {
    let (phone, test) = (format!("sip:+46701234567@{DOMAIN};user=phone"), format!("sip:46000000000@{DOMAIN}"));
    for (uri, goes_out) in [
        (phone.as_str(), true),
        (&test, true),
        ("sip:alice@example.com", true),
        (&format!("sip:room@conference.{DOMAIN}"), false),
        (&format!("sip:bob@{DOMAIN}"), false),
        ("sip:bob@127.0.0.1", false),
    ] {
        let mut world = with_b2bua();
        let alice = Phone::registered(&mut world, "alice", 1);
        world.send(alice.conn, &invite(&alice, uri));
        let out = world.take_outside();
        assert_eq!(out.len(), usize::from(goes_out), "{uri}: {out:?}");
        if let Some(out) = out.first() {
            assert_eq!(parse(out.as_bytes()).unwrap().uri(), Some(uri), "the URI stays as it was dialled");
            assert_eq!(field(out, "from").unwrap(), format!("<sip:alice@{DOMAIN}>;tag=fc1"));
        }
    }
}

#[test]
fn an_emergency_number_goes_out_as_that_of_a_telephone() {
    let phone = format!("sip:112@{DOMAIN};user=phone");
    for (uri, sent) in [
        (&*format!("sip:112@{DOMAIN}"), &*phone),
        ("sip:112@localhost", &phone),
        ("sip:1%312@127.0.0.1;transport=ws", &phone),
        (&phone, &phone),
        ("sip:112@example.com", "sip:112@example.com"),
    ] {
        let mut world = with_b2bua();
        world.known("112");
        let alice = Phone::registered(&mut world, "alice", 1);
        world.handle(Input::Overloaded(true));
        world.handle(Input::Drain);
        world.send(alice.conn, &invite(&alice, uri));
        assert_eq!(parse(one_outside(&mut world).as_bytes()).unwrap().uri(), Some(sent), "{uri}");
    }
    let mut world = with_b2bua();
    let alice = Phone::registered(&mut world, "alice", 1);
    world.handle(Input::Overloaded(true));
    world.send(alice.conn, &invite(&alice, &format!("sip:+46701234567@{DOMAIN};user=phone")));
    assert_eq!(heads_outside(&mut world), [""; 0]);
}

/// What a page claims to be is not passed on: a telephone is who comes from outside as one.
#[test]
fn no_page_says_that_it_is_a_telephone() {
    let mut world = with_b2bua();
    let alice = Phone::registered(&mut world, "alice", 1);
    let bob = Phone::registered(&mut world, "bob", 2);
    let text = alice.invite_text("bob", "c1");
    let marked =
        text.replace(&format!("From: <sip:alice@{DOMAIN}>"), &format!("From: \"+46701112233\" <sip:alice@{DOMAIN};user=phone>"));
    assert_ne!(text, marked);
    world.send(alice.conn, &with(&marked, &format!("P-Asserted-Identity: <sip:+46701112233@{DOMAIN};user=phone>")));
    let rung = bob.rung(&mut world);
    assert!(!rung.contains("user=phone") && !rung.contains("+46701112233"), "{rung}");
}

#[test]
fn without_a_back_to_back_user_agent_such_calls_are_refused() {
    let mut world = World::new();
    let alice = Phone::registered(&mut world, "alice", 1);
    world.send(alice.conn, &invite(&alice, "sip:alice@example.com"));
    assert_eq!(code(&world.one(alice.conn)), 501);
}

#[test]
fn what_the_back_to_back_user_agent_says_arrives_as_it_was_said() {
    let mut world = with_b2bua();
    let alice = Phone::registered(&mut world, "alice", 1);
    world.send(alice.conn, &invite(&alice, "sip:alice@example.com"));
    let out = one_outside(&mut world);
    answer(
        &mut world,
        &out,
        503,
        &[("X-Error", "50300 No trunk"), ("X-Reason", "maintenance"), ("P-Asserted-Identity", "<sip:x@y>")],
    );
    let answers = world.take(alice.conn);
    let last = answers.last().unwrap();
    assert_eq!(code(last), 503);
    assert_eq!(field(last, "x-error").unwrap(), "50300 No trunk");
    assert_eq!(field(last, "x-reason").unwrap(), "maintenance");
    assert_eq!(field(last, "p-asserted-identity"), None);
    world.wait(60_000);
    assert_eq!(world.proxy.calls(), 0);
}

/// It alone may say, in our name, whether there is early media and what went wrong.
#[test]
fn only_the_back_to_back_user_agent_speaks_for_the_gateway() {
    let (media, error) = (("P-Early-Media", "inactive"), ("X-Error", "50300 No trunk"));
    let mut world = with_b2bua();
    let alice = Phone::registered(&mut world, "alice", 1);
    world.send(
        alice.conn,
        &invite(&alice, "sip:alice@example.com").replace("X-Color", "P-Early-Media: inactive\r\nX-Error: 1\r\ns: x\r\nX-Color"),
    );
    let out = one_outside(&mut world);
    assert_eq!(["p-early-media", "x-error", "subject", "s"].map(|name| field(&out, name)), [None, None, None, None]);
    answer(&mut world, &out, 183, &[media, error, ("Alert-Info", "<http://x>")]);
    let early = world.take(alice.conn).pop().unwrap();
    assert_eq!(["p-early-media", "alert-info"].map(|name| field(&early, name)), [Some("inactive".into()), None]);
}

#[test]
fn requests_of_a_call_that_went_out_find_both_sides() {
    let mut world = with_b2bua();
    let alice = Phone::registered(&mut world, "alice", 1);
    world.send(alice.conn, &invite(&alice, "sip:alice@example.com"));
    let out = one_outside(&mut world);
    answer(&mut world, &out, 180, &[]);
    answer(&mut world, &out, 200, &[("Record-Route", &field(&out, "record-route").unwrap())]);
    let answers = world.take(alice.conn);
    let mut caller = Dialog::caller(&alice, answers.last().unwrap());
    caller.send(&mut world, "ACK");
    caller.send(&mut world, "INFO");
    assert_eq!(heads_outside(&mut world), ["ACK", "INFO"]);
    let invite = parse(out.as_bytes()).unwrap();
    let (from, to) = (invite.get(offhook_sip::Name::From).unwrap(), invite.get(offhook_sip::Name::To).unwrap());
    let bye = format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/WS out.invalid;branch=z9hG4bKbye\r\nMax-Forwards: 70\r\nRoute: {}\r\nFrom: {to};tag=out\r\nTo: {from}\r\n\
         Call-ID: c1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        alice.contact().trim_matches(['<', '>']),
        field(&out, "record-route").unwrap()
    );
    world.send_from_outside(&bye);
    let bye = world.one(alice.conn);
    assert_eq!(head(&bye), "BYE");
    assert_eq!(field(&bye, "from").unwrap(), "<sip:alice@example.com>;tag=out");
    assert_eq!(world.proxy.calls(), 0);
}

#[test]
fn a_user_cannot_pass_for_the_back_to_back_user_agent() {
    let mut world = with_b2bua();
    let alice = Phone::registered(&mut world, "alice", 1);
    let mallory = Phone::registered(&mut world, "mallory", 2);
    world.send(alice.conn, &invite(&alice, "sip:alice@example.com"));
    let out = one_outside(&mut world);
    answer(&mut world, &out, 200, &[("Record-Route", &field(&out, "record-route").unwrap())]);
    let ok = world.take(alice.conn).pop().unwrap();
    let mut stolen = Dialog::caller(&alice, &ok);
    stolen.conn = mallory.conn;
    let text = stolen.request_text("BYE").replace("From: <sip:alice@", "From: <sip:mallory@");
    world.send(mallory.conn, &text);
    assert_eq!(code(&world.one(mallory.conn)), 403);
    assert_eq!(heads_outside(&mut world), [""; 0]);
}

#[test]
fn calls_from_outside_ring_every_device_with_the_callers_own_address() {
    let mut world = with_b2bua();
    let bob = Phone::registered(&mut world, "bob", 1);
    let tablet = Phone::registered(&mut world, "bob", 2);
    let text = format!(
        "INVITE sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/WS out.invalid;branch=z9hG4bKin\r\nMax-Forwards: 70\r\n\
         From: \"Carol\" <sip:+46701234567@pstn.example;user=phone>;tag=c\r\nTo: <sip:bob@{DOMAIN}>\r\nCall-ID: in1\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:out@out.invalid>\r\nX-Lang: sv\r\nContent-Length: 0\r\n\r\n"
    );
    world.send_from_outside(&text);
    let (first, second) = (bob.rung(&mut world), tablet.rung(&mut world));
    assert_eq!(field(&first, "from").unwrap(), "\"Carol\" <sip:+46701234567@pstn.example;user=phone>;tag=c");
    assert_eq!(field(&first, "x-lang").unwrap(), "sv");
    bob.answer(&mut world, &first, 200);
    tablet.answer(&mut world, &second, 180);
    let cancel = world.take(tablet.conn).pop().unwrap();
    assert_eq!(head(&cancel), "CANCEL");
    assert!(field(&cancel, "reason").unwrap().contains("cause=200"));
    assert!(heads_outside(&mut world).contains(&"200 INVITE".to_owned()));
    // What comes in does not go out again.
    let loops = with_start(&text, "INVITE sip:x@example.com SIP/2.0").replace("in1", "in2").replace("z9hG4bKin", "z9hG4bKi2");
    world.send_from_outside(&loops);
    assert_eq!(code(&one_outside(&mut world)), 501);
}

/// An INVITE from outside to bob, by a caller that shows itself like this.
fn incoming(from: &str, call_id: &str) -> String {
    format!(
        "INVITE sip:bob@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/WS out.invalid;branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
         From: {from};tag={call_id}\r\nTo: <sip:bob@{DOMAIN}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:out@out.invalid>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn a_number_has_only_so_many_calls_to_one_user_and_so_have_all_who_withhold_theirs() {
    let settings = Settings { max_calls_per_user: 20, max_waiting_per_caller: 3, b2bua: true, ..settings() };
    let mut world = World::with(settings);
    world.known("bob");
    let mut serial = 0;
    let mut taken = |world: &mut World, froms: &[String]| {
        for from in froms {
            serial += 1;
            world.send_from_outside(&incoming(from, &format!("in{serial}")));
        }
        heads_outside(world).iter().filter(|head| *head == "100 INVITE").count()
    };
    let number = |n: usize| format!("<sip:+4670{n:07}@pstn.example;user=phone>");
    let withheld =
        ["anonymous@anonymous.invalid", "Anonymous@one.example", "anonymous@two.example;user=ip"].map(|who| format!("<sip:{who}>"));
    assert_eq!(taken(&mut world, &vec![number(1); 25]), 3);
    assert_eq!(taken(&mut world, &[withheld.clone(), withheld].concat()), 3);
    assert_eq!(taken(&mut world, &[number(2), number(2), number(2), number(3), number(3)]), 4, "three, then one, as ten wait");
    assert_eq!(taken(&mut world, &(100..200).map(number).collect::<Vec<_>>()), 10, "in all as many as a user may have");
    // However many numbers a caller outside shows, users have limits of their own, and bob has his.
    let (alice, bob) = (Phone::registered(&mut world, "alice", 1), Phone::registered(&mut world, "bob", 2));
    alice.call(&mut world, "bob", "inside");
    assert_eq!(world.heads(alice.conn), ["100 INVITE"]);
    assert_eq!(world.heads(bob.conn), ["INVITE"; 21]);
    bob.call(&mut world, "alice", "own");
    assert_eq!(world.heads(bob.conn), ["100 INVITE"]);
}

#[test]
fn a_call_taken_back_is_cancelled_outside() {
    let mut world = with_b2bua();
    let alice = Phone::registered(&mut world, "alice", 1);
    let text = invite(&alice, "sip:alice@example.com");
    world.send(alice.conn, &text);
    let out = one_outside(&mut world);
    answer(&mut world, &out, 100, &[]);
    world.send(alice.conn, &derived(&text, "CANCEL"));
    assert_eq!(heads_outside(&mut world), ["CANCEL"]);
    answer(&mut world, &out, 487, &[]);
    assert_eq!(world.heads(alice.conn), ["100 INVITE", "200 CANCEL", "487 INVITE"]);
    world.wait(60_000);
    world.close(alice.conn);
    world.wait(3_600_000);
    assert_eq!(world.proxy.footprint(), 0, "the back-to-back user agent counts for nothing");
}
