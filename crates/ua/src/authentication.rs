//! Credentials in requests (RFC 3261, section 22): a digest for the last challenge, or a bearer token (RFC 8898).

use offhook_sip::text::find_text;
use offhook_sip::{Algorithm, Branch, Challenge, Message, Method, Name, StatusCode, Writer, ha1, parse_text, strongest};

use crate::random::Random;

/// How often a request is sent again after challenges at most: a server may say of every nonce that it is stale.
const MOST_TRIES: u8 = 4;

/// The credentials of a user. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A ticket or JWT.
    Bearer(String),
    /// A name and its password.
    Password {
        /// The user name.
        user: String,
        /// The password.
        password: String,
    },
    /// A name and the hash H(A1) of its password in one realm (RFC 7616, 3.4.2).
    Hash {
        /// The user name.
        user: String,
        /// The realm.
        realm: String,
        /// Whether the hash is SHA-256; else MD5.
        sha256: bool,
        /// The hash, hexadecimal.
        ha1: String,
    },
}

/// The part of [`Credentials`] that a later session can use: see there.
pub enum Lasting<'a> {
    /// A ticket or JWT.
    Bearer(&'a str),
    /// The hash of a password.
    Hash {
        /// The realm.
        realm: &'a str,
        /// Whether the hash is SHA-256; else MD5.
        sha256: bool,
        /// The hash.
        ha1: &'a str,
    },
}

/// Puts credentials into requests.
///
/// ```
/// use offhook_sip::{Algorithm, Branch, Challenge, StatusCode, parse, reply};
/// use offhook_ua::authentication::{Authenticator, Credentials, again};
/// use offhook_ua::random::Random;
///
/// let mut random = Random::new([7; 32]);
/// let mut authenticator = Authenticator::new(Credentials::Password { user: "alice".into(), password: "wonderland".into() });
/// let register = "REGISTER sip:a.test SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
///     From: <sip:alice@a.test>;tag=1\r\nTo: <sip:alice@a.test>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n";
///
/// let (realm, nonce) = ("a.test".to_owned(), "n0nce".to_owned());
/// let challenge = Challenge { realm, nonce, opaque: None, algorithm: Algorithm::Sha256, qop_auth: true, stale: false };
/// let refusal = reply(&parse(register.as_bytes())?, StatusCode::UNAUTHORIZED, Some("2"))
///     .field("WWW-Authenticate", &challenge.to_value())
///     .end();
/// let refusal = parse(refusal.as_bytes())?;
/// assert!(authenticator.challenged(&refusal, 0, "a.test"), "the request may be sent again");
///
/// let branch = Branch::new(&random.token());
/// let (text, number) = again(register, &branch, true, &mut authenticator, &mut random).expect("the REGISTER is well-formed");
/// assert!(text.contains("Authorization: Digest username=\"alice\", realm=\"a.test\"") && number == 2);
/// assert!(!authenticator.challenged(&refusal, 1, "a.test"), "the password is wrong: another attempt would be pointless");
/// # Ok::<(), offhook_sip::ParseError>(())
/// ```
pub struct Authenticator {
    credentials: Credentials,
    server: Option<Known>,
    proxy: Option<Known>,
}

/// A challenge and how often it was answered.
struct Known {
    challenge: Challenge,
    ha1: String,
    count: u32,
    /// Whether anything but REGISTER was challenged. Credentials for the registrar alone are not sent to those whom we call.
    beyond: bool,
}

impl Authenticator {
    /// Returns one for `credentials`.
    #[must_use]
    pub const fn new(credentials: Credentials) -> Self {
        Self { credentials, server: None, proxy: None }
    }

    /// Adds the credentials that the server is known to ask for: the token, or a digest for the last challenge.
    pub fn authorize(&mut self, request: Writer, random: &mut Random) -> Writer {
        let registers = request.request_line().is_some_and(|(method, _)| method == Method::Register);
        let user = match &self.credentials {
            Credentials::Bearer(token) if registers => {
                return request.joined("Authorization", &["Bearer ", token]);
            }
            Credentials::Bearer(_) => return request,
            Credentials::Password { user, .. } | Credentials::Hash { user, .. } => user,
        };
        let mut request = request;
        for (name, known) in [("Authorization", &mut self.server), ("Proxy-Authorization", &mut self.proxy)] {
            let known = known.as_mut().filter(|known| known.beyond || registers);
            if let Some((known, (method, uri))) = known.zip(request.request_line()) {
                known.count += 1;
                let answer = known.challenge.answer(user, &known.ha1, method, uri, &random.token(), known.count);
                request = request.field(name, &answer);
            }
        }
        request
    }

    /// Takes a 401 or 407; returns whether to send the request again. `tries`: how often it was sent again after challenges before. `home` is
    /// our SIP domain. Any proxy of a call may challenge: only the realm that the registrar named, or else `home`, gets credentials.
    pub fn challenged(&mut self, refusal: &Message<'_>, tries: u8, home: &str) -> bool {
        let beyond = refusal.cseq().is_ok_and(|cseq| cseq.method != Method::Register);
        let proxy = refusal.code() == Some(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        let name = if proxy { Name::ProxyAuthenticate } else { Name::WwwAuthenticate };
        let Some(challenge) = strongest(refusal.values(name)) else { return false };
        let realm = self.server.as_ref().or(self.proxy.as_ref()).map_or(home, |known| &known.challenge.realm);
        if beyond && challenge.realm != realm {
            return false;
        }
        let Some(ha1) = self.hash(&challenge) else { return false };
        // The same secret was just rejected: sending it again would only lock the account.
        if tries >= MOST_TRIES || tries > 0 && !challenge.stale {
            return false;
        }
        let slot = if proxy { &mut self.proxy } else { &mut self.server };
        let beyond = beyond || slot.as_ref().is_some_and(|known| known.beyond);
        *slot = Some(Known { challenge, ha1, count: 0, beyond });
        true
    }

    /// Returns what a later session can use; of a password its hash, once there was a challenge.
    #[must_use]
    pub fn lasting(&self) -> Option<Lasting<'_>> {
        Some(match &self.credentials {
            Credentials::Bearer(token) => Lasting::Bearer(token),
            Credentials::Hash { realm, sha256, ha1, .. } => Lasting::Hash { realm, sha256: *sha256, ha1 },
            Credentials::Password { .. } => {
                let Known { challenge, ha1, .. } = self.server.as_ref().or(self.proxy.as_ref())?;
                Lasting::Hash { realm: &challenge.realm, sha256: is_sha256(challenge), ha1 }
            }
        })
    }

    fn hash(&self, challenge: &Challenge) -> Option<String> {
        match &self.credentials {
            Credentials::Bearer(_) => None,
            Credentials::Password { user, password } => Some(ha1(challenge.algorithm, user, &challenge.realm, password)),
            Credentials::Hash { realm, sha256, ha1, .. } => {
                (*realm == challenge.realm && *sha256 == is_sha256(challenge)).then(|| ha1.clone())
            }
        }
    }
}

/// Returns a request for the new transaction `branch`, with credentials, and its CSeq number: the next one where it was challenged (RFC 3261,
/// 8.1.3.5 and 22.2), the same where there was no response (RFC 3263, 4.3).
pub fn again(
    text: &str,
    branch: &Branch,
    refused: bool,
    authenticator: &mut Authenticator,
    random: &mut Random,
) -> Option<(String, u32)> {
    let request = parse_text(text).ok()?;
    let (method, uri) = (request.method()?, request.uri()?);
    let number = request.number(Name::CSeq)?.checked_add(refused.into())?;
    let mut next = Writer::request(method, uri);
    for field in request.fields() {
        match field.name {
            Name::Via => {
                let value = find_text(field.value, ";branch=").and_then(|at| field.value.get(..at)).unwrap_or(field.value);
                next = next.joined("Via", &[value, ";branch=", branch.as_str()]);
            }
            Name::CSeq => next = next.cseq(number, method),
            Name::Authorization | Name::ProxyAuthorization | Name::ContentLength | Name::ContentType => {}
            _ => next = next.field(if field.name == Name::Other { field.raw_name } else { field.name.as_str() }, field.value),
        }
    }
    let next = authenticator.authorize(next, random);
    let content_type = request.get(Name::ContentType).unwrap_or_default();
    Some((next.body(content_type, request.text()), number))
}

const fn is_sha256(challenge: &Challenge) -> bool {
    matches!(challenge.algorithm, Algorithm::Sha256 | Algorithm::Sha256Sess)
}
