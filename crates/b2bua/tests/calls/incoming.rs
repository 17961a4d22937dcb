//! Calls of carriers to pages.

use offhook_b2bua::Callee;
use offhook_media::{Leg, MediaError};
use offhook_testing::switch::DOMAIN;
use offhook_testing::text::head;
use offhook_trunk::Trunk;

use crate::world::{FIRST, SDP, World, answer, field, read, trunk, within};

/// A carrier's INVITE to a number of ours.
pub fn invite(more: &str, sdp: &str) -> String {
    let kind = if sdp.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "INVITE sip:+46401234@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcall;rport\r\nMax-Forwards: 70\r\n\
         From: \"Carol\" <sip:+46709999999@192.0.2.1;user=phone>;tag=theirs\r\nTo: <sip:+46401234@198.51.100.1>\r\nCall-ID: incoming\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:theirs@192.0.2.1:5060>\r\nAllow: INVITE, ACK, BYE, CANCEL\r\n{more}{kind}Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

fn derived(method: &str) -> String {
    let text = invite("", "");
    let lines = text.split("Contact:").next().unwrap().replace("INVITE", method);
    format!("{lines}Content-Length: 0\r\n\r\n")
}

#[test]
fn a_call_rings_the_page_is_answered_and_hung_up() {
    let mut world = World::new();
    world.hear(FIRST, &invite("X-Lang: sv\r\nX-Error: 1 no\r\n", SDP));
    world.run(1_000);
    world.answer(0);
    world.expect("100 INVITE");
    world.expect("180 INVITE");
    let ok = world.expect("200 INVITE");
    assert!(ok.contains("s=answer to Peer"), "{ok}");
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    world.run(5_000);
    world.silent();
    world.hear(FIRST, &within("BYE", &ok, 2, "", None));
    world.ladder(
        "carrier > INVITE
         carrier < 100 INVITE
         ledger: Incoming alice
         media: open
         media: Peer offers
         media: offer for Page
         page < INVITE
         app: incoming from +46709999999
         page > 180 INVITE
         carrier < 180 INVITE
         app: established
         page > 200 INVITE
         page < ACK
         media: Page answers
         ledger: connected
         carrier < 200 INVITE
         carrier > ACK
         carrier > BYE
         page < BYE
         media: close
         ledger: caller hung up 200
         carrier < 200 BYE
         app: ended HUNG_UP
         page > 200 BYE",
    );
    let rung = world.text("INVITE").to_owned();
    assert_eq!(field(&rung, "x-lang"), "sv");
    assert_eq!(field(&rung, "x-error"), "");
    assert_eq!(read(&rung).from().unwrap().display(), "Carol");
    assert_eq!(read(&rung).contacts().next().unwrap().unwrap().uri.host, "bridge.invalid");
    world.nothing_left();
}

#[test]
fn a_carrier_that_does_not_offer_gets_an_offer() {
    let mut world = World::new();
    world.hear(FIRST, &invite("", ""));
    world.run(500);
    world.answer(0);
    world.sent.drain(..2);
    let ok = world.expect("200 INVITE");
    assert!(ok.contains("s=offer to Peer"), "{ok}");
    world.hear(FIRST, &within("ACK", &ok, 1, "", Some(("application/sdp", SDP))));
    assert_eq!(world.lines("media: ").last(), Some(&"Peer answers"));
    world.hang_up(0);
    let bye = world.expect("BYE");
    world.hear(FIRST, &answer(&bye, 200));
    world.nothing_left();
}

#[test]
fn a_2xx_that_is_not_acknowledged_is_retransmitted_and_then_ends_the_call() {
    let mut world = World::new();
    world.hear(FIRST, &invite("", SDP));
    world.run(500);
    world.answer(0);
    world.sent.drain(..2);
    world.run(35_000);
    let sent = world.sent.iter().filter(|(_, text)| text.starts_with("SIP/2.0 200")).count();
    assert_eq!(sent, 11, "{:?}", world.log);
    assert!(world.sent.back().unwrap().1.starts_with("BYE "), "{:#?}", world.log);
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
    world.nothing_left();
}

#[test]
fn a_carrier_takes_its_call_back() {
    let mut world = World::new();
    world.hear(FIRST, &invite("", SDP));
    world.run(500);
    world.hear(FIRST, &derived("CANCEL"));
    world.expect("100 INVITE");
    let tag = |text: &str| read(text).to_tag().expect("a tag").to_owned();
    let rang = tag(&world.expect("180 INVITE"));
    assert_eq!(tag(&world.expect("200 CANCEL")), rang, "RFC 3261, 9.2");
    assert_eq!(tag(&world.expect("487 INVITE")), rang);
    world.hear(FIRST, &derived("ACK"));
    world.run(100);
    assert_eq!(world.app(), ["incoming from +46709999999", "ended CANCELED"]);
    assert_eq!(world.lines("ledger: ").last(), Some(&"cancelled 487"));
    world.nothing_left();
}

#[test]
fn a_call_that_was_answered_at_another_phone_is_no_missed_call() {
    let mut world = World::new();
    world.hear(FIRST, &invite("", SDP));
    world.run(500);
    let elsewhere = "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\nContent-Length";
    world.hear(FIRST, &derived("CANCEL").replace("Content-Length", elsewhere));
    world.sent.drain(..2);
    world.expect("200 CANCEL");
    world.expect("487 INVITE");
    world.hear(FIRST, &derived("ACK"));
    world.run(100);
    assert_eq!(world.app(), ["incoming from +46709999999", "ended OTHER_DEVICE_ANSWERED"]);
    world.nothing_left();
}

#[test]
fn who_declines_is_said_to_decline() {
    let mut world = World::new();
    world.hear(FIRST, &invite("", SDP));
    world.run(500);
    world.hang_up(0);
    world.sent.drain(..2);
    world.expect("603 INVITE");
    world.hear(FIRST, &derived("ACK"));
    assert_eq!(world.lines("ledger: ").last(), Some(&"declined 603"));
    world.nothing_left();
}

#[test]
fn nobodys_number_and_media_that_do_not_fit_ring_nobody() {
    let mut world = World::new();
    world.callee = None;
    world.hear(FIRST, &invite("", SDP));
    world.sent.pop_front();
    world.expect("404 INVITE");
    assert!(world.app().is_empty() && world.commands.is_empty());
    world.hear(FIRST, &derived("ACK"));
    world.nothing_left();

    let mut world = World::new();
    world.unusable = Some((Leg::Peer, MediaError::NotAcceptable));
    world.hear(FIRST, &invite("", SDP));
    world.sent.pop_front();
    world.expect("488 INVITE");
    world.hear(FIRST, &derived("ACK"));
    assert!(world.app().is_empty());
    world.nothing_left();

    let mut world = World::new();
    world.callee = Some(Callee { application: "demo".into(), user: "alice".into() });
    world.hear(FIRST, &invite("Require: fancy\r\n", SDP));
    world.sent.pop_front();
    world.expect("420 INVITE");
    world.hear(FIRST, &derived("ACK"));
    world.nothing_left();
}

#[test]
fn all_pages_of_the_user_ring_and_one_has_the_call() {
    let mut world = World::new();
    world.open_page("alice");
    world.run(1_000);
    world.hear(FIRST, &invite("", SDP));
    world.run(500);
    world.answer(1);
    world.run(500);
    assert_eq!(world.app(), ["incoming from +46709999999", "ended OTHER_DEVICE_ANSWERED"]);
    assert_eq!(world.pages[1].told, ["incoming from +46709999999", "established"]);
    let ok = world.sent.iter().find(|(_, text)| text.starts_with("SIP/2.0 200")).unwrap().1.clone();
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    world.hang_up(1);
    world.run(500);
    assert_eq!(world.lines("carrier < ").last(), Some(&"BYE"));
    assert!(!ok.contains(DOMAIN), "{ok}");
    world.nothing_left();
}

#[test]
fn nobody_outside_poses_as_one_of_our_users() {
    let (ours, other) = (format!("<sip:bob@{DOMAIN}>"), "\"Desk\" <sip:desk@192.0.2.1:5070;transport=tcp>".to_owned());
    for (from, shown) in [(ours, format!("bob@{DOMAIN}")), (other, "desk@192.0.2.1".to_owned())] {
        let mut world = World::new();
        world.hear(FIRST, &invite("", SDP).replace("\"Carol\" <sip:+46709999999@192.0.2.1;user=phone>", &from));
        world.run(1_000);
        assert_eq!(world.lines("app: incoming"), [format!(" from {shown}")]);
    }
}

/// Who sends from the address of a trunk without a digest may be somebody else, for whom the trunk has to hear all that comes back.
#[test]
fn what_may_be_forged_brings_little_back() {
    let tagged = |method| derived(method).replace("To: <sip:+46401234@198.51.100.1>", "To: <sip:+46401234@198.51.100.1>;tag=x");
    for (text, times) in [
        (invite("", SDP), 3.0),
        (derived("OPTIONS"), 1.0),
        (derived("REGISTER"), 1.0),
        (tagged("BYE"), 1.25),
        (tagged("INFO"), 1.25),
        (tagged("INVITE"), 3.0),
        ("INVITE".into(), 0.0),
    ] {
        let mut world = World::new();
        world.callee = None;
        world.hear(FIRST, &text);
        world.run(64_000);
        let back: usize = world.sent.drain(..).map(|(_, text)| text.len()).sum();
        let ratio = f64::from(u32::try_from(back).unwrap()) / f64::from(u32::try_from(text.len()).unwrap());
        assert!(ratio <= times, "{ratio} times the {} octets of {}", text.len(), head(&text));
        println!("{}: {} octets, {ratio:.2} times back", head(&text), text.len());
    }
}

#[test]
fn a_refusal_of_a_carriers_call_says_what_could_be_taken() {
    for (more, body, code, name, value) in [
        ("Require: timer, frob\r\n", "", 420, "unsupported", "frob"),
        ("Content-Type: text/plain\r\n", "", 415, "accept", "application/sdp"),
        ("Session-Expires: 30\r\nSupported: timer\r\n", "", 422, "min-se", "90"),
        ("Accept: text/plain\r\n", "", 406, "", ""),
    ] {
        let mut world = World::new();
        let text = match code {
            415 => invite(more, "").replace("Content-Length: 0\r\n\r\n", "Content-Length: 5\r\n\r\nhello"),
            _ => invite(more, body),
        };
        world.hear(FIRST, &text);
        world.expect("100 INVITE");
        let answer = world.expect(&format!("{code} INVITE"));
        assert_eq!(field(&answer, name), value, "{answer}");
        assert!(read(&answer).to_tag().is_some());
        world.hear(FIRST, &derived("ACK"));
        world.run(40_000);
        world.nothing_left();
    }
}

/// The PRACK of the carrier to a provisional response.
fn prack(rung: &str, number: u32, body: Option<(&str, &str)>) -> String {
    within("PRACK", rung, number, &format!("RAck: {} 1 INVITE\r\n", field(rung, "rseq")), body)
}

#[test]
fn a_carrier_that_requires_reliable_responses_hears_that_it_rings() {
    let mut world = World::new();
    world.hear(FIRST, &invite("Require: 100rel\r\n", SDP));
    world.run(100);
    world.expect("100 INVITE");
    let rung = world.expect("180 INVITE");
    assert_eq!((field(&rung, "require").as_str(), field(&rung, "content-type").as_str()), ("100rel", ""));
    assert!(read(&rung).to_tag().is_some() && read(&rung).contacts().count() == 1, "{rung}");
    world.run(600);
    assert_eq!(world.expect("180 INVITE"), rung, "until it is acknowledged");
    world.hear(FIRST, &prack(&rung, 2, None));
    world.expect("200 PRACK");
    world.hear(FIRST, &prack(&rung, 3, None));
    world.expect("481 PRACK");
    world.run(5_000);
    world.silent();
    world.answer(0);
    let ok = world.expect("200 INVITE");
    assert!(ok.contains("s=answer to Peer"), "{ok}");
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    world.run(60_000);
    world.silent();
    world.hear(FIRST, &within("BYE", &ok, 4, "", None));
    world.expect("200 BYE");
    assert_eq!(world.app().last(), Some(&"ended HUNG_UP"));
    world.nothing_left();
}

#[test]
fn a_carrier_that_requires_reliable_responses_and_does_not_offer_gets_the_offer_while_it_rings() {
    let mut world = World::new();
    world.hear(FIRST, &invite("Require: 100rel\r\n", ""));
    world.run(100);
    world.expect("100 INVITE");
    let rung = world.expect("180 INVITE");
    assert!(rung.contains("s=offer to Peer"), "{rung}");
    world.hear(FIRST, &prack(&rung, 2, Some(("application/sdp", SDP))));
    world.expect("200 PRACK");
    assert_eq!(world.lines("media: ").last(), Some(&"Peer answers"));
    world.answer(0);
    let ok = world.expect("200 INVITE");
    assert_eq!(field(&ok, "content-type"), "", "it has had it");
    world.hear(FIRST, &within("ACK", &ok, 1, "", None));
    world.run(60_000);
    world.silent();
    assert_eq!(world.app().last(), Some(&"established"));
    world.hang_up(0);
    let bye = world.expect("BYE");
    world.hear(FIRST, &answer(&bye, 200));
    world.nothing_left();
}

#[test]
fn a_carrier_that_never_acknowledges_that_it_rings_gets_504_and_little_else() {
    let mut world = World::new();
    let text = invite("Require: 100rel\r\n", SDP);
    world.hear(FIRST, &text);
    world.run(64_000);
    let sent: Vec<String> = world.sent.drain(..).map(|(_, text)| text).collect();
    let heads: Vec<String> = sent.iter().map(|text| head(text)).collect();
    assert!(heads.starts_with(&["100 INVITE", "180 INVITE", "180 INVITE"].map(String::from)), "{heads:?}");
    assert!(heads.contains(&"504 INVITE".to_owned()), "{heads:?}");
    // It may not be the carrier.
    assert!(sent.iter().map(String::len).sum::<usize>() <= 3 * text.len(), "{heads:?}");
    assert_eq!(world.app().last(), Some(&"ended CANCELED"));
    world.nothing_left();
}

#[test]
fn a_number_is_read_as_carriers_write_it() {
    for (uri, called) in [
        ("sip:+46855512345;npdi;rn=+46708000000@198.51.100.1", "+46855512345"),
        ("sip:855512345;phone-context=+46@198.51.100.1;user=phone", "+46855512345"),
        ("sip:+46-8-555-12345@198.51.100.1", "+46855512345"),
        ("tel:+46-8-555.123(45)", "+46855512345"),
        ("sip:alice@198.51.100.1", "alice"),
        ("sip:+46,1@198.51.100.1", "+46,1"),
    ] {
        let mut world = World::new();
        world.hear(FIRST, &invite("", SDP).replacen("sip:+46401234@198.51.100.1", uri, 1));
        world.run(100);
        assert_eq!(world.called, [called], "{uri}");
    }
    // So is the number of who calls.
    for (from, shown) in [
        ("<sip:+46-70-999 99 99@192.0.2.1>", None),
        ("<sip:+46-70-999.99.99;npdi;rn=+46708@192.0.2.1>", Some("+46709999999")),
        ("<tel:70-9999999;phone-context=+46>", Some("+46709999999")),
    ] {
        let mut world = World::new();
        world.hear(FIRST, &invite("", SDP).replace("\"Carol\" <sip:+46709999999@192.0.2.1;user=phone>", from));
        world.run(1_000);
        let lines: Vec<String> = shown.iter().map(|shown| format!(" from {shown}")).collect();
        assert_eq!(world.lines("app: incoming"), lines, "{from}");
    }
}

/// A provider that calls the Contact that was registered names the number elsewhere.
#[test]
fn a_call_to_the_account_is_for_the_number_that_is_named() {
    let account = || Trunk { username: "acct77".into(), register: true, ..trunk("first", FIRST) };
    let asserted = "P-Called-Party-ID: \"Desk\" <sip:+46-40-777@192.0.2.1;user=phone>;x=y\r\n";
    for (uri, more, number, called) in [
        ("sip:acct77@198.51.100.1:5060", "", "", ["+46401234", "acct77"].as_slice()),
        ("sip:acct77@198.51.100.1:5060", asserted, "", &["+4640777", "+46401234", "acct77"]),
        ("sip:acct77@198.51.100.1:5060", "", "+468999000", &["+46401234", "+468999000", "acct77"]),
        ("sip:+46401111@198.51.100.1", asserted, "+468999000", &["+46401111"]),
        ("sip:acct78@198.51.100.1", asserted, "+468999000", &["acct78"]),
    ] {
        let mut world = World::with(vec![Trunk { number: number.into(), ..account() }]);
        world.hear(FIRST, &invite(more, SDP).replacen("sip:+46401234@198.51.100.1", uri, 1));
        world.run(100);
        assert_eq!(world.called, called, "{uri} {more}");
    }
}
