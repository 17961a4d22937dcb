//! Where a dialled URI leads: to a user of ours, or outside.

use std::net::IpAddr;

use offhook_sip::{ApiCode, Message, StatusCode, Uri, telephone};

use crate::context::Context;
use crate::party::Party;
use crate::refusal::Refusal;
use crate::test_number::TestNumber;

/// Whether the destination is outside, a telephone or another SIP domain, and not a user of ours.
pub(super) fn is_outside(cx: &Context, uri: &Uri<'_>, from_host: &str, caller: &Party) -> Result<bool, Refusal> {
    let ours = is_ours(cx, uri.host, from_host);
    let host = uri.host.to_ascii_lowercase();
    let homes = [cx.settings.domain.to_ascii_lowercase(), from_host.to_ascii_lowercase()];
    let refusal = if is_phone(uri) || ours && (TestNumber::read(&uri.user_text()).is_some() || is_emergency(cx, uri)) {
        "Calls to telephones are not available"
    } else if host.strip_prefix("conference.").is_some_and(|rest| homes.iter().any(|home| home == rest)) {
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ApiCode::NotImplemented, "Conferences are not available"));
    } else if ours {
        return Ok(false);
    } else {
        "Calls to other SIP domains are not available"
    };
    // What comes in from outside does not go out again.
    match cx.b2bua(caller.application()).filter(|_| !caller.is_outside()) {
        Some(_) => Ok(true),
        None => Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, ApiCode::NotImplemented, refusal)),
    }
}

/// The Request-URI of an INVITE that goes outside: what the caller has dialled; an emergency number that was dialled as if it were a user
/// is a telephone's. `None` where it cannot be read.
pub(super) fn outside_uri(cx: &Context, invite: &Message<'_>) -> Option<String> {
    let text = invite.uri()?;
    let uri = Uri::parse(text).ok()?;
    let plain = !is_phone(&uri) && is_ours(cx, uri.host, from_host(invite));
    Some(match emergency_number(cx, &uri).filter(|_| plain) {
        Some(number) => format!("sip:{number}@{};user=phone", cx.settings.domain),
        None => text.to_owned(),
    })
}

/// Whether the user part is an emergency number, in any spelling.
pub(super) fn is_emergency(cx: &Context, uri: &Uri<'_>) -> bool {
    emergency_number(cx, uri).is_some()
}

fn emergency_number<'c>(cx: &'c Context, uri: &Uri<'_>) -> Option<&'c str> {
    telephone::one_of(&cx.settings.emergency, uri)
}

/// The host of the URI in From; empty where it cannot be read.
pub(super) fn from_host<'a>(message: &Message<'a>) -> &'a str {
    message.from().map(|from| from.uri.host).unwrap_or_default()
}

/// Whether a host is this gateway. A page reaches it under names that the gateway need not know: what it calls its own domain is taken
/// as ours.
fn is_ours(cx: &Context, host: &str, from_host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let homes = [&*cx.settings.domain, from_host];
    address || host == "localhost" || host.ends_with(".invalid") || homes.iter().any(|home| home.eq_ignore_ascii_case(&host))
}

/// Whether a URI says that it is a telephone's (RFC 3261, 19.1.1).
fn is_phone(uri: &Uri<'_>) -> bool {
    uri.params.get("user").is_some_and(|user| user.eq_ignore_ascii_case("phone"))
}
