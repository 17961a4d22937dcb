//! Connections: established, shared, lost.

use offhook_sip::{Name, StatusCode, reply};
use offhook_trunk::Trunk;
use offhook_trunk::{ConnectionId, Event, Flow, Input, Wire};

use crate::world::{PROVIDER, World, address, answer, foreign, header, provider, request, within};

fn over(transport: Wire) -> Trunk {
    Trunk { transport, ..provider() }
}

fn close(world: &mut World, connection: ConnectionId) {
    world.handle(Input::Closed { connection });
}

#[test]
fn requests_share_one_connection() {
    let mut world = World::new(vec![over(Wire::Tcp)]);
    world.ask(&request("INVITE", "one", ""));
    world.ask(&request("INVITE", "two", ""));
    assert_eq!((world.connects.len(), world.sent.len()), (1, 0));
    let connection = world.open();
    for (flow, invite) in [world.next(), world.next()] {
        assert_eq!(flow, Flow::Connection(connection));
        assert!(header(&invite, Name::Via).starts_with("SIP/2.0/TCP 198.51.100.1:5060;"));
        world.hear_on(connection, &answer(&invite, 486, ""));
        world.expect("ACK");
        assert_eq!(world.event().as_deref(), Some("486"));
    }
    world.pass(20_000);
    world.nothing_more();
}

#[test]
fn a_certificate_has_to_have_the_name_of_the_configuration() {
    let mut world = World::new(vec![Trunk { address: "sip.provider.example".into(), ..over(Wire::Tls) }]);
    world.resolve(&["192.0.2.1:5061"]);
    world.ask(&request("INVITE", "one", ""));
    let (connection, peer, wire, name) = world.connects[0].clone();
    assert_eq!((peer, wire, name.as_str()), (address("192.0.2.1:5061"), Wire::Tls, "sip.provider.example"));
    close(&mut world, connection);
    assert_eq!(world.event().as_deref(), Some("failed 503"), "the edge closes what has another name");
    world.nothing_more();
}

#[test]
fn a_connection_that_is_reset_ends_no_call_and_loses_no_request() {
    let mut world = World::new(vec![over(Wire::Tcp)]);
    world.ask(&request("INVITE", "one", ""));
    let first = world.open();
    let invite = world.expect("INVITE");
    world.hear_on(first, &answer(&invite, 180, ""));
    close(&mut world, first);
    let second = world.open();
    let (flow, again) = world.next();
    assert_eq!((flow, &again), (Flow::Connection(second), &invite), "the same transaction");
    world.hear_on(second, &answer(&invite, 200, ""));
    assert_eq!((world.event().as_deref(), world.event().as_deref()), (Some("180"), Some("200")));
    close(&mut world, second);
    world.ack(&within("ACK", "one", 1, "sip:a@192.0.2.1:5060;transport=tcp"));
    world.open();
    world.expect("ACK");
    assert_eq!(world.event(), None);
}

#[test]
fn a_connection_that_is_reset_again_and_again_is_given_up() {
    let mut world = World::new(vec![over(Wire::Tcp)]);
    world.ask(&request("INVITE", "one", ""));
    for _ in 0..3 {
        let connection = world.open();
        world.expect("INVITE");
        close(&mut world, connection);
    }
    assert_eq!(world.event().as_deref(), Some("failed 503"));
    world.pass(200_000);
    assert_eq!(world.trunks.footprint(), 0);
}

#[test]
fn a_half_open_connection_is_closed() {
    let mut world = World::new(vec![over(Wire::Tcp)]);
    world.ask(&request("INVITE", "one", ""));
    let connection = world.open();
    world.expect("INVITE");
    world.pass(4_000);
    assert_eq!(world.event().as_deref(), Some("failed 408"));
    assert_eq!(world.disconnected, [connection]);
    world.ask(&request("INVITE", "two", ""));
    assert_ne!(world.open(), connection);
    world.expect("INVITE");
}

#[test]
fn a_response_goes_over_a_new_connection_when_that_of_its_request_is_gone() {
    let mut world = World::new(vec![over(Wire::Tcp)]);
    let connection = ConnectionId(1);
    world.handle(Input::Opened { connection, peer: address("192.0.2.1:40000"), wire: Wire::Tcp, names: Vec::new() });
    world.hear_on(connection, &foreign("INVITE", "a", ""));
    world.expect("100");
    close(&mut world, connection);
    let Some(Event::Request { key: Some(key), message, .. }) = world.events.pop_front() else { panic!("a request") };
    world.trunks.respond(world.now, &key, reply(message.get(), StatusCode::BUSY_HERE, Some("ours")).end());
    world.drain();
    assert_eq!(world.connects[0].1, address(PROVIDER), "RFC 3261, 18.2.2: the port of the Via");
    world.open();
    world.expect("486");
}

#[test]
fn a_large_request_goes_over_tcp_where_there_is_some() {
    let large = format!("X-Long: {}\r\n", "x".repeat(1_300));
    let mut world = World::new(vec![provider()]);
    world.ask(&request("INVITE", "one", &large));
    assert_eq!(world.next().0, Flow::Udp(address(PROVIDER)));

    let mut world = World::new(vec![Trunk { large_over_tcp: true, ..provider() }]);
    world.ask(&request("INVITE", "small", ""));
    assert_eq!(world.next().0, Flow::Udp(address(PROVIDER)));
    world.ask(&request("INVITE", "one", &large));
    let connection = world.connects[0].0;
    close(&mut world, connection);
    let (flow, invite) = world.next();
    assert_eq!(flow, Flow::Udp(address(PROVIDER)), "no TCP after all");
    assert!(header(&invite, Name::Via).starts_with("SIP/2.0/UDP"));
}
