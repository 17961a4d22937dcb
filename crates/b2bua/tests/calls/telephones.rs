//! What is a call to a telephone, however it is dialled, and who is one.

use offhook::client::call::{Destination, Domain};
use offhook_b2bua::Emergency;
use offhook_ledger::{Grant, Refused};
use offhook_testing::switch::DOMAIN;
use offhook_trunk::Trunk;

use crate::world::{FIRST, SDP, SECOND, World, answer, field, read, trunk};

/// Telephones and `example.com` are behind it, as behind that of `docs/operating.md`.
fn provider() -> Trunk {
    trunk("provider", FIRST)
}

/// No telephones are.
fn pbx() -> Trunk {
    Trunk { prefixes: Vec::new(), domains: vec!["pbx.example".into()], ..trunk("pbx", SECOND) }
}

fn with(trunks: Vec<Trunk>) -> World {
    World::of(trunks, &[], Emergency::default(), "alice")
}

/// Nothing was dialled, and this is what the page was told.
#[track_caller]
fn refused(world: &mut World, code: u16, error: &str) {
    world.silent();
    assert_eq!(world.lines("ledger: "), [""; 0], "{:#?}", world.log);
    let answer = world.text(&format!("{code} INVITE")).to_owned();
    assert!(field(&answer, "x-error").starts_with(error), "{answer}");
    world.nothing_left();
}

#[test]
fn a_number_at_a_sip_domain_is_a_phone_call_with_all_its_rules() {
    for uri in [
        "sip:+4690012345678@example.com",
        "sip:%2B4690012345678@example.com",
        "sip:+4690012345678:password@EXAMPLE.com:5070;maddr=192.0.2.9;transport=tcp",
        "sips:+4690012345678@example.com",
        "sip:+4690012345678@example.com;user=ip",
        "sip:+4690012345678@elsewhere.example;user=PHONE",
    ] {
        let mut world = with(vec![provider()]);
        world.dial(uri);
        assert_eq!(world.lines("ledger: "), ["Phone +4690012345678"], "{uri}");
        let invite = world.expect("INVITE");
        assert_eq!(read(&invite).uri(), Some("sip:+4690012345678@192.0.2.1;user=phone"), "{uri}");
        assert!(field(&invite, "from").starts_with(&format!("<sip:+46401234@{DOMAIN};user=phone>;")), "{invite}");
    }
    let mut world = with(vec![provider()]);
    world.grant = Err(Refused::NoCredit);
    world.call(Destination::Sip("+4690012345678@example.com".into()));
    world.silent();
    assert_eq!(field(world.text("402 INVITE"), "x-error"), "40200 Not enough credit");
}

#[test]
fn a_number_in_any_other_spelling_is_refused_and_never_mended() {
    for user in [
        "0046701234567",
        "01146701234567",
        "46701234567",
        "0701234567",
        "++46701234567",
        "+46-70-123.45(67)",
        "+46%20701234567",
        "%252B46701234567",
        "%2530046701234567",
        "+46701234567;phone-context=example.com",
        "0046701234567;isub=1",
        "tel%3A+46701234567",
        "+46701234567x",
        "0046701234567x",
        "+1415CALLNOW",
        "+99901234567",
        "+0046701234567",
        "118118",
        "118%20118",
        "*31#0701234567",
        "1001",
        "%D9%A4%D9%A6%D9%A7%D9%A0%D9%A1%D9%A2%D9%A3",
    ] {
        for more in ["", ";user=ip", ";user=phone"] {
            let mut world = with(vec![provider()]);
            world.dial(&format!("sip:{user}@example.com{more}"));
            refused(&mut world, 400, "40001 ");
        }
    }
    let mut world = with(vec![provider()]);
    world.dial("tel:+46701234567");
    refused(&mut world, 416, "40003 ");
}

#[test]
fn what_is_dialled_as_a_number_has_to_be_one() {
    for (user, why) in [
        ("14155550101", "40001 A phone number begins with + and the country code"),
        ("++46701234567", "40001 A phone number has nothing but digits after its +"),
        ("+467012", "40001 A phone number has 7 to 15 digits after its +"),
        ("alice", "40001 A phone number"),
    ] {
        for kind in ["phone", "Phone", "PHONE"] {
            let mut world = with(vec![provider()]);
            world.dial(&format!("sip:{user}@{DOMAIN};user={kind}"));
            refused(&mut world, 400, why);
        }
    }
}

#[test]
fn names_at_a_provider_stay_free_sip_calls() {
    for user in ["bob", "alice1", "1800FLOWERS", "desk-1001"] {
        let mut world = with(vec![provider()]);
        world.call(Destination::Sip(format!("{user}@example.com")));
        assert_eq!(world.lines("ledger: "), [format!("Sip {user}@example.com")]);
        assert_eq!(read(&world.expect("INVITE")).uri(), Some(&*format!("sip:{user}@example.com")));
    }
}

#[test]
fn without_telephones_a_number_is_an_extension() {
    for user in ["1001", "46701234567", "+46701234567", "112"] {
        let mut world = with(vec![provider(), pbx()]);
        world.call(Destination::Sip(format!("{user}@pbx.example")));
        assert_eq!(world.lines("ledger: "), [format!("Sip {user}@pbx.example")]);
        assert_eq!(read(&world.expect("INVITE")).uri(), Some(&*format!("sip:{user}@pbx.example")));
    }
}

#[test]
fn a_trunk_to_the_same_place_reaches_telephones_too() {
    let numbers_only = || Trunk { domains: Vec::new(), ..provider() };
    let again = |address: &str| Trunk { address: address.into(), ..pbx() };
    let resolved = |world: &mut World| {
        world.dial("sip:0046701234567@pbx.example");
        refused(world, 400, "40001 ");
    };
    resolved(&mut with(vec![numbers_only(), again(FIRST)]));
    resolved(&mut with(vec![numbers_only(), again("192.0.2.1:5070")]));
    resolved(&mut with(vec![numbers_only(), Trunk { domain: "192.0.2.1".into(), ..again(SECOND) }]));
    // A name that leads there, and an open domain that does.
    let mut world = World::of(vec![numbers_only(), again("other.example")], &[], Emergency::default(), "alice");
    world.resolved = Some(FIRST.parse().unwrap());
    world.run(10_000);
    resolved(&mut world);
    let mut world = World::of(vec![numbers_only()], &["pbx.example"], Emergency::default(), "alice");
    world.resolved = Some(FIRST.parse().unwrap());
    world.run(10_000);
    resolved(&mut world);
    // Somebody between who serves every domain, and the provider's own name in the address.
    let proxy = || Trunk { domains: vec!["*".into()], ..pbx() };
    let named = || Trunk { domain: "pbx.example".into(), ..numbers_only() };
    resolved(&mut with(vec![named(), proxy()]));
    let mut world = with(vec![named(), proxy()]);
    world.call(Destination::Sip("0046701234567@company.example".into()));
    assert_eq!(world.lines("ledger: "), ["Sip 0046701234567@company.example"]);
}

#[test]
fn the_operator_says_what_is_a_telephone() {
    let says = |telephones| Trunk { telephones: Some(telephones), ..pbx() };
    let mut world = with(vec![says(true)]);
    world.dial("sip:1001@pbx.example");
    refused(&mut world, 400, "40001 ");
    let mut world = with(vec![provider(), Trunk { address: FIRST.into(), ..says(false) }]);
    world.dial("sip:1001@pbx.example");
    assert_eq!(world.lines("ledger: "), ["Sip 1001@pbx.example"]);

    let extensions = || Trunk { extensions: vec!["10??".into(), "7".into()], ..says(true) };
    for (user, is_extension) in [("1001", true), ("1099", true), ("7", true), ("1101", false), ("100", false), ("10011", false)] {
        let mut world = with(vec![extensions()]);
        world.dial(&format!("sip:{user}@pbx.example"));
        if is_extension {
            assert_eq!(world.lines("ledger: "), [format!("Sip {user}@pbx.example")]);
            assert_eq!(read(&world.expect("INVITE")).uri(), Some(&*format!("sip:{user}@pbx.example")));
        } else {
            refused(&mut world, 400, "40001 ");
        }
    }
    // Of two trunks to a domain only the one that has the extension is asked for it.
    let other = Trunk { domains: vec!["pbx.example".into()], ..provider() };
    let mut world = with(vec![other, extensions()]);
    world.dial("sip:1001@pbx.example");
    let invite = world.expect("INVITE");
    world.hear(SECOND, &answer(&invite, 503));
    world.expect("ACK");
    world.silent();
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
}

#[test]
fn a_redirect_to_a_number_is_not_followed() {
    let mut world = with(vec![provider()]);
    world.call(Destination::Sip("bob@example.com".into()));
    let invite = world.expect("INVITE");
    let moved = crate::world::answer_as("t", &invite, 302, &[("Contact", "<sip:+4690012345678@example.com>")], false);
    world.hear(FIRST, &moved);
    world.expect("ACK");
    world.silent();
    assert_eq!(world.app().last(), Some(&"ended FAILURE"));
}

#[test]
fn a_trunk_sees_no_number_that_was_not_verified_in_sip_calls_either() {
    let shown = |trunks: Vec<Trunk>, user: &str, caller_id: Option<&str>, to: &str| {
        let mut world = World::of(trunks, &[], Emergency::default(), user);
        world.grant = Ok(Grant { paid: None, more: false, caller_id: caller_id.map(str::to_owned) });
        world.call(Destination::Sip(to.into()));
        let invite = world.expect("INVITE");
        assert!(!invite.to_ascii_lowercase().contains("p-asserted-identity") && !invite.contains("Remote-Party-ID"), "{invite}");
        let from = field(&invite, "from");
        from.split(";tag=").next().unwrap_or_default().to_owned()
    };
    let own = || Trunk { caller_ids: vec!["+4640".into()], ..provider() };
    let verified = format!("<sip:+46401234@{DOMAIN};user=phone>");
    let withheld = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    for (trunk, user, caller_id, from) in [
        (own(), "alice", None, format!("<sip:alice@{DOMAIN}>")),
        (own(), "1001", None, withheld.to_owned()),
        (own(), "1001", Some("+46401234"), verified.clone()),
        (own(), "1001", Some("+4681234"), withheld.to_owned()),
        (own(), "123456", None, withheld.to_owned()),
        (own(), "+46abc", None, withheld.to_owned()),
        (provider(), "118118", None, withheld.to_owned()),
        (provider(), "118118", Some("+4681234"), format!("<sip:+4681234@{DOMAIN};user=phone>")),
    ] {
        assert_eq!(shown(vec![trunk], user, caller_id, "bob@example.com"), from, "{user} {caller_id:?}");
    }
    assert_eq!(shown(vec![pbx()], "1001", None, "bob@pbx.example"), format!("<sip:1001@{DOMAIN}>"), "an extension among others");
    let restricted = Trunk { caller_ids: vec!["+4640".into()], ..pbx() };
    assert_eq!(shown(vec![restricted], "1001", None, "bob@pbx.example"), withheld);
}

#[test]
fn who_calls_by_telephone_is_known_by_the_trunk_and_not_by_the_name() {
    let rung = |trunk: Trunk, from: &str| {
        let mut world = with(vec![trunk]);
        let place = world.exchange.b2bua().trunks().footprint();
        assert!(place < 100);
        let text = format!(
            "INVITE sip:+46401234@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcall;rport\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag=theirs\r\nTo: <sip:+46401234@198.51.100.1>\r\nCall-ID: incoming\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:theirs@192.0.2.1:5060>\r\nP-Asserted-Identity: <sip:+46709999999@192.0.2.1;user=phone>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
            SDP.len()
        );
        world.hear(FIRST, &text);
        world.run(1_000);
        let id = *world.pages[0].calls.last().unwrap_or_else(|| panic!("it rings: {:#?}", world.log));
        let info = world.pages[0].client.call_info(id).expect("a call");
        (info.domain, info.from_id.clone())
    };
    let at_first = |trunk: Trunk| Trunk { address: FIRST.into(), ..trunk };
    for (from, id) in [
        ("<sip:+46709999999@192.0.2.1;user=phone>", "+46709999999"),
        ("<sip:+46709999999@192.0.2.1>", "+46709999999"),
        ("<sip:46709999999@192.0.2.1>", "46709999999"),
        ("<sip:4611@192.0.2.1;user=Phone>", "4611"),
        ("<tel:+46709999999>", "+46709999999"),
    ] {
        assert_eq!(rung(provider(), from), (Domain::Pstn, id.to_owned()), "{from}");
        let nameless = Trunk { prefixes: Vec::new(), domains: Vec::new(), ..provider() };
        assert_eq!(rung(nameless, from), (Domain::Pstn, id.to_owned()), "a trunk for incoming calls only: {from}");
        let (domain, shown) = rung(at_first(pbx()), from);
        assert_eq!((domain, shown.split('@').next()), (Domain::Sip, Some(id)), "no telephones there: {from}");
    }
    for from in ["<sip:carol@192.0.2.1>", "<sip:1001@192.0.2.1>", "<im:+46709999999@192.0.2.1>"] {
        assert_eq!(rung(provider(), from).0, Domain::Sip, "{from}");
    }
}

#[test]
fn no_user_passes_for_a_telephone() {
    let mut world = with(vec![provider()]);
    world.open_page("bob");
    world.run(1_000);
    world.call_with(Destination::User("bob".into()), &[("P-Asserted-Identity", "<sip:+46701112233@x;user=phone>")]);
    let info = world.pages[1].client.call_info(world.pages[1].calls[0]).expect("it rings");
    assert_eq!((info.domain, info.from_id.as_str()), (Domain::Data, "alice"));
}
