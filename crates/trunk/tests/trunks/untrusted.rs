//! Untrusted sources, and trunks with a forged source address.

use offhook_sip::{StatusCode, reply};
use offhook_trunk::Trunk;
use offhook_trunk::{ConnectionId, Event, Flow, Input, Wire};

use crate::world::{PROVIDER, World, address, answer, foreign, id, kind, provider, request, within};

const METHODS: [&str; 14] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "REFER",
    "MESSAGE",
    "UPDATE",
];

fn connected(world: &mut World, connection: u64, peer: &str, wire: Wire, names: &[&str]) -> ConnectionId {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    world.handle(Input::Opened { connection: ConnectionId(connection), peer: address(peer), wire, names });
    ConnectionId(connection)
}

#[test]
fn untrusted_sources_get_no_response_over_udp() {
    let mut world = World::new(vec![provider()]);
    for (index, method) in METHODS.into_iter().chain(["FOO", "invite"]).enumerate() {
        world.hear("203.0.113.1:5060", &foreign(method, &index.to_string(), ""));
    }
    for garbage in
        ["", "\r\n\r\n", "\0\0\0\0", "INVITE", "GET / HTTP/1.1\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n", "INVITE sip:a SIP/2.0\r\n\r\n"]
    {
        world.hear("203.0.113.1:5060", garbage);
    }
    world.nothing_more();
    assert_eq!(world.trunks.footprint(), 0);
}

#[test]
fn a_flood_of_untrusted_messages_leaves_nothing() {
    let mut world = World::new(vec![provider()]);
    let text = foreign("INVITE", "x", "");
    for index in 0..100_000_u32 {
        let [a, b, c, d] = index.to_be_bytes();
        world.hear(&format!("198.{b}.{c}.{d}:{}", 1024 + u32::from(a)), &text);
        if index % 100 == 0 {
            world.pass(10);
        }
    }
    world.nothing_more();
    assert_eq!((world.trunks.footprint(), world.trunks.untrusted()), (0, 100_000));
    assert!(world.records.len() <= 14, "{} lines in ten seconds", world.records.len());
}

#[test]
fn the_connection_of_an_untrusted_source_is_closed() {
    for text in [foreign("OPTIONS", "a", ""), "GET / HTTP/1.1\r\n\r\n".to_owned()] {
        let mut world = World::new(vec![provider()]);
        let connection = connected(&mut world, 1, "203.0.113.1:5060", Wire::Tcp, &[]);
        world.hear_on(connection, &text);
        assert_eq!(world.disconnected, [connection]);
        world.hear_on(connection, &text);
        world.nothing_more();
        assert_eq!(world.trunks.footprint(), 0);
    }
}

#[test]
fn a_trunk_is_known_by_the_name_in_its_certificate_only_where_it_has_one() {
    let named = Trunk { tls_name: "sip.provider.example".into(), ..provider() };
    let invite = foreign("INVITE", "a", "");
    for (wire, names, known) in [
        (Wire::Tls, &["SIP.provider.example"][..], true),
        (Wire::Tls, &["other.example"][..], false),
        (Wire::Tls, &[][..], false),
        (Wire::Tcp, &[][..], false),
    ] {
        let mut world = World::new(vec![named.clone()]);
        let connection = connected(&mut world, 1, PROVIDER, wire, names);
        world.hear_on(connection, &invite);
        assert_eq!(world.event().is_some(), known, "{wire:?} {names:?}");
    }
    let mut world = World::new(vec![named]);
    world.hear(PROVIDER, &invite);
    world.nothing_more();
}

#[test]
fn messages_of_a_tls_trunk_count_over_tls_only() {
    let mut world = World::new(vec![Trunk { transport: Wire::Tls, ..provider() }]);
    world.hear(PROVIDER, &foreign("INVITE", "a", ""));
    world.nothing_more();
    let connection = connected(&mut world, 1, "192.0.2.1:40000", Wire::Tls, &[]);
    world.hear_on(connection, &foreign("INVITE", "b", ""));
    world.expect("100");
}

#[test]
fn of_two_trunks_at_one_address_the_port_decides() {
    let other = Trunk { name: "other".into(), address: "192.0.2.1:5080".into(), ..provider() };
    let mut world = World::new(vec![provider(), other]);
    for (from, trunk) in [("192.0.2.1:5080", "other"), (PROVIDER, "provider"), ("192.0.2.1:7777", "provider")] {
        world.hear(from, &foreign("INVITE", from, ""));
        let Some(offhook_trunk::Event::Request { trunk: told, .. }) = world.events.pop_front() else { panic!("{from}") };
        assert_eq!(told, id(trunk));
    }
}

#[test]
fn over_a_connection_the_port_of_the_via_decides() {
    let other =
        |name: &str, address: &str, transport| Trunk { name: name.into(), address: address.into(), transport, ..provider() };
    let trunks = vec![provider(), other("stream", "192.0.2.1:5070", Wire::Tcp), other("other", "192.0.2.1:5080", Wire::Tcp)];
    for (port, trunk) in [(5080, "other"), (5070, "stream"), (7777, "stream"), (5060, "provider")] {
        let mut world = World::new(trunks.clone());
        let connection = connected(&mut world, 1, "192.0.2.1:40000", Wire::Tcp, &[]);
        world.hear_on(connection, &foreign("INVITE", "a", "").replace("UDP 192.0.2.1:5060", &format!("TCP 192.0.2.1:{port}")));
        let Some(offhook_trunk::Event::Request { trunk: told, .. }) = world.events.pop_front() else { panic!("{port}") };
        assert_eq!(told, id(trunk), "{port}");
    }
}

#[test]
fn no_stateless_response_is_larger_than_its_request() {
    let mut world = World::new(vec![provider()]);
    for (index, method) in METHODS.into_iter().filter(|method| *method != "INVITE").enumerate() {
        for text in [foreign(method, &index.to_string(), ""), short(method, index)] {
            world.hear(PROVIDER, &text);
            let answers: usize = world.sent.drain(..).map(|(_, answer)| answer.len()).sum();
            assert!(answers <= text.len(), "{method}: {answers} for {}", text.len());
        }
    }
    world.hear(PROVIDER, &foreign("OPTIONS", "o", ""));
    assert_eq!(kind(&world.next().1), "200");
    assert_eq!(world.trunks.footprint(), 0);
}

fn short(method: &str, index: usize) -> String {
    format!(
        "{method} sip:a SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bKs{index}\r\nf:<sip:a>\r\nt:<sip:a>\r\ni:{index}\r\nCSeq:1 {method}\r\n\r\n"
    )
}

#[test]
fn a_forged_response_to_no_request_changes_nothing() {
    let mut world = World::new(vec![provider()]);
    for index in 0..1_000 {
        let answer =
            foreign("INVITE", &index.to_string(), "").replacen("INVITE sip:+4640@198.51.100.1 SIP/2.0", "SIP/2.0 200 OK", 1);
        world.hear(PROVIDER, &answer);
    }
    world.nothing_more();
}

/// Valid responses to a pending request, from a trunk that it was not sent to.
#[test]
fn a_response_counts_only_from_the_trunk_that_has_the_request() {
    let other = Trunk { name: "other".into(), address: "192.0.2.2:5060".into(), ..provider() };
    for method in ["INVITE", "OPTIONS", "REGISTER", "BYE"] {
        let us = Trunk { username: "us".into(), password: "secret".into(), ..provider() };
        let mut world = World::new(vec![us, other.clone()]);
        world.ask(&request(method, "one", ""));
        let request = world.expect(method);
        let untrusted = world.trunks.untrusted();
        let challenge = "WWW-Authenticate: Digest realm=\"x\", nonce=\"y\", qop=\"auth\", algorithm=MD5";
        let codes = [100, 180, 200, 302, 401, 486, 503, 603];
        for from in ["203.0.113.1:5060", "192.0.2.2:5060"] {
            for code in codes {
                world.hear(from, &answer(&request, code, challenge));
                world.nothing_more();
            }
        }
        assert_eq!(world.trunks.untrusted() - untrusted, 2 * codes.len() as u64, "they are counted");
        // From another port of the address that the request was sent to.
        world.hear("192.0.2.1:7777", &answer(&request, 200, ""));
        assert_eq!(world.event().as_deref(), Some("200"), "{method}");
    }
}

#[test]
fn a_response_may_come_from_all_addresses_of_a_trunk() {
    let network = Trunk { from: vec!["198.18.0.0/24".parse().expect("a network")], ..provider() };
    let mut world = World::new(vec![network]);
    world.ask(&request("INVITE", "one", ""));
    let invite = world.expect("INVITE");
    world.hear("198.18.0.7:5080", &answer(&invite, 200, ""));
    assert_eq!(world.event().as_deref(), Some("200"));
}

#[test]
fn a_response_over_an_untrusted_connection_is_dropped() {
    let mut world = World::new(vec![Trunk { transport: Wire::Tls, ..provider() }]);
    world.ask(&request("INVITE", "one", ""));
    let connection = world.open();
    let invite = world.expect("INVITE");
    let untrusted = connected(&mut world, 101, "203.0.113.1:5061", Wire::Tls, &["sip.other.example"]);
    world.hear_on(untrusted, &answer(&invite, 200, ""));
    assert_eq!(world.disconnected, [untrusted]);
    // A source address can be forged over UDP, but not over a connection.
    world.hear(PROVIDER, &answer(&invite, 200, ""));
    world.nothing_more();
    world.hear_on(connection, &answer(&invite, 200, ""));
    assert_eq!(world.event().as_deref(), Some("200"));
}

#[test]
fn no_trunk_moves_the_calls_of_another() {
    let other = Trunk { name: "other".into(), address: "192.0.2.2:5060".into(), ..provider() };
    let mut world = World::new([provider(), other].map(|trunk| Trunk { nat: true, ..trunk }).into());
    world.ask(&request("INVITE", "one", ""));
    let invite = world.expect("INVITE");
    world.hear(PROVIDER, &answer(&invite, 200, ""));
    for method in ["INFO", "BYE"] {
        let text = foreign(method, "one", "").replace("@198.51.100.1>\r\nCall-ID", "@198.51.100.1>;tag=ours\r\nCall-ID");
        world.hear("192.0.2.2:5060", &text.replace("z9hG4bK", &format!("z9hG4bK{method}")));
        world.ask(&within("INFO", "one", 2, "sip:a@10.0.0.1:5070"));
        assert_eq!(world.next().0, Flow::Udp(address(PROVIDER)), "{method}");
    }
}

#[test]
fn too_many_connections_are_closed() {
    let mut world = World::new(vec![provider()]);
    for index in 0..1_100 {
        connected(&mut world, 2 * index + 1, "203.0.113.1:5060", Wire::Tcp, &[]);
    }
    assert_eq!(world.disconnected.len(), 1_100 - 1_024);
}

/// Returns the octets of all responses to an INVITE from a forged address that is rejected with 486 and never acknowledged, and the number of
/// 486 responses.
fn forged(trunk: Trunk, text: &str) -> (usize, usize) {
    let mut world = World::new(vec![trunk]);
    world.hear(PROVIDER, text);
    if let Some(Event::Request { key: Some(key), message: invite, .. }) = world.events.pop_front() {
        let answer = reply(invite.get(), StatusCode::BUSY_HERE, Some("0123456789abcdef"))
            .field("X-Error", "48600 Busy, as all of its devices are");
        world.trunks.respond(world.now, &key, answer.end());
        world.drain();
        world.pass(64_000);
    }
    let refusals = world.sent.iter().filter(|(_, text)| kind(text) == "486").count();
    (world.sent.iter().map(|(_, text)| text.len()).sum(), refusals)
}

#[test]
fn a_forged_invite_is_answered_with_three_times_its_size_at_most() {
    let sdp = format!("X-Padding: {}\r\n", "x".repeat(400));
    for text in [foreign("INVITE", "a", &sdp), foreign("INVITE", "a", ""), short("INVITE", 1)] {
        let (octets, refusals) = forged(provider(), &text);
        assert!(octets <= 3 * text.len() && refusals > 0, "{octets} octets, {refusals} refusals for {}", text.len());
    }
    let large = foreign("INVITE", "a", &sdp);
    assert!(forged(provider(), &large).1 >= 6, "a usual one is refused until {} ms", 500 + 1_000 + 2_000 + 2 * 4_000);
}

#[test]
fn after_the_ack_only_a_retransmission_gets_the_response_again() {
    let mut world = World::new(vec![provider()]);
    let invite = short("INVITE", 1);
    world.hear(PROVIDER, &invite);
    let Some(Event::Request { key: Some(key), message, .. }) = world.events.pop_front() else { panic!("a request") };
    world.trunks.respond(world.now, &key, reply(message.get(), StatusCode::BUSY_HERE, Some("ours")).end());
    world.drain();
    world.pass(10_000);
    assert!(world.sent.len() <= 2, "{:?}", world.sent);
    world.sent.clear();
    world.hear(PROVIDER, &invite);
    world.expect("486");
    world.hear(PROVIDER, &invite.replace("INVITE", "ACK"));
    world.pass(64_000);
    world.nothing_more();
}
