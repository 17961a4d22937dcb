//! Two clients call each other through the switch of the gateway: `cargo run --example two_clients`.
//!
//! Client and switch are sans-IO: they say what is to be done, and whoever drives them does it. Here that is this file, in virtual time: a
//! message travels for 10 ms, peer connections connect within 20 ms, and nothing sleeps. `src/web/driver.rs` is the same loop in a browser.
//!
//! ```text
//! alice ── Output::Send ──▶ 10 ms ──▶ switch ──▶ 10 ms ──▶ Input::Received ── bob
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use offhook::client::call::{CallId, Destination};
use offhook::client::{Change, Client, Config, Event, IceState, Input, Login, Output, Task, TaskKind, TaskResult};
use offhook_proxy::ConnId;
use offhook_testing::switch::{DOMAIN, ticket_of};
use offhook_testing::text::head;
use offhook_testing::world::World;
use offhook_ua::time::Instant;

const NAMES: [&str; 2] = ["alice", "bob"];
const ALICE: usize = 0;
/// How long a message travels from a client to the switch, or back.
const TRAVEL: Duration = Duration::from_millis(10);

fn main() {
    run(|line| println!("{line}"));
}

/// One call from its beginning to its end, with the ladder of it: `>` leaves a client, `<` reaches it, `:` is told to its user.
pub fn run(print: impl FnMut(&str)) {
    let mut network = Network::new(print);
    network.later(Duration::from_secs(1), ALICE, Happening::User(Act::Call));
    while network.step() {}
}

/// Two clients, the switch, and what is under way between them.
struct Network<P> {
    print: P,
    now: Instant,
    start: Instant,
    /// The switch and its store (`crates/proxy`).
    switch: World,
    clients: [Client; 2],
    /// The WebSocket of each client.
    connections: [Option<ConnId>; 2],
    /// What happens when to which client; the number keeps the order of what happens at once.
    queue: BTreeMap<(Instant, u64), (usize, Happening)>,
    number: u64,
}

enum Happening {
    /// A message arrives at the switch.
    Switch(String),
    /// Something happens to the client.
    Client(Input),
    /// The user does something.
    User(Act),
}

enum Act {
    Call,
    Answer(CallId),
    HangUp(CallId),
    Leave,
}

impl<P: FnMut(&str)> Network<P> {
    fn new(print: P) -> Self {
        let switch = World::new();
        let (now, clients) = (switch.now, [client(0), client(1)]);
        let (connections, queue) = ([None, None], BTreeMap::new());
        let mut network = Self { print, now, start: now, switch, clients, connections, queue, number: 0 };
        for (at, name) in NAMES.into_iter().enumerate() {
            let login = Login::Token { user: name.into(), token: ticket_of(name, now), lasts: None };
            network.clients[at].start(now, login).expect("a client that was not started can be");
            network.drain(at);
        }
        network
    }

    /// Lets the next thing happen, or the next timer come; false where both users have left.
    fn step(&mut self) -> bool {
        let timer = self.clients.iter().filter_map(Client::deadline).chain(self.switch.proxy.deadline()).min();
        let Some(next) = self.queue.first_key_value().map(|((at, _), _)| *at) else { return false };
        let at = timer.unwrap_or(next).min(next).max(self.now);
        self.now = at;
        self.switch.wait(at.millis_since(self.switch.now));
        if at == next
            && let Some((_, (who, happening))) = self.queue.pop_first()
        {
            self.happen(who, happening);
        }
        for who in 0..self.clients.len() {
            if self.clients[who].deadline().is_some_and(|due| due <= at) {
                self.clients[who].handle(at, Input::Timeout);
                self.drain(who);
            }
        }
        self.deliver();
        true
    }

    fn happen(&mut self, who: usize, happening: Happening) {
        let (client, now) = (&mut self.clients[who], self.now);
        match happening {
            Happening::Switch(text) => {
                let connection = self.connections[who].expect("what sends is connected");
                self.switch.send(connection, &text);
            }
            Happening::Client(input) => {
                if let Input::Received(text) = &input {
                    self.note_message(who, '<', text);
                }
                self.clients[who].handle(now, input);
            }
            Happening::User(Act::Call) => {
                client.call(now, Destination::User("bob".into()), Vec::new());
            }
            Happening::User(Act::Answer(id)) => client.answer(now, id, true).expect("it rings"),
            Happening::User(Act::HangUp(id)) => client.hangup(now, id).expect("it is up"),
            Happening::User(Act::Leave) => client.terminate(now),
        }
        self.drain(who);
    }

    /// Does what a client says, until it says no more: whoever drives one does this after each call of it.
    fn drain(&mut self, who: usize) {
        while let Some(output) = self.clients[who].poll() {
            match output {
                Output::Connect { .. } => {
                    self.connections[who] = Some(self.switch.open());
                    self.later(TRAVEL, who, Happening::Client(Input::Opened));
                }
                Output::Send(text) => {
                    self.note_message(who, '>', &text);
                    self.later(TRAVEL, who, Happening::Switch(text));
                }
                Output::Task(task) => self.media(who, task),
                Output::Event(event) => self.tell(who, event),
                // There is neither sound nor a socket to be closed.
                _ => {}
            }
        }
    }

    /// What the switch has sent is on its way.
    fn deliver(&mut self) {
        for who in 0..self.clients.len() {
            let Some(connection) = self.connections[who] else { continue };
            for text in self.switch.take(connection) {
                self.later(TRAVEL, who, Happening::Client(Input::Received(text)));
            }
        }
    }

    /// What a browser would do with its peer connection and its microphone.
    fn media(&mut self, who: usize, task: Task) {
        if let TaskKind::Answer { peer, .. } | TaskKind::Accept { peer, .. } = task.kind {
            let input = Input::IceState { peer, state: IceState::Connected };
            self.later(2 * TRAVEL, who, Happening::Client(input));
        }
        let result = match task.kind {
            TaskKind::Offer { .. } | TaskKind::Answer { .. } => TaskResult::Description(description(who)),
            _ => TaskResult::Done,
        };
        self.clients[who].handle(self.now, Input::Answered { task: task.id, result });
    }

    /// What users do about what they are told: bob answers after two seconds, alice hangs up after five more, and both
    /// leave one second later.
    fn tell(&mut self, who: usize, event: Event) {
        let seconds = Duration::from_secs;
        match event {
            Event::Started(_) => self.note(who, ": started"),
            Event::Incoming(info) => {
                self.note(who, &format!(": {} calls", info.from_id));
                self.later(seconds(2), who, Happening::User(Act::Answer(info.id)));
            }
            Event::Call { change: change @ (Change::Progressing | Change::Established | Change::Ended), info } => {
                self.note(who, &format!(": {change:?}"));
                match change {
                    Change::Established if who == ALICE => self.later(seconds(5), who, Happening::User(Act::HangUp(info.id))),
                    Change::Ended => self.later(seconds(1), who, Happening::User(Act::Leave)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn later(&mut self, wait: Duration, who: usize, happening: Happening) {
        self.number += 1;
        self.queue.insert((self.now + wait, self.number), (who, happening));
    }

    fn note_message(&mut self, who: usize, arrow: char, text: &str) {
        // Empty lines are keep-alives (RFC 5626, 4.4.1).
        if !text.trim().is_empty() {
            self.note(who, &format!("{arrow} {}", head(text)));
        }
    }

    fn note(&mut self, who: usize, what: &str) {
        let millis = self.now.millis_since(self.start);
        (self.print)(&format!("{millis:>6} ms  {:<5} {what}", NAMES[who]));
    }
}

/// A client that can be called.
fn client(number: usize) -> Client {
    let config = Config {
        servers: vec![format!("wss://{DOMAIN}/sip")],
        domain: DOMAIN.into(),
        instance: format!("00000000-0000-4000-8000-{number:012}"),
        active: true,
        activate: true,
        ..Config::default()
    };
    // A real seed is drawn from the operating system.
    Client::new(config, [number.to_le_bytes()[0]; 32])
}

/// What a browser would offer and answer.
fn description(who: usize) -> String {
    let fingerprint = ["AB"; 32].join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
         a=ice-ufrag:{}\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
         a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=candidate:1 1 udp 1 192.0.2.{who} 3000 typ host\r\n",
        NAMES[who],
    )
}
