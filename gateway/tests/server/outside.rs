//! Start and stop of the gateway with its trunks: the real program, and a provider that is a socket of the test.

use std::time::Duration;

use offhook_sip::{Method, StatusCode, Writer, parse, reply};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::calls::{Phone, code};
use super::support::{Gateway, PATIENCE, run};

/// A valid offer of a page.
pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 127.0.0.1\r\na=mid:0\r\n\
                     a=rtcp-mux\r\na=sendrecv\r\na=ice-ufrag:page\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n\
                     a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
                     a=rtpmap:0 PCMU/8000\r\n";

struct Provider(UdpSocket);

impl Provider {
    async fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.expect("a port"))
    }

    /// Returns a gateway that registers with it.
    async fn customer(&self) -> Gateway {
        let address = self.0.local_addr().expect("an address");
        Gateway::with(&format!(
            "{}[[trunk]]\nname = \"provider\"\naddress = \"{address}\"\nwatch = 0\nregister = true\nusername = \"us\"\n",
            ports().await
        ))
    }

    /// Returns the next REGISTER, which is answered with 200 if `answers`.
    async fn registers(&self, answers: bool) -> String {
        let mut buffer = [0; 2_000];
        let (length, from) =
            tokio::time::timeout(PATIENCE, self.0.recv_from(&mut buffer)).await.expect("it registers").expect("a datagram");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let register = parse(text.as_bytes()).expect("SIP");
        assert_eq!(register.method(), Some(Method::Register), "{text}");
        if answers {
            let answer = reply(&register, StatusCode::OK, Some("provider")).end();
            self.0.send_to(answer.as_bytes(), from).await.expect("sent");
        }
        text
    }
}

/// Returns free ports for SIP.
pub async fn ports() -> String {
    let port = UdpSocket::bind("127.0.0.1:0").await.and_then(|socket| socket.local_addr()).expect("a port").port();
    format!("[trunks]\nudp = {port}\ntcp = 0\ntls = 0\n")
}

#[tokio::test]
async fn the_registration_with_a_provider_is_removed_at_stop() {
    let provider = Provider::new().await;
    let mut gateway = provider.customer().await;
    assert!(provider.registers(true).await.contains("\r\nExpires: 3600\r\n"));
    while !gateway.log().contains("registered with the provider") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.signal("TERM");
    assert!(provider.registers(true).await.contains("\r\nExpires: 0\r\n"));
    assert_eq!(gateway.ended().await, Some(0));
    assert!(gateway.log().contains("taken back"), "{}", gateway.log());
}

/// A provider calls the Contact that was registered, names the number in To, and puts octets of another network beside its description.
#[tokio::test]
async fn a_call_to_the_account_rings_at_the_user_whose_number_it_names() {
    let provider = Provider::new().await;
    let gateway = provider.customer().await;
    let register = provider.registers(true).await;
    let register = parse(register.as_bytes()).expect("SIP");
    let contact = register.contacts().next().expect("a Contact").expect("readable").uri;
    assert!(run(&gateway.data.0, &["number", "add", "demo", "+46401234567", "--user", "alice"]).status.success());
    let mut alice = Phone::new(&gateway, "alice").await;
    assert_eq!(alice.register_with_ticket(&gateway).await, 200);

    let address = provider.0.local_addr().expect("an address");
    let body = [
        b"--b\r\nContent-Type: application/ISUP\r\nContent-Disposition: signal;handling=optional\r\n\r\n\x01\xff\xfe\x00\r\n"
            .as_slice(),
        b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n",
        b"m=audio 4000 RTP/AVP 0\r\n--b--\r\n",
    ]
    .concat();
    let head = format!(
        "INVITE sip:us@{host} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bKin\r\nMax-Forwards: 70\r\n\
         From: <sip:+46-70-999.99.99;npdi@{address};user=phone>;tag=theirs\r\nTo: <sip:40-123.45.67;phone-context=+46@{address};user=phone>\r\n\
         Call-ID: in\r\nCSeq: 1 INVITE\r\nContact: <sip:{address}>\r\nRequire: 100rel\r\n\
         Content-Type: multipart/mixed;boundary=b\r\nContent-Length: {length}\r\n\r\n",
        host = contact.host,
        length = body.len()
    );
    let there = format!("{}:{}", contact.host, contact.port.expect("a port"));
    provider.0.send_to(&[head.as_bytes(), &body].concat(), there).await.expect("sent");
    let invite = alice.socket.hear().await;
    assert!(invite.starts_with("INVITE "), "{invite}\n{}", gateway.log());
    assert!(invite.contains("\r\nFrom: <sip:+46709999999@"), "{invite}");
}

#[tokio::test]
async fn a_silent_registrar_does_not_delay_the_stop() {
    let provider = Provider::new().await;
    let mut gateway = provider.customer().await;
    provider.registers(false).await;
    let start = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_silent_dns_server_delays_neither_start_nor_stop() {
    let silent = Provider::new().await;
    let nameserver = silent.0.local_addr().expect("an address");
    let trunk =
        "[[trunk]]\nname = \"provider\"\naddress = \"sip.provider.example\"\nwatch = 0\nregister = true\nusername = \"us\"\n";
    let mut gateway = Gateway::with(&format!("{}nameservers = [\"{nameserver}\"]\n{trunk}", ports().await));
    assert_eq!(gateway.get("/health").await.status, 200);
    while !gateway.log().contains("cannot be looked up") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
}

/// After the first signal the gateway waits for the call, after the second it ends the call; the page, the record and the exit code
/// show it.
#[tokio::test]
async fn a_call_to_the_outside_ends_with_the_gateway() {
    let mut gateway = Gateway::start();
    let mut alice = Phone::new(&gateway, "alice").await;
    assert_eq!(alice.register_with_ticket(&gateway).await, 200);
    let invite: Writer = alice.request("INVITE", "+46000000000");
    alice.socket.say(&invite.body("application/sdp", OFFER)).await;
    while code(&alice.socket.hear().await) != 180 {}
    gateway.signal("TERM");
    while gateway.get("/health").await.status != 503 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.signal("TERM");
    let answer = alice.socket.hear().await;
    assert!(code(&answer) == 503 && answer.contains("X-Error: 50300 Server is going down"), "{answer}");
    assert_eq!(alice.socket.closed().await, 1001);
    assert_eq!(gateway.ended().await, Some(0));
    let calls = run(&gateway.data.0, &["cdr", "list", "demo"]);
    let calls = String::from_utf8_lossy(&calls.stdout).into_owned();
    assert!(calls.contains("\t503\tgateway going down\t"), "{calls}");
}

/// An application without rights: its emergency calls are dialled, its calls to numbers by SIP addresses are not.
#[tokio::test]
async fn emergency_calls_need_no_credit_and_numbers_do() {
    let provider = Provider::new().await;
    let address = provider.0.local_addr().expect("an address");
    let trunk = format!(
        "[[trunk]]\nname = \"provider\"\naddress = \"{address}\"\nwatch = 0\nprefixes = [\"+\"]\ndomains = [\"provider.test\"]\n"
    );
    let emergency = "[phone]\nallow = [\"46\"]\nemergency = { trunk = \"provider\", numbers = [\"112\"] }\n";
    let gateway = Gateway::with(&format!("{}{trunk}{emergency}", ports().await));
    assert!(run(&gateway.data.0, &["credit", "limit", "demo", "--calls", "0", "--per-day", "0"]).status.success());
    assert!(run(&gateway.data.0, &["credit", "add", "demo", "-10"]).status.success());
    let mut alice = Phone::new(&gateway, "alice").await;
    assert_eq!(alice.register_with_ticket(&gateway).await, 200);
    for (uri, status, error) in [
        ("sip:+46701234567@provider.test", 403, "40300 Too many calls at once"),
        ("sip:+4690012345678@provider.test", 403, "40300 Calls to this country or range are not allowed"),
        ("sip:0046701234567@provider.test", 400, "40001 A phone number begins with +"),
        ("sip:112@localhost", 486, ""),
        ("sip:112@provider.test", 486, ""),
    ] {
        let text = alice.request("INVITE", "x").body("application/sdp", OFFER);
        let (_, rest) = text.split_once("\r\n").expect("a request");
        alice.socket.say(&format!("INVITE {uri} SIP/2.0\r\n{rest}")).await;
        if status == 486 {
            let mut buffer = [0; 4_000];
            let (length, from) =
                tokio::time::timeout(PATIENCE, provider.0.recv_from(&mut buffer)).await.expect("it is called").expect("a datagram");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert!(text.starts_with("INVITE sip:112@127.0.0.1;user=phone SIP/2.0\r\n"), "{text}");
            let busy = reply(&parse(text.as_bytes()).expect("SIP"), StatusCode::BUSY_HERE, Some("provider")).end();
            provider.0.send_to(busy.as_bytes(), from).await.expect("sent");
            provider.0.recv_from(&mut buffer).await.expect("the ACK");
        }
        let answer = loop {
            let answer = alice.socket.hear().await;
            if code(&answer) >= 200 {
                break answer;
            }
        };
        assert!(code(&answer) == status && answer.contains(error), "{uri}: {answer}");
        assert!(provider.0.try_recv_from(&mut [0; 4_000]).is_err(), "{uri}: nothing was dialled");
    }
    let calls = run(&gateway.data.0, &["cdr", "list", "demo"]);
    let calls = String::from_utf8_lossy(&calls.stdout).into_owned();
    let help = calls.lines().filter(|line| line.contains("\t112\t") && line.contains("\t0\t0.00\t486\tbusy\tprovider"));
    assert_eq!(help.count(), 2, "{calls}");
    assert!(run(&gateway.data.0, &["credit", "check"]).status.success());
}

/// The trace of a call in the log: the Call-ID of the page's INVITE finds all its lines, and the Call-ID that one of them names
/// leads to the messages of the trunk.
#[tokio::test]
async fn a_call_is_followed_in_the_log_from_the_page_to_the_trunk() {
    for level in ["info", "trace"] {
        let (gateway, page, trunk) = called_and_hung_up(level).await;
        while gateway.log().matches("media ended").count() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = gateway.log();
        let of = |id: &str| -> Vec<&str> {
            let field = format!("call={id}");
            log.lines().filter(|line| line.split(' ').any(|word| word == field)).collect()
        };
        let lines = of(&page);
        let words = ["call started", "dialled", "codecs", "call answered", "outside call ended", "call ended", "media ended"];
        let at = |words: &&str| lines.iter().position(|line| line.contains(&format!("INFO {words} ")));
        let at: Option<Vec<usize>> = words.iter().map(at).collect();
        assert!(at.is_some(), "{level}: {log}");
        let dialled = lines.iter().find(|line| line.contains("INFO dialled ")).expect("as was seen");
        assert!(dialled.contains(&format!("trunk_call={trunk}")) && dialled.contains("trunk=\"provider\""), "{dialled}");
        let ended = lines.iter().find(|line| line.contains("INFO outside call ended ")).expect("as was seen");
        assert!(ended.contains("cause=\"callee hung up\" code=200 duration="), "{ended}");
        let number = log.contains("46701234567");
        match level {
            "info" => assert!(lines.len() == words.len() && !number && !log.contains("alice"), "{log}"),
            _ => {
                let sent =
                    of(&trunk).iter().any(|line| line.contains("TRACE sent ") && line.contains(" line=INVITE sip:+46701234567@"));
                let got = of(&page)
                    .iter()
                    .any(|line| line.contains("TRACE received ") && line.contains(" line=INVITE sip:+46701234567@"));
                assert!(sent && got && number, "{log}");
                for secret in ["0123456789012345678901", "ice-pwd", "Bearer", "m=audio"] {
                    assert!(!log.contains(secret), "{secret}: {log}");
                }
            }
        }
    }
}

/// Makes a call of a page to a number, which the provider answers and ends; returns the Call-IDs of both sides.
async fn called_and_hung_up(level: &str) -> (Gateway, String, String) {
    let provider = Provider::new().await;
    let address = provider.0.local_addr().expect("an address");
    let trunk = format!("[[trunk]]\nname = \"provider\"\naddress = \"{address}\"\nwatch = 0\nprefixes = [\"+46\"]\n");
    let rest = format!("[phone]\nallow = [\"46\"]\n[log]\nlevel = \"{level}\"\n");
    let gateway = Gateway::with(&format!("{}{trunk}{rest}", ports().await));
    assert!(run(&gateway.data.0, &["rate", "set", "46", "0.06"]).status.success());
    let mut alice = Phone::new(&gateway, "alice").await;
    assert_eq!(alice.register_with_ticket(&gateway).await, 200);
    let text = alice.request("INVITE", "x").body("application/sdp", OFFER);
    let (_, rest) = text.split_once("\r\n").expect("a request");
    alice.socket.say(&format!("INVITE sip:+46701234567@localhost;user=phone SIP/2.0\r\n{rest}")).await;

    let mut buffer = [0; 4_000];
    let (length, from) =
        tokio::time::timeout(PATIENCE, provider.0.recv_from(&mut buffer)).await.expect("called").expect("a datagram");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let invite = parse(text.as_bytes()).expect("SIP");
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
    let contact = format!("<sip:theirs@{address}>");
    let taken = reply(&invite, StatusCode::OK, Some("theirs")).field("Contact", &contact).body("application/sdp", sdp);
    provider.0.send_to(taken.as_bytes(), from).await.expect("sent");
    let answer = loop {
        let answer = alice.socket.hear().await;
        if code(&answer) >= 200 {
            break answer;
        }
    };
    assert_eq!(code(&answer), 200, "{answer}");
    let ok = parse(answer.as_bytes()).expect("SIP");
    let field = |name: &str| ok.get_other(name).unwrap_or_default().to_owned();
    let ack = Writer::request(Method::Ack, field("contact").trim_matches(['<', '>']))
        .field("Via", "SIP/2.0/WS alice.invalid;branch=z9hG4bKack")
        .field("Max-Forwards", "70")
        .field("Route", &field("record-route"))
        .field("From", &field("from"))
        .field("To", &field("to"))
        .field("Call-ID", &field("call-id"))
        .cseq(ok.cseq().expect("CSeq").number, Method::Ack);
    alice.socket.say(&ack.end()).await;
    let get = |name: &str| invite.get_other(name).unwrap_or_default().to_owned();
    let bye = format!(
        "BYE sip:us@{from} SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bKbye\r\nMax-Forwards: 70\r\nFrom: {};tag=theirs\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        get("to"),
        get("from"),
        get("call-id")
    );
    provider.0.send_to(bye.as_bytes(), from).await.expect("sent");
    while !alice.socket.hear().await.starts_with("BYE ") {}
    (gateway, field("call-id"), get("call-id"))
}
