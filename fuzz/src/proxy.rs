//! A whole proxy whose steps are written in the bytes: two users who are signed in, an unauthenticated client, and whatever they send.
//!
//! Lines as in `client`: they end with a zero octet, the first octet says what happens, the second who does it.

use offhook_proxy::{ConnId, Record};
use offhook_sip::{Method, StatusCode, parse};

use offhook_testing::text::head;
use offhook_testing::world::{Dialog, Phone, World, derived, with};

const MOST_STEPS: usize = 60;

/// Lives it. Whatever the bytes say, nothing panics, what is sent on can be read, each call starts and ends once, and nothing is left
/// once all are gone.
pub fn proxy(data: &[u8]) {
    let mut life = Life::begin();
    for line in data.split(|octet| *octet == 0).take(MOST_STEPS) {
        if let [what, who, rest @ ..] = line {
            life.step(*what, usize::from(*who) % 3, &String::from_utf8_lossy(rest));
        }
    }
    life.end();
}

struct Life {
    world: World,
    /// Alice, Bob, and somebody who never signed in.
    phones: Vec<Phone>,
    /// Every connection that was ever opened.
    opened: Vec<ConnId>,
    /// The last request that each got.
    asked: [Option<String>; 3],
    /// The dialog that each is in.
    dialogs: [Option<Dialog>; 3],
    calls: u32,
}

impl Life {
    fn begin() -> Self {
        let mut world = World::new();
        world.account("carol", "secret", "Carol");
        let mut phones: Vec<Phone> =
            ["alice", "bob"].iter().zip(1..).map(|(user, number)| Phone::registered(&mut world, user, number)).collect();
        phones.push(Phone::new(&mut world, "carol", 3));
        let opened = phones.iter().map(|phone| phone.conn).collect();
        Self { world, phones, opened, asked: [const { None }; 3], dialogs: [const { None }; 3], calls: 0 }
    }

    fn step(&mut self, what: u8, who: usize, rest: &str) {
        match what {
            b'r' => self.send(who, rest.to_owned()),
            b'g' => self.send(who, self.world_text(who, rest)),
            b'i' => self.call(who, rest),
            b'k' => self.send(who, derived(&self.phones[who].invite_text(self.other(who), &self.call_id()), "CANCEL")),
            b'a' => self.answer(who, rest),
            b'q' => self.speak(who, rest),
            b'w' => self.world.wait(rest.trim().parse().map_or(1_000, |millis: u64| millis.min(4_000_000))),
            b'x' => self.world.close(self.phones[who].conn),
            b'l' => self.world.leave(self.phones[who].conn),
            b'o' => self.open(who),
            _ => {}
        }
        self.read();
    }

    const fn other(&self, who: usize) -> &'static str {
        if who == 0 { "bob" } else { "alice" }
    }

    fn call_id(&self) -> String {
        format!("c{}", self.calls)
    }

    fn call(&mut self, who: usize, rest: &str) {
        self.calls += 1;
        self.send(who, with_rest(&self.phones[who].invite_text(self.other(who), &self.call_id()), rest));
    }

    /// A REGISTER with the rest in it.
    fn world_text(&self, who: usize, rest: &str) -> String {
        with_rest(&self.phones[who].register_text(""), rest)
    }

    /// `CODE rest`: an answer to the last request that came.
    fn answer(&mut self, who: usize, rest: &str) {
        let code = rest.get(..3).and_then(|code| code.parse().ok()).filter(|code| (100..700).contains(code));
        let (Some(code), Some(request)) = (code, &self.asked[who]) else { return };
        let text = self.phones[who].answer_text(request, code);
        if code == 200 && head(request) == "INVITE" {
            self.dialogs[who] = Some(Dialog::callee(&self.phones[who], request));
        }
        self.send(who, with_rest(&text, rest.get(3..).unwrap_or_default()));
    }

    /// `METHOD rest`: a request in the dialog of this phone.
    fn speak(&mut self, who: usize, rest: &str) {
        let (method, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let Some(dialog) = &mut self.dialogs[who] else { return };
        if !method.is_empty() && method.bytes().all(|octet| octet.is_ascii_alphanumeric()) {
            let text = with_rest(&dialog.request_text(method), rest);
            self.send(who, text);
        }
    }

    /// Comes back on a new connection; the unauthenticated client only connects.
    fn open(&mut self, who: usize) {
        let mut phone = self.phones[who].reconnected(&mut self.world);
        if who < 2 {
            let text = phone.with_ticket(&self.world, &phone.register_text(""));
            phone.serial += 1;
            self.world.send(phone.conn, &text);
        }
        self.opened.push(phone.conn);
        self.phones[who] = phone;
    }

    fn send(&mut self, who: usize, text: String) {
        self.world.send(self.phones[who].conn, &text);
    }

    /// Looks at what came.
    fn read(&mut self) {
        let inbox: Vec<(ConnId, String)> = std::mem::take(&mut self.world.inbox)
            .into_iter()
            .flat_map(|(conn, texts)| texts.into_iter().map(move |text| (conn, text)))
            .collect();
        for (conn, text) in inbox {
            if text.trim().is_empty() {
                continue;
            }
            let message = parse(text.as_bytes()).expect("the switch sends SIP");
            // A refusal says what the request lacks, and lacks the same.
            let refusal = message.code().is_some_and(|code| code >= StatusCode::BAD_REQUEST);
            assert!(refusal || message.check().is_ok(), "the switch sends valid SIP: {text}");
            let Some(who) = self.phones.iter().position(|phone| phone.conn == conn) else { continue };
            if message.method().is_some_and(|method| method != Method::Ack) {
                self.asked[who] = Some(text);
            } else if head(&text) == "200 INVITE" && message.contacts().next().is_some_and(|contact| contact.is_ok()) {
                let mut dialog = Dialog::caller(&self.phones[who], &text);
                let ack = dialog.request_text("ACK");
                self.dialogs[who] = Some(dialog);
                self.send(who, ack);
            }
        }
    }

    /// Everybody leaves.
    fn end(mut self) {
        for conn in &self.opened {
            self.world.close(*conn);
        }
        self.world.wait(4_000_000);
        let left = (self.world.proxy.calls(), self.world.proxy.devices(), self.world.proxy.footprint());
        let open = self.world.records.iter().fold(0_i32, |open, record| match record {
            Record::CallStarted { .. } => open + 1,
            Record::CallEnded { .. } => open - 1,
            _ => open,
        });
        assert_eq!((left, open), ((0, 0, 0), 0), "calls, devices, footprint; calls that did not end");
    }
}

/// The message with the rest at the end of its head.
fn with_rest(text: &str, rest: &str) -> String {
    if rest.is_empty() { text.to_owned() } else { with(text, rest) }
}
