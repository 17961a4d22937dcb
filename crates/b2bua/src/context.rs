//! What all calls of the bridge share: the ways out, the timers, and which call a message belongs to.

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
use super::party::can;
use super::room::Room;
use super::{Output, Settings, Timer};

/// One application, by its place in the list of those that were heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tenant(usize);

/// Where one side of a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// At the switch.
    Page(Tenant),
    /// Behind a trunk.
    Peer(TrunkId),
}

/// What a request of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The call.
    Invite,
    /// Another offer.
    Reinvite,
    /// The session lives on.
    Update,
    /// BYE, PRACK, INFO: little depends on the answer.
    Else,
}

/// By what a call is found.
enum Lead {
    Tag(String),
    Invite(Leg, ServerKey),
    Asked(Leg, ClientKey),
}

pub(super) struct Context {
    /// The time of the input that is being handled.
    pub(super) now: Instant,
    pub(super) settings: Settings,
    pub(super) room: Room,
    pub(super) random: Random,
    pub(super) trunks: Trunks,
    pub(super) pages: Transactions<Tenant>,
    tenants: Vec<String>,
    pub(super) timers: Timers<Timer>,
    /// Calls by our tags.
    pub(super) tags: BTreeMap<String, (CallKey, Leg)>,
    /// Calls by the INVITE that began them.
    pub(super) invites: BTreeMap<(Leg, ServerKey), CallKey>,
    /// Calls by our requests.
    pub(super) asked: BTreeMap<(Leg, ClientKey), (CallKey, Asked)>,
    /// What of these three leads to which call: to forget one does not take a look at all others.
    leads: BTreeMap<CallKey, Vec<Lead>>,
    /// Calls by their name in the ledger.
    pub(super) booked: BTreeMap<CallRef, CallKey>,
    pub(super) out: VecDeque<Output>,
}

impl Context {
    pub(super) fn new(settings: Settings, trunks: Trunks, seed: [u8; 32]) -> Self {
        Self {
            now: Instant::default(),
            settings,
            room: Room::default(),
            random: Random::new(seed),
            trunks,
            pages: Transactions::new(),
            tenants: Vec::new(),
            timers: Timers::default(),
            tags: BTreeMap::new(),
            invites: BTreeMap::new(),
            asked: BTreeMap::new(),
            leads: BTreeMap::new(),
            booked: BTreeMap::new(),
            out: VecDeque::new(),
        }
    }

    /// The application with this key.
    pub(super) fn tenant(&mut self, application: &str) -> Tenant {
        let known = self.tenants.iter().position(|known| known == application);
        Tenant(known.unwrap_or_else(|| {
            self.tenants.push(application.to_owned());
            self.tenants.len() - 1
        }))
    }

    pub(super) fn application(&self, tenant: Tenant) -> String {
        self.tenants.get(tenant.0).cloned().unwrap_or_default()
    }

    /// A tag of ours, by which requests find the call.
    pub(super) fn tag(&mut self, key: CallKey, leg: Leg) -> String {
        let tag = self.random.token();
        self.tags.insert(tag.clone(), (key, leg));
        self.lead(key, Lead::Tag(tag.clone()));
        tag
    }

    /// The INVITE that began a call.
    pub(super) fn began(&mut self, key: CallKey, leg: Leg, invite: ServerKey) {
        self.lead(key, Lead::Invite(leg, invite.clone()));
        self.invites.insert((leg, invite), key);
    }

    fn lead(&mut self, key: CallKey, lead: Lead) {
        self.leads.entry(key).or_default().push(lead);
    }

    /// A request of ours has its final answer.
    pub(super) fn settled(&mut self, key: CallKey, leg: Leg, request: &ClientKey) {
        self.asked.remove(&(leg, request.clone()));
        if let Some(leads) = self.leads.get_mut(&key) {
            leads.retain(|lead| !matches!(lead, Lead::Asked(side, known) if *side == leg && known == request));
        }
    }

    /// Sends a request; all but Via is in it.
    pub(super) fn ask(&mut self, key: CallKey, way: &Way, asked: Asked, request: Writer, body: Body<'_>) -> ClientKey {
        let request = request.field("Max-Forwards", "70");
        let (leg, sent) = match way {
            Way::Page(tenant) => {
                let branch = Branch::new(&self.random.token());
                let sent = ClientKey::new(branch.clone(), request.request_line().map_or(Method::Other(""), |(method, _)| method));
                let text = write(request.field("Via", &via(&branch)), body);
                self.pages.request(self.now, *tenant, Transport::Reliable, &sent, text);
                (Leg::Page, sent)
            }
            Way::Peer(trunk) => (Leg::Peer, self.trunks.request(self.now, trunk, write(request, body))),
        };
        self.asked.insert((leg, sent.clone()), (key, asked));
        self.lead(key, Lead::Asked(leg, sent.clone()));
        self.flush();
        sent
    }

    /// Sends an ACK; all but Via is in it.
    pub(super) fn acknowledge(&mut self, way: &Way, ack: Writer, body: Body<'_>) -> String {
        let ack = ack.field("Max-Forwards", "70");
        let ack = match way {
            Way::Page(_) => ack.field("Via", &via(&Branch::new(&self.random.token()))),
            Way::Peer(_) => ack,
        };
        let text = write(ack, body);
        self.acknowledge_again(way, &text);
        text
    }

    /// The 2xx has come again.
    pub(super) fn acknowledge_again(&mut self, way: &Way, text: &str) {
        match way {
            Way::Page(tenant) => self.page(*tenant, text.to_owned()),
            Way::Peer(trunk) => self.trunks.send(self.now, trunk, text.to_owned()),
        }
    }

    pub(super) fn respond(&mut self, leg: Leg, key: &ServerKey, text: String) {
        match leg {
            Leg::Page => self.pages.respond(self.now, key, text),
            Leg::Peer => self.trunks.respond(self.now, key, text),
        }
        self.flush();
    }

    /// Retransmits a response that was not acknowledged.
    pub(super) fn retransmit(&mut self, way: &Way, key: &ServerKey, text: &str) {
        match way {
            Way::Page(tenant) => self.page(*tenant, text.to_owned()),
            Way::Peer(_) => self.trunks.retransmit(key, text),
        }
    }

    /// Refuses a request of a call, or one that belongs to none.
    pub(super) fn refuse(&mut self, leg: Leg, key: &ServerKey, request: &Message<'_>, code: StatusCode) {
        let (call, side) = (request.call_id().unwrap_or_default(), side(leg));
        let method = request.method().map(Method::as_str);
        debug!(call = %Plain(call), side, method, code = code.as_u16(), "a request in a call is refused");
        let tag = self.random.token();
        self.respond(leg, key, Refusal::Status(code).answer(request, &tag, &can(leg)).end());
    }

    /// Refuses an offer that comes while another one waits for its answer: theirs, or ours.
    pub(super) fn refuse_crossing(&mut self, leg: Leg, key: &ServerKey, request: &Message<'_>, theirs: bool) {
        let (refusal, tag) = (glare::refusal(theirs, &mut self.random), self.random.token());
        self.respond(leg, key, refusal.answer(request, &tag, &can(leg)).end());
    }

    /// Takes an INVITE of ours back, as soon as that may be.
    pub(super) fn cancel(&mut self, leg: Leg, key: &ClientKey, reason: Option<&str>) {
        match leg {
            Leg::Page => self.pages.cancel(self.now, key, reason),
            Leg::Peer => self.trunks.cancel(self.now, key, reason),
        }
        self.flush();
    }

    /// What the media of a trunk need to know.
    pub(super) fn peer_settings(&self, trunk: &TrunkId) -> Option<PeerSettings> {
        let Trunk { ref codecs, security, nat, eager, media_address: address, dtmf, .. } = *self.trunks.config(trunk)?;
        let (codecs, signalling, info) = (codecs.clone(), self.trunks.hosts(trunk), dtmf == Dtmf::Info);
        Some(PeerSettings { codecs, security, address, nat, signalling, eager, info })
    }

    /// Starts a timer, or moves it; it fires when `after` has passed.
    pub(super) fn set_timer(&mut self, timer: Timer, after: Duration) {
        self.timers.set(timer, self.now + after);
    }

    pub(super) fn media(&mut self, command: Command) {
        self.out.push_back(Output::Media(command));
    }

    pub(super) fn ledger(&mut self, query: Query) {
        self.out.push_back(Output::Ledger(query));
    }

    /// What the transactions with the switch want sent.
    pub(super) fn flush(&mut self) {
        while let Some(effect) = self.pages.poll() {
            // Answers that do not come, and ACKs, the timers of the calls see to.
            if let Effect::Send { flow, text } = effect {
                self.page(flow, text);
            }
        }
    }

    /// Forgets all that leads to a call.
    pub(super) fn forget(&mut self, key: CallKey, booking: &CallRef) {
        self.forget_leads(key);
        self.booked.remove(booking);
        for timer in Timer::all(key) {
            self.timers.clear(&timer);
        }
    }

    /// Forgets by what a call is found, but for its name in the ledger.
    pub(super) fn forget_leads(&mut self, key: CallKey) {
        for lead in self.leads.remove(&key).unwrap_or_default() {
            match lead {
                Lead::Tag(tag) => {
                    self.tags.remove(&tag);
                }
                Lead::Invite(leg, invite) => {
                    self.invites.remove(&(leg, invite));
                }
                Lead::Asked(leg, request) => {
                    self.asked.remove(&(leg, request));
                }
            }
        }
    }

    /// How many things are remembered that lead to a call.
    pub(super) fn len(&self) -> usize {
        self.tags.len() + self.invites.len() + self.asked.len() + self.leads.len() + self.booked.len()
    }

    fn page(&mut self, tenant: Tenant, text: String) {
        let application = self.application(tenant);
        self.out.push_back(Output::Page { application, text });
    }
}

/// The Via of a request to a page. The switch does not look at the host.
fn via(branch: &Branch) -> String {
    format!("SIP/2.0/WS bridge.invalid;branch={}", branch.as_str())
}

/// A side of a call, as the log has it.
pub(super) const fn side(leg: Leg) -> &'static str {
    match leg {
        Leg::Page => "page",
        Leg::Peer => "trunk",
    }
}

/// The type and text of a body, if any.
pub(super) type Body<'a> = Option<(&'a str, &'a str)>;

/// The type of descriptions.
pub(super) const SDP: &str = "application/sdp";

/// The description in a message, where there is one of a size that is kept.
pub(super) fn description<'a>(message: &Message<'a>) -> Option<&'a str> {
    (message.content_is(SDP) && message.body.len() <= MAX_SDP).then(|| message.text())
}

fn write(message: Writer, body: Body<'_>) -> String {
    match body {
        Some((kind, body)) => message.body(kind, body),
        None => message.end(),
    }
}
