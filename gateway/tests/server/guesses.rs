//! Failed authentication: SIP and HTTP share one budget, and the log has one line for it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_access::secret::Use;
use offhook_gateway::store::Store;
use offhook_ledger::Rules;
use offhook_sip::parse;
use offhook_ua::time::Instant;

use super::calls::{Phone, code};
use super::money::{now, signed_post};
use super::support::{Gateway, PATIENCE};

const GUESS: &str = r#"{"username":"alice","password":"guess"}"#;

/// Whether the credentials were verified, and are wrong.
fn is_wrong(answer: &str) -> bool {
    parse(answer.as_bytes()).is_ok_and(|message| message.get_other("x-error").is_some_and(|error| error.starts_with("40108")))
}

/// Returns the lines of the log with these words, once there is one.
async fn logged(gateway: &Gateway, words: &str) -> Vec<String> {
    let found = async {
        loop {
            let lines: Vec<String> = gateway.log().lines().filter(|line| line.contains(words)).map(str::to_owned).collect();
            if !lines.is_empty() {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it is logged")
}

/// Tries nine wrong passwords on each of several connections; returns how many were verified, and how many were rejected for a
/// nonce count that was used, because the challenges of one millisecond are the same.
async fn guess(gateway: &Gateway, connections: usize) -> (usize, usize) {
    let (mut looked_at, mut replayed) = (0, 0);
    for _ in 0..connections {
        let mut thief = Phone::new(gateway, "alice").await;
        for _ in 0..9 {
            let answer = thief.try_password("guess").await;
            looked_at += usize::from(is_wrong(&answer));
            replayed += usize::from(answer.contains("stale=true"));
            if code(&answer) == 503 {
                let seconds =
                    parse(answer.as_bytes()).ok().and_then(|message| message.get_other("retry-after")?.parse::<u32>().ok());
                assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{answer}");
                assert_eq!(thief.socket.closed().await, 1013);
                break;
            }
        }
    }
    (looked_at, replayed)
}

#[tokio::test]
async fn failed_passwords_over_a_websocket_are_limited() {
    let gateway = Gateway::start();
    let login = r#"{"username":"alice","password":"wonderland"}"#;
    assert_eq!(gateway.post_json("/users?key=demo", login).await.status, 200);
    let mut bob = Phone::new(&gateway, "bob").await;
    assert_eq!(bob.register_with_ticket(&gateway).await, 200);

    let (looked_at, replayed) = guess(&gateway, 30).await;
    assert_eq!(looked_at + replayed, 60);
    let refused = gateway.post_json("/users/authentication?key=demo", login).await;
    assert_eq!(refused.refusal(), (429, 42900), "one budget for all");
    let seconds = refused.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(seconds.is_some_and(|seconds| (1..=60).contains(&seconds)), "{refused:?}");
    assert_eq!(bob.register_with_ticket(&gateway).await, 200, "who is in stays in");

    let lines = logged(&gateway, "too many failed proofs of identity: ").await;
    assert!(lines.len() == 1 && lines[0].contains("address=127.0.0.1") && lines[0].contains("failed=60"), "{lines:?}");
    assert_eq!(logged(&gateway, "for one user").await.len(), 1);
    let log = gateway.log();
    assert!(!log.contains("refused") && log.matches("failed proofs").count() == 2 && !log.contains("alice"), "{log}");
    let metrics = gateway.get("/metrics").await.body;
    assert!(metrics.contains(&format!("offhook_refused_total{{reason=\"wrong user or password\"}} {looked_at}\n")), "{metrics}");
    assert!(metrics.contains("offhook_refused_total{reason=\"Too many failed attempts\"}"), "{metrics}");
}

/// A request with a valid signature is not a guess, even if it is replayed; and nothing is stored for signatures that nobody can
/// have made.
#[tokio::test]
async fn a_replayed_signed_request_is_no_failed_attempt() {
    let gateway = Gateway::with("[limits]\nsign_ins_per_minute = 6\n");
    let store = Store::open(&gateway.data.0, Rules::default()).expect("it opens");
    let secret = store.applications().await.expect("read").remove(0).secret;
    let once = signed_post("demo", secret.key(Use::Rest), now());
    assert_eq!(gateway.send(&once).await.status, 404);
    for _ in 0..10 {
        assert_eq!(gateway.send(&once).await.refusal(), (401, 40102));
    }
    let again = Instant::from_millis(now().millis() + 1);
    assert_eq!(gateway.send(&signed_post("demo", secret.key(Use::Rest), again)).await.status, 404);
}

#[tokio::test]
async fn every_kind_of_credentials_counts_against_the_budget_of_the_address() {
    let gateway = Gateway::with("[limits]\nsign_ins_per_minute = 6\n");
    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode("demo:AAAA"));
    let operator = format!("Authorization: Bearer {}\r\n", "0".repeat(64));
    let now = offhook_access::ticket::iso(offhook_gateway::server::Clock::default().now());
    let signed = format!("x-timestamp: {now}\r\nAuthorization: application demo:{}\r\n", STANDARD.encode([0; 32]));
    let ask = async |headers: &str| {
        gateway.send(&format!("GET /v1/account HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")).await
    };
    for headers in [&basic, &operator, &signed] {
        assert_eq!(ask(headers).await.status, 401, "{headers}");
    }
    assert_eq!(gateway.post_json("/users/authentication?key=demo", GUESS).await.status, 401);
    assert!(is_wrong(&Phone::new(&gateway, "bob").await.register(Some("Bearer bm8=:bm8=")).await.1));
    assert!(is_wrong(&Phone::new(&gateway, "carol").await.try_password("guess").await));

    let token = std::fs::read_to_string(gateway.data.0.join("operator-token")).expect("made at the first start");
    let right = format!("Authorization: Bearer {}\r\n", token.trim());
    for headers in [&basic, &operator, &signed, &right] {
        let refused = ask(headers).await;
        assert_eq!((refused.refusal(), refused.header("retry-after").is_some()), ((429, 42900), true), "{headers}");
    }
    assert_eq!(gateway.post_json("/users/authentication?key=demo", GUESS).await.refusal(), (429, 42900));
    assert_eq!(Phone::new(&gateway, "dave").await.register_with_ticket(&gateway).await, 503);
    assert_eq!(ask("").await.status, 401, "nothing is shown");
}

/// Nobody learns without limit which names are taken, neither by asking for known names nor for free ones.
#[tokio::test]
async fn who_exists_cannot_be_asked_without_limit() {
    for asked_first in ["alice", "nobody"] {
        let gateway = Gateway::with("[limits]\nsign_ins_per_minute = 3\n");
        let ask = async |user: &str| {
            let answer = gateway.post_json("/users?key=demo", &format!(r#"{{"username":"{user}","password":"a guess"}}"#)).await;
            (answer.status, answer.body)
        };
        for user in ["alice", "bobby", "carol"] {
            let login = format!(r#"{{"username":"{user}","password":"wonderland"}}"#);
            assert_eq!(gateway.post_json("/users?key=demo", &login).await.status, 200, "no new user is left after these");
        }
        for _ in 0..3 {
            assert_eq!(ask(asked_first).await.0, if asked_first == "alice" { 409 } else { 429 });
        }
        let [known, unknown] = [ask("carol").await, ask("nobody").await];
        assert_eq!(known, unknown);
        assert!(known.0 == 429 && !known.1.contains("new users"), "{known:?}");
    }
}
