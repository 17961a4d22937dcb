//! The keys of transactions (RFC 3261, 17.1.3 and 17.2.3).

use std::sync::Arc;

use offhook_sip::{Branch, Message, Method, Name};

/// The key of a client transaction: the branch of our Via and the method in CSeq (RFC 3261, 17.1.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientKey {
    branch: Branch,
    method: OwnedMethod,
}

impl ClientKey {
    /// Returns the key with the branch of the topmost Via and the method in CSeq.
    #[must_use]
    pub fn new(branch: Branch, method: Method<'_>) -> Self {
        Self { branch, method: method.into() }
    }

    /// Returns the key of `message`, a request of ours or a response to one. `None` where the topmost Via has no branch, or it
    /// or CSeq cannot be read.
    #[must_use]
    pub fn of(message: &Message<'_>) -> Option<Self> {
        Some(Self::new(message.via().ok()?.branch()?.into(), message.cseq().ok()?.method))
    }

    /// The branch of the topmost Via.
    #[must_use]
    pub const fn branch(&self) -> &Branch {
        &self.branch
    }

    /// The method in CSeq.
    #[must_use]
    pub fn method(&self) -> Method<'_> {
        self.method.get()
    }
}

/// The key of a server transaction: the branch of the topmost Via, the host and port that it was sent by, and the method (RFC 3261, 17.2.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerKey {
    id: Id,
    host: Arc<str>,
    port: Option<u16>,
    method: OwnedMethod,
}

/// The id of a request of one sender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    /// A branch that begins with the magic cookie is unique.
    Branch(Branch),
    /// What stands for it in a request of RFC 2543: Call-ID and the number in CSeq.
    Rfc2543(Arc<str>, u32),
}

impl ServerKey {
    /// Returns the key of the transaction that `request` begins, is a retransmission in, or acknowledges the failure of. `None` for a response, and where one of
    /// the fields that it takes cannot be read.
    #[must_use]
    pub fn of(request: &Message<'_>) -> Option<Self> {
        let via = request.via().ok()?;
        let method = match request.method()? {
            Method::Ack => Method::Invite,
            method => method,
        };
        let id = match via.branch().filter(|branch| branch.starts_with(Branch::COOKIE)) {
            Some(branch) => Id::Branch(branch.into()),
            None => Id::Rfc2543(request.get(Name::CallId)?.into(), request.number(Name::CSeq)?),
        };
        Some(Self { id, host: via.host.into(), port: via.port, method: method.into() })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method<'_> {
        self.method.get()
    }

    /// Returns the key of the INVITE that a CANCEL with this key cancels (RFC 3261, 9.2).
    #[must_use]
    pub fn invite(&self) -> Self {
        Self { method: Method::Invite.into(), ..self.clone() }
    }
}

/// A method that outlives its message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OwnedMethod {
    Registered(Method<'static>),
    Extension(Arc<str>),
}

impl OwnedMethod {
    fn get(&self) -> Method<'_> {
        match self {
            Self::Registered(method) => *method,
            Self::Extension(name) => Method::Other(name),
        }
    }
}

impl From<Method<'_>> for OwnedMethod {
    fn from(method: Method<'_>) -> Self {
        method.registered().map_or_else(|| Self::Extension(method.as_str().into()), Self::Registered)
    }
}

#[cfg(test)]
mod tests {
    use offhook_sip::{Method, parse};

    use super::{ClientKey, ServerKey};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn key(start: &str, via: &str, cseq: &str) -> Option<ServerKey> {
        let text = format!("{start}\r\nVia: {via}\r\nCall-ID: c\r\nCSeq: {cseq}\r\n\r\n");
        ServerKey::of(&parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn branch_sender_and_method_name_a_server_transaction() {
        let invite = key("INVITE sip:b SIP/2.0", "SIP/2.0/UDP a:5060;branch=z9hG4bK1", "1 INVITE").unwrap();
        let same = |start, via| key(start, via, "1 INVITE").as_ref() == Some(&invite);
        assert!(same("INVITE sip:c SIP/2.0", "SIP/2.0/TCP a:5060;branch=z9hG4bK1"));
        assert!(same("ACK sip:b SIP/2.0", "SIP/2.0/UDP a:5060;branch=z9hG4bK1"));
        assert!(!same("INVITE sip:b SIP/2.0", "SIP/2.0/UDP a:5060;branch=z9hG4bK2"));
        assert!(!same("INVITE sip:b SIP/2.0", "SIP/2.0/UDP a;branch=z9hG4bK1"));
        assert!(!same("INVITE sip:b SIP/2.0", "SIP/2.0/UDP c:5060;branch=z9hG4bK1"));
        assert!(!same("CANCEL sip:b SIP/2.0", "SIP/2.0/UDP a:5060;branch=z9hG4bK1"));
        let cancel = key("CANCEL sip:b SIP/2.0", "SIP/2.0/UDP a:5060;branch=z9hG4bK1", "1 CANCEL").unwrap();
        assert_eq!((cancel.method(), cancel.invite()), (Method::Cancel, invite));
    }

    #[test]
    fn extension_methods_with_the_same_branch_are_different_transactions() {
        let of = |method: &str| key(&format!("{method} sip:b SIP/2.0"), "SIP/2.0/UDP a;branch=z9hG4bK1", "1 X").unwrap();
        assert_eq!((of("X"), of("X").method()), (of("X"), Method::Other("X")));
        assert_ne!(of("X"), of("Y"));
        let client = |method| ClientKey::new("z9hG4bK1".into(), method);
        assert_ne!(client(Method::Other("X")), client(Method::Other("Y")));
        assert_eq!(client(Method::Other("X")).method(), Method::Other("X"));
    }

    #[test]
    fn call_id_and_number_stand_for_a_branch_without_the_cookie() {
        let old = |via, cseq| key("INVITE sip:b SIP/2.0", via, cseq).unwrap();
        assert_eq!(old("SIP/2.0/UDP a", "1 INVITE"), old("SIP/2.0/UDP a;branch=7", "1 INVITE"));
        assert_ne!(old("SIP/2.0/UDP a", "1 INVITE"), old("SIP/2.0/UDP a", "2 INVITE"));
        let cancel = key("CANCEL sip:b SIP/2.0", "SIP/2.0/UDP a", "1 CANCEL").unwrap();
        assert_eq!(cancel.invite(), old("SIP/2.0/UDP a", "1 INVITE"));
    }
}
