//! Whole pages over the switch: the SDK's own client on both sides, in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use offhook::client::call::{CallId, Destination};
use offhook::client::{Change, Client, Event, IceState, Input, Output, PeerId, Task, TaskKind, TaskResult};
use offhook_proxy::ConnId;
use offhook_sip::sdp::Candidate;
use offhook_testing::world::World;
use offhook_ua::time::Instant;

use crate::page::signing_in;

/// A page: its client, its connection, and the events that its app got.
pub struct Page {
    pub client: Client,
    conn: Option<ConnId>,
    peer: Option<PeerId>,
    later: VecDeque<(Instant, Input)>,
    pub events: Vec<String>,
    calls: Vec<CallId>,
    offline: bool,
    /// By how many milliseconds its clock is ahead of the gateway's.
    ahead: i64,
}

/// The switch and the pages.
pub struct Web {
    pub world: World,
    pub pages: Vec<Page>,
}

impl Web {
    /// Pages of these users, signed in with a ticket.
    fn new(users: &[&str]) -> Self {
        Self::with_clocks(&users.iter().map(|user| (*user, 0)).collect::<Vec<_>>())
    }

    /// The same, of pages whose clocks are so many milliseconds ahead.
    fn with_clocks(users: &[(&str, i64)]) -> Self {
        let mut web = Self::empty();
        users.iter().for_each(|(user, ahead)| web.page(user, *ahead));
        web.run(1_000);
        for page in &web.pages {
            assert_eq!(page.events, ["started"]);
        }
        web
    }

    pub fn empty() -> Self {
        Self { world: World::new(), pages: Vec::new() }
    }

    fn page(&mut self, user: &str, ahead: i64) {
        let number = self.pages.len() as u8 + 1;
        let client = signing_in(user, number, shifted(self.world.now, ahead), self.world.now);
        self.add_with_clock(client, ahead);
    }

    pub fn add(&mut self, client: Client) {
        self.add_with_clock(client, 0);
    }

    fn add_with_clock(&mut self, client: Client, ahead: i64) {
        let (later, events, calls) = (VecDeque::new(), Vec::new(), Vec::new());
        self.pages.push(Page { client, conn: None, peer: None, later, events, calls, offline: false, ahead });
        self.settle();
    }

    /// What time it is for a page.
    fn now(&self, page: usize) -> Instant {
        shifted(self.world.now, self.pages[page].ahead)
    }

    pub fn call(&mut self, page: usize, user: &str) {
        let now = self.now(page);
        let info = self.pages[page].client.call(now, Destination::User(user.into()), Vec::new());
        self.pages[page].calls.push(info.id);
        self.settle();
    }

    pub fn answer(&mut self, page: usize) {
        let (now, id) = (self.now(page), self.pages[page].calls[0]);
        assert!(self.pages[page].client.answer(now, id, false).is_ok());
        self.settle();
    }

    pub fn hangup(&mut self, page: usize) {
        let (now, id) = (self.now(page), self.pages[page].calls[0]);
        assert!(self.pages[page].client.hangup(now, id).is_ok());
        self.settle();
    }

    /// The page's connection breaks, and the next one opens only when the page is online again.
    pub fn cut(&mut self, page: usize) {
        self.pages[page].offline = true;
        if let Some(conn) = self.pages[page].conn.take() {
            self.world.close(conn);
            self.input(page, Input::Closed { code: 1006, reason: String::new() });
        }
    }

    /// The page goes into a tunnel: the switch does not notice that its connection is dead.
    fn tunnel(&mut self, page: usize) {
        self.pages[page].offline = true;
        self.pages[page].conn = None;
        self.input(page, Input::Closed { code: 1006, reason: String::new() });
    }

    pub fn back(&mut self, page: usize) {
        self.pages[page].offline = false;
        self.input(page, Input::Online);
    }

    fn input(&mut self, page: usize, input: Input) {
        let now = self.now(page);
        self.pages[page].client.handle(now, input);
        self.settle();
    }

    /// Lets time pass, in steps of ten milliseconds.
    pub fn run(&mut self, millis: u64) {
        self.run_in_steps(millis, 10);
    }

    /// The same with longer steps, by which everything may be late.
    pub fn run_in_steps(&mut self, millis: u64, step: u64) {
        for _ in 0..millis / step {
            self.world.wait(step);
            for page in 0..self.pages.len() {
                let now = self.now(page);
                while let Some((_, input)) = self.pages[page].later.pop_front_if(|(at, _)| *at <= now) {
                    self.input(page, input);
                }
                if self.pages[page].client.deadline().is_some_and(|at| at <= now) {
                    self.input(page, Input::Timeout);
                }
            }
            self.settle();
        }
    }

    /// Carries messages until nobody has anything to say.
    pub fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for page in 0..self.pages.len() {
                while let Some(output) = self.pages[page].client.poll() {
                    quiet = false;
                    self.output(page, output);
                }
                let Some(conn) = self.pages[page].conn else { continue };
                for text in self.world.take(conn) {
                    quiet = false;
                    let now = self.now(page);
                    self.pages[page].client.handle(now, Input::Received(text));
                }
            }
            if quiet {
                return;
            }
            // Messages take time: no two nonces are of the same moment.
            self.world.now = self.world.now + Duration::from_millis(1);
        }
    }

    fn output(&mut self, number: usize, output: Output) {
        let now = self.now(number);
        match output {
            Output::Connect { .. } => {
                let conn = (!self.pages[number].offline).then(|| self.world.open());
                let page = &mut self.pages[number];
                page.conn = conn;
                let refused = Input::Closed { code: 1006, reason: String::new() };
                page.later.push_back((now + Duration::from_millis(10), if conn.is_some() { Input::Opened } else { refused }));
            }
            Output::Disconnect => {
                let conn = self.pages[number].conn.take();
                conn.into_iter().for_each(|conn| self.world.close(conn));
            }
            Output::Send(text) => {
                let conn = self.pages[number].conn;
                conn.into_iter().for_each(|conn| self.world.send(conn, &text));
            }
            Output::Task(task) => self.pages[number].task(now, number, task),
            Output::Event(event) => self.pages[number].event(event),
            _ => {}
        }
    }
}

impl Page {
    fn task(&mut self, now: Instant, number: usize, task: Task) {
        let result = match &task.kind {
            TaskKind::Offer { peer, .. } | TaskKind::Answer { peer, .. } => {
                self.peer = Some(*peer);
                let text = "candidate:2 1 udp 2 192.0.2.9 4000 typ host".into();
                let candidate = Candidate { mid: "0".into(), line: 0, text, ufrag: None };
                self.later.push_back((now + Duration::from_millis(10), Input::Candidate { peer: *peer, candidate }));
                self.later.push_back((now + Duration::from_millis(20), Input::Gathered { peer: *peer }));
                TaskResult::Description(sdp(number))
            }
            TaskKind::Accept { .. }
            | TaskKind::Rollback { .. }
            | TaskKind::Microphone { .. }
            | TaskKind::Reopen { .. }
            | TaskKind::Listen { .. } => TaskResult::Done,
        };
        if let TaskKind::Accept { peer, .. } | TaskKind::Answer { peer, .. } = task.kind {
            self.later.push_back((now + Duration::from_millis(30), Input::IceState { peer, state: IceState::Connected }));
        }
        self.later.push_back((now, Input::Answered { task: task.id, result }));
        self.later.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    fn event(&mut self, event: Event) {
        let line = match event {
            Event::Started(_) => "started".into(),
            Event::StartFailed(error) => format!("start failed: {}", error),
            Event::Active(result) => if result.is_ok() { "active" } else { "not active" }.into(),
            Event::TokenWillExpire(seconds) => format!("token will expire in {seconds}"),
            Event::TokenExpired(_) => "token expired".into(),
            Event::TokenUpdated(result) => if result.is_ok() { "token updated" } else { "token refused" }.into(),
            Event::Incoming(info) => {
                self.calls.push(info.id);
                format!("incoming from {}", info.from_id)
            }
            Event::Call { change: Change::Progressing, .. } => "progressing".into(),
            Event::Call { change: Change::Established, .. } => "established".into(),
            Event::Call { change: Change::Reconnecting, .. } => "reconnecting".into(),
            Event::Call { change: Change::Reconnected, .. } => "reconnected".into(),
            Event::Call { change: Change::Ended, info } => format!("ended {}", info.end_cause.as_str()),
            _ => return,
        };
        self.events.push(line);
    }

    /// The events that the app got after it had signed in.
    pub fn events(&self) -> Vec<&str> {
        self.events[1..].iter().map(String::as_str).collect()
    }
}

/// A moment by a clock that is so many milliseconds ahead.
fn shifted(now: Instant, ahead: i64) -> Instant {
    Instant::from_millis(now.millis().checked_add_signed(ahead).expect("after 1970"))
}

pub fn sdp(number: usize) -> String {
    let fingerprint = [&*format!("{number:02X}"); 32].join(":");
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 126\r\n\
         c=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:u{number}xx\r\na=ice-pwd:0123456789012345678901\r\na=ice-options:trickle\r\n\
         a=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
         a=rtpmap:126 telephone-event/8000\r\na=candidate:1 1 udp 1 192.0.2.1 3000 typ host\r\n"
    )
}

#[test]
fn two_pages_talk() {
    let mut web = Web::new(&["alice", "bob"]);
    web.call(0, "bob");
    web.run(1_000);
    web.answer(1);
    web.run(1_000);
    assert_eq!(web.world.proxy.calls(), 1);
    web.hangup(0);
    web.run(100);
    assert_eq!(web.pages[0].events(), ["progressing", "established", "ended HUNG_UP"]);
    assert_eq!(web.pages[1].events(), ["incoming from alice", "established", "ended HUNG_UP"]);
    assert_eq!(web.world.ends(), [("completed", 200)]);
}

#[test]
fn pages_whose_clocks_are_ten_minutes_off_talk() {
    for ahead in [600_000, -600_000] {
        let mut web = Web::with_clocks(&[("alice", ahead), ("bob", -ahead)]);
        web.call(0, "bob");
        web.run(1_000);
        web.answer(1);
        web.run(1_500_000);
        assert_eq!((web.world.proxy.calls(), web.world.proxy.devices()), (1, 2), "past the end of two registrations");
        web.hangup(0);
        web.run(100);
        assert_eq!(web.pages[0].events(), ["progressing", "established", "ended HUNG_UP"]);
        assert_eq!(web.pages[1].events(), ["incoming from alice", "established", "ended HUNG_UP"]);
    }
}

#[test]
fn declined_cancelled_and_busy_calls_end_as_they_should() {
    let mut web = Web::new(&["alice", "bob"]);
    web.call(0, "bob");
    web.run(1_000);
    web.hangup(1);
    web.run(100);
    assert_eq!(
        (web.pages[0].events(), web.pages[1].events()),
        (vec!["progressing", "ended DENIED"], vec!["incoming from alice", "ended DENIED"])
    );
    let mut web = Web::new(&["alice", "bob"]);
    web.call(0, "bob");
    web.run(1_000);
    web.hangup(0);
    web.run(100);
    assert_eq!(
        (web.pages[0].events(), web.pages[1].events()),
        (vec!["progressing", "ended CANCELED"], vec!["incoming from alice", "ended CANCELED"])
    );
    let mut web = Web::new(&["alice", "bob", "carol"]);
    web.call(0, "bob");
    web.run(1_000);
    web.call(2, "bob");
    web.run(1_000);
    assert_eq!(web.pages[2].events(), ["progressing", "ended DENIED"]);
}

#[test]
fn the_first_page_that_answers_has_the_call() {
    let mut web = Web::new(&["alice", "bob", "bob"]);
    web.call(0, "bob");
    web.run(1_000);
    web.answer(2);
    web.run(1_000);
    assert_eq!(web.pages[0].events(), ["progressing", "established"]);
    assert_eq!(web.pages[1].events(), ["incoming from alice", "ended OTHER_DEVICE_ANSWERED"]);
    assert_eq!(web.pages[2].events(), ["incoming from alice", "established"]);
}

#[test]
fn nobody_there_times_out_and_nobody_known_fails() {
    let mut web = Web::new(&["alice"]);
    web.world.known("bob");
    web.call(0, "bob");
    web.run(11_000);
    assert_eq!(web.pages[0].events(), ["ended TIMEOUT"]);
    web.call(0, "nobody");
    web.run(1_000);
    assert_eq!(web.pages[0].events(), ["ended TIMEOUT", "ended FAILURE"]);
}

#[test]
fn a_page_that_loads_while_it_is_called_rings() {
    let mut web = Web::new(&["alice"]);
    web.world.known("bob");
    web.call(0, "bob");
    web.run(5_000);
    web.page("bob", 0);
    web.run(2_000);
    web.answer(1);
    web.run(1_000);
    assert_eq!(web.pages[0].events(), ["progressing", "established"]);
}

#[test]
fn calls_live_through_lost_connections() {
    for (lost, ringing) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut web = Web::new(&["alice", "bob"]);
        web.call(0, "bob");
        web.run(1_000);
        if !ringing {
            web.answer(1);
            web.run(1_000);
        }
        web.cut(lost);
        web.run(3_000);
        web.back(lost);
        web.run(5_000);
        if ringing {
            web.answer(1);
            web.run(2_000);
        }
        web.hangup(1 - lost);
        web.run(2_000);
        for page in &web.pages {
            assert_eq!(page.events()[1..], ["established", "ended HUNG_UP"], "lost {lost}, ringing {ringing}");
        }
        assert_eq!(web.world.proxy.calls(), 0);
    }
}

#[test]
fn a_call_outlives_a_minute_in_which_one_side_is_away() {
    for (away, noticed) in [(0, true), (0, false), (1, true), (1, false)] {
        let mut web = Web::new(&["alice", "bob"]);
        web.call(0, "bob");
        web.run(1_000);
        web.answer(1);
        web.run(1_000);
        if noticed {
            web.cut(away)
        } else {
            web.tunnel(away)
        }
        web.run(5_000);
        for page in 0..2 {
            let peer = web.pages[page].peer.expect("a path");
            web.input(page, Input::IceState { peer, state: IceState::Failed });
        }
        web.run(55_000);
        web.back(away);
        web.run(5_000);
        for page in &web.pages {
            assert_eq!(page.events()[1..], ["established", "reconnecting", "reconnected"], "away {away}, noticed {noticed}");
        }
        web.hangup(1 - away);
        web.run(1_000);
        for page in &web.pages {
            assert_eq!(page.events().last(), Some(&"ended HUNG_UP"), "away {away}, noticed {noticed}");
        }
    }
}

#[test]
fn a_call_answered_or_ended_while_the_other_side_is_away_is_known_when_it_is_back() {
    let mut web = Web::new(&["alice", "bob"]);
    web.call(0, "bob");
    web.run(1_000);
    web.cut(0);
    web.answer(1);
    web.run(3_000);
    web.back(0);
    web.run(5_000);
    assert_eq!(web.pages[0].events(), ["progressing", "established"]);
    web.cut(0);
    web.hangup(1);
    web.run(3_000);
    web.back(0);
    web.run(5_000);
    assert_eq!(web.pages[0].events(), ["progressing", "established", "ended HUNG_UP"]);
}
