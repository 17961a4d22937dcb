//! Messages in a short form for tests.

use offhook_sip::parse;

/// Returns a message in short: `INVITE`, `183 INVITE`.
#[must_use]
pub fn head(text: &str) -> String {
    let Ok(message) = parse(text.as_bytes()) else { return format!("{text:?}") };
    match message.code() {
        Some(code) => format!("{code} {}", message.cseq().map(|cseq| cseq.method.as_str()).unwrap_or_default()),
        None => message.method().map(|method| method.to_string()).unwrap_or_default(),
    }
}
