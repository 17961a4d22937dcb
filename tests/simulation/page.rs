//! A page: the real client, and a browser that is slow, denies the microphone, fails, and is closed.

use offhook::client::call::{CallId, State};
use offhook::client::{Client, Config, Login, MediaError, TaskResult};
use offhook_access::ticket::ticket;
use offhook_testing::switch::{DOMAIN, KEY, SECRET};
use offhook_ua::time::Instant;

use super::dice::Dice;
use super::plan::{Settings, USERS};
use super::server::{PASSWORD, Wire};

pub struct Page {
    pub client: Client,
    /// How often it was opened.
    pub life: u32,
    /// The name of the device.
    instance: String,
    /// Whether there is a page at all.
    pub open: bool,
    /// The WebSocket that it has or waits for.
    pub wire: Option<Wire>,
    /// How long the microphone takes; `None`: not allowed.
    pub microphone: Option<u64>,
    pub media_fails: bool,
    /// Until when no packet gets through.
    pub stalled: Instant,
    /// Until when there is no network, and the page knows it.
    pub offline: Instant,
    /// Until when no media gets through.
    pub path_down: Instant,
    /// Calls that were released: no media output may name them any more.
    pub released: Vec<CallId>,
}

impl Page {
    pub fn new(number: usize, set: &Settings, dice: &mut Dice, now: Instant) -> Self {
        let instance = device(number, 1);
        let client = Client::new(config(set, &instance), dice.seed());
        Self {
            client,
            life: 1,
            instance,
            open: true,
            wire: None,
            microphone: Some(30),
            media_fails: false,
            stalled: now,
            offline: now,
            path_down: now,
            released: Vec::new(),
        }
    }

    /// A new page in place of one that is gone, as the same device or another one.
    pub fn reopen(&mut self, number: usize, same: bool, set: &Settings, dice: &mut Dice) {
        self.life += 1;
        if !same {
            self.instance = device(number, self.life);
        }
        self.client = Client::new(config(set, &self.instance), dice.seed());
        (self.open, self.wire) = (true, None);
        self.released.clear();
    }

    pub fn login(number: usize, set: &Settings, now: Instant) -> Login {
        let user = USERS[number].to_owned();
        if set.digest > 0 {
            return Login::Password { user, password: PASSWORD.into() };
        }
        let token = ticket(KEY, SECRET, &user, now, 36_000);
        Login::Token { user, token, lasts: None }
    }

    /// Its calls that are not over, the oldest first.
    pub fn living(&self) -> Vec<CallId> {
        let calls = (1..64).map(CallId);
        calls.filter(|id| self.client.call_info(*id).is_some_and(|info| info.state != State::Ended)).collect()
    }

    /// The newest call that rings here.
    pub fn ringing(&self) -> Option<CallId> {
        let rings = |id: &CallId| self.client.call_info(*id).is_some_and(|info| !info.outgoing && info.state < State::Established);
        self.living().into_iter().rev().find(rings)
    }
}

fn device(number: usize, life: u32) -> String {
    format!("00000000-0000-4000-8000-{number:06}{life:06}")
}

fn config(set: &Settings, instance: &str) -> Config {
    Config {
        servers: vec!["wss://calls.example/sip".into()],
        domain: DOMAIN.into(),
        instance: instance.into(),
        active: true,
        activate: true,
        multi_call: set.multi > 0,
        connect_while_ringing: set.early > 0,
        ..Config::default()
    }
}

/// The error of a browser.
pub fn failed(name: &str) -> TaskResult {
    TaskResult::Failed(MediaError { name: name.into(), message: "as planned".into() })
}
