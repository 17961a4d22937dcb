//! The wall clock is put forward and back, during calls and between two runs of the gateway. Charges, limits and alarms depend on
//! the clock of the database; dates are those of the wall clock.

use std::time::Duration;

use offhook_gateway::store::{Limits, Store};
use offhook_ledger::{Answer, Kind, NewCall, Query, Refused, Rules};
use offhook_ua::time::Instant;
use offhook_ua::wall::Wall;

use crate::support::{Folder, ask, call, close, connect, extend, instant, is_granted, rules, shop};

const HOUR: i64 = 3_600_000;
const DAY: u64 = 86_400_000;

/// The wall clock is this many milliseconds ahead.
async fn put(store: &Store, ahead: i64) {
    store.set_wall(Wall::new(instant(0), shifted(instant(0), ahead))).await;
}

fn shifted(date: Instant, ahead: i64) -> Instant {
    Instant::from_millis(date.millis().checked_add_signed(ahead).expect("after 1970"))
}

async fn credit(store: &Store) -> (i64, i64) {
    let account = store.account_view("shop".into()).await.expect("read");
    (account.credit, account.reserved)
}

#[tokio::test]
async fn a_call_costs_what_it_lasted() {
    for ahead in [HOUR, -HOUR, 24 * HOUR, -24 * HOUR] {
        let folder = Folder::new();
        let store = shop(&folder, rules(), 10_000_000).await;
        assert!(is_granted(&ask(&store, Query::Open(call("a", 0))).await));
        connect(&store, "a", 5_000).await;
        store.settled().await.expect("written");
        put(&store, ahead).await;
        assert_eq!(
            extend(&store, "a", 50_000).await,
            Answer::Extended { paid: Some(Duration::from_secs(120)), more: true },
            "{ahead}"
        );
        let running = store.record("shop".into(), "a".into()).await.expect("read").expect("there");
        assert_eq!(
            (running.duration(instant(66_000)), running.debit(instant(66_000))),
            (Duration::from_secs(61), 66_000),
            "61 seconds, 66 are paid"
        );
        put(&store, -ahead).await;
        close(&store, "a", 66_000, "completed", 200).await;
        let record = store.record("shop".into(), "a".into()).await.expect("read").expect("there");
        assert_eq!((record.billed, record.charge, record.duration(instant(0))), (66, 66_000, Duration::from_secs(61)));
        let dates = [Some(record.opened), record.answered, record.ended];
        assert_eq!(dates, [0, 5_000, 66_000].map(|at| Some(instant(at))), "of the clock by which it began");
        assert_eq!(credit(&store).await, (10_000_000 - 66_000, 0));
        let last = store.history("shop".into(), None, 1).await.expect("read").remove(0);
        assert_eq!(last.at, shifted(instant(66_000), -ahead), "of the clock by which it was settled");
        assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
    }
}

#[tokio::test]
async fn a_call_that_a_crash_has_cut_costs_what_it_is_known_to_have_lasted() {
    for ahead in [HOUR, -HOUR] {
        let folder = Folder::new();
        let store = shop(&folder, rules(), 10_000_000).await;
        assert!(is_granted(&ask(&store, Query::Open(call("a", 0))).await));
        connect(&store, "a", 5_000).await;
        store.settled().await.expect("written");
        put(&store, ahead).await;
        // Another process determines when the gateway ran last.
        assert!(is_granted(&ask(&store, Query::Open(call("b", 46_000))).await));
        store.settled().await.expect("written");
        drop(store);
        let store = Store::open(&folder.0, rules()).expect("it opens again");
        let recovered = store.serve().await.expect("recovered");
        assert_eq!((recovered.calls, recovered.charged), (2, 42_000), "41 seconds, {ahead}");
        let record = store.record("shop".into(), "a".into()).await.expect("read").expect("there");
        assert_eq!((record.opened, record.ended), (instant(0), Some(instant(46_000))));
        assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
    }
}

/// The clock of the database continues where it stopped, plus the time without a process by the wall clock, and never goes back.
#[tokio::test]
async fn rate_limits_hold_over_a_clock_step_and_a_restart() {
    let few = || Rules { calls_per_minute: 3, ..rules() };
    for (ahead, stood) in [(HOUR, 0), (-20_000, 19_900)] {
        let folder = Folder::new();
        let store = shop(&folder, few(), 1_000_000_000).await;
        // In a new store it is the wall clock.
        let now = store.epoch().await.expect("read");
        store.set_wall(Wall::new(instant(0), shifted(now, ahead))).await;
        for n in 0..3 {
            assert!(is_granted(&ask(&store, Query::Open(call(&n.to_string(), n))).await));
        }
        put(&store, -HOUR).await;
        assert_eq!(ask(&store, Query::Open(call("fast", 10))).await, Answer::Refused(Refused::CallRate));
        store.set_wall(Wall::new(instant(0), shifted(now, ahead))).await;
        assert_eq!(ask(&store, Query::Open(call("faster", 20))).await, Answer::Refused(Refused::CallRate));
        assert_eq!(store.alarms(None, None, 10).await.expect("read").len(), 1, "one in a minute");
        store.settled().await.expect("written");
        drop(store);
        let store = Store::open(&folder.0, few()).expect("it opens again");
        store.serve().await.expect("alone");
        let epoch = store.epoch().await.expect("read").millis_since(instant(20));
        // The test itself takes some time.
        assert!((stood..stood + 15_000).contains(&epoch), "{epoch}");
        assert_eq!(ask(&store, Query::Open(call("later", 20 + epoch))).await, Answer::Refused(Refused::CallRate));
        assert!(is_granted(&ask(&store, Query::Open(call("a minute later", 60_002))).await), "{ahead}");
    }
}

#[tokio::test]
async fn the_daily_limit_is_not_renewed_when_the_clock_repeats_midnight() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000_000).await;
    store.set_limits("shop".into(), Limits { spend_per_day: Some(60_000), ..Limits::default() }).await.expect("set");
    let midnight = DAY - instant(0).millis() % DAY;
    let spend = async |name: &str, at: u64| {
        let answer = ask(&store, Query::Open(call(name, at))).await;
        if is_granted(&answer) {
            connect(&store, name, at).await;
            close(&store, name, at + 60_000, "completed", 200).await;
            store.settled().await.expect("written");
        }
        answer
    };
    assert!(is_granted(&spend("yesterday", 0).await));
    assert!(is_granted(&spend("today", midnight + 600_000).await));
    put(&store, -HOUR).await;
    assert_eq!(spend("eve", midnight + 700_000).await, Answer::Refused(Refused::SpendCap), "it is yesterday again");
    assert_eq!(spend("midnight", midnight + 4_000_000).await, Answer::Refused(Refused::SpendCap), "and today again");
    assert!(is_granted(&spend("tomorrow", midnight + DAY + 4_000_000).await));
    // A clock that was years ahead does not block the account for years.
    put(&store, 5_000 * HOUR).await;
    assert!(is_granted(&spend("far", midnight + DAY + 5_000_000).await));
    put(&store, 0).await;
    assert!(is_granted(&spend("back", midnight + DAY + 6_000_000).await));
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

#[tokio::test]
async fn incoming_calls_do_not_count_against_outgoing_calls() {
    let folder = Folder::new();
    let store = shop(&folder, Rules { calls: 2, ..rules() }, 1_000_000_000).await;
    let open = async |kind: Kind, name: &str| ask(&store, Query::Open(NewCall { kind, ..call(name, 0) })).await;
    let full = Answer::Refused(Refused::TooManyCalls);
    for name in ["in 1", "in 2"] {
        assert!(is_granted(&open(Kind::Incoming, name).await));
    }
    assert_eq!(open(Kind::Incoming, "in 3").await, full);
    assert!(is_granted(&open(Kind::Phone, "out 1").await) && is_granted(&open(Kind::Sip, "out 2").await));
    assert_eq!((open(Kind::Phone, "out 3").await, open(Kind::Sip, "out 4").await), (full.clone(), full.clone()));
    assert!(is_granted(&open(Kind::Test, "test").await));
    assert_eq!(store.account_view("shop".into()).await.expect("read").running, 4);
    close(&store, "in 1", 1_000, "declined", 603).await;
    assert_eq!(open(Kind::Phone, "out 5").await, full);
    assert!(is_granted(&open(Kind::Incoming, "in 4").await));
    close(&store, "out 1", 1_000, "declined", 603).await;
    assert!(is_granted(&open(Kind::Phone, "out 6").await));
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}
