//! The surroundings of the trunks in virtual time: sockets, a scripted resolver, and messages of providers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use offhook_sip::{Message, Name, StatusCode, parse, reply};
use offhook_trunk::Trunk;
use offhook_trunk::{ConnectionId, Event, Flow, Input, Output, Record, ResolveId, Settings, TrunkId, Trunks, Wire};
use offhook_ua::time::Instant;
use offhook_ua::transaction::ClientKey;

/// 2026-03-01T12:00:00Z.
pub const START: u64 = 1_772_366_400_000;
pub const PROVIDER: &str = "192.0.2.1:5060";

/// The trunks, and all their outputs.
pub struct World {
    pub trunks: Trunks,
    pub now: Instant,
    pub sent: VecDeque<(Flow, String)>,
    pub connects: VecDeque<(ConnectionId, SocketAddr, Wire, String)>,
    pub disconnected: Vec<ConnectionId>,
    pub questions: VecDeque<(ResolveId, String, Option<u16>, Wire)>,
    pub events: VecDeque<Event>,
    pub records: Vec<Record>,
}

/// Returns a trunk at [`PROVIDER`] over UDP, without OPTIONS.
pub fn provider() -> Trunk {
    Trunk { name: "provider".into(), address: PROVIDER.into(), prefixes: vec!["+".into()], watch: 0, ..Trunk::default() }
}

pub fn settings(trunks: Vec<Trunk>) -> Settings {
    Settings {
        domain: "calls.example".into(),
        host: "198.51.100.1".into(),
        ports: [5060, 5060, 5061],
        trunks,
        ..Settings::default()
    }
}

pub fn id(name: &str) -> TrunkId {
    TrunkId(name.into())
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Returns a request of a B2BUA in the dialog `call`.
pub fn request(method: &str, call: &str, more: &str) -> String {
    format!(
        "{method} sip:+4670@192.0.2.1 SIP/2.0\r\nMax-Forwards: 70\r\nFrom: <sip:+4640@calls.example>;tag=ours\r\nTo: <sip:+4670@192.0.2.1>\r\n\
         Call-ID: {call}\r\nCSeq: 1 {method}\r\nContact: <sip:198.51.100.1:5060>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// Returns an in-dialog request to the remote target `target`.
pub fn within(method: &str, call: &str, number: u32, target: &str) -> String {
    request(method, call, "")
        .replace("sip:+4670@192.0.2.1 SIP/2.0", &format!("{target} SIP/2.0"))
        .replace("To: <sip:+4670@192.0.2.1>", "To: <sip:+4670@192.0.2.1>;tag=theirs")
        .replace("CSeq: 1 ", &format!("CSeq: {number} "))
}

/// Returns a request from a trunk or an untrusted source.
pub fn foreign(method: &str, branch: &str, more: &str) -> String {
    format!(
        "{method} sip:+4640@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:+4670@192.0.2.1>;tag=theirs\r\nTo: <sip:+4640@198.51.100.1>\r\nCall-ID: {branch}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:192.0.2.1:5060>\r\nUser-Agent: Somebody else's server, release 12.34.56\r\n\
         Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// Returns a response to a request of the gateway.
pub fn answer(request: &str, code: u16, more: &str) -> String {
    let request = parse(request.as_bytes()).expect("a request");
    let tag = (code > 100).then_some("theirs");
    let mut text = reply(&request, StatusCode::new(code).unwrap(), tag);
    for (name, value) in more.lines().filter_map(|line| line.split_once(": ")) {
        text = text.field(name, value);
    }
    if code > 100 {
        text = text.field("Contact", "<sip:+4670@192.0.2.1:5060>");
    }
    text.end()
}

pub fn read(text: &str) -> Message<'_> {
    parse(text.as_bytes()).expect("a message")
}

/// Returns the method or the status code of a message.
pub fn kind(text: &str) -> String {
    let message = read(text);
    message.code().map_or_else(|| message.method().map(|method| method.to_string()).unwrap_or_default(), |code| code.to_string())
}

pub fn header(text: &str, name: Name) -> String {
    read(text).get(name).unwrap_or_default().to_owned()
}

impl World {
    pub fn new(trunks: Vec<Trunk>) -> Self {
        Self::with(settings(trunks))
    }

    pub fn with(settings: Settings) -> Self {
        let mut world = Self {
            trunks: Trunks::new(settings, [7; 32]),
            now: Instant::from_millis(START),
            sent: VecDeque::new(),
            connects: VecDeque::new(),
            disconnected: Vec::new(),
            questions: VecDeque::new(),
            events: VecDeque::new(),
            records: Vec::new(),
        };
        world.handle(Input::Timeout);
        world
    }

    pub fn handle(&mut self, input: Input) {
        self.trunks.handle(self.now, input);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.trunks.poll() {
            match output {
                Output::Send { flow, text } => self.sent.push_back((flow, text)),
                Output::Connect { connection, peer, wire, name } => self.connects.push_back((connection, peer, wire, name)),
                Output::Disconnect { connection } => self.disconnected.push(connection),
                Output::Resolve { query, host, port, wire } => self.questions.push_back((query, host, port, wire)),
                Output::Event(event) => self.events.push_back(event),
                Output::Record(record) => self.records.push(record),
            }
        }
    }

    /// Lets time pass, and executes what is due.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(deadline) = self.trunks.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    pub fn ask(&mut self, text: &str) -> ClientKey {
        self.ask_of("provider", text)
    }

    pub fn ask_of(&mut self, trunk: &str, text: &str) -> ClientKey {
        let key = self.trunks.request(self.now, &id(trunk), text.into());
        self.drain();
        key
    }

    pub fn ack(&mut self, text: &str) {
        self.trunks.send(self.now, &id("provider"), text.into());
        self.drain();
    }

    pub fn cancel(&mut self, key: &ClientKey) {
        self.trunks.cancel(self.now, key, Some("SIP;cause=200"));
        self.drain();
    }

    /// Receives a datagram.
    pub fn hear(&mut self, from: &str, text: &str) {
        self.handle(Input::Received { flow: Flow::Udp(address(from)), bytes: text.into() });
    }

    /// Receives a message on a connection.
    pub fn hear_on(&mut self, connection: ConnectionId, text: &str) {
        self.handle(Input::Received { flow: Flow::Connection(connection), bytes: text.into() });
    }

    /// Returns the next message that was sent, with its destination.
    #[track_caller]
    pub fn next(&mut self) -> (Flow, String) {
        self.sent.pop_front().expect("a message")
    }

    /// Returns the next message, whose method or status must be this one.
    #[track_caller]
    pub fn expect(&mut self, wanted: &str) -> String {
        let (_, text) = self.next();
        assert_eq!(kind(&text), wanted, "{text}");
        text
    }

    /// Returns the next event as text: `200`, `INVITE` or `failed 408`.
    pub fn event(&mut self) -> Option<String> {
        Some(match self.events.pop_front()? {
            Event::Request { message, .. } | Event::Response { message, .. } => kind(message.text()),
            Event::Failed { code, .. } => format!("failed {code}"),
            Event::NoAck { .. } => "no ACK".into(),
        })
    }

    #[track_caller]
    pub fn nothing_more(&mut self) {
        assert_eq!((self.sent.pop_front(), self.event()), (None, None));
    }

    /// Answers the oldest query to the resolver.
    #[track_caller]
    pub fn resolve(&mut self, addresses: &[&str]) {
        let (query, ..) = self.questions.pop_front().expect("a question");
        let addresses = addresses.iter().map(|text| (address(text), 300)).collect();
        self.handle(Input::Resolved { query, addresses });
    }

    /// Completes the connection attempt.
    #[track_caller]
    pub fn open(&mut self) -> ConnectionId {
        let (connection, peer, wire, _) = self.connects.pop_front().expect("a connection is wanted");
        self.handle(Input::Opened { connection, peer, wire, names: Vec::new() });
        connection
    }
}
