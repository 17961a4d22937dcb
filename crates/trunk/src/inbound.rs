//! Messages that come in. Untrusted sources get no response over UDP, and their connections are closed. Trunks are known by the address they
//! send from, by the name in their certificate, and by a digest where the operator wants one.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use offhook_access::bucket::Bucket;
use offhook_access::nonce;
use offhook_access::proofs::Claim;
use offhook_sip::{
    Abilities, Algorithm, Challenge, Credentials, Message, Method, Name, OwnedMessage, ParseError, StatusCode, ha1, reply,
};
use offhook_ua::log::{self, Plain};
use offhook_ua::time::Instant;
use offhook_ua::transaction::{Received, ServerKey};
use offhook_ua::uas::{self, Refusal};
use tracing::{debug, info};

use super::outbound::transport;
use super::targets::Hop;
use super::{Event, Flow, Output, Record, Trunks, Wire, text};

/// Messages of untrusted sources that are recorded a second; the others are only counted.
const RECORDED: u32 = 1;
/// The most transactions at once; further requests are rejected with 503.
const MOST: usize = 50_000;
/// The most nonces that are remembered as used.
const NONCES: usize = 4_096;

/// What trunks may ask for.
const CAN: Abilities<'static> = Abilities {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Cancel,
        Method::Bye,
        Method::Options,
        Method::Update,
        Method::Info,
        Method::Prack,
    ],
    bodies: &["application/sdp"],
    ..Abilities::NONE
};
/// How many times the octets of a request may go back to a source that may be forged (as RFC 9000, 8.1).
const AMPLIFICATION: usize = 3;
/// How long that is counted: longer than timer C.
const COUNTED: Duration = Duration::from_secs(250);
/// The To tag of stateless responses, the same for each retransmission of a request (RFC 3261, 8.2.7).
const TAG: &str = "0";

/// What is kept of untrusted sources, and of credentials.
#[derive(Default)]
pub(super) struct Untrusted {
    pub(super) count: u64,
    records: Option<Bucket>,
    /// Nonces of credentials that were accepted, and the last count of each.
    nonces: BTreeMap<String, u32>,
}

/// Where a message came from.
#[derive(Clone, Copy)]
struct Source {
    flow: Flow,
    address: SocketAddr,
    wire: Wire,
    /// Its length in octets.
    length: usize,
}

impl Trunks {
    /// Takes a message in.
    pub(super) fn received(&mut self, flow: Flow, bytes: Vec<u8>) {
        let (address, wire) = match flow {
            Flow::Udp(address) => (address, Wire::Udp),
            Flow::Connection(connection) => match self.connections.get_mut(&connection) {
                Some(connection) => {
                    connection.last_received = self.now;
                    (connection.peer, connection.wire)
                }
                None => return,
            },
        };
        log::message("received", flow, &bytes);
        let source = Source { flow, address, wire, length: bytes.len() };
        let message = OwnedMessage::parse(text::readable(bytes));
        let senders = self.senders(source, message.as_ref().ok().map(OwnedMessage::get));
        match message {
            Ok(message) if !message.get().is_request() => self.response_received(source, &senders, &message),
            Ok(message) if !senders.is_empty() => self.request_received(&senders, source, &message),
            Ok(_) => self.reject_untrusted(source, "method"),
            Err(_) if senders.is_empty() => self.reject_untrusted(source, "malformed"),
            Err(ParseError::Empty) => {}
            Err(_) => self.record_untrusted(address, "malformed"),
        }
    }

    /// Returns the trunks that may have sent a message: first the one whose connection it is, then all that send from that source.
    fn senders(&self, source: Source, message: Option<&Message<'_>>) -> Vec<usize> {
        let Source { flow, address, wire, .. } = source;
        let Flow::Connection(connection) = flow else { return self.all_at(address, None, wire, &[]) };
        let Some(connection) = self.connections.get(&connection) else { return Vec::new() };
        // A datagram comes from the trunk's port; a connection from any, and the Via of its requests names the trunk's own.
        let named = message.filter(|message| message.is_request());
        let port = named.and_then(|message| Some(message.via().ok()?.port.unwrap_or(wire.default_port())));
        let all = self.all_at(address, port, wire, &connection.names).into_iter().filter(|trunk| connection.trunk != Some(*trunk));
        connection.trunk.into_iter().chain(all).collect()
    }

    /// Returns the trunks that send from `source`, or from the same address and name `port` in Via, with a certificate of these
    /// names: the one that fits best first. Another port of a trunk's address counts only where it is no other trunk's.
    pub(super) fn all_at(&self, source: SocketAddr, port: Option<u16>, wire: Wire, names: &[String]) -> Vec<usize> {
        let fits = |index: usize| {
            let peer = &self.peers[index];
            let name = &peer.config.tls_name;
            if !name.is_empty() {
                return (wire == Wire::Tls && names.iter().any(|known| known.eq_ignore_ascii_case(name))).then_some(3);
            }
            let named = port.and_then(|port| peer.knows(SocketAddr::new(source.ip(), port)));
            peer.knows(source).max(named).filter(|_| wire == Wire::Tls || !peer.needs_tls())
        };
        // Of equals the first in the configuration.
        let rank = |index: usize| Some((fits(index)?, self.peers[index].config.transport == wire, Reverse(index)));
        let mut all: Vec<_> = (0..self.peers.len()).filter_map(rank).collect();
        all.sort_unstable_by_key(|rank| Reverse(*rank));
        let known = all.first().is_some_and(|(fit, ..)| *fit > 0);
        all.into_iter().filter(|(fit, ..)| *fit > 0 || !known).map(|(.., Reverse(index))| index).collect()
    }

    /// Takes a response in. It counts from the trunk that has the request: from one of its addresses, or from where the request went
    /// (RFC 3261, 18.2.2).
    fn response_received(&mut self, source: Source, senders: &[usize], message: &OwnedMessage) {
        let asked = self.request_of(message.get());
        let (known, wanted) = (!senders.is_empty(), asked.is_some());
        let counts = asked.filter(|(_, hop)| {
            let there = match source.flow {
                Flow::Udp(address) => hop.wire == Wire::Udp && hop.address == address,
                Flow::Connection(connection) => hop.connection == Some(connection),
            };
            there || senders.contains(&hop.trunk)
        });
        match counts {
            Some(asked) => self.response(asked, message),
            None if !known => self.reject_untrusted(source, "answer"),
            None if wanted => self.record_untrusted(source.address, "answer"),
            // It comes too late.
            None => {}
        }
    }

    /// Takes note of a message of an untrusted source, and closes its connection.
    fn reject_untrusted(&mut self, source: Source, what: &'static str) {
        self.record_untrusted(source.address, what);
        if let Flow::Connection(connection) = source.flow {
            self.disconnect(connection);
        }
    }

    fn record_untrusted(&mut self, peer: SocketAddr, what: &'static str) {
        self.untrusted.count += 1;
        if self.untrusted.records.get_or_insert_with(|| Bucket::new(self.now, RECORDED)).take(self.now, RECORDED) {
            info!(%peer, what, "not a trunk");
            self.push(Output::Record(Record::Untrusted { peer, what }));
        }
    }

    /// Takes a request of a trunk in.
    fn request_received(&mut self, senders: &[usize], source: Source, received: &OwnedMessage) {
        let trunk = senders[0];
        let Ok(noted) = OwnedMessage::parse(text::note_source(received, source.address)) else { return };
        let request = noted.get();
        let hop = self.response_hop(trunk, source, request);
        let Some(method) = request.method() else { return };
        let limit = (source.wire == Wire::Udp).then_some(source.length);
        if let Err(rejection) = request.check() {
            let (trunk, code, reason) = (&self.peers[trunk].id.0, rejection.code.as_u16(), rejection.reason);
            debug!(call = %call(request), trunk, method = method.as_str(), code, reason, "refused");
            if method != Method::Ack {
                self.respond_statelessly(hop, limit, Refusal::Status(rejection.code).answer(request, TAG, &CAN).end());
            }
            return;
        }
        let from_senders = |origin: Option<Hop>| origin.is_some_and(|origin| senders.contains(&origin.trunk));
        let origin = self.transactions.origin(request);
        if origin.is_some() && !from_senders(origin) {
            // Who repeats another trunk's request would get its responses, or stop them with an ACK.
            return self.record_untrusted(source.address, "method");
        }
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        let stray = method == Method::Cancel
            && !from_senders(ServerKey::of(request).and_then(|cancel| self.transactions.way_back(&cancel.invite())));
        if stray || (!in_dialog && !matches!(method, Method::Invite | Method::Ack | Method::Cancel)) {
            return self.answer_at_once(hop, limit, request);
        }
        if !matches!(method, Method::Ack | Method::Cancel) && origin.is_none() {
            if self.transactions.len() >= MOST {
                let trunk = &self.peers[trunk].id.0;
                debug!(call = %call(request), trunk, method = method.as_str(), code = 503, "refused: too many transactions");
                let refusal = Refusal::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, 5);
                return self.respond_statelessly(hop, limit, refusal.answer(request, TAG, &CAN).end());
            }
            if !in_dialog && !self.is_proven(trunk, hop, limit, request) {
                return;
            }
        }
        let hop = match limit {
            Some(length) if in_dialog || self.peers[trunk].config.from_username.is_empty() => self.allow(hop, length, request),
            _ => hop,
        };
        match self.transactions.receive(self.now, hop, transport(hop.wire), request) {
            Received::Request(key) => self.admitted(hop, key, limit, (senders, &noted)),
            Received::Ack if in_dialog => self.pass_on(hop, senders, None, &noted),
            _ => {}
        }
    }

    /// Counts what may go back to a source that is known by its address alone, and may be forged.
    fn allow(&mut self, hop: Hop, length: usize, request: &Message<'_>) -> Hop {
        while self.allowed.first_key_value().is_some_and(|(_, (until, _))| *until <= self.now) || self.allowed.len() >= MOST {
            self.allowed.pop_first();
        }
        let known =
            self.transactions.origin(request).and_then(|origin| origin.source).filter(|source| self.allowed.contains_key(source));
        let source = known.unwrap_or_else(|| self.next());
        self.allowed.entry(source).or_insert((self.now + COUNTED, 0)).1 += AMPLIFICATION * length;
        Hop { source: Some(source), ..hop }
    }

    /// Whether a message may be sent. To a source that may be forged, failures, most of which are retransmissions (timer G), only within what was
    /// counted; a 2xx in any case.
    pub(super) fn may_send(&mut self, hop: Hop, text: &str) -> bool {
        let Some((_, left)) = hop.source.and_then(|source| self.allowed.get_mut(&source)) else { return true };
        let code = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.bytes().next());
        let fits = text.len() <= *left;
        if code.is_some() {
            *left = left.saturating_sub(text.len());
        }
        fits || code.is_none_or(|code| code < b'3')
    }

    /// Whether a response may be sent once more: a provisional one, as long as it leaves room for a failure.
    pub(super) fn may_repeat(&mut self, hop: Hop, text: &str) -> bool {
        let Some((_, left)) = hop.source.and_then(|source| self.allowed.get_mut(&source)) else { return true };
        let provisional = text.starts_with("SIP/2.0 1");
        if provisional && 2 * text.len() > *left {
            return false;
        }
        *left = left.saturating_sub(text.len());
        true
    }

    /// Returns where responses go (RFC 3261, 18.2.2; RFC 3581, 4), and where a connection can be opened to if this one breaks.
    fn response_hop(&self, trunk: usize, source: Source, request: &Message<'_>) -> Hop {
        let via = request.via().ok();
        let port = via.and_then(|via| via.port).unwrap_or(source.wire.default_port());
        let symmetric = self.peers[trunk].config.nat || via.is_some_and(|via| via.params.get("rport").is_some());
        let address = match source.flow {
            Flow::Udp(address) if symmetric => address,
            _ => SocketAddr::new(source.address.ip(), port),
        };
        let connection = if let Flow::Connection(connection) = source.flow { Some(connection) } else { None };
        Hop { connection, ..Hop::to(trunk, source.wire, address) }
    }

    /// Answers a request that belongs to no call, without a transaction (RFC 3261, 8.2.7): a retransmission gets the same response.
    fn answer_at_once(&mut self, hop: Hop, limit: Option<usize>, request: &Message<'_>) {
        let Some(method) = request.method() else { return };
        let code = match method {
            Method::Options => StatusCode::OK,
            Method::Cancel | Method::Bye | Method::Update | Method::Info | Method::Prack => StatusCode::CALL_DOES_NOT_EXIST,
            method => Abilities::unserved(method),
        };
        let bare = uas::answer(request, code, TAG);
        let full = match code {
            StatusCode::OK => {
                let answer = bare.clone().field("Allow", &CAN.allow()).field("Accept", &CAN.bodies.join(", "));
                answer.field("Supported", "100rel, timer")
            }
            code => Refusal::Status(code).answer(request, TAG, &CAN),
        };
        self.respond_statelessly(hop, limit, fitting(limit, full.end()).unwrap_or_else(|| bare.end()));
    }

    /// Passes a new request on, an INVITE after 100.
    fn admitted(&mut self, hop: Hop, key: ServerKey, limit: Option<usize>, (senders, request): (&[usize], &OwnedMessage)) {
        if key.method() == Method::Invite {
            // Without 100 it is retransmitted; a response larger than its request would serve those who forge sources.
            let trying = fitting(limit, reply(request.get(), StatusCode::TRYING, None).end());
            if let Some(trying) = trying {
                self.transactions.respond(self.now, &key, trying);
                self.flush();
            }
        }
        self.pass_on(hop, senders, Some(key), request);
    }

    /// Passes a request on to the B2BUA; `hop` is where its responses go.
    fn pass_on(&mut self, hop: Hop, senders: &[usize], key: Option<ServerKey>, message: &OwnedMessage) {
        let request = message.get();
        let call_id = request.call_id().unwrap_or_default();
        let trunk = senders.iter().copied().find(|trunk| self.paths.of(*trunk, call_id).is_some()).unwrap_or(hop.trunk);
        if self.peers[trunk].config.nat {
            match request.method() {
                Some(Method::Bye) => self.paths.forget(trunk, call_id),
                Some(Method::Invite | Method::Cancel) if request.to().is_ok_and(|to| to.tag().is_none()) => {}
                _ => self.paths.learn(call_id, Hop { trunk, ..hop }),
            }
        }
        let id = |trunk: usize| self.peers[trunk].id.clone();
        let others = senders.iter().copied().filter(|other| *other != hop.trunk).map(id).collect();
        self.push(Output::Event(Event::Request { trunk: id(hop.trunk), others, key, message: message.clone() }));
    }

    /// Sends a response without a transaction: over UDP, where the source may be forged, only if it is no larger than its request.
    fn respond_statelessly(&mut self, hop: Hop, limit: Option<usize>, text: String) {
        if let Some(text) = fitting(limit, text) {
            self.deliver(hop, text);
        }
    }

    /// Whether a request outside a dialog has the credentials that its trunk needs; if not, it is challenged, without any state.
    fn is_proven(&mut self, trunk: usize, hop: Hop, limit: Option<usize>, request: &Message<'_>) -> bool {
        let config = &self.peers[trunk].config;
        if config.from_username.is_empty() {
            return true;
        }
        let shown = request.get(Name::Authorization).and_then(|value| Credentials::parse(value).ok());
        let place = hop.address.ip().to_string();
        let fresh = |shown: &Credentials<'_>| nonce::check(&self.nonce_key, self.now, place.as_bytes(), &shown.nonce).is_some();
        let stale = match &shown {
            None => false,
            // A sender that never got a challenge of ours, as its address is forged, learns nothing and uses up no budget.
            Some(shown) if !fresh(shown) => true,
            Some(shown) => {
                let claim = Claim { address: hop.address.ip(), application: "", user: &self.peers[trunk].id.0 };
                if let Some(seconds) = self.settings.proofs.wait(self.now, &claim) {
                    let (trunk, address) = (&self.peers[trunk].id.0, hop.address);
                    debug!(call = %call(request), trunk, %address, seconds, "refused: too many failed proofs of identity");
                    let refusal = Refusal::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, seconds).answer(request, TAG, &CAN).end();
                    self.respond_statelessly(hop, limit, refusal);
                    return false;
                }
                let secret = ha1(shown.algorithm, &config.from_username, &self.settings.domain, &config.from_password);
                let right = shown.username == config.from_username
                    && shown.realm == self.settings.domain
                    && request.uri() == Some(&*shown.uri)
                    && request.method().is_some_and(|method| shown.matches(&secret, method));
                if right && self.untrusted.is_first(self.now, &self.nonce_key, place.as_bytes(), shown) {
                    self.settings.proofs.proven(self.now, &claim);
                    return true;
                }
                if !right {
                    debug!(call = %call(request), trunk = self.peers[trunk].id.0, address = %hop.address, "wrong credentials");
                    self.settings.proofs.failed(self.now, &claim);
                    self.record_untrusted(hop.address, "credentials");
                }
                right
            }
        };
        let nonce = nonce::make(&self.nonce_key, self.now, place.as_bytes());
        let challenge = |algorithm| {
            let realm = self.settings.domain.clone();
            Challenge { realm, nonce: nonce.clone(), opaque: None, algorithm, qop_auth: true, stale }.to_value()
        };
        // SHA-256 first (RFC 8760, 2.4); where both would make the response larger than the request, MD5 alone.
        let both = [challenge(Algorithm::Sha256), challenge(Algorithm::Md5)];
        let refusal = |challenges: &[String]| Refusal::Unauthorized(challenges).answer(request, TAG, &CAN).end();
        let text = fitting(limit, refusal(&both)).unwrap_or_else(|| refusal(&both[1..]));
        self.respond_statelessly(hop, limit, text);
        false
    }
}

impl Untrusted {
    /// Whether these credentials were not used before: each count of a nonce is good once.
    fn is_first(&mut self, now: Instant, key: &[u8; 32], place: &[u8], shown: &Credentials<'_>) -> bool {
        if self.nonces.len() >= NONCES {
            self.nonces.retain(|nonce, _| nonce::check(key, now, place, nonce).is_some());
        }
        let count = shown.count();
        let room = self.nonces.len() < NONCES;
        match self.nonces.get_mut(&*shown.nonce) {
            Some(last) => count > std::mem::replace(last, count.max(*last)),
            None => room && self.nonces.insert(shown.nonce.to_string(), count).is_none(),
        }
    }
}

/// Returns the Call-ID, for the log.
fn call<'a>(request: &Message<'a>) -> Plain<'a> {
    Plain(request.call_id().unwrap_or_default())
}

/// Returns the response unless it is longer than `limit` octets.
fn fitting(limit: Option<usize>, text: String) -> Option<String> {
    limit.is_none_or(|length| text.len() <= length).then_some(text)
}
