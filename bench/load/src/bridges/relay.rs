//! What stands between pages and phones: the gateway's media in a process of their own, or rtpengine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;

use super::voice::Way;
use crate::process::Process;
use crate::trial::Failure;

/// A running relay.
pub struct Relay {
    pub process: Process,
    control: Control,
}

enum Control {
    Gateway(ChildStdin, BufReader<ChildStdout>),
    Rtpengine(UdpSocket),
}

/// What has to be bridged.
#[derive(Serialize, Deserialize)]
pub struct Request {
    pub call: u64,
    /// The page's offer.
    pub page: String,
    /// The phone's answer.
    pub phone: String,
}

/// What both sides are told.
#[derive(Serialize, Deserialize)]
pub struct Bridged {
    /// The answer for the page.
    pub page: String,
    /// The offer for the phone.
    pub phone: String,
}

impl Relay {
    /// The gateway's media, by this build of our own program.
    ///
    /// # Errors
    ///
    /// Where they cannot be started.
    pub fn gateway(program: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        // An older build knows this subcommand as `edge` only, and this one knows both names.
        command.arg("edge").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let pipes = process.0.stdin.take().zip(process.0.stdout.take()).ok_or("no pipes")?;
        Ok(Self { process, control: Control::Gateway(pipes.0, BufReader::new(pipes.1)) })
    }

    /// rtpengine in user space.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub async fn rtpengine(program: &Path, folder: &Path) -> Result<Self, Failure> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let ng = UdpSocket::bind("127.0.0.1:0").await?.local_addr()?;
        let mut command = Command::new(program);
        command.args([
            "--interface=127.0.0.1",
            "--table=-1",
            "--port-min=40000",
            "--port-max=49999",
            "--foreground",
            "--log-stderr",
        ]);
        command.args([format!("--listen-ng={ng}"), "--log-level=4".into(), "--listen-cli=".into()]);
        let log = std::fs::File::create(folder.join("rtpengine.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = Process::start(&mut command)?;
        socket.connect(ng).await?;
        let relay = Self { process, control: Control::Rtpengine(socket) };
        for _ in 0..100 {
            if relay.ask(Ng::new("ping")).await.is_ok() {
                return Ok(relay);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("rtpengine does not start; its output is in the folder of the results".into())
    }

    /// Bridges a call.
    ///
    /// # Errors
    ///
    /// What the relay says against it.
    pub async fn bridge(&mut self, request: &Request, way: Way) -> Result<Bridged, Failure> {
        if let Control::Gateway(commands, answers) = &mut self.control {
            writeln!(commands, "{}", serde_json::to_string(request)?)?;
            let mut line = String::new();
            answers.read_line(&mut line)?;
            return Ok(serde_json::from_str::<Result<Bridged, String>>(&line)??);
        }
        let id = format!("call-{}", request.call);
        let offer = Ng::new("offer").text("call-id", &id).text("from-tag", "page").text("sdp", &request.page);
        let offer = offer.text("transport-protocol", "RTP/AVP").text("ICE", "remove").list("rtcp-mux", &["demux"]);
        let offer = if way == Way::Transcoded { offer.list("flags", &["codec-mask-all", "codec-transcode-PCMU"]) } else { offer };
        let phone = self.ask(offer).await?;
        let answer = Ng::new("answer").text("call-id", &id).text("from-tag", "page").text("to-tag", "phone");
        let page = self.ask(answer.text("sdp", &request.phone)).await?;
        Ok(Bridged { page: grouped(&page), phone })
    }

    /// Asks rtpengine; the SDP of its answer.
    async fn ask(&self, request: Ng) -> Result<String, Failure> {
        let Control::Rtpengine(socket) = &self.control else { return Err("not rtpengine".into()) };
        // Its first word names a command: rtpengine says the same again to whoever repeats one.
        let dictionary = request.encode();
        let name = dictionary.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        socket.send(format!("{name} {dictionary}").as_bytes()).await?;
        let mut buffer = vec![0; 65_536];
        let length = tokio::time::timeout(Duration::from_secs(2), socket.recv(&mut buffer)).await??;
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if answer.contains("6:result2:ok") {
            Ok(bencoded(&answer, "3:sdp").unwrap_or_default().to_owned())
        } else if answer.contains("6:result4:pong") {
            Ok(String::new())
        } else {
            Err(format!("rtpengine says {answer}").into())
        }
    }
}

/// A group of one (RFC 9143), which rtpengine leaves out and str0m wants.
fn grouped(sdp: &str) -> String {
    let mid = sdp.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or_default();
    sdp.replacen("\r\nm=", &format!("\r\na=group:BUNDLE {mid}\r\nm="), 1)
}

/// Where the phone is to send to.
///
/// # Errors
///
/// Where the SDP does not say.
pub fn target(sdp: &str) -> Result<SocketAddr, Failure> {
    let field = |prefix: &str| sdp.lines().find_map(|line| line.strip_prefix(prefix)).map(str::trim);
    let port = field("m=audio ").and_then(|line| line.split(' ').next()).ok_or("no audio")?;
    let address = field("c=IN IP4 ").ok_or("no address")?;
    Ok(format!("{address}:{port}").parse()?)
}

/// A command of rtpengine's protocol: a dictionary in bencoding.
struct Ng(BTreeMap<&'static str, String>);

impl Ng {
    fn new(command: &str) -> Self {
        Self(BTreeMap::new()).text("command", command)
    }

    fn text(mut self, key: &'static str, value: &str) -> Self {
        self.0.insert(key, bencode(value));
        self
    }

    fn list(mut self, key: &'static str, values: &[&str]) -> Self {
        self.0.insert(key, format!("l{}e", values.iter().copied().map(bencode).collect::<String>()));
        self
    }

    fn encode(&self) -> String {
        let entries: String = self.0.iter().map(|(key, value)| format!("{}{value}", bencode(key))).collect();
        format!("d{entries}e")
    }
}

fn bencode(text: &str) -> String {
    format!("{}:{text}", text.len())
}

/// The text that follows a key.
fn bencoded<'a>(answer: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(key)?;
    let (length, text) = rest.split_once(':')?;
    text.get(..length.parse().ok()?)
}
