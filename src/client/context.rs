//! What the connection, the account and the calls share: time, identity, credentials, transactions, timers, and the outputs.

use std::collections::VecDeque;
use std::rc::Rc;

use offhook_sip::text::cut_at;
use offhook_sip::{Abilities, Branch, Message, Method, StatusCode, Writer, escape_user, reply};
use offhook_ua::authentication::{Authenticator, again};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Effect, ServerKey, Transactions, Transport};
use offhook_ua::uas::Refusal;

use super::io::{Change, Config, Event, Ice, IceServer, Output, PeerId, Task, TaskId, TaskKind};
use super::timers::Timers;
use crate::client::call::{CallId, CallInfo};

/// What this user agent supports.
pub const ABILITIES: Abilities<'static> = Abilities {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Cancel,
        Method::Bye,
        Method::Update,
        Method::Prack,
        Method::Info,
        Method::Options,
    ],
    // RFC 3262, 4028, 5626, 5627, 8840.
    extensions: &["100rel", "timer", "outbound", "gruu", "trickle-ice"],
    bodies: &["application/sdp"],
    // JSON is the gateway's warning that the credit runs out. DTMF digits have no event in the API; they are accepted, as whoever sends them
    // takes a rejection for a fault of the call.
    info_bodies: &["application/trickle-ice-sdpfrag", "application/json", "application/dtmf-relay", "application/dtmf"],
    packages: &["trickle-ice", "offhook-credit"],
};

/// Adds what this user agent supports, and its Contact.
pub fn with_capabilities(message: Writer, contact: &str) -> Writer {
    let message = message.field("Contact", contact).field("Allow", &ABILITIES.allow());
    message.field("Supported", &ABILITIES.supported()).field("Recv-Info", &ABILITIES.packages.join(", "))
}

/// What the parts of the client share.
pub struct Context {
    /// When the command or input came that is being handled.
    pub now: Instant,
    pub config: Config,
    pub random: Random,
    pub transactions: Transactions<()>,
    pub timers: Timers,
    /// The outputs for `Client::poll`, the first one first.
    pub outputs: VecDeque<Output>,
    /// Requests of ours without a final response, and who sent them.
    pub pending: Vec<Pending>,
    /// Which call waits for which media task, and what for.
    pub tasks: Vec<(TaskId, CallId, TaskPurpose)>,
    pub authenticator: Option<Authenticator>,
    /// The number of the connection: how many were opened.
    pub connection: u32,
    /// The user that is signed in.
    pub user: String,
    /// Whether we are signed in over the connection that is open now.
    pub signed_in: bool,
    /// The public GRUU, once the registrar gave one.
    pub gruu: Option<String>,
    /// The SIP domain as the registrar writes it in the GRUU: it may have another name than the one we know.
    pub home: Option<String>,
    /// The ICE servers that the server named.
    pub named_ice: Rc<Vec<IceServer>>,
    /// The host in Via and Contact: a random name in `.invalid`, as a browser does not know its address (RFC 7118, 5.1).
    host: String,
    secure: bool,
    counter: u32,
}

/// A request of ours that waits for its final response.
pub struct Pending {
    pub key: ClientKey,
    pub owner: Owner,
    text: String,
    /// How often it was sent again after a challenge.
    tries: u8,
}

/// Who waits for a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The account: a REGISTER.
    Account,
    /// The connection: an OPTIONS as keep-alive.
    Connection,
    /// A call.
    Call(CallId, Purpose),
}

/// What a call sent a request for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The INVITE that makes the call.
    Invite,
    /// BYE: its response changes nothing.
    Bye,
    /// PRACK.
    Prack,
    /// INFO with candidates.
    Trickle,
    /// INFO with a DTMF digit.
    Dtmf,
    /// A re-INVITE.
    Reinvite,
    /// An UPDATE that keeps the session or tells a new address.
    Update,
}

/// What a call has a media task for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskPurpose {
    /// The offer for the INVITE.
    InitialOffer,
    /// The answer to the INVITE that was received.
    InitialAnswer,
    /// Taking the first remote answer.
    InitialAccept,
    /// The microphone.
    Microphone,
    /// The microphone, or the camera, of a track that has ended.
    Reopen { video: bool },
    /// The offer for a re-INVITE.
    Reoffer,
    /// The answer to a re-INVITE or UPDATE.
    Reanswer,
    /// Taking the remote answer to a re-INVITE.
    Reaccept,
    /// Whether media still arrives.
    Listen,
    /// Nothing: its result changes nothing.
    Nothing,
}

impl Context {
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let host = format!("{}.invalid", random.token().get(..12).unwrap_or("client"));
        Self {
            now: Instant::default(),
            config,
            random,
            transactions: Transactions::new(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            pending: Vec::new(),
            tasks: Vec::new(),
            authenticator: None,
            connection: 0,
            user: String::new(),
            signed_in: false,
            gruu: None,
            home: None,
            named_ice: Rc::default(),
            host,
            secure: true,
            counter: 0,
        }
    }

    /// Whether a response is for us (RFC 3261, 18.1.2): its Via is the one that we wrote.
    pub fn is_ours(&self, answer: &Message<'_>) -> bool {
        answer.via().is_ok_and(|via| via.host == self.host)
    }

    /// Takes note whether the connection is `wss`, for Via.
    pub const fn set_secure(&mut self, secure: bool) {
        self.secure = secure;
    }

    /// `sip:USER@DOMAIN`.
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", escape_user(&self.user), self.config.domain)
    }

    /// The Contact of requests and responses of calls: the GRUU where there is one (RFC 5627, 4.4).
    pub fn contact(&self) -> String {
        match &self.gruu {
            Some(gruu) => format!("<{gruu}>"),
            None => format!("<{};ob>", self.flow_uri()),
        }
    }

    /// The Contact of a REGISTER (RFC 5626, 4.2).
    pub fn binding(&self) -> String {
        format!("<{}>;+sip.instance=\"<urn:uuid:{}>\";reg-id=1", self.flow_uri(), self.config.instance)
    }

    fn flow_uri(&self) -> String {
        format!("sip:{}@{};transport=ws", escape_user(&self.user), self.host)
    }

    /// Completes and sends a request; its responses are for `owner`.
    pub fn send_request(&mut self, request: Writer, owner: Owner, body: Option<(&str, &str)>) -> ClientKey {
        let branch = Branch::new(&self.random.token());
        let key = ClientKey::new(branch.clone(), request.method());
        let mut request = self.complete(request, &branch);
        if let Some(authenticator) = &mut self.authenticator {
            request = authenticator.authorize(request, &mut self.random);
        }
        let (kind, body) = body.unwrap_or_default();
        let text = request.body(kind, body);
        self.transactions.request(self.now, (), Transport::Reliable, &key, text.clone());
        self.pending.push(Pending { key: key.clone(), owner, text, tries: 0 });
        key
    }

    /// Sends a request that was challenged again, with credentials. Returns its new key and CSeq number.
    pub fn retry_with_credentials(&mut self, key: &ClientKey, refusal: &Message<'_>) -> Option<(ClientKey, u32)> {
        let position = self.pending.iter().position(|pending| pending.key == *key)?;
        let pending = self.pending.get_mut(position)?;
        let authenticator = self.authenticator.as_mut()?;
        if !authenticator.challenged(refusal, pending.tries, &self.config.domain) {
            return None;
        }
        let branch = Branch::new(&self.random.token());
        let (text, number) = again(&pending.text, &branch, true, authenticator, &mut self.random)?;
        let new = ClientKey::new(branch, key.method());
        self.transactions.request(self.now, (), Transport::Reliable, &new, text.clone());
        pending.key = new.clone();
        pending.text = text;
        pending.tries += 1;
        Some((new, number))
    }

    /// Sends a request again in a new transaction (RFC 3263, 4.3), and abandons the one before. Returns the new key.
    pub fn resend_in_new_transaction(&mut self, key: &ClientKey) -> Option<ClientKey> {
        let pending = self.pending.iter_mut().find(|pending| pending.key == *key)?;
        let branch = Branch::new(&self.random.token());
        (pending.text, _) = again(&pending.text, &branch, false, self.authenticator.as_mut()?, &mut self.random)?;
        self.transactions.abandon(key);
        pending.key = ClientKey::new(branch, key.method());
        self.transactions.request(self.now, (), Transport::Reliable, &pending.key, pending.text.clone());
        Some(pending.key.clone())
    }

    /// Lets requests be retried once more after a challenge, as another server may challenge them, too.
    pub fn allow_retries(&mut self) {
        for pending in self.pending.iter_mut().filter(|pending| !matches!(pending.owner, Owner::Call(_, Purpose::Bye))) {
            pending.tries = 0;
        }
    }

    /// Sends the ACK to a 2xx, which has no transaction. Returns it, for retransmissions of the 2xx.
    pub fn send_ack(&mut self, ack: Writer) -> String {
        let branch = Branch::new(&self.random.token());
        let text = self.complete(ack, &branch).end();
        self.send(text.clone());
        text
    }

    /// Responds to a request. 2xx and reliable provisional responses to an INVITE are retransmitted by its session.
    pub fn respond(&mut self, key: &ServerKey, text: String) {
        self.transactions.respond(self.now, key, text);
    }

    /// Responds to a request with a bare 200.
    pub fn respond_ok(&mut self, key: &ServerKey, request: &Message<'_>) {
        self.respond(key, reply(request, StatusCode::OK, None).end());
    }

    /// Rejects a request with a status.
    pub fn reject(&mut self, key: &ServerKey, request: &Message<'_>, code: StatusCode) {
        let tag = self.random.token();
        self.reject_with(key, request, Refusal::Status(code), &tag);
    }

    /// The same with the tag that its other responses had, or with a rejection that carries more fields.
    pub fn reject_with(&mut self, key: &ServerKey, request: &Message<'_>, refusal: Refusal<'_>, tag: &str) {
        let answer = refusal.answer(request, tag, &ABILITIES).field("User-Agent", &self.config.user_agent);
        self.respond(key, answer.end());
    }

    /// Moves what the transactions send to the outputs. Returns the requests that timed out.
    pub fn drain_transactions(&mut self) -> Vec<ClientKey> {
        let mut timed_out = Vec::new();
        while let Some(effect) = self.transactions.poll() {
            match effect {
                Effect::Send { text, .. } => self.send(text),
                Effect::TimedOut(key) => timed_out.push(key),
                // A rejection that was not acknowledged: the call is over anyway.
                Effect::NoAck(_) => {}
            }
        }
        timed_out
    }

    /// Returns who waits for this response, for the last time if it is the `last` one. An INVITE stays: several forks may answer it.
    pub fn owner(&mut self, key: &ClientKey, last: bool) -> Option<Owner> {
        let position = self.pending.iter().position(|pending| pending.key == *key)?;
        let owner = self.pending.get(position)?.owner;
        if last && !matches!(owner, Owner::Call(_, Purpose::Invite)) {
            self.pending.remove(position);
        }
        Some(owner)
    }

    /// Starts a media task.
    pub fn start_task(&mut self, call: CallId, purpose: TaskPurpose, kind: TaskKind) {
        self.counter += 1;
        let id = TaskId(self.counter);
        self.tasks.push((id, call, purpose));
        self.push(Output::Task(Task { id, call, kind }));
    }

    /// Drops some tasks of a call: their results are ignored.
    pub fn drop_tasks(&mut self, of: CallId, which: impl Fn(TaskPurpose) -> bool) {
        self.tasks.retain(|(_, call, purpose)| *call != of || !which(*purpose));
    }

    /// Returns the id of a new peer connection.
    pub const fn new_peer(&mut self) -> PeerId {
        self.counter += 1;
        PeerId(self.counter)
    }

    /// Returns how peers find candidates: as the app has configured, else by the servers that the SIP server named.
    pub fn ice_config(&self) -> Ice {
        let servers = if self.config.ice_servers.is_empty() { &self.named_ice } else { &self.config.ice_servers };
        Ice { servers: servers.clone(), relay_only: self.config.relay_only }
    }

    /// Sends a request or response. Before we are signed in, a server would reject requests but REGISTER and OPTIONS: they are not sent, but
    /// retransmitted after that with all others that wait for a response.
    pub fn send(&mut self, text: String) {
        let start = cut_at(&text, b' ').map(|(start, _)| Method::from(start));
        let early = matches!(start, Some(Method::Register | Method::Options | Method::Other("SIP/2.0")));
        if early || self.signed_in {
            self.push(Output::Send(text));
        }
    }

    /// Adds an output.
    pub fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Tells the app.
    pub fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// Tells the app that a call changed.
    pub fn call_changed(&mut self, change: Change, info: &CallInfo) {
        self.event(Event::Call { change, info: Rc::new(info.clone()) });
    }

    /// Writes a line into the log.
    pub fn log(&mut self, line: &str) {
        self.event(Event::Log(line.to_owned()));
    }

    fn complete(&self, request: Writer, branch: &Branch) -> Writer {
        let transport = if self.secure { "SIP/2.0/WSS " } else { "SIP/2.0/WS " };
        request
            .joined("Via", &[transport, &self.host, ";branch=", branch.as_str()])
            .field("Max-Forwards", "70")
            .field("User-Agent", &self.config.user_agent)
    }
}
