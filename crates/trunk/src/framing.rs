//! Messages out of a stream (RFC 3261, 18.3): each as long as its Content-Length says, keep-alives between them (RFC 5626, 4.4.1).

use offhook_sip::MAX_MESSAGE;

/// The most octets before the blank line.
const HEAD: usize = 32 * 1024;

/// A keep-alive.
const PING: &[u8] = b"\r\n\r\n";

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message(Vec<u8>),
    /// A keep-alive, to be answered with CRLF.
    Ping,
}

/// A stream that carries no SIP: it is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbage;

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// How much of the buffer is known to have no blank line.
    scanned: usize,
}

impl Framer {
    /// Takes octets in. After each call [`Framer::poll`] is called until it gives `None`.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// Returns the next message or keep-alive, if it is complete.
    ///
    /// # Errors
    /// Where there can be none any more: too long, no Content-Length, or not SIP.
    pub fn poll(&mut self) -> Result<Option<Frame>, Garbage> {
        self.skip_blank();
        if self.buffer.starts_with(PING) {
            self.buffer.drain(..PING.len());
            return Ok(Some(Frame::Ping));
        }
        if PING.starts_with(&self.buffer) {
            return Ok(None);
        }
        let Some(head) = self.head()? else { return Ok(None) };
        let length = content_length(&self.buffer[..head]).ok_or(Garbage)?;
        let whole = head.checked_add(length).filter(|whole| *whole <= MAX_MESSAGE).ok_or(Garbage)?;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        let rest = self.buffer.split_off(whole);
        self.scanned = 0;
        Ok(Some(Frame::Message(std::mem::replace(&mut self.buffer, rest))))
    }

    /// Whether a message has begun that is not whole.
    #[must_use]
    pub fn is_within(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Drops line ends up to a keep-alive: a single one is the answer to one of ours, or stands before a message.
    fn skip_blank(&mut self) {
        let mut rest = self.buffer.as_slice();
        while let [b'\r' | b'\n', after @ ..] = rest
            && !rest.starts_with(PING)
            && !PING.starts_with(rest)
        {
            rest = after;
        }
        let blank = self.buffer.len() - rest.len();
        self.buffer.drain(..blank);
        self.scanned = self.scanned.saturating_sub(blank);
    }

    /// Returns where the blank line ends.
    fn head(&mut self) -> Result<Option<usize>, Garbage> {
        let from = self.scanned.saturating_sub(3);
        let end = self.buffer[from..].windows(4).position(|octets| octets == b"\r\n\r\n").map(|at| from + at + 4);
        self.scanned = end.map_or(self.buffer.len(), |end| end - 4);
        let known = end.unwrap_or(self.buffer.len());
        let line = self.buffer[..known].iter().position(|octet| *octet == b'\n');
        let sip = |line: &[u8]| line.starts_with(b"SIP/2.0 ") || line.ends_with(b" SIP/2.0\r\n");
        let first = &self.buffer[..line.unwrap_or(known)];
        let wrong = !is_text(first) || line.is_some_and(|at| !sip(&self.buffer[..=at]));
        if wrong || known > HEAD { Err(Garbage) } else { Ok(end) }
    }
}

/// Whether this can be the beginning of a first line.
fn is_text(octets: &[u8]) -> bool {
    octets.len() < 8_192 && octets.iter().all(|octet| *octet >= b' ' || matches!(octet, b'\r' | b'\t'))
}

/// Returns the only Content-Length of a head.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut found = None;
    for line in head.split(|octet| *octet == b'\n') {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let name = line[..colon].trim_ascii();
        if name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l") {
            let digits = line[colon + 1..].trim_ascii();
            let number = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|octet| octet.is_ascii_digit()))?;
            if found.replace(number.parse().ok()?).is_some() {
                return None;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "OPTIONS sip:a SIP/2.0\r\nVia: x\r\nContent-Length: 4\r\n\r\nbody";
    const TWO: &str = "SIP/2.0 200 OK\r\nl: 0\r\n\r\n";

    fn frames(framer: &mut Framer, octets: &[u8]) -> Result<Vec<Frame>, Garbage> {
        framer.push(octets);
        let mut all = Vec::new();
        while let Some(frame) = framer.poll()? {
            all.push(frame);
        }
        Ok(all)
    }

    #[test]
    fn frames_do_not_depend_on_how_the_stream_is_split() {
        let stream = format!("\r\n\r\n{ONE}\r\n{TWO}\r\n\r\n{ONE}{TWO}");
        let message = |text: &str| Frame::Message(text.into());
        let whole = vec![Frame::Ping, message(ONE), message(TWO), Frame::Ping, message(ONE), message(TWO)];
        for first in 0..stream.len() {
            for second in [first, (first + 1).min(stream.len()), (first + 7).min(stream.len())] {
                let mut framer = Framer::default();
                let mut all = Vec::new();
                for part in [&stream[..first], &stream[first..second], &stream[second..]] {
                    all.extend(frames(&mut framer, part.as_bytes()).expect("SIP"));
                }
                assert_eq!(all, whole, "torn at {first} and {second}");
                assert!(!framer.is_within());
            }
        }
        let mut framer = Framer::default();
        let all: Vec<Frame> = stream.bytes().flat_map(|octet| frames(&mut framer, &[octet]).expect("SIP")).collect();
        assert_eq!(all, whole);
    }

    #[test]
    fn octets_that_are_not_sip_are_an_error() {
        for stream in [
            "GET / HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}\u{2}",
            "OPTIONS sip:a\0 SIP/2.0\r\n",
            "OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nContent-Length: 1\r\nl: 1\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999\r\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        ] {
            assert_eq!(frames(&mut Framer::default(), stream.as_bytes()), Err(Garbage), "{stream}");
        }
        let long = format!("OPTIONS sip:a SIP/2.0\r\n{}", "X: y\r\n".repeat(10_000));
        assert_eq!(frames(&mut Framer::default(), long.as_bytes()), Err(Garbage));
        assert_eq!(frames(&mut Framer::default(), "x".repeat(9_000).as_bytes()), Err(Garbage));
    }
}
