//! What all calls share: the time, the timers, the ways to switch, trunks, media and ledger, and which call a message belongs to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use offhook_ledger::{CallRef, Query};
use offhook_media::{Command, Leg, MAX_SDP, PeerSettings};
use offhook_sip::{Branch, Message, Method, StatusCode, Writer};
use offhook_trunk::{Dtmf, Trunk, TrunkId, Trunks};
use offhook_ua::glare;
use offhook_ua::log::Plain;
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::timers::Timers;
use offhook_ua::transaction::{ClientKey, Effect, ServerKey, Transactions, Transport};
use offhook_ua::uas::Refusal;
use tracing::debug;

use super::call::CallKey;
use super::limits::Limits;
use super::party::abilities;
use super::{Output, Settings, Timer};

/// One application, by its position in the list of those seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tenant(usize);

/// Where the messages for one side of a call go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NextHop {
    /// To the switch, for an application.
    Switch(Tenant),
    /// To a trunk.
    Trunk(TrunkId),
}

/// What a request of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// INVITE that begins the call.
    Invite,
    /// INVITE with an offer that refreshes the session.
    Reinvite,
    /// UPDATE that refreshes the session.
    Update,
    /// BYE, PRACK, INFO: little depends on the response.
    Other,
}

/// A key by which a call is found.
enum IndexKey {
    Tag(String),
    Invite(Leg, ServerKey),
    Request(Leg, ClientKey),
}

/// What all calls share.
pub(super) struct Context {
    /// The time of the input that is being handled.
    pub(super) now: Instant,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) random: Random,
    pub(super) trunks: Trunks,
    /// Transactions with the switch.
    pub(super) pages: Transactions<Tenant>,
    /// Keys of the applications seen so far.
    tenants: Vec<String>,
    pub(super) timers: Timers<Timer>,
    /// Calls by our tags.
    pub(super) tags: BTreeMap<String, (CallKey, Leg)>,
    /// Calls by the INVITE that began them.
    pub(super) invites: BTreeMap<(Leg, ServerKey), CallKey>,
    /// Calls by our requests that wait for their final response, and what each is for.
    pub(super) requests: BTreeMap<(Leg, ClientKey), (CallKey, Purpose)>,
    /// The keys of these three that lead to each call: so that forgetting a call takes no look at all others.
    index: BTreeMap<CallKey, Vec<IndexKey>>,
    /// Calls by their reference in the ledger.
    pub(super) references: BTreeMap<CallRef, CallKey>,
    pub(super) out: VecDeque<Output>,
}

impl Context {
    pub(super) fn new(settings: Settings, trunks: Trunks, seed: [u8; 32]) -> Self {
        Self {
            now: Instant::default(),
            settings,
            limits: Limits::default(),
            random: Random::new(seed),
            trunks,
            pages: Transactions::new(),
            tenants: Vec::new(),
            timers: Timers::default(),
            tags: BTreeMap::new(),
            invites: BTreeMap::new(),
            requests: BTreeMap::new(),
            index: BTreeMap::new(),
            references: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }

    /// Returns the application with this key.
    pub(super) fn tenant(&mut self, application: &str) -> Tenant {
        let known = self.tenants.iter().position(|known| known == application);
        Tenant(known.unwrap_or_else(|| {
            self.tenants.push(application.to_owned());
            self.tenants.len() - 1
        }))
    }

    /// Returns the key of an application.
    pub(super) fn application(&self, tenant: Tenant) -> String {
        self.tenants.get(tenant.0).cloned().unwrap_or_default()
    }

    /// Returns a new tag of ours, by which requests find the call.
    pub(super) fn tag(&mut self, key: CallKey, leg: Leg) -> String {
        let tag = self.random.token();
        self.tags.insert(tag.clone(), (key, leg));
        self.index(key, IndexKey::Tag(tag.clone()));
        tag
    }

    /// Takes note of the INVITE that began a call.
    pub(super) fn index_invite(&mut self, key: CallKey, leg: Leg, invite: ServerKey) {
        self.index(key, IndexKey::Invite(leg, invite.clone()));
        self.invites.insert((leg, invite), key);
    }

    fn index(&mut self, key: CallKey, entry: IndexKey) {
        self.index.entry(key).or_default().push(entry);
    }

    /// Forgets a request of ours that has its final response.
    pub(super) fn forget_request(&mut self, key: CallKey, leg: Leg, request: &ClientKey) {
        self.requests.remove(&(leg, request.clone()));
        if let Some(index) = self.index.get_mut(&key) {
            index.retain(|entry| !matches!(entry, IndexKey::Request(side, known) if *side == leg && known == request));
        }
    }

    /// Sends a request of a call, which lacks Via and Max-Forwards.
    pub(super) fn send_request(
        &mut self,
        key: CallKey,
        next_hop: &NextHop,
        purpose: Purpose,
        request: Writer,
        body: Body<'_>,
    ) -> ClientKey {
        let request = request.field("Max-Forwards", "70");
        let (leg, sent) = match next_hop {
            NextHop::Switch(tenant) => {
                let branch = Branch::new(&self.random.token());
                let sent = ClientKey::new(branch.clone(), request.method());
                let text = write(request.field("Via", &via(&branch)), body);
                self.pages.request(self.now, *tenant, Transport::Reliable, &sent, text);
                (Leg::Page, sent)
            }
            NextHop::Trunk(trunk) => (Leg::Peer, self.trunks.request(self.now, trunk, write(request, body))),
        };
        self.requests.insert((leg, sent.clone()), (key, purpose));
        self.index(key, IndexKey::Request(leg, sent.clone()));
        self.flush();
        sent
    }

    /// Sends an ACK to a 2xx, which lacks Via and Max-Forwards. Returns it whole, for retransmissions of the 2xx.
    pub(super) fn send_ack(&mut self, next_hop: &NextHop, ack: Writer) -> String {
        let ack = ack.field("Max-Forwards", "70");
        let ack = match next_hop {
            NextHop::Switch(_) => ack.field("Via", &via(&Branch::new(&self.random.token()))),
            NextHop::Trunk(_) => ack,
        };
        let text = ack.end();
        self.retransmit_ack(next_hop, &text);
        text
    }

    /// Sends an ACK once more, as its 2xx was retransmitted.
    pub(super) fn retransmit_ack(&mut self, next_hop: &NextHop, text: &str) {
        match next_hop {
            NextHop::Switch(tenant) => self.page(*tenant, text.to_owned()),
            NextHop::Trunk(trunk) => self.trunks.send(self.now, trunk, text.to_owned()),
        }
    }

    /// Responds to a request.
    pub(super) fn respond(&mut self, leg: Leg, key: &ServerKey, text: String) {
        match leg {
            Leg::Page => self.pages.respond(self.now, key, text),
            Leg::Peer => self.trunks.respond(self.now, key, text),
        }
        self.flush();
    }

    /// Retransmits a response that was not acknowledged.
    pub(super) fn retransmit(&mut self, next_hop: &NextHop, key: &ServerKey, text: &str) {
        match next_hop {
            NextHop::Switch(tenant) => self.page(*tenant, text.to_owned()),
            NextHop::Trunk(_) => self.trunks.retransmit(key, text),
        }
    }

    /// Rejects a request within a call, or one that belongs to none.
    pub(super) fn reject(&mut self, leg: Leg, key: &ServerKey, request: &Message<'_>, code: StatusCode) {
        let (call, side) = (request.call_id().unwrap_or_default(), side(leg));
        let method = request.method().map(Method::as_str);
        debug!(call = %Plain(call), side, method, code = code.as_u16(), "a request in a call is rejected");
        let tag = self.random.token();
        self.respond(leg, key, Refusal::Status(code).answer(request, &tag, &abilities(leg)).end());
    }

    /// Rejects an offer that comes while another one waits for its answer; `by_peer`: while one of the same peer does.
    pub(super) fn reject_glare(&mut self, leg: Leg, key: &ServerKey, request: &Message<'_>, by_peer: bool) {
        let (refusal, tag) = (glare::refusal(by_peer, &mut self.random), self.random.token());
        self.respond(leg, key, refusal.answer(request, &tag, &abilities(leg)).end());
    }

    /// Cancels an INVITE of ours, as soon as that may be (RFC 3261, 9.1).
    pub(super) fn cancel(&mut self, leg: Leg, key: &ClientKey, reason: Option<&str>) {
        match leg {
            Leg::Page => self.pages.cancel(self.now, key, reason),
            Leg::Peer => self.trunks.cancel(self.now, key, reason),
        }
        self.flush();
    }

    /// Returns what the media of a call over a trunk need to know; `None`: there is no such trunk.
    pub(super) fn peer_settings(&self, trunk: &TrunkId) -> Option<PeerSettings> {
        let Trunk { ref codecs, security, nat, eager, media_address: address, dtmf, .. } = *self.trunks.config(trunk)?;
        let (codecs, signalling, info) = (codecs.clone(), self.trunks.hosts(trunk), dtmf == Dtmf::Info);
        Some(PeerSettings { codecs, security, address, nat, signalling, eager, info })
    }

    /// Starts a timer, or moves it; it fires when `after` has passed.
    pub(super) fn set_timer(&mut self, timer: Timer, after: Duration) {
        self.timers.set(timer, self.now + after);
    }

    /// Tells the media.
    pub(super) fn media(&mut self, command: Command) {
        self.out.push_back(Output::Media(command));
    }

    /// Asks or tells the ledger.
    pub(super) fn ledger(&mut self, query: Query) {
        self.out.push_back(Output::Ledger(query));
    }

    /// Sends what the transactions with the switch have to send.
    pub(super) fn flush(&mut self) {
        while let Some(effect) = self.pages.poll() {
            // Time-outs: the timers of the calls see to them.
            if let Effect::Send { flow, text } = effect {
                self.page(flow, text);
            }
        }
    }

    /// Forgets all keys by which a call is found, and its timers.
    pub(super) fn forget(&mut self, key: CallKey, reference: &CallRef) {
        self.unindex(key);
        self.references.remove(reference);
        for timer in Timer::all(key) {
            self.timers.clear(&timer);
        }
    }

    /// Forgets all keys by which a call is found, but for its reference in the ledger.
    pub(super) fn unindex(&mut self, key: CallKey) {
        for entry in self.index.remove(&key).unwrap_or_default() {
            match entry {
                IndexKey::Tag(tag) => {
                    self.tags.remove(&tag);
                }
                IndexKey::Invite(leg, invite) => {
                    self.invites.remove(&(leg, invite));
                }
                IndexKey::Request(leg, request) => {
                    self.requests.remove(&(leg, request));
                }
            }
        }
    }

    /// How many keys there are by which calls are found.
    pub(super) fn len(&self) -> usize {
        self.tags.len() + self.invites.len() + self.requests.len() + self.index.len() + self.references.len()
    }

    /// Sends a message to the switch.
    fn page(&mut self, tenant: Tenant, text: String) {
        let application = self.application(tenant);
        self.out.push_back(Output::ToSwitch { application, text });
    }
}

/// The Via of a request to a page. The switch does not look at the host.
fn via(branch: &Branch) -> String {
    format!("SIP/2.0/WS bridge.invalid;branch={}", branch.as_str())
}

/// Returns the name of a side of a call in the log.
pub(super) const fn side(leg: Leg) -> &'static str {
    match leg {
        Leg::Page => "page",
        Leg::Peer => "trunk",
    }
}

/// Type and text of a body, if there is one.
pub(super) type Body<'a> = Option<(&'a str, &'a str)>;

/// The media type of session descriptions.
pub(super) const SDP: &str = "application/sdp";

/// Returns the session description in a message; `None` where there is none, or it is larger than the media take.
pub(super) fn description<'a>(message: &Message<'a>) -> Option<&'a str> {
    message.description().filter(|sdp| sdp.len() <= MAX_SDP)
}

fn write(message: Writer, body: Body<'_>) -> String {
    match body {
        Some((kind, body)) => message.body(kind, body),
        None => message.end(),
    }
}
