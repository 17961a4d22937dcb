//! Measures the gateway beside Kamailio in one run: memory and processor time of registered users, calls, and what floods of
//! untrusted clients do to both; calls of a carrier; and its media beside rtpengine. Servers, users and floods are processes of their own on
//! 127.0.0.0/8; nothing leaves the machine.
//!
//! `scripts/bench-gateway`, `scripts/bench-trunks` and `scripts/bench-bridge` build everything and run it.

mod bridges;
mod crowd;
mod floods;
mod phone;
mod process;
mod report;
mod server;
mod trial;
mod trunks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use floods::Kind;
use trial::{Failure, Plan, Rival};

#[derive(Parser)]
#[command(
    about = "Measures the gateway beside Kamailio and rtpengine: registered users, calls, floods of untrusted clients, bridged calls"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure
    Run(Options),
    /// Measure calls between pages and phones
    Bridges(bridges::Options),
    /// Measure calls between users and a carrier
    Trunks(trunks::Options),
    /// (for itself) The gateway's media
    #[command(hide = true, alias = "edge")]
    Media,
    /// (for itself) The users of one server
    #[command(hide = true)]
    Crowd { server: SocketAddr, path: String, created: Option<String> },
    /// (for itself) One flood
    #[command(hide = true)]
    Flood { kind: Kind, server: SocketAddr, path: String, millis: u64, most: usize },
}

#[derive(clap::Args)]
struct Options {
    /// The gateway's program
    #[arg(long)]
    gateway: PathBuf,
    /// Kamailio's program; without it the gateway is measured alone
    #[arg(long)]
    kamailio: Option<PathBuf>,
    /// Kamailio's configuration
    #[arg(long, default_value = "deploy/kamailio/kamailio.cfg")]
    kamailio_config: PathBuf,
    /// Another build of the gateway to be measured beside it, in place of Kamailio
    #[arg(long, conflicts_with = "kamailio")]
    before: Option<PathBuf>,
    /// Users of each server
    #[arg(long, default_value_t = 10_000)]
    users: usize,
    /// Rounds of everything that is compared
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each flood, and half of each measurement of calls
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only these floods
    #[arg(long = "flood")]
    floods: Vec<Kind>,
    /// Put the main figures into this document, between its lines `<!-- capacity -->` and `<!-- /capacity -->`
    #[arg(long)]
    publish: Option<PathBuf>,
    /// Where the results go
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system gives a runtime");
    match runtime.block_on(Cli::parse().command.run()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(2),
        Err(error) => {
            eprintln!("offhook-load: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// How many bars were missed.
    async fn run(self) -> Result<usize, Failure> {
        match self {
            Self::Run(options) => return options.run().await,
            Self::Bridges(options) => return options.run().await,
            Self::Trunks(options) => return options.run().await,
            Self::Media => bridges::media::run().await?,
            Self::Crowd { server, path, created } => crowd::run(server, path, created).await,
            Self::Flood { kind, server, path, millis, most } => {
                let flood = floods::flood(kind, server, &path, Duration::from_millis(millis), most).await;
                println!("{}", serde_json::to_string(&flood)?);
            }
        }
        Ok(0)
    }
}

impl Options {
    async fn run(self) -> Result<usize, Failure> {
        std::fs::create_dir_all(&self.folder)?;
        let files = open_files()?;
        if files < self.users + 500 {
            return Err(format!("this process may have {files} open files, and {} are needed: ulimit -n", self.users + 500).into());
        }
        let rival = match (self.before, self.kamailio) {
            (Some(program), _) => Some(Rival::Before(program)),
            (None, Some(program)) => Some(Rival::Kamailio { program, config: self.kamailio_config }),
            (None, None) => None,
        };
        let Self { gateway, users, rounds, seconds, floods, folder, .. } = self;
        let plan = Plan { gateway, rival, users, rounds, seconds, floods, folder, files };
        let report = plan.run().await?;
        report.save(&plan.folder.join("gateway.json"))?;
        if let Some(document) = self.publish {
            let cores = std::thread::available_parallelism()?;
            let how = format!("{} users, {cores} cores for servers and load; `scripts/bench-gateway`.", plan.users);
            report.publish(&document, &how)?;
        }
        println!("{}", report.table());
        Ok(report.missed())
    }
}

/// The soft limit of this process, which its children inherit.
fn open_files() -> Result<usize, Failure> {
    let text = std::fs::read_to_string("/proc/self/limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).ok_or("no limit of open files")?;
    Ok(line.split_whitespace().next().ok_or("no limit of open files")?.parse().unwrap_or(usize::MAX))
}
