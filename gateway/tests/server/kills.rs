//! The gateway is killed repeatedly (`kill -9`) while a call that costs money is set up or established, and its accounts are right.

use std::time::Duration;

use offhook_gateway::store::random;
use offhook_sip::{StatusCode, parse, reply};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::calls::Phone;
use super::outside::{OFFER, ports};
use super::support::{Gateway, PATIENCE, run};

const KILLS: usize = 12;

const ANSWER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

/// A provider that answers every call, and reports what it has received.
async fn carrier() -> (String, mpsc::UnboundedReceiver<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address").to_string();
    let (heard, methods) = mpsc::unbounded_channel();
    let contact = format!("<sip:desk@{address}>");
    tokio::spawn(async move {
        let mut buffer = [0; 4_000];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let Some((message, method)) =
                parse(text.as_bytes()).ok().and_then(|message| Some((message.clone(), message.method()?.to_string())))
            else {
                continue;
            };
            let answers = match method.as_str() {
                "ACK" => vec![],
                "INVITE" => vec![
                    reply(&message, StatusCode::RINGING, Some("desk")).field("Contact", &contact).end(),
                    reply(&message, StatusCode::OK, Some("desk")).field("Contact", &contact).body("application/sdp", ANSWER),
                ],
                _ => vec![reply(&message, StatusCode::OK, Some("desk")).end()],
            };
            for answer in answers {
                drop(socket.send_to(answer.as_bytes(), from).await);
            }
            drop(heard.send(method));
        }
    });
    (address, methods)
}

#[tokio::test]
async fn the_books_are_right_after_the_gateway_was_killed_in_paid_calls() {
    let (address, mut heard) = carrier().await;
    let trunk = format!("[[trunk]]\nname = \"provider\"\naddress = \"{address}\"\nwatch = 0\nprefixes = [\"+\"]\n");
    let config = format!("{}[phone]\nallow = [\"46\"]\n{trunk}", ports().await);
    let mut data = Gateway::start().kill();
    assert!(run(&data.0, &["rate", "set", "46", "0.06", "--minimum", "30", "--fee", "0.01"]).status.success());
    for kill in 0..KILLS {
        let gateway = Gateway::over(data, &config);
        let mut alice = Phone::new(&gateway, "alice").await;
        assert_eq!(alice.register_with_ticket(&gateway).await, 200);
        let invite = alice.request("INVITE", "+46701234567").body("application/sdp", OFFER);
        alice.socket.say(&invite.replacen("@localhost SIP", "@localhost;user=phone SIP", 1)).await;
        // One in three at any time of its set-up, the others while they are established.
        while kill % 3 != 0 && timeout(PATIENCE, heard.recv()).await.expect("it is dialled").as_deref() != Some("ACK") {}
        sleep(Duration::from_millis(u64::from(random(1)[0]) / 3)).await;
        data = gateway.kill();
        while heard.try_recv().is_ok() {}
    }
    let gateway = Gateway::over(data, &config);
    let books = run(&gateway.data.0, &["credit", "check"]);
    let said = String::from_utf8_lossy(&books.stdout).into_owned();
    assert!(books.status.success() && said.contains("reserved 0.00\n") && said.contains("open calls 0"), "{books:?}");
    let of = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).expect("a line").to_owned();
    assert_eq!(of("charged "), of("call records "));
    assert_ne!(of("charged "), "0.00", "calls ran");
    let records = run(&gateway.data.0, &["cdr", "list", "demo"]);
    let records = String::from_utf8_lossy(&records.stdout).lines().count();
    assert!((KILLS * 2 / 3..=KILLS).contains(&records), "{records} calls were recorded, of {KILLS}");
}
