//! Pages of other origins: what they may use, and what they are told.

use super::*;

/// Browsers tell no script why a WebSocket could not be opened; a page asks again without upgrade.
#[tokio::test]
async fn a_page_may_ask_why_its_socket_was_refused() {
    let gateway = Gateway::start();
    let origin = format!("http://localhost:{}", gateway.port);
    let asked = async |path: &str, fields: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n{fields}\r\n", gateway.port);
        gateway.send(&head).await
    };
    for (path, fields, status, reason) in [
        ("/sip?key=demo", format!("Origin: {origin}\r\n"), 426, ""),
        // A page of this very host.
        ("/sip?key=demo", format!("Referer: {origin}/page.html\r\n"), 426, ""),
        ("/sip?key=demo", "Referer: https://evil.example/page.html\r\n".to_owned(), 403, "origin"),
        // A proxy that asks for a WebSocket in every request.
        ("/sip?key=demo", format!("Origin: {origin}\r\nUpgrade: websocket\r\n"), 426, ""),
        ("/sip", format!("Origin: {origin}\r\n"), 426, ""),
        ("/sip?key=other", format!("Origin: {origin}\r\n"), 403, "unknown application"),
        ("/sip?key=demo", "Origin: https://evil.example\r\n".to_owned(), 403, "origin"),
        ("/sip?key=demo", format!("Origin: {origin}\r\nX-Forwarded-For: 203.0.113.1\r\n"), 403, "loopback only"),
    ] {
        let answer = asked(path, &fields).await;
        let json = answer.json();
        let said = (answer.status, json["server"].as_str(), json["reason"].as_str());
        assert_eq!(said, (status, Some("offhook-gateway"), Some(reason)), "{path} {fields}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "a page of any origin may read it");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(answer.header("upgrade"), (status == 426).then_some("websocket"));
    }
    let metrics = gateway.get("/metrics").await;
    assert!(!metrics.body.contains("reason=\"unknown application\""), "who only asks is not counted");
    let other = gateway.get("/users?key=other").await;
    assert_eq!(
        (other.header("access-control-allow-origin"), other.json()["server"].as_str()),
        (None, None),
        "nothing else is public"
    );
}

/// Apps of web views, extensions and files: each by its name, for sockets and for what pages may read.
#[tokio::test]
async fn origins_that_are_no_sites_are_allowed_by_name() {
    let data = Folder::new();
    let named = ["capacitor://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop", "null", "file://"];
    for (key, origins) in [("app", &named[..]), ("shop", &["https://shop.example"])] {
        let origins = origins.iter().flat_map(|origin| ["--origin", origin]);
        let added = run(&data.0, &["application", "add", key, "--allow-new-users"].into_iter().chain(origins).collect::<Vec<_>>());
        assert!(added.status.success(), "{added:?}");
    }
    for wrong in ["file:///", "file://a", "capacitor://", "chrome-extension://*", "capacitor://localhost/", "*"] {
        let refused = run(&data.0, &["application", "add", "x", "--origin", wrong]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains("capacitor://localhost, or null or file:// for pages of files"),
            "{wrong}: {said}"
        );
    }
    let gateway = Gateway::over(data, "[data]\ndemo = false\n");
    for (key, origin, allowed) in [
        ("app", named[0], true),
        ("app", named[1], true),
        ("app", "null", true),
        ("app", "file://", true),
        ("app", "file:///", false),
        ("app", "ionic://localhost", false),
        ("app", "capacitor://localhost:1", false),
        ("app", "https://shop.example", false),
        ("shop", "null", false),
        ("shop", "file://", false),
        ("shop", named[0], false),
    ] {
        let socket = gateway.upgrade(&format!("/sip?key={key}"), &[("Origin", origin)]).await;
        assert_eq!(socket.err(), (!allowed).then_some(403), "{key} {origin}");
        let headers = format!("Content-Type: application/json\r\nOrigin: {origin}\r\n");
        let body = "{\"username\":\"nobody\",\"password\":\"wonderland\"}";
        let answer = gateway.post(&format!("/users/authentication?key={key}"), &headers, body).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin), "{key} {origin}");
        assert_eq!((answer.status, answer.header("vary")), (if allowed { 401 } else { 403 }, Some("Origin")), "{key} {origin}");
    }
}

/// What the page's error says to the operator can be done, after a restart.
#[tokio::test]
async fn the_origins_of_an_application_can_be_changed() {
    let data = Folder::new();
    assert!(run(&data.0, &["application", "add", "shop", "--origin", "https://old.example"]).status.success());
    let set = |key: &str, origins: &[&str]| run(&data.0, &[&["application", "origins", key], origins].concat());
    let none = set("none", &["--origin", "https://new.example"]);
    assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("no such application"), "{none:?}");
    assert!(!set("shop", &["--origin", "https://new.example/"]).status.success(), "an origin has no path");
    let listed = || String::from_utf8(run(&data.0, &["application", "list"]).stdout).expect("a text");
    assert!(listed().starts_with("shop\thttps://old.example\t"), "{}", listed());
    assert!(set("shop", &["--origin", "https://new.example", "--origin", "file://", "--loopback"]).status.success());
    assert!(listed().starts_with("shop\thttps://new.example file:// loopback\t"), "{}", listed());
    let gateway = Gateway::over(data, "");
    for (origin, allowed) in [("https://new.example", true), ("http://localhost:1", true), ("https://old.example", false)] {
        let socket = gateway.upgrade("/sip?key=shop", &[("Origin", origin)]).await;
        assert_eq!(socket.err(), (!allowed).then_some(403), "{origin}");
    }
}
