//! Messages as they are passed on: our Via and no other, the proven identity, and no field that claims to prove one.

use offhook_sip::{Message, Method, Name, Start, StatusCode, Writer};

/// What a user's message carries to another user or out of here, by full and compact name: what two user agents need of each other to
/// call, hold, transfer and end (RFC 3261, 3262, 3311, 3515, 4028, 6086, 6665). All else stays here: what claims to be proof of somebody, what
/// has phones play, show, fetch or answer something, and what is unknown.
const PASSED: [(&str, &str); 31] = [
    ("Accept", ""),
    ("Accept-Encoding", ""),
    ("Accept-Language", ""),
    ("Allow", ""),
    ("Allow-Events", "u"),
    ("Call-ID", "i"),
    ("Contact", "m"),
    ("Content-Disposition", ""),
    ("Content-Encoding", "e"),
    ("Content-Language", ""),
    ("CSeq", ""),
    ("Event", "o"),
    ("Expires", ""),
    ("Info-Package", ""),
    ("MIME-Version", ""),
    ("Min-SE", ""),
    ("RAck", ""),
    ("Reason", ""),
    ("Recv-Info", ""),
    ("Refer-To", "r"),
    ("Require", ""),
    ("Retry-After", ""),
    ("RSeq", ""),
    ("Server", ""),
    ("Session-Expires", "x"),
    ("Subscription-State", ""),
    ("Supported", "k"),
    ("To", "t"),
    ("Unsupported", ""),
    ("User-Agent", ""),
    ("Warning", ""),
];
/// Fields that only the back-to-back user agent may send on: why something failed, and whether there is early media (RFC 5009).
const OUTSIDE: [&str; 3] = ["X-Error", "Error-Info", "P-Early-Media"];
/// `X-` fields that speak in our name.
const OURS: [&str; 2] = ["X-Error", "X-ICE-Server"];

/// Whether a field is the app's own: `X-…`, but for those that are ours.
pub fn is_apps(name: &str) -> bool {
    let named = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-"));
    named && !OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// The name under which a field is passed on; `outside`: by the back-to-back user agent.
fn passed(name: &str, outside: bool) -> Option<&str> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let listed = PASSED.iter().find(|(full, compact)| is(full) || is(compact)).map(|(full, _)| *full);
    listed.or_else(|| (is_apps(name) || outside && OUTSIDE.iter().any(|known| is(known))).then_some(name))
}

/// The fields of a request that come back in each response (RFC 3261, 8.2.6.2).
#[derive(Clone, Debug)]
pub(super) struct Head {
    vias: Vec<String>,
    from: String,
}

impl Head {
    /// Of a request.
    pub(super) fn of(request: &Message<'_>) -> Self {
        Self {
            vias: request.all(Name::Via).map(str::to_owned).collect(),
            from: request.get(Name::From).unwrap_or_default().to_owned(),
        }
    }
}

/// What changes in a request that is passed on.
pub(super) struct Onward<'a> {
    pub(super) method: Method<'a>,
    /// The new Request-URI.
    pub(super) uri: &'a str,
    /// The proxy's own Via.
    pub(super) via: &'a str,
    /// The proven identity: a From value without tag.
    pub(super) from: &'a str,
    /// The proxy's own Record-Route, where the request makes a dialog.
    pub(super) record_route: Option<&'a str>,
    /// Whether the back-to-back user agent has sent it.
    pub(super) outside: bool,
}

/// The request as the receiver gets it.
pub(super) fn forward(request: &Message<'_>, onward: &Onward<'_>) -> String {
    let hops = request.number(Name::MaxForwards).unwrap_or(70).min(255).saturating_sub(1);
    let mut text = Writer::request(onward.method, onward.uri).field("Via", onward.via).field("Max-Forwards", &hops.to_string());
    if let Some(route) = onward.record_route {
        text = text.field("Record-Route", route);
    }
    let tag = request.from().ok().and_then(|from| from.tag());
    text = text.field("From", &tag.map_or_else(|| onward.from.to_owned(), |tag| format!("{};tag={tag}", onward.from)));
    finish(copy(text, request, onward.outside), request)
}

/// The response as the sender of the request gets it. `code` may differ from the response's own; `outside`: it is of the back-to-back user
/// agent, or of ours.
pub(super) fn restore(response: &Message<'_>, head: &Head, code: StatusCode, record_route: Option<&str>, outside: bool) -> String {
    let phrase = match response.start {
        Start::Response { code: own, reason } if own == code => reason,
        _ => code.reason(),
    };
    let mut text = Writer::response(code, phrase);
    for via in &head.vias {
        text = text.field("Via", via);
    }
    if let Some(route) = record_route {
        text = text.field("Record-Route", route);
    }
    finish(copy(text.field("From", &head.from), response, outside), response)
}

/// The status that the caller gets for a device's: a challenge is for us alone to make (else a device could fish for credentials),
/// and one device out of service is no reason to avoid this server (RFC 3261, 16.7, step 6).
pub(super) const fn passed_on(code: StatusCode) -> StatusCode {
    match code {
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => StatusCode::FORBIDDEN,
        StatusCode::SERVICE_UNAVAILABLE => StatusCode::SERVER_INTERNAL_ERROR,
        code => code,
    }
}

fn copy(text: Writer, message: &Message<'_>, outside: bool) -> Writer {
    let named = message.fields().iter().filter_map(|field| Some((passed(field.raw_name, outside)?, field.value)));
    named.fold(text, |text, (name, value)| text.field(name, value))
}

fn finish(text: Writer, message: &Message<'_>) -> String {
    // A body that is not UTF-8 cannot have come in a text message; what a bad Content-Length cut in two is mended.
    let body = String::from_utf8_lossy(message.body);
    match message.get(Name::ContentType) {
        _ if body.is_empty() => text.end(),
        kind => text.body(kind.unwrap_or("application/octet-stream"), &body),
    }
}
