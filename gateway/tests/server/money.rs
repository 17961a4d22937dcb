//! Accounts, rates, numbers and calls by HTTP and command line: access rights and results.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_access::secret::Secret;
use offhook_access::signature::Signed;
use offhook_access::ticket::iso;
use offhook_gateway::store::{Application, Store};
use offhook_ledger::{CallRef, End, Kind, NewCall, Openings, Query, Refused, Rules};
use offhook_ua::time::Instant;
use serde_json::json;

use crate::support::{Answer, Folder, Gateway, run};

const SHOP: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

/// Returns a gateway with two applications, each with a number and a charged call.
struct World {
    gateway: Gateway,
    token: String,
}

impl World {
    async fn new() -> Self {
        let data = Folder::new();
        let rules = Rules { openings: Openings::new(&["46"]).expect("Sweden"), ..Rules::default() };
        let store = Store::open(&data.0, rules).expect("a fresh store");
        for (key, secret) in [("shop", SHOP), ("other", OTHER)] {
            let (key, secret) = (key.to_owned(), Secret::shared(secret.to_vec()));
            store
                .add_application(Application { key, secret, origins: vec![], allow_new_users: false, loopback_only: false })
                .await
                .expect("added");
        }
        let set = run(&data.0, &["rate", "set", "46", "0.06", "--minimum", "30", "--increment", "6"]);
        assert!(set.status.success(), "{set:?}");
        for (key, number) in [("shop", "+46811111111"), ("other", "+46822222222")] {
            assert!(run(&data.0, &["credit", "add", key, "10", "--reference", "start"]).status.success());
            assert!(run(&data.0, &["number", "add", key, number]).status.success());
        }
        let gateway = Gateway::over(data, "[phone]\nallow = [\"46\"]\n");
        for key in ["shop", "other"] {
            talk(&store, key).await;
        }
        let token = std::fs::read_to_string(gateway.data.0.join("operator-token")).expect("made at the first start");
        Self { gateway, token: token.trim().to_owned() }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n");
        self.gateway.send(&format!("{head}{kind}{headers}\r\n{body}")).await
    }

    async fn operator(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask(method, path, &format!("Authorization: Bearer {}\r\n", self.token), body).await
    }

    async fn basic(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        let secret = if key == "shop" { SHOP } else { OTHER };
        self.ask(method, path, &basic(key, &STANDARD.encode(secret)), body).await
    }
}

fn basic(key: &str, secret: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{key}:{secret}")))
}

/// Returns the headers of a request that is signed with `secret`.
pub fn signed(key: &str, secret: &[u8], method: &str, path: &str, body: &str, at: Instant) -> String {
    let content_type = if body.is_empty() { "" } else { "application/json" };
    let timestamp = iso(at);
    let signature = Signed { method, path, content_type, timestamp: &timestamp, body: body.as_bytes() }.sign(secret);
    format!("x-timestamp: {timestamp}\r\nAuthorization: application {key}:{signature}\r\n")
}

/// Returns a signed request that might change something. One that is let in is told that the application has no such number: 404.
pub fn signed_post(key: &str, secret: &[u8], at: Instant) -> String {
    let (path, body) = ("/v1/configuration/numbers", "{\"number\": \"+46899999999\"}");
    let (headers, length) = (signed(key, secret, "POST", path, body, at), body.len());
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n");
    format!("{head}Content-Type: application/json\r\n{headers}\r\n{body}")
}

#[expect(clippy::disallowed_types, reason = "requests carry the time at which they are made")]
pub fn now() -> Instant {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Instant::from_millis(u64::try_from(since.as_millis()).expect("before the year 500,000,000"))
}

/// Makes a call of 36 seconds, and one that goes on; both are named after the application.
async fn talk(store: &Store, key: &str) {
    for name in ["done", "runs"] {
        assert!(call(store, key, &format!("{key}-{name}"), name == "done").await);
    }
    store.settled().await.expect("written");
}

/// Makes a call to a telephone in Sweden, which began 40 s ago and is answered if it is granted; `ends`: after 31 seconds. Returns whether it was
/// granted.
pub async fn call(store: &Store, application: &str, name: &str, ends: bool) -> bool {
    let (start, call) = (Instant::from_millis(now().millis() - 40_000), CallRef(name.to_owned()));
    let (answer, answered) = tokio::sync::oneshot::channel();
    let new = NewCall {
        call: call.clone(),
        application: application.into(),
        call_id: format!("{name}@page"),
        user: "alice".into(),
        kind: Kind::Phone,
        from: "alice".into(),
        to: "+46701234567".into(),
        at: start,
    };
    store.ledger(Query::Open(new), |given| drop(answer.send(given))).await;
    if !matches!(answered.await, Ok(offhook_ledger::Answer::Granted(_))) {
        return false;
    }
    store.ledger(Query::Connected { call: call.clone(), at: start }, |_| {}).await;
    if ends {
        let end = End { cause: "callee hung up", code: 200, trunk: "provider".into() };
        store.ledger(Query::Close { call, at: start + Duration::from_secs(31), end }, |_| {}).await;
    }
    true
}

#[tokio::test]
async fn an_application_shows_who_it_is_in_two_ways() {
    let world = World::new().await;
    let account = world.basic("shop", "GET", "/v1/account", "").await;
    assert_eq!((account.status, account.header("cache-control")), (200, Some("no-store")));
    let account = account.json();
    assert_eq!(account["applicationKey"], "shop");
    assert_eq!(account["balance"]["currencyId"], "USD");
    let headers = signed("shop", &SHOP, "GET", "/v1/account", "", now());
    for _ in 0..2 {
        assert_eq!(world.ask("GET", "/v1/account", &headers, "").await.status, 200, "it changes nothing: as often as it likes");
    }
    let number = json!({ "numbers": ["+46811111111"], "user": "desk" }).to_string();
    let post = signed("shop", &SHOP, "POST", "/v1/configuration/numbers", &number, now());
    assert_eq!(world.ask("POST", "/v1/configuration/numbers", &post, &number).await.status, 200);
    assert_eq!(world.ask("POST", "/v1/configuration/numbers", &post, &number).await.refusal(), (401, 40102), "once");
    assert_eq!(world.ask("GET", "/v1/account?key=shop", &headers, "").await.refusal(), (401, 40102), "another path");
    let hour = Instant::from_millis(now().millis() - 3_600_000);
    for (headers, refusal) in [
        (String::new(), (401, 40100)),
        ("Authorization: application\r\n".into(), (401, 40100)),
        ("Authorization: application shop\r\n".into(), (401, 40100)),
        ("Authorization: Digest username=\"shop\"\r\n".into(), (403, 40301)),
        ("Authorization: Bearer \r\n".into(), (401, 40100)),
        (format!("Authorization: Bearer {}\r\n", "0".repeat(64)), (401, 40108)),
        (signed("shop", &OTHER, "GET", "/v1/account", "", now()), (401, 40102)),
        (signed("nobody", &[], "GET", "/v1/account", "", now()), (401, 40102)),
        (signed("shop", &SHOP, "GET", "/v1/account", "", hour), (401, 40101)),
        (signed("shop", &SHOP, "POST", "/v1/account", "", now()), (401, 40102)),
        (basic("shop", &STANDARD.encode(OTHER)), (401, 40108)),
        (basic("nobody", &STANDARD.encode(SHOP)), (401, 40108)),
        (basic("shop", ""), (401, 40108)),
        (basic("nobody", ""), (401, 40108)),
        ("Authorization: Basic !\r\n".into(), (401, 40108)),
        (basic("demo", ""), (401, 40108)),
    ] {
        assert_eq!(world.ask("GET", "/v1/account", &headers, "").await.refusal(), refusal, "{headers}");
    }
    let log = world.gateway.log();
    assert!(!log.contains(&world.token) && !log.contains(&STANDARD.encode(SHOP)), "{log}");
}

/// Each path, each role, its own and another application's id.
#[tokio::test]
async fn an_application_neither_sees_nor_changes_what_is_anothers() {
    let world = World::new().await;
    let number = |number: &str| json!({ "numbers": [number], "user": "eve" }).to_string();
    let credit = json!({ "amount": 5, "reference": "gift" }).to_string();
    let rates = json!({ "rates": [{ "prefix": "46", "perMinute": 0 }] }).to_string();
    let (own, foreign) = (number("+46811111111"), number("+46822222222"));
    let named = json!({ "numbers": ["+46811111111"], "applicationkey": "other" }).to_string();
    for (method, path, body, status) in [
        ("GET", "/v1/account", "", 200),
        ("GET", "/v1/account?key=shop", "", 200),
        ("GET", "/v1/account?key=other", "", 403),
        ("GET", "/v1/account?key=nobody", "", 403),
        ("GET", "/v1/account/history", "", 200),
        ("GET", "/v1/account/history?key=other", "", 403),
        ("GET", "/v1/account/history?limit=0", "", 400),
        ("GET", "/v1/account/history?limit=x", "", 400),
        ("GET", "/v1/account/history?limit=101", "", 400),
        ("GET", "/v1/account/history?before=-1", "", 400),
        ("GET", "/v1/account/history?before=9223372036854775808", "", 400),
        ("GET", "/v1/account/alarms", "", 200),
        ("GET", "/v1/account/alarms?key=other", "", 403),
        ("POST", "/v1/account/credit", &credit, 403),
        ("POST", "/v1/account/credit?key=other", &credit, 403),
        ("GET", "/v1/rates", "", 200),
        ("GET", "/v1/rates?key=other", "", 403),
        ("PUT", "/v1/rates", &rates, 403),
        ("GET", "/v1/configuration/numbers", "", 200),
        ("GET", "/v1/configuration/numbers?key=other", "", 403),
        ("POST", "/v1/configuration/numbers", &foreign, 404),
        ("POST", "/v1/configuration/numbers", &named, 403),
        ("POST", "/v1/configuration/numbers", &own, 200),
        ("DELETE", "/v1/configuration/numbers", &foreign, 404),
        ("DELETE", "/v1/configuration/numbers", &own, 200),
        ("GET", "/calling/v1/calls/id/shop-done@page", "", 200),
        ("GET", "/calling/v1/calls/id/shop-done", "", 200),
        ("GET", "/calling/v1/calls/id/other-done@page", "", 404),
        ("GET", "/calling/v1/calls/id/other-runs", "", 404),
        ("GET", "/calling/v1/calls/id/nothing", "", 404),
    ] {
        let answer = world.basic("shop", method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        let foreign = answer.body.contains("other-") || answer.body.contains("\"other\"") || answer.body.contains("+46822222222");
        assert!(!foreign, "{method} {path} says what is another's: {answer:?}");
        let nobody = world.ask(method, path, "", body).await;
        assert_eq!(nobody.refusal(), (401, 40100), "{method} {path}");
    }
    let left = world.basic("other", "GET", "/v1/configuration/numbers", "").await.json();
    assert_eq!(left["numbers"][0]["number"], "+46822222222");
    assert_eq!(left["numbers"][0]["user"], serde_json::Value::Null);
    assert_eq!(world.basic("other", "GET", "/v1/account", "").await.json()["reserved"]["amount"], 0.06);
}

#[tokio::test]
async fn the_operator_gives_credit_once_for_each_reference() {
    let world = World::new().await;
    for amount in [json!(5.5), json!("5.5"), json!({ "currencyId": "USD", "amount": 5.5 })] {
        let body = json!({ "amount": amount, "reference": "invoice 7" }).to_string();
        let answer = world.operator("POST", "/v1/account/credit?key=shop", &body).await;
        assert_eq!((answer.status, &answer.json()["balance"]["amount"]), (200, &json!(15.464)), "{answer:?}");
    }
    for (body, refusal) in [
        (json!({ "amount": 6, "reference": "invoice 7" }), (409, 40900)),
        (json!({ "amount": 6 }), (400, 40002)),
        (json!({ "amount": 6, "reference": "" }), (400, 40001)),
        (json!({ "amount": 0.0000001, "reference": "a" }), (400, 40001)),
        (json!({ "amount": 0, "reference": "a" }), (400, 40001)),
        (json!({ "amount": 1e12, "reference": "a" }), (400, 40001)),
        (json!({ "amount": -100, "reference": "a" }), (402, 40200)),
        (json!({ "amount": { "currencyId": "SEK", "amount": 1 }, "reference": "a" }), (400, 40001)),
    ] {
        let answer = world.operator("POST", "/v1/account/credit?key=shop", &body.to_string()).await;
        assert_eq!(answer.refusal(), refusal, "{body}");
    }
    let body = json!({ "amount": 1, "reference": "a" }).to_string();
    assert_eq!(world.operator("POST", "/v1/account/credit", &body).await.refusal(), (400, 40002));
    assert_eq!(world.operator("POST", "/v1/account/credit?key=nobody", &body).await.refusal(), (404, 40400));
    let authorization = format!("Authorization: Bearer {}\r\n", world.token);
    let plain = world.gateway.post("/v1/account/credit?key=shop", &authorization, &body).await;
    assert_eq!(plain.refusal(), (415, 41500), "a form of a foreign page");
    let proxied = format!("{authorization}X-Forwarded-For: 192.0.2.1\r\nContent-Type: application/json\r\n");
    assert_eq!(world.gateway.post("/v1/account/credit?key=shop", &proxied, &body).await.refusal(), (401, 40108));
}

/// Nothing is rounded, nothing overflows, and a rejected request has changed nothing.
#[tokio::test]
async fn absurd_amounts_are_refused() {
    let world = World::new().await;
    let before = world.basic("shop", "GET", "/v1/account", "").await.body;
    for (amount, refusal) in [
        ("123456789012345678901234567890", (400, 40001)),
        ("-123456789012345678901234567890", (400, 40001)),
        ("9223372036854775808", (400, 40001)),
        ("\"9223372036854.775808\"", (400, 40001)),
        ("1.000000000000000000000000000001", (400, 40001)),
        ("1e308", (400, 40001)),
        ("1e99999", (400, 40001)),
        ("-1e-7", (400, 40001)),
        ("-0", (400, 40001)),
        ("0.000000", (400, 40001)),
        ("\"NaN\"", (400, 40001)),
        ("\"-Infinity\"", (400, 40001)),
        ("\"1,000\"", (400, 40001)),
        ("\"\"", (400, 40001)),
        ("null", (400, 40001)),
        ("[1]", (400, 40001)),
        ("{}", (400, 40001)),
        ("1000000000", (400, 40001)),
        ("-1000000000", (402, 40200)),
        ("NaN", (400, 40003)),
        ("Infinity", (400, 40003)),
        ("+1", (400, 40003)),
        ("01", (400, 40003)),
        (".5", (400, 40003)),
    ] {
        let body = format!("{{\"amount\": {amount}, \"reference\": \"absurd\"}}");
        let answer = world.operator("POST", "/v1/account/credit?key=shop", &body).await;
        assert_eq!(answer.refusal(), refusal, "{body}: {answer:?}");
    }
    let price = |price: &str| format!("{{\"rates\": [{{\"prefix\": \"46\", \"perMinute\": {price}}}]}}");
    for wrong in ["1e308", "-0.000001", "1000.000001", "0.0000001", "123456789012345678901234567890"] {
        assert_eq!(world.operator("PUT", "/v1/rates", &price(wrong)).await.refusal(), (400, 40001), "{wrong}");
    }
    assert_eq!(world.basic("shop", "GET", "/v1/account", "").await.body, before);
    let body = "{\"amount\": 1e-05, \"reference\": \"small\"}";
    assert_eq!(world.operator("POST", "/v1/account/credit?key=shop", body).await.status, 200, "as some write 0.00001");
    assert_eq!(world.basic("shop", "GET", "/v1/account", "").await.json()["balance"]["amount"], 9.96401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_reference_many_times_at_once_counts_once() {
    let world = World::new().await;
    let body = json!({ "amount": 5, "reference": "twice" }).to_string();
    let asked = (0..24).map(|_| world.operator("POST", "/v1/account/credit?key=shop", &body));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!((answer.status, &answer.json()["balance"]["amount"]), (200, &json!(14.964)), "{answer:?}");
    }
    let history = world.basic("shop", "GET", "/v1/account/history", "").await.json();
    let rows = history["history"].as_array().expect("rows").iter().filter(|row| row["reference"] == "twice");
    assert_eq!(rows.count(), 1);
    let bodies = [5, 6, 7].map(|amount| json!({ "amount": amount, "reference": "which" }).to_string());
    let asked = bodies.iter().map(|body| world.operator("POST", "/v1/account/credit?key=other", body));
    let mut told: Vec<u16> = futures_util::future::join_all(asked).await.iter().map(|answer| answer.status).collect();
    told.sort_unstable();
    assert_eq!(told, [200, 409, 409], "one of three amounts");
}

/// The operator and the application see the alarms.
#[tokio::test]
async fn alarms_are_shown_to_whom_they_concern() {
    let world = World::new().await;
    let data = &world.gateway.data.0;
    let limit = run(data, &["credit", "limit", "shop", "--range-per-hour", "2", "--per-minute", "50"]);
    assert!(String::from_utf8_lossy(&limit.stdout).contains("new calls 50 in a minute, 2 to a range in an hour"), "{limit:?}");
    let rules = Rules { openings: Openings::new(&["46"]).expect("Sweden"), ..Rules::default() };
    let store = Store::open(data, rules).expect("it opens");
    for n in 0..5 {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let new = NewCall {
            call: CallRef(format!("fast-{n}")),
            application: "shop".into(),
            call_id: format!("fast-{n}@page"),
            user: "alice".into(),
            kind: Kind::Phone,
            from: "alice".into(),
            to: "+46701234567".into(),
            at: now(),
        };
        store.ledger(Query::Open(new), |given| drop(answer.send(given))).await;
        let refused = matches!(answered.await, Ok(offhook_ledger::Answer::Refused(Refused::RangeRate)));
        assert!(refused, "two were made before");
    }
    let own = world.basic("shop", "GET", "/v1/account/alarms", "").await.json();
    let alarm = &own["alarms"][0];
    assert_eq!((own["alarms"].as_array().map(Vec::len), &own["next"]), (Some(1), &json!(null)), "{own}");
    assert_eq!((&alarm["reason"], &alarm["range"], &alarm["max"]), (&json!("range rate"), &json!("46"), &json!(2)));
    assert_eq!(world.basic("other", "GET", "/v1/account/alarms", "").await.json()["alarms"], json!([]));
    assert_eq!(world.basic("other", "GET", "/v1/account/alarms?key=shop", "").await.status, 403);
    assert_eq!(world.operator("GET", "/v1/account/alarms", "").await.json()["alarms"], own["alarms"]);
    assert_eq!(world.operator("GET", "/v1/account/alarms?limit=1000", "").await.refusal(), (400, 40001));
    assert!(String::from_utf8_lossy(&run(data, &["credit", "alarms", "shop"]).stdout).contains("\tshop\trange rate\t46\t2\n"));
    let limits = world.basic("shop", "GET", "/v1/account", "").await.json();
    assert_eq!((&limits["maxCallsPerMinute"], &limits["maxRangeCallsPerHour"]), (&json!(50), &json!(2)));
}

#[tokio::test]
async fn history_comes_in_pages() {
    let world = World::new().await;
    let (mut seen, mut path) = (Vec::new(), "/v1/account/history?limit=2".to_owned());
    loop {
        let page = world.basic("shop", "GET", &path, "").await.json();
        let rows = page["history"].as_array().expect("rows");
        assert!(rows.len() <= 2);
        seen.extend(rows.iter().map(|row| (row["type"].as_str().expect("a type").to_owned(), row["amount"]["amount"].clone())));
        match page["next"].as_i64() {
            Some(next) => path = format!("/v1/account/history?limit=2&before={next}"),
            None => break,
        }
    }
    let expected = [("RESERVATION", 0.06), ("RELEASE", 0.024), ("CHARGE", 0.036), ("RESERVATION", 0.06), ("TOPUP", 10.0)];
    assert_eq!(seen, expected.map(|(kind, amount)| (kind.to_owned(), json!(amount))));
}

#[tokio::test]
async fn a_call_is_shown_while_it_runs_and_after() {
    let world = World::new().await;
    let done = world.basic("shop", "GET", "/calling/v1/calls/id/shop-done@page", "").await.json();
    for (field, value) in [
        ("callId", json!("shop-done@page")),
        ("from", json!({ "type": "username", "endpoint": "alice" })),
        ("to", json!({ "type": "number", "endpoint": "+46701234567" })),
        ("domain", json!("pstn")),
        ("status", json!("FINAL")),
        ("result", json!("ANSWERED")),
        ("reason", json!("CALLEEHANGUP")),
        ("cause", json!("callee hung up")),
        ("code", json!(200)),
        ("duration", json!(31)),
        ("userRate", json!({ "currencyId": "USD", "amount": 0.06 })),
        ("debit", json!({ "currencyId": "USD", "amount": 0.036 })),
    ] {
        assert_eq!(done[field], value, "{done}");
    }
    let runs = world.basic("shop", "GET", "/calling/v1/calls/id/shop-runs", "").await.json();
    assert_eq!((runs["status"].as_str(), runs["reason"].as_str()), (Some("ONGOING"), Some("N/A")), "{runs}");
    assert!(runs["duration"].as_u64().is_some_and(|seconds| seconds >= 40), "{runs}");
    assert!(runs["debit"]["amount"].as_f64().is_some_and(|amount| amount >= 0.042), "{runs}");
}

/// The Node.js client of the original signs the path before it is escaped.
#[tokio::test]
async fn a_path_with_a_blank_may_be_signed_in_both_forms() {
    let world = World::new().await;
    let rules = Rules { openings: Openings::new(&["46"]).expect("Sweden"), ..Rules::default() };
    let store = Store::open(&world.gateway.data.0, rules).expect("it opens");
    assert!(call(&store, "shop", "front door", true).await);
    store.settled().await.expect("written");
    let sent = "/calling/v1/calls/id/front%20door%40page";
    for path in [sent, "/calling/v1/calls/id/front door@page"] {
        let answer = world.ask("GET", sent, &signed("shop", &SHOP, "GET", path, "", now()), "").await;
        assert_eq!((answer.status, &answer.json()["callId"]), (200, &json!("front door@page")), "{path}: {answer:?}");
    }
    let other = signed("shop", &SHOP, "GET", "/calling/v1/calls/id/a/b", "", now());
    assert_eq!(world.ask("GET", "/calling/v1/calls/id/a%2Fb", &other, "").await.refusal(), (401, 40102), "another path");
}

#[tokio::test]
async fn rates_are_the_operators() {
    let world = World::new().await;
    let body = json!({ "rates": [
        { "prefix": "4670", "perMinute": 0.1 },
        { "prefix": "", "perMinute": { "currencyId": "USD", "amount": 0.5 }, "minimum": 60, "increment": 60, "fee": 0.01 },
    ] });
    assert_eq!(world.operator("PUT", "/v1/rates?key=shop", &body.to_string()).await.status, 200);
    let shop = world.basic("shop", "GET", "/v1/rates", "").await.json();
    let prefixes: Vec<_> = shop["rates"].as_array().expect("rates").iter().map(|rate| rate["prefix"].clone()).collect();
    assert_eq!((prefixes, &shop["currencyId"]), (vec![json!(""), json!("46"), json!("4670")], &json!("USD")));
    assert_eq!(world.basic("other", "GET", "/v1/rates", "").await.json()["rates"].as_array().map(Vec::len), Some(1));
    for wrong in [
        json!({ "prefix": "+46", "perMinute": 1 }),
        json!({ "prefix": "46", "perMinute": -1 }),
        json!({ "prefix": "46", "perMinute": 1001 }),
        json!({ "prefix": "46", "perMinute": 1, "increment": 0 }),
        json!({ "prefix": "46", "perMinute": 1, "minimum": -1 }),
        json!({ "prefix": "46" }),
    ] {
        let answer = world.operator("PUT", "/v1/rates", &json!({ "rates": [wrong] }).to_string()).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
    assert_eq!(world.operator("PUT", "/v1/rates", "{").await.refusal(), (400, 40003));
    assert_eq!(world.operator("PUT", "/v1/rates", &"[".repeat(60_000)).await.status, 400);
}

#[tokio::test]
async fn the_operator_assigns_numbers_and_the_application_maps_them() {
    let world = World::new().await;
    let given = json!({ "numbers": ["+46833333333"], "applicationkey": "shop", "capability": "voice" }).to_string();
    assert_eq!(world.operator("POST", "/v1/configuration/numbers", &given).await.status, 200);
    let mapped = json!({ "numbers": ["+46833333333", "+46811111111"], "user": "desk" }).to_string();
    assert_eq!(world.basic("shop", "POST", "/v1/configuration/numbers", &mapped).await.status, 200);
    let numbers = world.basic("shop", "GET", "/v1/configuration/numbers", "").await.json();
    let users: Vec<_> = numbers["numbers"].as_array().expect("numbers").iter().map(|number| number["user"].clone()).collect();
    assert_eq!(users, ["desk", "desk"]);
    let taken = json!({ "numbers": ["+46844444444", "+46833333333"], "applicationkey": "other" }).to_string();
    assert_eq!(world.operator("POST", "/v1/configuration/numbers", &taken).await.refusal(), (409, 40900));
    let others = world.basic("other", "GET", "/v1/configuration/numbers", "").await.json();
    assert_eq!(others["numbers"].as_array().map(Vec::len), Some(1), "all of them or none");
    let gone = json!({ "number": "+46833333333", "applicationkey": "shop" }).to_string();
    assert_eq!(world.operator("DELETE", "/v1/configuration/numbers", &gone).await.status, 200);
    assert_eq!(world.operator("DELETE", "/v1/configuration/numbers", &gone).await.refusal(), (404, 40400));
    for wrong in [json!({}), json!({ "numbers": ["08123"] }), json!({ "numbers": ["+46811111111"], "shownBy": "all" })] {
        let answer = world.basic("shop", "POST", "/v1/configuration/numbers", &wrong.to_string()).await;
        assert_eq!(answer.refusal(), (400, 40001), "{wrong}");
    }
}

#[tokio::test]
async fn numbers_of_the_configuration_count_again_at_each_start() {
    let number = |key: &str| format!("[[number]]\nnumber = \"+46844444444\"\napplication = \"{key}\"\nuser = \"desk\"\n");
    let gateway = Gateway::with(&number(""));
    let listed = |data: &Folder| String::from_utf8(run(&data.0, &["number", "list", "demo"]).stdout).expect("UTF-8");
    assert_eq!(listed(&gateway.data), "+46844444444\tdemo\tdesk\tuser\n");
    let data = gateway.kill();
    assert!(run(&data.0, &["number", "add", "demo", "+46844444444", "--user", "alice", "--show", "nobody"]).status.success());
    assert_eq!(listed(&data), "+46844444444\tdemo\talice\tnobody\n");
    let data = Gateway::over(data, &number("demo")).kill();
    assert_eq!(listed(&data), "+46844444444\tdemo\tdesk\tuser\n");
    let file = data.write("offhook.toml", &number("nobody"));
    let refused = run(&data.0, &["--config", file.to_str().expect("a plain path")]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("[[number]] +46844444444: there is no such application"), "{said}");
}

/// Neither without a token nor with a wrong one.
#[tokio::test]
async fn nobody_is_the_operator_without_the_token() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::start();
    let file = gateway.data.0.join("operator-token");
    let token = std::fs::read_to_string(&file).expect("made");
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(token.trim().len() >= 64);
    for authorization in ["Bearer ", "Bearer operator", "Bearer admin", "Basic YWRtaW46YWRtaW4=", "Basic Og==", "Basic ZGVtbzo="] {
        let request = format!(
            "GET /v1/account?key=demo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n"
        );
        assert_eq!(gateway.send(&request).await.status, 401, "{authorization}");
    }
    let again = Gateway::over(gateway.kill(), "");
    assert_eq!(std::fs::read_to_string(again.data.0.join("operator-token")).expect("kept"), token);
    let own = "0123456789abcdef0123456789abcdef";
    let configured = Gateway::over(again.kill(), &format!("[phone]\noperator_token = \"{own}\"\n"));
    for (token, status) in [(own, 200), (token.trim(), 401)] {
        let head = "GET /v1/account?key=demo HTTP/1.1\r\nHost: calls.example\r\nConnection: close";
        assert_eq!(configured.send(&format!("{head}\r\nAuthorization: Bearer {token}\r\n\r\n")).await.status, status);
    }
}

#[tokio::test]
async fn the_command_line_does_the_same() {
    let world = World::new().await;
    let data = &world.gateway.data.0;
    let says = |arguments: &[&str]| {
        let output = run(data, arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).expect("text"))
    };
    assert!(says(&["credit", "add", "shop", "2.50"]).0);
    let (done, shown) = says(&["credit", "show", "shop"]);
    assert!(done && shown.starts_with("credit 12.404 USD\nreserved 0.06\n"), "{shown}");
    assert!(says(&["credit", "add", "shop", "-1"]).1.starts_with("credit 11.404 USD\n"));
    for (arguments, word) in [
        (&["credit", "add", "shop", "ten"][..], "an amount is written as 10 or 0.05"),
        (&["credit", "add", "shop", "-100"], "less credit"),
        (&["credit", "add", "nobody", "1"], "no such application"),
        (&["rate", "set", "46x", "1"], "digits"),
        (&["rate", "set", "46", "1", "--increment", "0"], "increment"),
        (&["rate", "remove", "47"], "no such rate"),
        (&["number", "add", "shop", "0811111111"], "begins with +"),
        (&["number", "remove", "other", "+46811111111"], "no such number"),
    ] {
        let (done, text) = says(arguments);
        assert!(!done && text.contains(word), "{arguments:?}: {text}");
    }
    assert!(says(&["credit", "limit", "shop", "--calls", "3", "--per-day", "5"]).1.contains("calls 1 of 3\nspent today "));
    assert!(says(&["rate", "list"]).1.contains("46\t0.06\t30/6\t0.00\t"));
    assert!(says(&["number", "list", "shop"]).1.contains("+46811111111\tshop\t-\tapplication"));
    let (_, calls) = says(&["cdr", "list", "shop"]);
    assert!(
        calls.lines().count() == 2
            && calls.contains("\talice\tphone\talice\t+46701234567\t31.000\t36\t0.036\t200\tcallee hung up\tprovider"),
        "{calls}"
    );
    let (right, sums) = says(&["credit", "check"]);
    assert!(right && sums.contains("open calls 2"), "{sums}");
}
