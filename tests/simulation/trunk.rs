//! Two stateful proxies with UDP between them, as an operator would set up with Kamailio: alice is connected to one, bob's devices to the
//! other. Between them single messages are lost, duplicated and reordered, and the timers of RFC 3261 (A, B, E, F, G, H, J, K) retransmit them;
//! what no transaction retransmits (ACK to a 2xx, the 2xx itself, reliable provisional responses) is up to the clients.
//!
//! No more than RFC 3261 (16) demands of a proxy: no identity, no route for unauthenticated clients.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use offhook_sip::{Message, Method, Name, Start, StatusCode, Writer, parse, reply};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Effect, Received, ServerKey, Transactions, Transport};

use super::server::{Said, Wire};

/// Timer C (RFC 3261, 16.6), ms.
const RING: u64 = 185_000;
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Where a message goes: to a device of this proxy's, by its number, or to the other proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Flow {
    Device(usize),
    Udp,
}

/// Both proxies.
pub struct Trunk {
    edges: [Edge; 2],
    said: VecDeque<Said>,
}

/// One proxy.
struct Edge {
    host: &'static str,
    random: Random,
    transactions: Transactions<Flow>,
    devices: Vec<Device>,
    /// Requests that were passed on, by the sender's transaction.
    forwards: BTreeMap<ServerKey, Forward>,
    /// When INVITEs have rung for too long (Timer C).
    patience: VecDeque<(Instant, ServerKey)>,
    out: VecDeque<(Flow, String)>,
}

/// A device, known by the host in its Via (RFC 7118, 5.1).
struct Device {
    host: String,
    user: String,
    contact: String,
    registered: bool,
    wire: Option<Wire>,
}

struct Forward {
    from: Flow,
    request: String,
    branches: Vec<Branch>,
    answered: bool,
}

struct Branch {
    key: ClientKey,
    flow: Flow,
    text: String,
    proceeding: bool,
    /// Why it is to be cancelled, and whether it was.
    cancel: Option<Option<&'static str>>,
    cancelled: bool,
    final_answer: Option<(u16, String)>,
}

impl Trunk {
    pub fn new(mut random: Random) -> Self {
        let edges = ["one.example", "two.example"].map(|host| Edge {
            host,
            random: Random::new(random.bytes()),
            transactions: Transactions::new(),
            devices: Vec::new(),
            forwards: BTreeMap::new(),
            patience: VecDeque::new(),
            out: VecDeque::new(),
        });
        Self { edges, said: VecDeque::new() }
    }

    pub fn received(&mut self, now: Instant, wire: Wire, edge: usize, text: &str) {
        if text.trim().is_empty() {
            return self.said.push_back(Said::Send(wire, "\r\n".into()));
        }
        if let Ok(message) = parse(text.as_bytes())
            && let Some(device) = self.edges[edge].device(wire, &message)
        {
            self.edges[edge].receive(now, Flow::Device(device), &message);
        }
        self.settle(now);
    }

    pub fn datagram(&mut self, now: Instant, edge: usize, text: &str) {
        if let Ok(message) = parse(text.as_bytes()) {
            self.edges[edge].receive(now, Flow::Udp, &message);
        }
        self.settle(now);
    }

    pub fn closed(&mut self, wire: Wire) {
        let devices = self.edges.iter_mut().flat_map(|edge| &mut edge.devices);
        devices.filter(|device| device.wire == Some(wire)).for_each(|device| device.wire = None);
    }

    pub fn timeout(&mut self, now: Instant) {
        for edge in &mut self.edges {
            edge.transactions.handle_timeout(now);
            edge.lose_patience(now);
        }
        self.settle(now);
    }

    pub fn deadline(&self) -> Option<Instant> {
        let patience = self.edges.iter().filter_map(|edge| edge.patience.front()).map(|(at, _)| *at);
        self.edges.iter().filter_map(|edge| edge.transactions.deadline()).chain(patience).min()
    }

    pub fn poll(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    /// How many transactions there are.
    pub fn footprint(&self) -> usize {
        self.edges.iter().map(|edge| edge.transactions.len()).sum()
    }

    fn settle(&mut self, now: Instant) {
        for (number, edge) in self.edges.iter_mut().enumerate() {
            edge.settle(now);
            for (flow, text) in edge.out.drain(..) {
                match flow {
                    Flow::Udp => self.said.push_back(Said::Datagram(1 - number, text)),
                    Flow::Device(device) => {
                        self.said.extend(edge.devices[device].wire.map(|wire| Said::Send(wire, text)));
                    }
                }
            }
        }
    }
}

impl Edge {
    /// The device at the other end of a WebSocket; a request makes it known.
    fn device(&mut self, wire: Wire, message: &Message<'_>) -> Option<usize> {
        if !message.is_request() {
            return self.devices.iter().position(|device| device.wire == Some(wire));
        }
        let host = message.via().ok()?.host;
        let known = self.devices.iter().position(|device| device.host == host);
        let number = known.unwrap_or_else(|| {
            let user = message.from().map(|from| from.uri.user_text().into_owned()).unwrap_or_default();
            let (host, contact) = (host.to_owned(), String::new());
            self.devices.push(Device { host, user, contact, registered: false, wire: None });
            self.devices.len() - 1
        });
        self.devices[number].wire = Some(wire);
        Some(number)
    }

    fn receive(&mut self, now: Instant, flow: Flow, message: &Message<'_>) {
        if let (Flow::Device(device), Some(Ok(contact))) = (flow, message.contacts().next()) {
            contact.uri_text.clone_into(&mut self.devices[device].contact);
        }
        match self.transactions.receive(now, flow, transport(flow), message) {
            Received::Request(key) => self.request(now, flow, key, message),
            Received::Ack => {
                for (to, uri) in self.targets(flow, message) {
                    let branch = self.branch();
                    let ack = self.forward(message, to, &uri, &branch);
                    self.out.push_back((to, ack));
                }
            }
            Received::Response(key) => self.response(now, &key, message),
            Received::Absorbed | Received::Stray => {}
        }
    }

    fn request(&mut self, now: Instant, flow: Flow, key: ServerKey, request: &Message<'_>) {
        match (key.method(), flow) {
            (Method::Register, Flow::Device(device)) => self.register(now, device, &key, request),
            (Method::Options, Flow::Device(_)) => {
                self.transactions.respond(now, &key, reply(request, StatusCode::OK, Some("edge")).end())
            }
            (Method::Cancel, _) => {
                let known = self.forwards.contains_key(&key.invite());
                self.transactions.respond(
                    now,
                    &key,
                    reply(request, if known { StatusCode::OK } else { StatusCode::CALL_DOES_NOT_EXIST }, Some("edge")).end(),
                );
                self.cancel_branches(now, &key.invite(), None);
            }
            (method, _) => {
                if method == Method::Invite {
                    self.transactions.respond(now, &key, reply(request, StatusCode::TRYING, None).end());
                }
                self.pass_on(now, flow, key, request);
            }
        }
    }

    fn register(&mut self, now: Instant, device: usize, key: &ServerKey, request: &Message<'_>) {
        let bind = request.number(Name::Expires) != Some(0) && request.get(Name::Contact).is_some();
        self.devices[device].registered = bind;
        let mut answer = reply(request, StatusCode::OK, Some("edge"));
        if let Some(contact) = request.get(Name::Contact).filter(|_| bind) {
            answer = answer.field("Contact", &[contact, ";expires=600"].concat());
        }
        self.transactions.respond(now, key, answer.end());
    }

    /// Where a request goes: what comes from a device goes to the other proxy; what comes from there, to the device that its URI names,
    /// or to all devices of the user.
    fn targets(&self, flow: Flow, request: &Message<'_>) -> Vec<(Flow, String)> {
        let uri = request.uri().unwrap_or_default().to_owned();
        if flow != Flow::Udp {
            return vec![(Flow::Udp, uri)];
        }
        if let Some(device) = self.devices.iter().position(|device| uri.contains(&device.host)) {
            return vec![(Flow::Device(device), uri)];
        }
        if request.to().is_ok_and(|to| to.tag().is_some()) {
            return Vec::new();
        }
        let user = request.target().and_then(Result::ok).map(|uri| uri.user_text().into_owned()).unwrap_or_default();
        let online = |device: &Device| device.registered && device.wire.is_some() && device.user == user;
        let devices = self.devices.iter().enumerate().filter(|(_, device)| online(device));
        devices.map(|(number, device)| (Flow::Device(number), device.contact.clone())).collect()
    }

    fn pass_on(&mut self, now: Instant, flow: Flow, key: ServerKey, request: &Message<'_>) {
        let targets = self.targets(flow, request);
        if targets.is_empty() {
            return self.transactions.respond(now, &key, reply(request, StatusCode::TEMPORARILY_UNAVAILABLE, Some("edge")).end());
        }
        let mut branches = Vec::new();
        for (to, uri) in targets {
            let branch = self.branch();
            let text = self.forward(request, to, &uri, &branch);
            let client = ClientKey::new((*branch).into(), key.method());
            self.transactions.request(now, to, transport(to), &client, text.clone());
            branches.push(Branch {
                key: client,
                flow: to,
                text,
                proceeding: false,
                cancel: None,
                cancelled: false,
                final_answer: None,
            });
        }
        let request = request.source().to_owned();
        if key.method() == Method::Invite {
            self.patience.push_back((now + Duration::from_millis(RING), key.clone()));
        }
        self.forwards.insert(key, Forward { from: flow, request, branches, answered: false });
    }

    fn branch(&mut self) -> String {
        ["z9hG4bK", &self.random.token()].concat()
    }

    fn forward(&self, request: &Message<'_>, to: Flow, uri: &str, branch: &str) -> String {
        let via = ["SIP/2.0/", if to == Flow::Udp { "UDP " } else { "WS " }, self.host, ";branch=", branch].concat();
        let mut out = Writer::request(request.method().expect("a request is passed on"), uri).field("Via", &via);
        if request.method() == Some(Method::Invite) && request.to().is_ok_and(|to| to.tag().is_none()) {
            out = out.field("Record-Route", &["<sip:", self.host, ";lr>"].concat());
        }
        copy(out, request, |name| !matches!(name, Name::Route))
    }

    fn response(&mut self, now: Instant, key: &ClientKey, response: &Message<'_>) {
        let ours = |forward: &Forward| forward.branches.iter().any(|branch| branch.key == *key);
        let Some((server, forward)) = self.forwards.iter_mut().find(|(_, forward)| ours(forward)) else { return };
        let Some(branch) = forward.branches.iter_mut().find(|branch| branch.key == *key) else { return };
        let (server, code) = (server.clone(), response.code().unwrap_or(StatusCode::SERVER_INTERNAL_ERROR));
        let upstream = strip(response);
        branch.proceeding = true;
        if code.is_provisional() {
            let wanted = branch.cancel.is_some();
            if code > StatusCode::TRYING {
                self.transactions.respond(now, &server, upstream);
            }
            if wanted {
                self.cancel_branches(now, &server, None);
            }
            return;
        }
        if !code.is_failure() && server.method() == Method::Invite {
            branch.final_answer = Some((u16::from(code), String::new()));
            if std::mem::replace(&mut forward.answered, true) {
                // A retransmission, or another device: the caller handles it.
                return self.out.push_back((forward.from, upstream));
            }
            self.transactions.respond(now, &server, upstream);
            return self.cancel_branches(now, &server, Some(ELSEWHERE));
        }
        self.failed(now, &server, key, u16::from(code), upstream);
    }

    /// A branch has its final answer; the best one goes on when all have (RFC 3261, 16.7).
    fn failed(&mut self, now: Instant, server: &ServerKey, key: &ClientKey, code: u16, upstream: String) {
        let Some(forward) = self.forwards.get_mut(server) else { return };
        for branch in forward.branches.iter_mut().filter(|branch| branch.key == *key && branch.final_answer.is_none()) {
            branch.final_answer = Some((code, upstream.clone()));
        }
        let all: Vec<&(u16, String)> = forward.branches.iter().filter_map(|branch| branch.final_answer.as_ref()).collect();
        let best = all.iter().min_by_key(|(code, _)| if *code >= 600 { 0 } else { *code });
        if all.len() == forward.branches.len()
            && !forward.answered
            && let Some((_, text)) = best
        {
            let text = text.clone();
            self.transactions.respond(now, server, text);
        } else if code >= 600 {
            self.cancel_branches(now, server, None);
        }
    }

    fn cancel_branches(&mut self, now: Instant, server: &ServerKey, reason: Option<&'static str>) {
        let Some(forward) = self.forwards.get_mut(server).filter(|_| server.method() == Method::Invite) else { return };
        for branch in forward.branches.iter_mut().filter(|branch| branch.final_answer.is_none()) {
            let reason = *branch.cancel.get_or_insert(reason);
            if branch.proceeding && !std::mem::replace(&mut branch.cancelled, true) {
                let text = cancel(&branch.text, reason);
                let key = ClientKey::new(branch.key.branch().clone(), Method::Cancel);
                self.transactions.request(now, branch.flow, transport(branch.flow), &key, text);
            }
        }
    }

    /// Cancels INVITEs that have rung for too long (Timer C), and waits for them no longer.
    fn lose_patience(&mut self, now: Instant) {
        while let Some((_, server)) = self.patience.pop_front_if(|(at, _)| *at <= now) {
            self.cancel_branches(now, &server, None);
            let branches = self.forwards.get(&server).into_iter().flat_map(|forward| &forward.branches);
            let silent = branches.filter(|branch| branch.final_answer.is_none()).map(|branch| branch.key.clone());
            for key in silent.collect::<Vec<_>>() {
                self.silent(now, &server, &key, 408);
            }
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some(effect) = self.transactions.poll() {
            match effect {
                Effect::Send { flow, text } => self.out.push_back((flow, text)),
                Effect::TimedOut(key) => self.timed_out(now, &key),
                Effect::NoAck(_) => {}
            }
        }
    }

    /// A request timed out: it fails, and a branch whose CANCEL got no response is over (RFC 3261, 9.1).
    fn timed_out(&mut self, now: Instant, key: &ClientKey) {
        let cancelled = key.method() == Method::Cancel;
        let invite = ClientKey::new(key.branch().clone(), if cancelled { Method::Invite } else { key.method() });
        let ours = |forward: &Forward| forward.branches.iter().any(|branch| branch.key == invite && branch.final_answer.is_none());
        let Some((server, _)) = self.forwards.iter().find(|(_, forward)| ours(forward)) else { return };
        let server = server.clone();
        self.silent(now, &server, &invite, if cancelled { 487 } else { 408 });
    }

    /// Drops a branch that will not respond any more.
    fn silent(&mut self, now: Instant, server: &ServerKey, key: &ClientKey, code: u16) {
        let Some(forward) = self.forwards.get(server) else { return };
        let text =
            parse(forward.request.as_bytes()).map(|request| reply(&request, StatusCode::new(code).unwrap(), Some("edge")).end());
        self.transactions.abandon(key);
        self.failed(now, server, key, code, text.unwrap_or_default());
    }
}

const fn transport(flow: Flow) -> Transport {
    match flow {
        Flow::Udp => Transport::Unreliable,
        Flow::Device(_) => Transport::Reliable,
    }
}

/// Returns a response without our Via.
fn strip(response: &Message<'_>) -> String {
    let Start::Response { code, reason } = response.start else { return String::new() };
    let mut first = true;
    copy(Writer::response(code, reason), response, |name| name != Name::Via || !std::mem::take(&mut first))
}

fn copy(out: Writer, message: &Message<'_>, mut wanted: impl FnMut(Name) -> bool) -> String {
    let mut out = out;
    for field in message.fields() {
        if !matches!(field.name, Name::ContentLength | Name::ContentType) && wanted(field.name) {
            out = out.field(field.raw_name, field.value);
        }
    }
    let kind = message.get(Name::ContentType).unwrap_or_default();
    if message.body.is_empty() { out.end() } else { out.body(kind, message.text()) }
}

/// Returns the CANCEL of an INVITE that we forwarded: with its Via, and no other.
fn cancel(invite: &str, reason: Option<&str>) -> String {
    let invite = parse(invite.as_bytes()).expect("we wrote it");
    let mut out =
        Writer::request(Method::Cancel, invite.uri().unwrap_or_default()).field("Via", invite.get(Name::Via).unwrap_or_default());
    for name in [Name::From, Name::To, Name::CallId, Name::MaxForwards] {
        out = out.field(name.as_str(), invite.get(name).unwrap_or_default());
    }
    out = out.field("CSeq", &format!("{} CANCEL", invite.cseq().map_or(1, |cseq| cseq.number)));
    reason.map_or_else(|| out.clone(), |reason| out.clone().field("Reason", reason)).end()
}
