//! Digest authentication: challenges, credentials that answer them, and the verification of credentials (RFC 7616, RFC 8760).
//!
//! ```
//! use offhook_sip::{Algorithm, Challenge, Credentials, Method, ha1};
//!
//! // A server challenges a REGISTER,
//! let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v".to_owned();
//! let challenge = Challenge {
//!     realm: "example.com".into(),
//!     nonce: nonce.clone(),
//!     opaque: None,
//!     algorithm: Algorithm::Sha256,
//!     qop_auth: true,
//!     stale: false,
//! };
//! let www_authenticate = challenge.to_value();
//!
//! // a client answers,
//! let challenge = Challenge::parse(&www_authenticate)?;
//! let secret = ha1(challenge.algorithm, "alice", &challenge.realm, "wonderland");
//! let authorization = challenge.answer("alice", &secret, Method::Register, "sip:example.com", "f2/wE4q74E6z", 1);
//!
//! // and the server, which stores that hash and not the password, verifies.
//! let credentials = Credentials::parse(&authorization)?;
//! assert_eq!((&*credentials.username, &*credentials.nonce, credentials.count()), ("alice", &*nonce, 1));
//! assert!(credentials.matches(&secret, Method::Register));
//! assert!(!credentials.matches(&ha1(Algorithm::Sha256, "alice", "example.com", "guess"), Method::Register));
//! # Ok::<(), offhook_sip::ParseError>(())
//! ```

use std::borrow::Cow;

use ctutils::CtEq as _;

use super::header::{SPACE, pairs, split_before, unquote};
use super::message::ParseError;
use super::method::Method;
use super::write::quote;
use crate::hash::{md5, sha256};
use crate::text::hex;

/// The hash algorithm of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5, for servers that support nothing better.
    Md5,
    /// MD5 with a key for each session (RFC 7616, 3.4.2).
    Md5Sess,
    /// SHA-256, the one to offer first.
    Sha256,
    /// SHA-256 with a key for each session.
    Sha256Sess,
    /// SHA-512/256; not in pages, where it would cost code size.
    #[cfg(not(target_arch = "wasm32"))]
    Sha512256,
}

impl Algorithm {
    /// Returns the name as it is written in `algorithm`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            #[cfg(not(target_arch = "wasm32"))]
            Self::Sha512256 => "SHA-512-256",
        }
    }

    /// Returns the algorithm of this name, in any case; MD5 for an empty one (RFC 7616, 3.3).
    fn parse(text: &str) -> Option<Self> {
        const ALL: &[Algorithm] = &[
            Algorithm::Md5,
            Algorithm::Md5Sess,
            Algorithm::Sha256,
            Algorithm::Sha256Sess,
            #[cfg(not(target_arch = "wasm32"))]
            Algorithm::Sha512256,
        ];
        if text.is_empty() {
            return Some(Self::Md5);
        }
        ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(text)).copied()
    }

    const fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess)
    }

    /// Returns the hash of the parts joined by colons, in lower-case hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        let mut text = String::new();
        for part in parts {
            text.push_str(part);
            text.push(':');
        }
        text.pop();
        match self {
            Self::Md5 | Self::Md5Sess => hex(&md5(text.as_bytes())),
            Self::Sha256 | Self::Sha256Sess => hex(&sha256(text.as_bytes())),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Sha512256 => hex(&<sha2::Sha512_256 as sha2::Digest>::digest(text.as_bytes())),
        }
    }
}

/// A challenge: the value of WWW-Authenticate or Proxy-Authenticate. The [module](self) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The protection domain: the accounts that may be used.
    pub realm: String,
    /// The server's nonce, which the answer is bound to.
    pub nonce: String,
    /// Data of the server, to be returned unchanged.
    pub opaque: Option<String>,
    /// MD5 where the server named none.
    pub algorithm: Algorithm,
    /// Whether qop="auth" is offered; without it the answer is that of RFC 2069.
    pub qop_auth: bool,
    /// Whether only the nonce was rejected, because it is too old: the password is right.
    pub stale: bool,
}

impl Challenge {
    /// Parses the value of WWW-Authenticate or Proxy-Authenticate.
    ///
    /// # Errors
    ///
    /// [`ParseError::Authentication`]: another scheme, an unknown algorithm, only qops other than auth, no realm or nonce.
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        Self::read(&Pairs::of(value)?).ok_or(ParseError::Authentication)
    }

    fn read(params: &Pairs<'_>) -> Option<Self> {
        let qop = params.owned("qop").unwrap_or_default();
        let qop_auth = pairs(Some(&qop), b',').any(|(qop, _)| qop.eq_ignore_ascii_case("auth"));
        let algorithm = params.owned("algorithm").unwrap_or_default();
        Some(Self {
            realm: params.owned("realm")?,
            nonce: params.owned("nonce")?,
            opaque: params.owned("opaque"),
            algorithm: Algorithm::parse(&algorithm).filter(|_| qop_auth || qop.is_empty())?,
            qop_auth,
            stale: params.owned("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// Returns the value for WWW-Authenticate or Proxy-Authenticate.
    #[must_use]
    pub fn to_value(&self) -> String {
        let mut value = String::from("Digest realm=");
        value.push_str(&quote(&self.realm));
        push_quoted(&mut value, "nonce", &self.nonce);
        if let Some(opaque) = &self.opaque {
            push_quoted(&mut value, "opaque", opaque);
        }
        push(&mut value, "algorithm", self.algorithm.as_str());
        if self.qop_auth {
            push(&mut value, "qop", "\"auth\"");
        }
        if self.stale {
            push(&mut value, "stale", "true");
        }
        value
    }

    /// Returns the value for Authorization or Proxy-Authorization.
    ///
    /// `ha1` comes from the function [`ha1`]; `uri` is the Request-URI as sent; `cnonce` is new and unpredictable; `nc` counts the
    /// answers to this nonce, from 1.
    #[must_use]
    pub fn answer(&self, user: &str, ha1: &str, method: Method<'_>, uri: &str, cnonce: &str, nc: u32) -> String {
        let (nonce, algorithm) = (&self.nonce, self.algorithm);
        let qop = if self.qop_auth { "auth" } else { "" };
        let cnonce = if self.qop_auth || algorithm.is_session() { cnonce } else { "" };
        let nc = hex(&nc.to_be_bytes());
        let proof = Proof { nonce, nc: &nc, cnonce, qop, ha2: &algorithm.hash(&[method.as_str(), uri]) };
        let mut value = format!("Digest username={}", quote(user));
        push_quoted(&mut value, "realm", &self.realm);
        push_quoted(&mut value, "nonce", nonce);
        push_quoted(&mut value, "uri", uri);
        push_quoted(&mut value, "response", &proof.response(algorithm, ha1));
        push(&mut value, "algorithm", algorithm.as_str());
        if !cnonce.is_empty() {
            push_quoted(&mut value, "cnonce", cnonce);
        }
        if self.qop_auth {
            push(&mut value, "qop", qop);
            push(&mut value, "nc", &nc);
        }
        if let Some(opaque) = &self.opaque {
            push_quoted(&mut value, "opaque", opaque);
        }
        value
    }
}

/// The values that a response is computed from, with the names of RFC 7616; absent values are `""`.
struct Proof<'a> {
    nonce: &'a str,
    nc: &'a str,
    cnonce: &'a str,
    qop: &'a str,
    ha2: &'a str,
}

impl Proof<'_> {
    /// Returns the response (RFC 7616, 3.4.1 and 3.4.2).
    fn response(&self, algorithm: Algorithm, ha1: &str) -> String {
        let session = algorithm.is_session().then(|| algorithm.hash(&[ha1, self.nonce, self.cnonce]));
        let ha1 = session.as_deref().unwrap_or(ha1);
        if self.qop.is_empty() {
            algorithm.hash(&[ha1, self.nonce, self.ha2])
        } else {
            algorithm.hash(&[ha1, self.nonce, self.nc, self.cnonce, self.qop, self.ha2])
        }
    }
}

/// Returns the strongest of several challenges: SHA-256 before MD5, the first of equals (RFC 8760, 2.4). Unknown schemes and
/// algorithms are skipped.
pub fn strongest<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut strongest: Option<Challenge> = None;
    for value in values {
        let Ok(challenge) = Challenge::parse(value) else { continue };
        if strongest.as_ref().is_none_or(|best| best.algorithm < challenge.algorithm) {
            strongest = Some(challenge);
        }
    }
    strongest
}

/// Returns the hash that a server stores in place of a password and a client answers with: H(user:realm:password).
#[must_use]
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[user, realm, password])
}

/// The credentials that answer a challenge: the value of Authorization or Proxy-Authorization. Absent values are `""`. The
/// [module](self) has an example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The user name.
    pub username: Cow<'a, str>,
    /// As in the challenge.
    pub realm: Cow<'a, str>,
    /// As in the challenge. The server has to check that it made this nonce, and that it is still fresh.
    pub nonce: Cow<'a, str>,
    /// The Request-URI as the client knew it; a strict server compares it with that of the request.
    pub uri: Cow<'a, str>,
    /// The digest, in hexadecimal digits.
    pub response: Cow<'a, str>,
    /// MD5 where the client named none.
    pub algorithm: Algorithm,
    /// The client's nonce.
    pub cnonce: Cow<'a, str>,
    /// Eight hexadecimal digits: see [`Credentials::count`].
    pub nc: Cow<'a, str>,
    /// `auth`, `auth-int` or `""`.
    pub qop: Cow<'a, str>,
    /// As in the challenge.
    pub opaque: Option<Cow<'a, str>>,
}

impl<'a> Credentials<'a> {
    /// Parses the value of Authorization or Proxy-Authorization.
    ///
    /// # Errors
    ///
    /// [`ParseError::Authentication`]: another scheme, an unknown algorithm or qop, or no username, realm, nonce, uri or
    /// response.
    pub fn parse(value: &'a str) -> Result<Self, ParseError> {
        let params = Pairs::of(value)?;
        let qop = params.get("qop");
        if !matches!(&*qop, "" | "auth" | "auth-int") {
            return Err(ParseError::Authentication);
        }
        Ok(Self {
            username: params.required("username")?,
            realm: params.required("realm")?,
            nonce: params.required("nonce")?,
            uri: params.required("uri")?,
            response: params.required("response")?,
            algorithm: Algorithm::parse(&params.get("algorithm")).ok_or(ParseError::Authentication)?,
            cnonce: params.get("cnonce"),
            nc: params.get("nc"),
            qop,
            opaque: params.find("opaque"),
        })
    }

    /// Returns how often the client has used this nonce, this time included; 0 where it does not count.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::from_str_radix(&self.nc, 16).unwrap_or(0)
    }

    /// Whether the client knows `ha1` (from the function [`ha1`], with the algorithm of these credentials). The comparison takes
    /// constant time. Always false with qop=auth-int, which protects the body, too: see [`Credentials::matches_body`].
    #[must_use]
    pub fn matches(&self, ha1: &str, method: Method<'_>) -> bool {
        self.qop != "auth-int" && self.matches_body(ha1, method, "")
    }

    /// Like [`Credentials::matches`], for a request with this body, which qop=auth-int protects, too.
    #[must_use]
    pub fn matches_body(&self, ha1: &str, method: Method<'_>, body: &str) -> bool {
        let expected = self.expected(ha1, method, body);
        expected.as_bytes().ct_eq(self.response.as_bytes()).to_bool()
    }

    /// Returns the expected response; with qop=auth-int it covers the body (RFC 7616, 3.4.3).
    fn expected(&self, ha1: &str, method: Method<'_>, body: &str) -> String {
        let algorithm = self.algorithm;
        let ha2 = match &*self.qop {
            "auth-int" => algorithm.hash(&[method.as_str(), &self.uri, &algorithm.hash(&[body])]),
            _ => algorithm.hash(&[method.as_str(), &self.uri]),
        };
        let proof = Proof { nonce: &self.nonce, nc: &self.nc, cnonce: &self.cnonce, qop: &self.qop, ha2: &ha2 };
        proof.response(algorithm, ha1)
    }
}

fn push_quoted(value: &mut String, name: &str, text: &str) {
    push(value, name, &quote(text));
}

fn push(value: &mut String, name: &str, text: &str) {
    value.push_str(", ");
    value.push_str(name);
    value.push('=');
    value.push_str(text);
}

/// The parameters of the scheme `Digest`.
struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    fn of(value: &'a str) -> Result<Self, ParseError> {
        let (scheme, params) = split_before(value, SPACE);
        if scheme.eq_ignore_ascii_case("Digest") { Ok(Self(params)) } else { Err(ParseError::Authentication) }
    }

    /// Returns the value of the first parameter of this name, unquoted. A value with CR, LF or NUL counts as absent: it could not be written
    /// as it was read, so its hash would be that of another text.
    fn find(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = pairs(Some(self.0), b',');
        let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(unquote(value.unwrap_or(""))).filter(|value| !value.bytes().any(|octet| matches!(octet, 0 | b'\r' | b'\n')))
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.find(name).map(Cow::into_owned)
    }

    fn get(&self, name: &str) -> Cow<'a, str> {
        self.find(name).unwrap_or(Cow::Borrowed(""))
    }

    fn required(&self, name: &str) -> Result<Cow<'a, str>, ParseError> {
        self.find(name).ok_or(ParseError::Authentication)
    }
}
