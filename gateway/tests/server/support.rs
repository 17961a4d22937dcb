//! A gateway for each test, and a minimal HTTP, WebSocket and TLS client.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is deleted when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("offhook-gateway-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("the temporary folder can be written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Returns the command of the program, with only `data` in its environment.
pub fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offhook-gateway"));
    command.env_clear().env("OFFHOOK_DATA", data).env("OFFHOOK_PORT", "0").stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(data: &Path, arguments: &[&str]) -> Output {
    program(data).args(arguments).output().expect("the program can be started")
}

/// A running gateway; killed when dropped.
pub struct Gateway {
    child: Child,
    pub port: u16,
    pub url: String,
    pub data: Folder,
}

impl Gateway {
    /// Starts one with the defaults.
    pub fn start() -> Self {
        Self::with("")
    }

    /// Starts one with a configuration file.
    pub fn with(config: &str) -> Self {
        Self::over(Folder::new(), config)
    }

    /// Starts one with an existing data folder.
    pub fn over(data: Folder, config: &str) -> Self {
        let file = data.write("offhook.toml", config);
        let mut command = program(&data.0);
        command
            .args(["--config", file.to_str().expect("a plain path")])
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(data.0.join("log")).expect("the temporary folder can be written"));
        Self::started(command, data)
    }

    /// Starts `command`, whose output is piped and whose log goes to the folder.
    pub fn started(mut command: Command, data: Folder) -> Self {
        let mut child = command.spawn().expect("the program can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let url = line.strip_prefix("ready ").unwrap_or_else(|| panic!("not ready: {line:?}")).trim_end().to_owned();
        let port = url.rsplit_once(':').expect("a port").1.parse().expect("a number");
        Self { child, port, url, data }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().expect("kill is there");
        assert!(status.success());
    }

    /// Returns its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data.0.join("log")).expect("the log is text")
    }

    /// Returns the memory that it uses, octets.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
    }

    /// Returns the exit code, once it has ended.
    pub async fn ended(&mut self) -> Option<i32> {
        let wait = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("our child") {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it stops")
    }

    /// Kills it, like a power failure, and keeps its data.
    pub fn kill(mut self) -> Folder {
        self.child.kill().expect("our child");
        drop(self.child.wait());
        std::mem::replace(&mut self.data, Folder::new())
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
    }

    pub async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        self.send(&(head + body)).await
    }

    /// Sends JSON, as the SDK does.
    pub async fn post_json(&self, path: &str, body: &str) -> Answer {
        self.post(path, "Content-Type: application/json\r\n", body).await
    }

    pub async fn send(&self, request: &str) -> Answer {
        exchange(self.tcp().await, request).await
    }

    /// Opens a WebSocket of the demo application.
    pub async fn open(&self) -> Socket<TcpStream> {
        let origin = format!("http://localhost:{}", self.port);
        self.upgrade("/sip?key=demo", &[("Origin", &origin)]).await.expect("the demo page may")
    }

    /// Opens a WebSocket with the sub-protocol `sip`, unless `headers` have another one.
    pub async fn upgrade(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket<TcpStream>, u16> {
        Socket::open(self.tcp().await, &format!("ws://127.0.0.1:{}{path}", self.port), headers).await
    }

    pub async fn ticket(&self, user: &str) -> String {
        let answer = self.post_json("/demo/ticket", &format!("{{\"userId\":\"{user}\"}}")).await;
        answer.json()["userTicket"].as_str().expect("a ticket").to_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the status and the code of the calling API.
    pub fn refusal(&self) -> (u16, u64) {
        (self.status, self.json()["errorCode"].as_u64().unwrap_or_default())
    }
}

/// Sends a request, and reads until the gateway closes the connection.
pub async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> Answer {
    // It may be rejected before it is sent completely.
    drop(stream.write_all(request.as_bytes()).await);
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it answers").ok();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    assert!(!chunked, "every answer has a length");
    Answer { status, head: head.into(), body: body.into() }
}

/// The WebSocket of a client.
pub struct Socket<S>(pub WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub async fn open(stream: S, url: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = url.into_client_request().expect("a URL");
        request.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().expect("a value"));
        for (name, value) in headers {
            if value.is_empty() {
                request.headers_mut().remove(*name);
            } else {
                request.headers_mut().insert(*name, value.parse().expect("a value"));
            }
        }
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("the gateway reads");
    }

    /// Returns the next text message, skipping pings.
    pub async fn hear(&mut self) -> String {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("it says something") {
                Some(Ok(Message::Text(text))) => return text.as_str().to_owned(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no text: {other:?}"),
            }
        }
    }

    /// Returns the close code of the gateway; 0: it closed without one.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("it closes") {
                Some(Ok(Message::Close(frame))) => return frame.map_or(0, |frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 0,
            }
        }
    }

    /// Whether the gateway still passes messages (RFC 5626 keep-alive).
    pub async fn is_alive(&mut self) -> bool {
        self.say("\r\n\r\n").await;
        self.hear().await == "\r\n"
    }
}

/// Waits until the gateway closes the connection; returns how long that took.
pub async fn closes(stream: &mut (impl AsyncRead + Unpin)) -> Duration {
    let start = tokio::time::Instant::now();
    let mut sink = Vec::new();
    drop(tokio::time::timeout(PATIENCE, stream.read_to_end(&mut sink)).await.expect("it closes"));
    start.elapsed()
}
