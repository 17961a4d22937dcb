//! What a message looks like on the other side: our Via and no other, the proven identity, nothing that pretends to be proof.

use offhook::sip::{Message, Name, Start, Writer, parse, reason};

/// Fields that claim an identity or a credential, or, the last, speak in our name. Nobody may send them through us.
const STRIPPED: [&str; 16] = [
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "P-Called-Party-ID",
    "P-Access-Network-Info",
    "P-Charging-Vector",
    "P-Associated-URI",
    "Remote-Party-ID",
    "Diversion",
    "History-Info",
    "Identity",
    "Identity-Info",
    "Authentication-Info",
    "Proxy-Authentication-Info",
    "Service-Route",
    "X-ICE-Server",
    "X-Error",
];

/// What the sender of a request has to find again in the answer.
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
    /// The new Request-URI.
    pub(super) uri: &'a str,
    /// The switch's own Via.
    pub(super) via: &'a str,
    /// The proven identity: a From value without tag.
    pub(super) from: &'a str,
    /// The switch's own Record-Route, where the request makes a dialog.
    pub(super) record_route: Option<&'a str>,
}

/// The request as the receiver gets it.
pub(super) fn forward(request: &Message<'_>, onward: &Onward<'_>) -> String {
    let hops = request.number(Name::MaxForwards).unwrap_or(70).min(255).saturating_sub(1);
    let mut text = Writer::request(request.method().unwrap_or_default(), onward.uri)
        .field("Via", onward.via)
        .field("Max-Forwards", &hops.to_string());
    if let Some(route) = onward.record_route {
        text = text.field("Record-Route", route);
    }
    let tag = request.from().ok().and_then(|from| from.tag());
    text = text.field("From", &tag.map_or_else(|| onward.from.to_owned(), |tag| [onward.from, ";tag=", tag].concat()));
    let ours = [Name::Via, Name::MaxForwards, Name::From, Name::Route, Name::RecordRoute, Name::Path];
    finish(copy(text, request, &ours, &STRIPPED), request)
}

/// The answer as the sender of the request gets it. `code` may differ from the answer's own.
pub(super) fn restore(response: &Message<'_>, head: &Head, code: u16, record_route: Option<&str>) -> String {
    restore_but(response, head, code, record_route, &STRIPPED)
}

/// The refusal of the way out, which says why in our name.
pub(super) fn restore_trusted(response: &Message<'_>, head: &Head) -> String {
    let (_, claims) = STRIPPED.split_last().expect("there are such fields");
    restore_but(response, head, response.code().unwrap_or(500), None, claims)
}

fn restore_but(response: &Message<'_>, head: &Head, code: u16, record_route: Option<&str>, stripped: &[&str]) -> String {
    let phrase = match response.start {
        Start::Response { code: own, reason } if own == code => reason,
        _ => reason(code),
    };
    let mut text = Writer::response(code, phrase);
    for via in &head.vias {
        text = text.field("Via", via);
    }
    if let Some(route) = record_route {
        text = text.field("Record-Route", route);
    }
    let ours = [Name::Via, Name::From, Name::RecordRoute, Name::WwwAuthenticate, Name::ProxyAuthenticate];
    finish(copy(text.field("From", &head.from), response, &ours, stripped), response)
}

/// The CANCEL for a request of ours (RFC 3261, 9.1).
pub(crate) fn cancel(request: &str, reason: Option<&str>) -> Option<String> {
    let request = parse(request.as_bytes()).ok()?;
    let mut text = Writer::request("CANCEL", request.uri()?).field("Max-Forwards", "70");
    for name in [Name::Via, Name::From, Name::To, Name::CallId] {
        text = text.field(name.as_str(), request.get(name)?);
    }
    text = text.field("CSeq", &[&request.cseq().ok()?.number.to_string(), " CANCEL"].concat());
    if let Some(reason) = reason {
        text = text.field("Reason", reason);
    }
    Some(text.end())
}

/// Why a message says that something is over (RFC 3326): the first of many.
pub(crate) fn reasons(message: &Message<'_>) -> Vec<String> {
    message.values(Name::Reason).take(4).map(str::to_owned).collect()
}

fn copy(mut text: Writer, message: &Message<'_>, ours: &[Name], stripped: &[&str]) -> Writer {
    let framing = [Name::ContentLength, Name::ContentType, Name::Authorization, Name::ProxyAuthorization];
    for field in message.fields() {
        let claims = stripped.iter().any(|name| name.eq_ignore_ascii_case(field.raw_name.trim()));
        if !claims && !ours.contains(&field.name) && !framing.contains(&field.name) {
            text = text.field(field.raw_name.trim(), field.value);
        }
    }
    text
}

fn finish(text: Writer, message: &Message<'_>) -> String {
    // A body that is not UTF-8 cannot have come in a text message; what a bad Content-Length cut in two is mended.
    let body = String::from_utf8_lossy(message.body);
    match message.get(Name::ContentType) {
        _ if body.is_empty() => text.end(),
        kind => text.body(kind.unwrap_or("application/octet-stream"), &body),
    }
}
