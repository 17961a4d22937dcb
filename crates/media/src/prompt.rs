//! Playing of a recorded announcement.

use std::time::Duration;

use offhook_ua::time::Instant;

use super::flow::Outgoing;
use super::port::{Codec, Prompt};
use super::rtp::Numbering;
use super::sdp::clock;
use super::sound::recording;

/// The length of a packet.
const FRAME: Duration = Duration::from_millis(20);

/// A recorded announcement that is being played, or waits until the page can hear it.
pub struct Playing {
    prompt: Prompt,
    times: u32,
    /// After the first packet: when the next one is due, its index, and the timestamp of the first one.
    run: Option<Run>,
}

struct Run {
    codec: (Codec, u8),
    next: Instant,
    at: usize,
    base: u32,
}

impl Playing {
    /// Returns a prompt to be played `times` times.
    #[must_use]
    pub const fn new(prompt: Prompt, times: u32) -> Self {
        Self { prompt, times, run: None }
    }

    /// Appends the packets that are due; returns `true` at the end.
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

    /// Returns when [`Playing::poll`] is due; `None` before the first packet, which is sent as soon as the page can hear it.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.run.as_ref().map(|run| run.next)
    }
}
