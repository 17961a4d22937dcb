//! A store for each test, with an application, a rate and credit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use offhook_access::secret::Secret;
use offhook_gateway::store::{Application, Rate, Store};
use offhook_ledger::{Answer, CallRef, End, Kind, Micros, NewCall, Openings, Query, Rules, Tariff};
use offhook_ua::time::Instant;
use tokio::sync::oneshot;

/// The time at which tests begin, in the morning.
pub const MORNING: u64 = 1_790_000_000_000;

/// A minute costs six cents, billed in steps of six seconds after half a minute.
pub const TARIFF: Tariff = Tariff { per_minute: 60_000, minimum: 30, increment: 6, fee: 0 };

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is deleted when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("offhook-ledger-{}-{number}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub fn rules() -> Rules {
    Rules {
        openings: Openings::new(&["46", "1"]).expect("countries"),
        calls: 100_000,
        calls_per_minute: 100_000,
        range_calls_per_hour: 100_000,
        spend_per_day: 1_000_000_000,
        ..Rules::default()
    }
}

/// Returns a store with the application `shop`, which has `credit`.
pub async fn shop(folder: &Folder, rules: Rules, credit: Micros) -> Store {
    let store = Store::open(&folder.0, rules).expect("a fresh store");
    store.add_application(application("shop")).await.expect("added");
    store.set_rates(vec![Rate { application: String::new(), prefix: "46".into(), tariff: TARIFF }]).await.expect("set");
    if credit > 0 {
        store.top_up("shop".into(), credit, None).await.expect("topped up");
    }
    store
}

pub fn application(key: &str) -> Application {
    let secret = Secret::separate(vec![7; 32]);
    Application { key: key.into(), secret, origins: Vec::new(), allow_new_users: false, loopback_only: false }
}

/// Returns a call of alice to a Swedish number.
pub fn call(name: &str, at: u64) -> NewCall {
    NewCall {
        call: CallRef(name.into()),
        application: "shop".into(),
        call_id: format!("{name}@page"),
        user: "alice".into(),
        kind: Kind::Phone,
        from: "alice".into(),
        to: "+46701234567".into(),
        at: instant(at),
    }
}

/// Sends a query, and waits for the answer.
pub async fn ask(store: &Store, query: Query) -> Answer {
    let (answer, answered) = oneshot::channel();
    store.ledger(query, |given| drop(answer.send(given))).await;
    answered.await.expect("an answer")
}

/// Sends a query without answer.
pub async fn tell(store: &Store, query: Query) {
    store.ledger(query, |answer| panic!("no answer was asked for: {answer:?}")).await;
}

pub async fn connect(store: &Store, name: &str, at: u64) {
    tell(store, Query::Connected { call: CallRef(name.into()), at: instant(at) }).await;
}

pub async fn extend(store: &Store, name: &str, at: u64) -> Answer {
    ask(store, Query::Extend { call: CallRef(name.into()), at: instant(at) }).await
}

pub async fn close(store: &Store, name: &str, at: u64, cause: &'static str, code: u16) {
    let end = End { cause, code, trunk: "provider".into() };
    tell(store, Query::Close { call: CallRef(name.into()), at: instant(at), end }).await;
}

/// The time `at` milliseconds after the beginning.
pub const fn instant(at: u64) -> Instant {
    Instant::from_millis(MORNING + at)
}

pub fn is_granted(answer: &Answer) -> bool {
    matches!(answer, Answer::Granted(_))
}
