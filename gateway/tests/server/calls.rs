//! The gateway as a whole: users of the store sign in, a call delays the stop of the gateway, and the log masks names.

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use offhook_sip::{Algorithm, Challenge, Method, Name, StatusCode, Writer, ha1, parse, strongest};
use tokio::net::TcpStream;

use super::support::{Answer, Folder, Gateway, Socket, program, run};

/// Texts that must not be in the log.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.77\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 192.0.2.77\r\n";

/// The number of the next branch.
static BRANCHES: AtomicU32 = AtomicU32::new(1);

/// A small SIP device.
pub struct Phone {
    pub socket: Socket<TcpStream>,
    user: String,
    sequence: u32,
}

impl Phone {
    pub async fn new(gateway: &Gateway, user: &str) -> Self {
        Self::of(gateway, "demo", user).await
    }

    /// Returns a device of a user of the application.
    pub async fn of(gateway: &Gateway, application: &str, user: &str) -> Self {
        let origin = format!("http://localhost:{}", gateway.port);
        let socket = gateway.upgrade(&format!("/sip?key={application}"), &[("Origin", &origin)]).await.expect("its pages may");
        Self { socket, user: user.into(), sequence: 0 }
    }

    pub fn request(&mut self, method: &str, to: &str) -> Writer {
        self.sequence += 1;
        let (user, sequence) = (&self.user, self.sequence);
        let branch = BRANCHES.fetch_add(1, Ordering::Relaxed);
        Writer::request(Method::from(method), &format!("sip:{to}@localhost"))
            .field("Via", &format!("SIP/2.0/WS {user}.invalid;branch=z9hG4bK{branch}"))
            .field("Max-Forwards", "70")
            .field("From", &format!("<sip:{user}@localhost>;tag={user}"))
            .field("To", &format!("<sip:{to}@localhost>"))
            .field("Call-ID", &format!("8f{branch}"))
            .field("CSeq", &format!("{sequence} {method}"))
            .field("Contact", &format!("<sip:{user}@{user}.invalid;transport=ws>"))
    }

    /// Sends REGISTER with these credentials; returns status and response.
    pub async fn register(&mut self, authorization: Option<&str>) -> (u16, String) {
        let user = self.user.clone();
        let mut request = self.request("REGISTER", &user);
        if let Some(value) = authorization {
            request = request.field("Authorization", value);
        }
        self.socket.say(&request.end()).await;
        let answer = self.socket.hear().await;
        (code(&answer), answer)
    }

    pub async fn register_with_ticket(&mut self, gateway: &Gateway) -> u16 {
        let ticket = gateway.ticket(&self.user).await;
        self.register(Some(&format!("Bearer {ticket}"))).await.0
    }

    pub async fn register_with_password(&mut self, password: &str) -> u16 {
        loop {
            let answer = self.try_password(password).await;
            // The challenges of one millisecond are the same: a second one of them is used already.
            if !answer.contains("stale=true") {
                return code(&answer);
            }
        }
    }

    /// Sends REGISTER with a password, after the challenge; returns the response.
    pub async fn try_password(&mut self, password: &str) -> String {
        let (code, answer) = self.register(None).await;
        assert_eq!(code, 401, "{answer}");
        let message = parse(answer.as_bytes()).expect("SIP");
        let values = message.fields().iter().filter(|field| field.name == Name::WwwAuthenticate).map(|field| field.value);
        let challenge: Challenge = strongest(values).expect("a digest challenge");
        let secret = ha1(Algorithm::Sha256, &self.user, &challenge.realm, password);
        let uri = format!("sip:{}@localhost", self.user);
        let authorization = challenge.answer(&self.user, &secret, Method::Register, &uri, "0a4f113b", 1);
        self.register(Some(&authorization)).await.1
    }

    /// Calls and waits for 180.
    async fn call(&mut self, to: &mut Self) -> String {
        let invite = self.request("INVITE", &to.user).body("application/sdp", SDP);
        self.socket.say(&invite).await;
        let incoming = loop {
            let text = to.socket.hear().await;
            if text.starts_with("INVITE ") {
                break text;
            }
        };
        let ringing = offhook_sip::reply(&parse(incoming.as_bytes()).expect("SIP"), StatusCode::RINGING, Some("callee"))
            .field("Contact", &format!("<sip:{0}@{0}.invalid;transport=ws>", to.user))
            .end();
        to.socket.say(&ringing).await;
        while code(&self.socket.hear().await) != 180 {}
        incoming
    }
}

pub fn code(text: &str) -> u16 {
    parse(text.as_bytes()).ok().and_then(|message| message.code()).unwrap_or_else(|| panic!("no answer: {text}")).as_u16()
}

/// Runs a command of the operator beside the gateway: `user add`, in a process of its own.
fn set_password(data: &Folder, user: &[&str], password: &str) {
    let mut child = program(&data.0)
        .args(["user", "add"])
        .args(user)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program can be started");
    child.stdin.take().expect("piped").write_all(password.as_bytes()).expect("it reads");
    assert!(child.wait().expect("our child").success());
}

#[tokio::test]
async fn a_ticket_signs_in_also_after_a_kill() {
    let gateway = Gateway::start();
    let ticket = gateway.ticket("alice").await;
    let mut alice = Phone::new(&gateway, "alice").await;
    assert_eq!(alice.register(Some(&format!("Bearer {ticket}"))).await.0, 200);
    assert_eq!(Phone::new(&gateway, "mallory").await.register(Some(&format!("Bearer {ticket}"))).await.0 / 100, 4);
    assert!(gateway.get("/metrics").await.body.contains("offhook_devices 1"));
    let taken = gateway.post_json("/users?key=demo", r#"{"username":"alice","password":"wonderland"}"#).await;
    assert_eq!(taken.refusal(), (409, 40900), "who has shown a ticket owns the name");

    let gateway = Gateway::over(gateway.kill(), "");
    let mut alice = Phone::new(&gateway, "alice").await;
    assert_eq!(alice.register(Some(&format!("Bearer {ticket}"))).await.0, 200, "the secret of the application is kept");
}

#[tokio::test]
async fn a_password_of_the_operator_signs_in() {
    let data = Folder::new();
    assert!(run(&data.0, &["application", "add", "shop", "--loopback"]).status.success());
    set_password(&data, &["shop", "alice", "--display-name", "Alice"], "wonderland");
    assert!(!run(&data.0, &["user", "add", "none", "alice"]).status.success(), "no such application, no password");

    let gateway = Gateway::over(data, "[data]\ndefault_application = \"shop\"\n");
    let origin = format!("http://localhost:{}", gateway.port);
    let socket = gateway.upgrade("/sip", &[("Origin", &origin)]).await.expect("a page of this machine");
    let mut alice = Phone { socket, user: "alice".into(), sequence: 0 };
    assert_eq!(alice.register_with_password("wonderland").await, 200);
    let socket = gateway.upgrade("/sip", &[("Origin", &origin)]).await.expect("a page of this machine");
    let mut alice = Phone { socket, user: "alice".into(), sequence: 0 };
    assert_eq!(alice.register_with_password("mirror").await / 100, 4);
}

#[tokio::test]
async fn a_user_who_made_itself_signs_in_both_ways() {
    let gateway = Gateway::start();
    let made = gateway.post_json("/users?key=demo", r#"{"username":"alice","password":"wonderland"}"#).await;
    let ticket = made.json()["authorization"].as_str().expect("a ticket").to_owned();
    assert_eq!(Phone::new(&gateway, "alice").await.register(Some(&format!("Bearer {ticket}"))).await.0, 200);
    assert_eq!(Phone::new(&gateway, "alice").await.register_with_password("wonderland").await, 200);
}

#[tokio::test]
async fn a_password_changed_by_another_process_ends_sessions_of_the_old_one() {
    let gateway = Gateway::start();
    let login = |user: &str, password: &str| format!(r#"{{"username":"{user}","password":"{password}"}}"#);
    let bearer = |answer: Answer| format!("Bearer {}", answer.json()["authorization"].as_str().expect("a ticket"));
    let (mut phones, mut tickets) = (Vec::new(), Vec::new());
    for user in ["alice", "bobby", "carol"] {
        let made = bearer(gateway.post_json("/users?key=demo", &login(user, "wonderland")).await);
        let given = bearer(gateway.post_json("/users/authentication?key=demo", &login(user, "wonderland")).await);
        tickets.extend([(user, made), (user, given)]);
        phones.push(Phone::new(&gateway, user).await);
    }
    assert_eq!(phones[0].register_with_password("wonderland").await, 200);
    assert_eq!(phones[1].register(Some(&tickets[2].1)).await.0, 200);
    assert_eq!(phones[2].register(Some(&tickets[5].1)).await.0, 200);
    let mut vouched = Phone::new(&gateway, "dave").await;
    assert_eq!(vouched.register_with_ticket(&gateway).await, 200);
    for user in ["alice", "bobby", "carol", "dave"] {
        set_password(&gateway.data, &["demo", user], "looking-glass");
    }
    for phone in &mut phones {
        assert_eq!(phone.socket.closed().await, 1008, "it is noticed");
        *phone = Phone::new(&gateway, &phone.user).await;
        assert_eq!(phone.register_with_password("wonderland").await, 401);
        assert_eq!(phone.register_with_password("looking-glass").await, 200);
    }
    assert_eq!(vouched.register(None).await.0, 200, "whom the application vouches for needs no password");
    for (user, old) in &tickets {
        assert_eq!(Phone::new(&gateway, user).await.register(Some(old)).await.0, 401);
    }
    let fresh = bearer(gateway.post_json("/users/authentication?key=demo", &login("alice", "looking-glass")).await);
    assert_eq!(Phone::new(&gateway, "alice").await.register(Some(&fresh)).await.0, 200);
}

#[tokio::test]
async fn a_call_may_end_before_the_gateway_stops() {
    let (mut gateway, mut alice, mut bob) = ringing("").await;
    gateway.signal("TERM");
    while gateway.get("/health").await.status != 503 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(gateway.upgrade("/sip?key=demo", &[]).await.err(), Some(503), "nobody new");
    let told = gateway.get("/sip?key=demo").await;
    assert_eq!((told.status, told.json()["reason"].as_str(), told.header("retry-after")), (503, Some("draining"), Some("10")));
    let again = alice.request("INVITE", "bob").body("application/sdp", SDP);
    alice.socket.say(&again).await;
    while code(&alice.socket.hear().await) != 503 {}
    assert!(gateway.get("/health").await.body.contains("draining"), "still there for the call");

    let invite = bob.1;
    let busy = offhook_sip::reply(&parse(invite.as_bytes()).expect("SIP"), StatusCode::BUSY_HERE, Some("callee")).end();
    bob.0.socket.say(&busy).await;
    assert_eq!(gateway.ended().await, Some(0));
    assert_eq!(alice.socket.closed().await, 1001);
}

#[tokio::test]
async fn a_call_delays_the_stop_for_a_limited_time() {
    let (mut gateway, _alice, _bob) = ringing("[listen]\ndrain_timeout = 1\n").await;
    let start = tokio::time::Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await, Some(0));
    assert!(start.elapsed() >= Duration::from_secs(1));

    let (mut gateway, _alice, _bob) = ringing("").await;
    gateway.signal("INT");
    while gateway.get("/health").await.status != 503 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway.signal("INT");
    let start = tokio::time::Instant::now();
    assert_eq!(gateway.ended().await, Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "told twice: now");
}

#[tokio::test]
async fn the_log_masks_names() {
    for format in ["text", "json"] {
        let (gateway, mut alice, _bob) = ringing(&format!("[log]\nformat = \"{format}\"\n")).await;
        let ticket = gateway.ticket("alice").await;
        alice.socket.say("no SIP\r\n\u{1b}[31m").await;
        alice.register(Some("Bearer nonsense\u{7f}")).await;
        assert!(alice.socket.is_alive().await);
        let log = gateway.log();
        assert!(log.contains("call started") && log.contains("registered"), "{log}");
        for secret in
            ["alice@", "\"alice\"", " alice", "=alice", "=bob", "192.0.2.77", "m=audio", ticket.as_str(), "nonsense", "\u{1b}"]
        {
            assert!(!log.contains(secret), "{secret}: {log}");
        }
        if format == "json" {
            log.lines().for_each(|line| drop(serde_json::from_str::<serde_json::Value>(line).expect("JSON")));
        }
    }
}

/// Returns a gateway on which a call of alice rings at bob, and what bob has received.
async fn ringing(config: &str) -> (Gateway, Phone, (Phone, String)) {
    let gateway = Gateway::with(config);
    let mut alice = Phone::new(&gateway, "alice").await;
    let mut bob = Phone::new(&gateway, "bob").await;
    assert_eq!(alice.register_with_ticket(&gateway).await, 200);
    assert_eq!(bob.register_with_ticket(&gateway).await, 200);
    let invite = alice.call(&mut bob).await;
    (gateway, alice, (bob, invite))
}
