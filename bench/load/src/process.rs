//! A program under test as the system sees it: its processes, the processor time and the memory that they use.

use std::fs;
use std::process::{Child, Command};

/// A running program; killed when dropped, with its children.
pub struct Process(pub Child);

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| format!("{}: {error}", command.get_program().display()))
    }

    /// Processor time of all its processes so far, in microseconds.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        let ticks: u64 = self.processes().iter().filter_map(|pid| cpu_ticks(*pid)).sum();
        // The kernel shows processor times in hundredths of a second on every Linux (USER_HZ).
        ticks as f64 * 10_000.0
    }

    /// Memory in KiB: what its processes have for themselves, and their share of what they share (PSS).
    #[must_use]
    pub fn pss(&self) -> f64 {
        self.processes().iter().filter_map(|pid| field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
    }

    /// Resident memory in KiB of the process that was started.
    #[must_use]
    pub fn rss(&self) -> f64 {
        field(&format!("/proc/{}/status", self.0.id()), "VmRSS:").unwrap_or(0.0)
    }

    /// The process that was started and its children.
    fn processes(&self) -> Vec<u32> {
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        std::iter::once(id).chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for id in self.processes().iter().skip(1) {
            // Kamailio's workers would outlive their parent.
            drop(Command::new("kill").arg("-9").arg(id.to_string()).stderr(std::process::Stdio::null()).status());
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; utime and stime are the 14th and 15th fields.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

fn field(file: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
