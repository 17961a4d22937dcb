//! Calls between a page (ICE, DTLS-SRTP) and a phone (RTP), through the gateway's media and through rtpengine in user space, in turns: what
//! one costs in processor time and memory, and how much later it is heard.

mod call;
pub mod media;
mod relay;
mod voice;

use std::path::PathBuf;
use std::time::Duration;

use crate::report::{Bar, Report, quantile};
use crate::trial::Failure;
use call::{Crowd, Heard};
use relay::Relay;
use voice::Way;

/// What is played before anything is measured: connections come up, jitter buffers find their size.
const WARM_UP: Duration = Duration::from_secs(3);
/// Until a server that has begun is at rest.
const SETTLE: Duration = Duration::from_secs(1);
/// Frames in a second.
const FRAMES: f64 = 50.0;

#[derive(clap::Args)]
pub struct Options {
    /// rtpengine's program; without it the gateway is measured alone
    #[arg(long)]
    rtpengine: Option<PathBuf>,
    /// Another build of this program, whose media are measured beside those of this one, in place of rtpengine
    #[arg(long, conflicts_with = "rtpengine")]
    before: Option<PathBuf>,
    /// Calls at a time whose sound is passed on
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// Calls at a time whose sound is transcoded
    #[arg(long, default_value_t = 50)]
    transcoded: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds; each has a turn of each server with each kind of call
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Put the table into this document, between its lines `<!-- bridges -->` and `<!-- /bridges -->`
    #[arg(long)]
    publish: Option<PathBuf>,
    /// Where the results go
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
}

/// What one server did in all rounds with one kind of call.
#[derive(Default)]
struct Turns {
    /// Processor time of a call in 20 ms, in microseconds.
    cpu: Vec<f64>,
    /// Calls that one core would hold at that.
    held: Vec<f64>,
    memory: Vec<f64>,
    delay: [Vec<f64>; 2],
    lost: Vec<f64>,
}

impl Options {
    /// How many bars were missed.
    ///
    /// # Errors
    ///
    /// Where a server does not start or no call comes about.
    pub async fn run(self) -> Result<usize, Failure> {
        std::fs::create_dir_all(&self.folder)?;
        let mut report = Report::new(if self.before.is_some() { "before" } else { "rtpengine" }, "bridges");
        for (way, calls, most) in [(Way::Passed, self.calls, 40.0), (Way::Transcoded, self.transcoded, 60.0)] {
            let (mut ours, mut theirs) = (Turns::default(), Turns::default());
            for _ in 0..self.rounds {
                self.turn(&mut ours, Relay::gateway(&std::env::current_exe()?)?, way, calls).await?;
                if let Some(program) = &self.before {
                    self.turn(&mut theirs, Relay::gateway(program)?, way, calls).await?;
                } else if let Some(program) = &self.rtpengine {
                    self.turn(&mut theirs, Relay::rtpengine(program, &self.folder).await?, way, calls).await?;
                }
            }
            rows(&mut report, way, ours, theirs, most);
        }
        report.notes.push(format!(
            "{} calls passed on, {} transcoded; {} rounds of {} s; processor times are of the servers' processes alone.",
            self.calls, self.transcoded, self.rounds, self.seconds
        ));
        report.save(&self.folder.join("bridges.json"))?;
        if let Some(document) = &self.publish {
            let how =
                format!("{} and {} calls at a time, {} rounds; `scripts/bench-bridge`.", self.calls, self.transcoded, self.rounds);
            report.publish(document, &how)?;
        }
        println!("{}", report.table());
        Ok(report.missed())
    }

    async fn turn(&self, turns: &mut Turns, mut relay: Relay, way: Way, calls: usize) -> Result<(), Failure> {
        tokio::time::sleep(SETTLE).await;
        let empty = relay.process.pss();
        let mut crowd = Crowd::default();
        for number in 0..calls {
            crowd.call(&mut relay, way, number).await?;
        }
        crowd.listen(WARM_UP).await?;
        let before = relay.process.cpu();
        let begin = tokio::time::Instant::now();
        let heard = crowd.listen(Duration::from_secs(self.seconds)).await?;
        let frames = begin.elapsed().as_secs_f64() * FRAMES * calls as f64;
        let cpu = (relay.process.cpu() - before) / frames;
        turns.cpu.push(cpu);
        turns.held.push(1e6 / FRAMES / cpu);
        turns.memory.push((relay.process.pss() - empty) / calls as f64);
        turns.add(&heard, frames);
        Ok(())
    }
}

impl Turns {
    fn add(&mut self, heard: &Heard, frames: f64) {
        for (values, part) in self.delay.iter_mut().zip([0.5, 0.95]) {
            values.extend(quantile(&heard.delays, part));
        }
        // Each call sends in both directions.
        self.lost.push((100.0 - 50.0 * heard.packets as f64 / frames).max(0.0));
    }
}

fn rows(report: &mut Report, way: Way, ours: Turns, theirs: Turns, most: f64) {
    let what = match way {
        Way::Passed => "G.711 passed on",
        Way::Transcoded => "Opus to G.711 and back",
    };
    let least = matches!(way, Way::Passed).then_some(Bar::Part(1.0));
    report.row(format!("{what}: calls that one core holds"), ours.held, theirs.held, least);
    report.main();
    report.row(format!("{what}: CPU of a call in 20 ms, us"), ours.cpu, theirs.cpu, None);
    report.main();
    report.row(format!("{what}: memory of a call, KiB"), ours.memory, theirs.memory, None);
    report.main();
    let ([p50, p95], [their_p50, their_p95]) = (ours.delay, theirs.delay);
    report.row(format!("{what}: added delay, p50, ms"), p50, their_p50, None);
    report.main();
    report.row(format!("{what}: added delay, p95, ms"), p95, their_p95, Some(Bar::Most(most)));
    report.main();
    report.row(format!("{what}: packets that did not arrive, %"), ours.lost, theirs.lost, Some(Bar::Most(1.0)));
}
