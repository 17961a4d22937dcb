//! A server under test, with its configuration and its users.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::crowd::SPARE;
use crate::phone::{DOMAIN, PASSWORD, hash};
use crate::process::Process;

/// The application of the gateway's users.
const APPLICATION: &str = "load";
/// Its secret: of a database that lives as long as the run.
const SECRET: &str = "bm90IGEgc2VjcmV0IGF0IGFsbA==";

/// A running server.
pub struct Server {
    /// What it is called in the table.
    pub name: &'static str,
    /// Where it takes WebSockets.
    pub address: SocketAddr,
    /// The path of the WebSocket.
    pub path: &'static str,
    /// Its processes.
    pub process: Process,
}

/// Where a server finds its program and may write.
pub struct Place {
    /// The program.
    pub program: PathBuf,
    /// An empty folder.
    pub folder: PathBuf,
}

impl Server {
    /// The gateway with `users` that have a password; all is as by default but for `settings`, sections of its configuration.
    ///
    /// # Errors
    ///
    /// What could not be made ready.
    pub fn gateway(name: &'static str, place: &Place, users: usize, settings: &str) -> Result<Self, String> {
        let port = free_port()?;
        let config = format!(
            "[listen]\nport = {port}\n[data]\nfolder = {:?}\ndefault_application = \"{APPLICATION}\"\n[log]\nlevel = \"warn\"\n\
             {settings}",
            place.folder.join("data")
        );
        let file = place.folder.join("offhook.toml");
        fs::write(&file, config).map_err(|error| error.to_string())?;
        let with = |arguments: &[&str]| {
            let mut command = Command::new(&place.program);
            command.args(arguments).arg("--config").arg(&file);
            command
        };
        feed(with(&["application", "add", APPLICATION, "--loopback", "--secret-stdin"]), SECRET)?;
        let known: String = (0..users + SPARE).map(|n| format!("{} {PASSWORD}\n", user(n))).collect();
        feed(with(&["user", "import", APPLICATION]), &known)?;
        Self::start(name, place, with(&[]), port, "/sip")
    }

    /// Kamailio with the configuration of deploy/ and `users` that have a password.
    ///
    /// # Errors
    ///
    /// What could not be made ready.
    pub fn kamailio(place: &Place, config: &Path, users: usize) -> Result<Self, String> {
        let rows: String = (0..users + SPARE).map(|n| format!("{}:0:0:{}:0\n", user(n), hash(&user(n)))).collect();
        let write = |name: &str, text: String| fs::write(place.folder.join(name), text).map_err(|error| error.to_string());
        write("version", "table_name(string) table_version(int)\nha1:2\n".into())?;
        write("ha1", format!("key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n{rows}"))?;
        let folder = place.folder.display();
        let defines = [
            format!("DOMAIN=\"{DOMAIN}\""),
            format!("USERS=\"text://{folder}\""),
            format!("CONTROL=\"unix:{folder}/ctl\""),
            "WITH_SHA256".into(),
        ];
        Self::with_kamailio(place, config, &defines)
    }

    /// Kamailio with a configuration that takes these definitions, and `LISTEN_WS`.
    ///
    /// # Errors
    ///
    /// What could not be made ready.
    pub fn with_kamailio(place: &Place, config: &Path, defines: &[String]) -> Result<Self, String> {
        let port = free_port()?;
        let mut command = Command::new(&place.program);
        command.arg("-f").arg(config).args(["-DD", "-E", "-m", "4096", "-M", "64", "-Y"]).arg(&place.folder);
        command.args(["-A", &format!("LISTEN_WS=tcp:127.0.0.1:{port}")]);
        for define in defines {
            command.args(["-A", define]);
        }
        Self::start("Kamailio", place, command, port, "/")
    }

    fn start(name: &'static str, place: &Place, mut command: Command, port: u16, path: &'static str) -> Result<Self, String> {
        let log = |stream: &str| fs::File::create(place.folder.join(stream)).map_err(|error| error.to_string());
        command.stdin(Stdio::null()).stdout(log("stdout")?).stderr(log("stderr")?);
        Ok(Self { name, address: ([127, 0, 0, 1], port).into(), path, process: Process::start(&mut command)? })
    }

    /// Waits until it takes connections.
    ///
    /// # Errors
    ///
    /// Where it does not within 20 seconds.
    pub async fn ready(&self) -> Result<(), String> {
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("{} does not start; its output is in the folder of the results", self.name))
    }
}

/// An empty folder for the files of `name`.
///
/// # Errors
///
/// Where it cannot be made.
pub fn place(folder: &Path, name: &str) -> std::io::Result<PathBuf> {
    let folder = folder.join(name.replace(' ', "-"));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder)?;
    fs::canonicalize(folder)
}

/// The name of user `number`.
#[must_use]
pub fn user(number: usize) -> String {
    format!("user{number}")
}

/// A ticket for `user`, as its application's back end makes it; `created` is now.
#[must_use]
pub fn ticket(user: &str, created: &str) -> String {
    let data = serde_json::json!({
        "identity": { "type": "username", "endpoint": user },
        "applicationKey": APPLICATION,
        "created": created,
        "expiresIn": 86_400,
    })
    .to_string();
    let secret = STANDARD.decode(SECRET).expect("it is Base64");
    let mut hash = Hmac::<Sha256>::new_from_slice(&secret).expect("HMAC takes a key of any length");
    hash.update(data.as_bytes());
    [STANDARD.encode(&data), STANDARD.encode(hash.finalize().into_bytes())].join(":")
}

/// Runs a command to its end with `text` on its standard input.
fn feed(mut command: Command, text: &str) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(said)?;
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).map_err(said)?;
    let status = child.wait().map_err(said)?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed")) }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}
