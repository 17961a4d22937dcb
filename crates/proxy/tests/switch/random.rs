//! Random lives: users who register, call, answer, cancel, vanish and come back, and messages that are lost or come twice. Whatever they
//! do, the switch does not fail, records the end of each call once, and forgets everything when all are gone.

use std::collections::{BTreeMap, BTreeSet};

use offhook_proxy::Record;
use offhook_sip::{Method, Name, StatusCode, parse};
use offhook_ua::random::Random;

use offhook_testing::text::head;
use offhook_testing::world::{Dialog, Phone, World, derived};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// One run.
struct Life {
    world: World,
    random: Random,
    phones: Vec<Phone>,
    /// Requests that a phone has not answered finally.
    open: Vec<(usize, String)>,
    /// INVITEs that were sent: phone, callee, Call-ID.
    sent: Vec<(usize, &'static str, String)>,
    dialogs: BTreeMap<(usize, String), Dialog>,
    calls: u32,
}

impl Life {
    fn new(seed: u8) -> Self {
        let mut world = World::new();
        let phones = (0..8).map(|number| Phone::registered(&mut world, USERS[number % 4], number as u32 + 1)).collect();
        let (open, sent, dialogs) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { world, random: Random::new([seed; 32]), phones, open, sent, dialogs, calls: 0 }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn step(&mut self) {
        match self.below(20) {
            0..=4 => self.call(),
            5..=11 => self.answer(),
            12 | 13 => self.cancel(),
            14..=16 => self.speak(),
            17 => self.vanish(),
            _ => {
                let pause = self.random.below(3_000);
                self.world.wait(pause);
            }
        }
        self.read();
    }

    /// Sends a message: sometimes it is lost, sometimes it comes twice.
    fn send(&mut self, phone: usize, text: &str) {
        let copies = [1, 1, 1, 1, 1, 1, 1, 1, 2, 0][self.below(10)];
        for _ in 0..copies {
            self.world.send(self.phones[phone].conn, text);
        }
    }

    fn call(&mut self) {
        let (phone, callee) = (self.below(8), USERS[self.below(4)]);
        self.calls += 1;
        let id = format!("r{}", self.calls);
        let text = self.phones[phone].invite_text(callee, &id);
        self.send(phone, &text);
        self.sent.push((phone, callee, id));
    }

    fn answer(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.below(self.open.len());
        let (phone, request) = self.open[at].clone();
        let invite = head(&request) == "INVITE";
        let code = if invite {
            [100, 180, 183, 200, 200, 486, 603, 480, 487, 500][self.below(10)]
        } else {
            [200, 200, 481][self.below(3)]
        };
        let text = self.phones[phone].answer_text(&request, code);
        self.send(phone, &text);
        if code >= 200 {
            self.open.remove(at);
        }
        if invite && code == 200 {
            let id = parse(request.as_bytes()).unwrap().call_id().unwrap().to_owned();
            self.dialogs.insert((phone, id), Dialog::callee(&self.phones[phone], &request));
        }
    }

    fn cancel(&mut self) {
        if let Some((phone, callee, id)) = self.sent.pop() {
            let text = derived(&self.phones[phone].invite_text(callee, &id), "CANCEL");
            self.send(phone, &text);
        }
    }

    /// Says something in a dialog, mostly goodbye.
    fn speak(&mut self) {
        if self.dialogs.is_empty() {
            return;
        }
        let at = self.below(self.dialogs.len());
        let key = self.dialogs.keys().nth(at).unwrap().clone();
        let method = ["BYE", "BYE", "INFO", "INVITE", "UPDATE"][self.below(5)];
        let text = self.dialogs.get_mut(&key).unwrap().request_text(method);
        self.send(key.0, &text);
        if method == "BYE" {
            self.dialogs.remove(&key);
        }
    }

    fn vanish(&mut self) {
        let phone = self.below(8);
        if self.below(3) > 0 {
            self.world.close(self.phones[phone].conn);
        }
        let pause = self.random.below(12_000);
        self.world.wait(pause);
        let mut again = self.phones[phone].reconnected(&mut self.world);
        again.register(&mut self.world);
        self.phones[phone] = again;
    }

    /// Looks at what came: requests wait for their answer, a 200 makes a dialog.
    fn read(&mut self) {
        for phone in 0..self.phones.len() {
            for text in self.world.take(self.phones[phone].conn) {
                let message = parse(text.as_bytes()).expect("the switch sends SIP");
                message.check().expect("the switch sends valid SIP");
                let call_id = message.call_id().unwrap().to_owned();
                match (message.method(), message.code()) {
                    (Some(Method::Ack), _) => {}
                    (Some(_), _) => self.open.push((phone, text)),
                    (None, Some(StatusCode::OK))
                        if message.cseq().unwrap().method == Method::Invite && message.get(Name::RecordRoute).is_some() =>
                    {
                        let mut dialog = Dialog::caller(&self.phones[phone], &text);
                        let ack = dialog.request_text("ACK");
                        self.dialogs.insert((phone, call_id), dialog);
                        self.send(phone, &ack);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Everybody leaves.
    fn end(mut self) -> Vec<Record> {
        for phone in &self.phones {
            self.world.close(phone.conn);
        }
        self.world.wait(4_000_000);
        assert_eq!((self.world.proxy.calls(), self.world.proxy.devices(), self.world.proxy.footprint()), (0, 0, 0));
        self.world.records
    }
}

#[test]
fn five_thousand_random_calls_leave_nothing_behind() {
    lives(1..=20);
}

#[test]
fn five_thousand_more_leave_nothing_behind() {
    lives(21..=40);
}

/// Each seed is one life with 250 calls.
fn lives(seeds: std::ops::RangeInclusive<u8>) {
    for seed in seeds {
        let mut life = Life::new(seed);
        while life.calls < 250 {
            life.step();
        }
        let records = life.end();
        check(&records, seed);
    }
}

/// Each call starts once, is answered at most once, and ends once.
fn check(records: &[Record], seed: u8) {
    let (mut started, mut answered, mut ended) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for record in records {
        match record {
            Record::CallStarted { call_id, .. } => assert!(started.insert(call_id), "seed {seed}: {call_id} started twice"),
            Record::CallAnswered { call_id } => assert!(answered.insert(call_id), "seed {seed}: {call_id} answered twice"),
            Record::CallEnded { call_id, .. } => assert!(ended.insert(call_id), "seed {seed}: {call_id} ended twice"),
            _ => {}
        }
    }
    assert_eq!(started, ended, "seed {seed}");
    assert!(answered.is_subset(&ended), "seed {seed}");
    assert!(!answered.is_empty(), "seed {seed}: the run is worth nothing where nobody answers");
}

#[test]
fn random_damage_does_not_hurt() {
    let mut random = Random::new([3; 32]);
    let mut world = World::new();
    let (alice, bob, mut caller, _) = offhook_testing::world::talking(&mut world);
    let texts = [alice.invite_text("bob", "x"), alice.register_text(""), caller.request_text("INFO"), caller.request_text("BYE")];
    for round in 0..20_000 {
        let mut bytes = texts[round % texts.len()].clone().into_bytes();
        for _ in 0..=random.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = b" \r\n:;<>\"%@,=A0\0\t"[random.below(16) as usize],
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at + 1),
                _ => bytes.insert(at, b"\r\n<>\";,"[random.below(7) as usize]),
            }
        }
        if let Ok(text) = String::from_utf8(bytes) {
            world.send(if round % 2 == 0 { alice.conn } else { bob.conn }, &text);
        }
        if round % 100 == 0 {
            world.wait(1_000);
        }
    }
    for phone in [&alice, &bob] {
        world.close(phone.conn);
    }
    world.wait(4_000_000);
    assert_eq!((world.proxy.calls(), world.proxy.footprint()), (0, 0));
}
