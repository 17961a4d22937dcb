//! Authentication of HTTP requests: the back end of an application, by signature or by key and secret, or the operator, by token.
//! An application has access only to its own data.
//!
//! | client | credentials | may |
//! |---|---|---|
//! | application | `Authorization: application KEY:SIGNATURE` with `x-timestamp`, or `Basic KEY:SECRET` | read its own data, set the users of its numbers |
//! | operator | `Authorization: Bearer TOKEN` | the same for any application (`?key=`), add credit, set rates, assign numbers |

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use offhook_access::proofs::Claim;
use offhook_access::secret::{Secret, Use};
use offhook_access::signature::{SignatureError, Signed};
use offhook_access::ticket::iso;
use offhook_sip::ApiCode;
use offhook_sip::text::hex;
use serde::de::DeserializeOwned;

use super::{ApiError, arrived, is_json};
use crate::config::Phone;
use crate::server::{Peer, Shared};
use crate::store::{Application, decode_secret, random};

const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

/// The shortest token, octets, so that it cannot be guessed.
const SHORTEST_TOKEN: usize = 32;

/// An authenticated request.
pub struct Asked {
    pub role: Role,
    /// The application that the request is about: the client's own, or the one that the operator names.
    named: Option<String>,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

/// The role of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Application,
    Operator,
}

/// The origin of a request.
#[derive(Clone, Copy)]
struct From {
    address: IpAddr,
    /// Whether it comes from this machine.
    local: bool,
}

impl From {
    /// The claimed identity: an application, or without a key the operator.
    const fn claim<'a>(&self, key: &'a str) -> Claim<'a> {
        Claim { address: self.address, application: key, user: "" }
    }
}

/// The credentials of the operator.
pub struct Operator {
    token: String,
    /// Whether the gateway has made the token itself, which is then for this machine only.
    local: bool,
}

/// Keeps the token out of logs.
impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Operator {
    /// Returns the token of the configuration, or that in the data folder, which is created at the first start.
    pub fn load(phone: &Phone, folder: &Path) -> io::Result<Self> {
        if !phone.operator_token.is_empty() {
            return Ok(Self { token: phone.operator_token.clone(), local: false });
        }
        let path = folder.join("operator-token");
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => writeln!(file, "{}", hex(&random(SHORTEST_TOKEN))).and_then(|()| file.sync_all())?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let token = fs::read_to_string(&path)?.trim().to_owned();
        if token.len() < SHORTEST_TOKEN {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} has no token: remove it", path.display())));
        }
        Ok(Self { token, local: true })
    }
}

impl FromRequest<Arc<Shared>> for Asked {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let (method, uri, headers) = (request.method().clone(), request.uri().clone(), request.headers().clone());
        let peer = request.extensions().get::<Peer>().cloned().expect("every request has its peer");
        let body = arrived(Bytes::from_request(request, shared).await)?;
        let from = From { address: peer.address, local: peer.is_local(&headers) };
        let query = uri.query().unwrap_or_default().to_owned();
        let (scheme, credentials) = text(&headers, &AUTHORIZATION).split_once(' ').unwrap_or_default();
        let path = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
        let signed = Signed {
            method: method.as_str(),
            path,
            content_type: text(&headers, &CONTENT_TYPE),
            timestamp: text(&headers, &TIMESTAMP),
            body: &body,
        };
        let known = match scheme.to_ascii_lowercase().as_str() {
            "application" => shared.signed(credentials, &signed, from).map(|key| (Role::Application, Some(key))),
            "basic" => shared.basic(credentials, from).map(|key| (Role::Application, Some(key))),
            "bearer" => shared.operator(credentials, from).map(|()| (Role::Operator, None)),
            "" => Err(ApiError::new(ApiCode::NoCredentials, "The Authorization header is missing")),
            _ => Err(ApiError::new(ApiCode::AuthorizationScheme, "Authorization must be application, Basic or Bearer")),
        };
        let (role, own) = known.map_err(|error| shared.refuse("authorization", error))?;
        let named = shared.account_of(own, field(&query, "key"))?;
        Ok(Self { role, named, query, headers, body })
    }
}

impl Asked {
    /// Returns the application that the request is about.
    pub fn application(&self) -> Result<String, ApiError> {
        self.named.clone().ok_or(ApiError::new(ApiCode::MissingParameter, "Name the application: ?key="))
    }

    /// Like [`Asked::application`], for a request that can also be about all applications.
    pub fn named(&self) -> Option<String> {
        self.named.clone()
    }

    /// Rejects clients other than the operator.
    pub fn operator(&self) -> Result<(), ApiError> {
        match self.role {
            Role::Operator => Ok(()),
            Role::Application => Err(ApiError::new(ApiCode::Forbidden, "Only the operator of the gateway may do this")),
        }
    }

    /// Returns a number in the query.
    pub fn number(&self, name: &str, most: i64) -> Result<Option<i64>, ApiError> {
        let parse = |text: &str| text.parse().ok().filter(|number| (1..=most).contains(number));
        match field(&self.query, name).map(parse) {
            Some(None) => Err(ApiError::new(ApiCode::Parameter, "A number in the query is not one, or out of range")),
            Some(number) => Ok(number),
            None => Ok(None),
        }
    }

    /// Returns the body.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        is_json(&self.headers)?;
        crate::server::body::read(&self.body)
    }
}

impl Shared {
    fn signed(&self, credentials: &str, signed: &Signed<'_>, from: From) -> Result<String, ApiError> {
        let (key, signature) =
            credentials.split_once(':').ok_or(ApiError::new(ApiCode::NoCredentials, "Write application KEY:SIGNATURE"))?;
        let application = self.applications.get(key).filter(|application| from.local || !application.loopback_only);
        // Neither the time nor the response reveals whether the application exists: a request for an unknown one is verified with a
        // key that nobody knows, so it never succeeds, and is never stored.
        let nobody = Secret::separate(random(SHORTEST_TOKEN));
        let secret = application.map_or(&nobody, |application| &application.secret);
        let date = self.clock.date();
        self.prove(&from.claim(key), || {
            let admitted = self.seen.lock().map(|mut seen| {
                let admit = |signing: &[u8]| seen.admit((self.clock.now(), date), key, signing, signed, signature);
                secret.check(Use::Rest, SignatureError::Wrong, admit)
            });
            let admitted = admitted.unwrap_or(Err(SignatureError::TooMany));
            match (application, admitted) {
                (Some(application), Ok(())) => Ok(application.key.clone()),
                (None, _) | (_, Err(SignatureError::Wrong)) => {
                    Err(ApiError::new(ApiCode::Signature, "The signature is wrong").guess())
                }
                (_, Err(SignatureError::Time)) => {
                    let now = iso(date);
                    let message = format!("x-timestamp is missing or off by more than five minutes: it is {now} here");
                    Err(ApiError::new(ApiCode::Timestamp, message))
                }
                (_, Err(SignatureError::Replayed)) => {
                    Err(ApiError::new(ApiCode::Signature, "This very request was made before: x-timestamp may have milliseconds"))
                }
                (_, Err(SignatureError::TooMany)) => Err(ApiError::new(ApiCode::TooMany, "Too many requests")),
            }
        })
    }

    fn basic(&self, credentials: &str, from: From) -> Result<String, ApiError> {
        let text = STANDARD.decode(credentials).ok().and_then(|octets| String::from_utf8(octets).ok()).unwrap_or_default();
        let (key, secret) = text.split_once(':').unwrap_or_default();
        self.prove(&from.claim(key), || {
            let shown = decode_secret(secret).unwrap_or_default();
            let found = self.applications.get(key).filter(|application| from.local || !application.loopback_only);
            let is_right =
                |secret: &Secret| secret.check(Use::Rest, Unspecified, |key| verify_slices_are_equal(key, &shown)).is_ok();
            match found.filter(|application| is_right(&application.secret)) {
                Some(Application { key, .. }) => Ok(key.clone()),
                None => Err(ApiError::new(ApiCode::Credentials, "Invalid credentials").guess()),
            }
        })
    }

    fn operator(&self, token: &str, from: From) -> Result<(), ApiError> {
        self.prove(&from.claim(""), || {
            let right = verify_slices_are_equal(self.operator.token.as_bytes(), token.as_bytes()).is_ok();
            if right && (from.local || !self.operator.local) {
                return Ok(());
            }
            Err(ApiError::new(ApiCode::Credentials, "Invalid credentials").guess())
        })
    }

    /// Returns the application of a request: an application has access only to itself, the operator to the one that `key` names.
    fn account_of(&self, own: Option<String>, key: Option<&str>) -> Result<Option<String>, ApiError> {
        match (own, key) {
            (Some(own), Some(key)) if own != key => Err(ApiError::new(ApiCode::Forbidden, "This is another application's")),
            (Some(own), _) => Ok(Some(own)),
            (None, Some(key)) if !self.applications.contains_key(key) => {
                Err(ApiError::new(ApiCode::NotFound, "There is no such application"))
            }
            (None, key) => Ok(key.map(str::to_owned)),
        }
    }
}

/// Returns a header as text; empty where it is missing, not text, or repeated.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let mut values = headers.get_all(name).iter();
    let value = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    if values.next().is_some() { "" } else { value }
}

/// Returns a field of the query. Its possible values are the same with and without percent-encoding.
fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}
