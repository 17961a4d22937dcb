//! Clients, a server and the network between them, in virtual time: nothing here sleeps.

use std::collections::BTreeMap;
use std::time::Duration;

use offhook::client::call::{CallId, Destination, State};
use offhook::client::{
    Change, Client, Config, Event, Finding, IceState, Input, Login, MediaError, Output, PeerId, Task, TaskId, TaskKind, TaskResult,
};
use offhook_sip::sdp::Candidate;
use offhook_sip::{Method, Name, Start, parse};
use offhook_ua::random::Random;
use offhook_ua::time::Instant;

use super::server::Server;

/// How long a message travels, ms.
const TRAVEL: u64 = 10;

/// The clients, the server, and the network.
pub struct World {
    pub now: Instant,
    pub server: Server,
    pub nodes: Vec<Node>,
    /// What happens later: sorted when it is taken.
    queue: Vec<(Instant, u64, Happening)>,
    sequence: u64,
    /// Sockets that are open at the server.
    open: Vec<usize>,
    /// The ladder: messages and events.
    pub ladder: Vec<String>,
    /// Faults on the way, drawn from here.
    pub chaos: Option<Chaos>,
    /// URLs where no server answers.
    pub dead: Vec<String>,
    /// What servers say that are asked over HTTP, by URL; others never answer.
    pub findings: BTreeMap<String, Finding>,
    /// The URLs that were asked.
    pub asked: Vec<String>,
    /// Whom INVITEs of pages were for.
    pub invited: Vec<String>,
}

/// Faults that the network makes.
pub struct Chaos {
    pub random: Random,
    /// Of a thousand messages, so many are duplicated.
    pub doubled: u64,
    /// Of a thousand messages, so many take up to 2 s longer (order is kept, as TCP does).
    pub slow: u64,
}

/// One page.
pub struct Node {
    pub name: &'static str,
    pub client: Client,
    pub events: Vec<String>,
    /// The events of each call.
    pub told: BTreeMap<CallId, Vec<String>>,
    /// The number of the open socket.
    flow: Option<usize>,
    /// Where it tried to connect to, and when.
    pub tried: Vec<(Instant, String)>,
    /// The number of the socket that is being opened.
    opening: Option<usize>,
    /// No packet of it travels before then.
    dark: Instant,
    /// Neither timers nor messages reach it before then.
    asleep: Instant,
    /// When the last message on its way to or from it arrives: TCP keeps order.
    last_arrival: [Instant; 2],
    /// How long the microphone takes to open, ms; `None`: not allowed.
    pub microphone: Option<u64>,
    /// No server answers.
    pub offline: bool,
    /// The media outputs, as text.
    pub media: Vec<String>,
    /// The tasks that it was given.
    pub asked: Vec<TaskKind>,
    /// Peers that are open.
    pub peers: Vec<PeerId>,
    /// Whose they are.
    owners: Vec<(PeerId, CallId)>,
    pub sending: bool,
    /// Whether ICE comes up.
    pub path: bool,
    /// Whether media arrives.
    pub hears: bool,
    /// Its ICE does not report that it has found a path: one that it had counts as up.
    pub reticent: bool,
}

#[derive(Clone, Debug)]
enum Happening {
    Opened(usize, usize),
    Refused(usize),
    ToServer(usize, String),
    /// The close frame arrives, after all that was sent before it.
    Gone(usize),
    ToNode(usize, usize, String),
    Input(usize, Input),
    /// A page listens whether media arrives, until then.
    Listened(usize, TaskId, Instant),
}

impl World {
    pub fn new() -> Self {
        Self {
            now: Instant::from_millis(1_700_000_000_000),
            server: Server::default(),
            nodes: Vec::new(),
            queue: Vec::new(),
            sequence: 0,
            open: Vec::new(),
            ladder: Vec::new(),
            chaos: None,
            dead: Vec::new(),
            findings: BTreeMap::new(),
            asked: Vec::new(),
            invited: Vec::new(),
        }
    }

    /// A page of `name` that signs in as `user`.
    pub fn join(&mut self, name: &'static str, user: &str, config: Config) -> usize {
        let number = self.add(name, config);
        let login = Login::Token { user: user.to_owned(), token: "ticket".to_owned(), lasts: None };
        let now = self.now;
        self.nodes[number].client.start(now, login).unwrap();
        self.drain(number);
        self.run(500);
        self.ladder.clear();
        self.nodes[number].events.clear();
        number
    }

    /// A page of `name` that is not started.
    pub fn add(&mut self, name: &'static str, config: Config) -> usize {
        let number = self.nodes.len();
        let seed = [u8::try_from(number).unwrap() + 1; 32];
        let start = self.now;
        self.nodes.push(Node {
            name,
            client: Client::new(config, seed),
            events: Vec::new(),
            told: BTreeMap::new(),
            flow: None,
            tried: Vec::new(),
            opening: None,
            dark: start,
            asleep: start,
            last_arrival: [start; 2],
            microphone: Some(30),
            offline: false,
            media: Vec::new(),
            asked: Vec::new(),
            peers: Vec::new(),
            owners: Vec::new(),
            sending: false,
            path: true,
            hears: true,
            reticent: false,
        });
        number
    }

    /// A command of the app.
    pub fn command<T>(&mut self, node: usize, command: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let now = self.now;
        let result = command(&mut self.nodes[node].client, now);
        self.drain(node);
        result
    }

    pub fn call(&mut self, node: usize, user: &str) -> CallId {
        self.command(node, |client, now| client.call(now, Destination::User(user.to_owned()), Vec::new()).id)
    }

    /// The socket of a page breaks; both ends see it.
    pub fn cut(&mut self, node: usize) {
        if let Some(flow) = self.nodes[node].flow.take() {
            self.drop_flow(flow);
            self.note(format!("{} loses its connection", self.nodes[node].name));
            self.later(0, Happening::Input(node, Input::Closed { code: 1006, reason: String::new() }));
        }
    }

    /// The server at `url` dies: its sockets break, its transactions are lost, and it does not respond any more. The others have its
    /// registrations.
    pub fn kill(&mut self, url: &str) {
        self.dead.push(url.to_owned());
        self.server.forget_transactions();
        for node in 0..self.nodes.len() {
            if self.at(node) == url {
                self.cut(node);
            }
        }
    }

    /// It is back.
    pub fn revive(&mut self, url: &str) {
        self.dead.retain(|dead| dead != url);
    }

    /// The server that a page was last told to connect to.
    pub fn at(&self, node: usize) -> &str {
        self.nodes[node].tried.last().map_or("", |(_, url)| url)
    }

    fn drop_flow(&mut self, flow: usize) {
        self.open.retain(|open| *open != flow);
        self.server.closed(flow);
    }

    /// The network drops everything of a page; neither end notices.
    pub fn blackhole(&mut self, node: usize) {
        self.nodes[node].flow = None;
    }

    /// For so many ms no packet of a page travels. What is sent meanwhile arrives later, if the socket is still wanted then.
    pub fn darken(&mut self, node: usize, millis: u64) {
        self.nodes[node].dark = self.now + Duration::from_millis(millis);
    }

    /// For so many ms a page does nothing: the computer sleeps.
    pub fn sleep(&mut self, node: usize, millis: u64) {
        self.nodes[node].asleep = self.now + Duration::from_millis(millis);
    }

    /// The state of the media path of a page changes.
    pub fn ice(&mut self, node: usize, state: IceState) {
        let peer = self.nodes[node].peers[0];
        self.input(node, Input::IceState { peer, state });
    }

    /// Every message is duplicated from now on.
    pub fn double_everything(&mut self) {
        self.chaos = Some(Chaos { random: Random::new([9; 32]), doubled: 1_000, slow: 0 });
    }

    /// Lets time pass, ms.
    pub fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let queued = self.queue.iter().map(|(at, ..)| *at).min();
        let timers = self.nodes.iter().filter_map(|node| Some(node.client.deadline()?.max(node.asleep))).min();
        match (queued, timers) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn step(&mut self) {
        let due = self
            .queue
            .iter()
            .enumerate()
            .filter(|(_, (at, ..))| *at <= self.now)
            .min_by_key(|(_, (at, sequence, _))| (*at, *sequence));
        if let Some((position, _)) = due {
            let (_, _, happening) = self.queue.remove(position);
            return self.happen(happening);
        }
        for number in 0..self.nodes.len() {
            let awake = self.nodes[number].asleep <= self.now;
            if awake && self.nodes[number].client.deadline().is_some_and(|at| at <= self.now) {
                self.input(number, Input::Timeout);
                assert!(self.nodes[number].client.deadline().is_none_or(|at| at > self.now), "a timer that was due is still due");
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Opened(node, _)
            | Happening::Refused(node)
            | Happening::ToNode(node, ..)
            | Happening::Input(node, _)
            | Happening::Listened(node, ..)
                if self.nodes[node].asleep > self.now =>
            {
                self.later(self.nodes[node].asleep.millis_since(self.now), happening);
            }
            Happening::Opened(node, flow) if self.nodes[node].opening != Some(flow) => {}
            Happening::Opened(node, flow) => {
                self.nodes[node].flow = Some(flow);
                self.open.push(flow);
                self.input(node, Input::Opened);
            }
            Happening::Refused(node) => self.input(node, Input::Closed { code: 1006, reason: String::new() }),
            Happening::ToServer(flow, text) => {
                if !self.open.contains(&flow) {
                    return;
                }
                for (to, text) in self.server.receive(flow, &text) {
                    if let Some(node) = self.nodes.iter().position(|node| node.flow == Some(to)) {
                        self.travel(node, 1, Happening::ToNode(node, to, text));
                    }
                }
            }
            Happening::Gone(flow) => self.drop_flow(flow),
            Happening::ToNode(node, flow, text) => {
                if self.nodes[node].flow == Some(flow) {
                    self.note_message(node, "<", &text);
                    self.input(node, Input::Received(text));
                }
            }
            Happening::Input(node, input) => self.input(node, input),
            Happening::Listened(node, task, end) if !self.nodes[node].hears && self.now < end => {
                self.later(100, Happening::Listened(node, task, end));
            }
            Happening::Listened(node, task, _) => {
                let silence = failed("AbortError", "The call is over");
                let result = if self.nodes[node].hears { TaskResult::Done } else { silence };
                self.input(node, Input::Answered { task, result });
            }
        }
    }

    pub fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        self.nodes[node].client.handle(now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].client.poll() {
            self.output(node, output);
        }
    }

    fn output(&mut self, node: usize, output: Output) {
        match output {
            Output::Connect { url } => {
                self.sequence += 1;
                let flow = usize::try_from(self.sequence).unwrap();
                self.nodes[node].flow = None;
                let refused = self.nodes[node].offline || self.dead.contains(&url);
                self.nodes[node].tried.push((self.now, url));
                let happening = if refused { Happening::Refused(node) } else { Happening::Opened(node, flow) };
                self.nodes[node].opening = Some(flow);
                self.later(self.nodes[node].dark.millis_since(self.now) + TRAVEL, happening);
            }
            Output::Ask { url } => {
                self.asked.push(url.clone());
                if let Some(finding) = self.findings.get(&url).cloned() {
                    self.later(TRAVEL, Happening::Input(node, Input::Asked { url, finding }));
                }
            }
            Output::Disconnect => {
                self.nodes[node].opening = None;
                if let Some(flow) = self.nodes[node].flow.take() {
                    self.travel(node, 0, Happening::Gone(flow));
                }
            }
            Output::Send(text) => {
                self.note_message(node, ">", &text);
                if let Some(flow) = self.nodes[node].flow {
                    self.travel(node, 0, Happening::ToServer(flow, text));
                }
            }
            Output::Task(task) => self.task(node, task),
            Output::Candidates { peer, candidates, end } => {
                let line = format!("candidates {} {}{}", peer.0, candidates.len(), if end { " end" } else { "" });
                self.nodes[node].media.push(line);
            }
            Output::Sending { on, .. } => self.nodes[node].sending = on,
            Output::Dtmf { digits, .. } => self.nodes[node].media.push(format!("tones {digits}")),
            Output::Close { peer } => self.nodes[node].peers.retain(|open| *open != peer),
            Output::Release { call } => {
                let node = &mut self.nodes[node];
                let owners = std::mem::take(&mut node.owners);
                node.peers.retain(|peer| !owners.contains(&(*peer, call)));
                node.owners = owners;
                node.sending = false;
                node.media.push("release".into());
            }
            Output::Event(event) => self.event(node, event),
        }
    }

    fn event(&mut self, node: usize, event: Event) {
        let told = match &event {
            Event::Incoming(info) => Some((info.id, "incoming")),
            Event::Call { change: Change::Progressing, info } => Some((info.id, "progressing")),
            Event::Call { change: Change::Established, info } => Some((info.id, "established")),
            Event::Call { change: Change::Ended, info } => Some((info.id, "ended")),
            _ => None,
        };
        if let Some((id, word)) = told {
            self.nodes[node].told.entry(id).or_default().push(word.to_owned());
        }
        let line = match event {
            Event::Incoming(info) => format!("incoming from {}", info.from_id),
            Event::Call { change: Change::LocalStream, .. } => return self.nodes[node].media.push("local stream".into()),
            Event::Call { change: Change::ConnectionChange(_) | Change::RemoteTrack, .. } => return,
            Event::Call { change: Change::Ended, info } => {
                assert_eq!(info.state, State::Ended);
                let error = info.error.as_ref().map(|error| format!(" ({})", error)).unwrap_or_default();
                format!("ended {}{error}", info.end_cause.as_str())
            }
            Event::Call { change, .. } => format!("{change:?}").to_lowercase(),
            Event::Started(_) => "started".into(),
            Event::StartFailed(error) => format!("start failed: {}", error),
            Event::TokenWillExpire(seconds) => format!("token will expire in {seconds}"),
            Event::TokenExpired(error) => format!("token expired: {}", error),
            Event::TokenUpdated(Ok(())) => "token updated".into(),
            Event::TokenUpdated(Err(error)) => format!("token refused: {}", error),
            Event::Active(Ok(())) => "active".into(),
            Event::Active(Err(error)) => format!("not active: {}", error),
            Event::Inactive => "inactive".into(),
            Event::Connection(state) => format!("connection {state:?}").to_lowercase(),
            Event::Log(line) => format!("log: {line}"),
        };
        let name = self.nodes[node].name;
        self.note(format!("{name}: {line}"));
        self.nodes[node].events.push(line);
    }

    fn task(&mut self, node: usize, task: Task) {
        if let TaskKind::Accept { peer, .. } | TaskKind::Rollback { peer } = &task.kind {
            assert!(self.nodes[node].peers.contains(peer), "only offers and answers make a peer connection: {:?}", task.kind);
        }
        self.nodes[node].asked.push(task.kind.clone());
        let (wait, result) = match &task.kind {
            TaskKind::Offer { peer, .. } | TaskKind::Answer { peer, .. } => {
                if !self.nodes[node].peers.contains(peer) {
                    self.nodes[node].peers.push(*peer);
                    self.nodes[node].owners.push((*peer, task.call));
                    self.find_candidates(node, *peer);
                }
                if matches!(task.kind, TaskKind::Answer { .. }) {
                    self.connect(node, *peer);
                }
                (12, TaskResult::Description(sdp(node, *peer)))
            }
            TaskKind::Accept { peer, .. } => {
                self.connect(node, *peer);
                (5, TaskResult::Done)
            }
            TaskKind::Rollback { .. } => (1, TaskResult::Done),
            TaskKind::Listen { wait, .. } => return self.later(200, Happening::Listened(node, task.id, self.now + *wait)),
            TaskKind::Microphone { .. } | TaskKind::Reopen { .. } => match self.nodes[node].microphone {
                Some(wait) => (wait, TaskResult::Done),
                None => (20, failed("NotAllowedError", "Permission denied")),
            },
        };
        self.later(wait, Happening::Input(node, Input::Answered { task: task.id, result }));
    }

    /// A second candidate comes later than the description.
    fn find_candidates(&mut self, node: usize, peer: PeerId) {
        let candidate = Candidate {
            mid: "0".into(),
            line: 0,
            text: format!("candidate:2 1 udp 2 192.0.2.{} 4000 typ host", node + 1),
            ufrag: None,
        };
        self.later(40, Happening::Input(node, Input::Candidate { peer, candidate }));
        self.later(60, Happening::Input(node, Input::Gathered { peer }));
    }

    fn connect(&mut self, node: usize, peer: PeerId) {
        self.nodes[node].hears = self.nodes[node].path;
        if self.nodes[node].reticent {
            return;
        }
        let states =
            if self.nodes[node].path { [IceState::Checking, IceState::Connected] } else { [IceState::Checking, IceState::Failed] };
        for (wait, state) in [10, 50].into_iter().zip(states) {
            self.later(wait, Happening::Input(node, Input::IceState { peer, state }));
        }
    }

    fn travel(&mut self, node: usize, direction: usize, happening: Happening) {
        let (mut wait, mut copies) = (TRAVEL, 1);
        if let Some(chaos) = &mut self.chaos {
            if chaos.random.below(1_000) < chaos.slow {
                wait += chaos.random.below(2_000);
            }
            if chaos.random.below(1_000) < chaos.doubled {
                copies = 2;
            }
        }
        let at = (self.now.max(self.nodes[node].dark) + Duration::from_millis(wait)).max(self.nodes[node].last_arrival[direction]);
        self.nodes[node].last_arrival[direction] = at;
        for _ in 0..copies {
            self.later(at.millis_since(self.now), happening.clone());
        }
    }

    fn later(&mut self, wait: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.push((self.now + Duration::from_millis(wait), self.sequence, happening));
    }

    fn note(&mut self, line: String) {
        self.ladder.push(line);
    }

    fn note_message(&mut self, node: usize, arrow: &str, text: &str) {
        let Ok(message) = parse(text.as_bytes()) else { return };
        if std::env::var_os("TRACE").is_some() {
            println!("{} {} {arrow}\n{text}", self.now.millis(), self.nodes[node].name);
        }
        if let (">", Start::Request { method: Method::Invite, uri }) = (arrow, &message.start) {
            self.invited.push((*uri).to_owned());
        }
        let cseq = message.cseq().unwrap();
        let what = match message.start {
            Start::Request { method: Method::Options | Method::Register, .. } => return,
            Start::Request { method, .. } => method.to_string(),
            Start::Response { .. } if matches!(cseq.method, Method::Options | Method::Register) => return,
            Start::Response { code, .. } => format!("{code} {}", cseq.method),
        };
        let mut more = String::new();
        if message.content_is("application/sdp") {
            more.push_str(" +sdp");
        }
        if let Some(reason) = message.get(Name::Reason) {
            more.push_str(&format!(" [{reason}]"));
        }
        let line = format!("{} {arrow} {what}{more}", self.nodes[node].name);
        self.note(line);
    }

    /// The events of a page so far, joined.
    pub fn events(&self, node: usize) -> String {
        self.nodes[node].events.join(", ")
    }
}

fn failed(name: &str, message: &str) -> TaskResult {
    TaskResult::Failed(MediaError { name: name.to_owned(), message: message.to_owned() })
}

/// A description with one candidate, as a browser makes it.
fn sdp(node: usize, peer: PeerId) -> String {
    let pair = format!("{:02X}", node * 16 + usize::try_from(peer.0).unwrap() % 16);
    let fingerprint = [pair.as_str(); 32].join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
         a=ice-ufrag:u{node}p{peer}\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\na=rtpmap:126 telephone-event/8000\r\n\
         a=candidate:1 1 udp 1 192.0.2.{} 3000 typ host\r\n",
        node + 1,
        peer = peer.0,
    )
}

/// The configuration of a page that can be called.
pub fn config() -> Config {
    Config {
        servers: vec!["wss://server.test/sip".into()],
        domain: "server.test".into(),
        instance: "00000000-0000-4000-8000-000000000000".into(),
        active: true,
        activate: true,
        ..Config::default()
    }
}
