//! Many connections: the limit of one address, the clients of a proxy, and the order of eviction.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::support::{Folder, Gateway, closes, program, run};

/// Returns a gateway with an application that pages of other machines may use.
fn public(config: &str) -> Gateway {
    let data = Folder::new();
    assert!(run(&data.0, &["application", "add", "shop", "--origin", "https://shop.example"]).status.success());
    Gateway::over(data, config)
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_address_has_its_own_limit() {
    let gateway = public("[listen]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.9\"]\n[limits]\nconnections_per_address = 2\n");
    let open = async |forwarded: &str| {
        gateway.upgrade("/sip?key=shop", &[("Origin", "https://shop.example"), ("X-Forwarded-For", forwarded)]).await
    };
    let held = [open("203.0.113.1").await, open("198.51.100.7, 203.0.113.1, 10.0.0.9").await];
    assert!(held.iter().all(Result::is_ok));
    assert_eq!(open("203.0.113.1").await.err(), Some(429));
    let ask = async |forwarded: &str| {
        let fields =
            format!("Host: localhost\r\nOrigin: https://shop.example\r\nX-Forwarded-For: {forwarded}\r\nConnection: close");
        gateway.send(&format!("GET /sip?key=shop HTTP/1.1\r\n{fields}\r\n\r\n")).await
    };
    let full = ask("203.0.113.1").await;
    assert_eq!((full.status, full.json()["reason"].as_str()), (429, Some("too many connections of one address")));
    for _ in 0..3 {
        assert_eq!(ask("203.0.113.2").await.status, 426, "who only asks takes no place");
    }
    assert!(open("203.0.113.2").await.is_ok());
    drop(held);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(open("203.0.113.1").await.is_ok(), "free again");
}

#[tokio::test]
async fn forwarded_addresses_of_untrusted_proxies_are_ignored() {
    let gateway = public("[listen]\ntrusted_proxies = [\"10.0.0.0/8\"]\n[limits]\nconnections_per_address = 2\n");
    let open = async |forwarded: &str| {
        gateway.upgrade("/sip?key=shop", &[("Origin", "https://shop.example"), ("X-Forwarded-For", forwarded)]).await
    };
    let _held = [open("203.0.113.1").await, open("203.0.113.2").await];
    let mut third = gateway.tcp().await;
    assert!(closes(&mut third).await < Duration::from_secs(2));
}

#[tokio::test]
async fn a_silent_connection_is_evicted_for_a_new_one() {
    let gateway = Gateway::with("[limits]\nsilent = 64\n");
    let mut socket = gateway.open().await;
    let mut silent = Vec::new();
    for _ in 0..66 {
        silent.push(gateway.tcp().await);
        silent.last_mut().expect("just made").write_all(b"GET /health HT").await.expect("sent");
        assert_eq!(gateway.get("/health").await.status, 200);
    }
    assert!(closes(&mut silent[0]).await < Duration::from_secs(4), "before its own time is over");
    assert!(socket.is_alive().await, "a WebSocket has asked for something");
}

#[tokio::test]
async fn a_connection_that_does_not_close_when_told_is_evicted() {
    let gateway = Gateway::with("[limits]\nconnections = 48\nsilent = 16\n");
    let mut known = gateway.open().await;
    assert!(known.is_alive().await);
    let mut silent = Vec::new();
    for n in 0..64 {
        // The seventeenth and each further one replaces another, which does not notice that it was told to close.
        silent.push(gateway.open().await);
        assert_eq!(gateway.get("/health").await.status, 200, "after {n}");
    }
    assert!(known.is_alive().await);
}

#[tokio::test]
async fn there_are_no_more_connections_than_open_files() {
    let data = Folder::new();
    let file = data.write("offhook.toml", "[media]\nsessions = 0\n");
    let plain = program(&data.0);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -Sn 100 && ulimit -Hn 200 && exec \"$0\" --config \"$1\""]).arg(plain.get_program()).arg(file);
    command.env_clear().env("OFFHOOK_DATA", &data.0).env("OFFHOOK_PORT", "0").stdout(Stdio::piped());
    command.stderr(std::fs::File::create(data.0.join("log")).expect("the temporary folder can be written"));
    let gateway = Gateway::started(command, data);
    let log = gateway.log();
    assert!(log.contains("raise the limit of open files") && log.contains("connections=100"), "{log}");
    let mut all = Vec::new();
    for _ in 0..150 {
        all.push(gateway.tcp().await);
    }
    drop(all);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(gateway.open().await.is_alive().await);
}

#[tokio::test]
async fn an_operator_adds_many_users() {
    let data = Folder::new();
    let import = |text: &str| {
        let file = data.write("users", text);
        let mut command = program(&data.0);
        command.args(["user", "import", "shop"]).stdin(std::fs::File::open(file).expect("just written"));
        command.output().expect("the program can be started")
    };
    assert!(run(&data.0, &["application", "add", "shop", "--loopback"]).status.success());
    let wrong = import("alice wonderland\nbob\n");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("line 2"), "{wrong:?}");
    let added = import("alice a pass phrase\nbobby another\n");
    assert_eq!(String::from_utf8_lossy(&added.stdout), "added 2\n");
    let gateway = Gateway::over(data, "");
    let sign_in = async |user: &str, password: &str| {
        let body = format!("{{\"username\":\"{user}\",\"password\":\"{password}\"}}");
        gateway.post_json("/users/authentication?key=shop", &body).await.status
    };
    assert_eq!(sign_in("alice", "a pass phrase").await, 200);
    assert_eq!(sign_in("bobby", "a pass phrase").await, 401);
}
