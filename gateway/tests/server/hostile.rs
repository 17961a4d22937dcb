//! Messages of an authenticated but hostile client: descriptions that need much memory, and text that changes how the log looks.

use std::time::Duration;

use offhook_sip::{Writer, parse};

use super::calls::{Phone, code};
use super::outside::OFFER;
use super::support::Gateway;

/// Rings until the caller cancels.
const RINGS: &str = "+46000000040";

/// Returns an offer with this many streams.
fn offer(streams: usize) -> String {
    let lines: String = (0..streams).map(|number| format!("a=ssrc:{} cname:x\r\n", 1_000 + number)).collect();
    [OFFER, &lines].concat()
}

/// Calls `number` with this offer; returns the final status, or 180.
async fn call(phone: &mut Phone, offer: &str) -> String {
    let invite: Writer = phone.request("INVITE", RINGS);
    phone.socket.say(&invite.body("application/sdp", offer)).await;
    loop {
        let answer = phone.socket.hear().await;
        if code(&answer) >= 180 && code(&answer) != 183 {
            return answer;
        }
    }
}

async fn signed_in(gateway: &Gateway, user: &str) -> Phone {
    let mut phone = Phone::new(gateway, user).await;
    assert_eq!(phone.register_with_ticket(gateway).await, 200);
    phone
}

/// Returns the memory of a ringing call with an offer of this many streams, octets.
async fn room(streams: usize) -> usize {
    // So many that the reserve of the allocator does not count.
    const CALLS: usize = 12;
    const USERS: usize = 8;
    let gateway = Gateway::with("[media]\ntest_sessions = 400\n");
    let offer = offer(streams);
    let mut phones = vec![signed_in(&gateway, "warm").await];
    assert_eq!(code(&call(&mut phones[0], &offer).await), 180);
    let before = gateway.memory();
    for number in 0..USERS {
        let mut phone = signed_in(&gateway, &format!("user{number}")).await;
        for _ in 0..CALLS {
            assert_eq!(code(&call(&mut phone, &offer).await), 180);
        }
        phones.push(phone);
    }
    gateway.memory().saturating_sub(before) / (USERS * CALLS)
}

#[tokio::test]
async fn a_description_with_many_streams_needs_little_memory() {
    assert!((14_000..16_384).contains(&offer(700).len()), "as much as is taken");
    let (thin, fat) = (room(1).await, room(700).await);
    println!("{thin} octets for a call, {fat} with 700 streams in its offer");
    assert!(fat < thin + 256 * 1024, "{thin} octets for a call, {fat} with 700 streams in its offer");
}

#[tokio::test]
async fn a_description_that_is_too_large_is_rejected_with_413() {
    let gateway = Gateway::start();
    let mut alice = signed_in(&gateway, "alice").await;
    let answer = call(&mut alice, &offer(2_600)).await;
    assert!(code(&answer) == 413 && answer.contains("\r\nX-Error: 40003 "), "{answer}");
}

/// Control characters of both sets, marks that change the direction of text, line separators, characters without width, a tag, and
/// an unassigned one.
const HIDDEN: &str = "a\u{85}\u{9b}31m\u{7f}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\
                      \u{ad}\u{feff}\u{e0041}\u{378}b";

#[tokio::test]
async fn text_of_clients_is_escaped_in_the_log() {
    for format in ["text", "json"] {
        let gateway = Gateway::with(&format!("[log]\nformat = \"{format}\"\nlevel = \"debug\"\n"));
        let mut alice = signed_in(&gateway, "alice").await;
        let text = alice.request("INVITE", "nobody").end();
        let call_id = parse(text.as_bytes()).expect("a request").call_id().expect("one").to_owned();
        alice.socket.say(&text.replace(&call_id, HIDDEN)).await;
        while !gateway.log().contains("call ended") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = gateway.log();
        let strange: Vec<char> = log.chars().filter(|c| HIDDEN.contains(*c) && !c.is_ascii_graphic() && *c != ' ').collect();
        assert!(strange.is_empty(), "{format}: {strange:?} in {log:?}");
        let line = log.lines().find(|line| line.contains("call started")).expect("a line");
        assert!(line.contains("\\u202e") && line.contains("\\udb40\\udc41"), "{line}");
        if format == "json" {
            let all = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
            let started = all.into_iter().find(|line| line["message"] == "call started").expect("a line");
            assert_eq!(started["call"], HIDDEN);
        }
    }
}
