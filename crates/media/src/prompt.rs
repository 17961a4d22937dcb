//! A recorded announcement that is being played.

use std::time::Duration;

use offhook_ua::time::Instant;

use super::flow::Outgoing;
use super::port::{Codec, Prompt};
use super::rtp::Numbering;
use super::sdp::clock;
use super::sound::recording;

/// Milliseconds of one packet.
const FRAME: Duration = Duration::from_millis(20);

/// A recorded announcement that is being played, or waits for somebody who hears it.
pub struct Playing {
    prompt: Prompt,
    times: u32,
    /// Begun: when the next packet is due, which it is, and where the stream was at the first one.
    run: Option<Run>,
}

struct Run {
    codec: (Codec, u8),
    next: Instant,
    at: usize,
    base: u32,
}

impl Playing {
    /// Something to play so often.
    #[must_use]
    pub const fn new(prompt: Prompt, times: u32) -> Self {
        Self { prompt, times, run: None }
    }

    /// The packets that are due; `true`: that was the end.
    pub fn poll(&mut self, now: Instant, numbering: &mut Numbering, codec: (Codec, u8), out: &mut Vec<Outgoing>) -> bool {
        let base = numbering.clock(now, clock(codec.0));
        let fresh = || Run { codec, next: now, at: 0, base };
        let run = self.run.get_or_insert_with(fresh);
        if run.codec != codec {
            *run = Run { at: run.at, ..fresh() };
        }
        let frames = recording(self.prompt, codec.0);
        let all = frames.len() * self.times as usize;
        while run.next <= now && run.at < all {
            let ticks = u64::from(clock(codec.0)) * FRAME.as_millis() as u64 / 1000;
            let place = numbering.make(now, run.base);
            out.push(Outgoing {
                payload_type: codec.1,
                place,
                marker: place.fresh,
                payload: frames[run.at % frames.len()].clone(),
            });
            run.base = run.base.wrapping_add(ticks as u32);
            run.at += 1;
            run.next = run.next + FRAME;
        }
        run.at >= all && run.next <= now
    }

    /// When [`Playing::poll`] is to be called; `None`: when somebody can hear it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.run.as_ref().map(|run| run.next)
    }
}
