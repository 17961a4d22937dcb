//! Requests to a trunk and from it, from the first message to the last.

use offhook_sip::{Name, StatusCode, reply};
use offhook_trunk::{Event, Flow, Settings};

use crate::world::{PROVIDER, World, address, answer, foreign, header, id, kind, provider, read, request, settings, within};

#[test]
fn a_call_is_made_and_ended() {
    let mut world = World::new(vec![provider()]);
    world.ask(&request("INVITE", "one", ""));
    let (flow, invite) = world.next();
    assert_eq!(flow, Flow::Udp(address(PROVIDER)));
    let via = header(&invite, Name::Via);
    assert!(via.starts_with("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK") && via.ends_with(";rport"), "{via}");
    for code in [100, 180, 200] {
        world.hear(PROVIDER, &answer(&invite, code, ""));
        assert_eq!(world.event(), Some(code.to_string()));
    }
    world.hear(PROVIDER, &answer(&invite, 200, ""));
    assert_eq!(world.event().as_deref(), Some("200"), "each retransmission of a 2xx is passed on");
    world.ack(&within("ACK", "one", 1, "sip:+4670@192.0.2.1:5060"));
    world.expect("ACK");
    world.ask(&within("BYE", "one", 2, "sip:+4670@192.0.2.1:5060"));
    let bye = world.expect("BYE");
    world.hear(PROVIDER, &answer(&bye, 200, ""));
    assert_eq!(world.event().as_deref(), Some("200"));
    world.nothing_more();
    world.pass(100_000);
    assert_eq!(world.trunks.footprint(), 0);
}

#[test]
fn a_refusal_is_told_and_acknowledged() {
    for code in [403, 404, 486, 480, 500, 603] {
        let mut world = World::new(vec![provider()]);
        world.ask(&request("INVITE", "one", ""));
        let invite = world.expect("INVITE");
        world.hear(PROVIDER, &answer(&invite, code, "X-Why: because"));
        world.expect("ACK");
        let Some(Event::Response { message, .. }) = world.events.pop_front() else { panic!("an answer") };
        let text = message.text();
        assert!(kind(text) == code.to_string() && text.contains("X-Why: because"), "{text}");
        world.pass(100_000);
        assert_eq!(world.trunks.footprint(), 0);
    }
}

#[test]
fn an_unanswered_invite_fails_after_four_seconds_and_a_late_response_ends_its_call() {
    for late in ["180", "200"] {
        let mut world = World::new(vec![provider()]);
        world.ask(&request("INVITE", "one", ""));
        let invite = world.expect("INVITE");
        world.pass(3_999);
        assert_eq!(world.event(), None);
        world.pass(1);
        assert_eq!(world.event().as_deref(), Some("failed 408"));
        world.sent.clear();
        world.hear(PROVIDER, &answer(&invite, late.parse().expect("a code"), ""));
        if late == "180" {
            world.expect("CANCEL");
            world.hear(PROVIDER, &answer(&invite, 487, ""));
            world.expect("ACK");
        } else {
            let ack = world.expect("ACK");
            assert_eq!(read(&ack).uri(), Some("sip:+4670@192.0.2.1:5060"));
            world.expect("BYE");
        }
        world.nothing_more();
        world.pass(100_000);
        assert_eq!(world.trunks.footprint(), 0);
    }
}

#[test]
fn without_another_trunk_the_call_waits_longer() {
    let mut world = World::new(vec![provider()]);
    let key = world.ask(&request("INVITE", "one", ""));
    world.trunks.persist(&key);
    world.pass(31_999);
    assert_eq!(world.event(), None);
    world.pass(1);
    assert_eq!(world.event().as_deref(), Some("failed 408"));
    assert_eq!(world.sent.len(), 7, "timer A");
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut world = World::new(vec![provider()]);
    let key = world.ask(&request("INVITE", "one", "Route: <sip:192.0.2.1;lr>\r\n"));
    let invite = world.expect("INVITE");
    world.cancel(&key);
    world.nothing_more();
    world.hear(PROVIDER, &answer(&invite, 100, ""));
    let cancel = world.expect("CANCEL");
    assert_eq!(header(&cancel, Name::Via), header(&invite, Name::Via));
    assert_eq!(header(&cancel, Name::Reason), "SIP;cause=200");
    assert_eq!(header(&cancel, Name::Route), "<sip:192.0.2.1;lr>");
    world.hear(PROVIDER, &answer(&cancel, 200, ""));
    world.hear(PROVIDER, &answer(&invite, 487, ""));
    world.expect("ACK");
    assert_eq!((world.event().as_deref(), world.event().as_deref()), (Some("100"), Some("487")));
    world.pass(100_000);
    assert_eq!(world.trunks.footprint(), 0);
}

#[test]
fn a_cancel_that_crosses_the_answer_changes_nothing() {
    let mut world = World::new(vec![provider()]);
    let key = world.ask(&request("INVITE", "one", ""));
    let invite = world.expect("INVITE");
    world.hear(PROVIDER, &answer(&invite, 180, ""));
    world.cancel(&key);
    world.expect("CANCEL");
    world.hear(PROVIDER, &answer(&invite, 200, ""));
    assert_eq!((world.event().as_deref(), world.event().as_deref()), (Some("180"), Some("200")));
    world.nothing_more();
}

#[test]
fn an_unanswered_cancel_ends_the_call() {
    let mut world = World::new(vec![provider()]);
    let key = world.ask(&request("INVITE", "one", ""));
    let invite = world.expect("INVITE");
    world.hear(PROVIDER, &answer(&invite, 180, ""));
    world.event();
    world.cancel(&key);
    world.pass(31_999);
    assert_eq!(world.event(), None);
    world.pass(1);
    assert_eq!(world.event().as_deref(), Some("failed 487"));
    world.pass(100_000);
    assert_eq!(world.trunks.footprint(), 0);
}

#[test]
fn a_call_of_the_trunk_is_reported_and_answered_at_its_source() {
    let mut world = World::new(vec![provider()]);
    let from = "192.0.2.1:40000";
    world.hear(from, &foreign("INVITE", "a", ""));
    world.hear(from, &foreign("INVITE", "a", ""));
    let (flow, trying) = world.next();
    assert_eq!((flow, kind(&trying).as_str()), (Flow::Udp(address(from)), "100"));
    assert!(header(&trying, Name::Via).contains(";received=192.0.2.1") && header(&trying, Name::Via).contains(";rport=40000"));
    world.expect("100");
    let Some(Event::Request { trunk, key: Some(key), message, .. }) = world.events.pop_front() else { panic!("a request") };
    assert_eq!((trunk, world.event()), (id("provider"), None), "a copy is none");
    let ok = reply(message.get(), StatusCode::OK, Some("ours")).end();
    world.trunks.respond(world.now, &key, ok);
    world.drain();
    let (flow, _) = world.next();
    assert_eq!(flow, Flow::Udp(address(from)));
    let ack =
        foreign("ACK", "b", "").replace("<sip:+4640@198.51.100.1>\r\nCall-ID", "<sip:+4640@198.51.100.1>;tag=ours\r\nCall-ID");
    world.hear(from, &ack);
    assert_eq!(world.event().as_deref(), Some("ACK"));
    world.pass(100_000);
    assert_eq!(world.trunks.footprint(), 0);
}

#[test]
fn an_answer_without_rport_goes_to_the_port_of_the_via() {
    let mut world = World::new(vec![provider()]);
    world.hear("192.0.2.1:40000", &foreign("INVITE", "a", "").replace(";rport", ""));
    assert_eq!(world.next().0, Flow::Udp(address(PROVIDER)));
}

#[test]
fn a_call_of_the_trunk_is_cancelled() {
    let mut world = World::new(vec![provider()]);
    world.hear(PROVIDER, &foreign("CANCEL", "a", ""));
    world.expect("481");
    world.hear(PROVIDER, &foreign("INVITE", "b", ""));
    world.expect("100");
    let Some(Event::Request { message: invite, .. }) = world.events.pop_front() else { panic!("a request") };
    world.hear(PROVIDER, &foreign("CANCEL", "b", ""));
    let Some(Event::Request { key: Some(key), message: cancel, .. }) = world.events.pop_front() else { panic!("a CANCEL") };
    world.trunks.respond(world.now, &key, reply(cancel.get(), StatusCode::OK, Some("ours")).end());
    world.drain();
    world.expect("200");
    world.trunks.respond(world.now, &key.invite(), reply(invite.get(), StatusCode::REQUEST_TERMINATED, Some("ours")).end());
    world.drain();
    world.expect("487");
    world.pass(40_000);
    assert_eq!(world.event().as_deref(), Some("no ACK"));
}

#[test]
fn in_dialog_requests_go_to_the_trunk_only() {
    let elsewhere = provider();
    let mut world =
        World::new(vec![offhook_trunk::Trunk { from: vec!["203.0.113.0/24".parse().expect("a network")], ..elsewhere }]);
    for (target, at) in [
        ("sip:a@203.0.113.7:5080", "203.0.113.7:5080"),
        ("sip:a@192.0.2.1:5070", "192.0.2.1:5070"),
        ("sip:a@10.0.0.1:5070", PROVIDER),
        ("tel:+1", PROVIDER),
    ] {
        world.ask(&within("BYE", "one", 2, target));
        assert_eq!(world.next().0, Flow::Udp(address(at)), "{target}");
    }
    world.ask(&within("BYE", "one", 2, "sip:a@pbx.example"));
    world.resolve(&["10.0.0.1:5060", "203.0.113.9:5060"]);
    assert_eq!(world.next().0, Flow::Udp(address("203.0.113.9:5060")));
    world.ask(&within("BYE", "one", 2, "sip:a@pbx.example"));
    world.resolve(&["10.0.0.1:5060"]);
    assert_eq!(world.next().0, Flow::Udp(address(PROVIDER)));
}

#[test]
fn in_dialog_requests_to_a_peer_behind_nat_go_to_its_source() {
    let mut world = World::new(vec![offhook_trunk::Trunk { nat: true, ..provider() }]);
    world.ask(&request("INVITE", "one", ""));
    let invite = world.expect("INVITE");
    world.hear(PROVIDER, &answer(&invite, 200, ""));
    world.ack(&within("ACK", "one", 1, "sip:a@10.0.0.1:5070"));
    assert_eq!(world.next().0, Flow::Udp(address(PROVIDER)));
    let from = "192.0.2.1:40000";
    let info =
        foreign("INFO", "one", "").replace("<sip:+4640@198.51.100.1>\r\nCall-ID", "<sip:+4640@198.51.100.1>;tag=o\r\nCall-ID");
    world.hear(from, &info);
    world.ask(&within("BYE", "one", 2, "sip:a@10.0.0.1:5070"));
    assert_eq!(world.next().0, Flow::Udp(address(from)));
}

#[test]
fn an_open_domain_needs_no_trunk() {
    let settings = Settings { open_domains: vec!["example.org".into()], ..settings(Vec::new()) };
    let mut world = World::with(settings);
    world.resolve(&["192.0.2.7:5060"]);
    world.ask_of("@example.org", &request("INVITE", "one", ""));
    assert_eq!(world.next().0, Flow::Udp(address("192.0.2.7:5060")));
    world.ask_of("@example.com", &request("INVITE", "one", ""));
    assert_eq!(world.event().as_deref(), Some("failed 503"));
}
