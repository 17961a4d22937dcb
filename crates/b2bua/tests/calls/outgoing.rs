//! Calls of a page to telephones and SIP addresses.

use offhook::client::call::Destination;
use offhook_b2bua::exchange::Input;
use offhook_ledger::{Grant, Refused};
use offhook_media::{Leg, MediaError};
use offhook_testing::switch::{DOMAIN, KEY};
use offhook_testing::text::head;

use crate::alone::{Alone, invite_of_page};
use crate::world::{FIRST, World, answer, answer_as, field, read, talking};

#[test]
fn a_phone_rings_is_answered_and_hung_up() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    assert_eq!(read(&invite).uri(), Some("sip:+46701234567@192.0.2.1;user=phone"));
    assert!(field(&invite, "from").starts_with(&format!("<sip:+46401234@{DOMAIN};user=phone>;tag=")), "{invite}");
    assert!(invite.contains("s=offer to Peer"), "{invite}");
    world.hear(FIRST, &answer(&invite, 100));
    world.run(1_000);
    world.hear(FIRST, &answer(&invite, 180));
    world.run(1_000);
    world.hear(FIRST, &answer(&invite, 200));
    world.expect("ACK");
    world.run(5_000);
    world.hang_up(0);
    let bye = world.expect("BYE");
    world.hear(FIRST, &answer(&bye, 200));
    world.ladder(
        "page > INVITE
         page < 100 INVITE
         ledger: Phone +46701234567
         media: open
         media: Page offers
         page < 183 INVITE
         media: offer for Peer
         carrier < INVITE
         page > PRACK
         page < 200 PRACK
         carrier > 100 INVITE
         carrier > 180 INVITE
         page < 180 INVITE
         app: progressing
         carrier > 200 INVITE
         media: Peer answers
         ledger: connected
         page < 200 INVITE
         carrier < ACK
         page > ACK
         app: established
         app: ended HUNG_UP
         page > BYE
         page < 200 BYE
         media: close
         ledger: caller hung up 200
         carrier < BYE
         carrier > 200 BYE",
    );
    world.nothing_left();
}

#[test]
fn a_sip_address_gets_the_fields_of_the_app_and_its_own_name() {
    let mut world = World::new();
    world.call_with(Destination::Sip("Bob@example.com".into()), &[("x-colour", "blue"), ("X-Order", "17")]);
    let invite = world.expect("INVITE");
    assert_eq!(read(&invite).uri(), Some("sip:Bob@example.com"));
    assert_eq!((field(&invite, "x-colour"), field(&invite, "x-order")), ("blue".to_owned(), "17".to_owned()));
    assert!(field(&invite, "from").starts_with(&format!("<sip:alice@{DOMAIN}>;tag=")), "{invite}");
    assert_eq!(read(&invite).all(offhook_sip::Name::Via).count(), 1);
    assert!(!invite.contains("invalid"), "nothing of the page's is told: {invite}");
    world.hear(
        FIRST,
        &answer_as(
            "t",
            &invite,
            404,
            &[
                ("X-Why", "moved"),
                ("X-Error", "40200 Not enough credit"),
                ("Reason", "Q.850;cause=1"),
                ("Warning", "399 carrier.example \"No route\""),
                ("Error-Info", "<sip:no-route@carrier.example>, <https://carrier.example/404>"),
                ("Retry-After", "120 (tomorrow, or on Monday)"),
                ("Server", "x"),
            ],
            false,
        ),
    );
    world.expect("ACK");
    let refusal = world.text("404 INVITE");
    assert_eq!((field(refusal, "x-why"), field(refusal, "reason")), ("moved".to_owned(), "Q.850;cause=1".to_owned()));
    assert_eq!(field(refusal, "warning"), "399 carrier.example \"No route\"");
    assert_eq!(field(refusal, "retry-after"), "120 (tomorrow, or on Monday)");
    assert_eq!(field(refusal, "error-info"), "<sip:no-route@carrier.example>, <https://carrier.example/404>");
    assert_eq!((field(refusal, "server"), field(refusal, "x-error")), (String::new(), String::new()));
    assert_eq!(world.app(), ["ended FAILURE"], "it never rang");
    world.nothing_left();
}

#[test]
fn without_a_number_of_the_account_the_caller_is_withheld() {
    let mut world = World::new();
    world.grant = Ok(Grant { paid: None, more: false, caller_id: None });
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    assert!(field(&invite, "from").starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="), "{invite}");
    assert_eq!(field(&invite, "privacy"), "id");
}

#[test]
fn without_credit_nothing_is_dialled() {
    for (why, code, error) in [
        (Refused::NoCredit, 402, "40200 Not enough credit"),
        (Refused::Destination, 403, "40300 Calls to this country or range are not allowed"),
        (Refused::Store, 503, "50300 The gateway cannot use its database"),
    ] {
        let mut world = World::new();
        world.grant = Err(why);
        world.phone("+46701234567");
        world.silent();
        assert_eq!(field(world.text(&format!("{code} INVITE")), "x-error"), error);
        assert_eq!(world.app(), ["ended FAILURE"]);
        assert!(world.commands.is_empty());
        world.nothing_left();
    }
}

#[test]
fn a_ledger_that_does_not_answer_refuses() {
    let mut world = World::new();
    world.ledger_down = true;
    world.phone("+46701234567");
    world.run(10_000);
    world.silent();
    assert_eq!(world.app(), ["ended FAILURE"]);
    assert_eq!(world.lines("ledger: "), ["Phone +46701234567", "failed 503"]);
    world.nothing_left();
}

#[test]
fn failures_of_the_other_side_are_told_as_they_are_and_no_other_trunk_is_asked() {
    for (code, told, cause) in [
        (486, "ended DENIED", "busy 486"),
        (603, "ended DENIED", "declined 603"),
        (404, "ended FAILURE", "unknown 404"),
        (480, "ended NO_ANSWER", "unanswered 480"),
        (408, "ended NO_ANSWER", "unanswered 480"),
        (403, "ended FAILURE", "failed 403"),
    ] {
        let mut world = World::with(crate::world::two());
        world.phone("+46701234567");
        let invite = world.expect("INVITE");
        world.hear(FIRST, &answer(&invite, 180));
        world.hear(FIRST, &answer(&invite, code));
        world.expect("ACK");
        world.silent();
        assert_eq!(world.app(), ["progressing", told], "{code}");
        assert_eq!(world.lines("ledger: ").last(), Some(&cause));
        world.nothing_left();
    }
}

#[test]
fn what_the_media_cannot_use_is_refused_before_anybody_is_dialled() {
    for (leg, error, code) in
        [(Leg::Page, MediaError::Fingerprint, 488), (Leg::Page, MediaError::Busy, 503), (Leg::Peer, MediaError::Busy, 503)]
    {
        let mut world = World::new();
        world.unusable = Some((leg, error));
        world.phone("+46701234567");
        world.silent();
        assert!(!field(world.text(&format!("{code} INVITE")), "x-error").is_empty());
        assert_eq!(world.app().last(), Some(&"ended FAILURE"));
        world.nothing_left();
    }
}

#[test]
fn early_media_are_heard() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("theirs", &invite, 183, &[("Require", "100rel"), ("RSeq", "7")], true));
    let prack = world.expect("PRACK");
    assert_eq!(field(&prack, "rack"), "7 1 INVITE");
    world.hear(FIRST, &answer(&prack, 200));
    assert_eq!(world.lines("media: ").last(), Some(&"Peer answers"));
    assert_eq!(field(world.text("183 INVITE"), "p-early-media"), "sendonly");
    // The same reliable answer again is acknowledged once; the next in order is, too.
    world.hear(FIRST, &answer_as("theirs", &invite, 183, &[("Require", "100rel"), ("RSeq", "7")], true));
    world.silent();
    world.hear(FIRST, &answer_as("theirs", &invite, 200, &[], false));
    world.expect("ACK");
    world.run(100);
    assert_eq!(world.app().last(), Some(&"established"));
    assert_eq!(
        world.lines("media: ").iter().filter(|line| **line == "Peer answers").count(),
        1,
        "the description was taken already"
    );
    world.hang_up(0);
    world.nothing_left();
}

#[test]
fn of_several_phones_that_answer_the_first_has_the_call() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("one", &invite, 183, &[], true));
    world.hear(FIRST, &answer_as("two", &invite, 183, &[], true));
    world.hear(FIRST, &answer_as("two", &invite, 200, &[], true));
    let ack = world.expect("ACK");
    assert!(field(&ack, "to").ends_with(";tag=two"), "{ack}");
    assert_eq!(world.lines("media: ")[3..], ["Peer answers", "forget", "Peer answers"]);
    world.hear(FIRST, &answer_as("one", &invite, 200, &[], true));
    world.expect("ACK");
    let bye = world.expect("BYE");
    assert!(field(&bye, "to").ends_with(";tag=one"), "{bye}");
    // Retransmissions of both are acknowledged, and one of them gets BYE again.
    world.hear(FIRST, &answer_as("two", &invite, 200, &[], true));
    world.expect("ACK");
    world.silent();
    world.run(100);
    assert_eq!(world.app(), ["established"]);
    world.hang_up(0);
    world.expect("BYE");
    world.nothing_left();
}

#[test]
fn a_drain_takes_no_new_calls_and_keeps_those_there_are() {
    let mut world = World::new();
    talking(&mut world);
    world.handle(Input::Drain);
    world.phone("+46701234568");
    world.silent();
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
    assert_eq!(world.exchange.b2bua().calls(), 1);
}

#[test]
fn no_more_calls_than_are_allowed() {
    let mut world = World::new();
    world.open_page("bob");
    for page in [0, 1] {
        for _ in 0..5 {
            let info = world.pages[page].client.call(world.now, Destination::Phone("+46701234567".into()), Vec::new());
            world.pages[page].calls.push(info.id);
            world.run(100);
            world.expect("INVITE");
        }
    }
    assert_eq!(world.exchange.b2bua().calls(), 10);
    world.phone("+46701234567");
    assert_eq!(field(world.text("503 INVITE"), "x-error"), "50300 Too many calls at once");
}

#[test]
fn a_refusal_of_a_pages_call_says_what_could_be_taken() {
    for (more, code, name, value) in
        [("Require: timer, frob\r\n", 420, "unsupported", "frob"), ("Session-Expires: 30\r\nIgnored: ", 422, "min-se", "90")]
    {
        let mut world = World::new();
        world.edit(move |text| {
            text.replace("Session-Expires: ", &format!("{more}Session-Expires: ")).replace("Ignored: Session-Expires", "X-Other")
        });
        world.phone("+46701234567");
        let answer = world.text(&format!("{code} INVITE")).to_owned();
        assert_eq!(field(&answer, name), value, "{answer}");
        world.silent();
        world.nothing_left();
    }
}

/// What a trunk finds wrong with our own INVITE, the page could not mend: it may use another trunk's.
#[test]
fn what_a_trunk_does_not_take_of_ours_is_no_business_of_the_page() {
    let mut world = World::new();
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer_as("t", &invite, 420, &[("Unsupported", "timer")], false));
    world.expect("ACK");
    world.run(100);
    assert!(field(world.text("502 INVITE"), "x-error").starts_with("50300 "), "{:#?}", world.log);
    world.nothing_left();
}

#[test]
fn an_invite_of_a_page_with_another_body_than_an_offer_is_rejected() {
    let invite = invite_of_page("");
    for (text, code) in [
        (invite.replace("application/sdp", "text/plain"), 415),
        (invite.replace("Content-Type:", "Accept: text/plain\r\nContent-Type:"), 406),
        (invite.replace("Content-Type:", "Require: frob\r\nContent-Type:"), 420),
    ] {
        let sent = Alone::new().switch_sends(KEY, &text);
        assert_eq!(sent.iter().map(|text| head(text)).collect::<Vec<_>>(), ["100 INVITE".to_owned(), format!("{code} INVITE")]);
        assert_eq!(field(&sent[1], "accept"), if code == 415 { "application/sdp" } else { "" });
    }
}
