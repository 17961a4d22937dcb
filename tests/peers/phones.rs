//! Calls to phones and SIP addresses, and from them: destinations, early media, errors, and the credit. One client, and a gateway that does
//! exactly what a test says.

use offhook::client::call::{CallId, CallInfo, Destination, Domain, EndCause, State};
use offhook::client::{IceState, Input};
use offhook_sip::{Name, Writer, parse};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::keep;
use super::page::{Page, established, sdp};

const TYPE: &str = "Content-Type: application/sdp\r\n";
const NUMBER: &str = "+14155550101";

/// A page that has called a phone.
fn dialled() -> (Page, CallId) {
    calling(Destination::Phone(NUMBER.into()))
}

fn calling(to: Destination) -> (Page, CallId) {
    let mut page = Page::signed_in();
    let id = page.dial(to);
    assert_eq!(page.events, ["LocalStream NONE"]);
    page.events.clear();
    (page, id)
}

/// Has the gateway answer the offer, so that ICE and DTLS come up, without early media.
fn connecting() -> (Page, CallId) {
    let (mut page, id) = dialled();
    page.answer_as("INVITE", 183, "peer", early("inactive", 1), &lite());
    page.answer("PRACK", 200, |answer| answer);
    (page, id)
}

/// A reliable provisional response that says whether there is early media (RFC 3262, RFC 5009).
fn early(media: &'static str, number: u32) -> impl Fn(Writer) -> Writer {
    move |answer| answer.field("Require", "100rel").number("RSeq", number).field("P-Early-Media", media)
}

/// The description of a gateway that is ICE-lite (RFC 8445, 2.5): one candidate, and no `trickle` option.
fn lite() -> String {
    sdp(2).replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n").replace("a=setup:actpass", "a=setup:passive")
}

fn told(page: &Page) -> CallInfo {
    CallInfo::clone(page.told.last().unwrap())
}

/// Checks that the call is over, and that nothing is left of it.
fn over(page: &mut Page) {
    page.wait(200_000);
    assert!(page.client.is_clean(), "{:#?}", page.ladder);
}

#[test]
fn a_call_to_an_invalid_number_ends_with_the_error() {
    let mut page = Page::signed_in();
    for (number, fault) in [
        ("", "begins with +"),
        ("0701234567", "begins with +"),
        ("14155550101", "begins with +"),
        ("+0701234567", "without its leading 0"),
        ("+1 415 555 0101", "nothing but digits"),
        ("+1415CALLNOW", "nothing but digits"),
        ("+14155550101;x=y", "nothing but digits"),
        ("+14155550101\r\nX: y", "nothing but digits"),
        ("+123456", "7 to 15 digits"),
        ("+1234567890123456", "7 to 15 digits"),
        ("+", "7 to 15 digits"),
    ] {
        let error = page.fault_of(Destination::Phone(number.into()), Vec::new()).expect(number);
        assert_eq!((error.domain(), error.code()), (5, 6003), "{number}");
        assert!(error.to_string().contains(fault), "{number}: {}", error);
    }
    page.dial(Destination::Phone(NUMBER.into()));
    let invite = page.last("INVITE");
    assert_eq!(parse(invite.as_bytes()).unwrap().uri(), Some("sip:+14155550101@s.test;user=phone"));
}

#[test]
fn a_call_to_an_invalid_address_ends_with_the_error() {
    let mut page = Page::signed_in();
    for address in [
        "",
        "alice",
        "@b.example",
        "a@",
        "a b@c.d",
        "a@b@c.d",
        "sips:a@b.example",
        "a:secret@b.example",
        "a@b.example?x=y",
        "ä@b.c",
        "a@b,c",
    ] {
        let error = page.fault_of(Destination::Sip(address.into()), Vec::new()).expect(address);
        assert_eq!((error.domain(), error.code()), (5, 6003), "{address}");
    }
    for address in ["Alice@SipProviderA.com", "sip:Alice@SipProviderA.com", "+14155550101@carrier.example:5070", "a@[::1]"] {
        let call = page.dial(Destination::Sip(address.into()));
        assert!(page.last("INVITE").contains(address), "{address}");
        page.client.hangup(page.now, call).unwrap();
    }
    for name in ["subject", "x", "X-Error", "x-ice-server", "x-a b", "x-a:", "x-a\r\ny"] {
        let headers = vec![(name.to_owned(), "1".to_owned())];
        assert!(page.fault_of(Destination::Sip("a@b.example".into()), headers).is_some(), "{name}");
    }
}

#[test]
fn a_call_that_cannot_be_placed_ends_with_the_error_and_sends_nothing() {
    let mut page = Page::signed_in();
    for (to, why) in [
        (Destination::User(String::new()), "no user"),
        (Destination::User("a\r\nb".into()), "control characters"),
        (Destination::User("é".repeat(2_500)), "5000"),
        (Destination::Conference(String::new()), "no room"),
        (Destination::Conference("x".repeat(65)), "65"),
        (Destination::Conference("a\u{7}".into()), "control characters"),
    ] {
        let error = page.fault_of(to.clone(), Vec::new()).unwrap();
        assert_eq!((error.domain(), error.code()), (5, 6003), "{to:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
    for (name, value) in [("Via: x", "1"), ("x-a", "b\r\nVia: c"), ("", "x"), ("X-Error", "1"), ("x-é", "1")] {
        let error = page.fault_of(Destination::User("bob".into()), vec![(name.to_owned(), value.to_owned())]).unwrap();
        assert_eq!((error.domain(), error.code()), (5, 6003), "{name}");
    }
    over(&mut page);
}

#[test]
fn a_call_that_cannot_be_placed_can_be_hung_up_and_muted() {
    let mut page = Page::signed_in();
    let id = page.dial(Destination::User(String::new()));
    assert_eq!((page.state(id), page.events.len()), (State::Initiating, 0), "its end is told later");
    page.client.mute(id, true).unwrap();
    page.client.send_dtmf(page.now, id, "1").unwrap();
    assert!(page.client.answer(page.now, id, true).is_err(), "it is our own");
    page.client.hangup(page.now, id).unwrap();
    page.drain();
    assert_eq!((page.events.as_slice(), page.sent.len()), (["Ended FAILURE".to_owned()].as_slice(), 0));
    assert_eq!(told(&page).error.map(|error| error.code()), Some(6_003));
    over(&mut page);
}

#[test]
fn the_error_of_a_rejected_call_has_code_reason_and_headers() {
    let (mut page, _) = calling(Destination::Sip("Alice@SipProviderA.com".into()));
    page.answer("INVITE", 486, |answer| answer.field("x-queue", "3").field("Reason", "Q.850;cause=17"));
    assert_eq!(page.events, ["Progressing NONE", "Ended DENIED"], "as the original SDK shows a rejection");
    let error = told(&page).error.unwrap();
    assert_eq!((error.domain(), error.code(), error.to_string().as_str()), (3, 486, "486 Busy Here"));
    let response = error.response().unwrap();
    assert_eq!(response.reason, "Busy Here");
    for (name, value) in [("x-queue", "3"), ("Reason", "Q.850;cause=17")] {
        assert!(response.headers.contains(&(name.to_owned(), value.to_owned())), "{name}: {:?}", response.headers);
    }
    over(&mut page);
}

#[test]
fn without_credit_it_fails_with_the_gateways_code() {
    let (mut page, _) = dialled();
    page.answer("INVITE", 402, |answer| answer.field("X-Error", "40200 Not enough credit"));
    assert_eq!(page.events, ["Ended FAILURE"]);
    let error = told(&page).error.unwrap();
    assert_eq!((error.code(), error.to_string().as_str()), (40200, "40200 Not enough credit"));
    assert_eq!(error.response().unwrap().reason, "Not enough credit");
}

#[test]
fn each_rejection_has_its_end_cause() {
    for (code, rings, cause) in [
        (403, false, EndCause::Failure),
        (404, false, EndCause::Failure),
        (408, false, EndCause::Timeout),
        (480, false, EndCause::Timeout),
        (480, true, EndCause::NoAnswer),
        (486, false, EndCause::Denied),
        (488, false, EndCause::Failure),
        (503, true, EndCause::Failure),
        (600, false, EndCause::Denied),
        (603, true, EndCause::Denied),
        (604, false, EndCause::Failure),
    ] {
        let (mut page, _) = connecting();
        if rings {
            page.answer("INVITE", 180, |answer| answer);
        }
        page.answer("INVITE", code, |answer| answer);
        let info = told(&page);
        assert_eq!(info.end_cause, cause, "{code}");
        assert_eq!(info.error.unwrap().code(), i32::from(code), "the response of another network is told in any case");
    }
}

#[test]
fn a_183_without_early_media_does_not_ring_yet() {
    let (mut page, id) = connecting();
    assert_eq!(page.state(id), State::Initiating);
    page.wait(20_000);
    assert_eq!(page.state(id), State::Initiating, "the gateway has responded");
    page.answer("INVITE", 180, |answer| answer);
    page.answer("INVITE", 200, |answer| answer);
    assert_eq!(page.events, ["Progressing NONE", "Established NONE"]);
    assert_eq!(page.count("ACK"), 1);
}

#[test]
fn early_media_establishes_the_call() {
    let (mut page, id) = connecting();
    page.answer("INVITE", 183, early("sendonly", 2));
    page.answer("PRACK", 200, |answer| answer);
    assert_eq!(page.events, ["Established NONE"], "with nothing before it");
    assert!(!page.commands.contains(&"Sound".to_owned()), "nothing is sent before the answer");
    page.wait(60_000);
    page.answer("INVITE", 200, |answer| answer);
    assert_eq!(page.events, ["Established NONE"], "nothing that the app sees changes");
    assert_eq!(page.commands.last().map(String::as_str), Some("Sound"));
    page.client.hangup(page.now, id).unwrap();
    page.drain();
    page.answer("BYE", 200, |answer| answer);
    assert_eq!(told(&page).end_cause, EndCause::HungUp);
    over(&mut page);
    keep("early-media", &page.ladder);
}

#[test]
fn it_may_ring_before_early_media() {
    let (mut page, _) = connecting();
    page.answer("INVITE", 180, early("inactive", 2));
    page.answer("INVITE", 180, |answer| answer);
    page.answer("INVITE", 183, early("sendrecv, gated", 3));
    assert_eq!(page.events, ["Progressing NONE", "Established NONE"]);
}

#[test]
fn early_media_waits_for_the_description_to_be_applied() {
    let (mut page, id) = dialled();
    page.taking = Some(Vec::new());
    page.answer_as("INVITE", 183, "peer", |answer| answer.field("P-Early-Media", "sendonly"), &lite());
    assert_eq!(page.state(id), State::Progressing);
    assert!(page.events.is_empty(), "{:?}", page.events);
    let task = page.taking.take().unwrap()[0];
    page.input(Input::Answered { task, result: offhook::client::TaskResult::Done });
    assert_eq!(page.events, ["Established NONE"]);
}

#[test]
fn a_call_with_early_media_that_is_rejected_ends_with_its_own_cause() {
    for (code, cause) in [(486, EndCause::Denied), (480, EndCause::NoAnswer), (404, EndCause::Failure)] {
        let (mut page, _) = connecting();
        page.answer("INVITE", 183, early("sendonly", 2));
        page.answer("INVITE", code, |answer| answer);
        assert_eq!(page.events, ["Established NONE".to_owned(), format!("Ended {}", cause.as_str())]);
        assert_eq!(told(&page).error.unwrap().code(), i32::from(code));
        if code == 486 {
            keep("early-media-refused", &page.ladder);
        }
        over(&mut page);
    }
}

#[test]
fn hanging_up_a_call_with_early_media_cancels_it() {
    let (mut page, id) = connecting();
    page.answer("INVITE", 183, early("sendonly", 2));
    page.client.hangup(page.now, id).unwrap();
    page.drain();
    assert_eq!((page.count("CANCEL"), page.count("BYE")), (1, 0));
    assert_eq!(told(&page).end_cause, EndCause::HungUp);
    page.answer("CANCEL", 200, |answer| answer);
    page.answer("INVITE", 487, |answer| answer);
    over(&mut page);
}

#[test]
fn an_answer_after_early_media_is_as_any_other() {
    let (mut page, id) = connecting();
    let peer = page.peer.unwrap();
    page.answer("INVITE", 183, early("sendonly", 2));
    page.input(Input::IceState { peer, state: IceState::Connected });
    page.wait(30_000);
    page.answer("INVITE", 200, |answer| answer);
    page.wait(600_000);
    assert_eq!(page.state(id), State::Established, "no timer of the INVITE is left");
    let (mut page, id) = connecting();
    page.answer("INVITE", 183, early("sendonly", 2));
    page.answer("INVITE", 200, |answer| answer);
    page.wait(100_000);
    assert_eq!(page.state(id), State::Ended, "no path ever came up");
}

#[test]
fn a_connection_that_is_lost_during_early_media_has_the_invite_retransmitted() {
    let (mut page, id) = connecting();
    page.answer("INVITE", 183, early("sendonly", 2));
    page.input(Input::Closed { code: 1006, reason: String::new() });
    page.wait(500);
    page.input(Input::Opened);
    page.answer("REGISTER", 200, |answer| answer);
    page.wait(3_000);
    assert_eq!(page.count("UPDATE") + page.count("BYE"), 0);
    assert_eq!(page.count("INVITE"), 3, "a retransmission, and then a new transaction");
    page.answer("INVITE", 200, |answer| answer);
    assert_eq!(page.state(id), State::Established);
    assert_eq!(page.commands.last().map(String::as_str), Some("Sound"));
}

#[test]
fn an_early_answer_without_p_early_media_is_no_early_media() {
    let (mut page, id) = dialled();
    page.answer_as("INVITE", 183, "peer", |answer| answer.field("Require", "100rel").number("RSeq", 1), &lite());
    assert_eq!(page.state(id), State::Progressing);
    page.answer("INVITE", 200, |answer| answer);
    assert_eq!(page.events, ["Progressing NONE", "Established NONE"]);
}

#[test]
fn a_warning_about_the_credit_is_an_event() {
    let (mut page, id) = connecting();
    let invite = page.last("INVITE");
    assert!(parse(invite.as_bytes()).unwrap().has_token(Name::RecvInfo, "offhook-credit"));
    page.answer("INVITE", 200, |answer| answer);
    page.events.clear();
    let package = "Info-Package: offhook-credit\r\nContent-Type: application/json\r\n";
    for (number, body, seconds) in
        [(11, "{\"seconds\":30}", 30), (12, "{}", 0), (13, "{\"seconds\":99999999999}", 0), (14, "{\"seconds\":7,\"amount\":1}", 7)]
    {
        page.ask("INFO", number, package, body);
        assert_eq!(page.code(), 200);
        assert_eq!(page.events.pop(), Some(format!("CreditLow({seconds}) NONE")), "{body}");
    }
    page.ask("INFO", 15, "Info-Package: weather\r\n", "");
    assert_eq!(page.code(), 469);
    assert_eq!(page.state(id), State::Established);
}

#[test]
fn a_caller_from_outside_has_its_own_name() {
    for (from, domain, id) in [
        ("\"+46 70\" <sip:+46700000001@s.test;user=phone>", Domain::Pstn, "+46700000001"),
        ("<sip:+46700000001@s.test;user=Phone>", Domain::Pstn, "+46700000001"),
        ("<sip:4611@s.test;user=phone>", Domain::Pstn, "4611"),
        // Only the server says who is a telephone, and not a name that looks like a number.
        ("<sip:+46700000001@s.test>", Domain::Data, "+46700000001"),
        ("<sip:+46700000001@other.example>", Domain::Sip, "+46700000001@other.example"),
        ("<sip:+46700000001@s.test;user=ip>", Domain::Sip, "+46700000001@s.test"),
        ("<sip:carol@other.example>", Domain::Sip, "carol@other.example"),
        ("\"Anonymous\" <sip:anonymous@anonymous.invalid>", Domain::Sip, "anonymous@anonymous.invalid"),
        ("<sip:carol@s.test;user=ip>", Domain::Sip, "carol@s.test"),
        ("<sip:carol@s.test>", Domain::Data, "carol"),
    ] {
        let mut page = Page::signed_in();
        page.ring_from(from, &format!("x-one: 1\r\nX-Header-two: 2\r\nX-Error: 1\r\n{TYPE}"), &lite());
        let info = page.client.call_info(CallId(1)).unwrap();
        assert_eq!((info.domain, info.from_id.as_str()), (domain, id), "{from}");
        let headers = [("x-one", "1"), ("two", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(info.headers, headers);
        page.client.answer(page.now, CallId(1), false).unwrap();
        page.drain();
        assert!(page.sent.last().unwrap().starts_with("SIP/2.0 200"));
        assert_eq!(page.state(CallId(1)), State::Established);
    }
}

#[test]
fn a_server_may_assert_that_a_telephone_calls() {
    for (asserted, domain, id) in [
        ("<sip:+46700000001@s.test;user=phone>", Domain::Pstn, "+46700000001"),
        ("\"Desk\" <sip:4611@s.test;user=phone>", Domain::Pstn, "4611"),
        ("<sip:+46700000001@s.test>", Domain::Data, "carol"),
        ("<<", Domain::Data, "carol"),
    ] {
        let mut page = Page::signed_in();
        page.ring_from("<sip:carol@s.test>", &format!("P-Asserted-Identity: {asserted}\r\n{TYPE}"), &lite());
        let info = page.client.call_info(CallId(1)).unwrap();
        assert_eq!((info.domain, info.from_id.as_str()), (domain, id), "{asserted}");
    }
}

#[test]
fn emergency_numbers_are_checked_by_the_server() {
    for number in ["112", "911", "1122", "10111"] {
        let mut page = Page::signed_in();
        page.dial(Destination::Phone(number.into()));
        let invite = page.last("INVITE");
        assert_eq!(parse(invite.as_bytes()).unwrap().uri(), Some(format!("sip:{number}@s.test;user=phone").as_str()));
        page.answer("INVITE", 403, |answer| answer.field("X-Error", "40310 Emergency calls are not possible here"));
        assert_eq!(told(&page).error.unwrap().code(), 40310);
    }
    let mut page = Page::signed_in();
    for number in ["1", "12", "118118", "1 1 2", "1-1-2", "+112", "11a", "\u{661}\u{661}\u{662}"] {
        assert!(page.fault_of(Destination::Phone(number.into()), Vec::new()).is_some(), "{number}");
    }
}

#[test]
fn a_gateway_that_is_ice_lite_gets_no_candidates_later() {
    let (mut page, id) = connecting();
    page.answer("INVITE", 200, |answer| answer);
    let peer = page.peer.unwrap();
    let text = "candidate:2 1 udp 2 192.0.2.77 4000 typ srflx";
    let candidate = offhook_sip::sdp::Candidate { mid: "0".into(), line: 0, text: text.into(), ufrag: None };
    page.input(Input::Candidate { peer, candidate });
    page.input(Input::Gathered { peer });
    page.input(Input::IceState { peer, state: IceState::Connected });
    page.wait(60_000);
    assert_eq!((page.count("INFO"), page.count("INVITE")), (0, 1), "it learns them from the checks");
    assert_eq!(page.state(id), State::Established);
}

/// RFC 3261, 12.1.2 asks for a Contact; whoever sends none is reached at the URI that was called.
#[test]
fn a_phone_without_a_contact_gets_requests_that_it_can_read() {
    let (mut page, id) = dialled();
    page.answer_without_contact("INVITE", 180, "peer", |answer| answer.field("Require", "100rel").number("RSeq", 1), "");
    page.answer_without_contact("PRACK", 200, "peer", |answer| answer, "");
    page.answer_without_contact("INVITE", 200, "peer", |answer| answer, &lite());
    assert_eq!(page.state(id), State::Established);
    page.client.hangup(page.now, id).unwrap();
    page.drain();
    for method in ["PRACK", "ACK", "BYE"] {
        let request = page.last(method);
        assert_eq!(parse(request.as_bytes()).unwrap().uri(), Some("sip:+14155550101@s.test;user=phone"), "{method}");
    }
}

#[test]
fn a_phone_that_holds_the_call_keeps_it_up() {
    let (mut page, id) = connecting();
    page.answer("INVITE", 200, |answer| answer);
    let peer = page.peer;
    for (number, direction) in [(10, "sendonly"), (11, "inactive"), (12, "sendrecv")] {
        let offer = lite().replace("a=sendrecv", &format!("a={direction}")).replace("a=setup:passive", "a=setup:actpass");
        page.ask("INVITE", number, TYPE, &offer);
        assert_eq!(page.code(), 200);
        let given = page.offers.last().unwrap();
        assert!(given.contains(&format!("a={direction}")) && given.contains("a=ice-lite"), "{given}");
        page.ask("ACK", number, "", "");
    }
    assert_eq!((page.peer, page.state(id)), (peer, State::Established), "over the same peer connection");
    assert_eq!(page.events, ["Progressing NONE", "Established NONE"], "the app is told nothing of it");
}

#[test]
fn a_call_that_is_cut_off_fails_with_the_reason() {
    let credit = "Reason: SIP;cause=402;text=\"Not enough credit\"\r\nX-Error: 40200 Not enough credit";
    for (fields, code, message) in [
        (credit, 40_200, "40200 Not enough credit"),
        ("Reason: SIP;cause=402;text=\"Not enough credit\"", 402, "402 Not enough credit"),
        ("Reason: SIP;cause=408;text=\"No media from the phone\"", 408, "408 No media from the phone"),
        ("Reason: SIP;cause=503", 503, "503 Service Unavailable"),
        ("Reason: Q.850;cause=38;text=\"Network out of order\"", 38, "38 Network out of order"),
        ("Reason: Q.850;cause=41", 41, "41 The call was ended by the network"),
        ("Reason: SIP;cause=200, Q.850;cause=38", 38, "38 The call was ended by the network"),
        ("Reason: SIP;text=\"bye\", Q.850;cause=38;text=\"Network out of order\"", 38, "38 Network out of order"),
        ("Reason: Q.850;cause=16, SIP;cause=500", 500, "500 Server Internal Error"),
    ] {
        let (mut page, _) = established();
        page.ask("BYE", 2, &format!("{fields}\r\n"), "");
        let info = told(&page);
        let error = info.error.unwrap_or_else(|| panic!("{fields}: no error"));
        assert_eq!(
            (info.end_cause, error.domain(), error.code(), error.to_string().as_str()),
            (EndCause::Failure, 3, code, message)
        );
        let headers = &error.response().unwrap().headers;
        assert!(headers.iter().any(|(name, value)| name == "Reason" && fields.contains(value)), "{headers:?}");
        over(&mut page);
    }
}

#[test]
fn a_call_that_somebody_hangs_up_has_no_error() {
    for fields in [
        "X-Way: out",
        "Reason: Q.850;cause=16;text=\"Normal call clearing\"",
        "Reason: Q.850;cause=31",
        "Reason: Q.850;cause=0",
        "Reason: SIP;cause=200;text=\"Call completed elsewhere\"",
        "Reason: Q.850;cause=127;text=\"Interworking, unspecified\"",
        "Reason: SIP;text=\"bye\"",
        "Reason: private;cause=900",
        "Reason: ;;;",
        "X-Error: nonsense",
    ] {
        let (mut page, _) = established();
        page.ask("BYE", 2, &format!("{fields}\r\n"), "");
        let info = told(&page);
        assert_eq!((info.end_cause, info.error), (EndCause::HungUp, None), "{fields}");
        over(&mut page);
    }
}

const MIXED: &str = "Content-Type: multipart/mixed;\r\n boundary=\"=_of the server\"\r\n";

/// A body that a border controller has made: with a preamble, the signalling of another network, and the description.
fn mixed(sdp: &str) -> String {
    format!(
        "The parts follow.\r\n--=_of the server\r\nContent-Type: application/ISUP\r\nContent-Disposition: signal;handling=optional\r\n\r\n\
         \u{1}\r\n--=_of the server\r\nContent-Type: multipart/alternative;boundary=in\r\n\r\n--in\r\n\r\nhello\r\n\
         --in\r\nContent-Type: application/sdp\r\n\r\n{sdp}--in--\r\n\r\n--=_of the server--\r\n"
    )
}

#[test]
fn descriptions_among_other_parts_are_read() {
    let (mut page, id) = dialled();
    let kind = |answer: Writer| answer.field("Content-Type", "multipart/mixed;boundary=\"=_of the server\"");
    page.answer("INVITE", 180, |answer| answer);
    let invite = page.last("INVITE");
    let ok = kind(offhook_sip::reply(&parse(invite.as_bytes()).unwrap(), offhook_sip::StatusCode::OK, Some("peer")));
    let (ok, body) = (ok.field("Contact", "<sip:peer@peer.test>").end(), mixed(&lite()));
    page.input(Input::Received(ok.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len()))));
    assert_eq!(page.state(id), State::Established);
    let peer = page.peer.unwrap();
    page.input(Input::IceState { peer, state: IceState::Connected });
    // A hold, and a body that cannot be read: it takes no part in the call.
    let hold = lite().replace("a=sendrecv", "a=sendonly").replace("a=setup:passive", "a=setup:actpass");
    page.ask("INVITE", 10, MIXED, &mixed(&hold));
    assert_eq!(page.code(), 200);
    assert!(page.sent.last().unwrap().contains("Content-Type: application/sdp\r\n"), "{}", page.sent.last().unwrap());
    page.ask("ACK", 10, "", "");
    let tasks = page.ladder.len();
    page.ask("INVITE", 11, MIXED, &mixed(&hold).replace("application/sdp", "text/html"));
    assert_eq!(page.code(), 415);
    assert!(page.sent.last().unwrap().contains("Accept: application/sdp\r\n"), "{}", page.sent.last().unwrap());
    page.ask("ACK", 11, "", "");
    page.ask("UPDATE", 12, "Require: frob\r\n", "");
    assert_eq!(page.code(), 420);
    page.wait(60_000);
    assert_eq!((page.state(id), page.count("BYE")), (State::Established, 0), "{:#?}", &page.ladder[tasks..]);
}

#[test]
fn a_call_with_a_description_among_other_parts_rings_and_is_answered() {
    let mut page = Page::signed_in();
    let offer = sdp(2);
    page.ring_from("<sip:+46-70-999.99.99;npdi;rn=+46708@s.test;user=phone>", MIXED, &mixed(&offer));
    assert_eq!(page.code(), 180);
    let caller = page.client.call_info(CallId(1)).map(|info| (info.domain, info.from_id.clone()));
    assert_eq!(caller, Some((Domain::Pstn, "+46709999999".to_owned())));
    page.client.answer(page.now, CallId(1), true).unwrap();
    page.drain();
    assert_eq!(page.code(), 200);
    assert!(page.sent.last().unwrap().contains("a=setup:"), "{}", page.sent.last().unwrap());
}
