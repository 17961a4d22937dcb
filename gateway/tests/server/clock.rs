//! The wall clock of a running gateway is put forward and back. The real program, whose system calls return another time
//! (libfaketime, from Debian's package faketime), a page and a provider.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use offhook_access::secret::Use;
use offhook_access::ticket::iso;
use offhook_gateway::store::Store;
use offhook_ledger::Rules;
use offhook_sip::{Message, Method, Name, StatusCode, Writer, parse, reply};
use offhook_ua::time::Instant;
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::time;

use super::calls::{Phone, code};
use super::money::{now, signed_post};
use super::outside::{OFFER, ports};
use super::support::{Answer, Folder, Gateway, PATIENCE, program, run};

const HOUR: i64 = 3_600;

/// A gateway with its own wall clock.
struct World {
    gateway: Gateway,
    provider: UdpSocket,
}

impl World {
    async fn new() -> Self {
        let provider = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let data = Folder::new();
        let config = format!(
            "{}[[trunk]]\nname = \"provider\"\naddress = \"{}\"\nwatch = 0\nprefixes = [\"+\"]\n[phone]\nallow = [\"46\"]\n",
            ports().await,
            provider.local_addr().expect("an address")
        );
        let file = data.write("offhook.toml", &config);
        let shift = data.write("shift", "+0");
        let mut command = program(&data.0);
        command
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", shift)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        capture(&mut command, &data, &file);
        Self { gateway: Gateway::started(command, data), provider }
    }

    /// Puts the wall clock this many seconds ahead, and waits until the gateway has noticed.
    async fn put(&self, seconds: i64) {
        self.gateway.data.write("shift", &format!("{seconds:+}"));
        time::sleep(Duration::from_millis(700)).await;
    }

    async fn told(&self) -> String {
        let mut buffer = [0; 4_000];
        let read = time::timeout(PATIENCE, self.provider.recv_from(&mut buffer)).await;
        let (length, _) = read.unwrap_or_else(|_| panic!("nothing is sent: {}", self.gateway.log())).expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    async fn answer(&self, request: &str, code: u16) {
        let message = parse(request.as_bytes()).expect("SIP");
        let address = self.provider.local_addr().expect("an address");
        let answer = reply(&message, StatusCode::new(code).unwrap(), Some("provider"))
            .field("Contact", &format!("<sip:provider@{address}>"));
        let port = address.port();
        let sdp = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n");
        let text = if message.method() == Some(Method::Invite) { answer.body("application/sdp", &sdp) } else { answer.end() };
        let to = message.via().expect("a Via").port.expect("a port");
        self.provider.send_to(text.as_bytes(), ("127.0.0.1", to)).await.expect("sent");
    }

    async fn record(&self, id: &str) -> Value {
        let token = std::fs::read_to_string(self.gateway.data.0.join("operator-token")).expect("made at the first start");
        let (path, token) = (format!("/calling/v1/calls/id/{id}?key=demo"), token.trim());
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
        self.gateway.send(&head).await.json()
    }

    async fn devices(&self) -> String {
        let metrics = self.gateway.get("/metrics").await.body;
        metrics.lines().find_map(|line| line.strip_prefix("offhook_devices ")).unwrap_or_default().to_owned()
    }
}

fn capture(command: &mut Command, data: &Folder, file: &std::path::Path) {
    let log = std::fs::File::create(data.0.join("log")).expect("the temporary folder can be written");
    command.args(["--config", file.to_str().expect("a plain path")]).stdout(Stdio::piped()).stderr(log);
}

/// Debian has it in a folder for each processor architecture.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("libfaketime is missing: install Debian's package faketime, as scripts/setup does")
}

/// Returns a request of the page in the dialog of this 2xx.
fn within(method: &str, answer: &str) -> String {
    let answer: Message<'_> = parse(answer.as_bytes()).expect("SIP");
    let get = |name| answer.get(name).unwrap_or_default();
    let target = answer.contacts().next().expect("a Contact").expect("readable").uri_text;
    let sequence = if method == "ACK" { answer.cseq().expect("a CSeq").number } else { 100 };
    Writer::request(Method::from(method), target)
        .field("Via", &format!("SIP/2.0/WS alice.invalid;branch=z9hG4bK{method}"))
        .field("Max-Forwards", "70")
        .field("Route", get(Name::RecordRoute))
        .field("From", get(Name::From))
        .field("To", get(Name::To))
        .field("Call-ID", get(Name::CallId))
        .field("CSeq", &format!("{sequence} {method}"))
        .end()
}

#[tokio::test]
async fn a_clock_step_of_an_hour_changes_no_paid_call_and_no_registration() {
    let world = World::new().await;
    let mut alice = Phone::new(&world.gateway, "alice").await;
    assert_eq!(alice.register_with_ticket(&world.gateway).await, 200);
    let invite =
        alice.request("INVITE", "+46701234567").body("application/sdp", OFFER).replacen("@localhost ", "@localhost;user=phone ", 1);
    alice.socket.say(&invite).await;
    let dialled = world.told().await;
    assert!(dialled.starts_with("INVITE sip:+46701234567@"), "{dialled}");
    world.answer(&dialled, 200).await;
    let answered = time::Instant::now();
    let ok = loop {
        let text = alice.socket.hear().await;
        if code(&text) == 200 {
            break text;
        }
    };
    alice.socket.say(&within("ACK", &ok)).await;
    assert!(world.told().await.starts_with("ACK "));
    let id = parse(ok.as_bytes()).expect("SIP").call_id().expect("a Call-ID").to_owned();
    for seconds in [HOUR, -HOUR, HOUR] {
        world.put(seconds).await;
        // A client with a new ticket is accepted, and existing ones are not affected.
        let mut bob = Phone::new(&world.gateway, "bob").await;
        assert_eq!(bob.register_with_ticket(&world.gateway).await, 200, "{}", world.gateway.log());
        assert_eq!(world.devices().await, "2", "{seconds}: {}", world.gateway.log());
        let running = world.record(&id).await;
        let most = answered.elapsed().as_secs() + 1;
        assert!(
            running["status"] == "ONGOING" && running["duration"].as_u64().is_some_and(|now| (1..=most).contains(&now)),
            "{running}"
        );
    }
    let least = answered.elapsed();
    alice.socket.say(&within("BYE", &ok)).await;
    let bye = world.told().await;
    assert!(bye.starts_with("BYE "), "{bye}");
    world.answer(&bye, 200).await;
    assert_eq!(code(&alice.socket.hear().await), 200);
    let most = answered.elapsed();
    while world.record(&id).await["status"] != "FINAL" {
        time::sleep(Duration::from_millis(10)).await;
    }
    let record = world.record(&id).await;
    let seconds = record["duration"].as_u64().expect("seconds");
    // The answer is recorded a moment after the provider has sent it.
    assert!(
        (least.as_millis().saturating_sub(500).div_ceil(1_000)..=most.as_millis().div_ceil(1_000)).contains(&u128::from(seconds)),
        "{record}"
    );
    assert_eq!((&record["result"], &record["reason"]), (&json!("ANSWERED"), &json!("CALLERHANGUP")));
    // Two cents a minute, by the second.
    let micros = (20_000 * seconds).div_ceil(60);
    assert_eq!(record["debit"]["amount"].as_f64().map(|amount| (amount * 1e6).round()), Some(micros as f64), "{record}");
    let audit = run(&world.gateway.data.0, &["credit", "check"]);
    assert!(audit.status.success(), "{audit:?}");
}

/// Its own back end is right, and the gateway is told so: by its answer.
#[tokio::test]
async fn a_signed_request_with_a_wrong_time_is_told_the_time_and_none_is_replayed() {
    let world = World::new().await;
    let store = Store::open(&world.gateway.data.0, Rules::default()).expect("it opens");
    let secret = store.applications().await.expect("read").remove(0).secret;
    let ask = async |date: Instant| world.gateway.send(&signed_post("demo", secret.key(Use::Rest), date)).await;
    let now = now();
    let (hour, tells) =
        (now + Duration::from_secs(3600), |answer: &Answer| answer.json()["message"].as_str().unwrap_or_default().to_owned());
    assert_eq!(ask(now).await.status, 404);
    assert_eq!(ask(now).await.refusal(), (401, 40102), "once");
    let refused = ask(hour).await;
    assert_eq!(refused.refusal(), (401, 40101));
    assert!(tells(&refused).contains(": it is ") && refused.header("date").is_some(), "{refused:?}");
    let shown = |answer: &Answer| Some(tells(answer).split_once(": it is ")?.1.get(..13)?.to_owned());
    assert_eq!(shown(&refused).as_deref(), iso(now).get(..13), "to the hour");
    world.put(HOUR).await;
    let refused = ask(now + Duration::from_millis(1)).await;
    assert_eq!((refused.refusal(), shown(&refused).as_deref()), ((401, 40101), iso(hour).get(..13)));
    assert_eq!(ask(hour).await.status, 404, "by the new date");
    assert_eq!(ask(hour).await.refusal(), (401, 40102));
    world.put(0).await;
    assert_eq!(ask(now).await.refusal(), (401, 40102), "it is put back: what was seen is still known");
    assert_eq!(ask(now + Duration::from_millis(2)).await.status, 404, "others are welcome at once");
}
