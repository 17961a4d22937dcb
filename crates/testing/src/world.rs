//! The surroundings of the proxy in virtual time: connections, a store, and scripted phones that send real SIP.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use offhook_access::secret::Secret;
use offhook_proxy::{Account, Application, ConnId, IceServer, Input, Output, Proxy, QueryId, Record, Settings};
use offhook_sip::{Algorithm, Challenge, Message, Method, Name, StatusCode, ha1, parse, reply, strongest};
use offhook_ua::time::Instant;

use crate::switch::{self, DOMAIN, KEY};
use crate::text::head;

/// 2026-03-01T12:00:00Z.
pub const START: u64 = 1_772_366_400_000;

/// The proxy, and everything that it depends on.
pub struct World {
    /// The proxy.
    pub proxy: Proxy,
    /// The current time.
    pub now: Instant,
    /// Messages that arrived on each connection and were not taken yet.
    pub inbox: BTreeMap<ConnId, VecDeque<String>>,
    /// Messages that the back-to-back user agent was handed and were not taken yet.
    pub outbox: Vec<String>,
    /// The connections that the proxy has closed, with code and reason.
    pub closed: BTreeMap<ConnId, (u16, &'static str)>,
    /// The records of the proxy.
    pub records: Vec<Record>,
    /// Users that the proxy has reported to the store.
    pub seen: Vec<String>,
    /// The accounts in the store, by application and user.
    pub accounts: BTreeMap<(String, String), Account>,
    /// Queries to the store that were not answered because of `store_down`.
    pub asked: Vec<QueryId>,
    /// Whether the store answers nothing.
    pub store_down: bool,
    conns: u64,
}

/// Returns settings for tests: those of [`switch::settings`] with another application, and servers for ICE.
pub fn settings() -> Settings {
    let mut settings = switch::settings();
    let (key, secret) = ("other".to_owned(), Secret::shared(b"another secret".to_vec()));
    settings.applications.insert(key.clone(), Application { key, secret });
    settings.ice_servers =
        ["stun:stun.example:3478", "turn:turn.example:3478?transport=udp"].map(|url| IceServer { url: url.into() }).into();
    Settings { turn_secret: Some("north".into()), ..settings }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Returns a proxy with [`settings`].
    pub fn new() -> Self {
        Self::with(settings())
    }

    /// Returns a proxy with these settings.
    pub fn with(settings: Settings) -> Self {
        Self {
            proxy: Proxy::new(settings, [7; 32]),
            now: Instant::from_millis(START),
            inbox: BTreeMap::new(),
            outbox: Vec::new(),
            closed: BTreeMap::new(),
            records: Vec::new(),
            seen: Vec::new(),
            accounts: BTreeMap::new(),
            asked: Vec::new(),
            store_down: false,
            conns: 0,
        }
    }

    /// Adds a user with a password.
    pub fn account(&mut self, user: &str, password: &str, display: &str) {
        let hash = |algorithm| Some(ha1(algorithm, user, DOMAIN, password));
        let (ha1_sha256, ha1_md5) = (hash(Algorithm::Sha256), hash(Algorithm::Md5));
        let revision = self.accounts.get(&(KEY.into(), user.into())).map_or(0, |account| account.revision + 1);
        self.accounts.insert((KEY.into(), user.into()), Account { ha1_sha256, ha1_md5, display_name: display.into(), revision });
    }

    /// Changes the password of a user, and tells the proxy.
    pub fn change_password(&mut self, user: &str, password: &str) {
        self.account(user, password, "");
        let revision = self.accounts[&(KEY.into(), user.into())].revision;
        self.handle(Input::PasswordChanged { application: KEY.into(), user: user.into(), revision });
    }

    /// Adds a user without a password.
    pub fn known(&mut self, user: &str) {
        self.accounts.entry((KEY.into(), user.into())).or_default();
    }

    /// Opens a connection of a page of the application with tickets.
    pub fn open(&mut self) -> ConnId {
        self.open_for(KEY)
    }

    /// Opens a connection of a page of this application.
    pub fn open_for(&mut self, application: &str) -> ConnId {
        self.opened(application, [127, 0, 0, 1].into())
    }

    /// Opens a connection from this address.
    pub fn open_from(&mut self, peer: IpAddr) -> ConnId {
        self.opened(KEY, peer)
    }

    fn opened(&mut self, application: &str, peer: IpAddr) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.handle(Input::Opened { conn, peer, application: application.into() });
        conn
    }

    /// Loses a connection.
    pub fn close(&mut self, conn: ConnId) {
        self.handle(Input::Closed { conn, left: false });
    }

    /// Closes a connection whose page has announced that it goes away.
    pub fn leave(&mut self, conn: ConnId) {
        self.handle(Input::Closed { conn, left: true });
    }

    /// Gives a message to the proxy.
    pub fn send(&mut self, conn: ConnId, text: &str) {
        self.handle(Input::Received { conn, text: text.into() });
    }

    /// Takes in what the back-to-back user agent sends for the application that has tickets.
    pub fn send_from_outside(&mut self, text: &str) {
        self.handle(Input::FromB2bua { application: KEY.into(), text: text.into() });
    }

    /// Gives an input to the proxy, and executes its outputs.
    pub fn handle(&mut self, input: Input) {
        self.proxy.handle(self.now, input);
        while let Some(output) = self.proxy.poll() {
            match output {
                Output::Send { conn, text } => self.inbox.entry(conn).or_default().push_back(text),
                Output::ToB2bua { text, .. } => self.outbox.push(text),
                Output::Close { conn, code, reason } => drop(self.closed.insert(conn, (code, reason))),
                Output::Lookup { query, .. } if self.store_down => self.asked.push(query),
                Output::Lookup { query, application, user } => {
                    let account = self.accounts.get(&(application, user)).cloned();
                    self.proxy.handle(self.now, Input::Account { query, account });
                }
                Output::Seen { application, user } => {
                    self.seen.push(user.clone());
                    self.accounts.entry((application, user)).or_default();
                }
                Output::Record(record) => self.records.push(record),
            }
        }
    }

    /// Lets time pass, ms; timers fire when they are due.
    pub fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(at) = self.proxy.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    /// Takes all messages that arrived on a connection.
    pub fn take(&mut self, conn: ConnId) -> Vec<String> {
        self.inbox.remove(&conn).unwrap_or_default().into()
    }

    /// Takes the messages that the back-to-back user agent was handed.
    pub fn take_outside(&mut self) -> Vec<String> {
        std::mem::take(&mut self.outbox)
    }

    /// Takes the only message that arrived on a connection.
    #[track_caller]
    pub fn one(&mut self, conn: ConnId) -> String {
        let mut all = self.take(conn);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Takes all messages that arrived on a connection, in short: `INVITE`, `180 INVITE`.
    pub fn heads(&mut self, conn: ConnId) -> Vec<String> {
        self.take(conn).iter().map(|text| head(text)).collect()
    }

    /// Returns the causes and codes of the calls that ended.
    pub fn ends(&self) -> Vec<(&'static str, u16)> {
        let end = |record: &Record| match record {
            Record::CallEnded { cause, code, .. } => Some((*cause, code.as_u16())),
            _ => None,
        };
        self.records.iter().filter_map(end).collect()
    }
}

/// Returns the value of a field of a message.
pub fn field(text: &str, name: &str) -> Option<String> {
    parse(text.as_bytes()).ok()?.get_other(name).map(str::to_owned)
}

/// Returns the status code of a response.
pub fn code(text: &str) -> u16 {
    parse(text.as_bytes()).ok().and_then(|message| message.code()).map_or(0, StatusCode::as_u16)
}

/// A device of a user.
#[derive(Clone, Debug)]
pub struct Phone {
    /// Its connection.
    pub conn: ConnId,
    /// Its user.
    pub user: String,
    /// The name of the device (`+sip.instance`).
    pub instance: String,
    /// The CSeq of its last REGISTER.
    pub serial: u32,
}

impl Phone {
    /// Returns a device on a new connection, not registered.
    pub fn new(world: &mut World, user: &str, number: u32) -> Self {
        let instance = format!("00000000-0000-4000-8000-{number:012}");
        Self { conn: world.open(), user: user.into(), instance, serial: 0 }
    }

    /// Returns a device that has registered with a ticket.
    #[track_caller]
    pub fn registered(world: &mut World, user: &str, number: u32) -> Self {
        let mut phone = Self::new(world, user, number);
        phone.register(world);
        phone
    }

    /// Returns a device that has authenticated with a ticket but cannot be called.
    #[track_caller]
    pub fn caller(world: &mut World, user: &str, number: u32) -> Self {
        let mut phone = Self::new(world, user, number);
        let text = phone.with_ticket(world, &phone.register_text("")).replace("\r\nContact: ", "\r\nX-None: ");
        world.send(phone.conn, &text);
        assert_eq!(code(&world.one(phone.conn)), 200);
        phone.serial += 1;
        phone
    }

    /// Registers with the next CSeq, and returns the response.
    #[track_caller]
    pub fn register(&mut self, world: &mut World) -> String {
        self.serial += 1;
        let text = self.with_ticket(world, &self.register_text(""));
        world.send(self.conn, &text);
        let mut all = world.take(self.conn);
        assert!(!all.is_empty(), "no answer to REGISTER");
        let answer = all.remove(0);
        assert_eq!(code(&answer), 200, "{answer}");
        world.inbox.entry(self.conn).or_default().extend(all);
        answer
    }

    /// Returns the same device on a new connection.
    pub fn reconnected(&self, world: &mut World) -> Self {
        Self { conn: world.open(), serial: self.serial + 100, ..self.clone() }
    }

    /// Returns the value of its Contact.
    pub fn contact(&self) -> String {
        format!("<sip:{}@{}.invalid;transport=ws>", offhook_sip::escape_user(&self.user), &self.instance[24..])
    }

    /// Returns the address of record of its user.
    pub fn uri(&self) -> String {
        format!("sip:{}@{DOMAIN}", offhook_sip::escape_user(&self.user))
    }

    /// Returns a REGISTER with these additional fields.
    pub fn register_text(&self, more: &str) -> String {
        let (uri, contact, instance, serial) = (self.uri(), self.contact(), &self.instance, self.serial);
        let conn = self.conn.0;
        format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKreg{conn}.{serial}\r\nMax-Forwards: 70\r\n\
             From: <{uri}>;tag=r{serial}\r\nTo: <{uri}>\r\nCall-ID: reg-{instance}\r\nCSeq: {serial} REGISTER\r\n\
             Contact: {contact};+sip.instance=\"<urn:uuid:{instance}>\";reg-id=1\r\nSupported: path, outbound, gruu\r\n\
             {more}Content-Length: 0\r\n\r\n"
        )
    }

    /// Returns the message with a ticket that is valid now.
    pub fn with_ticket(&self, world: &World, text: &str) -> String {
        let ticket = switch::ticket_of(&self.user, world.now);
        with(text, &format!("Authorization: Bearer {ticket}"))
    }

    /// Returns an INVITE to a user.
    pub fn invite_text(&self, callee: &str, call_id: &str) -> String {
        let uri = self.uri();
        let to = offhook_sip::escape_user(callee);
        let body = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
        format!(
            "INVITE sip:{to}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/WS {}.invalid;branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
             From: <{uri}>;tag=f{call_id}\r\nTo: <sip:{to}@{DOMAIN}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
             Contact: {};+sip.instance=\"<urn:uuid:{}>\"\r\nX-Color: blue\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            &self.instance[24..],
            self.contact(),
            self.instance,
            body.len(),
        )
    }

    /// Sends an INVITE to a user.
    pub fn call(&self, world: &mut World, callee: &str, call_id: &str) {
        world.send(self.conn, &self.invite_text(callee, call_id));
    }

    /// Sends the CANCEL for it.
    pub fn cancel(&self, world: &mut World, callee: &str, call_id: &str) {
        let text = derived(&self.invite_text(callee, call_id), "CANCEL");
        world.send(self.conn, &text);
    }

    /// Returns the response of this device to a request.
    pub fn answer_text(&self, request: &str, code: u16) -> String {
        let message = parse(request.as_bytes()).expect("a request");
        let tag = format!("t{}", &self.instance[24..]);
        let mut text = reply(&message, StatusCode::new(code).unwrap(), Some(&tag));
        if code < 300 && matches!(message.method(), Some(Method::Invite | Method::Update)) {
            text = text.field("Contact", &self.contact());
        }
        text.end()
    }

    /// Answers a request.
    pub fn answer(&self, world: &mut World, request: &str, code: u16) {
        let text = self.answer_text(request, code);
        world.send(self.conn, &text);
    }

    /// Takes the message that arrived, which has to be an INVITE and the only one.
    #[track_caller]
    pub fn rung(&self, world: &mut World) -> String {
        let text = world.one(self.conn);
        assert_eq!(head(&text), "INVITE");
        text
    }
}

/// One side of an established dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// The connection of the device.
    pub conn: ConnId,
    local: String,
    remote: String,
    /// The remote target.
    pub target: String,
    /// The route set, as a header field.
    pub route: String,
    call_id: String,
    /// The CSeq of the last request.
    pub serial: u32,
    /// The value of our Contact.
    pub contact: String,
}

impl Dialog {
    /// Returns the dialog of the caller, from the 2xx.
    pub fn caller(phone: &Phone, answer: &str) -> Self {
        Self::of(phone, answer, Name::From, Name::To, 1)
    }

    /// Returns the dialog of the callee, from the INVITE.
    pub fn callee(phone: &Phone, invite: &str) -> Self {
        let mut dialog = Self::of(phone, invite, Name::To, Name::From, 50);
        dialog.local.push_str(&format!(";tag=t{}", &phone.instance[24..]));
        dialog
    }

    fn of(phone: &Phone, text: &str, local: Name, remote: Name, serial: u32) -> Self {
        let message: Message<'_> = parse(text.as_bytes()).expect("a message");
        let get = |name| message.get(name).unwrap_or_default().to_owned();
        let target = message.contacts().next().expect("a Contact").expect("a readable Contact").uri_text.to_owned();
        let (call_id, route) = (get(Name::CallId), get(Name::RecordRoute));
        Self { conn: phone.conn, local: get(local), remote: get(remote), target, route, call_id, serial, contact: phone.contact() }
    }

    /// Returns the next request of this side.
    pub fn request_text(&mut self, method: &str) -> String {
        self.serial += u32::from(method != "ACK");
        let Self { local, remote, target, route, call_id, serial, contact, conn } = self;
        let contact = if matches!(method, "INVITE" | "UPDATE") { format!("Contact: {contact}\r\n") } else { String::new() };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/WS d.invalid;branch=z9hG4bK{}.{}.{serial}.{call_id}\r\nMax-Forwards: 70\r\n\
             Route: {route}\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\nCSeq: {serial} {method}\r\n{contact}Content-Length: 0\r\n\r\n",
            method.to_lowercase(),
            conn.0
        )
    }

    /// Sends the next request of this side.
    pub fn send(&mut self, world: &mut World, method: &str) {
        let text = self.request_text(method);
        world.send(self.conn, &text);
    }
}

/// Returns caller and callee of an established call, with both sides of the dialog.
#[track_caller]
pub fn talking(world: &mut World) -> (Phone, Phone, Dialog, Dialog) {
    let alice = Phone::registered(world, "alice", 1);
    let bob = Phone::registered(world, "bob", 2);
    alice.call(world, "bob", "talk");
    let invite = bob.rung(world);
    bob.answer(world, &invite, 180);
    bob.answer(world, &invite, 200);
    let answers = world.take(alice.conn);
    assert_eq!(answers.iter().map(|text| head(text)).collect::<Vec<_>>(), ["100 INVITE", "180 INVITE", "200 INVITE"]);
    let mut caller = Dialog::caller(&alice, &answers[2]);
    let callee = Dialog::callee(&bob, &invite);
    caller.send(world, "ACK");
    assert_eq!(world.heads(bob.conn), ["ACK"]);
    (alice, bob, caller, callee)
}

/// Returns the message with one more field.
pub fn with(text: &str, field: &str) -> String {
    text.replacen("\r\nMax-Forwards", &format!("\r\n{field}\r\nMax-Forwards"), 1)
}

/// Returns the message with another start line.
pub fn with_start(text: &str, line: &str) -> String {
    format!("{line}{}", &text[text.find("\r\n").expect("a start line")..])
}

/// Returns the CANCEL or ACK for an INVITE, with its branch.
pub fn derived(invite: &str, method: &str) -> String {
    let bare = &invite[..invite.find("\r\nContact").expect("a Contact")];
    format!("{bare}\r\nContent-Length: 0\r\n\r\n").replace("INVITE", method)
}

/// Returns the header field with the digest credentials for a 401 or 407.
pub fn digest(answer: &str, user: &str, password: &str, method: &str, uri: &str, count: u32) -> String {
    let message = parse(answer.as_bytes()).expect("a response");
    let (name, field) = if code(answer) == 401 {
        (Name::WwwAuthenticate, "Authorization")
    } else {
        (Name::ProxyAuthenticate, "Proxy-Authorization")
    };
    let challenge: Challenge = strongest(message.all(name)).expect("a challenge");
    let hash = ha1(challenge.algorithm, user, &challenge.realm, password);
    format!("{field}: {}", challenge.answer(user, &hash, Method::from(method), uri, "c0ffee", count))
}

/// Like [`digest`], with MD5.
pub fn digest_md5(answer: &str, user: &str, password: &str, method: &str, uri: &str) -> String {
    let message = parse(answer.as_bytes()).expect("a response");
    let all = message.all(Name::WwwAuthenticate).filter_map(|value| Challenge::parse(value).ok());
    let challenge = all.into_iter().find(|challenge| challenge.algorithm == Algorithm::Md5).expect("an MD5 challenge");
    let hash = ha1(challenge.algorithm, user, &challenge.realm, password);
    format!("Authorization: {}", challenge.answer(user, &hash, Method::from(method), uri, "c0ffee", 1))
}
