//! The world around the exchange: pages, carriers, and stand-ins for media, ledger and store.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use offhook::client::call::{CallId, CallInfo, Destination};
use offhook::client::{Change, Client, Event, IceState, Input, Output, PeerId, Task, TaskKind, TaskResult};
use offhook_access::proofs::Proofs;
use offhook_b2bua::exchange::{self, Exchange};
use offhook_b2bua::{self as b2bua, B2bua, Callee, Emergency};
use offhook_ledger::{Answer, CallRef, Grant, Query, Refused};
use offhook_media::{self as media, Command, Leg, MediaError, SessionId, Traffic};
use offhook_proxy::{self as switch, Account, ConnId, Proxy};
use offhook_sip::{Message, Method, Name, StatusCode, parse, reply};
use offhook_testing::switch::{self as common, DOMAIN, KEY};
use offhook_testing::text::head;
use offhook_trunk::Trunk;
use offhook_trunk::{self as trunk, Flow, Trunks};
use offhook_ua::time::Instant;

use crate::page::signing_in;

pub const FIRST: &str = "192.0.2.1:5060";
pub const SECOND: &str = "192.0.2.2:5060";
const START: u64 = 1_772_366_400_000;

/// Everything.
pub struct World {
    pub now: Instant,
    pub exchange: Exchange,
    pub pages: Vec<Page>,
    /// What carriers were sent and have not looked at: where to, and what.
    pub sent: VecDeque<(String, String)>,
    /// What happened, a line each.
    pub log: Vec<String>,
    /// Everything that the page was sent and has sent.
    pub texts: Vec<String>,
    pub commands: Vec<Command>,
    pub called: Vec<String>,
    /// What the ledger says to the next call.
    pub grant: Result<Grant, Refused>,
    /// What it says to each wish for more; none: the same end.
    pub extensions: VecDeque<(Option<Duration>, bool)>,
    /// Whose number every number is.
    pub callee: Option<Callee>,
    pub ledger_down: bool,
    /// How the media answer each offer of these legs; `Ok` where nothing is said.
    pub unusable: Option<(Leg, MediaError)>,
    /// The address of every name that the resolver is asked for.
    pub resolved: Option<SocketAddr>,
    paid: (Option<Duration>, bool),
    conns: u64,
    /// What becomes of the next INVITE of a page on its way.
    edit: Option<Edit>,
}

/// What makes another message of one.
type Edit = Box<dyn FnOnce(String) -> String>;

/// A page with a user on it.
pub struct Page {
    pub client: Client,
    pub conn: Option<ConnId>,
    pub peer: Option<PeerId>,
    /// Whether it never comes back.
    gone: bool,
    pub calls: Vec<CallId>,
    pub last: Option<Rc<CallInfo>>,
    /// What its app was told.
    pub told: Vec<String>,
    later: VecDeque<(Instant, Input)>,
}

/// A trunk at that address.
pub fn trunk(name: &str, address: &str) -> Trunk {
    Trunk {
        name: name.into(),
        address: address.into(),
        prefixes: vec!["+".into()],
        domains: vec!["example.com".into()],
        watch: 0,
        ..Trunk::default()
    }
}

/// Two trunks, the first before the second.
pub fn two() -> Vec<Trunk> {
    vec![trunk("first", FIRST), Trunk { priority: 20, ..trunk("second", SECOND) }]
}

impl World {
    /// Alice's page is signed in, and there is one trunk.
    pub fn new() -> Self {
        Self::with(vec![trunk("first", FIRST)])
    }

    pub fn with(trunks: Vec<Trunk>) -> Self {
        Self::of(trunks, &[], Emergency::default(), "alice")
    }

    /// With domains that are called without a trunk, a way to help, and a user of that name on the first page.
    pub fn of(trunks: Vec<Trunk>, open: &[&str], emergency: Emergency, user: &str) -> Self {
        let mut world = Self::empty(trunks, open, emergency);
        world.open_page(user);
        world.run(1_000);
        world.log.clear();
        world.texts.clear();
        world
    }

    fn empty(trunks: Vec<Trunk>, open: &[&str], emergency: Emergency) -> Self {
        let settings = trunk::Settings {
            domain: DOMAIN.into(),
            host: "198.51.100.1".into(),
            ports: [5060, 5060, 5061],
            trunks,
            open_domains: open.iter().map(|domain| (*domain).to_owned()).collect(),
            proofs: Proofs::default(),
        };
        let own = switch::Settings { emergency: emergency.numbers.clone(), b2bua: true, ..common::settings() };
        let proxy = Proxy::new(own, [7; 32]);
        let now = Instant::from_millis(START);
        let limits = b2bua::Settings { domain: DOMAIN.into(), calls: 10, test_calls: 20, emergency };
        let b2bua = B2bua::new(limits, Trunks::new(settings, [8; 32]), [9; 32]);
        Self {
            now,
            exchange: Exchange::new(proxy, b2bua),
            pages: Vec::new(),
            sent: VecDeque::new(),
            log: Vec::new(),
            texts: Vec::new(),
            commands: Vec::new(),
            called: Vec::new(),
            grant: Ok(Grant { paid: None, more: false, caller_id: Some("+46401234".into()) }),
            extensions: VecDeque::new(),
            callee: Some(Callee { application: KEY.into(), user: "alice".into() }),
            ledger_down: false,
            unusable: None,
            resolved: None,
            paid: (None, false),
            conns: 0,
            edit: None,
        }
    }

    pub fn open_page(&mut self, user: &str) {
        let number = self.pages.len() + 1;
        let client = signing_in(user, u8::try_from(number).expect("few pages"), self.now, self.now);
        let (calls, told, later) = (Vec::new(), Vec::new(), VecDeque::new());
        self.pages.push(Page { client, conn: None, peer: None, gone: false, calls, last: None, told, later });
        self.settle();
    }

    /// Alice calls.
    pub fn call(&mut self, destination: Destination) {
        self.call_with(destination, &[]);
    }

    /// The next INVITE of a page is changed on its way, as another SIP client or a proxy would have it.
    pub fn edit(&mut self, edit: impl FnOnce(String) -> String + 'static) {
        self.edit = Some(Box::new(edit));
    }

    pub fn phone(&mut self, number: &str) {
        self.call(Destination::Phone(number.into()));
    }

    /// Alice calls this very URI, with another SIP client than ours.
    pub fn dial(&mut self, uri: &str) {
        let uri = uri.to_owned();
        self.edit(move |text| {
            let (_, rest) = text.split_once("\r\n").expect("a request");
            format!("INVITE {uri} SIP/2.0\r\n{rest}")
        });
        self.call(Destination::User("bob".into()));
    }

    /// A page calls a number.
    pub fn call_from(&mut self, page: usize, number: &str) {
        let info = self.pages[page].client.call(self.now, Destination::Phone(number.into()), Vec::new());
        self.pages[page].calls.push(info.id);
        self.run(100);
    }

    pub fn call_with(&mut self, destination: Destination, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let info = self.pages[0].client.call(self.now, destination, headers);
        self.pages[0].calls.push(info.id);
        self.run(100);
    }

    pub fn answer(&mut self, page: usize) {
        let id = *self.pages[page].calls.last().expect("a call");
        self.pages[page].client.answer(self.now, id, false).expect("it can be answered");
        self.run(100);
    }

    pub fn hang_up(&mut self, page: usize) {
        let id = *self.pages[page].calls.last().expect("a call");
        self.pages[page].client.hangup(self.now, id).expect("it can be ended");
        self.settle();
    }

    /// The page's connection breaks for good.
    pub fn cut(&mut self, page: usize) {
        self.pages[page].gone = true;
        if let Some(conn) = self.pages[page].conn.take() {
            self.switch_input(switch::Input::Closed { conn, left: false });
        }
        self.settle();
    }

    /// A datagram of a carrier.
    pub fn hear(&mut self, from: &str, text: &str) {
        self.log.push(format!("carrier > {}", head(text)));
        let from: SocketAddr = from.parse().expect("an address");
        self.b2bua_input(b2bua::Input::Trunk(trunk::Input::Received { flow: Flow::Udp(from), bytes: text.into() }));
        self.settle();
    }

    /// The browser tells a page something.
    pub fn page_input(&mut self, page: usize, input: Input) {
        self.pages[page].client.handle(self.now, input);
        self.settle();
    }

    /// The media say something of the only session there was.
    pub fn media(&mut self, event: media::Event) {
        self.b2bua_input(b2bua::Input::Media(event));
        self.settle();
    }

    /// The next message that a carrier was sent, which is of this kind.
    #[track_caller]
    pub fn expect(&mut self, wanted: &str) -> String {
        let (_, text) = self.sent.pop_front().unwrap_or_else(|| panic!("no {wanted}; {:#?}", self.log));
        assert_eq!(head(&text), wanted, "{text}\n{:#?}", self.log);
        text
    }

    #[track_caller]
    pub fn silent(&mut self) {
        assert_eq!(self.sent.pop_front(), None, "{:#?}", self.log);
    }

    /// Lets time pass, in steps of ten milliseconds.
    pub fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.now < end {
            let due = self.exchange.deadline().unwrap_or(end);
            self.now = self.now.max(due.min(self.now + Duration::from_millis(10)).min(end));
            if due <= self.now {
                self.handle(exchange::Input::Timeout);
            }
            for page in 0..self.pages.len() {
                while let Some((_, input)) = self.pages[page].later.pop_front_if(|(at, _)| *at <= self.now) {
                    self.pages[page].client.handle(self.now, input);
                }
                if self.pages[page].client.deadline().is_some_and(|at| at <= self.now) {
                    self.pages[page].client.handle(self.now, Input::Timeout);
                }
            }
            self.settle();
            if due >= self.now + Duration::from_millis(10) || due <= self.now {
                self.now = self.now
                    + (end - self.now).min(Duration::from_millis(10)).min(Duration::from_millis(u64::from(due > self.now) * 10));
            }
            if self.exchange.deadline().is_none_or(|at| at > end) && self.is_idle(end) {
                self.now = end;
            }
        }
    }

    fn is_idle(&self, end: Instant) -> bool {
        let idle =
            |page: &Page| page.client.deadline().is_none_or(|at| at > end) && page.later.front().is_none_or(|(at, _)| *at > end);
        self.pages.iter().all(idle)
    }

    /// Carries messages until nobody has anything to say.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for page in 0..self.pages.len() {
                while let Some(output) = self.pages[page].client.poll() {
                    quiet = false;
                    self.page_output(page, output);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn page_output(&mut self, number: usize, output: Output) {
        match output {
            Output::Connect { .. } if self.pages[number].gone => {}
            Output::Connect { .. } => {
                self.conns += 1;
                let conn = ConnId(self.conns);
                self.pages[number].conn = Some(conn);
                self.switch_input(switch::Input::Opened { conn, peer: [127, 0, 0, 1].into(), application: KEY.into() });
                self.pages[number].client.handle(self.now, Input::Opened);
            }
            Output::Send(mut text) => {
                if let Some(edit) = self.edit.take_if(|_| text.starts_with("INVITE ")) {
                    text = edit(text);
                }
                self.heard_of(number, '>', &text);
                if let Some(conn) = self.pages[number].conn {
                    self.switch_input(switch::Input::Received { conn, text });
                }
            }
            Output::Task(task) => self.pages[number].task(self.now, &task),
            Output::Event(event) => self.told(number, event),
            _ => {}
        }
    }

    fn heard_of(&mut self, number: usize, way: char, text: &str) {
        if text.trim().is_empty() || head(text).contains("REGISTER") {
            return;
        }
        let name = if number == 0 { "page".to_owned() } else { format!("page {}", number + 1) };
        self.log.push(format!("{name} {way} {}", head(text)));
        self.texts.push(text.to_owned());
    }

    fn switch_input(&mut self, input: switch::Input) {
        self.handle(exchange::Input::Switch(input));
    }

    fn b2bua_input(&mut self, input: b2bua::Input) {
        self.handle(exchange::Input::B2bua(input));
    }

    pub fn handle(&mut self, input: exchange::Input) {
        self.exchange.handle(self.now, input);
        while let Some(output) = self.exchange.poll() {
            match output {
                exchange::Output::Switch(output) => self.switch_output(output),
                exchange::Output::B2bua(output) => self.b2bua_output(output),
            }
        }
    }

    fn switch_output(&mut self, output: switch::Output) {
        match output {
            switch::Output::ToB2bua { .. } => panic!("it stays in the exchange"),
            switch::Output::Send { conn, text } => {
                if let Some(page) = self.pages.iter().position(|page| page.conn == Some(conn)) {
                    self.heard_of(page, '<', &text);
                    self.pages[page].client.handle(self.now, Input::Received(text));
                }
            }
            switch::Output::Lookup { query, .. } => {
                self.switch_input(switch::Input::Account { query, account: Some(Account::default()) });
            }
            switch::Output::Close { .. } | switch::Output::Seen { .. } | switch::Output::Record(_) => {}
        }
    }

    fn b2bua_output(&mut self, output: b2bua::Output) {
        match output {
            b2bua::Output::ToSwitch { .. } => panic!("it stays in the exchange"),
            b2bua::Output::Trunk(trunk::Output::Send { flow: Flow::Udp(to), text }) => {
                self.log.push(format!("carrier < {}", head(&text)));
                self.sent.push_back((to.to_string(), text));
            }
            b2bua::Output::Trunk(trunk::Output::Resolve { query, .. }) => {
                let addresses = self.resolved.iter().map(|address| (*address, 60)).collect();
                self.b2bua_input(b2bua::Input::Trunk(trunk::Input::Resolved { query, addresses }));
            }
            b2bua::Output::Trunk(_) => {}
            b2bua::Output::Media(command) => self.command(command),
            b2bua::Output::Ledger(query) => self.query(query),
            b2bua::Output::Map { query, called } => {
                self.called = called;
                let callee = self.callee.clone();
                self.b2bua_input(b2bua::Input::Mapped { query, callee });
            }
        }
    }

    fn query(&mut self, query: Query) {
        let (call, answer) = match query {
            Query::Open(new) => {
                self.log.push(format!("ledger: {:?} {}", new.kind, new.to));
                let answer = match &self.grant {
                    Ok(grant) => {
                        self.paid = (grant.paid, grant.more);
                        Answer::Granted(grant.clone())
                    }
                    Err(refused) => Answer::Refused(*refused),
                };
                (new.call, answer)
            }
            Query::Connected { .. } => return self.log.push("ledger: connected".into()),
            Query::Extend { call, .. } => {
                self.paid = self.extensions.pop_front().unwrap_or((self.paid.0, false));
                self.log.push(format!("ledger: {:?} paid", self.paid.0));
                (call, Answer::Extended { paid: self.paid.0, more: self.paid.1 })
            }
            Query::Close { end, .. } => return self.log.push(format!("ledger: {} {}", end.cause, end.code)),
        };
        if !self.ledger_down {
            self.ledger_answers(call, answer);
        }
    }

    fn ledger_answers(&mut self, call: CallRef, answer: Answer) {
        self.b2bua_input(b2bua::Input::Ledger { call, answer });
    }

    fn command(&mut self, command: Command) {
        self.commands.push(command.clone());
        let usable = |leg| self.unusable.filter(|(bad, _)| *bad == leg).map_or(Ok(()), |(_, error)| Err(error));
        let (line, event) = match command {
            Command::Open { .. } => ("open".into(), None),
            Command::Close { session } => ("close".into(), Some(media::Event::Closed { session, traffic: Traffic::default() })),
            Command::Offered { session, leg, .. } => {
                let sdp = usable(leg).map(|()| format!("v=0\r\ns=answer to {leg:?}\r\n{MEDIA}"));
                (format!("{leg:?} offers"), Some(media::Event::Answer { session, leg, sdp }))
            }
            Command::Offer { session, leg } => {
                let sdp = usable(leg).map(|()| format!("v=0\r\ns=offer to {leg:?}\r\n{MEDIA}"));
                (format!("offer for {leg:?}"), Some(media::Event::Offer { session, leg, sdp }))
            }
            Command::Answered { leg, .. } => (format!("{leg:?} answers"), None),
            Command::Forget { .. } => ("forget".into(), None),
            Command::Play { times, .. } => (format!("play {times}"), None),
            Command::SendDigit { leg, digit, .. } => (format!("press {digit} for {leg:?}"), None),
        };
        self.log.push(format!("media: {line}"));
        if let Some(event) = event {
            self.b2bua_input(b2bua::Input::Media(event));
        }
    }

    fn told(&mut self, number: usize, event: Event) {
        let line = match event {
            Event::Incoming(info) => {
                self.pages[number].calls.push(info.id);
                let line = format!("incoming from {}", info.from_id);
                self.pages[number].last = Some(info);
                line
            }
            Event::Call { change: Change::Progressing, .. } => "progressing".into(),
            Event::Call { change: Change::Established, .. } => "established".into(),
            Event::Call { change: Change::CreditLow(seconds), .. } => format!("credit low {seconds}"),
            Event::Call { change: Change::Ended, info } => {
                let line = format!("ended {}", info.end_cause.as_str());
                self.pages[number].last = Some(info);
                line
            }
            _ => return,
        };
        self.log.push(format!("app: {line}"));
        self.pages[number].told.push(line);
    }

    /// The only session.
    pub const fn session(&self) -> SessionId {
        SessionId(1)
    }

    /// What the app of the first page was told.
    pub fn app(&self) -> Vec<&str> {
        self.pages[0].told.iter().map(String::as_str).collect()
    }

    /// The lines of the log since the last time, of which begin like this.
    pub fn lines(&self, prefix: &str) -> Vec<&str> {
        self.log.iter().filter_map(|line| line.strip_prefix(prefix)).collect()
    }

    /// All that has happened is this.
    #[track_caller]
    pub fn ladder(&self, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).collect();
        assert_eq!(self.log, expected, "{:#?}", self.log);
    }

    /// The last message of this kind that a page was sent or has sent.
    #[track_caller]
    pub fn text(&self, wanted: &str) -> &str {
        self.texts.iter().rev().find(|text| head(text) == wanted).unwrap_or_else(|| panic!("no {wanted} in {:#?}", self.log))
    }

    /// Everybody has left, and nothing is left of it; each call was opened and closed once.
    #[track_caller]
    pub fn nothing_left(&mut self) {
        self.run(70_000);
        assert_eq!(self.exchange.b2bua().calls(), 0);
        assert_eq!(self.exchange.b2bua().footprint(), 0, "{:#?}", self.log);
        assert_eq!(self.exchange.switch().calls(), 0, "{:#?}", self.log);
        let count = |line: &str| self.log.iter().filter(|known| *known == line).count();
        assert_eq!(count("media: open"), count("media: close"), "{:#?}", self.log);
        let opened = self
            .log
            .iter()
            .filter(|line| {
                ["ledger: Phone", "ledger: Emergency", "ledger: Sip", "ledger: Test", "ledger: Incoming"]
                    .iter()
                    .any(|kind| line.starts_with(kind))
            })
            .count();
        let closed =
            self.lines("ledger: ").iter().filter(|line| line.split(' ').next_back().is_some_and(|code| code.len() == 3)).count();
        assert_eq!(closed, opened, "{:#?}", self.log);
    }
}

impl Page {
    fn task(&mut self, now: Instant, task: &Task) {
        let result = match &task.kind {
            TaskKind::Offer { .. } => TaskResult::Description(page_sdp("actpass")),
            TaskKind::Answer { .. } => TaskResult::Description(page_sdp("active")),
            _ => TaskResult::Done,
        };
        if let TaskKind::Accept { peer, .. } | TaskKind::Answer { peer, .. } = task.kind {
            self.peer = Some(peer);
            self.later.push_back((now + Duration::from_millis(30), Input::IceState { peer, state: IceState::Connected }));
        }
        self.later.push_back((now, Input::Answered { task: task.id, result }));
        self.later.make_contiguous().sort_by_key(|(at, _)| *at);
    }
}

const MEDIA: &str = "o=- 1 1 IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 127.0.0.1\r\na=mid:0\r\n\
                     a=ice-ufrag:gate\r\na=ice-pwd:0123456789012345678901\r\na=setup:passive\r\na=rtpmap:111 opus/48000/2\r\n\
                     a=fingerprint:sha-256 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\r\n";

fn page_sdp(setup: &str) -> String {
    MEDIA.replace("passive", setup).replace("ufrag:gate", "ufrag:page").replace("o=-", "v=0\r\ns=page\r\no=-")
}

/// A field of a message.
pub fn field(text: &str, name: &str) -> String {
    read(text).get_other(name).unwrap_or_default().to_owned()
}

pub fn read(text: &str) -> Message<'_> {
    parse(text.as_bytes()).expect("a message")
}

/// The description of a carrier.
pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

/// A carrier's answer to a request, with that tag; `more`: further fields, and a description where it says `sdp`.
pub fn answer_as(tag: &str, request: &str, code: u16, more: &[(&str, &str)], sdp: bool) -> String {
    let message = read(request);
    let mut text = reply(&message, StatusCode::new(code).unwrap(), (code > 100).then_some(tag));
    if (101..300).contains(&code) && message.cseq().is_ok_and(|cseq| matches!(cseq.method, Method::Invite | Method::Update)) {
        text = text
            .field("Contact", &format!("<sip:{tag}@192.0.2.1:5060>"))
            .field("Allow", "INVITE, ACK, BYE, CANCEL, UPDATE, INFO, PRACK");
    }
    let text = more.iter().fold(text, |text, (name, value)| text.field(name, value));
    if sdp { text.body("application/sdp", SDP) } else { text.end() }
}

pub fn answer(request: &str, code: u16) -> String {
    answer_as("theirs", request, code, &[], code == 200 && head(request) == "INVITE")
}

/// A carrier's request within the dialog that our INVITE and its 200 have made, or that its INVITE and our 200 have.
pub fn within(method: &str, ours: &str, number: u32, more: &str, body: Option<(&str, &str)>) -> String {
    let message = read(ours);
    let get = |name| message.get(name).unwrap_or_default().to_owned();
    let incoming = message.code().is_some();
    let (from, to) =
        if incoming { (get(Name::From), get(Name::To)) } else { (format!("{};tag=theirs", get(Name::To)), get(Name::From)) };
    let uri = message.contacts().next().expect("a Contact").expect("readable").uri_text.to_owned();
    let (kind, body) = body.unwrap_or_default();
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let contact = if matches!(method, "INVITE" | "UPDATE") { "Contact: <sip:theirs@192.0.2.1:5060>\r\n" } else { "" };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKin{method}{number};rport\r\nMax-Forwards: 70\r\n\
         From: {from}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n{contact}{more}{kind}Content-Length: {}\r\n\r\n{body}",
        get(Name::CallId),
        body.len()
    )
}

/// A call to a number that is answered, and acknowledged; gives the INVITE that the carrier got.
#[track_caller]
pub fn talking(world: &mut World) -> String {
    world.phone("+46701234567");
    let invite = world.expect("INVITE");
    world.hear(FIRST, &answer(&invite, 180));
    world.hear(FIRST, &answer(&invite, 200));
    world.expect("ACK");
    world.run(100);
    assert_eq!(world.app().last(), Some(&"established"), "{:#?}", world.log);
    invite
}
