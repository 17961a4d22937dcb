//! A server for tests in virtual time: registrar and forking proxy, no more than RFC 3261 demands.

use std::collections::BTreeMap;

use offhook_sip::{Message, Method, Name, Start, StatusCode, Writer, parse, reply};

/// The number of a socket.
pub type Flow = usize;

/// What the server sends.
pub type Sent = (Flow, String);

/// Registrar and proxy.
#[derive(Default)]
pub struct Server {
    /// Contact URI → flow and user.
    flows: BTreeMap<String, (Flow, String)>,
    /// Registered contact URIs.
    bound: Vec<String>,
    /// INVITEs under way.
    forks: BTreeMap<String, Fork>,
    /// The status with which it rejects every INVITE.
    pub refuse: Option<u16>,
    /// What it makes of Session-Expires in an INVITE (RFC 4028, 8.1).
    pub session: Option<&'static str>,
    /// The shortest session interval that it accepts, s (RFC 4028, 8.1).
    pub least: u32,
    /// Users that exist.
    pub known: Vec<String>,
    branch: usize,
}

struct Fork {
    caller: Flow,
    invite: String,
    branches: Vec<Branch>,
    answered: bool,
    cancelled: bool,
}

struct Branch {
    id: String,
    flow: Flow,
    request: String,
    final_code: Option<u16>,
    response: String,
}

impl Server {
    /// Takes a message that came over `flow`; returns what is sent.
    pub fn receive(&mut self, flow: Flow, text: &str) -> Vec<Sent> {
        if text == "\r\n\r\n" {
            return vec![(flow, "\r\n".into())];
        }
        let Ok(message) = parse(text.as_bytes()) else { return Vec::new() };
        assert_eq!(message.check(), Ok(()), "the client sends only what is right: {text}");
        match message.start {
            Start::Request { method, .. } => self.request(flow, method.as_str(), &message),
            Start::Response { code, .. } => self.response(flow, u16::from(code), &message),
        }
    }

    /// Drops its transactions, but not the registrations: another node took over.
    pub fn forget_transactions(&mut self) {
        self.forks.clear();
    }

    /// A socket is closed.
    pub fn closed(&mut self, flow: Flow) {
        let gone: Vec<String> = self.flows.iter().filter(|(_, (f, _))| *f == flow).map(|(uri, _)| uri.clone()).collect();
        self.bound.retain(|uri| !gone.contains(uri));
        for uri in gone {
            self.flows.remove(&uri);
        }
    }

    fn request(&mut self, flow: Flow, method: &str, request: &Message<'_>) -> Vec<Sent> {
        if method == "REGISTER" {
            return vec![(flow, self.register(flow, request))];
        }
        if let Some(Ok(contact)) = request.contacts().next() {
            let user = request.from().unwrap().uri.user_text().into_owned();
            self.flows.insert(contact.uri_text.to_owned(), (flow, user));
        }
        let inside = request.to().unwrap().tag().is_some();
        match method {
            "OPTIONS" if !inside => vec![(flow, reply(request, StatusCode::OK, Some("server")).end())],
            "INVITE" if !inside => self.invite(flow, request),
            "CANCEL" => self.cancel(flow, request),
            "ACK" if request.to().unwrap().tag() == Some("server") || self.is_hop_ack(request) => Vec::new(),
            _ => self.inside(flow, method, request),
        }
    }

    fn register(&mut self, flow: Flow, request: &Message<'_>) -> String {
        let user = request.to().unwrap().uri.user_text().into_owned();
        if !self.known.contains(&user) {
            self.known.push(user.clone());
        }
        let mut answer = reply(request, StatusCode::OK, Some("server"));
        if let Some(Ok(contact)) = request.contacts().next() {
            let uri = contact.uri_text.to_owned();
            self.bound.retain(|bound| *bound != uri);
            if request.number(Name::Expires) != Some(0) {
                self.bound.push(uri.clone());
                answer = answer.field("Contact", &[request.get(Name::Contact).unwrap(), ";expires=600"].concat());
            }
            self.flows.insert(uri, (flow, user));
        }
        answer.end()
    }

    fn invite(&mut self, flow: Flow, invite: &Message<'_>) -> Vec<Sent> {
        let id = fork_id(invite);
        if self.forks.contains_key(&id) {
            return Vec::new();
        }
        let interval = invite.get(Name::SessionExpires).and_then(|value| value.split(';').next()?.parse::<u32>().ok());
        if interval.is_some_and(|interval| interval < self.least) {
            return vec![(
                flow,
                reply(invite, StatusCode::SESSION_INTERVAL_TOO_SMALL, Some("server")).number("Min-SE", self.least).end(),
            )];
        }
        let user = invite.target().unwrap().unwrap().user_text().into_owned();
        let mut sent = vec![(flow, reply(invite, StatusCode::TRYING, None).end())];
        let code = self.refuse.or_else(|| (!self.known.contains(&user)).then_some(404));
        if let Some(code) = code {
            sent.push((flow, reply(invite, StatusCode::new(code).unwrap(), Some("server")).end()));
            return sent;
        }
        let mut branches = Vec::new();
        for uri in &self.bound {
            let Some((target, owner)) = self.flows.get(uri) else { continue };
            if *owner == user && *target != flow {
                self.branch += 1;
                let id = format!("z9hG4bKfork{}", self.branch);
                let request = self.demand(forward(invite, uri, &id, true));
                sent.push((*target, request.clone()));
                branches.push(Branch { id, flow: *target, request, final_code: None, response: String::new() });
            }
        }
        let fork = Fork { caller: flow, invite: invite.source().to_owned(), branches, answered: false, cancelled: false };
        self.forks.insert(id, fork);
        sent
    }

    /// The INVITE with the session interval of this server.
    fn demand(&self, invite: String) -> String {
        let Some(session) = self.session else { return invite };
        let lines = invite.split("\r\n").map(|line| match line.starts_with("Session-Expires:") {
            true => format!("Session-Expires: {session}"),
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n")
    }

    fn cancel(&mut self, flow: Flow, cancel: &Message<'_>) -> Vec<Sent> {
        let Some(fork) = self.forks.get_mut(&fork_id(cancel)) else {
            return vec![(flow, reply(cancel, StatusCode::CALL_DOES_NOT_EXIST, Some("server")).end())];
        };
        let mut sent = vec![(flow, reply(cancel, StatusCode::OK, Some("server")).end())];
        if !fork.answered && !fork.cancelled {
            fork.cancelled = true;
            if fork.branches.iter().all(|branch| branch.final_code.is_some()) {
                let invite = parse(fork.invite.as_bytes()).unwrap();
                sent.push((fork.caller, reply(&invite, StatusCode::REQUEST_TERMINATED, Some("server")).end()));
                return sent;
            }
            sent.extend(
                fork.branches
                    .iter()
                    .filter(|branch| branch.final_code.is_none())
                    .map(|branch| (branch.flow, cancel_of(branch, None))),
            );
        }
        sent
    }

    /// The ACK to a failure that the server passed on ends at the server.
    fn is_hop_ack(&self, ack: &Message<'_>) -> bool {
        let branch = ack.via().unwrap().branch().unwrap_or_default().to_owned();
        self.forks
            .values()
            .any(|fork| parse(fork.invite.as_bytes()).is_ok_and(|invite| invite.via().unwrap().branch() == Some(&branch)))
    }

    fn inside(&mut self, flow: Flow, method: &str, request: &Message<'_>) -> Vec<Sent> {
        let target = request.uri().unwrap();
        match self.flows.get(target) {
            Some((other, _)) => {
                self.branch += 1;
                vec![(*other, forward(request, target, &format!("z9hG4bKin{}", self.branch), false))]
            }
            None if method == "ACK" => Vec::new(),
            None => vec![(flow, reply(request, StatusCode::TEMPORARILY_UNAVAILABLE, None).end())],
        }
    }

    fn response(&mut self, flow: Flow, code: u16, response: &Message<'_>) -> Vec<Sent> {
        if let Some(Ok(contact)) = response.contacts().next() {
            let user = response.to().unwrap().uri.user_text().into_owned();
            self.flows.insert(contact.uri_text.to_owned(), (flow, user));
        }
        let branch = response.via().unwrap().branch().unwrap().to_owned();
        let cseq = response.cseq().unwrap();
        if cseq.method == Method::Cancel {
            return Vec::new();
        }
        let Some(upstream) = upstream(response) else { return Vec::new() };
        let Some(fork) = self.forks.values_mut().find(|fork| fork.branches.iter().any(|known| known.id == branch)) else {
            if branch.starts_with("z9hG4bKfork") {
                // The transaction was lost with the node.
                return Vec::new();
            }
            // In a dialog: to the host of the next Via; every client has its own.
            let parsed = parse(upstream.as_bytes()).unwrap();
            let host = parsed.via().unwrap().host.to_owned();
            let back = self.flows.iter().find(|(uri, _)| uri.contains(&host)).map(|(_, (back, _))| *back);
            return back.into_iter().map(|back| (back, upstream.clone())).collect();
        };
        let own = fork.branches.iter_mut().find(|known| known.id == branch).unwrap();
        own.flow = flow;
        match code {
            100 => Vec::new(),
            101..=199 => vec![(fork.caller, upstream)],
            200..=299 => {
                own.final_code = Some(code);
                fork.answered = true;
                let mut sent = vec![(fork.caller, upstream)];
                let others = fork.branches.iter().filter(|branch| branch.final_code.is_none());
                sent.extend(
                    others.map(|branch| (branch.flow, cancel_of(branch, Some("SIP;cause=200;text=\"Call completed elsewhere\"")))),
                );
                sent
            }
            _ => {
                let mut sent = vec![(flow, ack_of(own, response))];
                let first = own.final_code.is_none();
                own.final_code = Some(code);
                own.response = upstream;
                if code == 603 {
                    sent.extend(
                        fork.branches
                            .iter()
                            .filter(|branch| branch.final_code.is_none())
                            .map(|branch| (branch.flow, cancel_of(branch, None))),
                    );
                }
                if first && !fork.answered && fork.branches.iter().all(|branch| branch.final_code.is_some()) {
                    let best =
                        fork.branches.iter().max_by_key(|branch| (branch.final_code >= Some(600), branch.final_code != Some(487)));
                    sent.push((fork.caller, best.unwrap().response.clone()));
                }
                sent
            }
        }
    }
}

/// A transaction: a retransmission is absorbed; the same INVITE with another branch is a new transaction.
fn fork_id(message: &Message<'_>) -> String {
    format!("{} {}", message.via().unwrap().branch().unwrap(), message.cseq().unwrap().number)
}

/// The request as it is forwarded, with a Via of ours on top.
fn forward(request: &Message<'_>, uri: &str, branch: &str, record: bool) -> String {
    let mut out = Writer::request(request.method().unwrap(), uri).field("Via", &format!("SIP/2.0/WS server.test;branch={branch}"));
    if record {
        out = out.field("Record-Route", "<sip:server.test;transport=ws;lr>");
    }
    for field in request.fields() {
        if !matches!(field.name, Name::Route | Name::ContentLength | Name::ContentType | Name::Authorization) {
            out = out.field(field.raw_name, field.value);
        }
    }
    finish(out, request)
}

/// The response without our Via; `None` where it ends here.
fn upstream(response: &Message<'_>) -> Option<String> {
    let Start::Response { code, reason } = response.start else { return None };
    let mut out = Writer::response(code, reason);
    let mut first = true;
    for field in response.fields() {
        if field.name == Name::Via && first {
            first = false;
        } else if !matches!(field.name, Name::ContentLength | Name::ContentType) {
            out = out.field(field.raw_name, field.value);
        }
    }
    let text = finish(out, response);
    parse(text.as_bytes()).is_ok_and(|message| message.via().is_ok()).then_some(text)
}

fn finish(out: Writer, message: &Message<'_>) -> String {
    let body = std::str::from_utf8(message.body).unwrap();
    if body.is_empty() { out.end() } else { out.body(message.get(Name::ContentType).unwrap(), body) }
}

fn cancel_of(branch: &Branch, reason: Option<&str>) -> String {
    hop(branch, "CANCEL", None, reason)
}

fn ack_of(branch: &Branch, response: &Message<'_>) -> String {
    hop(branch, "ACK", response.get(Name::To), None)
}

fn hop(branch: &Branch, method: &str, to: Option<&str>, reason: Option<&str>) -> String {
    let invite = parse(branch.request.as_bytes()).unwrap();
    let mut out = Writer::request(Method::from(method), invite.uri().unwrap()).field("Via", invite.get(Name::Via).unwrap());
    for name in [Name::From, Name::CallId, Name::MaxForwards] {
        out = out.field(name.as_str(), invite.get(name).unwrap());
    }
    out = out.field("To", to.unwrap_or_else(|| invite.get(Name::To).unwrap()));
    out = out.field("CSeq", &format!("{} {method}", invite.cseq().unwrap().number));
    if let Some(reason) = reason {
        out = out.field("Reason", reason);
    }
    out.end()
}
