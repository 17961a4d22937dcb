//! The record of a life: counts always; on request a ladder for people, and a hash that is the same for equal lives.

use std::collections::BTreeMap;

use offhook_sip::{Method, Name, Start, parse};
use offhook_ua::time::Instant;

#[derive(Default)]
pub struct Trace {
    pub counts: BTreeMap<&'static str, u64>,
    /// Responses by status, as they reached pages.
    pub codes: BTreeMap<u16, u64>,
    pub ladder: Option<Vec<String>>,
    /// FNV-1a over all messages and notes.
    pub sum: Option<u64>,
    start: Option<Instant>,
}

impl Trace {
    pub fn with_ladder() -> Self {
        Self { ladder: Some(Vec::new()), ..Self::default() }
    }

    pub fn with_sum() -> Self {
        Self { sum: Some(0xcbf2_9ce4_8422_2325), ..Self::default() }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Begins the ladder: its times count from here on.
    pub fn begin(&mut self, now: Instant) {
        self.start = Some(now);
        self.ladder.iter_mut().for_each(Vec::clear);
    }

    pub fn note(&mut self, now: Instant, line: impl FnOnce() -> String) {
        if self.ladder.is_none() && self.sum.is_none() {
            return;
        }
        let line = line();
        self.add(now, &line);
        if let Some(ladder) = &mut self.ladder {
            let since = self.start.map_or(0, |start| now.millis_since(start));
            ladder.push(format!("{since:>7} {line}"));
        }
    }

    pub fn message(&mut self, now: Instant, page: &str, arrow: &str, text: &str) {
        if arrow == "<"
            && let Some(code) = text.get(8..11).filter(|_| text.starts_with("SIP/2.0 ")).and_then(|code| code.parse().ok())
        {
            *self.codes.entry(code).or_default() += 1;
        }
        self.add(now, text);
        if let Some(line) = self.ladder.is_some().then(|| in_short(text)).flatten() {
            self.note(now, || format!("{page} {arrow} {line}"));
        }
    }

    fn add(&mut self, now: Instant, text: &str) {
        if let Some(sum) = &mut self.sum {
            let bytes = now.millis().to_be_bytes().into_iter().chain(text.bytes());
            *sum = bytes.fold(*sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        }
    }
}

/// Returns a message as a line of a ladder; `None` for keep-alives and registrations.
fn in_short(text: &str) -> Option<String> {
    let message = parse(text.as_bytes()).ok()?;
    let cseq = message.cseq().ok()?;
    if matches!(cseq.method, Method::Options | Method::Register) {
        return None;
    }
    let what = match message.start {
        Start::Request { method, .. } => format!("{method} {}", cseq.number),
        Start::Response { code, .. } => format!("{code} {} {}", cseq.method, cseq.number),
    };
    let body = if message.content_is("application/sdp") { " +sdp" } else { "" };
    let reason = message.get(Name::Reason).map_or_else(String::new, |reason| format!(" [{reason}]"));
    let call = message.call_id().unwrap_or_default().get(..4).unwrap_or_default().to_owned();
    Some(format!("{what}{body}{reason} ({call})"))
}
