//! Who may say what: allowances, challenges, and the identity that a connection has proven. Everything is refused until then.

use offhook_access::nonce;
use offhook_access::proofs::{Claim, TOO_MANY};
use offhook_access::ticket::{self, TokenError};
use offhook_sip::telephone::is_form_of_number;
use offhook_sip::{Algorithm, ApiCode, Challenge, Credentials, Message, Method, Name, OwnedMessage, StatusCode};
use offhook_ua::log::{Masked, Plain, named};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{Received, ServerKey, Transport};
use offhook_ua::uas;
use tracing::{debug, warn};

use super::flows::Proof;
use super::party::{Aor, Flow, Party};
use super::refusal::{CAN, NOT_SUPPORTED, Refusal};
use super::{Account, ConnId, Hub, Output, Pending, QueryId, Record, tell_message};

/// Wrong credentials on one connection before it is closed.
const FAILURES: u32 = 10;
/// The largest body in octets: several times what browsers describe a call with, and it is kept for each device that rings.
const BODY: usize = 32 * 1024;
/// The shape of a stored hash, to compare with where there is none: the work is the same for unknown users.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A request with a server transaction, which has to be answered.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Where it came from.
    pub(super) flow: Flow,
    /// Its server transaction.
    pub(super) key: ServerKey,
    /// The message, parsed once.
    pub(super) owned: OwnedMessage,
}

impl Request {
    pub(super) fn message(&self) -> &Message<'_> {
        self.owned.get()
    }

    pub(super) fn method(&self) -> Method<'_> {
        self.key.method()
    }
}

impl Hub {
    /// Something came by a flow.
    pub(super) fn receive(&mut self, now: Instant, flow: Flow, text: String) {
        tell_message("received", flow, &text);
        let Some(within) = self.allow(now, flow) else { return };
        if text.bytes().all(|b| b == b'\r' || b == b'\n') {
            // A ping has two line ends, the answer to one of ours has one (RFC 5626, 4.4.1).
            if within && text.len() >= 4 {
                self.send(flow, "\r\n".into());
            }
            return;
        }
        let Ok(owned) = OwnedMessage::parse(text) else { return self.malformed(flow) };
        let message = owned.get();
        if !within {
            return self.refuse_plainly(
                flow,
                message,
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Too many messages").after(1),
            );
        }
        match message.check() {
            Err(_) if !message.is_request() => self.malformed(flow),
            Err(rejection) => {
                self.refuse_plainly(flow, message, Refusal::new(rejection.code, ApiCode::Malformed, rejection.reason))
            }
            Ok(()) if message.is_request() && message.body.len() > BODY => {
                self.refuse_plainly(
                    flow,
                    message,
                    Refusal::new(StatusCode::REQUEST_ENTITY_TOO_LARGE, ApiCode::Malformed, "Message body too large"),
                );
            }
            Ok(()) if message.is_request() => self.request(now, flow, &owned),
            Ok(()) => self.response(now, flow, message),
        }
    }

    fn malformed(&mut self, flow: Flow) {
        debug!(conn = flow.number(), application = self.application_of(flow), "no SIP message");
        self.record(Record::Malformed { conn: flow.conn() });
    }

    /// Whether a message is within the allowances of connection and user; `None` where the connection is none, or none any more.
    fn allow(&mut self, now: Instant, flow: Flow) -> Option<bool> {
        let Flow::WebSocket(conn) = flow else { return Some(true) };
        let (rate, user_rate) = (self.settings.per_second, self.settings.user_per_second);
        let connection = self.flows.connections.get_mut(&conn)?;
        self.flows.silent.remove(conn);
        let user = connection.aor.as_ref().and_then(|aor| self.flows.users.get_mut(aor));
        let within = connection.bucket.take(now, rate) && user.is_none_or(|user| user.bucket.take(now, user_rate));
        connection.strikes = if within { connection.strikes.saturating_sub(1) } else { connection.strikes + 1 };
        let strikes = connection.strikes;
        if strikes == 1 && !within {
            let user = connection.aor.as_ref().and_then(|aor| named(&aor.user));
            warn!(conn = conn.0, application = connection.application, user, "sends too much");
            self.record(Record::Throttled { conn });
        }
        if strikes > rate.max(user_rate).saturating_mul(4) {
            self.hang_up(now, conn, 1008, "too many messages");
            return None;
        }
        Some(within)
    }

    fn request(&mut self, now: Instant, flow: Flow, owned: &OwnedMessage) {
        let message = owned.get();
        let Some(method) = message.method() else { return };
        let shown = message.get(Name::Authorization).or_else(|| message.get(Name::ProxyAuthorization));
        let proven = self.is_proven(now, flow) || self.continues(flow, message);
        if !proven && shown.is_none() && !matches!(method, Method::Ack | Method::Cancel) {
            // Without any state: a flood of unauthenticated clients costs nothing but the answers.
            return self.challenge(now, flow, message, false, "Authorization required");
        }
        if self.transactions.origin(message).is_some_and(|origin| !self.is_same_user(origin, flow)) {
            // Whoever copies another's request would get the answer to it.
            return;
        }
        match self.transactions.receive(now, flow, Transport::Reliable, message) {
            // A device that lost its connection says again what it is waiting for: now we know where it is.
            Received::Absorbed => self.learn(now, flow, message),
            Received::Request(key) => {
                let request = Request { flow, key, owned: owned.clone() };
                match shown {
                    _ if method == Method::Cancel => self.cancel(now, &request),
                    Some(shown) if !proven || method == Method::Register => self.login(now, &request, shown),
                    _ => self.route(now, &request),
                }
            }
            Received::Ack => self.acknowledge(now, flow, owned),
            _ => {}
        }
    }

    /// Credentials were shown that have to be looked at.
    fn login(&mut self, now: Instant, request: &Request, shown: &str) {
        if let Some(token) = bearer(shown) {
            self.login_bearer(now, request, token);
        } else if let Ok(credentials) = Credentials::parse(shown) {
            self.login_digest(now, request, &credentials);
        } else {
            self.guessed(now, request, &claimed(request.message()), "credentials of an unknown kind");
        }
    }

    fn login_bearer(&mut self, now: Instant, request: &Request, token: &str) {
        let Some(application) = self.application(request.flow) else { return };
        let user = claimed(request.message());
        if self.is_spent(now, request, &user) {
            return;
        }
        match ticket::verify(&application.key, &application.secret, token, self.wall.date(now)) {
            Ok(verified) => {
                let until = Some(self.wall.moment(verified.ends()));
                let proof = Proof { until, password: verified.password, is_token: true };
                let aor = Aor { application: application.key.clone(), user: verified.user };
                if proof.password.is_some() {
                    return self.look_up_login(now, request, &aor);
                }
                if self.admit(now, request, &aor, proof, None) {
                    let Aor { application, user } = aor.clone();
                    self.push(Output::Seen { application, user });
                    self.look_up(now, &aor, Pending::Name(aor.clone()));
                    self.route(now, request);
                }
            }
            // Whoever made it has the secret: nobody guesses.
            Err(error @ (TokenError::Expired | TokenError::NotYet)) => self.fail(now, request, error.as_str()),
            Err(error) => self.guessed(now, request, &user, error.as_str()),
        }
    }

    fn login_digest(&mut self, now: Instant, request: &Request, credentials: &Credentials<'_>) {
        let Some(conn) = request.flow.conn() else { return };
        let made = nonce::check(&self.nonce_key, now, &conn.0.to_be_bytes(), &credentials.nonce);
        let Some(connection) = self.flows.connections.get(&conn) else { return };
        let aor = Aor { application: connection.application.clone(), user: credentials.username.clone().into_owned() };
        let plausible = *credentials.realm == *self.settings.domain
            && credentials.qop == "auth"
            && Some(&*credentials.uri) == request.message().uri()
            && (1..=ticket::MAX_USER).contains(&aor.user.len());
        // Of one connection's nonces only the newest is taken, and each count of it once.
        let using = made.map(|made| (made, credentials.count()));
        let (last, fresh) = (connection.used, using.filter(|using| using.1 > 0 && *using > connection.used));
        if !plausible {
            return self.guessed(now, request, &aor.user, "digest for something else");
        }
        if self.is_spent(now, request, &aor.user) {
            return;
        }
        let Some(using) = fresh else {
            if using.is_some_and(|(made, count)| made == last.0 && (1..=last.1).contains(&count)) {
                self.draw(now, request.flow, &aor.user);
            }
            return self.stale(now, request);
        };
        if let Some(connection) = self.flows.connections.get_mut(&conn) {
            connection.used = using;
        }
        self.look_up_login(now, request, &aor);
    }

    /// What was shown stands and falls with a password: the store knows it.
    fn look_up_login(&mut self, now: Instant, request: &Request, aor: &Aor) {
        self.look_up(now, aor, Pending::Login(request.clone()));
    }

    /// The store has answered for a user who showed a digest, or a ticket that was given for a password.
    pub(super) fn finish_login(&mut self, now: Instant, request: &Request, account: Option<Account>) {
        let message = request.message();
        if !request.flow.conn().is_some_and(|conn| self.flows.connections.contains_key(&conn)) {
            // Nobody hears it; but the transaction ends.
            let answer = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Connection lost")
                .answer(request.message(), "0")
                .end();
            return self.respond(now, &request.key, answer);
        }
        let shown = message.get(Name::Authorization).or_else(|| message.get(Name::ProxyAuthorization)).unwrap_or_default();
        let digest = Credentials::parse(shown).ok().map(|credentials| credentials.username.into_owned());
        let user = digest.clone().unwrap_or_else(|| claimed(request.message()));
        if self.is_spent(now, request, &user) {
            return;
        }
        let account = account.unwrap_or_default();
        match self.proven_by(now, request, &account) {
            // The ticket was signed right: nobody guesses.
            None if digest.is_none() => self.fail(now, request, "a ticket for a password that has changed"),
            None => self.guessed(now, request, &user, "wrong user or password"),
            Some((aor, proof)) => {
                if self.admit(now, request, &aor, proof, Some(account.display_name)) {
                    self.route(now, request);
                }
            }
        }
    }

    /// Whom the credentials of a request prove it to come from, if they are right for what the store knows.
    fn proven_by(&self, now: Instant, request: &Request, account: &Account) -> Option<(Aor, Proof)> {
        let application = self.application(request.flow)?;
        let shown = request.message().get(Name::Authorization).or_else(|| request.message().get(Name::ProxyAuthorization))?;
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
                let date = self.wall.date(now);
                let verified = ticket::verify(&application.key, &application.secret, bearer(shown)?, date).ok()?;
                let right = verified.password == Some(account.revision) && account.ha1_sha256.is_some();
                let until = Some(self.wall.moment(verified.ends()));
                (right.then_some(verified.user)?, until)
            }
        };
        Some((
            Aor { application: application.key, user },
            Proof { until, password: Some(account.revision), is_token: until.is_some() },
        ))
    }

    /// Binds a proven identity to the connection. Not where From or the connection is somebody else's.
    fn admit(&mut self, now: Instant, request: &Request, aor: &Aor, proof: Proof, display: Option<String>) -> bool {
        let Some(conn) = request.flow.conn() else { return false };
        let bound = self.identity(conn);
        if !names(request.message(), aor) || bound.is_some_and(|bound| bound != aor) {
            self.refuse(
                now,
                request,
                Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "From is not the authenticated user"),
            );
            return false;
        }
        // Whoever is called would take it for the number of a telephone; and whoever calls for help must not reach a user.
        if is_form_of_number(&aor.user) || self.settings.emergency.contains(&aor.user) {
            self.refuse(
                now,
                request,
                Refusal::new(StatusCode::FORBIDDEN, ApiCode::UserName, "A user name must not be a phone number"),
            );
            return false;
        }
        if let Some(address) = self.flows.connections.get(&conn).map(|connection| connection.peer) {
            self.settings.proofs.proven(now, &Claim { address, application: &aor.application, user: &aor.user });
        }
        if bound.is_none() {
            let shown = if proof.is_token { "ticket" } else { "digest" };
            debug!(conn = conn.0, application = aor.application, user = %Masked(&aor.user), shown, "signed in");
            self.bind(now, conn, aor);
        }
        self.prove(conn, proof);
        if let (Some(user), Some(display)) = (self.flows.users.get_mut(aor), display) {
            user.display = display;
        }
        true
    }

    /// A request whose sender is known finds its way.
    pub(super) fn route(&mut self, now: Instant, request: &Request) {
        let Some(party) = self.party(request.flow) else {
            return self.refuse(now, request, Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Not authenticated"));
        };
        if !speaks_for(request.message(), &party) {
            return self.refuse(
                now,
                request,
                Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "From is not the authenticated user"),
            );
        }
        if request.message().all(Name::ProxyRequire).next().is_some() {
            return self.refuse(now, request, Refusal::of(uas::Refusal::ProxyExtension, ApiCode::Malformed, NOT_SUPPORTED));
        }
        match request.method() {
            Method::Register => match (request.flow, party) {
                (Flow::WebSocket(conn), Party::User(aor)) => self.register(now, request, (conn, &aor)),
                _ => self.refuse(
                    now,
                    request,
                    Refusal::new(StatusCode::FORBIDDEN, ApiCode::Forbidden, "Registration of another user"),
                ),
            },
            _ if is_in_dialog(request.message()) => self.relay(now, request, &party),
            Method::Invite => self.invite(now, request, party),
            Method::Options => self.options(now, request),
            method => self.refuse(now, request, Refusal::unserved(method)),
        }
    }

    fn options(&mut self, now: Instant, request: &Request) {
        let tag = self.random.token();
        let answer = uas::answer(request.message(), StatusCode::OK, &tag).field("Allow", &CAN.allow());
        let answer = answer.field("Accept", &CAN.bodies.join(", ")).field("Supported", &CAN.extensions.join(", ")).end();
        self.respond(now, &request.key, answer);
    }

    /// Asks for credentials, without a transaction.
    fn challenge(&mut self, now: Instant, flow: Flow, message: &Message<'_>, stale: bool, why: &'static str) {
        let text = self.challenge_text(now, flow, message, stale, why);
        self.send(flow, text);
    }

    /// The nonce is not one that can be used (again): the password may still be right.
    fn stale(&mut self, now: Instant, request: &Request) {
        let call = Plain(request.message().call_id().unwrap_or_default());
        debug!(%call, conn = request.flow.number(), user = %Masked(&claimed(request.message())), "the nonce is used or too old");
        let text = self.challenge_text(now, request.flow, request.message(), true, "Nonce used or too old");
        self.respond(now, &request.key, text);
        if self.party(request.flow).is_none() {
            // One who has signed in may come with an old nonce as often as it likes; anybody else needs one new nonce.
            self.count_failure(now, request.flow);
        }
    }

    /// Whether so many proofs have failed, from the same address or for the same user, that this one is not looked at. A connection whose
    /// identity is known is not harmed by what others have tried.
    fn is_spent(&mut self, now: Instant, request: &Request, user: &str) -> bool {
        let proven = self.is_proven(now, request.flow);
        let Some(conn) = request.flow.conn() else { return true };
        let Some(connection) = self.flows.connections.get(&conn) else { return true };
        if proven && connection.aor.as_ref().is_some_and(|aor| aor.user == user) {
            return false;
        }
        let claim = Claim { address: connection.peer, application: &connection.application, user };
        let Some(seconds) = self.settings.proofs.wait(now, &claim) else { return false };
        self.refuse(now, request, Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::TooMany, TOO_MANY).after(seconds));
        self.hang_up(now, conn, 1013, "too many wrong credentials");
        true
    }

    /// A proof for `user` was looked at in vain.
    fn draw(&self, now: Instant, flow: Flow, user: &str) {
        let Some(connection) = flow.conn().and_then(|conn| self.flows.connections.get(&conn)) else { return };
        self.settings.proofs.failed(now, &Claim { address: connection.peer, application: &connection.application, user });
    }

    /// The credentials may be a guess.
    fn guessed(&mut self, now: Instant, request: &Request, user: &str, why: &'static str) {
        self.draw(now, request.flow, user);
        self.fail(now, request, why);
    }

    /// The credentials are not valid. What is said does not depend on why.
    fn fail(&mut self, now: Instant, request: &Request, why: &'static str) {
        let text = self.challenge_text(now, request.flow, request.message(), false, "Invalid credentials");
        self.respond(now, &request.key, text);
        self.record_refused(request.flow, request.message(), StatusCode::UNAUTHORIZED, why);
        self.count_failure(now, request.flow);
    }

    fn count_failure(&mut self, now: Instant, flow: Flow) {
        let Some(conn) = flow.conn() else { return };
        let Some(connection) = self.flows.connections.get_mut(&conn) else { return };
        connection.failures += 1;
        if connection.failures >= FAILURES {
            self.hang_up(now, conn, 1008, "too many wrong credentials");
        }
    }

    fn challenge_text(&mut self, now: Instant, flow: Flow, message: &Message<'_>, stale: bool, why: &'static str) -> String {
        let tag = self.random.token();
        let nonce = nonce::make(&self.nonce_key, now, &flow.number().unwrap_or_default().to_be_bytes());
        // The stronger first: a client takes the first that it can (RFC 8760, 2.3 and 2.4). MD5 last of all, as clients that read one field
        // only, which is mostly the last, know no other.
        // RFC 8898, 4: a token was shown, here or before, and is not valid, or no longer.
        let proof = flow.conn().and_then(|conn| self.proof(conn));
        let lapsed = proof.is_some_and(|proof| proof.is_token) && !self.is_proven(now, flow);
        let shown = message.get(Name::Authorization).or_else(|| message.get(Name::ProxyAuthorization)).and_then(bearer);
        let error = if lapsed || shown.is_some() { ", error=\"invalid_token\"" } else { "" };
        let mut challenges = vec![["Bearer realm=", &offhook_sip::quote(&self.settings.domain), error].concat()];
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let (realm, nonce) = (self.settings.domain.clone(), nonce.clone());
            let challenge = Challenge { realm, nonce, opaque: None, algorithm, qop_auth: true, stale };
            challenges.push(challenge.to_value());
        }
        let refusal = match message.method() {
            Some(Method::Register | Method::Options) => uas::Refusal::Unauthorized(&challenges),
            _ => uas::Refusal::ProxyUnauthorized(&challenges),
        };
        let error = if why == "Invalid credentials" { ApiCode::Credentials } else { ApiCode::NoCredentials };
        refusal.answer(message, &tag, &CAN).field("X-Error", &error.x_error(why)).end()
    }

    /// Whom a connection has proven to speak for.
    pub(super) fn identity(&self, conn: ConnId) -> Option<&Aor> {
        self.flows.connections.get(&conn)?.aor.as_ref()
    }

    pub(super) fn look_up(&mut self, now: Instant, aor: &Aor, pending: Pending) {
        self.serial += 1;
        let query = QueryId(self.serial);
        self.pending.insert(query, pending);
        self.timers.set(super::timers::Timer::Query(query), now + super::QUERY);
        let Aor { application, user } = aor.clone();
        self.push(Output::Lookup { query, application, user });
    }
}

/// Whom a request says that it is from.
fn claimed(message: &Message<'_>) -> String {
    message.from().map(|from| from.uri.user_text().into_owned()).unwrap_or_default()
}

/// What follows `Bearer`; `None` for another scheme.
fn bearer(shown: &str) -> Option<&str> {
    let (scheme, rest) = shown.split_once([' ', '\t']).unwrap_or((shown, ""));
    scheme.eq_ignore_ascii_case("Bearer").then(|| rest.trim())
}

/// Whether a request belongs to a dialog, by its To.
pub(super) fn is_in_dialog(message: &Message<'_>) -> bool {
    message.to().is_ok_and(|to| to.tag().is_some())
}

/// Whether From names the party: what comes from outside speaks for anybody.
pub(super) fn speaks_for(message: &Message<'_>, party: &Party) -> bool {
    party.user().is_none_or(|aor| names(message, aor))
}

/// Whether From names the user, however it is escaped.
fn names(message: &Message<'_>, aor: &Aor) -> bool {
    message.from().is_ok_and(|from| from.uri.is_sip() && from.uri.user_text() == aor.user)
}
