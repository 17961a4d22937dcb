//! Authentication: challenges, digests, tickets and tokens, and the identity that a connection has proven by them.

use offhook_access::nonce;
use offhook_access::proofs::{Claim, TOO_MANY};
use offhook_access::ticket::{self, TokenError};
use offhook_sip::telephone::is_form_of_number;
use offhook_sip::{Algorithm, ApiCode, Challenge, Credentials, Message, Method, StatusCode, quote};
use offhook_ua::log::{Masked, Plain};
use offhook_ua::uas;
use tracing::debug;

use super::connections::Proof;
use super::context::Context;
use super::party::{Aor, Flow};
use super::refusal::{CAN, Refusal};
use super::request::{Request, claimed_user, credentials, is_from_user};
use super::{Account, ConnId};

/// Wrong credentials on one connection before it is closed.
const FAILURES: u32 = 10;
/// The shape of a stored hash, to compare with where there is none: the work is the same for unknown users.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Looks at what is shown for an identity.
pub(super) struct Logins {
    nonce_key: [u8; 32],
}

/// What becomes of a request with credentials.
pub(super) enum Outcome {
    /// It was refused.
    Refused,
    /// The store has to be asked for this user, and then [`Logins::finish`].
    Ask(Aor),
    /// Its sender is authenticated by a ticket or token of the application: that user exists from now on.
    Vouched(Aor),
}

impl Logins {
    /// `nonce_key` makes nonces: it must not be guessable.
    pub(super) const fn new(nonce_key: [u8; 32]) -> Self {
        Self { nonce_key }
    }

    /// Credentials were shown that have to be looked at.
    pub(super) fn start(&self, cx: &mut Context, request: &Request, shown: &str) -> Outcome {
        let Some(conn) = request.flow.conn() else { return Outcome::Refused };
        if let Some(token) = bearer(shown) {
            self.start_bearer(cx, request, conn, token)
        } else if let Ok(credentials) = Credentials::parse(shown) {
            self.start_digest(cx, request, conn, &credentials)
        } else {
            self.guessed(cx, request, &claimed_user(request.message()), "credentials of an unknown kind")
        }
    }

    fn start_bearer(&self, cx: &mut Context, request: &Request, conn: ConnId, token: &str) -> Outcome {
        let Some(application) = cx.application(request.flow) else { return Outcome::Refused };
        let user = claimed_user(request.message());
        if is_spent(cx, request, conn, &user) {
            return Outcome::Refused;
        }
        match ticket::verify(&application.key, &application.secret, token, cx.date()) {
            Ok(verified) => {
                let proof = Proof { until: Some(cx.moment(verified.ends())), password: verified.password, is_token: true };
                let aor = Aor { application: application.key, user: verified.user };
                if proof.password.is_some() {
                    return Outcome::Ask(aor);
                }
                if admit(cx, request, &aor, proof) { Outcome::Vouched(aor) } else { Outcome::Refused }
            }
            // Whoever made it has the secret: nobody guesses.
            Err(error @ (TokenError::Expired | TokenError::NotYet)) => self.fail(cx, request, error.as_str()),
            Err(error) => self.guessed(cx, request, &user, error.as_str()),
        }
    }

    fn start_digest(&self, cx: &mut Context, request: &Request, conn: ConnId, credentials: &Credentials<'_>) -> Outcome {
        let made = nonce::check(&self.nonce_key, cx.now(), &conn.0.to_be_bytes(), &credentials.nonce);
        let Some(connection) = cx.connections.get(conn) else { return Outcome::Refused };
        let aor = Aor { application: connection.application.clone(), user: credentials.username.clone().into_owned() };
        let plausible = *credentials.realm == *cx.settings.domain
            && credentials.qop == "auth"
            && Some(&*credentials.uri) == request.message().uri()
            && (1..=ticket::MAX_USER).contains(&aor.user.len());
        // Of one connection's nonces only the newest is taken, and each count of it once.
        let using = made.map(|made| (made, credentials.count()));
        let (last, fresh) = (connection.used, using.filter(|using| using.1 > 0 && *using > connection.used));
        if !plausible {
            return self.guessed(cx, request, &aor.user, "digest for something else");
        }
        if is_spent(cx, request, conn, &aor.user) {
            return Outcome::Refused;
        }
        let Some(using) = fresh else {
            if using.is_some_and(|(made, count)| made == last.0 && (1..=last.1).contains(&count)) {
                count_failed_proof(cx, conn, &aor.user);
            }
            return self.stale(cx, request);
        };
        if let Some(connection) = cx.connections.get_mut(conn) {
            connection.used = using;
        }
        Outcome::Ask(aor)
    }

    /// The store has answered for a user who showed a digest, or a ticket that was given for a password. Returns whether the sender of the
    /// request is authenticated; else it was refused.
    pub(super) fn finish(&self, cx: &mut Context, request: &Request, account: Option<Account>) -> bool {
        let message = request.message();
        let Some(conn) = request.flow.conn().filter(|conn| cx.connections.get(*conn).is_some()) else {
            // Nobody gets it; but the transaction ends.
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Connection lost");
            cx.respond(&request.key, refusal.answer(message, &request.tag).end());
            return false;
        };
        let digest = credentials(message).and_then(|shown| Credentials::parse(shown).ok());
        let digest_user = digest.map(|credentials| credentials.username.into_owned());
        let user = digest_user.clone().unwrap_or_else(|| claimed_user(message));
        if is_spent(cx, request, conn, &user) {
            return false;
        }
        let account = account.unwrap_or_default();
        match proven_by(cx, request, &account) {
            Some((aor, proof)) => {
                let admitted = admit(cx, request, &aor, proof);
                if admitted {
                    cx.connections.set_display_name(&aor, account.display_name);
                }
                return admitted;
            }
            // The ticket was signed right: nobody guesses.
            None if digest_user.is_none() => self.fail(cx, request, "a ticket for a password that has changed"),
            None => self.guessed(cx, request, &user, "wrong user or password"),
        };
        false
    }

    /// Asks for credentials, without a transaction.
    pub(super) fn challenge(&self, cx: &mut Context, flow: Flow, message: &Message<'_>) {
        let text = self.challenge_text(cx, flow, message, false, (ApiCode::NoCredentials, "Authorization required"));
        cx.send(flow, text);
    }

    /// The nonce is not one that can be used (again): the password may still be right.
    fn stale(&self, cx: &mut Context, request: &Request) -> Outcome {
        let (call, user) = (Plain(request.call_id()), claimed_user(request.message()));
        debug!(%call, conn = request.flow.number(), user = %Masked(&user), "the nonce is used or too old");
        let text =
            self.challenge_text(cx, request.flow, request.message(), true, (ApiCode::NoCredentials, "Nonce used or too old"));
        cx.respond(&request.key, text);
        if cx.party(request.flow).is_none() {
            // One who has signed in may come with an old nonce as often as it likes; anybody else needs one new nonce.
            count_failure(cx, request.flow);
        }
        Outcome::Refused
    }

    /// The credentials may be a guess.
    fn guessed(&self, cx: &mut Context, request: &Request, user: &str, why: &'static str) -> Outcome {
        request.flow.conn().into_iter().for_each(|conn| count_failed_proof(cx, conn, user));
        self.fail(cx, request, why)
    }

    /// The credentials are not valid. What the client gets does not depend on why.
    fn fail(&self, cx: &mut Context, request: &Request, why: &'static str) -> Outcome {
        let text = self.challenge_text(cx, request.flow, request.message(), false, (ApiCode::Credentials, "Invalid credentials"));
        cx.respond(&request.key, text);
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, ApiCode::Credentials, why);
        cx.record_refused(request.flow, request.message(), &refusal);
        count_failure(cx, request.flow);
        Outcome::Refused
    }

    fn challenge_text(
        &self,
        cx: &mut Context,
        flow: Flow,
        message: &Message<'_>,
        stale: bool,
        (code, why): (ApiCode, &'static str),
    ) -> String {
        let tag = cx.tag();
        let nonce = nonce::make(&self.nonce_key, cx.now(), &flow.number().unwrap_or_default().to_be_bytes());
        // RFC 8898, 4: a token was shown, here or before, and is not valid, or no longer.
        let proof = flow.conn().and_then(|conn| cx.connections.proof(conn));
        let lapsed = proof.is_some_and(|proof| proof.is_token) && !cx.is_proven(flow);
        let shown = credentials(message).and_then(bearer);
        let error = if lapsed || shown.is_some() { ", error=\"invalid_token\"" } else { "" };
        let mut challenges = vec![format!("Bearer realm={}{error}", quote(&cx.settings.domain))];
        // The stronger first: a client takes the first that it can (RFC 8760, 2.3 and 2.4). MD5 last of all, as clients that read one field
        // only, which is mostly the last, know no other.
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let (realm, nonce) = (cx.settings.domain.clone(), nonce.clone());
            let challenge = Challenge { realm, nonce, opaque: None, algorithm, qop_auth: true, stale };
            challenges.push(challenge.to_value());
        }
        let refusal = match message.method() {
            Some(Method::Register | Method::Options) => uas::Refusal::Unauthorized(&challenges),
            _ => uas::Refusal::ProxyUnauthorized(&challenges),
        };
        refusal.answer(message, &tag, &CAN).field("X-Error", &code.x_error(why)).end()
    }
}

/// Whom the credentials of a request prove it to come from, if they are right for what the store knows.
fn proven_by(cx: &Context, request: &Request, account: &Account) -> Option<(Aor, Proof)> {
    let application = cx.application(request.flow)?;
    let shown = credentials(request.message())?;
    let (user, until) = match Credentials::parse(shown) {
        Ok(credentials) => {
            let hash = match credentials.algorithm {
                Algorithm::Sha256 | Algorithm::Sha256Sess => account.ha1_sha256.as_deref(),
                Algorithm::Md5 | Algorithm::Md5Sess => account.ha1_md5.as_deref(),
                Algorithm::Sha512256 => None,
            };
            let right = credentials.matches(hash.unwrap_or(NOBODY), request.method()) && hash.is_some();
            (right.then(|| credentials.username.into_owned())?, None)
        }
        Err(_) => {
            let verified = ticket::verify(&application.key, &application.secret, bearer(shown)?, cx.date()).ok()?;
            let right = verified.password == Some(account.revision) && account.ha1_sha256.is_some();
            let until = Some(cx.moment(verified.ends()));
            (right.then_some(verified.user)?, until)
        }
    };
    let proof = Proof { until, password: Some(account.revision), is_token: until.is_some() };
    Some((Aor { application: application.key, user }, proof))
}

/// Binds a proven identity to the connection of a request. Returns false, and has refused it, where From or the connection is somebody
/// else's.
fn admit(cx: &mut Context, request: &Request, aor: &Aor, proof: Proof) -> bool {
    let Some(conn) = request.flow.conn() else { return false };
    let bound = cx.connections.user(conn).cloned();
    if !is_from_user(request.message(), aor) || bound.as_ref().is_some_and(|bound| bound != aor) {
        cx.refuse(request, Refusal::NOT_FROM);
        return false;
    }
    // Whoever is called would take it for the number of a telephone; and whoever calls for help must not reach a user.
    if is_form_of_number(&aor.user) || cx.settings.emergency.contains(&aor.user) {
        let refusal = Refusal::new(StatusCode::FORBIDDEN, ApiCode::UserName, "A user name must not be a phone number");
        cx.refuse(request, refusal);
        return false;
    }
    if let Some(address) = cx.connections.get(conn).map(|connection| connection.peer) {
        cx.settings.proofs.proven(cx.clock.now, &Claim { address, application: &aor.application, user: &aor.user });
    }
    if bound.is_none() {
        let shown = if proof.is_token { "ticket" } else { "digest" };
        debug!(conn = conn.0, application = aor.application, user = %Masked(&aor.user), shown, "signed in");
        if let Some(oldest) = cx.connections.bind(&mut cx.clock, conn, aor, &cx.settings) {
            cx.hang_up(oldest, 1008, "too many connections");
        }
    }
    cx.connections.prove(&mut cx.clock, conn, proof);
    true
}

/// Whether so many proofs have failed, from the same address or for the same user, that this one is not looked at; then it was refused. A
/// connection whose identity is known is not harmed by what others have tried.
fn is_spent(cx: &mut Context, request: &Request, conn: ConnId, user: &str) -> bool {
    let Some(connection) = cx.connections.get(conn) else { return true };
    if cx.is_proven(request.flow) && connection.user.as_ref().is_some_and(|aor| aor.user == user) {
        return false;
    }
    let claim = Claim { address: connection.peer, application: &connection.application, user };
    let Some(seconds) = cx.settings.proofs.wait(cx.now(), &claim) else { return false };
    cx.refuse(request, Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::TooMany, TOO_MANY).after(seconds));
    cx.hang_up(conn, 1013, "too many wrong credentials");
    true
}

/// A proof for `user` was looked at in vain: it draws on the budgets of its address and user.
fn count_failed_proof(cx: &Context, conn: ConnId, user: &str) {
    let Some(connection) = cx.connections.get(conn) else { return };
    cx.settings.proofs.failed(cx.now(), &Claim { address: connection.peer, application: &connection.application, user });
}

fn count_failure(cx: &mut Context, flow: Flow) {
    let Some(conn) = flow.conn() else { return };
    let Some(connection) = cx.connections.get_mut(conn) else { return };
    connection.failures += 1;
    if connection.failures >= FAILURES {
        cx.hang_up(conn, 1008, "too many wrong credentials");
    }
}

/// What follows `Bearer`; `None` for another scheme.
fn bearer(shown: &str) -> Option<&str> {
    let (scheme, rest) = shown.split_once([' ', '\t']).unwrap_or((shown, ""));
    scheme.eq_ignore_ascii_case("Bearer").then(|| rest.trim())
}
