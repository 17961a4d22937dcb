//! The B2BUA without a switch: the test plays its part, so that anybody can say anything.

use std::time::Duration;

use offhook_access::proofs::Proofs;
use offhook_b2bua::{B2bua, Callee, Emergency, Input, Output, Settings};
use offhook_ledger::{Answer, Grant, Query};
use offhook_media::{Command, Event};
use offhook_testing::switch::{DOMAIN, KEY};
use offhook_trunk::{self as trunk, Flow, Trunks};
use offhook_ua::time::Instant;

use crate::world::{FIRST, SDP, trunk as a_trunk};

/// A B2BUA with one trunk, money for every call, and media that take every description.
pub struct Alone {
    pub b2bua: B2bua,
    now: Instant,
    /// How many commands the media have got.
    pub commands: usize,
    /// How many questions the ledger has got.
    pub questions: usize,
    /// What was sent to the switch.
    to_switch: Vec<String>,
    /// What was sent to the carrier.
    to_carrier: Vec<String>,
}

impl Alone {
    pub fn new() -> Self {
        let settings = trunk::Settings {
            domain: DOMAIN.into(),
            host: "198.51.100.1".into(),
            ports: [5060, 5060, 5061],
            trunks: vec![a_trunk("first", FIRST)],
            open_domains: Vec::new(),
            proofs: Proofs::default(),
        };
        let limits = Settings { domain: DOMAIN.into(), calls: 10, test_calls: 20, emergency: Emergency::default() };
        let b2bua = B2bua::new(limits, Trunks::new(settings, [8; 32]), [9; 32]);
        let now = Instant::from_millis(1_772_366_400_000);
        Self { b2bua, now, commands: 0, questions: 0, to_switch: Vec::new(), to_carrier: Vec::new() }
    }

    /// The switch sends a message for this application. Returns what it is sent meanwhile.
    pub fn switch_sends(&mut self, application: &str, text: &str) -> Vec<String> {
        self.to_switch.clear();
        self.handle(Input::FromSwitch { application: application.into(), text: text.into() });
        self.to_switch.clone()
    }

    /// The carrier sends a message. Returns what the switch is sent meanwhile.
    pub fn carrier_sends(&mut self, text: &str) -> Vec<String> {
        self.to_switch.clear();
        let from = FIRST.parse().expect("an address");
        self.handle(Input::Trunk(trunk::Input::Received { flow: Flow::Udp(from), bytes: text.into() }));
        self.to_switch.clone()
    }

    /// Lets time pass. Returns what the switch is sent meanwhile.
    pub fn run(&mut self, millis: u64) -> Vec<String> {
        self.to_switch.clear();
        let end = self.now + Duration::from_millis(millis);
        while let Some(deadline) = self.b2bua.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.handle(Input::Timeout);
        }
        self.now = end;
        self.to_switch.clone()
    }

    /// The last message that the carrier was sent.
    pub fn carrier_has(&self) -> &str {
        self.to_carrier.last().expect("a message")
    }

    fn handle(&mut self, input: Input) {
        self.b2bua.handle(self.now, input);
        while let Some(output) = self.b2bua.poll() {
            match output {
                Output::ToSwitch { text, .. } => self.to_switch.push(text),
                Output::Trunk(trunk::Output::Send { text, .. }) => self.to_carrier.push(text),
                Output::Trunk(_) => {}
                Output::Media(command) => self.command(&command),
                Output::Ledger(query) => self.query(query),
                Output::Map { query, .. } => {
                    let callee = Some(Callee { application: KEY.into(), user: "alice".into() });
                    self.handle(Input::Mapped { query, callee });
                }
            }
        }
    }

    fn command(&mut self, command: &Command) {
        self.commands += 1;
        let sdp = Ok(SDP.to_owned());
        match *command {
            Command::Offered { session, leg, .. } => self.handle(Input::Media(Event::Answer { session, leg, sdp })),
            Command::Offer { session, leg } => self.handle(Input::Media(Event::Offer { session, leg, sdp })),
            _ => {}
        }
    }

    fn query(&mut self, query: Query) {
        self.questions += 1;
        if let Query::Open(new) = query {
            let answer = Answer::Granted(Grant { paid: None, more: false, caller_id: None });
            self.handle(Input::Ledger { call: new.call, answer });
        }
    }
}

/// An INVITE of Alice's page, as the switch passes it on, with these fields beside those that each has.
pub fn invite_of_page(more: &str) -> String {
    format!(
        "INVITE sip:+46701234567@calls.example;user=phone SIP/2.0\r\nVia: SIP/2.0/WS calls.example;branch=z9hG4bKpage\r\nMax-Forwards: 69\r\n\
         From: <sip:alice@calls.example>;tag=hers\r\nTo: <sip:+46701234567@calls.example;user=phone>\r\nCall-ID: page\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:alice@page.invalid;transport=ws>\r\n{more}Content-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{SDP}",
        SDP.len()
    )
}
