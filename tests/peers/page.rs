//! One client in a page that does what it says, and a peer and a server that do exactly what a test says.

use std::rc::Rc;
use std::time::Duration;

use offhook::client::call::{CallId, CallInfo, Destination, EndCause, Error, State};
use offhook::client::{
    Change, Client, Config, Event, IceServer, Input, Login, MediaError, Output, PeerId, Task, TaskId, TaskKind, TaskResult,
};
use offhook_sip::{Method, Name, Start, StatusCode, parse, reply};
use offhook_ua::time::Instant;

const START: Instant = Instant::from_millis(1_000_000);

pub struct Page {
    pub client: Client,
    pub now: Instant,
    pub sent: Vec<String>,
    pub events: Vec<String>,
    pub commands: Vec<String>,
    /// The offers that the browser was given to answer.
    pub offers: Vec<String>,
    /// How long the last answer was to wait for its first candidate, ms.
    pub patience: Duration,
    /// The ICE servers of the last offer.
    pub ice: Vec<IceServer>,
    /// The last peer connection.
    pub peer: Option<PeerId>,
    /// Answers that a slow browser has not applied yet.
    pub taking: Option<Vec<TaskId>>,
    /// The browser fails to apply an answer.
    pub stubborn: bool,
    /// Whether a connection is to be opened.
    connects: bool,
    /// The ladder: messages and events.
    pub ladder: Vec<String>,
    /// Each call as of its last event.
    pub told: Vec<Rc<CallInfo>>,
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
                   a=ice-ufrag:peer\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\n\
                   a=rtpmap:111 opus/48000/2\r\na=candidate:1 1 udp 1 192.0.2.9 3000 typ host\r\n";

pub fn sdp(fingerprint: u8) -> String {
    let pair = format!("{fingerprint:02X}");
    format!("{SDP}a=fingerprint:sha-256 {}\r\n", [pair.as_str(); 32].join(":"))
}

impl Page {
    pub fn new(login: Login) -> Self {
        let config = Config {
            servers: vec!["ws://s.test".into()],
            domain: "s.test".into(),
            instance: "i".into(),
            active: true,
            activate: true,
            ..Config::default()
        };
        let mut client = Client::new(config, [3; 32]);
        client.start(START, login).unwrap();
        let mut page = Self {
            client,
            now: START,
            sent: Vec::new(),
            events: Vec::new(),
            commands: Vec::new(),
            offers: Vec::new(),
            patience: Duration::ZERO,
            ice: Vec::new(),
            peer: None,
            taking: None,
            stubborn: false,
            connects: false,
            ladder: Vec::new(),
            told: Vec::new(),
        };
        page.input(Input::Opened);
        page.connects = false;
        page
    }

    pub fn signed_in() -> Self {
        let mut page = Self::new(Login::Token { user: "alice".into(), token: "t".into(), lasts: None });
        page.answer("REGISTER", 200, |answer| answer);
        page.sent.clear();
        page.events.clear();
        page.ladder.clear();
        page
    }

    pub fn input(&mut self, input: Input) {
        if let Input::Received(text) = &input {
            self.note('<', text);
        }
        self.client.handle(self.now, input);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.client.poll() {
            match output {
                // The server answers keep-alives.
                Output::Send(text) if text.trim().is_empty() => self.client.handle(self.now, Input::Received("\r\n".into())),
                Output::Send(text) => {
                    assert_eq!(parse(text.as_bytes()).unwrap().check(), Ok(()), "{text}");
                    self.note('>', &text);
                    self.sent.push(text);
                }
                Output::Task(Task { id, kind: TaskKind::Accept { .. }, .. }) if self.taking.is_some() => {
                    self.taking.as_mut().unwrap().push(id);
                }
                Output::Task(task) => {
                    let result = match task.kind {
                        TaskKind::Offer { .. } | TaskKind::Answer { .. } => TaskResult::Description(sdp(1)),
                        TaskKind::Accept { .. } if self.stubborn => TaskResult::Failed(MediaError {
                            name: "InvalidAccessError".into(),
                            message: "Another fingerprint".into(),
                        }),
                        _ => TaskResult::Done,
                    };
                    if let TaskKind::Offer { peer, .. } | TaskKind::Answer { peer, .. } = &task.kind {
                        self.peer = Some(*peer);
                    }
                    if let TaskKind::Offer { ice, .. } = &task.kind {
                        self.ice.clone_from(&ice.servers);
                    }
                    if let TaskKind::Answer { offer, wait, .. } = &task.kind {
                        self.patience = *wait;
                        self.offers.push(offer.clone());
                    }
                    self.commands.push(format!("{:?}", task.kind).split([' ', '{']).next().unwrap().to_owned());
                    self.client.handle(self.now, Input::Answered { task: task.id, result });
                }
                Output::Dtmf { digits, .. } => self.commands.push(format!("Tones {digits}")),
                Output::Sending { on, .. } => self.commands.push(if on { "Sound" } else { "Silence" }.into()),
                Output::Close { .. } => self.commands.push("Close".into()),
                Output::Connect { .. } => self.connects = true,
                Output::Disconnect => self.connects = false,
                Output::Event(Event::Call { change, info }) => {
                    if matches!(change, Change::Progressing | Change::Established | Change::Ended) {
                        self.ladder
                            .push(format!("{change:?} {}", info.end_cause.as_str().replace("NONE", "")).trim().to_lowercase());
                    }
                    self.events.push(format!("{change:?} {}", info.end_cause.as_str()));
                    self.told.retain(|told| told.id != info.id);
                    self.told.push(info);
                }
                Output::Event(event) => self.events.push(format!("{event:?}").split(['(', ' ']).next().unwrap().to_owned()),
                _ => {}
            }
        }
    }

    fn note(&mut self, arrow: char, text: &str) {
        let Ok(message) = parse(text.as_bytes()) else { return };
        let Ok(cseq) = message.cseq() else { return };
        let what = match message.start {
            _ if matches!(cseq.method, Method::Options | Method::Register) => return,
            Start::Request { method, .. } => format!("{method} {}", cseq.number),
            Start::Response { code, .. } => format!("{code} {} {}", cseq.method, cseq.number),
        };
        let body = if message.content_is("application/sdp") { " +sdp" } else { "" };
        self.ladder.push(format!("{arrow} {what}{body}"));
    }

    pub fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(at) = self.client.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    pub fn call(&mut self) -> CallId {
        self.dial(Destination::User("bob".into()))
    }

    pub fn dial(&mut self, to: Destination) -> CallId {
        let id = self.client.call(self.now, to, Vec::new()).id;
        self.drain();
        id
    }

    /// The error of a call that is not placed: it has ended with that, and nothing was sent or opened for it.
    pub fn fault_of(&mut self, to: Destination, headers: Vec<(String, String)>) -> Option<Error> {
        let before = (self.sent.len(), self.commands.len());
        let id = self.client.call(self.now, to, headers).id;
        self.drain();
        self.wait(1);
        let info = self.told.iter().find(|told| told.id == id)?.clone();
        assert_eq!(
            (info.state, info.end_cause, self.sent.len(), self.commands.len()),
            (State::Ended, EndCause::Failure, before.0, before.1)
        );
        info.error.clone()
    }

    /// Whether it has asked for a connection since the last time.
    pub fn asks_to_connect(&mut self) -> bool {
        std::mem::take(&mut self.connects)
    }

    /// The last request of ours with this method.
    pub fn last(&self, method: &str) -> String {
        let found = self.sent.iter().rev().find(|text| text.starts_with(&format!("{method} ")));
        found.unwrap_or_else(|| panic!("no {method} in {:#?}", self.sent)).clone()
    }

    pub fn count(&self, start: &str) -> usize {
        self.sent.iter().filter(|text| text.starts_with(start)).count()
    }

    pub fn answer(&mut self, method: &str, code: u16, more: impl Fn(offhook_sip::Writer) -> offhook_sip::Writer) {
        self.answer_as(method, code, "peer", more, "");
    }

    /// Responds to the last request with this method.
    pub fn answer_as(
        &mut self,
        method: &str,
        code: u16,
        tag: &str,
        more: impl Fn(offhook_sip::Writer) -> offhook_sip::Writer,
        body: &str,
    ) {
        let contact = format!("<sip:{tag}@peer.test>");
        self.answer_without_contact(method, code, tag, |answer| more(answer.field("Contact", &contact)), body);
    }

    pub fn answer_without_contact(
        &mut self,
        method: &str,
        code: u16,
        tag: &str,
        more: impl Fn(offhook_sip::Writer) -> offhook_sip::Writer,
        body: &str,
    ) {
        let request = self.last(method);
        let request = parse(request.as_bytes()).unwrap();
        let answer = more(reply(&request, StatusCode::new(code).unwrap(), Some(tag)));
        let text = if body.is_empty() { answer.end() } else { answer.body("application/sdp", body) };
        self.input(Input::Received(text));
    }

    /// A request of the peer in the dialog of our INVITE.
    pub fn ask(&mut self, method: &str, number: u32, more: &str, body: &str) {
        let text = self.of_peer(method, number, more, body);
        self.input(Input::Received(text));
    }

    /// The same, not sent yet.
    pub fn of_peer(&self, method: &str, number: u32, more: &str, body: &str) -> String {
        let invite = self.last("INVITE");
        let invite = parse(invite.as_bytes()).unwrap();
        format!(
            "{method} sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n\
             From: {};tag=peer\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContact: <sip:peer@peer.test>\r\n{more}\
             Content-Length: {}\r\n\r\n{body}",
            invite.get(Name::To).unwrap(),
            invite.get(Name::From).unwrap(),
            invite.call_id().unwrap(),
            body.len()
        )
    }

    /// An INVITE to us.
    pub fn ring(&mut self, more: &str, body: &str) {
        self.ring_from("\"Bob\" <sip:bob@s.test>", more, body);
    }

    pub fn ring_from(&mut self, from: &str, more: &str, body: &str) {
        let text = format!(
            "INVITE sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS peer.test;branch=z9hG4bKin\r\nMax-Forwards: 70\r\n\
             From: {from};tag=peer\r\nTo: <sip:alice@s.test>\r\nCall-ID: in\r\nCSeq: 5 INVITE\r\n\
             Contact: <sip:bob@peer.test>\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.input(Input::Received(text));
    }

    pub fn code(&self) -> u16 {
        parse(self.sent.last().unwrap().as_bytes()).unwrap().code().unwrap().as_u16()
    }

    pub fn state(&self, id: CallId) -> State {
        self.client.call_info(id).map_or(State::Ended, |info| info.state)
    }
}

pub fn established() -> (Page, CallId) {
    let mut page = Page::signed_in();
    let id = page.call();
    page.answer_as("INVITE", 200, "peer", |answer| answer, &sdp(2));
    assert_eq!(page.state(id), State::Established);
    (page, id)
}
