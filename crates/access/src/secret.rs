//! The secret of an application, and the keys derived from it: one for each use, so that the holder of one key can do nothing else.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// User tickets.
    Ticket,
    /// Registration tokens (JWT).
    Jwt,
    /// Requests to the REST API; the key is also the password there.
    Rest,
}

impl Use {
    /// All uses.
    pub const ALL: [Self; 3] = [Self::Ticket, Self::Jwt, Self::Rest];

    /// Returns the name that operators see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Jwt => "jwt",
            Self::Rest => "rest",
        }
    }
}

/// The secret of an application; never written to a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    root: Vec<u8>,
    shared: bool,
    /// In the order of [`Use::ALL`].
    keys: [[u8; 32]; 3],
}

impl Secret {
    /// Returns a secret whose derived keys sign, and which itself signs nothing.
    #[must_use]
    pub fn separate(root: Vec<u8>) -> Self {
        let keys = Use::ALL.map(|what| derive(&root, &format!("offhook {} 1", what.as_str())));
        Self { root, shared: false, keys }
    }

    /// Returns a secret that signs everything itself, like the single secret of Sinch applications; the derived keys are valid, too.
    #[must_use]
    pub fn shared(root: Vec<u8>) -> Self {
        Self { shared: true, ..Self::separate(root) }
    }

    /// Whether the secret signs everything itself.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    /// Returns the octets of the secret.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.root
    }

    /// Returns the key for one use.
    #[must_use]
    pub const fn key(&self, what: Use) -> &[u8] {
        &self.keys[what as usize]
    }

    /// Calls `check` with each key that is valid for a use, until the result is not `wrong` (which means that another key was used), and
    /// returns that result.
    pub fn check<T, E: PartialEq>(&self, what: Use, wrong: E, mut check: impl FnMut(&[u8]) -> Result<T, E>) -> Result<T, E> {
        match check(self.key(what)) {
            Err(error) if error == wrong && self.shared => check(&self.root),
            result => result,
        }
    }

    /// Returns a key for what the gateway signs for itself.
    #[must_use]
    pub fn own(&self, label: &str) -> [u8; 32] {
        derive(&self.root, label)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Derives a key. The secret is random and the labels differ, so a key reveals nothing of the secret or of other keys (RFC 5869, 2.3 and 3.3).
fn derive(root: &[u8], label: &str) -> [u8; 32] {
    let mut hash = Hmac::<Sha256>::new_from_slice(root).expect("HMAC takes a key of any length");
    hash.update(label.as_bytes());
    hash.finalize().into_bytes().into()
}
