//! What comes in. Whose it is decides everything: strangers get no octet over UDP, and no second request over a connection. Trunks are
//! known by where they send from, by the name in their certificate, and by a digest where the operator wants one.

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
use super::{Event, Flow, LinkId, Output, Record, Trunks, Wire, text};

/// Strangers that are recorded a second; the others are only counted.
const RECORDED: u32 = 1;
/// The most transactions at once; new calls beyond get 503.
const MOST: usize = 50_000;
/// The most nonces that are remembered as used.
const NONCES: usize = 4_096;

/// What trunks may ask of us.
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
/// How much more than came goes back to a source that may be forged (as RFC 9000, 8.1).
const TIMES: usize = 3;
/// For how long that is counted: longer than anything rings.
const COUNTED: Duration = Duration::from_secs(250);
/// The To tag of answers without a transaction, the same for each copy.
const TAG: &str = "0";

/// Those who are no trunk.
#[derive(Default)]
pub(super) struct Strangers {
    pub(super) count: u64,
    records: Option<Bucket>,
    /// Nonces that trunks have answered, and how often.
    nonces: BTreeMap<String, u32>,
}

/// Where a message came from.
#[derive(Clone, Copy)]
struct Source {
    flow: Flow,
    address: SocketAddr,
    wire: Wire,
    /// How many octets it has.
    length: usize,
}

impl Trunks {
    pub(super) fn received(&mut self, flow: Flow, bytes: Vec<u8>) {
        let (address, wire) = match flow {
            Flow::Udp(address) => (address, Wire::Udp),
            Flow::Link(link) => match self.links.get_mut(&link) {
                Some(link) => {
                    link.heard = self.now;
                    (link.peer, link.wire)
                }
                None => return,
            },
        };
        log::message("received", flow, &bytes);
        let source = Source { flow, address, wire, length: bytes.len() };
        let message = OwnedMessage::parse(text::readable(bytes));
        let speakers = self.speakers(source, message.as_ref().ok().map(OwnedMessage::get));
        match message {
            Ok(message) if !message.get().is_request() => self.answer(source, &speakers, &message),
            Ok(message) if !speakers.is_empty() => self.asked(&speakers, source, &message),
            Ok(_) => self.stranger(source, "method"),
            Err(_) if speakers.is_empty() => self.stranger(source, "malformed"),
            Err(ParseError::Empty) => {}
            Err(_) => self.record_stranger(address, "malformed"),
        }
    }

    /// Whose a message may be: first of all that of the trunk whose connection it is, then that of all who send from there.
    fn speakers(&self, source: Source, message: Option<&Message<'_>>) -> Vec<usize> {
        let Source { flow, address, wire, .. } = source;
        let Flow::Link(link) = flow else { return self.all_at(address, None, wire, &[]) };
        let Some(link) = self.links.get(&link) else { return Vec::new() };
        // A datagram comes from the port itself; who has made a connection says in the Via of its requests which one is its own.
        let named = message.filter(|message| message.is_request());
        let port = named.and_then(|message| Some(message.via().ok()?.port.unwrap_or(wire.default_port())));
        let all = self.all_at(address, port, wire, &link.names).into_iter().filter(|trunk| link.trunk != Some(*trunk));
        link.trunk.into_iter().chain(all).collect()
    }

    /// The trunks that send from `source`, or from the same address and call themselves by `port` (a connection comes from any), with a
    /// certificate of these names: the one that fits best first. Another port of a trunk's address is its own only where it is nobody else's.
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

    /// An answer came. It counts from the trunk that was asked: from one of its addresses, or from where the request went (RFC 3261, 18.2.2).
    fn answer(&mut self, source: Source, speakers: &[usize], message: &OwnedMessage) {
        let asked = self.asked_by(message.get());
        let (known, wanted) = (!speakers.is_empty(), asked.is_some());
        let counts = asked.filter(|(_, hop)| {
            let there = match source.flow {
                Flow::Udp(address) => hop.wire == Wire::Udp && hop.address == address,
                Flow::Link(link) => hop.link == link,
            };
            there || speakers.contains(&hop.trunk)
        });
        match counts {
            Some(asked) => self.response(asked, message),
            None if !known => self.stranger(source, "answer"),
            None if wanted => self.record_stranger(source.address, "answer"),
            // It is late.
            None => {}
        }
    }

    fn stranger(&mut self, source: Source, what: &'static str) {
        self.record_stranger(source.address, what);
        if let Flow::Link(link) = source.flow {
            self.disconnect(link);
        }
    }

    fn record_stranger(&mut self, peer: SocketAddr, what: &'static str) {
        self.strangers.count += 1;
        if self.strangers.records.get_or_insert_with(|| Bucket::new(self.now, RECORDED)).take(self.now, RECORDED) {
            info!(%peer, what, "not a trunk");
            self.push(Output::Record(Record::Stranger { peer, what }));
        }
    }

    /// A trunk has sent a request.
    fn asked(&mut self, speakers: &[usize], source: Source, received: &OwnedMessage) {
        let trunk = speakers[0];
        let Ok(noted) = OwnedMessage::parse(text::note_source(received, source.address)) else { return };
        let request = noted.get();
        let hop = self.way_back(trunk, source, request);
        let Some(method) = request.method() else { return };
        let small = (source.wire == Wire::Udp).then_some(source.length);
        if let Err(rejection) = request.check() {
            let (trunk, code, reason) = (&self.peers[trunk].id.0, rejection.code.as_u16(), rejection.reason);
            debug!(call = %call(request), trunk, method = method.as_str(), code, reason, "refused");
            if method != Method::Ack {
                self.answer_plainly(hop, small, Refusal::Status(rejection.code).answer(request, TAG, &CAN).end());
            }
            return;
        }
        let theirs = |origin: Option<Hop>| origin.is_some_and(|origin| speakers.contains(&origin.trunk));
        let origin = self.transactions.origin(request);
        if origin.is_some() && !theirs(origin) {
            // Whoever copies another's request would get the answers to it, and whose ACK it is stops them.
            return self.record_stranger(source.address, "method");
        }
        let in_dialog = request.to().is_ok_and(|to| to.tag().is_some());
        let stray = method == Method::Cancel
            && !theirs(ServerKey::of(request).and_then(|cancel| self.transactions.way_back(&cancel.invite())));
        if stray || (!in_dialog && !matches!(method, Method::Invite | Method::Ack | Method::Cancel)) {
            return self.answer_at_once(hop, small, request);
        }
        if !matches!(method, Method::Ack | Method::Cancel) && origin.is_none() {
            if self.transactions.len() >= MOST {
                let trunk = &self.peers[trunk].id.0;
                debug!(call = %call(request), trunk, method = method.as_str(), code = 503, "refused: too many transactions");
                let refusal = Refusal::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, 5);
                return self.answer_plainly(hop, small, refusal.answer(request, TAG, &CAN).end());
            }
            if !in_dialog && !self.is_proven(trunk, hop, small, request) {
                return;
            }
        }
        let hop = match small {
            Some(length) if in_dialog || self.peers[trunk].config.from_username.is_empty() => self.allow(hop, length, request),
            _ => hop,
        };
        match self.transactions.receive(self.now, hop, transport(hop.wire), request) {
            Received::Request(key) => self.admitted(hop, key, small, (speakers, &noted)),
            Received::Ack if in_dialog => self.tell(hop, speakers, None, &noted),
            _ => {}
        }
    }

    /// Whose source is known by its address alone may be forged: what it is sent is counted.
    fn allow(&mut self, hop: Hop, length: usize, request: &Message<'_>) -> Hop {
        while self.allowed.first_key_value().is_some_and(|(_, (until, _))| *until <= self.now) || self.allowed.len() >= MOST {
            self.allowed.pop_first();
        }
        let known =
            self.transactions.origin(request).map(|origin| origin.source).filter(|source| self.allowed.contains_key(source));
        let source = known.unwrap_or_else(|| self.next());
        self.allowed.entry(source).or_insert((self.now + COUNTED, 0)).1 += TIMES * length;
        Hop { source, ..hop }
    }

    /// Whether something may go out. Of answers to what may be forged a refusal, most of which are copies (timer G), only where it fits;
    /// a 2xx, which somebody has picked up for, in any case.
    pub(super) fn may_leave(&mut self, hop: Hop, text: &str) -> bool {
        let Some((_, left)) = self.allowed.get_mut(&hop.source) else { return true };
        let code = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.bytes().next());
        let fits = text.len() <= *left;
        if code.is_some() {
            *left = left.saturating_sub(text.len());
        }
        fits || code.is_none_or(|code| code < b'3')
    }

    /// Where answers go (RFC 3261, 18.2.2; RFC 3581, 4), and where a connection can be made to if this one breaks.
    fn way_back(&self, trunk: usize, source: Source, request: &Message<'_>) -> Hop {
        let via = request.via().ok();
        let port = via.and_then(|via| via.port).unwrap_or(source.wire.default_port());
        let symmetric = self.peers[trunk].config.nat || via.is_some_and(|via| via.params.get("rport").is_some());
        let address = match source.flow {
            Flow::Udp(address) if symmetric => address,
            _ => SocketAddr::new(source.address.ip(), port),
        };
        let link = if let Flow::Link(link) = source.flow { link } else { LinkId(0) };
        Hop { trunk, wire: source.wire, address, link, source: 0 }
    }

    /// Answers a request that is for nobody else, without a transaction (RFC 3261, 8.2.7): a copy gets the same answer.
    fn answer_at_once(&mut self, hop: Hop, small: Option<usize>, request: &Message<'_>) {
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
        self.answer_plainly(hop, small, fitting(small, full.end()).unwrap_or_else(|| bare.end()));
    }

    fn admitted(&mut self, hop: Hop, key: ServerKey, small: Option<usize>, (speakers, request): (&[usize], &OwnedMessage)) {
        if key.method() == Method::Invite {
            // Whoever hears nothing asks again, and an answer that is larger than its request would be a gift to a forger.
            let trying = fitting(small, reply(request.get(), StatusCode::TRYING, None).end());
            if let Some(trying) = trying {
                self.transactions.respond(self.now, &key, trying);
                self.flush();
            }
        }
        self.tell(hop, speakers, Some(key), request);
    }

    /// Hands a request on.
    fn tell(&mut self, hop: Hop, speakers: &[usize], key: Option<ServerKey>, message: &OwnedMessage) {
        let request = message.get();
        let call_id = request.call_id().unwrap_or_default();
        let trunk = speakers.iter().copied().find(|trunk| self.paths.of(*trunk, call_id).is_some()).unwrap_or(hop.trunk);
        if self.peers[trunk].config.nat {
            match request.method() {
                Some(Method::Bye) => self.paths.forget(trunk, call_id),
                Some(Method::Invite | Method::Cancel) if request.to().is_ok_and(|to| to.tag().is_none()) => {}
                _ => self.paths.learn(call_id, Hop { trunk, ..hop }),
            }
        }
        let id = |trunk: usize| self.peers[trunk].id.clone();
        let others = speakers.iter().copied().filter(|other| *other != hop.trunk).map(id).collect();
        self.push(Output::Event(Event::Request { trunk: id(hop.trunk), others, key, message: message.clone() }));
    }

    /// An answer without a transaction. Over UDP, where the source may be forged, none that is larger than its request.
    fn answer_plainly(&mut self, hop: Hop, small: Option<usize>, text: String) {
        if let Some(text) = fitting(small, text) {
            self.deliver(hop, text);
        }
    }

    /// Whether a request outside a dialog shows the credentials that its trunk needs; if not, it is challenged, without any state.
    fn is_proven(&mut self, trunk: usize, hop: Hop, small: Option<usize>, request: &Message<'_>) -> bool {
        let config = &self.peers[trunk].config;
        if config.from_username.is_empty() {
            return true;
        }
        let shown = request.get(Name::Authorization).and_then(|value| Credentials::parse(value).ok());
        let place = hop.address.ip().to_string();
        let fresh = |shown: &Credentials<'_>| nonce::check(&self.nonce_key, self.now, place.as_bytes(), &shown.nonce).is_some();
        let stale = match &shown {
            None => false,
            // Who never got a challenge of ours, as one who forges where it is, finds out nothing and uses nothing up.
            Some(shown) if !fresh(shown) => true,
            Some(shown) => {
                let claim = Claim { address: hop.address.ip(), application: "", user: &self.peers[trunk].id.0 };
                if let Some(seconds) = self.settings.proofs.wait(self.now, &claim) {
                    let (trunk, address) = (&self.peers[trunk].id.0, hop.address);
                    debug!(call = %call(request), trunk, %address, seconds, "refused: too many failed proofs of identity");
                    let refusal = Refusal::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, seconds).answer(request, TAG, &CAN).end();
                    self.answer_plainly(hop, small, refusal);
                    return false;
                }
                let secret = ha1(shown.algorithm, &config.from_username, &self.settings.domain, &config.from_password);
                let right = shown.username == config.from_username
                    && shown.realm == self.settings.domain
                    && request.uri() == Some(&*shown.uri)
                    && request.method().is_some_and(|method| shown.matches(&secret, method));
                if right && self.strangers.is_first(self.now, &self.nonce_key, place.as_bytes(), shown) {
                    self.settings.proofs.proven(self.now, &claim);
                    return true;
                }
                if !right {
                    debug!(call = %call(request), trunk = self.peers[trunk].id.0, address = %hop.address, "wrong credentials");
                    self.settings.proofs.failed(self.now, &claim);
                    self.record_stranger(hop.address, "credentials");
                }
                right
            }
        };
        let nonce = nonce::make(&self.nonce_key, self.now, place.as_bytes());
        let challenge = |algorithm| {
            let realm = self.settings.domain.clone();
            Challenge { realm, nonce: nonce.clone(), opaque: None, algorithm, qop_auth: true, stale }.to_value()
        };
        // SHA-256 first (RFC 8760, 2.4); where both would make the answer larger than the request, what everybody knows.
        let both = [challenge(Algorithm::Sha256), challenge(Algorithm::Md5)];
        let refusal = |challenges: &[String]| Refusal::Unauthorized(challenges).answer(request, TAG, &CAN).end();
        let text = fitting(small, refusal(&both)).unwrap_or_else(|| refusal(&both[1..]));
        self.answer_plainly(hop, small, text);
        false
    }
}

impl Strangers {
    /// Whether these credentials have not been shown before: each count of a nonce is good once.
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

/// The Call-ID, for the log.
fn call<'a>(request: &Message<'a>) -> Plain<'a> {
    Plain(request.call_id().unwrap_or_default())
}

/// The answer, where it is no larger than what it answers (if that counts).
fn fitting(small: Option<usize>, text: String) -> Option<String> {
    small.is_none_or(|length| text.len() <= length).then_some(text)
}
