//! Messages that come in: which are accepted, and which part each concerns.

use offhook_sip::{ApiCode, Message, Method, Name, OwnedMessage, StatusCode, reply};
use offhook_ua::log::named;
use offhook_ua::transaction::{Received, Transport};
use offhook_ua::uas;
use tracing::{debug, warn};

use super::connections::Allowance;
use super::context::{Context, Leg, log_message};
use super::in_dialog::InDialogRequest;
use super::login::Outcome;
use super::party::{Aor, Flow, Party};
use super::queries::Pending;
use super::refusal::{CAN, NOT_SUPPORTED, Refusal};
use super::request::{Request, credentials, is_from, is_in_dialog};
use super::{Account, ConnId, Output, Proxy, Record};

/// The largest body in octets: several times what browsers describe a call with, and it is kept for each device that rings.
const BODY: usize = 32 * 1024;

impl Proxy {
    /// Something came by a flow.
    pub(super) fn receive(&mut self, flow: Flow, text: String) {
        log_message("received", flow, &text);
        let Some(within) = allow(&mut self.cx, flow) else { return };
        if text.bytes().all(|b| b == b'\r' || b == b'\n') {
            // A ping has two line ends, the answer to one of ours has one (RFC 5626, 4.4.1).
            if within && text.len() >= 4 {
                self.cx.send(flow, "\r\n".into());
            }
            return;
        }
        let Ok(owned) = OwnedMessage::parse(text) else { return malformed(&mut self.cx, flow) };
        let message = owned.get();
        if !within {
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ApiCode::Unavailable, "Too many messages").after(1);
            return self.cx.refuse_statelessly(flow, message, refusal);
        }
        match message.check() {
            Err(_) if !message.is_request() => malformed(&mut self.cx, flow),
            Err(rejection) => {
                let refusal = Refusal::new(rejection.code, ApiCode::Malformed, rejection.reason);
                self.cx.refuse_statelessly(flow, message, refusal);
            }
            Ok(()) if message.is_request() && message.body.len() > BODY => {
                let why = "Message body too large";
                let refusal = Refusal::new(StatusCode::REQUEST_ENTITY_TOO_LARGE, ApiCode::Malformed, why);
                self.cx.refuse_statelessly(flow, message, refusal);
            }
            Ok(()) if message.is_request() => self.request(flow, &owned),
            Ok(()) => self.response(flow, message),
        }
    }

    fn request(&mut self, flow: Flow, owned: &OwnedMessage) {
        let message = owned.get();
        let Some(method) = message.method() else { return };
        let shown = credentials(message);
        let proven = self.cx.is_proven(flow) || InDialogRequest::continues(&self.cx, flow, owned);
        if !proven && shown.is_none() && !matches!(method, Method::Ack | Method::Cancel) {
            // Without any state: a flood of unauthenticated clients costs nothing but the answers.
            return self.logins.challenge(&mut self.cx, flow, message);
        }
        let origin = self.cx.transactions.origin(message);
        if origin.is_some_and(|origin| !self.cx.connections.is_same_user(origin, flow)) {
            // Whoever copies another's request would get the answer to it.
            return;
        }
        match self.cx.transactions.receive(self.cx.clock.now, flow, Transport::Reliable, message) {
            // A device that lost its connection retransmits what it waits for an answer to: now we know where it is.
            Received::Absorbed => self.note_contact(flow, message),
            Received::Request(key) => {
                let request = Request { flow, key, owned: owned.clone(), tag: self.cx.tag() };
                match shown {
                    _ if method == Method::Cancel => self.cancel(&request),
                    Some(shown) if !proven || method == Method::Register => self.login(request.clone(), shown),
                    _ => self.route(&request),
                }
            }
            Received::Ack => self.acknowledge(flow, owned),
            _ => {}
        }
    }

    /// Credentials were shown that have to be looked at.
    fn login(&mut self, request: Request, shown: &str) {
        match self.logins.start(&mut self.cx, &request, shown) {
            Outcome::Refused => {}
            Outcome::Ask(aor) => self.queries.ask(&mut self.cx, &aor, Pending::Login(request)),
            Outcome::Vouched(aor) => {
                self.settle();
                let Aor { application, user } = aor.clone();
                self.cx.push(Output::Seen { application, user });
                self.queries.ask(&mut self.cx, &aor, Pending::Name(aor.clone()));
                self.route(&request);
            }
        }
    }

    /// The store has answered for the sender of a request.
    pub(super) fn finish_login(&mut self, request: &Request, account: Option<Account>) {
        if self.logins.finish(&mut self.cx, request, account) {
            self.settle();
            self.route(request);
        }
    }

    /// Hands a request whose sender is known to the part that it concerns.
    fn route(&mut self, request: &Request) {
        let message = request.message();
        let Some(party) = self.cx.party(request.flow) else { return self.cx.refuse(request, Refusal::NOT_AUTHENTICATED) };
        if !is_from(message, &party) {
            return self.cx.refuse(request, Refusal::NOT_FROM);
        }
        if message.all(Name::ProxyRequire).next().is_some() {
            return self.cx.refuse(request, Refusal::of(uas::Refusal::ProxyExtension, ApiCode::Malformed, NOT_SUPPORTED));
        }
        match request.method() {
            Method::Register => match (request.flow, &party) {
                (Flow::WebSocket(conn), Party::User(aor)) => self.register(request, conn, aor),
                _ => self.cx.refuse(request, Refusal::OTHER_USER),
            },
            _ if is_in_dialog(message) => self.relay(request, party),
            Method::Invite => self.invite(request, party),
            Method::Options => options(&mut self.cx, request),
            method => self.cx.refuse(request, Refusal::unserved(method)),
        }
    }

    fn register(&mut self, request: &Request, conn: ConnId, aor: &Aor) {
        let Some(change) = self.registrar.answer(&mut self.cx, request, conn, aor) else { return };
        for old in change.replaced {
            self.replace(old, conn, aor);
        }
        for device in &change.arrived {
            self.returned(conn, aor, device);
        }
        if !change.arrived.is_empty() {
            self.relay.release(&mut self.cx, &self.registrar, aor);
            self.calls.ring_arrived(&mut self.cx, &self.registrar, aor);
        }
    }

    /// An INVITE that makes a call.
    fn invite(&mut self, request: &Request, caller: Party) {
        match self.calls.check(&self.cx, request, &caller) {
            Ok(invited) => {
                self.note_contact(request.flow, request.message());
                if let Some((key, callee)) = self.calls.begin(&mut self.cx, request, caller, invited) {
                    self.queries.ask(&mut self.cx, &callee, Pending::Callee(key));
                }
            }
            Err(refusal) => self.cx.refuse(request, refusal),
        }
    }

    /// A request in a dialog.
    fn relay(&mut self, request: &Request, party: Party) {
        if request.message().number(Name::MaxForwards) == Some(0) {
            return self.cx.refuse(request, Refusal::TOO_MANY_HOPS);
        }
        let in_dialog = match InDialogRequest::of(&self.cx, request.flow, Some(request.key.clone()), &request.owned, party.clone())
        {
            Ok(in_dialog) => in_dialog,
            Err(refusal) => return self.cx.refuse(request, refusal),
        };
        self.note_contact(request.flow, request.message());
        if request.method() == Method::Bye {
            self.calls.hung_up(&mut self.cx, &party, request.call_id());
        }
        if request.method() == Method::Invite {
            self.cx.respond(&request.key, reply(request.message(), StatusCode::TRYING, None).end());
        }
        self.pass_or_hold(in_dialog);
    }

    /// The ACK to a 2xx. One that belongs nowhere is dropped.
    fn acknowledge(&mut self, flow: Flow, owned: &OwnedMessage) {
        let Some(party) = self.cx.party(flow) else { return };
        if !is_from(owned.get(), &party) || owned.get().number(Name::MaxForwards) == Some(0) {
            return;
        }
        if let Ok(in_dialog) = InDialogRequest::of(&self.cx, flow, None, owned, party) {
            self.pass_or_hold(in_dialog);
        }
    }

    fn pass_or_hold(&mut self, request: InDialogRequest) {
        let Some(request) = self.relay.pass(&mut self.cx, &self.registrar, request) else { return };
        if self.calls.has_left(&request.to, request.call_id()) {
            request.refuse(&mut self.cx, Refusal::new(StatusCode::GONE, ApiCode::Gone, "The other side has left"));
        } else {
            self.relay.hold(&mut self.cx, request);
        }
    }

    /// A CANCEL (RFC 3261, 9.2).
    fn cancel(&mut self, request: &Request) {
        let (cx, invite) = (&mut self.cx, request.key.invite());
        if let Some(login) = self.queries.take_login(cx, request.flow, &invite) {
            cx.accept_cancel(request, &login.tag);
            cx.refuse(&login, Refusal::CANCELLED);
        } else if cx.party(request.flow).is_none() {
            cx.refuse(request, Refusal::NOT_AUTHENTICATED);
        } else if !self.calls.cancel(cx, request) && !self.relay.cancel(cx, request, &invite) {
            cx.refuse(request, Refusal::new(StatusCode::CALL_DOES_NOT_EXIST, ApiCode::NotFound, "Nothing to cancel"));
        }
    }

    /// An answer came by `flow`. It counts only where the request went, and for the transaction that asked (RFC 3261, 17.1.3).
    fn response(&mut self, flow: Flow, message: &Message<'_>) {
        let cx = &mut self.cx;
        let Ok(via) = message.via() else { return };
        let Some(leg) = via.branch().and_then(|branch| cx.leg(branch)) else { return };
        let receiver = match leg {
            Leg::Branch(key, index) => self.calls.receiver(key, index),
            Leg::Forward(key) => self.relay.receiver(key),
        };
        let expected = receiver.is_some_and(|receiver| cx.connections.leads_to(receiver, flow));
        if !expected || !via.host.eq_ignore_ascii_case(&cx.settings.domain) {
            return;
        }
        if let Received::Response(client) = cx.transactions.receive(cx.clock.now, flow, Transport::Reliable, message)
            && client.method() != Method::Cancel
        {
            cx.flush();
            if client.method() == Method::Invite && message.code().is_some_and(StatusCode::creates_dialog) {
                self.note_contact(flow, message);
            }
            match leg {
                Leg::Branch(key, index) => self.calls.branch_answered(&mut self.cx, key, index, message),
                Leg::Forward(key) => self.relay.answered(&mut self.cx, key, message),
            }
        }
    }
}

/// Whether a message is within the allowances of connection and user; `None` where the connection is none, or is to be none any more.
fn allow(cx: &mut Context, flow: Flow) -> Option<bool> {
    let Flow::WebSocket(conn) = flow else { return Some(true) };
    let allowance = cx.connections.allow(&cx.clock, conn, &cx.settings)?;
    if allowance == (Allowance::Beyond { first: true })
        && let Some(connection) = cx.connections.get(conn)
    {
        let user = connection.user.as_ref().and_then(|aor| named(&aor.user));
        warn!(conn = conn.0, application = connection.application, user, "sends too much");
        cx.record(Record::Throttled { conn });
    }
    match allowance {
        Allowance::Within => Some(true),
        Allowance::Beyond { .. } => Some(false),
        Allowance::Exhausted => {
            cx.hang_up(conn, 1008, "too many messages");
            None
        }
    }
}

fn malformed(cx: &mut Context, flow: Flow) {
    debug!(conn = flow.number(), application = cx.application_of(flow), "no SIP message");
    cx.record(Record::Malformed { conn: flow.conn() });
}

fn options(cx: &mut Context, request: &Request) {
    let answer = uas::answer(request.message(), StatusCode::OK, &request.tag).field("Allow", &CAN.allow());
    let answer = answer.field("Accept", &CAN.bodies.join(", ")).field("Supported", &CAN.extensions.join(", ")).end();
    cx.respond(&request.key, answer);
}
