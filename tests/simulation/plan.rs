//! The plan of one life: the settings of the pages, the faults of the network, and what people, pages and servers do when. A plan is drawn from
//! a seed, and it is a text: one that failed is kept in `kept/`, and stays valid when seeds draw other plans.
//!
//! ```text
//! set dice=7 devices=3 multi=0 early=1 digest=0 trunk=0 lost=0 doubled=50 late=0 slow=100
//! 0 A call bob
//! 1200 B answer
//! 1205 S crash 2000 noticed
//! 4000 A hang-up
//! ```

use std::fmt;
use std::str::FromStr;

use super::dice::Dice;

/// The pages, in order: alice, bob, and bob's second device.
pub const PAGES: [&str; 3] = ["A", "B", "P"];
pub const USERS: [&str; 3] = ["alice", "bob", "bob"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub set: Settings,
    pub steps: Vec<Step>,
}

/// The settings of a life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The seed of everything that is drawn while it runs.
    pub dice: u64,
    /// 2: alice and bob. 3: bob has a second device.
    pub devices: u64,
    /// Whether pages take several calls.
    pub multi: u64,
    /// Whether ICE comes up while it rings.
    pub early: u64,
    /// Whether pages sign in with a password; else with a ticket.
    pub digest: u64,
    /// Whether the server is a pair of proxies with UDP between; else the gateway.
    pub trunk: u64,
    /// Of a thousand datagrams between the proxies, so many are lost.
    pub lost: u64,
    /// Of a thousand messages, so many are duplicated, the duplicate up to 3 s later and sometimes much later.
    pub doubled: u64,
    /// Of a thousand messages, so many are overtaken by what was sent up to 1.5 s after them.
    pub late: u64,
    /// Of a thousand messages, so many hold up their connection for up to 2 s.
    pub slow: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// ms since the pages signed in.
    pub at: u64,
    /// The page; means nothing where the server acts.
    pub page: usize,
    pub act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Calls the user of this page.
    Call(usize),
    /// Answers the call that rings.
    Answer,
    /// Ends its oldest call.
    HangUp,
    /// The connection is reset.
    Cut(Seen),
    /// No packet gets through for so long, and neither end is told.
    Stall(u64),
    /// The connection is lost, and no server can be reached for so long.
    Offline(u64),
    /// The page is gone without a BYE, and a new one opens after so long.
    Vanish(u64, Noticed),
    /// The user reloads: the page ends its calls, and a new one opens, as the same device or as another.
    Reload(bool),
    /// The microphone takes so long to open from now on.
    Microphone(u64),
    /// The microphone is not allowed from now on.
    Refused,
    /// The next media task fails.
    MediaFails,
    /// No media of this page gets through for so long.
    PathDown(u64),
    /// The app ends its client and starts it again.
    Terminate,
    /// The browser reports that the network is back.
    Online,
    /// The server loses everything but its store, and is away for so long.
    Crash(u64, Noticed),
    /// The store takes its time for so long.
    SlowStore(u64),
}

/// Who learns of the end of a connection at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Both,
    Page,
    Server,
}

/// Whether the other end of a connection is told that a computer died (FIN, RST), or is not (power, cable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    Told,
    Silent,
}

impl Plan {
    /// Whether nothing goes wrong: then the model is strict.
    pub fn is_calm(&self) -> bool {
        let Settings { lost, doubled, late, slow, .. } = self.set;
        lost + doubled + late + slow == 0 && self.steps.iter().all(|step| !step.act.is_fault())
    }

    /// The plan of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
        let calm = dice.below(6) == 0;
        let trunk = u64::from(dice.below(5) == 0);
        let mut some = |often: u64, most: u64| if !calm && dice.below(4) < often { 1 + dice.below(most) } else { 0 };
        let set = Settings {
            lost: some(4 * trunk, 300),
            doubled: some(1, 200),
            late: some(1, 50),
            slow: some(1, 100),
            devices: 2 + dice.below(2),
            multi: u64::from(dice.below(3) == 0),
            early: u64::from(dice.below(4) > 0),
            digest: u64::from(dice.below(3) == 0),
            trunk,
            dice: dice.below(1 << 32),
        };
        let mut steps = Vec::new();
        let mut at = 0;
        for _ in 0..1 + dice.below(4) {
            at = draw_call(&mut dice, &mut steps, at, &set, calm) + dice.one(&[0, 50, 500, 3_000, 20_000]);
        }
        steps.sort_by_key(|step| step.at);
        Self { set, steps }
    }
}

/// Draws one call and its faults. Returns when it is probably over.
fn draw_call(dice: &mut Dice, steps: &mut Vec<Step>, at: u64, set: &Settings, calm: bool) -> u64 {
    let mut page = || usize::try_from(dice.below(set.devices)).expect("three at most");
    let (caller, other) = (page(), page());
    let callee = if caller == 0 { 1 } else { 0 };
    let mut add = |at: u64, page: usize, act: Act| steps.push(Step { at, page, act });
    if dice.below(5) == 0 {
        let wait = dice.below(3_000);
        add(at, other, if dice.below(4) == 0 { Act::Refused } else { Act::Microphone(wait) });
    }
    add(at, caller, Act::Call(callee));
    if dice.below(10) == 0 {
        // Both at once.
        add(at + dice.below(60), callee, Act::Call(caller));
    }
    let ring = dice.one(&[40, 100, 1_000, 3_000, 15_000]) + dice.below(200);
    let mut key = vec![at, at + 30, at + ring];
    if dice.below(10) < 8 {
        add(at + ring, callee, Act::Answer);
    }
    if caller == 0 && set.devices == 3 && dice.below(3) == 0 {
        let act = if dice.below(3) == 0 { Act::HangUp } else { Act::Answer };
        add(at + ring + dice.below(60), 2, act);
    }
    let over = at
        + match dice.below(4) {
            0 => dice.below(ring + 100),
            1 => ring + dice.below(120),
            2 => ring + 1_000 + dice.below(4_000),
            _ => ring + dice.below(60_000),
        };
    key.push(over);
    let ends = dice.below(10);
    if ends < 9 {
        add(over, if ends.is_multiple_of(2) { caller } else { callee }, Act::HangUp);
    }
    if ends < 3 {
        add(over + dice.below(40), if ends.is_multiple_of(2) { callee } else { caller }, Act::HangUp);
    }
    if !calm {
        for _ in 0..dice.below(4) {
            let near = dice.one(&key);
            let at =
                if dice.below(3) == 0 { at + dice.below(over - at + 5_000) } else { (near + dice.below(120)).saturating_sub(40) };
            let page = usize::try_from(dice.below(set.devices)).expect("three at most");
            add(at, page, draw_fault(dice));
        }
    }
    over
}

fn draw_fault(dice: &mut Dice) -> Act {
    let long = dice.one(&[300, 2_000, 7_000, 20_000, 50_000]);
    let wait = 1 + dice.below(long);
    let noticed = dice.one(&[Noticed::Told, Noticed::Silent]);
    match dice.below(24) {
        0..=4 => Act::Cut(dice.one(&[Seen::Both, Seen::Page, Seen::Server])),
        5..=7 => Act::Stall(wait),
        8..=10 => Act::Offline(wait),
        11 | 12 => Act::Vanish(wait, noticed),
        13 | 14 => Act::Reload(dice.below(2) == 0),
        15 => Act::MediaFails,
        16 | 17 => Act::PathDown(wait),
        18 => Act::Terminate,
        19 => Act::Online,
        20..=22 => Act::Crash(dice.one(&[1, 500, 5_000]) + dice.below(500), noticed),
        _ => Act::SlowStore(wait.min(8_000)),
    }
}

impl Act {
    const fn is_fault(self) -> bool {
        !matches!(self, Self::Call(_) | Self::Answer | Self::HangUp | Self::Microphone(_) | Self::Refused)
    }

    /// The name under which it is counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call(_) => "call",
            Self::Answer => "answer",
            Self::HangUp => "hang-up",
            Self::Cut(Seen::Both) => "reset, both sides told",
            Self::Cut(Seen::Page) => "reset, server not told",
            Self::Cut(Seen::Server) => "reset, page not told",
            Self::Stall(_) => "black hole",
            Self::Offline(_) => "offline",
            Self::Vanish(_, Noticed::Told) => "page killed",
            Self::Vanish(_, Noticed::Silent) => "page's machine dead",
            Self::Reload(_) => "page reloaded",
            Self::Microphone(_) => "slow microphone",
            Self::Refused => "microphone refused",
            Self::MediaFails => "media task failed",
            Self::PathDown(_) => "media path down",
            Self::Terminate => "client ended and started",
            Self::Online => "online event",
            Self::Crash(_, Noticed::Told) => "server crash",
            Self::Crash(_, Noticed::Silent) => "server crash, silent",
            Self::SlowStore(_) => "slow store",
        }
    }
}

// As text.

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set")?;
        let mut set = self.set.clone();
        for (name, value) in fields(&mut set) {
            write!(f, " {name}={value}")?;
        }
        self.steps.iter().try_for_each(|step| write!(f, "\n{step}"))
    }
}

fn fields(set: &mut Settings) -> [(&'static str, &mut u64); 10] {
    let Settings { dice, devices, multi, early, digest, trunk, lost, doubled, late, slow } = set;
    [
        ("dice", dice),
        ("devices", devices),
        ("multi", multi),
        ("early", early),
        ("digest", digest),
        ("trunk", trunk),
        ("lost", lost),
        ("doubled", doubled),
        ("late", late),
        ("slow", slow),
    ]
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = matches!(self.act, Act::Crash(..) | Act::SlowStore(_));
        write!(f, "{} {} ", self.at, if server { "S" } else { PAGES[self.page] })?;
        let noticed = |noticed| if noticed == Noticed::Told { "noticed" } else { "silent" };
        match self.act {
            Act::Call(page) => write!(f, "call {}", PAGES[page]),
            Act::Answer => write!(f, "answer"),
            Act::HangUp => write!(f, "hang-up"),
            Act::Cut(Seen::Both) => write!(f, "cut both"),
            Act::Cut(Seen::Page) => write!(f, "cut page"),
            Act::Cut(Seen::Server) => write!(f, "cut server"),
            Act::Stall(wait) => write!(f, "stall {wait}"),
            Act::Offline(wait) => write!(f, "offline {wait}"),
            Act::Vanish(wait, how) => write!(f, "vanish {wait} {}", noticed(how)),
            Act::Reload(same) => write!(f, "reload {}", if same { "same" } else { "other" }),
            Act::Microphone(wait) => write!(f, "microphone {wait}"),
            Act::Refused => write!(f, "refused"),
            Act::MediaFails => write!(f, "media-fails"),
            Act::PathDown(wait) => write!(f, "path-down {wait}"),
            Act::Terminate => write!(f, "terminate"),
            Act::Online => write!(f, "online"),
            Act::Crash(wait, how) => write!(f, "crash {wait} {}", noticed(how)),
            Act::SlowStore(wait) => write!(f, "slow-store {wait}"),
        }
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self { set: Settings::default(), steps: Vec::new() };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix("set ") {
                Some(rest) => read_settings(&mut plan.set, rest)?,
                None => plan.steps.push(line.parse()?),
            }
        }
        Ok(plan)
    }
}

fn read_settings(set: &mut Settings, text: &str) -> Result<(), String> {
    for word in text.split_whitespace() {
        let (name, value) = word.split_once('=').ok_or(word)?;
        let mut fields = fields(set);
        let field = fields.iter_mut().find(|(known, _)| *known == name).ok_or(word)?;
        *field.1 = value.parse().map_err(|_| word)?;
    }
    Ok(())
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut word = || words.next().unwrap_or_default();
        let (at, page, verb, first, second) = (word(), word(), word(), word(), word());
        let number = || first.parse().map_err(|_| line.to_owned());
        let named = |name: &str| PAGES.iter().position(|known| *known == name).ok_or_else(|| line.to_owned());
        let noticed = if second == "silent" { Noticed::Silent } else { Noticed::Told };
        let act = match verb {
            "call" => Act::Call(named(first)?),
            "answer" => Act::Answer,
            "hang-up" => Act::HangUp,
            "cut" => Act::Cut(match first {
                "both" => Seen::Both,
                "page" => Seen::Page,
                _ => Seen::Server,
            }),
            "stall" => Act::Stall(number()?),
            "offline" => Act::Offline(number()?),
            "vanish" => Act::Vanish(number()?, noticed),
            "reload" => Act::Reload(first == "same"),
            "microphone" => Act::Microphone(number()?),
            "refused" => Act::Refused,
            "media-fails" => Act::MediaFails,
            "path-down" => Act::PathDown(number()?),
            "terminate" => Act::Terminate,
            "online" => Act::Online,
            "crash" => Act::Crash(number()?, noticed),
            "slow-store" => Act::SlowStore(number()?),
            _ => return Err(line.to_owned()),
        };
        let page = if page == "S" { 0 } else { named(page)? };
        Ok(Self { at: at.parse().map_err(|_| line.to_owned())?, page, act })
    }
}
