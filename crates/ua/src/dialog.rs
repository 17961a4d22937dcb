//! Dialogs (RFC 3261, section 12): two parties that know each other by Call-ID and tags, each with its own CSeq numbers, the remote target and
//! the route set to it.
//!
//! ```text
//! 101..199 with a To tag ──▶ early ── 2xx ──▶ confirmed ── BYE, 481, 408 ──▶ gone (its owner drops it)
//! ```

use offhook_sip::{Message, Method, Name, NameAddr, StatusCode, Writer};

/// One dialog, seen from one end.
///
/// ```
/// use offhook_sip::{Method, StatusCode, parse, reply};
/// use offhook_ua::dialog::Dialog;
///
/// let invite = parse(
///     b"INVITE sip:bob@b.test SIP/2.0\r\nVia: SIP/2.0/UDP a.test;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
///       From: <sip:alice@a.test>;tag=1\r\nTo: <sip:bob@b.test>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
///       Contact: <sip:alice@192.0.2.1>\r\nContent-Length: 0\r\n\r\n",
/// )?;
/// let ok = reply(&invite, StatusCode::OK, Some("2")).field("Contact", "<sip:bob@192.0.2.2>").end();
/// let mut alice = Dialog::of_caller(&parse(ok.as_bytes())?).expect("the 200 has a To tag");
/// let mut bob = Dialog::of_callee(&invite, "2").expect("the INVITE has a Contact");
///
/// assert!(alice.acknowledge(7).end().starts_with("ACK sip:bob@192.0.2.2 SIP/2.0\r\n"));
/// assert!(alice.request(Method::Bye).end().contains("CSeq: 8 BYE\r\n"));
///
/// let bye = bob.request(Method::Bye).end();
/// assert!(bye.starts_with("BYE sip:alice@192.0.2.1 SIP/2.0\r\n"), "to the Contact of the INVITE");
/// assert!(alice.receives(&parse(bye.as_bytes())?) && alice.in_order(1));
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: String,
    /// The tag of this end.
    pub local_tag: String,
    /// The tag of the remote party.
    pub remote_tag: String,
    /// Whether a 2xx made it final.
    pub confirmed: bool,
    /// From of our requests: name-addr with tag.
    local: String,
    /// To of our requests: name-addr with tag.
    remote: String,
    /// The remote target, which is the Request-URI of our requests: the URI in the Contact of the remote party, and its URI in To or From as
    /// long as it has sent none.
    target: String,
    /// Route of our requests, in order.
    routes: Vec<String>,
    /// The CSeq number of our last request.
    local_number: u32,
    /// The CSeq number of the last request of the remote party.
    remote_number: Option<u32>,
}

impl Dialog {
    /// Returns the dialog that a response with a To tag creates at the UAC (RFC 3261, 12.1.2).
    #[must_use]
    pub fn of_caller(answer: &Message<'_>) -> Option<Self> {
        let (local_tag, remote_tag) = (answer.from_tag()?, answer.to_tag()?);
        Self::of(answer, [Name::From, Name::To], [local_tag, remote_tag])
    }

    /// Returns the dialog that an INVITE creates at the UAS, whose tag is `local_tag` (RFC 3261, 12.1.1).
    #[must_use]
    pub fn of_callee(invite: &Message<'_>, local_tag: &str) -> Option<Self> {
        let remote_tag = invite.from_tag().unwrap_or_default();
        target(invite)?;
        let mut dialog = Self::of(invite, [Name::To, Name::From], [local_tag, remote_tag])?;
        dialog.local = format!("{};tag={local_tag}", dialog.local);
        Some(dialog)
    }

    /// The fields of `message` that name the local and the remote party, with their tags.
    fn of(message: &Message<'_>, [local, remote]: [Name; 2], [local_tag, remote_tag]: [&str; 2]) -> Option<Self> {
        let (call_id, number) = (message.call_id().ok()?, message.number(Name::CSeq)?);
        let (local, remote) = (message.get(local)?, message.get(remote)?);
        let callee = message.is_request();
        Some(Self {
            call_id: call_id.to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: remote_tag.to_owned(),
            confirmed: false,
            local: local.to_owned(),
            remote: remote.to_owned(),
            // A response must have a Contact (12.1.1). Without one, all that is known of the remote party is its URI in To.
            target: target(message).unwrap_or(NameAddr::parse(remote).ok()?.uri_text).to_owned(),
            routes: routes(message, !callee),
            local_number: if callee { 0 } else { number },
            remote_number: callee.then_some(number),
        })
    }

    /// Whether a request of the remote party belongs to this dialog.
    #[must_use]
    pub fn receives(&self, request: &Message<'_>) -> bool {
        request.call_id().is_ok_and(|id| id == self.call_id)
            && request.to_tag().unwrap_or_default() == self.local_tag
            && request.from_tag().unwrap_or_default() == self.remote_tag
    }

    /// Whether this request, which names no dialog, has created this one at its UAS.
    #[must_use]
    pub fn is_made_by(&self, request: &Message<'_>) -> bool {
        request.call_id().is_ok_and(|id| id == self.call_id) && request.from_tag() == Some(&self.remote_tag)
    }

    /// Begins the next request: start line, Route, From, To, Call-ID, CSeq. Via, Max-Forwards and the rest are the sender's.
    pub fn request(&mut self, method: Method<'_>) -> Writer {
        self.local_number += 1;
        self.write(method, self.local_number)
    }

    /// Begins the ACK to the 2xx to our INVITE with this CSeq number (RFC 3261, 13.2.2.4).
    #[must_use]
    pub fn acknowledge(&self, number: u32) -> Writer {
        self.write(Method::Ack, number)
    }

    /// The Request-URI of our requests.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The CSeq number of our last request.
    #[must_use]
    pub const fn last_number(&self) -> u32 {
        self.local_number
    }

    /// Takes note of the CSeq number of a request of ours that was sent again after a challenge (RFC 3261, 22.2).
    pub const fn sent(&mut self, number: u32) {
        if number > self.local_number {
            self.local_number = number;
        }
    }

    /// Whether a request of the remote party comes in order; takes note of its number (RFC 3261, 12.2.2).
    pub const fn in_order(&mut self, number: u32) -> bool {
        let in_order = match self.remote_number {
            Some(last) => number > last,
            None => true,
        };
        if in_order {
            self.remote_number = Some(number);
        }
        in_order
    }

    /// Takes the remote target of a 2xx or a target refresh request (INVITE, UPDATE); the first 2xx also fixes the route set.
    pub fn refresh(&mut self, message: &Message<'_>) {
        if let Some(target) = target(message) {
            self.target = target.to_owned();
        }
        if message.code().is_some_and(StatusCode::is_success) && !self.confirmed {
            self.confirmed = true;
            let routes = routes(message, true);
            if !routes.is_empty() {
                self.routes = routes;
            }
        }
    }

    /// Takes target and route set of the same dialog as created by its INVITE in another transaction.
    pub fn reroute(&mut self, resent: Self) {
        self.target = resent.target;
        self.routes = resent.routes;
    }

    fn write(&self, method: Method<'_>, number: u32) -> Writer {
        let mut request = Writer::request(method, &self.target);
        for route in &self.routes {
            request = request.field("Route", route);
        }
        request.field("From", &self.local).field("To", &self.remote).field("Call-ID", &self.call_id).cseq(number, method)
    }
}

/// Whether a response to an in-dialog request says that the remote party, or a proxy on the way, knows the dialog, or the way to it, no more
/// (RFC 3261, 12.2.1.2; RFC 5057, 5.1; RFC 5626, 5.3). Of the other statuses of RFC 5057 some blame the request alone, and others, as 408 and
/// 480, may mean a party that comes back: what they end is for the caller to say.
#[must_use]
pub const fn ends(code: StatusCode) -> bool {
    matches!(
        code,
        StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::FLOW_FAILED
            | StatusCode::CALL_DOES_NOT_EXIST
            | StatusCode::DOES_NOT_EXIST_ANYWHERE
    )
}

/// Returns the route set in the order of Record-Route, or in reverse (`back`).
fn routes(message: &Message<'_>, back: bool) -> Vec<String> {
    let mut routes = Vec::new();
    for route in message.all(Name::RecordRoute) {
        routes.push(route.to_owned());
    }
    if back {
        routes.reverse();
    }
    routes
}

/// Returns the URI in Contact, if it is one that requests can be sent to.
fn target<'a>(message: &Message<'a>) -> Option<&'a str> {
    message.contacts().filter_map(Result::ok).find(|contact| contact.uri.is_sip()).map(|contact| contact.uri_text)
}
