//! What the connection, the account and the calls share: time, identity, credentials, transactions, timers, and the outputs.

use std::collections::VecDeque;
use std::rc::Rc;

use offhook_sip::{Abilities, Branch, Message, Method, StatusCode, Writer, escape_user, reply};
use offhook_ua::authentication::{Authenticator, again};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;
use offhook_ua::transaction::{ClientKey, Effect, ServerKey, Transactions, Transport};
use offhook_ua::uas::Refusal;

use super::io::{Change, Config, Event, Ice, IceServer, Output, PeerId, Task, TaskId, TaskKind};
use super::timers::Timers;
use crate::client::call::{CallId, CallInfo};

/// What may be asked of us.
pub const CAN: Abilities<'static> = Abilities {
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
    extensions: &["100rel", "timer", "outbound", "gruu", "trickle-ice", "path"],
    bodies: &["application/sdp"],
    info_bodies: &["application/trickle-ice-sdpfrag"],
    // The gateway's warning that the credit runs out is one of them.
    packages: &["trickle-ice", "offhook-credit"],
};
/// The extensions that we know (RFC 3262, 4028, 5626, 5627, 8840).
pub const SUPPORTED: &str = "100rel, timer, outbound, gruu, trickle-ice";

/// Says what this end of a call can do, and how it is reached.
pub fn capable(message: Writer, contact: &str) -> Writer {
    let message = message.field("Contact", contact).field("Allow", &CAN.allow());
    message.field("Supported", SUPPORTED).field("Recv-Info", &CAN.packages.join(", "))
}

/// What all parts of the client share.
pub struct Context {
    /// When the command or input came that is being handled.
    pub now: Instant,
    pub config: Config,
    pub random: Random,
    pub transactions: Transactions<()>,
    pub timers: Timers,
    /// What `Client::poll` gives, the first one first.
    pub outputs: VecDeque<Output>,
    /// Who asked what the server has not finally answered yet.
    pub pending: Vec<Pending>,
    /// Which call waits for which media task, and why.
    pub tasks: Vec<(TaskId, CallId, Awaited)>,
    pub authenticator: Option<Authenticator>,
    /// Which connection this is: counts those that were opened.
    pub connection: u32,
    /// Who we are.
    pub user: String,
    /// Whether the server knows us on the connection that is open now.
    pub signed_in: bool,
    /// The public GRUU, once the registrar gave one.
    pub gruu: Option<String>,
    /// The SIP domain as the registrar writes it: it may know itself by another name than we do.
    pub home: Option<String>,
    /// The ICE servers that the server named.
    pub named_ice: Rc<Vec<IceServer>>,
    /// The host in Via and Contact: made up, as no browser has an address of its own (RFC 7118, 5.1).
    host: String,
    secure: bool,
    counter: u32,
}

/// A request of ours that waits for its final answer.
pub struct Pending {
    pub key: ClientKey,
    pub owner: Owner,
    text: String,
    retried: bool,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The account: a REGISTER.
    Account,
    /// The connection: an OPTIONS as a sign of life.
    Connection,
    /// A call.
    Call(CallId, Asked),
}

/// What a call asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The INVITE that makes the call.
    Invite,
    /// BYE: nothing hangs on the answer.
    Goodbye,
    /// PRACK.
    Prack,
    /// INFO with candidates.
    Trickle,
    /// INFO with a tone.
    Tone,
    /// An INVITE within the call.
    Reinvite,
    /// An UPDATE that keeps the session or tells a new address.
    Update,
}

/// Why a call waits for a media task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The offer for the INVITE.
    FirstOffer,
    /// The answer to the INVITE of the other side.
    FirstAnswer,
    /// The first answer of the other side is being taken.
    FirstAccept,
    /// The microphone.
    Microphone,
    /// An offer within the call.
    Reoffer,
    /// The answer to an offer within the call.
    Reanswer,
    /// An answer within the call is being taken.
    Reaccept,
    /// Whether media still arrives.
    Sound,
    /// Nothing hangs on it.
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

    /// Whether an answer is one to us (RFC 3261, 18.1.2): its Via is the one that we wrote.
    pub fn is_ours(&self, answer: &Message<'_>) -> bool {
        answer.via().is_ok_and(|via| via.host == self.host)
    }

    /// Notes whether the connection is `wss`: Via says so.
    pub const fn set_secure(&mut self, secure: bool) {
        self.secure = secure;
    }

    /// `sip:USER@DOMAIN`.
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", escape_user(&self.user), self.config.domain)
    }

    /// The Contact of requests and answers within calls: the GRUU where there is one (RFC 5627, 4.4).
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

    /// Completes and sends a request; the answer will be for `owner`.
    pub fn request(&mut self, request: Writer, owner: Owner, body: Option<(&str, &str)>) -> ClientKey {
        let branch = Branch::new(&self.random.token());
        let key = ClientKey::new(branch.clone(), request.request_line().map_or(Method::Other(""), |(method, _)| method));
        let mut request = self.finish(request, &branch);
        if let Some(authenticator) = &mut self.authenticator {
            request = authenticator.authorize(request, &mut self.random);
        }
        let (kind, body) = body.unwrap_or_default();
        let text = request.body(kind, body);
        self.transactions.request(self.now, (), Transport::Reliable, &key, text.clone());
        self.pending.push(Pending { key: key.clone(), owner, text, retried: false });
        key
    }

    /// Sends a request that was challenged once more, with credentials. Gives its new key and number in CSeq.
    pub fn retry(&mut self, key: &ClientKey, refusal: &Message<'_>) -> Option<(ClientKey, u32)> {
        let position = self.pending.iter().position(|pending| pending.key == *key)?;
        let pending = self.pending.get_mut(position)?;
        let authenticator = self.authenticator.as_mut()?;
        if !authenticator.challenged(refusal, pending.retried, &self.config.domain) {
            return None;
        }
        let branch = Branch::new(&self.random.token());
        let (text, number) = again(&pending.text, &branch, true, authenticator, &mut self.random)?;
        let new = ClientKey::new(branch, key.method());
        self.transactions.request(self.now, (), Transport::Reliable, &new, text.clone());
        pending.key = new.clone();
        pending.text = text;
        pending.retried = true;
        Some((new, number))
    }

    /// Sends a request as a new transaction (RFC 3263, 4.3), and forgets the one that it was.
    pub fn anew(&mut self, key: &ClientKey) -> Option<ClientKey> {
        let pending = self.pending.iter_mut().find(|pending| pending.key == *key)?;
        let branch = Branch::new(&self.random.token());
        (pending.text, _) = again(&pending.text, &branch, false, self.authenticator.as_mut()?, &mut self.random)?;
        self.transactions.abandon(key);
        pending.key = ClientKey::new(branch, key.method());
        self.transactions.request(self.now, (), Transport::Reliable, &pending.key, pending.text.clone());
        Some(pending.key.clone())
    }

    /// Another server may challenge what this one did already.
    pub fn forgive(&mut self) {
        for pending in self.pending.iter_mut().filter(|pending| !matches!(pending.owner, Owner::Call(_, Asked::Goodbye))) {
            pending.retried = false;
        }
    }

    /// The ACK to a 2xx: no transaction.
    pub fn acknowledge(&mut self, ack: Writer) -> String {
        let branch = Branch::new(&self.random.token());
        let text = self.finish(ack, &branch).end();
        self.send(text.clone());
        text
    }

    /// Answers a request; 2xx and provisional answers to an INVITE are for their owners to repeat.
    pub fn respond(&mut self, key: &ServerKey, text: String) {
        self.transactions.respond(self.now, key, text);
    }

    /// Answers a request with 200 and nothing more to say.
    pub fn confirm(&mut self, key: &ServerKey, request: &Message<'_>) {
        self.respond(key, reply(request, StatusCode::OK, None).end());
    }

    /// Answers a request with a bare status.
    pub fn refuse(&mut self, key: &ServerKey, request: &Message<'_>, code: StatusCode) {
        let tag = self.random.token();
        self.refuse_with(key, request, Refusal::Status(code), &tag);
    }

    /// The same with the tag that its other answers had, or a status that has more to say.
    pub fn refuse_with(&mut self, key: &ServerKey, request: &Message<'_>, refusal: Refusal<'_>, tag: &str) {
        let answer = refusal.answer(request, tag, &CAN).field("User-Agent", &self.config.user_agent);
        self.respond(key, answer.end());
    }

    /// Moves what the transactions want to send into the way out; gives the requests that nobody answered.
    pub fn drain_transactions(&mut self) -> Vec<ClientKey> {
        let mut silent = Vec::new();
        while let Some(effect) = self.transactions.poll() {
            match effect {
                Effect::Send { text, .. } => self.send(text),
                Effect::TimedOut(key) => silent.push(key),
                // A refusal that was not acknowledged: the call is over for us anyway.
                Effect::NoAck(_) => {}
            }
        }
        silent
    }

    /// Takes out who waits for this answer. An INVITE stays: forks may answer it several times.
    pub fn owner(&mut self, key: &ClientKey, last: bool) -> Option<Owner> {
        let position = self.pending.iter().position(|pending| pending.key == *key)?;
        let owner = self.pending.get(position)?.owner;
        if last && !matches!(owner, Owner::Call(_, Asked::Invite)) {
            self.pending.remove(position);
        }
        Some(owner)
    }

    /// Asks the browser for something.
    pub fn task(&mut self, call: CallId, awaited: Awaited, kind: TaskKind) {
        self.counter += 1;
        let id = TaskId(self.counter);
        self.tasks.push((id, call, awaited));
        self.push(Output::Task(Task { id, call, kind }));
    }

    /// Waits no longer for some tasks of a call.
    pub fn drop_tasks(&mut self, of: CallId, which: impl Fn(Awaited) -> bool) {
        self.tasks.retain(|(_, call, awaited)| *call != of || !which(*awaited));
    }

    /// A name for a new peer connection.
    pub const fn new_peer(&mut self) -> PeerId {
        self.counter += 1;
        PeerId(self.counter)
    }

    /// How peers find candidates: as the app said, else as the server said.
    pub fn ice(&self) -> Ice {
        let servers = if self.config.ice_servers.is_empty() { &self.named_ice } else { &self.config.ice_servers };
        Ice { servers: servers.clone(), relay_only: self.config.relay_only }
    }

    /// Puts a text frame on its way. A server that does not know us yet would refuse requests: they are kept until it does, and leave
    /// with all others that wait for their answer.
    pub fn send(&mut self, text: String) {
        if self.signed_in || ["SIP/2.0", "REGISTER", "OPTIONS", "\r\n"].iter().any(|start| text.starts_with(start)) {
            self.push(Output::Send(text));
        }
    }

    /// Wants something done, after all that was wanted before.
    #[inline(never)]
    pub fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Tells the app.
    pub fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    /// Tells the app that a call changed.
    pub fn changed(&mut self, change: Change, info: &CallInfo) {
        self.event(Event::Call { change, info: Rc::new(info.clone()) });
    }

    /// Writes a line into the log.
    pub fn log(&mut self, line: &str) {
        self.event(Event::Log(line.to_owned()));
    }

    fn finish(&self, request: Writer, branch: &Branch) -> Writer {
        let transport = if self.secure { "SIP/2.0/WSS " } else { "SIP/2.0/WS " };
        request
            .joined("Via", &[transport, &self.host, ";branch=", branch.as_str()])
            .field("Max-Forwards", "70")
            .field("User-Agent", &self.config.user_agent)
    }
}
