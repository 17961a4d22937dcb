//! One client against peers and servers of others: messages written by hand. The ladders in `tests/peers/ladders` can be checked by a person;
//! `BLESS=1` writes them.

mod leaving;
mod odd_descriptions;
mod page;
mod phones;
mod promises;
mod races;
mod session_timers;
mod signing_in;

use std::time::Duration;

use offhook::client::call::{CallId, Destination, EndCause, State};
use offhook::client::{IceState, Input, Login, MediaError, Output, TaskKind, TaskResult};
use offhook_sip::{Algorithm, Challenge, Credentials, Message, Name, StatusCode, ha1, parse, reply};
use offhook_ua::random::Random;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use page::{Page, established, sdp};
use signing_in::challenge;

/// Compares with the kept ladder.
fn keep(name: &str, ladder: &[String]) {
    offhook_testing::ladder::keep(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/ladders"), name, ladder);
}

const TYPE: &str = "Content-Type: application/sdp\r\n";

#[test]
fn a_peer_without_any_extension_is_called() {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer("INVITE", 180, |answer| answer);
    assert_eq!(page.state(id), State::Progressing);
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2));
    assert_eq!(page.count("ACK"), 1);
    assert_eq!(page.count("INFO"), 0, "the peer does not take candidates by INFO");
    assert_eq!(page.count("PRACK"), 0);
    page.client.hangup(page.now, id).unwrap();
    page.drain();
    let bye = page.last("BYE");
    assert_eq!(parse(bye.as_bytes()).unwrap().uri(), Some("sip:peer@peer.test"));
    page.answer("BYE", 200, |answer| answer);
    page.wait(100_000);
    assert!(page.client.is_clean());
}

#[test]
fn a_retransmitted_2xx_gets_the_same_ack() {
    let (mut page, _) = established();
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2));
    let acks: Vec<&String> = page.sent.iter().filter(|text| text.starts_with("ACK")).collect();
    assert_eq!(acks.len(), 2);
    assert_eq!(acks[0], acks[1]);
}

#[test]
fn a_second_fork_that_answers_gets_ack_and_bye() {
    let (mut page, id) = established();
    page.answer_as("INVITE", 200, "other", |answer| answer, &sdp(3));
    assert_eq!(page.count("ACK"), 2);
    let bye = page.last("BYE");
    assert_eq!(parse(bye.as_bytes()).unwrap().to().unwrap().tag(), Some("other"));
    assert_eq!(page.state(id), State::Established);
}

#[test]
fn reliable_provisional_responses_are_acknowledged_once_and_in_order() {
    let mut page = Page::signed_in();
    page.call();
    let reliable = |number: u32| move |answer: offhook_sip::Writer| answer.field("Require", "100rel").number("RSeq", number);
    page.answer("INVITE", 180, reliable(10));
    page.answer("INVITE", 180, reliable(10));
    page.answer("INVITE", 183, reliable(12));
    assert_eq!(page.count("PRACK"), 1);
    page.answer("INVITE", 183, reliable(11));
    assert_eq!(page.count("PRACK"), 2);
    let prack = page.last("PRACK");
    assert_eq!(parse(prack.as_bytes()).unwrap().get(Name::RAck), Some("11 1 INVITE"));
}

#[test]
fn an_answer_without_a_session_description_ends_the_call() {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer("INVITE", 200, |answer| answer);
    assert_eq!(page.state(id), State::Ended);
    assert_eq!((page.count("ACK"), page.count("BYE")), (1, 1));
}

#[test]
fn a_plain_rtp_answer_is_rejected() {
    let mut page = Page::signed_in();
    let id = page.call();
    let plain = "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    page.answer_as("INVITE", 200, "peer", |answer| answer, plain);
    assert_eq!(page.state(id), State::Ended);
}

#[test]
fn a_server_that_demands_longer_intervals_gets_them() {
    let mut page = Page::signed_in();
    page.call();
    page.answer("INVITE", 422, |answer| answer.field("Min-SE", "3600"));
    let invite = page.last("INVITE");
    let invite = parse(invite.as_bytes()).unwrap();
    assert_eq!(invite.get(Name::SessionExpires), Some("3600"));
    assert_eq!(invite.get(Name::MinSe), Some("3600"), "no UAS may answer with less (RFC 4028, 7.3)");
    assert_eq!(invite.cseq().unwrap().number, 2);
}

#[test]
fn an_invite_without_an_offer_gets_one() {
    let mut page = Page::signed_in();
    page.ring("", "");
    assert_eq!(page.code(), 180);
    page.client.answer(page.now, CallId(1), false).unwrap();
    page.drain();
    let ok = page.sent.last().unwrap().clone();
    assert!(ok.starts_with("SIP/2.0 200") && ok.contains("m=audio"), "{ok}");
    let to = parse(ok.as_bytes()).unwrap().get(Name::To).unwrap().to_owned();
    assert_eq!(page.state(CallId(1)), State::Progressing);
    let ack = format!(
        "ACK sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bKack\r\nMax-Forwards: 70\r\n\
         From: \"Bob\" <sip:bob@s.test>;tag=peer\r\nTo: {to}\r\nCall-ID: in\r\nCSeq: 5 ACK\r\n{TYPE}Content-Length: {}\r\n\r\n{}",
        sdp(2).len(),
        sdp(2)
    );
    page.input(Input::Received(ack));
    assert_eq!(page.state(CallId(1)), State::Established);
}

#[test]
fn what_is_not_supported_is_rejected_with_its_status() {
    for (more, body, code, lists) in [
        ("Require: timer, nonsense\r\n", "", 420, "Unsupported: nonsense\r\n"),
        (TYPE, "v=0\r\nm=audio 1 RTP/AVP 0\r\n", 488, ""),
        ("Content-Type: text/plain\r\n", "hello", 415, "Accept: application/sdp\r\n"),
        ("Session-Expires: 30\r\nSupported: timer\r\n", "", 422, "Min-SE: 90\r\n"),
        ("Accept: text/plain\r\n", "", 406, ""),
    ] {
        let mut page = Page::signed_in();
        page.ring(more, body);
        assert_eq!(page.code(), code, "{more}");
        let answer = page.sent.last().unwrap();
        assert!(answer.contains(lists) && answer.contains("To: <sip:alice@s.test>;tag="), "{answer}");
        assert!(page.events.is_empty(), "the app is told nothing of it");
    }
}

#[test]
fn a_rejection_in_a_dialog_has_the_fields_of_its_status() {
    let (mut page, id) = established();
    let methods = "Allow: INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO, OPTIONS\r\n";
    let text = "Content-Type: text/plain\r\n";
    for (number, method, more, body, code, lists) in [
        (1, "NOTIFY", "", "", 405, methods),
        (2, "FROB", "", "", 501, methods),
        (3, "INFO", "Info-Package: other\r\n", "", 469, "Recv-Info: trickle-ice, offhook-credit\r\n"),
        (
            4,
            "INFO",
            text,
            "hello",
            415,
            "Accept: application/trickle-ice-sdpfrag, application/json, application/dtmf-relay, application/dtmf\r\n",
        ),
        (5, "INFO", "", "", 200, ""),
        (6, "INFO", "Require: frob\r\n", "", 420, "Unsupported: frob\r\n"),
        (7, "UPDATE", text, "hello", 415, "Accept: application/sdp\r\n"),
        (8, "INVITE", text, "hello", 415, "Accept: application/sdp\r\n"),
        (9, "INVITE", "Require: timer, frob\r\n", "", 420, "Unsupported: frob\r\n"),
        (10, "UPDATE", "Require: timer\r\n", "", 200, ""),
        (11, "INFO", "Content-Type: application/dtmf-relay\r\n", "Signal=1\r\nDuration=160\r\n", 200, ""),
    ] {
        page.ask(method, number, more, body);
        assert_eq!(page.code(), code, "{method}");
        assert!(page.sent.last().unwrap().contains(lists), "{}", page.sent.last().unwrap());
    }
    assert_eq!(page.state(id), State::Established);
}

/// RFC 3261, 9.2.
#[test]
fn the_response_to_a_cancel_has_the_tag_of_the_responses_to_its_invite() {
    let mut page = Page::signed_in();
    page.ring("", "");
    let tag = |text: &str| parse(text.as_bytes()).unwrap().to_tag().map(str::to_owned);
    let rang = tag(page.sent.last().unwrap());
    page.input(Input::Received(
        "CANCEL sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bKin\r\nMax-Forwards: 70\r\n\
         From: \"Bob\" <sip:bob@s.test>;tag=peer\r\nTo: <sip:alice@s.test>\r\nCall-ID: in\r\nCSeq: 5 CANCEL\r\nContent-Length: 0\r\n\r\n"
            .into(),
    ));
    let [.., ok, terminated] = &page.sent[..] else { panic!("{:#?}", page.sent) };
    assert!(ok.starts_with("SIP/2.0 200 ") && terminated.starts_with("SIP/2.0 487 "), "{ok}{terminated}");
    assert!(rang.is_some());
    assert_eq!((tag(ok), tag(terminated)), (rang.clone(), rang));
}

#[test]
fn each_response_but_100_has_a_tag() {
    let mut page = Page::signed_in();
    page.ring("", "");
    let invite = "INVITE sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bKother\r\nMax-Forwards: 70\r\n\
                  From: <sip:bob@s.test>;tag=else\r\nTo: <sip:alice@s.test>\r\nCall-ID: other\r\nCSeq: 5 INVITE\r\nContent-Length: 0\r\n\r\n";
    for method in ["OPTIONS", "CANCEL", "SUBSCRIBE", "BYE"] {
        page.input(Input::Received(invite.replace("INVITE", method)));
        let answer = page.sent.last().unwrap();
        assert!(
            answer.starts_with("SIP/2.0 ") && answer.contains(";tag=") && answer.contains("To: <sip:alice@s.test>;tag="),
            "{answer}"
        );
    }
}

#[test]
fn a_hold_is_answered_and_does_not_end_the_call() {
    let (mut page, id) = established();
    page.ask("INVITE", 1, TYPE, &sdp(2).replace("sendrecv", "sendonly"));
    assert_eq!(page.code(), 200);
    page.ask("ACK", 1, "", "");
    assert_eq!(page.state(id), State::Established);
    assert!(!page.commands.contains(&"Close".to_owned()));
    page.ask("UPDATE", 2, "", "");
    assert_eq!(page.code(), 200);
}

#[test]
fn silence_on_hold_is_no_lost_path() {
    for (direction, listens) in [("sendrecv", true), ("sendonly", true), ("recvonly", false), ("inactive", false)] {
        let (mut page, _) = established();
        let peer = page.peer.unwrap();
        page.ask("INVITE", 1, TYPE, &sdp(2).replace("sendrecv", direction));
        page.ask("ACK", 1, "", "");
        page.input(Input::IceState { peer, state: IceState::Connected });
        page.input(Input::Online);
        assert_eq!(page.commands.contains(&"Listen".to_owned()), listens, "{direction}");
    }
}

#[test]
fn an_offer_of_another_session_gets_another_peer_connection() {
    let (mut page, _) = established();
    page.ask("INVITE", 1, TYPE, &sdp(9));
    assert_eq!(page.code(), 200);
    assert!(page.commands.contains(&"Close".to_owned()));
    assert_eq!(page.commands.iter().filter(|command| *command == "Microphone").count(), 2);
}

#[test]
fn requests_out_of_order_and_unknown_ones_are_rejected() {
    let (mut page, id) = established();
    page.ask("INFO", 5, "Info-Package: unknown\r\n", "");
    assert_eq!(page.code(), 469);
    page.ask("INFO", 4, "", "");
    assert_eq!(page.code(), 500);
    page.ask("REFER", 6, "", "");
    assert_eq!(page.code(), 405);
    page.ask("BYE", 7, "", "");
    assert_eq!(page.code(), 200);
    assert_eq!(page.state(id), State::Ended);
    page.ask("BYE", 8, "", "");
    assert_eq!(page.code(), 481);
}

#[test]
fn dtmf_digits_go_by_info_one_after_the_other_without_telephone_event() {
    let (mut page, id) = established();
    page.client.send_dtmf(page.now, id, "5#").unwrap();
    page.drain();
    assert_eq!(page.count("INFO"), 1);
    assert!(page.last("INFO").contains("Signal=5\r\n"));
    page.answer("INFO", 200, |answer| answer);
    assert!(page.last("INFO").contains("Signal=#\r\n"));
}

#[test]
fn a_dialog_that_the_peer_does_not_know_ends() {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer_as(
        "INVITE",
        200,
        "peer",
        |answer| answer.field("Allow", "UPDATE").field("Session-Expires", "90;refresher=uac"),
        &sdp(2),
    );
    page.wait(46_000);
    assert_eq!(page.count("UPDATE"), 1);
    page.answer("UPDATE", 481, |answer| answer);
    assert_eq!(page.state(id), State::Ended);
}

#[test]
fn a_peer_without_update_is_refreshed_by_invite() {
    let mut page = Page::signed_in();
    page.call();
    page.answer_as("INVITE", 200, "peer", |answer| answer.field("Session-Expires", "90;refresher=uac"), &sdp(2));
    page.wait(46_000);
    assert_eq!(page.count("INVITE"), 2);
    page.answer_as("INVITE", 200, "peer", |answer| answer.field("Session-Expires", "90;refresher=uac"), &sdp(2));
    assert_eq!(page.count("ACK"), 2);
}

#[test]
fn a_malformed_message_harms_no_call() {
    let (mut page, id) = established();
    for text in [
        "",
        "\r\n\r\n",
        "nonsense",
        "SIP/2.0 200 OK\r\n\r\n",
        "INVITE sip:a@b SIP/2.0\r\nCSeq: 1 BYE\r\n\r\n",
        "BYE x SIP/7.0\r\n\r\n",
    ] {
        page.input(Input::Received(text.into()));
    }
    assert_eq!(page.state(id), State::Established);
}

#[test]
fn the_server_names_ice_servers() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
    page.answer("REGISTER", 200, |answer| {
        answer
            .field("X-ICE-Server", "<stun:s.test:3478>")
            .field("X-ICE-Server", "<turn:s.test:3478?transport=udp>;username=\"1:alice\";credential=\"a+b/c=\"")
    });
    page.client.call(page.now, Destination::User("bob".into()), Vec::new());
    let offer = std::iter::from_fn(|| page.client.poll()).find_map(|output| match output {
        Output::Task(task) => match task.kind {
            TaskKind::Offer { ice, .. } => Some(ice),
            _ => None,
        },
        _ => None,
    });
    let servers = offer.unwrap().servers;
    assert_eq!(servers[0].urls, ["stun:s.test:3478"]);
    assert_eq!(servers[1].urls, ["turn:s.test:3478?transport=udp"]);
    assert_eq!((servers[1].username.as_str(), servers[1].credential.as_str()), ("1:alice", "a+b/c="));
}

#[test]
fn a_call_without_any_response_times_out() {
    let mut page = Page::signed_in();
    let id = page.call();
    page.wait(10_600);
    assert_eq!(page.state(id), State::Ended);
    assert!(page.events.contains(&"Ended TIMEOUT".to_owned()), "{:?}", page.events);
    assert_eq!(page.count("CANCEL"), 0, "the INVITE got no response: it cannot be cancelled");
    page.answer("INVITE", 180, |answer| answer);
    assert_eq!(page.count("CANCEL"), 1);
    page.answer("INVITE", 487, |answer| answer);
    page.wait(200_000);
    assert!(page.client.is_clean());
    assert_eq!(EndCause::Timeout.as_str(), "TIMEOUT");
}

#[test]
fn a_user_of_the_registrars_own_domain_is_a_user_whatever_we_call_the_domain() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
    page.answer("REGISTER", 200, |answer| {
        answer.field(
            "Contact",
            "<sip:alice@x.invalid>;+sip.instance=\"<urn:uuid:i>\";pub-gruu=\"sip:alice@home.test;gr=i\";expires=600",
        )
    });
    page.ring("", "");
    assert_eq!(page.client.call_info(CallId(1)).unwrap().from_id, "bob", "the domain that we use");
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
    page.answer("REGISTER", 200, |answer| {
        answer.field(
            "Contact",
            "<sip:alice@x.invalid>;+sip.instance=\"<urn:uuid:i>\";pub-gruu=\"sip:alice@home.test;gr=i\";expires=600",
        )
    });
    page.ring_from("<sip:bob@home.test>", "", "");
    assert_eq!(page.client.call_info(CallId(1)).unwrap().from_id, "bob", "the domain that the registrar uses");
}

#[test]
fn an_early_answer_leaves_the_dtls_handshake_to_the_caller() {
    let mut page = Page::signed_in();
    page.ring(&format!("Supported: 100rel\r\n{TYPE}"), &sdp(2));
    assert_eq!(page.code(), 183);
    assert!(page.offers[0].contains("a=setup:active"), "two devices that answer early must not both begin the handshake");
    let mut page = Page::signed_in();
    page.ring(TYPE, &sdp(2));
    page.client.answer(page.now, CallId(1), false).unwrap();
    page.drain();
    assert!(page.offers[0].contains("a=setup:actpass"));
}

#[test]
fn a_200_does_not_wait_for_a_lost_prack_for_ever() {
    let mut page = Page::signed_in();
    page.ring(&format!("Supported: 100rel\r\n{TYPE}"), &sdp(2));
    page.client.answer(page.now, CallId(1), false).unwrap();
    page.drain();
    assert_eq!(page.code(), 183);
    page.wait(4_000);
    let ok = page.sent.iter().find(|text| text.starts_with("SIP/2.0 200")).expect("a 200");
    assert!(ok.contains("m=audio"), "with the answer that may have been lost");
}

#[test]
fn a_call_placed_while_the_client_signs_in_uses_the_servers_relay() {
    let mut page = Page::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
    page.client.call(page.now, Destination::User("bob".into()), Vec::new());
    page.drain();
    assert!(page.commands.is_empty(), "no offer before the server could name its relays");
    page.answer("REGISTER", 200, |answer| answer.field("X-ICE-Server", "<turn:s.test:3478>;username=\"u\";credential=\"c\""));
    assert_eq!(page.commands, ["Offer", "Microphone"]);
    assert_eq!(page.ice[0].urls, ["turn:s.test:3478"]);
    assert_eq!(page.count("INVITE"), 1);
}

#[test]
fn a_bye_that_is_rejected_without_a_challenge_is_dropped() {
    let mut page = Page::signed_in();
    page.call();
    // No answer to the offer: the call ends with BYE.
    page.answer("INVITE", 200, |answer| answer);
    assert_eq!(page.count("BYE"), 1);
    page.answer("BYE", 401, |answer| answer);
    page.wait(100_000);
    assert!(page.client.is_clean());
}

#[test]
fn a_million_random_responses_change_nothing() {
    let (mut page, id) = established();
    page.wait(40_000);
    let (sent, events) = (page.sent.len(), page.events.len());
    let invite = page.last("INVITE");
    let invite = parse(invite.as_bytes()).unwrap();
    let (via, from, to, call_id) =
        (invite.get(Name::Via).unwrap(), invite.get(Name::From).unwrap(), invite.get(Name::To).unwrap(), invite.call_id().unwrap());
    let mut random = Random::new([5; 32]);
    let methods = ["INVITE", "BYE", "UPDATE", "INFO", "CANCEL", "PRACK", "REGISTER", "OPTIONS"];
    for _ in 0..if cfg!(target_arch = "wasm32") { 10_000 } else { 125_000 } {
        // One draw for eight responses.
        for draw in random.bytes().chunks(4) {
            let [a, b, c, d] = [draw[0], draw[1], draw[2], draw[3]].map(usize::from);
            let method = methods[a % 8];
            let via = match b % 4 {
                0 => via.replace("branch=z9hG4bK", &format!("branch=z9hG4bK{c:x}")),
                1 => format!("SIP/2.0/WS x{c}.invalid;branch=z9hG4bK{d}"),
                _ => via.to_owned(),
            };
            let tag = if c % 2 == 0 { "peer".to_owned() } else { format!("t{d}") };
            let code = 100 + (c * 256 + d) % 600;
            let text = format!(
                "SIP/2.0 {code} X\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to};tag={tag}\r\nCall-ID: {call_id}\r\n\
                 CSeq: {} {method}\r\nContact: <sip:evil@evil.test>\r\nContent-Length: 0\r\n\r\n",
                a / 8
            );
            page.client.handle(page.now, Input::Received(text));
            assert!(page.client.poll().is_none(), "there is an output");
        }
    }
    assert_eq!((page.state(id), page.sent.len(), page.events.len()), (State::Established, sent, events));
}

#[test]
fn a_response_with_the_via_of_others_is_dropped() {
    let mut page = Page::signed_in();
    let id = page.call();
    let invite = page.last("INVITE");
    let invite = parse(invite.as_bytes()).unwrap();
    let host = invite.via().unwrap().host;
    let text = offhook_sip::reply(&invite, StatusCode::DECLINE, Some("peer")).end().replace(host, "other.invalid");
    page.input(Input::Received(text));
    assert_eq!(page.state(id), State::Initiating);
}

#[test]
fn a_proxy_of_a_call_gets_no_credentials_for_its_own_challenge() {
    let mut page = Page::new(Login::Password { user: "alice".into(), password: "secret".into() });
    challenge(&mut page, "REGISTER", 401, "WWW-Authenticate", Algorithm::Sha256);
    page.answer("REGISTER", 200, |answer| answer);
    let id = page.call();
    assert!(!page.last("INVITE").contains("uthorization:"), "credentials for the registrar are not for those whom we call");
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2));
    let peer = page.peer.unwrap();
    page.input(Input::IceState { peer, state: IceState::Failed });
    page.wait(10);
    for (method, code, name) in [("INVITE", 401, "WWW-Authenticate"), ("BYE", 407, "Proxy-Authenticate")] {
        if method == "BYE" {
            page.client.hangup(page.now, id).unwrap();
            page.drain();
        }
        let asked = page.count(method);
        let trunk = "Digest realm=\"trunk.test\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
        page.answer(method, code, |answer| answer.field(name, trunk));
        assert_eq!(page.count(method), asked, "{method} is not tried again");
    }
    assert!(!page.sent.iter().any(|text| text.contains("trunk.test")), "no credentials for that realm left");
    page.wait(100_000);
    assert!(page.client.is_clean());
}

#[test]
fn a_bye_waits_until_we_are_signed_in_again() {
    let (mut page, id) = established();
    page.input(Input::Closed { code: 1006, reason: String::new() });
    page.wait(100);
    page.input(Input::Opened);
    page.client.hangup(page.now, id).unwrap();
    page.drain();
    assert_eq!(page.count("BYE"), 0, "it would be rejected, and lost");
    page.answer("REGISTER", 200, |answer| answer);
    assert_eq!(page.count("BYE"), 1);
}

#[test]
fn a_fork_answers_while_the_early_answer_of_another_is_being_taken() {
    let mut page = Page::signed_in();
    page.taking = Some(Vec::new());
    let id = page.call();
    page.answer_as("INVITE", 183, "early", |answer| answer, &sdp(2));
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(3));
    let given_up = page.taking.take().unwrap();
    assert_eq!(given_up.len(), 1);
    for task in given_up {
        let (name, message) = ("AbortError".into(), "The call is over".into());
        page.input(Input::Answered { task, result: TaskResult::Failed(MediaError { name, message }) });
    }
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(3));
    assert_eq!(page.state(id), State::Established);
}

#[test]
fn the_dtls_roles_are_kept_in_later_offers() {
    for (role, told) in [("active", "active"), ("passive", "actpass")] {
        let mut page = Page::signed_in();
        page.call();
        page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2).replace("actpass", role));
        page.ask("INVITE", 3, TYPE, &sdp(2));
        assert!(page.offers[0].contains(&format!("a=setup:{told}")), "the peer was {role}");
    }
}

#[test]
fn an_answer_to_a_peer_without_trickle_ice_waits_for_its_first_candidate() {
    for (supported, patience) in [("Supported: timer\r\n", 1_000), ("Supported: trickle-ice\r\n", 20)] {
        let mut page = Page::signed_in();
        page.ring(&format!("{supported}{TYPE}"), &sdp(2));
        page.client.answer(page.now, CallId(1), false).unwrap();
        page.drain();
        assert_eq!(page.patience, Duration::from_millis(patience), "{supported}");
    }
}

#[test]
fn a_peer_connection_that_cannot_take_the_answer_to_a_restart_is_replaced() {
    let (mut page, id) = established();
    let peer = page.peer.unwrap();
    page.input(Input::IceState { peer, state: IceState::Disconnected });
    page.wait(3_000);
    page.stubborn = true;
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(3));
    assert_eq!(page.state(id), State::Established);
    assert_ne!(page.peer, Some(peer));
    assert_eq!(page.count("INVITE"), 3, "the next offer is of another peer connection");
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(3));
    assert_eq!(page.state(id), State::Ended, "once");
}

#[test]
fn the_roles_in_the_dtls_association_stay_when_the_peer_offers_again() {
    for (role, told) in [("active", "active"), ("passive", "actpass")] {
        let mut page = Page::signed_in();
        page.call();
        page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2).replace("actpass", role));
        page.ask("INVITE", 3, TYPE, &sdp(2));
        assert!(page.offers[0].contains(&format!("a=setup:{told}")), "the peer was {role}: {}", page.offers[0]);
    }
}

#[test]
fn a_prack_that_came_out_of_order_is_sent_again() {
    let mut page = Page::signed_in();
    page.call();
    let reliable = |answer: offhook_sip::Writer| answer.field("Require", "100rel").number("RSeq", 7);
    page.answer("INVITE", 183, reliable);
    assert_eq!(page.count("PRACK"), 1);
    page.answer("PRACK", 500, |answer| answer);
    page.answer("INVITE", 183, reliable);
    assert_eq!(page.count("PRACK"), 2);
    page.answer("PRACK", 200, |answer| answer);
    page.answer("INVITE", 183, reliable);
    assert_eq!(page.count("PRACK"), 2);
}
