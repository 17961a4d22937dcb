//! P-Early-Media (RFC 5009): which way media may flow before the answer.

use super::header::cut;
use super::message::{Message, bare};

/// The direction of early media, seen from the sender of P-Early-Media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyMedia {
    /// Both ways.
    SendRecv,
    /// To the recipient of the message only.
    SendOnly,
    /// From the recipient of the message only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl EarlyMedia {
    /// Parses a value: a list of parameters, of which the first direction counts, that of the first media line. `None` where it has none, as
    /// `supported` alone.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut rest = Some(value);
        while let Some((item, after)) = rest.map(|rest| cut(rest, b',')) {
            let direction = match bare(item) {
                item if item.eq_ignore_ascii_case("sendrecv") => Some(Self::SendRecv),
                item if item.eq_ignore_ascii_case("sendonly") => Some(Self::SendOnly),
                item if item.eq_ignore_ascii_case("recvonly") => Some(Self::RecvOnly),
                item if item.eq_ignore_ascii_case("inactive") => Some(Self::Inactive),
                _ => None,
            };
            if direction.is_some() {
                return direction;
            }
            rest = after;
        }
        None
    }

    /// Whether the sender of P-Early-Media sends media: in a response, the callee's reach the caller.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }
}

impl Message<'_> {
    /// Returns the direction in P-Early-Media; `None` where there is none.
    #[must_use]
    pub fn early_media(&self) -> Option<EarlyMedia> {
        EarlyMedia::parse(self.get_other("P-Early-Media")?)
    }
}

#[cfg(test)]
mod tests {
    use super::EarlyMedia;

    #[test]
    fn the_first_direction_counts() {
        for (value, direction) in [
            ("sendonly", Some(EarlyMedia::SendOnly)),
            ("SendRecv", Some(EarlyMedia::SendRecv)),
            ("gated, recvonly", Some(EarlyMedia::RecvOnly)),
            ("inactive , gated", Some(EarlyMedia::Inactive)),
            ("supported,sendonly;x=inactive,inactive", Some(EarlyMedia::SendOnly)),
            ("supported", None),
            ("sendonlyx, inactively", None),
            ("", None),
        ] {
            assert_eq!(EarlyMedia::parse(value), direction, "{value}");
        }
    }
}
