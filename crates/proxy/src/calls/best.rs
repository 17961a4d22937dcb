//! Which of several failures the caller gets (RFC 3261, 16.7).

use offhook_sip::{Class, StatusCode};

/// The best failure so far: its status, and the response as the caller would get it; `None`: there was none in time.
#[derive(Debug, Default)]
pub(super) struct Best(Option<(StatusCode, Option<String>)>);

impl Best {
    /// Keeps `text` where `code` is better than what is there.
    pub(super) fn offer(&mut self, code: StatusCode, text: impl FnOnce() -> Option<String>) {
        if self.0.as_ref().is_none_or(|(old, _)| rank(code) < rank(*old)) {
            self.0 = Some((code, text()));
        }
    }

    /// The failure to send.
    pub(super) fn take(&mut self) -> Option<(StatusCode, Option<String>)> {
        self.0.take()
    }
}

/// Lower is better. A user who declined on one device declined; busy counts only where every device that answered is busy; a device
/// that did not answer says less than one that did.
const fn rank(code: StatusCode) -> u8 {
    match code {
        // The caller can do something about these.
        StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::BAD_EXTENSION
        | StatusCode::ADDRESS_INCOMPLETE
        | StatusCode::NOT_ACCEPTABLE_HERE => 2,
        StatusCode::TEMPORARILY_UNAVAILABLE => 4,
        StatusCode::BUSY_HERE => 5,
        StatusCode::REQUEST_TIMEOUT => 6,
        StatusCode::REQUEST_TERMINATED => 9,
        _ => match code.class() {
            Class::GlobalFailure => 0,
            Class::Redirection => 1,
            Class::ClientError => 3,
            Class::Provisional | Class::Success | Class::ServerError => 7,
        },
    }
}
