//! Functions for this machine alone, where a proxy on the same machine makes forwarded requests look local.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::{Answer, Folder, Gateway, Socket, exchange, run};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Starts a proxy that does not name its clients, and sends everything to `Host: 127.0.0.1`; returns its port.
async fn proxy(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(hand_on(client, to));
        }
    });
    port
}

async fn hand_on(mut client: TcpStream, to: u16) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let head = head.split("\r\n").map(|line| match line.to_ascii_lowercase().starts_with("host:") {
        true => format!("Host: 127.0.0.1:{to}"),
        false => line.to_owned(),
    });
    let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
    server.write_all(head.collect::<Vec<String>>().join("\r\n").as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Returns a free port.
async fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Returns a gateway with the demo, and an application for other machines if `origin` is one.
fn gateway(config: &str, origin: Option<&str>) -> Gateway {
    let data = Folder::new();
    if let Some(origin) = origin {
        assert!(run(&data.0, &["application", "add", "shop", "--origin", origin]).status.success());
    }
    Gateway::over(data, config)
}

async fn ask(port: u16, request: &str) -> Answer {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let (line, rest) = request.split_once("\r\n").expect("a line");
    exchange(stream, &format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{rest}")).await
}

/// Returns the statuses of everything that is for this machine alone: ticket, account and credit of the demo, metrics, operator, users
/// of the demo and its WebSocket.
async fn privileges(port: u16, token: &str) -> [u16; 7] {
    let (json, body) = ("Content-Type: application/json\r\n", r#"{"userId":"alice"}"#);
    let ticket = ask(port, &format!("POST /demo/ticket HTTP/1.1\r\n{json}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    let user = format!("Authorization: user {}\r\n", ticket.json()["userTicket"].as_str().unwrap_or_default());
    let account = ask(port, &format!("GET /demo/account HTTP/1.1\r\n{user}\r\n")).await.status;
    let credit = ask(port, &format!("POST /demo/credit HTTP/1.1\r\n{user}Content-Length: 0\r\n\r\n")).await.status;
    let metrics = ask(port, "GET /metrics HTTP/1.1\r\n\r\n").await.status;
    let operator = ask(port, &format!("GET /v1/rates HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n")).await.status;
    let body = r#"{"username":"alice","password":"guess"}"#;
    let request = format!("POST /users/authentication?key=demo HTTP/1.1\r\n{json}Content-Length: {}\r\n\r\n{body}", body.len());
    let users = ask(port, &request).await.status;
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
    let origin = format!("http://localhost:{port}");
    let socket = Socket::open(stream, &format!("ws://127.0.0.1:{port}/sip?key=demo"), &[("Origin", &origin)]).await;
    [ticket.status, account, credit, metrics, operator, users, socket.err().unwrap_or(101)]
}

#[tokio::test]
async fn requests_by_a_proxy_are_not_local() {
    for (config, origin) in [
        ("[listen]\nallow_plain = true\n", None),
        ("[listen]\ntrusted_proxies = [\"10.0.0.9\"]\n", None),
        ("[listen]\nbind = \"0.0.0.0\"\nallow_plain = true\n", None),
        ("[sip]\ndomain = \"calls.example.com\"\n", None),
        ("[data]\nallow_missing_origin = true\n", None),
        ("", Some("https://shop.example")),
    ] {
        let gateway = gateway(config, origin);
        let token = std::fs::read_to_string(gateway.data.0.join("operator-token")).expect("made at the first start");
        let behind = proxy(gateway.port).await;
        assert_eq!(privileges(behind, token.trim()).await, [403, 403, 403, 403, 401, 403, 403], "{config} {origin:?}");
        assert_eq!(ask(behind, "GET /health HTTP/1.1\r\n\r\n").await.status, 200, "others are served");
        assert!(gateway.log().contains("listen.local_port"), "{}", gateway.log());
    }
}

#[tokio::test]
async fn local_requests_have_a_port_of_their_own() {
    let local = free().await;
    let config = format!("[listen]\nallow_plain = true\nlocal_port = {local}\n");
    let gateway = gateway(&config, Some("https://shop.example"));
    let token = std::fs::read_to_string(gateway.data.0.join("operator-token")).expect("made at the first start");
    assert_eq!(privileges(local, token.trim()).await, [200, 200, 200, 200, 200, 401, 101]);
    assert_eq!(privileges(proxy(gateway.port).await, token.trim()).await, [403, 403, 403, 403, 401, 403, 403]);
    let rebound = TcpStream::connect(("127.0.0.1", local)).await.expect("it listens");
    let rebound = exchange(rebound, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert_eq!(rebound.status, 403, "a page of a foreign host whose name was made to lead here");
}

#[tokio::test]
async fn the_operators_own_token_works_from_everywhere() {
    let gateway = gateway(&format!("[listen]\nallow_plain = true\n[phone]\noperator_token = \"{TOKEN}\"\n"), None);
    let behind = proxy(gateway.port).await;
    assert_eq!(privileges(behind, TOKEN).await, [403, 403, 403, 403, 200, 403, 403]);
}

#[tokio::test]
async fn a_gateway_for_this_machine_alone_needs_no_other_port() {
    let gateway = gateway("", None);
    let token = std::fs::read_to_string(gateway.data.0.join("operator-token")).expect("made at the first start");
    assert_eq!(privileges(gateway.port, token.trim()).await, [200, 200, 200, 200, 200, 401, 101]);
}
