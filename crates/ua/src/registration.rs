//! The registration (RFC 3261, section 10; RFC 5626): one REGISTER at a time, refreshed before it expires. Without a Contact it only
//! authenticates the user.
//!
//! ```text
//! Idle ── request ──▶ Registering ── 200 ──▶ Registered ── refresh is due ──▶ Registering
//!                        └── rejected, timed out, connection lost ──▶ Idle
//! ```

use offhook_sip::text::number;
use offhook_sip::{Message, Method, Params, Writer};

use std::time::Duration;

use crate::time::Instant;

/// One registration.
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
    /// Whether the last request had a Contact to bind.
    bound: bool,
    /// The public GRUU that the registrar gave (RFC 5627).
    gruu: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not registered.
    Idle,
    /// A REGISTER waits for its final response.
    Registering,
    /// The registrar has sent 200; refresh at this instant.
    Registered(Instant),
}

/// The request of the next REGISTER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    /// Authenticate only.
    Nothing,
    /// Bind this Contact for so many seconds.
    Bind(&'a str, u32),
    /// Remove this Contact.
    Unbind(&'a str),
}

impl Registration {
    /// Returns one that is not registered. `call_id` and `tag` stay the same for its whole life (RFC 3261, 10.2).
    #[must_use]
    pub const fn new(call_id: String, tag: String) -> Self {
        Self { call_id, tag, number: 0, state: State::Idle, bound: false, gruu: None }
    }

    /// Begins the next REGISTER, for the address of record `aor` at `registrar`. Via and Max-Forwards are the sender's.
    pub fn request(&mut self, registrar: &str, aor: &str, ask: Ask<'_>) -> Writer {
        self.number += 1;
        self.state = State::Registering;
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

    /// Takes note of the CSeq number of a REGISTER that was sent again after a challenge.
    pub const fn sent(&mut self, number: u32) {
        self.number = number;
    }

    /// Takes a 200. `instance` tells our own Contact from those of other devices; `asked` is the expiration interval that we asked for, s.
    pub fn accepted(&mut self, now: Instant, answer: &Message<'_>, instance: &str, asked: u32) {
        let mut own = Params::default();
        for contact in answer.contacts() {
            if let Some(contact) = contact.ok().filter(|contact| is_instance(contact.params, instance)) {
                own = contact.params;
            }
        }
        let granted = own.get("expires").and_then(number).unwrap_or(asked).max(2);
        self.gruu = own.get("pub-gruu").map(str::to_owned);
        // Early enough for a lost response and a slow timer (RFC 5626, 4.4.1: 50 to 90 % of what was granted): 80 %.
        self.state = State::Registered(now + Duration::from_secs(granted.into()) * 4 / 5);
    }

    /// The registrar has rejected a REGISTER, or the connection is lost.
    pub fn lost(&mut self) {
        self.state = State::Idle;
        self.gruu = None;
    }

    /// Whether it is registered.
    #[must_use]
    pub const fn stands(&self) -> bool {
        matches!(self.state, State::Registered(_))
    }

    /// Whether a Contact of ours is bound.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        self.stands() && self.bound
    }

    /// When the next refresh is due.
    #[must_use]
    pub const fn refresh_at(&self) -> Option<Instant> {
        match self.state {
            State::Registered(at) if self.bound => Some(at),
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
