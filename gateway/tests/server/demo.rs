//! The account of the demo application, by its page.

use offhook_gateway::store::Store;
use offhook_ledger::{Openings, Rules};
use serde_json::json;

use super::money::call;
use crate::support::{Gateway, run};

#[tokio::test]
async fn its_credit_is_filled_up_and_not_added_to() {
    let gateway = Gateway::start();
    let user = format!("Authorization: user {}\r\n", gateway.ticket("alice").await);
    let account = async |gateway: &Gateway| gateway.send(&request("GET", "account", &user)).await.json();
    let begun = account(&gateway).await;
    assert_eq!((begun["currency"].as_str(), begun["balance"].as_i64()), (Some("USD"), Some(10_000_000)));
    assert_eq!((&begun["running"], &begun["calls"]), (&json!([]), &json!([])));
    let again = Gateway::over(gateway.kill(), "");
    assert_eq!(account(&again).await["balance"], 10_000_000, "once");
    assert!(run(&again.data.0, &["credit", "add", "demo", "-7.5"]).status.success());
    assert_eq!(account(&again).await["balance"], 2_500_000);
    for _ in 0..2 {
        let filled = again.send(&request("POST", "credit", &user)).await.json();
        assert_eq!((&filled["balance"], &filled["full"]), (&json!(10_000_000), &json!(10_000_000)), "filled up, not added to");
    }
    assert!(run(&again.data.0, &["credit", "add", "demo", "5"]).status.success());
    assert_eq!(again.send(&request("POST", "credit", &user)).await.json()["balance"], 15_000_000, "what is there stays");
}

#[tokio::test]
async fn pages_that_fill_up_the_credit_at_once_do_so_once() {
    let gateway = Gateway::start();
    let fill = request("POST", "credit", &format!("Authorization: user {}\r\n", gateway.ticket("alice").await));
    for _ in 0..20 {
        assert!(run(&gateway.data.0, &["credit", "add", "demo", "-7.5"]).status.success());
        let (one, two, three) = tokio::join!(gateway.send(&fill), gateway.send(&fill), gateway.send(&fill));
        for filled in [one, two, three] {
            assert_eq!(filled.json()["balance"], 10_000_000);
        }
    }
}

/// It is no guess, so it costs the others at this machine no try.
#[tokio::test]
async fn a_ticket_of_new_user_does_not_count_as_a_wrong_one() {
    let gateway = Gateway::with("[limits]\nsign_ins_per_minute = 3\n");
    let made = gateway.post_json("/users?key=demo", r#"{"username":"alice","password":"wonderland"}"#).await.json();
    let of_password = format!("Authorization: user {}\r\n", made["authorization"].as_str().expect("a ticket"));
    for _ in 0..9 {
        assert_eq!(gateway.send(&request("GET", "account", &of_password)).await.refusal(), (401, 40108));
    }
    let user = format!("Authorization: user {}\r\n", gateway.ticket("alice").await);
    assert_eq!(gateway.send(&request("GET", "account", &user)).await.status, 200);
}

/// Returns a request of the demo page.
fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} /demo/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n")
}

/// By their ticket.
#[tokio::test]
async fn users_of_the_demo_see_their_own_calls_only() {
    let gateway = Gateway::with("[phone]\nallow = [\"46\"]\n");
    let rules = Rules { openings: Openings::new(&["46"]).expect("Sweden"), ..Rules::default() };
    let store = Store::open(&gateway.data.0, rules).expect("it opens");
    for name in ["one", "two"] {
        assert!(call(&store, "demo", name, name == "one").await);
    }
    store.settled().await.expect("written");
    let sees = async |user: &str| {
        let user = format!("Authorization: user {}\r\n", gateway.ticket(user).await);
        let account = gateway.send(&request("GET", "account", &user)).await.json();
        ["calls", "running"].map(|list| account[list].as_array().expect("calls").len())
    };
    assert_eq!(sees("alice").await, [1, 1], "the calls are hers");
    assert_eq!(sees("bob").await, [0, 0]);
    let ticket = gateway.ticket("alice").await;
    let (mine, foreign) = (format!("Authorization: user {ticket}\r\n"), "Origin: https://evil.example\r\n");
    for (method, path) in [("GET", "account"), ("POST", "credit")] {
        for (headers, refusal) in [
            (String::new(), (401, 40100)),
            (format!("Authorization: Bearer {ticket}\r\n"), (401, 40100)),
            (format!("Authorization: user {}\r\n", ticket.replacen("ey", "eY", 1)), (401, 40108)),
            (format!("{mine}{foreign}"), (403, 40300)),
            (format!("{mine}X-Forwarded-For: 203.0.113.9\r\n"), (403, 40300)),
        ] {
            assert_eq!(gateway.send(&request(method, path, &headers)).await.refusal(), refusal, "{path} {headers}");
        }
        let renamed = request(method, path, &mine).replace("localhost", "evil.example");
        assert_eq!(gateway.send(&renamed).await.refusal(), (403, 40300), "a foreign name that was made to lead here");
    }
}
