//! Transactions over a transport that loses messages (RFC 3261, 17; RFC 6026).

use std::time::Duration;

use offhook_sip::{Method, Name, StatusCode, parse, reply};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Effect, Received, Transactions, Transport};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const START: Instant = Instant::from_millis(1_000_000);

fn request(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         Route: <sip:p.test;lr>\r\nFrom: <sip:alice@a.test>;tag=1\r\nTo: <sip:bob@b.test>\r\nCall-ID: c\r\nCSeq: 7 {method}\r\n\
         Contact: <sip:alice@a.test>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Sends a request; returns its key.
fn send(transactions: &mut Transactions<u8>, transport: Transport, request: String) -> ClientKey {
    let key = ClientKey::of(&parse(request.as_bytes()).unwrap()).unwrap();
    transactions.request(START, 0, transport, &key, request);
    key
}

fn answer(request: &str, code: u16) -> String {
    reply(&parse(request.as_bytes()).unwrap(), StatusCode::new(code).unwrap(), Some("2")).end()
}

/// When something is sent, in ms after the start, until nothing is due any more.
fn sends(transactions: &mut Transactions<u8>) -> (Vec<u64>, Vec<Effect<u8>>) {
    let (mut times, mut rest, mut now) = (Vec::new(), Vec::new(), START);
    loop {
        while let Some(effect) = transactions.poll() {
            match effect {
                Effect::Send { .. } => times.push(now.millis_since(START)),
                other => rest.push(other),
            }
        }
        let Some(at) = transactions.deadline() else { return (times, rest) };
        now = now.max(at);
        transactions.handle_timeout(now);
    }
}

#[test]
fn an_invite_is_retransmitted_with_doubling_intervals_for_32_seconds() {
    let mut transactions = Transactions::new();
    let key = send(&mut transactions, Transport::Unreliable, request("INVITE", "a"));
    let (times, rest) = sends(&mut transactions);
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(rest, [Effect::TimedOut(key)]);
    assert!(transactions.is_empty());
}

#[test]
fn another_request_is_retransmitted_every_four_seconds_at_last() {
    let mut transactions = Transactions::new();
    send(&mut transactions, Transport::Unreliable, request("OPTIONS", "a"));
    let (times, rest) = sends(&mut transactions);
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(rest.len(), 1);
}

#[test]
fn over_a_reliable_transport_nothing_is_retransmitted() {
    let mut transactions = Transactions::new();
    send(&mut transactions, Transport::Reliable, request("INVITE", "a"));
    let (times, rest) = sends(&mut transactions);
    assert_eq!((times, rest.len()), (vec![0], 1));
}

#[test]
fn a_failure_of_an_invite_is_acknowledged_as_often_as_it_comes() {
    let mut transactions = Transactions::new();
    let invite = request("INVITE", "a");
    let key = send(&mut transactions, Transport::Unreliable, invite.clone());
    transactions.poll();
    let busy = answer(&invite, 486);
    let busy = parse(busy.as_bytes()).unwrap();
    assert_eq!(transactions.receive(START + Duration::from_millis(100), 0, Transport::Unreliable, &busy), Received::Response(key));
    assert_eq!(transactions.receive(START + Duration::from_millis(200), 0, Transport::Unreliable, &busy), Received::Absorbed);
    for _ in 0..2 {
        let Some(Effect::Send { text, .. }) = transactions.poll() else { panic!("an ACK leaves") };
        let ack = parse(text.as_bytes()).unwrap();
        assert_eq!(ack.check(), Ok(()));
        assert_eq!((ack.method(), ack.uri()), (Some(Method::Ack), Some("sip:bob@b.test")));
        assert_eq!(ack.via().unwrap().branch(), Some("z9hG4bKa"));
        assert_eq!(ack.to().unwrap().tag(), Some("2"));
        assert_eq!(ack.get(Name::Route), Some("<sip:p.test;lr>"));
        assert_eq!(ack.cseq().unwrap().number, 7);
    }
    let (times, rest) = sends(&mut transactions);
    assert!(times.is_empty() && rest.is_empty() && transactions.is_empty());
}

#[test]
fn each_retransmission_of_a_2xx_is_passed_on() {
    let mut transactions = Transactions::new();
    let invite = request("INVITE", "a");
    let key = send(&mut transactions, Transport::Unreliable, invite.clone());
    let ok = answer(&invite, 200);
    let ok = parse(ok.as_bytes()).unwrap();
    for wait in [0, 500, 31_000] {
        assert_eq!(
            transactions.receive(START + Duration::from_millis(wait), 0, Transport::Unreliable, &ok),
            Received::Response(key.clone())
        );
    }
    transactions.handle_timeout(START + Duration::from_secs(40));
    assert_eq!(transactions.receive(START + Duration::from_secs(40), 0, Transport::Unreliable, &ok), Received::Stray);
}

#[test]
fn a_failure_is_retransmitted_until_it_is_acknowledged() {
    let invite = request("INVITE", "a");
    let message = parse(invite.as_bytes()).unwrap();
    let mut transactions = Transactions::new();
    let Received::Request(key) = transactions.receive(START, 3u8, Transport::Unreliable, &message) else { panic!("it is new") };
    assert_eq!(transactions.receive(START, 3, Transport::Unreliable, &message), Received::Absorbed);
    assert_eq!(transactions.poll(), None, "nothing to retransmit yet");
    transactions.respond(START, &key, answer(&invite, 180));
    assert_eq!(transactions.receive(START, 3, Transport::Unreliable, &message), Received::Absorbed);
    assert_eq!(std::iter::from_fn(|| transactions.poll()).count(), 2, "the 180 and its retransmission");
    transactions.respond(START, &key, answer(&invite, 486));
    let (times, rest) = sends(&mut transactions);
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(rest, [Effect::NoAck(key)]);
}

#[test]
fn an_ack_ends_the_retransmission_and_a_later_ack_is_absorbed() {
    let invite = request("INVITE", "a");
    let message = parse(invite.as_bytes()).unwrap();
    let mut transactions = Transactions::new();
    let Received::Request(key) = transactions.receive(START, 3u8, Transport::Unreliable, &message) else { panic!("it is new") };
    transactions.respond(START, &key, answer(&invite, 486));
    let ack = request("ACK", "a");
    let ack = parse(ack.as_bytes()).unwrap();
    for _ in 0..2 {
        assert_eq!(transactions.receive(START + Duration::from_millis(10), 3, Transport::Unreliable, &ack), Received::Absorbed);
    }
    let (times, rest) = sends(&mut transactions);
    assert_eq!((times, rest.len()), (vec![0], 0));
}

#[test]
fn an_invite_that_comes_again_after_the_ack_to_its_failure_is_absorbed() {
    let invite = request("INVITE", "a");
    let (message, ack) = (parse(invite.as_bytes()).unwrap(), request("ACK", "a"));
    let mut transactions = Transactions::new();
    let Received::Request(key) = transactions.receive(START, 3u8, Transport::Unreliable, &message) else { panic!("it is new") };
    transactions.respond(START, &key, answer(&invite, 486));
    transactions.receive(START + Duration::from_millis(10), 3, Transport::Unreliable, &parse(ack.as_bytes()).unwrap());
    assert_eq!(transactions.receive(START + Duration::from_millis(20), 3, Transport::Unreliable, &message), Received::Absorbed);
    let (times, rest) = sends(&mut transactions);
    assert_eq!((times, rest.len()), (vec![0], 0), "nothing but the 486 (RFC 3261, 17.2.1: Confirmed)");
}

#[test]
fn requests_are_retransmitted_in_their_order_an_invite_before_its_cancel() {
    let mut transactions = Transactions::new();
    let invite = send(&mut transactions, Transport::Reliable, request("INVITE", "a"));
    let cancel = send(&mut transactions, Transport::Reliable, request("CANCEL", "a"));
    while transactions.poll().is_some() {}
    transactions.resend(1);
    let mut again = Vec::new();
    while let Some(Effect::Send { flow: 1, text }) = transactions.poll() {
        again.push(ClientKey::of(&parse(text.as_bytes()).unwrap()));
    }
    assert_eq!(again, [Some(invite), Some(cancel)], "a CANCEL that comes first is answered 481, and then it rings");
}

/// What is sent until nothing is left to do, without its answer.
fn sent(transactions: &mut Transactions<u8>) -> Vec<String> {
    let texts = |effect| if let Effect::Send { text, .. } = effect { Some(text) } else { None };
    core::iter::from_fn(|| transactions.poll()).filter_map(texts).collect()
}

fn receive(transactions: &mut Transactions<u8>, text: &str) -> Received {
    transactions.receive(START, 0, Transport::Unreliable, &parse(text.as_bytes()).unwrap())
}

#[test]
fn a_cancel_leaves_with_the_first_provisional_response_and_once() {
    let mut transactions = Transactions::new();
    let invite = request("INVITE", "a");
    let key = send(&mut transactions, Transport::Unreliable, invite.clone());
    transactions.cancel(START, &key, Some("SIP;cause=200"));
    assert_eq!(sent(&mut transactions), [invite.as_str()], "one that overtook the INVITE would find nothing");
    assert!(!transactions.is_cancelled(&key));
    receive(&mut transactions, &answer(&invite, 180));
    let cancel = "CANCEL sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bKa\r\nMax-Forwards: 70\r\nRoute: <sip:p.test;lr>\r\n\
         From: <sip:alice@a.test>;tag=1\r\nTo: <sip:bob@b.test>\r\nCall-ID: c\r\nCSeq: 7 CANCEL\r\nReason: SIP;cause=200\r\n\
         Content-Length: 0\r\n\r\n";
    assert_eq!(sent(&mut transactions), [cancel]);
    assert!(transactions.is_cancelled(&key));
    transactions.cancel(START, &key, None);
    receive(&mut transactions, &answer(&invite, 183));
    assert!(sent(&mut transactions).is_empty());
    assert_eq!(
        receive(&mut transactions, &answer(cancel, 200)),
        Received::Response(ClientKey::new("z9hG4bKa".into(), Method::Cancel))
    );
    assert_eq!(receive(&mut transactions, &answer(&invite, 487)), Received::Response(key));
    assert!(sent(&mut transactions)[0].starts_with("ACK "));
}

#[test]
fn what_has_its_final_response_is_not_cancelled() {
    for code in [200, 486] {
        for wanted_before in [false, true] {
            let mut transactions = Transactions::new();
            let invite = request("INVITE", "a");
            let key = send(&mut transactions, Transport::Unreliable, invite.clone());
            if wanted_before {
                transactions.cancel(START, &key, None);
            }
            assert_eq!(
                receive(&mut transactions, &answer(&invite, code)),
                Received::Response(key.clone()),
                "it goes on to the user"
            );
            transactions.cancel(START, &key, None);
            assert!(sent(&mut transactions).iter().all(|text| !text.starts_with("CANCEL")), "{code}");
        }
    }
}

/// A CANCEL is retransmitted like any other request.
#[test]
fn a_cancel_is_retransmitted() {
    let mut transactions = Transactions::new();
    let invite = request("INVITE", "a");
    let key = send(&mut transactions, Transport::Unreliable, invite.clone());
    receive(&mut transactions, &answer(&invite, 100));
    sent(&mut transactions);
    transactions.cancel(START, &key, None);
    let (times, rest) = sends(&mut transactions);
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(rest, [Effect::TimedOut(ClientKey::new("z9hG4bKa".into(), Method::Cancel))]);
}
