//! Pages, a server, and the network between them, in virtual time: one queue of events by time.
//!
//! The network is made of WebSockets. Messages over one arrive in order or not at all, and after a reset either end may not know of it. Besides, a
//! message may be duplicated or late, as behind a proxy with UDP on its other side; both ends have to accept that. Single messages are lost only
//! where transactions retransmit them: between the two proxies of [`super::trunk`].

use std::collections::BTreeMap;
use std::time::Duration;

use offhook::client::Input;
use offhook::client::call::CallId;
use offhook_proxy::{QueryId, Record};
use offhook_ua::time::Instant;

use super::dice::Dice;
use super::media::{Key, Media};
use super::model::View;
use super::mutants::Mutant;
use super::page::Page;
use super::plan::{Act, Noticed, PAGES, Plan, Settings, USERS};
use super::server::{Said, Server, Wire, account};
use super::trace::Trace;

/// How long a message travels, and after how long a server counts a silent connection as dead, ms.
pub const TRAVEL: u64 = 10;
const IDLE: u64 = 60_000;
/// More happenings than any life has.
const ENDLESS: u64 = 300_000;

pub struct World {
    pub now: Instant,
    pub set: Settings,
    pub dice: Dice,
    pub mutant: Mutant,
    queue: BTreeMap<(Instant, u64), Happening>,
    numbers: u64,
    happened: u64,
    pub server: Server,
    /// How often the server was started, until when it is away, and whether that shows.
    epoch: u32,
    down: Instant,
    down_silent: bool,
    slow_store: Instant,
    pub pages: Vec<Page>,
    wires: BTreeMap<Wire, Line>,
    pub media: Media,
    pub views: Vec<View>,
    /// Which view belongs to which call of which page.
    pub seen: BTreeMap<(usize, u32, CallId), usize>,
    /// Calls that the server said it began, with how often it said that they ended.
    calls: BTreeMap<String, u32>,
    pub trace: Trace,
    /// The first thing that was wrong.
    pub broken: Option<String>,
}

/// One WebSocket.
struct Line {
    page: usize,
    /// Whether the page may send, and whether each end believes in it.
    opened: bool,
    page_open: bool,
    server_open: bool,
    /// When the last message on its way up or down arrives.
    last: [Instant; 2],
}

#[derive(Clone, Debug)]
pub enum Happening {
    Act(usize, Act),
    Accept(Wire),
    Opened(Wire),
    /// The page is told that its connection is no more, with this close code.
    Closed(Wire, u16),
    ToServer(Wire, String),
    ToPage(Wire, String),
    /// The server is told that the page closed it, and whether it said that the user left.
    Gone(Wire, bool),
    /// The server looks whether anybody is there.
    Idle(Wire),
    Page(usize, u32, Input),
    Ice(Key, u64),
    /// A new page opens.
    Return(usize, bool),
    Start(usize, u32),
    Store(u32, QueryId, String),
    Datagram(u32, usize, String),
}

impl World {
    pub fn new(plan: &Plan, mutant: Mutant, trace: Trace) -> Self {
        let now = Instant::from_millis(1_772_366_400_000);
        let mut dice = Dice::new(plan.set.dice);
        let server = if plan.set.trunk > 0 { Server::trunk(dice.seed()) } else { Server::gateway(dice.seed()) };
        let count = usize::try_from(plan.set.devices).expect("three at most");
        let pages = (0..count).map(|number| Page::new(number, &plan.set, &mut dice, now)).collect();
        Self {
            now,
            set: plan.set.clone(),
            dice,
            mutant,
            queue: BTreeMap::new(),
            numbers: 0,
            happened: 0,
            server,
            epoch: 0,
            down: now,
            down_silent: false,
            slow_store: now,
            pages,
            wires: BTreeMap::new(),
            media: Media::default(),
            views: Vec::new(),
            seen: BTreeMap::new(),
            calls: BTreeMap::new(),
            trace,
            broken: None,
        }
    }

    pub fn later(&mut self, wait: u64, happening: Happening) {
        self.at(self.now + Duration::from_millis(wait), happening);
    }

    fn at(&mut self, at: Instant, happening: Happening) {
        self.numbers += 1;
        self.queue.insert((at, self.numbers), happening);
    }

    /// Lets time pass, ms.
    pub fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while self.broken.is_none()
            && let Some(at) = self.next().filter(|at| *at <= end)
        {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Whether nothing is left to happen.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty()
    }

    fn next(&self) -> Option<Instant> {
        let pages = self.pages.iter().filter(|page| page.open).filter_map(|page| page.client.deadline());
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        pages.chain(queued).chain(self.server.deadline()).min()
    }

    fn step(&mut self) {
        self.happened += 1;
        if self.happened > ENDLESS {
            return self.break_rule("it never comes to rest".into());
        }
        if self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
            let (_, happening) = self.queue.pop_first().expect("one is due");
            return self.happen(happening);
        }
        let now = self.now;
        if self.server.deadline().is_some_and(|at| at <= now) {
            self.server.timeout(now);
            return self.drain_server();
        }
        let due = |page: &Page| page.open && page.client.deadline().is_some_and(|at| at <= now);
        let pages: Vec<usize> = (0..self.pages.len()).filter(|page| due(&self.pages[*page])).collect();
        for page in pages {
            self.input(page, Input::Timeout);
        }
    }

    pub fn break_rule(&mut self, what: String) {
        self.trace.note(self.now, || format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Act(page, act) => self.act(page, act),
            Happening::Accept(wire) => self.accept(wire),
            Happening::Opened(wire) => {
                self.wires.get_mut(&wire).into_iter().for_each(|line| line.opened = true);
                self.told_page(wire, Input::Opened);
            }
            Happening::Closed(wire, code) => {
                self.told_page(wire, Input::Closed { code, reason: String::new() });
                if let Some(line) = self.wires.get_mut(&wire) {
                    line.page_open = false;
                }
            }
            Happening::ToServer(wire, text) => self.reach_server(wire, text),
            Happening::ToPage(wire, text) => {
                if let Some(page) = self.page_of(wire) {
                    self.trace.message(self.now, PAGES[page], "<", &text);
                    self.input(page, Input::Received(text));
                }
            }
            Happening::Gone(wire, left) => self.gone(wire, left),
            Happening::Idle(wire) => self.idle(wire),
            Happening::Page(page, life, input) => {
                if self.pages[page].open && self.pages[page].life == life {
                    self.input(page, input);
                }
            }
            Happening::Ice(key, number) => self.ice(key, number),
            Happening::Return(page, same) => self.open_page(page, same),
            Happening::Start(page, life) => {
                if self.pages[page].open && self.pages[page].life == life {
                    self.start(page);
                }
            }
            Happening::Store(epoch, query, user) => {
                if epoch == self.epoch {
                    let account = USERS.contains(&user.as_str()).then(|| account(&user));
                    self.server.account(self.now, query, account);
                    self.drain_server();
                }
            }
            Happening::Datagram(epoch, edge, text) => {
                if epoch == self.epoch {
                    self.server.datagram(self.now, edge, &text);
                    self.drain_server();
                }
            }
        }
    }

    // The pages' end of a connection.

    /// The page whose connection this is, if it is one that the page still has.
    fn page_of(&self, wire: Wire) -> Option<usize> {
        let line = self.wires.get(&wire).filter(|line| line.page_open)?;
        (self.pages[line.page].wire == Some(wire) && self.pages[line.page].open).then_some(line.page)
    }

    fn told_page(&mut self, wire: Wire, input: Input) {
        if let Some(page) = self.page_of(wire) {
            self.trace.note(self.now, || {
                format!("{} {}", PAGES[page], if matches!(input, Input::Opened) { "connected" } else { "disconnected" })
            });
            self.input(page, input);
        }
    }

    /// A page opens a WebSocket.
    pub fn connect(&mut self, page: usize) {
        self.disconnect(page, false);
        self.numbers += 1;
        let (wire, now) = (self.numbers, self.now);
        self.pages[page].wire = Some(wire);
        let accepted = now + Duration::from_millis(15);
        self.wires.insert(wire, Line { page, opened: false, page_open: true, server_open: false, last: [accepted; 2] });
        if now < self.pages[page].offline {
            self.later(5, Happening::Closed(wire, 1006));
        } else if now < self.pages[page].stalled {
            // The page is not told.
        } else if now >= self.down {
            self.at(accepted, Happening::Accept(wire));
        } else if !self.down_silent {
            self.later(2 * TRAVEL, Happening::Closed(wire, 1006));
        }
    }

    fn accept(&mut self, wire: Wire) {
        let Some(line) = self.wires.get_mut(&wire).filter(|_| self.now >= self.down) else { return };
        line.server_open = true;
        self.server.opened(self.now, wire);
        self.travel(wire, 1, Happening::Opened(wire));
        self.drain_server();
    }

    /// A page closes its WebSocket.
    pub fn disconnect(&mut self, page: usize, left: bool) {
        let Some(wire) = self.pages[page].wire.take() else { return };
        if self.wires.get_mut(&wire).is_some_and(|line| std::mem::take(&mut line.page_open)) {
            self.travel(wire, 0, Happening::Gone(wire, left));
        }
    }

    /// A page sends.
    pub fn send(&mut self, page: usize, text: String) {
        self.trace.message(self.now, PAGES[page], ">", &text);
        if let Some(wire) =
            self.pages[page].wire.filter(|wire| self.wires.get(wire).is_some_and(|line| line.page_open && line.opened))
        {
            self.travel_many(wire, 0, &text);
        }
    }

    // The server's end.

    fn reach_server(&mut self, wire: Wire, text: String) {
        let Some(line) = self.wires.get(&wire) else { return };
        if line.server_open {
            let edge = usize::from(line.page > 0);
            self.server.received(self.now, wire, edge, text);
            return self.drain_server();
        }
        // The server does not know this connection: a reset comes back, unless the server is away.
        if line.page_open && !(self.now < self.down && self.down_silent) {
            self.travel(wire, 1, Happening::Closed(wire, 1006));
        }
    }

    fn gone(&mut self, wire: Wire, left: bool) {
        if self.wires.get_mut(&wire).is_some_and(|line| std::mem::take(&mut line.server_open)) {
            self.server.closed(self.now, wire, left);
            self.drain_server();
        }
    }

    fn idle(&mut self, wire: Wire) {
        let Some(line) = self.wires.get(&wire) else { return };
        let stalled = self.pages[line.page].stalled > self.now;
        if stalled || self.page_of(wire).is_none() {
            self.gone(wire, false);
        }
    }

    pub fn drain_server(&mut self) {
        while let Some(said) = self.server.poll() {
            match said {
                Said::Send(wire, text) => {
                    if self.wires.get(&wire).is_some_and(|line| line.server_open) {
                        let text = self.mutant.of_server(text);
                        text.into_iter().for_each(|text| self.travel_many(wire, 1, &text));
                    }
                }
                Said::Close(wire, code) => {
                    if let Some(line) = self.wires.get_mut(&wire) {
                        line.server_open = false;
                        self.travel(wire, 1, Happening::Closed(wire, code));
                    }
                }
                Said::Lookup(query, user) => {
                    let wait = if self.now < self.slow_store { self.slow_store.millis_since(self.now) } else { 1 };
                    self.later(wait, Happening::Store(self.epoch, query, user));
                }
                Said::Datagram(edge, text) => self.datagram(edge, &text),
                Said::Record(record) => self.record(&record),
            }
        }
    }

    /// UDP: lost, doubled, and out of order by nature.
    fn datagram(&mut self, edge: usize, text: &str) {
        let mut copies = 1 + u64::from(self.dice.of_1000(self.set.doubled));
        if self.dice.of_1000(self.set.lost) {
            copies -= 1;
            self.trace.count("datagram lost");
        }
        for _ in 0..copies {
            let late = if self.dice.of_1000(self.set.late) { self.dice.below(1_500) } else { 0 };
            // UDP may reorder, but a network without faults does not.
            let uneven = if self.set.lost > 0 { self.dice.below(5) } else { 0 };
            let wait = TRAVEL + uneven + late;
            self.later(wait, Happening::Datagram(self.epoch, edge, text.to_owned()));
        }
    }

    /// The server's own word on its calls: each begins once and ends once.
    fn record(&mut self, record: &Record) {
        match record {
            Record::CallStarted { call_id, .. } => {
                let open = self.calls.insert(call_id.clone(), 0) == Some(0);
                let told = open.then(|| format!("the server began {call_id} twice"));
                told.into_iter().for_each(|told| self.break_rule(told));
            }
            Record::CallEnded { call_id, .. } => {
                let ends = self.calls.entry(call_id.clone()).or_default();
                *ends += 1;
                if *ends > 1 {
                    self.break_rule(format!("the server ended {call_id} twice"));
                }
            }
            _ => {}
        }
    }

    /// Calls that the server still thinks of.
    pub fn open_records(&self) -> usize {
        self.calls.values().filter(|ends| **ends == 0).count()
    }

    // On the way.

    /// A SIP message: it may be late, and it may come twice.
    fn travel_many(&mut self, wire: Wire, way: usize, text: &str) {
        let make = |text: &str| {
            let text = text.to_owned();
            if way == 0 { Happening::ToServer(wire, text) } else { Happening::ToPage(wire, text) }
        };
        if self.dice.of_1000(self.set.doubled) {
            self.trace.count("message doubled");
            let wait = if self.dice.below(20) == 0 { 20_000 + self.dice.below(40_000) } else { self.dice.below(3_000) };
            self.later(TRAVEL + wait, make(text));
        }
        if self.dice.of_1000(self.set.late) {
            self.trace.count("message overtaken");
            let wait = TRAVEL + self.dice.below(1_500);
            return self.later(wait, make(text));
        }
        self.travel(wire, way, make(text));
    }

    /// In order, and not before the network lets anything through.
    fn travel(&mut self, wire: Wire, way: usize, happening: Happening) {
        let slow = if self.dice.of_1000(self.set.slow) { self.dice.below(2_000) } else { 0 };
        let Some(line) = self.wires.get_mut(&wire) else { return };
        let at = (self.now + Duration::from_millis(TRAVEL) + Duration::from_millis(slow))
            .max(line.last[way])
            .max(self.pages[line.page].stalled);
        line.last[way] = at;
        self.at(at, happening);
    }

    // Faults.

    /// The connection of a page is reset.
    pub fn reset(&mut self, page: usize, page_told: bool, server_told: bool) {
        let Some(wire) = self.pages[page].wire else { return };
        if server_told {
            self.gone(wire, false);
        } else {
            self.later(IDLE, Happening::Idle(wire));
        }
        if page_told {
            self.happen(Happening::Closed(wire, 1006));
        }
    }

    /// No packet gets through to a page or from it until then, not even those under way.
    pub fn stall(&mut self, page: usize, until: Instant) {
        self.pages[page].stalled = until;
        if let Some(wire) = self.pages[page].wire {
            self.later(IDLE, Happening::Idle(wire));
        }
        let ours = |wire: &Wire| self.wires.get(wire).is_some_and(|line| line.page == page);
        let held = |key: &(Instant, u64), happening: &Happening| match happening {
            Happening::ToServer(wire, _)
            | Happening::ToPage(wire, _)
            | Happening::Opened(wire)
            | Happening::Closed(wire, _)
            | Happening::Gone(wire, _)
            | Happening::Accept(wire) => key.0 < until && ours(wire),
            _ => false,
        };
        let keys: Vec<_> = self.queue.iter().filter(|(key, happening)| held(key, happening)).map(|(key, _)| *key).collect();
        for key in keys {
            let happening = self.queue.remove(&key).expect("it was there");
            self.at(until, happening);
        }
        for line in self.wires.values_mut().filter(|line| line.page == page) {
            line.last = line.last.map(|last| last.max(until));
        }
    }

    /// The computer of a page dies, or only the page.
    pub fn lose_page(&mut self, page: usize, noticed: Noticed) {
        let silent = self.pages[page].wire.filter(|_| noticed == Noticed::Silent);
        match silent {
            Some(wire) => {
                self.pages[page].wire = None;
                self.wires.get_mut(&wire).into_iter().for_each(|line| line.page_open = false);
                self.later(IDLE, Happening::Idle(wire));
            }
            None => self.disconnect(page, false),
        }
    }

    pub fn crash(&mut self, wait: u64, noticed: Noticed) {
        let seed = self.dice.seed();
        self.server = if self.set.trunk > 0 { Server::trunk(seed) } else { Server::gateway(seed) };
        self.epoch += 1;
        self.calls.clear();
        self.down = self.now + Duration::from_millis(wait);
        self.down_silent = noticed == Noticed::Silent;
        let open: Vec<Wire> = self.wires.iter().filter(|(_, line)| line.server_open).map(|(wire, _)| *wire).collect();
        for wire in open {
            self.wires.get_mut(&wire).expect("it is open").server_open = false;
            if noticed == Noticed::Told {
                self.travel(wire, 1, Happening::Closed(wire, 1006));
            }
        }
    }

    pub fn slow_store(&mut self, wait: u64) {
        self.slow_store = self.now + Duration::from_millis(wait);
    }

    /// Ends all faults.
    pub fn heal(&mut self) {
        let now = self.now;
        (self.down, self.slow_store) = (self.down.min(now), self.slow_store.min(now));
        for page in &mut self.pages {
            page.stalled = page.stalled.min(now);
            page.offline = page.offline.min(now);
            page.path_down = page.path_down.min(now);
        }
        let Settings { lost, doubled, late, slow, .. } = &mut self.set;
        (*lost, *doubled, *late, *slow) = (0, 0, 0, 0);
        self.review_media();
    }
}
