//! Which of several failures the caller hears of (RFC 3261, 16.7).

/// The best failure so far, as the caller would get it.
#[derive(Debug, Default)]
pub(super) struct Best(Option<(u16, String)>);

impl Best {
    /// Keeps `text` where `code` says more than what is there.
    pub(super) fn offer(&mut self, code: u16, text: impl FnOnce() -> String) {
        if self.0.as_ref().is_none_or(|(old, _)| rank(code) < rank(*old)) {
            self.0 = Some((code, text()));
        }
    }

    /// The failure to send.
    pub(super) fn take(&mut self) -> Option<(u16, String)> {
        self.0.take()
    }
}

/// Lower is better. A user who declined on one device declined; busy counts only where every device that answered is busy; a device
/// that did not answer says less than one that did.
const fn rank(code: u16) -> u16 {
    match code {
        600.. => 0,
        300..400 => 1,
        // The caller can do something about these.
        415 | 420 | 484 | 488 => 2,
        480 => 4,
        486 => 5,
        408 => 6,
        487 => 9,
        400..500 => 3,
        _ => 7,
    }
}

/// The status that the caller gets for a device's: a challenge is for us alone to make (else a device could fish for credentials),
/// and one device out of service is no reason to avoid this server (RFC 3261, 16.7, step 6).
pub(super) const fn passed_on(code: u16) -> u16 {
    match code {
        401 | 407 => 403,
        503 => 500,
        code => code,
    }
}
