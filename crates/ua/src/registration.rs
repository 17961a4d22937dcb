//! The registration (RFC 3261, section 10; RFC 5626): one REGISTER at a time, refreshed before it lapses. Without a contact it only shows
//! who we are.
//!
//! ```text
//! Idle ── request ──▶ Asking ── 200 ──▶ Standing ── refresh is due ──▶ Asking
//!                        └── refused, timed out, socket lost ──▶ Idle
//! ```

use offhook_sip::text::number;
use offhook_sip::{Message, Method, Params, Writer};

use std::time::Duration;

use crate::time::Instant;

/// What is registered and what is asked for.
///
/// ```
/// use std::time::Duration;
///
/// use offhook_sip::{parse, reply, StatusCode};
/// use offhook_ua::registration::{Ask, Registration};
/// use offhook_ua::time::Instant;
///
/// let mut registration = Registration::new("c".into(), "1".into());
/// let contact = "<sip:alice@x.invalid>;+sip.instance=\"<urn:uuid:0f1e>\"";
/// let register = registration.request("sip:a.test", "sip:alice@a.test", Ask::Bind(contact, 600)).end();
/// let register = parse(register.as_bytes())?;
///
/// // The registrar grants less time than was asked for.
/// let ok = reply(&register, StatusCode::OK, Some("2")).field("Contact", &format!("{contact};expires=300")).end();
/// let now = Instant::from_millis(0);
/// registration.accepted(now, &parse(ok.as_bytes())?, "0f1e", 600);
/// assert!(registration.is_bound());
/// assert_eq!(registration.refresh_at(), Some(now + Duration::from_secs(240)), "80 % of it");
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
pub struct Registration {
    call_id: String,
    tag: String,
    number: u32,
    state: State,
    /// Whether the last request had a contact to bind.
    bound: bool,
    /// The public GRUU that the registrar gave (RFC 5627).
    gruu: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is registered, nothing is asked.
    Idle,
    /// A REGISTER waits for its answer.
    Asking,
    /// The registrar said yes; refresh at this instant.
    Standing(Instant),
}

/// What the next REGISTER asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Say who we are.
    Nothing,
    /// Bind this Contact for so many seconds.
    Bind(&'a str, u32),
    /// Take this Contact away.
    Unbind(&'a str),
}

impl Registration {
    /// Nothing registered. `call_id` and `tag` stay the same for its whole life (RFC 3261, 10.2).
    #[must_use]
    pub const fn new(call_id: String, tag: String) -> Self {
        Self { call_id, tag, number: 0, state: State::Idle, bound: false, gruu: None }
    }

    /// Begins the next REGISTER, for the address of record `aor` at `registrar`. Via and Max-Forwards are the sender's.
    pub fn request(&mut self, registrar: &str, aor: &str, ask: Ask<'_>) -> Writer {
        self.number += 1;
        self.state = State::Asking;
        let request = Writer::request(Method::Register, registrar)
            .joined("From", &["<", aor, ">;tag=", &self.tag])
            .joined("To", &["<", aor, ">"])
            .field("Call-ID", &self.call_id)
            .cseq(self.number, Method::Register);
        self.bound = matches!(ask, Ask::Bind(..));
        match ask {
            Ask::Nothing => request,
            Ask::Bind(contact, seconds) => request.field("Contact", contact).number("Expires", seconds),
            Ask::Unbind(contact) => request.field("Contact", contact).field("Expires", "0"),
        }
    }

    /// Takes note of the number in CSeq that a repeated REGISTER was given.
    pub const fn sent(&mut self, number: u32) {
        self.number = number;
    }

    /// Takes a 200 in. `instance` tells our own contact from those of other devices; `asked` is the time to live that we asked for, s.
    pub fn accepted(&mut self, now: Instant, answer: &Message<'_>, instance: &str, asked: u32) {
        let mut own = Params::default();
        for contact in answer.contacts() {
            if let Some(contact) = contact.ok().filter(|contact| is_instance(contact.params, instance)) {
                own = contact.params;
            }
        }
        let granted = own.get("expires").and_then(number).unwrap_or(asked).max(2);
        self.gruu = own.get("pub-gruu").map(str::to_owned);
        // Early enough for a lost answer and a slow timer, as RFC 5626, 4.4.1 does it: 50 to 90 % of what was granted; here 80 %.
        self.state = State::Standing(now + Duration::from_secs(granted.into()) * 4 / 5);
    }

    /// The registrar refused, or the way to it is lost.
    pub fn lost(&mut self) {
        self.state = State::Idle;
        self.gruu = None;
    }

    /// Whether the registrar said yes and nothing came between.
    #[must_use]
    pub const fn stands(&self) -> bool {
        matches!(self.state, State::Standing(_))
    }

    /// Whether a contact of ours is bound.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.stands() && self.bound
    }

    /// When the next refresh is due.
    #[must_use]
    pub const fn refresh_at(&self) -> Option<Instant> {
        match self.state {
            State::Standing(at) if self.bound => Some(at),
            _ => None,
        }
    }

    /// The public GRUU, if the registrar gave one.
    #[must_use]
    pub fn gruu(&self) -> Option<&str> {
        self.gruu.as_deref()
    }
}

fn is_instance(contact: Params<'_>, instance: &str) -> bool {
    let Some(value) = contact.get("+sip.instance") else { return false };
    let value = value.strip_suffix("\"").unwrap_or(value);
    value.strip_suffix(">").unwrap_or(value).ends_with(instance)
}
