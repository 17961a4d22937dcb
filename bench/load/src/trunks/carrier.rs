//! SIPp as the carrier: it calls users, is called by them, and asks whether the server is there.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::process::Process;
use crate::server::user;
use crate::trial::Failure;

/// Where SIPp lives. Trunks are known by their address.
pub const ADDRESS: &str = "127.0.0.2";
/// A domain of which it is known that it is behind the carrier.
pub const DOMAIN: &str = "carrier.test";
/// What SIPp's sockets hold: whoever measures others must not be the one who loses packets.
const BUFFER: &str = "4194304";

/// SIPp, ready to be run.
pub struct Carrier {
    /// Its program.
    pub program: PathBuf,
    /// Its UDP port; one run at a time has it.
    pub port: u16,
    /// An empty folder.
    pub folder: PathBuf,
}

/// What it does.
#[derive(Clone, Copy)]
pub enum Scene {
    /// Calls the users in turn.
    Calls,
    /// Sends OPTIONS.
    Asks,
}

/// How much of it.
#[derive(Clone, Copy)]
pub enum Pace {
    /// So many a second, so many in all; calls last for `hold` milliseconds.
    Steady { rate: u32, count: usize, hold: u64 },
    /// As many as possible on so many lines, for so many seconds.
    Lines { lines: usize, seconds: u64 },
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
pub struct Done {
    /// How many succeeded.
    pub done: usize,
    /// How many did not.
    pub failed: usize,
    /// How many succeeded in a second.
    pub rate: f64,
    /// From INVITE to 180, in milliseconds.
    pub rings: Vec<f64>,
}

impl Carrier {
    /// Writes down whom it calls.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written.
    pub fn new(program: PathBuf, port: u16, folder: PathBuf, users: usize) -> std::io::Result<Self> {
        let list: String = (0..users).map(|number| user(number) + "\n").collect();
        fs::write(folder.join("users.csv"), format!("SEQUENTIAL\n{list}"))?;
        for (name, text) in [
            ("caller.xml", include_str!("caller.xml")),
            ("callee.xml", include_str!("callee.xml")),
            ("options.xml", include_str!("options.xml")),
        ] {
            fs::write(folder.join(name), text)?;
        }
        Ok(Self { program, port, folder })
    }

    /// Is called, until that is dropped.
    ///
    /// # Errors
    ///
    /// Where SIPp does not start.
    pub fn answer(&self) -> Result<Process, Failure> {
        let process = Process::start(self.command("callee.xml").args(["-aa"]))?;
        // Until it listens.
        std::thread::sleep(std::time::Duration::from_millis(300));
        Ok(process)
    }

    /// Begins; [`Self::outcome`] follows.
    ///
    /// # Errors
    ///
    /// Where SIPp does not start.
    pub fn begin(&self, to: SocketAddr, scene: Scene, pace: Pace) -> Result<Process, Failure> {
        let mut command = match scene {
            Scene::Calls => self.command("caller.xml"),
            Scene::Asks => self.command("options.xml"),
        };
        command.args(["-inf", "users.csv", "-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_rtt", "-rtt_freq", "1"]);
        // A call that nobody answers has failed; without this SIPp would wait for it for ever.
        command.args(["-recv_timeout", "8000"]);
        match pace {
            Pace::Steady { rate, count, hold } => {
                let (rate, count, hold) = (rate.to_string(), count.to_string(), hold.to_string());
                command.args(["-r", &rate, "-m", &count, "-l", &count, "-d", &hold]);
            }
            Pace::Lines { lines, seconds } => {
                command.args(["-users", &lines.to_string(), "-timeout", &format!("{seconds}s"), "-d", "0"]);
            }
        }
        Ok(Process::start(command.arg(to.to_string()))?)
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// Where SIPp has written nothing.
    pub fn outcome(&self, mut process: Process, pace: Pace) -> Result<Done, Failure> {
        process.0.wait()?;
        let rings = self.folder.join(format!("caller_{}_rtt.csv", process.0.id()));
        let stat = fs::read_to_string(self.folder.join("stat.csv"))?;
        let longest = if let Pace::Lines { seconds, .. } = pace { seconds as f64 } else { f64::INFINITY };
        let mut done = read(&stat, longest).ok_or("SIPp has said nothing; see its files in the folder of the results")?;
        let text = fs::read_to_string(&rings).unwrap_or_default();
        done.rings = text.lines().filter_map(|line| line.split(';').nth(1)?.parse().ok()).collect();
        // Nobody needs what each call took.
        drop(fs::remove_file(rings));
        Ok(done)
    }

    /// SIPp with a scenario, without screens and keys.
    fn command(&self, scenario: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-sf", scenario, "-i", ADDRESS, "-p", &self.port.to_string(), "-nostdin", "-buff_size", BUFFER]);
        // Who keeps what has ended, and looks for calls in it, gets slow.
        command.args(["-deadcall_wait", "0", "-trace_err", "-error_file", "errors.log"]);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// What SIPp's table of figures says; the rate is that of the first `longest` seconds, without those who are still talking then.
fn read(stat: &str, longest: f64) -> Option<Done> {
    let mut lines = stat.lines();
    let names: Vec<&str> = lines.next()?.split(';').collect();
    let column = |name: &str| names.iter().position(|known| *known == name);
    let [start, now] = [column("StartTime")?, column("CurrentTime")?];
    let [succeeded, failed] = [column("SuccessfulCall(C)")?, column("FailedCall(C)")?];
    // A day, the time of that day, and seconds since 1970.
    let seconds = |fields: &[&str], column: usize| fields.get(column)?.rsplit('\t').next()?.parse::<f64>().ok();
    let count = |fields: &[&str], column: usize| fields.get(column)?.parse::<usize>().ok();
    let mut done = Done::default();
    for line in lines {
        let fields: Vec<&str> = line.split(';').collect();
        let past = seconds(&fields, now)? - seconds(&fields, start)?;
        (done.done, done.failed) = (count(&fields, succeeded)?, count(&fields, failed)?);
        if past > 0.5 && (past <= longest + 0.2 || done.rate == 0.0) {
            done.rate = done.done as f64 / past;
        }
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_rate_is_that_before_the_last_calls_are_waited_for() {
        let time = |seconds: f64| format!("2026-01-01\t00:00:00.000000\t{:.6}", 1_000.0 + seconds);
        let row = |past: f64, done: usize, failed: usize| format!("{};{};x;{done};{failed};\n", time(0.0), time(past));
        let head = "StartTime;CurrentTime;TargetRate;SuccessfulCall(C);FailedCall(C);\n";
        let stat = [head, &row(0.001, 0, 0), &row(1.0, 900, 0), &row(2.0, 2_000, 0), &row(34.0, 2_010, 3)].concat();
        let done = read(&stat, 2.0).expect("a table");
        assert_eq!((done.done, done.failed, done.rate.round()), (2_010, 3, 1_000.0));
        assert_eq!(read("StartTime;\n", 2.0), None, "another program's table");
    }
}
