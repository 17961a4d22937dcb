//! The gateway as its clients see it: the real program on a free port with an empty folder.

mod calls;
mod clock;
mod demo;
mod guesses;
mod hostile;
mod kills;
mod limits;
mod local;
mod money;
mod origins;
mod outside;
mod secrets;
mod support;
mod tls;
mod versions;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use support::{Folder, Gateway, closes, program, run};

#[tokio::test]
async fn the_address_is_printed_at_start() {
    let gateway = Gateway::start();
    assert_eq!(gateway.url, format!("http://127.0.0.1:{}", gateway.port));
    let health = gateway.get("/health").await;
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    assert_eq!(gateway.get("/nothing").await.refusal(), (404, 40400));
    assert_eq!(gateway.post_json("/health", "{}").await.refusal(), (405, 40500));
    assert_eq!(gateway.get("/health").await.header("x-content-type-options"), Some("nosniff"));
    let third_party = gateway.get("/third-party.txt").await;
    for part in ["rustls ", "libopus", "SQLite", "AWS-LC", "mimalloc"] {
        assert!(third_party.status == 200 && third_party.body.contains(part), "whose work is in it: {part}");
    }
}

#[tokio::test]
async fn a_socket_needs_protocol_application_and_origin() {
    let gateway = Gateway::start();
    let origin = format!("http://localhost:{}", gateway.port);
    let page = ("Origin", origin.as_str());
    assert!(gateway.open().await.is_alive().await);
    assert!(gateway.upgrade("/sip", &[page]).await.is_ok(), "the demo is the default application");
    assert!(gateway.upgrade("/sip?key=demo", &[]).await.is_ok(), "a program of this machine");
    for (path, headers, status) in [
        ("/sip?key=demo", vec![page, ("Sec-WebSocket-Protocol", "")], 400),
        ("/sip?key=demo", vec![page, ("Sec-WebSocket-Protocol", "chat")], 400),
        ("/sip?key=demo", vec![page, ("Sec-WebSocket-Protocol", "sips, SIPx")], 400),
        ("/sip?key=other", vec![page], 403),
        ("/sip?key=", vec![page], 403),
        ("/sip?key=%64emo", vec![page], 403),
        ("/sip?key=demo", vec![("Origin", "https://evil.example")], 403),
        ("/sip?key=demo", vec![("Origin", "null")], 403),
        ("/sip?key=demo", vec![("Origin", "http://localhost.evil.example")], 403),
        ("/sip?key=demo", vec![page, ("Host", "evil.example")], 403),
        ("/sip?key=demo", vec![page, ("X-Forwarded-For", "203.0.113.1")], 403),
        ("/other?key=demo", vec![page], 404),
    ] {
        let got = gateway.upgrade(path, &headers).await.err();
        assert_eq!(got, Some(status), "{path} {headers:?}");
    }
    let metrics = gateway.get("/metrics").await.body;
    assert!(metrics.contains("offhook_refused_total{reason=\"origin\"} 3"), "{metrics}");
}

#[tokio::test]
async fn an_application_of_the_operator_has_its_own_origins() {
    let data = Folder::new();
    let added = run(&data.0, &["application", "add", "shop", "--origin", "https://shop.example"]);
    assert!(added.status.success(), "{added:?}");
    let listed = String::from_utf8(run(&data.0, &["application", "list"]).stdout).expect("text");
    assert!(listed.contains("shop\thttps://shop.example") && !listed.contains("secret"), "{listed}");
    let bad = run(&data.0, &["application", "add", "x", "--origin", "https://shop.example/"]);
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("no origin"));
    assert!(!run(&data.0, &["application", "add", "shop"]).status.success(), "the key is taken");

    let gateway = Gateway::over(data, "[data]\ndemo = false\ndefault_application = \"shop\"\n");
    assert!(gateway.upgrade("/sip", &[("Origin", "https://shop.example")]).await.is_ok());
    assert_eq!(gateway.upgrade("/sip?key=shop", &[("Origin", "https://shop.example:8443")]).await.err(), Some(403));
    assert_eq!(gateway.upgrade("/sip?key=demo", &[]).await.err(), Some(403), "the demo is off");
    assert_eq!(gateway.post_json("/demo/ticket", "{\"userId\":\"alice\"}").await.refusal(), (403, 40300));
    let new_user = gateway.post_json("/users?key=shop", "{\"username\":\"alice\",\"password\":\"wonderland\"}").await;
    assert_eq!(new_user.refusal(), (403, 40300), "only where the operator allows it");
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection() {
    let gateway = Gateway::start();
    let mut socket = gateway.open().await;
    socket.say(&"x".repeat(65_537)).await;
    assert_eq!(socket.closed().await, 1009);

    let mut socket = gateway.open().await;
    drop(socket.0.send(Message::text("x".repeat(4 << 20))).await);
    assert_eq!(socket.closed().await, 1009, "said although the rest is still on its way");

    let mut socket = gateway.open().await;
    let fragment = |first| {
        Message::Frame(Frame::message("x".repeat(1_000), OpCode::Data(if first { Data::Text } else { Data::Continue }), false))
    };
    for number in 0..100 {
        if socket.0.send(fragment(number == 0)).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn binary_and_malformed_frames_end_the_connection() {
    let gateway = Gateway::start();
    let mut socket = gateway.open().await;
    socket.0.send(Message::binary(vec![0xff, 0xfe])).await.expect("sent");
    assert_eq!(socket.closed().await, 1007);

    let mut socket = gateway.open().await;
    let reserved = Frame::message("x", OpCode::Data(Data::Reserved(3)), true);
    socket.0.send(Message::Frame(reserved)).await.expect("sent");
    assert_eq!(socket.closed().await, 1002);

    let mut socket = gateway.open().await;
    for _ in 0..200 {
        if socket.0.send(Message::Ping(Default::default())).await.is_err() {
            break;
        }
    }
    assert_eq!(socket.closed().await, 1008, "a flood of pings");
}

#[tokio::test]
async fn half_open_connections_are_closed() {
    let gateway =
        Gateway::with("[limits]\nhandshake_timeout = 400\nmessage_timeout = 600\nping_interval = 300\nidle_timeout = 900\n");
    let bound = Duration::from_millis(400)..Duration::from_secs(5);

    let mut silent = gateway.tcp().await;
    assert!(bound.contains(&closes(&mut silent).await), "nothing said");

    let mut head = gateway.tcp().await;
    head.write_all(b"GET /health HTTP/1.1\r\nHost: localh").await.expect("sent");
    assert!(bound.contains(&closes(&mut head).await), "half a head");

    let slow = gateway.send("POST /demo/ticket HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 30\r\nConnection: close\r\n\r\n{").await;
    assert_eq!(slow.status, 408, "half a body");

    let mut socket = gateway.open().await;
    assert!(socket.is_alive().await);
    let raw = socket.0.get_mut();
    raw.write_all(&[0x81, 0xfe, 0x10]).await.expect("sent");
    assert!(bound.contains(&closes(raw).await), "half a frame");

    let mut socket = gateway.open().await;
    let raw = socket.0.get_mut();
    // Pongs are never sent, because the client library is not polled.
    assert!(bound.contains(&closes(raw).await), "silence");
}

#[tokio::test]
async fn a_message_that_arrives_too_slowly_ends_the_connection() {
    let gateway = Gateway::with("[limits]\nhandshake_timeout = 400\nmessage_timeout = 600\n");
    let mut socket = gateway.open().await;
    let raw = socket.0.get_mut();
    raw.write_all(&[0x81, 0xfe, 0x40, 0x00, 1, 2, 3, 4]).await.expect("sent");
    let mut sent = 0;
    while raw.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        sent += 1;
        assert!(sent < 100, "five seconds and still open");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let gateway = Gateway::with("[limits]\nmessage_timeout = 600\nqueued_messages = 16\nmessages_per_second = 1000000\n");
    let mut socket = gateway.open().await;
    let raw = socket.0.get_mut();
    // Pings of this test, each to be answered, and no answer is read.
    let keep_alive = [0x81, 0x84, 0, 0, 0, 0, b'\r', b'\n', b'\r', b'\n'].repeat(10_000);
    let flood = async { while raw.write_all(&keep_alive).await.is_ok() {} };
    tokio::time::timeout(support::PATIENCE, flood).await.expect("the gateway gives it up");
    assert!(gateway.open().await.is_alive().await, "others are served");
}

#[tokio::test]
async fn the_demo_page_is_served() {
    let gateway = Gateway::start();
    for (path, text) in [("/", "<html"), ("/snippets.html", "<html"), ("/theme.css", "{"), ("/favicon.svg", "<svg")] {
        let answer = gateway.get(path).await;
        assert!(answer.status == 200 && answer.body.contains(text), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_request_head_over_the_limit_is_rejected() {
    let gateway = Gateway::start();
    let long = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(gateway.send(&long).await.status, 431);
    let many = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(gateway.send(&many).await.status, 431);
    assert_eq!(gateway.send("NONSENSE\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let gateway = Gateway::with("[limits]\nconnections_per_address = 3\n");
    let held = [gateway.open().await, gateway.open().await, gateway.open().await];
    let mut refused = gateway.tcp().await;
    assert!(closes(&mut refused).await < Duration::from_secs(2));
    drop(held);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(gateway.get("/health").await.status, 200);
}

#[tokio::test]
async fn the_demo_gives_tickets_to_this_machine_only() {
    let gateway = Gateway::start();
    assert!(gateway.ticket("alice").await.len() > 20);
    assert_eq!(gateway.post_json("/demo/ticket", "{\"userId\":\"\"}").await.refusal(), (400, 40001));
    assert_eq!(gateway.post_json("/demo/ticket", "{\"userId\":\"al\u{e9}\"}").await.refusal(), (400, 40001));
    let long = format!("{{\"userId\":\"{}\"}}", "x".repeat(41));
    assert_eq!(gateway.post_json("/demo/ticket", &long).await.refusal(), (400, 40001));
    assert_eq!(gateway.post_json("/demo/ticket", "{\"userId\":7}").await.refusal(), (400, 40002));
    assert_eq!(gateway.post_json("/demo/ticket", "{}").await.refusal(), (400, 40002));
    assert_eq!(gateway.post_json("/demo/ticket", "userId=alice").await.refusal(), (400, 40003));
    let json = "Content-Type: application/json\r\n";
    let alice = "{\"userId\":\"alice\"}";
    assert_eq!(gateway.post("/demo/ticket", "Content-Type: text/plain\r\n", alice).await.refusal(), (415, 41500));
    for foreign in ["Origin: https://evil.example\r\n", "X-Forwarded-For: 203.0.113.9\r\n", "Forwarded: for=203.0.113.9\r\n"] {
        assert_eq!(gateway.post("/demo/ticket", &format!("{json}{foreign}"), alice).await.refusal(), (403, 40300), "{foreign}");
    }
    let rebound = "POST /demo/ticket HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n";
    assert_eq!(gateway.send(&format!("{rebound}{alice}")).await.refusal(), (403, 40300));
    let body = format!("{{\"userId\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(gateway.post_json("/demo/ticket", &body).await.refusal(), (413, 41300));
    let deep = "[".repeat(60_000);
    assert_eq!(gateway.post_json("/demo/ticket", &deep).await.status, 400);
}

#[tokio::test]
async fn users_create_themselves_and_sign_in() {
    let gateway = Gateway::start();
    let alice = r#"{"username":"alice","password":"wonderland"}"#;
    let made = gateway.post_json("/users?key=demo", alice).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert_eq!(made.json()["user"]["identities"][0], serde_json::json!({ "type": "username", "endpoint": "alice" }));
    assert!(made.json()["authorization"].as_str().is_some_and(|ticket| ticket.len() > 20));
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let again = gateway.post_json("/users?key=demo", alice).await;
    assert_eq!((again.status, &again.json()["user"]), (200, &made.json()["user"]), "the same user with the same password");
    let other = r#"{"username":"alice","password":"looking-glass"}"#;
    assert_eq!(gateway.post_json("/users?key=demo", other).await.refusal(), (409, 40900), "the name is taken");
    assert_eq!(
        gateway.post_json("/users/authentication?key=demo", other).await.refusal(),
        (401, 40108),
        "the password stays as it was"
    );
    assert_eq!(gateway.post_json("/users/authentication?key=demo", alice).await.status, 200);

    let wrong = gateway.post_json("/users/authentication?key=demo", r#"{"username":"alice","password":"mirror"}"#).await;
    let unknown = gateway.post_json("/users/authentication?key=demo", r#"{"username":"nobody","password":"mirror"}"#).await;
    assert_eq!(wrong.refusal(), (401, 40108));
    assert_eq!((wrong.status, &wrong.body), (unknown.status, &unknown.body), "nobody can tell who exists");

    for (body, code) in [
        (r#"{"username":"bob","password":"builder"}"#, 40001),
        (r#"{"username":" bobby","password":"builder"}"#, 40001),
        (r#"{"username":"bobby","password":"b"}"#, 40001),
        (r#"{"username":"bobby"}"#, 40002),
        (r#"{"username":"bobby","password":"#, 40003),
    ] {
        assert_eq!(gateway.post_json("/users?key=demo", body).await.refusal(), (400, code), "{body}");
    }
    assert_eq!(gateway.post_json("/users?key=none", alice).await.refusal(), (403, 40300));
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_the_answer() {
    let gateway = Gateway::start();
    let ask = |origin: &str| {
        format!(
            "OPTIONS /users?key=demo HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n"
        )
    };
    let allowed = gateway.send(&ask("http://localhost:5173")).await;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (204, Some("http://localhost:5173")));
    let foreign = gateway.send(&ask("https://evil.example")).await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    let headers = "Content-Type: application/json\r\nOrigin: https://evil.example\r\n";
    let refused = gateway.post("/users?key=demo", headers, r#"{"username":"alice","password":"wonderland"}"#).await;
    assert_eq!(refused.refusal(), (403, 40300));
}

#[tokio::test]
async fn failed_passwords_are_limited() {
    let gateway = Gateway::with("[limits]\nsign_ins_per_minute = 3\n");
    let guess = r#"{"username":"alice","password":"guess"}"#;
    for _ in 0..3 {
        assert_eq!(gateway.post_json("/users/authentication?key=demo", guess).await.status, 401);
    }
    let refused = gateway.post_json("/users/authentication?key=demo", guess).await;
    assert_eq!(refused.refusal(), (429, 42900));
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn a_user_who_seems_new_is_no_way_to_guess_passwords() {
    let gateway = Gateway::with("[limits]\nsign_ins_per_minute = 3\n");
    let alice = r#"{"username":"alice","password":"wonderland"}"#;
    let (one, two) = tokio::join!(gateway.post_json("/users?key=demo", alice), gateway.post_json("/users?key=demo", alice));
    assert_eq!((one.status, two.status), (200, 200), "at the same time");
    for _ in 0..9 {
        assert_eq!(gateway.post_json("/users?key=demo", alice).await.status, 200, "one new user, who comes again");
    }
    let guess = r#"{"username":"alice","password":"a guess"}"#;
    for _ in 0..3 {
        assert_eq!(gateway.post_json("/users?key=demo", guess).await.refusal(), (409, 40900));
    }
    assert_eq!(gateway.post_json("/users?key=demo", guess).await.refusal(), (429, 42900));
    assert_eq!(gateway.post_json("/users?key=demo", alice).await.refusal(), (429, 42900), "nothing is checked any more");
}

#[tokio::test]
async fn only_listed_files_are_served() {
    let www = Folder::new();
    www.write("index.html", "<title>page</title>");
    www.write("snippets.html", "<title>snippets</title>");
    www.write(".secret", "canary");
    let package = Folder::new();
    package.write("offhook.js", "script");
    package.write("offhook.wasm", "wasm");
    let (w, p) = (www.0.display(), package.0.display());
    let gateway = Gateway::with(&format!("[files]\nwww = \"{w}\"\npackage = \"{p}\"\n"));

    let page = gateway.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("require-trusted-types-for 'script'") && !policy.contains("unsafe-inline"), "{policy}");
    assert!(gateway.get("/snippets.html").await.header("content-security-policy").is_some_and(|p| p.contains("'unsafe-inline'")));
    assert_eq!(gateway.get("/offhook.js").await.body, "script");
    assert_eq!(gateway.get("/pkg/offhook.js").await.header("content-type"), Some("text/javascript; charset=utf-8"));
    let wasm = gateway.get("/pkg/offhook.wasm").await;
    assert_eq!(wasm.header("content-type"), Some("application/wasm"));
    let etag = wasm.header("etag").expect("an etag");
    let again = format!("GET /pkg/offhook.wasm HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {etag}\r\nConnection: close\r\n\r\n");
    let again = gateway.send(&again).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let head = gateway.send("HEAD /pkg/offhook.wasm HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str(), head.header("content-length")), (200, "", Some("4")));
    package.write("offhook.js", "changed");
    assert_eq!(gateway.get("/offhook.js").await.body, "changed", "a named folder shows changes");

    for path in TRAVERSALS {
        let answer = gateway.get(path).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.body.contains("root:") && !answer.body.contains("canary"), "{path}");
    }
}

const TRAVERSALS: [&str; 16] = [
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/..%5c..%5cetc%5cpasswd",
    "/..\\..\\etc\\passwd",
    "/%c0%ae%c0%ae/etc/passwd",
    "/....//....//etc/passwd",
    "//etc/passwd",
    "/pkg//etc/passwd",
    "/pkg/../../etc/passwd",
    "/pkg/..;/etc/passwd",
    "/index.html%00.js",
    "/.secret",
    "/pkg/.%2fsecret",
    "/./index.html",
];

#[tokio::test]
async fn a_wrong_configuration_names_the_field() {
    let data = Folder::new();
    for (text, named) in [
        ("[listen]\nprot = 1\n", "prot"),
        ("[lisen]\nport = 1\n", "lisen"),
        ("[listen]\nport = \"x\"\n", "port"),
        ("[limits]\nmessage_bytes = 1\n", "limits.message_bytes"),
        ("[listen]\nbind = \"0.0.0.0\"\n", "listen.bind"),
        ("[tls]\ncertificate = \"missing.pem\"\nkey = \"missing.pem\"\n", "missing.pem"),
        ("[files]\nwww = \"missing\"\n", "files.www"),
        ("listen = [", "offhook.toml"),
    ] {
        let file = data.write("offhook.toml", text);
        let file = file.to_str().expect("a plain path");
        for arguments in [&["--config", file, "--check"][..], &["--config", file]] {
            let output = run(&data.0, arguments);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && error.contains(named), "{text}: {error}");
            assert!(output.stdout.is_empty(), "not ready");
        }
    }
    assert!(run(&data.0, &["--check"]).status.success(), "the defaults are right");
}

#[tokio::test]
async fn a_failed_start_is_reported_with_its_remedy() {
    let data = Folder::new();
    let file = data.write("file", "");
    let output = run(&file, &[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("OFFHOOK_DATA"), "{error}");

    let gateway = Gateway::start();
    let output = run(&data.0, &["--port", &gateway.port.to_string()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("OFFHOOK_PORT"), "{error}");
}

#[tokio::test]
async fn confirmed_changes_survive_a_kill() {
    let gateway = Gateway::start();
    let login = r#"{"username":"alice","password":"wonderland"}"#;
    assert_eq!(gateway.post_json("/users?key=demo", login).await.status, 200);
    let data = gateway.kill();
    let gateway = Gateway::over(data, "");
    assert_eq!(gateway.post_json("/users/authentication?key=demo", login).await.status, 200);
    let other = r#"{"username":"alice","password":"looking-glass"}"#;
    assert_eq!(gateway.post_json("/users?key=demo", other).await.refusal(), (409, 40900));
}

#[tokio::test]
async fn the_database_has_no_password_in_it() {
    let gateway = Gateway::start();
    let login = r#"{"username":"alice","password":"canary-canary"}"#;
    assert_eq!(gateway.post_json("/users?key=demo", login).await.status, 200);
    for entry in std::fs::read_dir(&gateway.data.0).expect("the folder") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("readable by us");
        assert!(!bytes.windows(13).any(|window| window == b"canary-canary"), "{path:?}");
    }
}

#[tokio::test]
async fn it_stops_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::start();
        let mut socket = gateway.open().await;
        assert!(socket.is_alive().await);
        gateway.signal(signal);
        assert_eq!(socket.closed().await, 1001, "going away");
        assert_eq!(gateway.ended().await, Some(0));
    }
}

#[tokio::test]
async fn metrics_are_for_this_machine() {
    let gateway = Gateway::start();
    let mut socket = gateway.open().await;
    assert!(socket.is_alive().await);
    let metrics = gateway.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in ["offhook_websockets 1", "offhook_calls 0", "offhook_devices ", "offhook_messages_total{direction=\"in\"} 1"] {
        assert!(metrics.body.contains(line), "{line}: {}", metrics.body);
    }
    let forwarded = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Real-IP: 203.0.113.1\r\nConnection: close\r\n\r\n";
    assert_eq!(gateway.send(forwarded).await.refusal(), (403, 40300));
    let public = Gateway::with("[metrics]\npublic = true\n");
    assert_eq!(public.send(forwarded).await.status, 200);
}

#[tokio::test]
async fn no_user_has_the_name_of_a_telephone() {
    let gateway = Gateway::start();
    let ask = async |path: &str, name: &str| {
        let body = if path == "/demo/ticket" {
            format!(r#"{{"userId":"{name}"}}"#)
        } else {
            format!(r#"{{"username":"{name}","password":"wonderland"}}"#)
        };
        gateway.post_json(path, &body).await
    };
    for name in ["+46701112233", "46701112233", "0046701112233", "070-111 22 33", "+46 (0)70.111", "+1"] {
        for path in ["/users?key=demo", "/users/authentication?key=demo", "/demo/ticket"] {
            let answer = ask(path, name).await;
            assert!(matches!(answer.refusal(), (400, 40001)), "{path} {name}: {answer:?}");
            let long_enough = name.len() > 3 || path != "/users?key=demo";
            assert!(!long_enough || answer.body.contains("must not be a phone number"), "{answer:?}");
        }
        let command = |arguments: &[&str], input: &str| {
            let mut child =
                program(&gateway.data.0).args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
            child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
            let output = child.wait_with_output().expect("ended");
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (added, why) = command(&["user", "add", "demo", name], "wonderland");
        assert!(!added && why.contains("must not be a phone number"), "{name}: {why}");
        if !name.contains(' ') {
            let (added, why) = command(&["user", "import", "demo"], &format!("alice wonderland\n{name} wonderland\n"));
            assert!(!added && why.contains("line 2") && why.contains("must not be a phone number"), "{name}: {why}");
        }
    }
    assert_eq!(ask("/users/authentication?key=demo", "alice").await.status, 401, "nobody of an import that fails is there");
    for name in ["1001", "123456", "alice1", "1234567x"] {
        assert_eq!(ask("/users?key=demo", name).await.status, 200, "{name}");
        assert_eq!(ask("/demo/ticket", name).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn an_emergency_trunk_has_to_be_there() {
    let data = Folder::new();
    let trunk = "[[trunk]]\nname = \"provider\"\naddress = \"192.0.2.1\"\nprefixes = [\"+\"]\n";
    for (text, error) in [
        (format!("[phone]\nemergency = {{ trunk = \"other\" }}\n{trunk}"), Some("`phone.emergency`")),
        (format!("[phone]\nemergency = {{ trunk = \"provider\", numbers = [\"+112\"] }}\n{trunk}"), Some("`phone.emergency`")),
        (format!("[phone]\nemergency = {{ trunc = \"provider\" }}\n{trunk}"), Some("trunc")),
        (format!("{trunk}extensions = [\"9??\"]\n"), Some("`trunk.extensions`")),
        (
            format!("[phone]\nemergency = {{ trunk = \"provider\", numbers = [\"112\", \"110\"] }}\n{trunk}extensions = [\"9??\"]"),
            None,
        ),
    ] {
        let file = data.write("offhook.toml", &text);
        let output = run(&data.0, &["--config", file.to_str().expect("a plain path"), "--check"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), error.is_none(), "{text}: {said}");
        assert!(error.is_none_or(|error| said.contains(error)), "{text}: {said}");
    }
}
