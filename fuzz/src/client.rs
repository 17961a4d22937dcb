//! A whole client that lives a life written in the bytes: what its page asks, what its server says, what its browser does.
//!
//! The bytes are lines that end with a zero octet; the first octet of a line says what happens, the rest how. Most bytes of a message
//! that a fuzzer makes up belong to no call, so there are lines that answer what the client sent, or speak in its dialog, with only the
//! end of the message left to the bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use offhook::client::call::{CallId, Destination};
use offhook::client::{
    Change, Client, Config, Event, IceState, Input, Login, MediaError, Output, PeerId, TaskId, TaskKind, TaskResult,
};
use offhook_sip::{Method, Name, StatusCode, parse, reply};
use offhook_ua::time::Instant;

const MOST_STEPS: usize = 60;
/// More than any one input can cause.
const MOST_OUTPUTS: usize = 2_000;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
                   a=ice-ufrag:u\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
                   a=candidate:1 1 udp 1 192.0.2.9 3000 typ host\r\na=fingerprint:sha-256 \
                   00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\r\n";

/// Lives it. Whatever the bytes say, nothing panics, nothing goes round for ever, each task is given once, each call ends once, and
/// nothing is left at the end.
pub fn client(data: &[u8]) {
    let mut life = Life::begin(data.first().copied().unwrap_or_default());
    for line in data.split(|octet| *octet == 0).take(MOST_STEPS) {
        if let Some((what, rest)) = line.split_first() {
            life.step(*what, rest);
        }
    }
    life.end();
}

struct Life {
    client: Client,
    now: Instant,
    /// Requests of the client, the last one last.
    asked: Vec<String>,
    tasks: Vec<(TaskId, TaskKind)>,
    last_task: Option<TaskId>,
    calls: Vec<CallId>,
    ends: BTreeMap<CallId, u32>,
    peer: PeerId,
    serial: u32,
}

impl Life {
    /// The first octet says how the client is set up.
    fn begin(set_up: u8) -> Self {
        let config = Config {
            servers: vec!["wss://a.test/sip".into(), "wss://b.test/sip".into()],
            domain: "s.test".into(),
            instance: "i".into(),
            multi_call: set_up & 1 != 0,
            connect_while_ringing: set_up & 2 == 0,
            video: set_up & 4 != 0,
            active: true,
            activate: true,
            ..Config::default()
        };
        let mut life = Self {
            client: Client::new(config, [3; 32]),
            now: Instant::from_millis(1_000_000),
            asked: Vec::new(),
            tasks: Vec::new(),
            last_task: None,
            calls: Vec::new(),
            ends: BTreeMap::new(),
            peer: PeerId(0),
            serial: 0,
        };
        let login = Login::Password { user: "alice".into(), password: "secret".into() };
        life.client.start(life.now, login).expect("a client that was not started");
        life.input(Input::Opened);
        life
    }

    fn step(&mut self, what: u8, rest: &[u8]) {
        let text = String::from_utf8_lossy(rest).into_owned();
        let number = rest.first().map_or(0, |octet| u32::from(octet % 16));
        let call = self.calls.get(number as usize % self.calls.len().max(1)).copied().unwrap_or(CallId(number));
        match what {
            b'r' => self.input(Input::Received(text)),
            b'a' => self.answer(&text),
            b'q' => self.ask(&text),
            b'i' => self.ring(&text),
            b'c' => self.call(&text),
            b'+' => drop(self.client.answer(self.now, call, number % 2 == 1)),
            b'-' => drop(self.client.hangup(self.now, call)),
            b'd' => drop(self.client.send_dtmf(self.now, call, &text)),
            b'm' => drop(self.client.mute(call, number.is_multiple_of(2))),
            b't' => self.do_task(number),
            b'w' => self.wait(text.trim().parse().map_or(1_000, |millis: u64| millis.min(400_000))),
            b'x' => self.input(Input::Closed { code: 1006, reason: text }),
            b'o' => self.input(Input::Opened),
            b'n' => self.input(Input::Online),
            b'e' => self.input(Input::LocalTrackEnded { call, video: number % 2 == 1 }),
            b'p' => self.input(Input::LocalStreamReplaced { call, audio: number % 2 == 1, video: number % 4 > 1 }),
            b'v' => self.input(Input::DevicesChanged),
            b's' => self.ice(number),
            b'g' => self.input(Input::Gathered { peer: self.peer }),
            b'l' => self.client.leave(self.now, false),
            b'z' => drop(self.client.stop_active_connection(self.now)),
            _ => {}
        }
        self.drain();
    }

    fn call(&mut self, text: &str) {
        let (kind, to) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
        let to = to.to_owned();
        let to = match kind {
            "p" => Destination::Phone(to),
            "s" => Destination::Sip(to),
            "r" => Destination::Conference(to),
            _ => Destination::User(to),
        };
        let info = self.client.call(self.now, to, vec![("x-a".into(), text.to_owned())]);
        self.calls.push(info.id);
    }

    /// `CODE rest`: an answer to the last request but so many; the rest becomes the end of the message.
    fn answer(&mut self, text: &str) {
        let back = usize::from(text.as_bytes().first().map_or(0, |octet| octet % 4));
        let code = text.get(1..4).and_then(|code| StatusCode::new(code.parse().ok()?));
        let (Some(code), Some(rest)) = (code, text.get(4..)) else { return };
        let Some(request) = self.asked.iter().rev().nth(back).cloned() else { return };
        let request = parse(request.as_bytes()).expect("the client sends SIP");
        self.receive(reply(&request, code, Some("peer")).field("Contact", "<sip:peer@p.test>").end(), rest);
    }

    /// `METHOD rest`: a request of the peer in the dialog of the client's last INVITE, or of its answer to one.
    fn ask(&mut self, text: &str) {
        let (method, rest) = text.split_once(' ').unwrap_or((text, ""));
        if method.is_empty() || !method.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
            return;
        }
        let Some(invite) = self.asked.iter().rev().find(|text| text.starts_with("INVITE ")).cloned() else { return };
        let invite = parse(invite.as_bytes()).expect("the client sends SIP");
        self.serial += 1;
        let serial = self.serial;
        let (from, to) = (invite.get(Name::To).unwrap_or_default(), invite.get(Name::From).unwrap_or_default());
        let from = if from.contains(";tag=") { from.to_owned() } else { format!("{from};tag=peer") };
        let head = format!(
            "{method} sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS p.test;branch=z9hG4bKq{serial}\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
             To: {to}\r\nCall-ID: {}\r\nCSeq: {serial} {method}\r\nContact: <sip:peer@p.test>\r\n\r\n",
            invite.get(Name::CallId).unwrap_or_default(),
        );
        self.receive(head, rest);
    }

    /// A call from outside.
    fn ring(&mut self, rest: &str) {
        self.serial += 1;
        let serial = self.serial;
        let head = format!(
            "INVITE sip:alice@x.invalid SIP/2.0\r\nVia: SIP/2.0/WS p.test;branch=z9hG4bKi{serial}\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@s.test>;tag=in\r\nTo: <sip:alice@s.test>\r\nCall-ID: in{}\r\nCSeq: {serial} INVITE\r\n\
             Contact: <sip:bob@p.test>\r\n\r\n",
            serial / 3,
        );
        self.receive(head, rest);
    }

    /// Puts the rest where the head ends. A lone `$` in it stands for a good description.
    fn receive(&mut self, head: String, rest: &str) {
        let head = head.trim_end_matches("Content-Length: 0\r\n\r\n").trim_end_matches("\r\n");
        let end = if rest == "$" { format!("Content-Type: application/sdp\r\n\r\n{SDP}") } else { rest.to_owned() };
        let stop = if end.contains("\r\n\r\n") || end.starts_with("\r\n") { "" } else { "\r\n\r\n" };
        self.input(Input::Received(format!("{head}\r\n{end}{stop}")));
    }

    /// The browser finishes one of its tasks.
    fn do_task(&mut self, number: u32) {
        if self.tasks.is_empty() {
            return;
        }
        let (task, kind) = self.tasks.remove(number as usize % self.tasks.len());
        let result = match kind {
            _ if number % 5 == 4 => TaskResult::Failed(MediaError { name: "NotAllowedError".into(), message: "no".into() }),
            TaskKind::Offer { .. } | TaskKind::Answer { .. } => TaskResult::Description(SDP.into()),
            _ => TaskResult::Done,
        };
        self.input(Input::Answered { task, result });
    }

    fn ice(&mut self, number: u32) {
        let states = [IceState::Checking, IceState::Connected, IceState::Disconnected, IceState::Failed, IceState::Closed];
        self.input(Input::IceState { peer: self.peer, state: states[number as usize % states.len()] });
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        let mut fired = 0;
        while let Some(at) = self.client.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
            assert!(self.client.deadline().is_none_or(|at| at > self.now), "a timer that was due is still due");
            fired += 1;
            assert!(fired < 100_000, "timers for ever");
        }
        self.now = end;
    }

    fn input(&mut self, input: Input) {
        self.client.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.client.poll() {
            outputs += 1;
            assert!(outputs < MOST_OUTPUTS, "outputs for ever");
            match output {
                Output::Send(text) => self.sent(text),
                Output::Task(task) => {
                    assert!(self.last_task.is_none_or(|last| last < task.id), "a task is given once");
                    self.last_task = Some(task.id);
                    if let TaskKind::Offer { peer, .. } | TaskKind::Answer { peer, .. } = task.kind {
                        self.peer = peer;
                    }
                    self.tasks.push((task.id, task.kind));
                }
                Output::Event(Event::Incoming(info)) => self.calls.push(info.id),
                Output::Event(Event::Call { change: Change::Ended, info }) => *self.ends.entry(info.id).or_default() += 1,
                Output::Event(Event::Call { info, .. }) => {
                    assert!(!self.ends.contains_key(&info.id), "an event after the end");
                }
                _ => {}
            }
        }
    }

    fn sent(&mut self, text: String) {
        if text.trim().is_empty() {
            return;
        }
        let message = parse(text.as_bytes()).expect("the client sends SIP");
        assert_eq!(message.check(), Ok(()), "{text}");
        if message.is_request() && message.method() != Some(Method::Ack) {
            self.asked.push(text);
        }
    }

    /// The page hangs up what it has, the browser gives up what it was asked, and time goes by without a server.
    fn end(mut self) {
        for call in self.calls.clone() {
            let _ = self.client.hangup(self.now, call);
            self.drain();
        }
        self.input(Input::Closed { code: 1006, reason: String::new() });
        for (task, _) in std::mem::take(&mut self.tasks) {
            let result = TaskResult::Failed(MediaError { name: "AbortError".into(), message: String::new() });
            self.input(Input::Answered { task, result });
        }
        self.wait(400_000);
        for (task, _) in std::mem::take(&mut self.tasks) {
            self.input(Input::Answered { task, result: TaskResult::Done });
        }
        self.wait(100_000);
        assert!(self.client.is_clean(), "something is left");
        for call in &self.calls {
            assert_eq!(self.ends.get(call), Some(&1), "each call ends once: {call:?}");
        }
        self.client.terminate(self.now);
        self.drain();
    }
}
