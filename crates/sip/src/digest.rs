//! Digest authentication: challenges, answers to them, and the check of an answer (RFC 7616, RFC 8760).

use std::borrow::Cow;

use ctutils::CtEq as _;

use super::header::{SPACE, pairs, split_before, unquote};
use super::message::ParseError;
use super::method::Method;
use super::write::quote;
use crate::hash::{md5, sha256};
use crate::text::hex;

/// How the digest is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// For servers that have nothing better.
    Md5,
    /// MD5 with a key for each session.
    Md5Sess,
    /// The one to offer first.
    Sha256,
    /// SHA-256 with a key for each session.
    Sha256Sess,
    /// Only where nobody pays for the size of the code.
    #[cfg(not(target_arch = "wasm32"))]
    Sha512256,
}

impl Algorithm {
    /// As it is written.
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

    /// The algorithm of that name, in any case; MD5 where none is named (RFC 7616, 3.3).
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

    /// The parts, joined by colons, hashed, in lower-case hexadecimal digits.
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

/// What a server asks for in WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose accounts these are.
    pub realm: String,
    /// What the answer is bound to.
    pub nonce: String,
    /// To be given back as it is.
    pub opaque: Option<String>,
    /// MD5 where the server named none.
    pub algorithm: Algorithm,
    /// Whether qop="auth" is offered; without it the answer is that of RFC 2069.
    pub qop_auth: bool,
    /// The nonce was too old, the password was right.
    pub stale: bool,
}

impl Challenge {
    /// Reads the value of WWW-Authenticate or Proxy-Authenticate.
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

    /// The value for WWW-Authenticate or Proxy-Authenticate.
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

    /// The value for Authorization or Proxy-Authorization.
    ///
    /// `ha1` is that of [`ha1`]; `uri` is the Request-URI as sent; `cnonce` is fresh and unpredictable; `nc` counts the answers
    /// to this nonce, from 1.
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

/// What a response proves that it was made for, with the names of RFC 7616; absent values are `""`.
struct Proof<'a> {
    nonce: &'a str,
    nc: &'a str,
    cnonce: &'a str,
    qop: &'a str,
    ha2: &'a str,
}

impl Proof<'_> {
    /// The response (RFC 7616, 3.4.1 and 3.4.2).
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

/// The best of several challenges: SHA-256 before MD5, the first of equals (RFC 8760, 2.4). Schemes and algorithms not known
/// here are passed over.
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

/// The secret that a server keeps in place of a password and a client answers with: H(user:realm:password).
#[must_use]
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[user, realm, password])
}

/// What a client answers in Authorization or Proxy-Authorization. Absent values are `""`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// Whose password it is.
    pub username: Cow<'a, str>,
    /// As in the challenge.
    pub realm: Cow<'a, str>,
    /// As in the challenge; whether it is one of ours, and fresh, is for the server to know.
    pub nonce: Cow<'a, str>,
    /// To be compared with the Request-URI by those who are strict.
    pub uri: Cow<'a, str>,
    /// The proof, in hexadecimal digits.
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
    /// Reads the value of Authorization or Proxy-Authorization.
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

    /// How often the client has used this nonce, this time included; 0 where it does not count.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::from_str_radix(&self.nc, 16).unwrap_or(0)
    }

    /// Whether whoever wrote this knows `ha1` (that of [`ha1`], for the algorithm in here), in a time that does not tell how
    /// much of it was right. Never so with qop=auth-int, which covers a body: see [`Credentials::matches_body`].
    #[must_use]
    pub fn matches(&self, ha1: &str, method: Method<'_>) -> bool {
        self.qop != "auth-int" && self.matches_body(ha1, method, "")
    }

    /// Like [`Credentials::matches`], for a request with that body, which qop=auth-int protects, too.
    #[must_use]
    pub fn matches_body(&self, ha1: &str, method: Method<'_>, body: &str) -> bool {
        let expected = self.expected(ha1, method, body);
        expected.as_bytes().ct_eq(self.response.as_bytes()).to_bool()
    }

    /// The right response; with qop=auth-int it covers the body (RFC 7616, 3.4.3).
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

/// The parameters behind `Digest`.
struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    fn of(value: &'a str) -> Result<Self, ParseError> {
        let (scheme, params) = split_before(value, SPACE);
        if scheme.eq_ignore_ascii_case("Digest") { Ok(Self(params)) } else { Err(ParseError::Authentication) }
    }

    /// A value that could not be written back as it was read is none: its hash would be that of another text.
    fn find(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = pairs(Some(self.0), b',');
        let (_, value) = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(unquote(value.unwrap_or(""))).filter(|value| !value.bytes().any(|octet| matches!(octet, 0 | b'\r' | b'\n')))
    }

    #[inline(never)]
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
