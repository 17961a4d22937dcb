//! One user on one WebSocket: registers, calls, and answers whoever calls. What it sends is what any SIP client sends.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use offhook_sip::{Algorithm, Challenge, Message, Method, Name, StatusCode, Writer, ha1, parse, reply, strongest};
use offhook_ua::dialog::Dialog;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, http::HeaderValue};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The SIP domain of both servers.
pub const DOMAIN: &str = "localhost";

/// Everybody's password.
pub const PASSWORD: &str = "a password";

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a user proves who it is.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By the password, challenged by the server.
    Digest,
    /// By a ticket of the application's back end.
    Ticket(String),
}

/// A user with an open WebSocket.
pub struct Phone {
    /// The user.
    pub user: String,
    proof: Proof,
    /// What distinguishes its tags, branches and Call-IDs from everybody else's.
    prefix: String,
    serial: AtomicU32,
    out: UnboundedSender<String>,
    /// Who waits for the answers to which branch.
    waiting: Mutex<BTreeMap<String, UnboundedSender<String>>>,
    /// The last challenge to REGISTER and to anything else, and how often it was answered.
    challenges: Mutex<[Option<(Challenge, u32)>; 2]>,
}

/// How long a call took, in milliseconds since the INVITE left.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Until the first 180.
    pub ring: f64,
    /// Until the 200.
    pub answer: f64,
}

impl Phone {
    /// Connects from `source`. `path` is where the server takes WebSockets.
    ///
    /// # Errors
    ///
    /// In a word, what did not work.
    pub async fn connect(
        server: SocketAddr,
        path: &str,
        source: Ipv4Addr,
        user: String,
        proof: Proof,
    ) -> Result<Arc<Self>, String> {
        let socket = timeout(PATIENCE, websocket(server, path, source)).await.map_err(|_| "connecting takes too long")??;
        let (out, orders) = unbounded_channel();
        let port = socket.get_ref().local_addr().map_err(|error| error.to_string())?.port();
        let prefix = format!("{user}x{port}");
        let (waiting, challenges, serial) = (Mutex::default(), Mutex::default(), AtomicU32::new(0));
        let phone = Arc::new(Self { user, proof, prefix, serial, out, waiting, challenges });
        tokio::spawn(run(Arc::clone(&phone), socket, orders));
        Ok(phone)
    }

    /// Registers, or does it again.
    ///
    /// # Errors
    ///
    /// The status, or that there was none.
    pub async fn register(&self) -> Result<(), String> {
        let me = self.address(&self.user);
        let uri = format!("sip:{DOMAIN}");
        let device = format!("\"<urn:uuid:00000000-0000-4000-8000-{:0>12}>\"", self.user.trim_start_matches(char::is_alphabetic));
        for _ in 0..3 {
            let (number, branch) = self.next();
            let mut text = self
                .begin("REGISTER", &uri, &branch)
                .field("From", &format!("{me};tag={}", self.prefix))
                .field("To", &me)
                .field("Call-ID", &self.prefix)
                .cseq(number, Method::Register)
                .field("Contact", &format!("{};+sip.instance={device};reg-id=1", self.contact()))
                .number("Expires", 600)
                .field("Supported", "path, outbound, gruu");
            if let Some(shown) = self.proven("REGISTER", &uri) {
                text = text.field("Authorization", &shown);
            }
            let answer = self.last(&branch, text.end()).await?;
            match parse_code(&answer) {
                200 => return Ok(()),
                401 => self.challenged(&answer),
                code => return Err(code.to_string()),
            }
        }
        Err("401".into())
    }

    /// Calls `callee`, talks for `hold`, and hangs up.
    ///
    /// # Errors
    ///
    /// What went wrong, in a word or the status.
    pub async fn call(&self, callee: &str, hold: Duration) -> Result<Times, String> {
        for _ in 0..2 {
            let (number, branch) = self.next();
            let invite = self.invite(callee, number, &branch);
            let started = Instant::now();
            let mut answers = self.ask(&branch, invite.clone());
            let mut ring = None;
            let answer = loop {
                let answer = next(&mut answers).await?;
                match parse_code(&answer) {
                    180 => ring = ring.or_else(|| Some(millis(started))),
                    ..200 => {}
                    _ => break answer,
                }
            };
            let answered = millis(started);
            self.forget(&branch);
            match parse_code(&answer) {
                200 => {
                    self.talk(&answer, number, hold).await?;
                    return Ok(Times { ring: ring.unwrap_or(answered), answer: answered });
                }
                407 => {
                    self.refused(&invite, &answer);
                    self.challenged(&answer);
                }
                code => {
                    self.refused(&invite, &answer);
                    return Err(code.to_string());
                }
            }
        }
        Err("407".into())
    }

    /// Hangs up for good.
    pub fn close(&self) {
        self.send(String::new());
    }

    fn invite(&self, callee: &str, number: u32, branch: &str) -> String {
        let uri = if callee.contains('@') { format!("sip:{callee}") } else { format!("sip:{callee}@{DOMAIN}") };
        let mut text = self
            .begin("INVITE", &uri, branch)
            .field("From", &format!("{};tag={branch}f", self.address(&self.user)))
            .field("To", &format!("<{uri}>"))
            .field("Call-ID", &format!("{branch}i"))
            .cseq(number, Method::Invite)
            .field("Contact", &self.contact())
            .field("Supported", "outbound, gruu, replaces");
        if let Some(shown) = self.proven("INVITE", &uri).filter(|shown| shown.starts_with("Digest")) {
            text = text.field("Proxy-Authorization", &shown);
        }
        text.body("application/sdp", include_str!("offer.sdp"))
    }

    /// From the 200 to the answer to our BYE.
    async fn talk(&self, answer: &str, number: u32, hold: Duration) -> Result<(), String> {
        let message = parse(answer.as_bytes()).map_err(|error| error.to_string())?;
        let mut dialog = Dialog::of_caller(&message).ok_or("the 200 makes no dialog")?;
        let (_, branch) = self.next();
        self.send(self.in_dialog(dialog.acknowledge(number), &branch).end());
        tokio::time::sleep(hold).await;
        let (_, branch) = self.next();
        let bye = dialog.request(Method::Bye);
        let answer = self.last(&branch, self.in_dialog(bye, &branch).end()).await.map_err(|error| format!("BYE: {error}"))?;
        if parse_code(&answer) == 200 { Ok(()) } else { Err(format!("BYE: {}", parse_code(&answer))) }
    }

    /// The ACK to a failure (RFC 3261, 17.1.1.3).
    fn refused(&self, invite: &str, answer: &str) {
        let (Ok(invite), Ok(answer)) = (parse(invite.as_bytes()), parse(answer.as_bytes())) else { return };
        let mut ack = Writer::request(Method::Ack, invite.uri().unwrap_or_default());
        for name in [Name::Via, Name::From, Name::CallId, Name::MaxForwards] {
            ack = ack.field(name.as_str(), invite.get(name).unwrap_or_default());
        }
        let number = invite.cseq().map_or(0, |cseq| cseq.number);
        self.send(ack.field("To", answer.get(Name::To).unwrap_or_default()).cseq(number, Method::Ack).end());
    }

    fn address(&self, user: &str) -> String {
        format!("<sip:{user}@{DOMAIN}>")
    }

    fn contact(&self) -> String {
        format!("<sip:{}@{}.invalid;transport=ws>", self.user, self.prefix)
    }

    fn begin(&self, method: &str, uri: &str, branch: &str) -> Writer {
        Writer::request(Method::from(method), uri).field("Via", &self.via(branch)).field("Max-Forwards", "70")
    }

    fn in_dialog(&self, writer: Writer, branch: &str) -> Writer {
        writer.field("Via", &self.via(branch)).field("Max-Forwards", "70")
    }

    fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/WS {}.invalid;branch={branch}", self.prefix)
    }

    fn next(&self) -> (u32, String) {
        let number = self.serial.fetch_add(1, Ordering::Relaxed) + 1;
        (number, format!("z9hG4bK{}n{number}", self.prefix))
    }

    /// The credentials that go along: unasked where a challenge is known.
    fn proven(&self, method: &str, uri: &str) -> Option<String> {
        if let Proof::Ticket(ticket) = &self.proof {
            return Some(format!("Bearer {ticket}"));
        }
        let mut challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        let (challenge, count) = challenges[usize::from(method != "REGISTER")].as_mut()?;
        *count += 1;
        let hash = ha1(challenge.algorithm, &self.user, DOMAIN, PASSWORD);
        Some(challenge.answer(&self.user, &hash, Method::from(method), uri, &self.prefix, *count))
    }

    fn challenged(&self, answer: &str) {
        let Ok(message) = parse(answer.as_bytes()) else { return };
        let proxy = message.code() == Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        let name = if proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate };
        let challenge = strongest(message.values(name)).map(|challenge| (challenge, 0));
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(proxy)] = challenge;
    }

    fn send(&self, text: String) {
        // The connection is gone: whoever waits for an answer hears of it.
        drop(self.out.send(text));
    }

    fn ask(&self, branch: &str, text: String) -> UnboundedReceiver<String> {
        let (answer, answers) = unbounded_channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(branch.to_owned(), answer);
        self.send(text);
        answers
    }

    fn forget(&self, branch: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(branch);
    }

    /// The final answer.
    async fn last(&self, branch: &str, text: String) -> Result<String, String> {
        let mut answers = self.ask(branch, text);
        let answer = loop {
            let answer = next(&mut answers).await;
            if answer.as_ref().map_or(true, |answer| parse_code(answer) >= 200) {
                break answer;
            }
        };
        self.forget(branch);
        answer
    }

    /// A message from the server.
    fn received(&self, text: &str) {
        let Ok(message) = parse(text.as_bytes()) else { return };
        match message.method() {
            None => {
                let Some(branch) = message.via().ok().and_then(|via| via.branch().map(str::to_owned)) else { return };
                if let Some(waiter) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&branch) {
                    // Who asked has given up.
                    drop(waiter.send(text.to_owned()));
                }
            }
            Some(Method::Invite) => self.called(&message),
            Some(Method::Ack) => {}
            Some(_) => self.send(reply(&message, StatusCode::OK, None).end()),
        }
    }

    /// Rings, and answers at once.
    fn called(&self, invite: &Message<'_>) {
        let (_, tag) = self.next();
        let answer = |code| reply(invite, code, Some(&tag)).field("Contact", &self.contact());
        self.send(answer(StatusCode::RINGING).end());
        let sdp = described(invite.text());
        self.send(answer(StatusCode::OK).field("Supported", "outbound, gruu, replaces").body("application/sdp", &sdp));
    }
}

/// The answer to an offer: what a page has, in the section that the offer names (RFC 9143, 7.3).
fn described(offer: &str) -> String {
    let mid = offer.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or("0").trim_end();
    let sdp = include_str!("offer.sdp").replace("a=setup:actpass", "a=setup:active");
    sdp.replace("a=mid:0", &format!("a=mid:{mid}")).replace("BUNDLE 0", &format!("BUNDLE {mid}"))
}

/// The digest hash that the servers keep of `user`.
#[must_use]
pub fn hash(user: &str) -> String {
    ha1(Algorithm::Sha256, user, DOMAIN, PASSWORD)
}

async fn websocket(server: SocketAddr, path: &str, source: Ipv4Addr) -> Result<WebSocketStream<TcpStream>, String> {
    let stream = connect(server, source).await.map_err(|error| error.to_string())?;
    let mut request = format!("ws://{server}{path}").into_client_request().map_err(|error| error.to_string())?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("sip"));
    let config = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(0);
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await.map_err(|error| error.to_string())?;
    Ok(socket)
}

/// A TCP connection from `source`: 127.0.0.0/8 has addresses enough for everybody to have an own one.
///
/// # Errors
///
/// What the system says.
pub async fn connect(server: SocketAddr, source: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((source, 0).into())?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn run(phone: Arc<Phone>, mut socket: WebSocketStream<TcpStream>, mut orders: UnboundedReceiver<String>) {
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(tungstenite::Message::Text(text))) => phone.received(&text),
                Some(Ok(tungstenite::Message::Binary(bytes))) => phone.received(&String::from_utf8_lossy(&bytes)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            Some(text) = orders.recv() => if text.is_empty() || socket.send(tungstenite::Message::text(text)).await.is_err() { break },
        }
    }
    orders.close();
    phone.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

async fn next(answers: &mut UnboundedReceiver<String>) -> Result<String, String> {
    match timeout(PATIENCE, answers.recv()).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err("connection lost".into()),
        Err(_) => Err("no answer".into()),
    }
}

fn parse_code(text: &str) -> u16 {
    text.get(8..11).and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
