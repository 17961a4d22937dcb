//! Limits for the rate of new calls of an account, and alarms where it exceeds one.

use offhook_gateway::store::{Alarm, Limits, Store};
use offhook_ledger::{Answer, NewCall, Query, Refused, Rules};
use tokio::task::JoinSet;

use crate::support::{Folder, application, ask, call, close, connect, instant, is_granted, rules, shop};

const HOUR: u64 = 3_600_000;

/// Returns the alarms: until, limit and range, the oldest first.
async fn alarms(store: &Store, application: &str) -> Vec<(u64, String, String, i64)> {
    let alarms = store.alarms(Some(application.into()), None, 100).await.expect("read");
    let morning = instant(0);
    alarms
        .into_iter()
        .rev()
        .map(|Alarm { until, cause, range, most, .. }| (until.millis_since(morning), cause, range, most))
        .collect()
}

/// Makes calls to Sweden at these times; returns how many were granted, and how many were refused for `refused`.
async fn all_at_once(store: &Store, moments: impl Iterator<Item = u64>, refused: Refused) -> (usize, usize) {
    let mut calls = JoinSet::new();
    for at in moments {
        let store = store.clone();
        calls.spawn(async move { ask(&store, Query::Open(call(&format!("{at}"), at))).await });
    }
    let answers = calls.join_all().await;
    let no = answers.iter().filter(|answer| **answer == Answer::Refused(refused)).count();
    (answers.iter().filter(|answer| is_granted(answer)).count(), no)
}

async fn to(store: &Store, number: &str, at: u64) -> Answer {
    ask(store, Query::Open(NewCall { to: number.into(), ..call(&format!("{number} at {at}"), at) })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_to_one_range_stop_at_the_cap_with_one_alarm() {
    let folder = Folder::new();
    let few = || Rules { range_calls_per_hour: 25, ..rules() };
    let store = shop(&folder, few(), 1_000_000_000).await;
    store.add_application(application("other")).await.expect("added");
    store.top_up("other".into(), 1_000_000, None).await.expect("topped up");
    assert_eq!(all_at_once(&store, 0..1_000, Refused::RangeRate).await, (25, 975));
    let told = alarms(&store, "shop").await;
    assert!(matches!(told.as_slice(), [(_, cause, range, 25)] if cause == "range rate" && range == "46"), "{told:?}");

    let other = NewCall { application: "other".into(), ..call("other", 2_000) };
    assert!(is_granted(&ask(&store, Query::Open(other)).await), "another account");
    assert_eq!(alarms(&store, "other").await, []);
    assert_eq!(to(&store, "+14155550101", 2_000).await, Answer::Refused(Refused::NoRate), "another range");
    let records = store.records(Some("shop".into()), 2_000).await.expect("read");
    let refused = records.iter().filter(|record| (record.code, record.cause.as_str()) == (403, "range rate"));
    assert_eq!(refused.count(), 975, "each has its record");

    drop(store);
    let store = Store::open(&folder.0, few()).expect("it opens again");
    assert_eq!(to(&store, "+46701234567", 3_000).await, Answer::Refused(Refused::RangeRate), "a restart forgets nothing");
    assert_eq!(alarms(&store, "shop").await.len(), 1);
    // The calls were made in the first second: one second after that hour they no longer count.
    assert_eq!(all_at_once(&store, HOUR + 1_000..HOUR + 2_000, Refused::RangeRate).await, (25, 975));
    assert_eq!(alarms(&store, "shop").await.len(), 2);
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

#[tokio::test]
async fn new_calls_in_a_minute_are_counted_in_any_minute() {
    let folder = Folder::new();
    let store = shop(&folder, Rules { calls_per_minute: 3, ..rules() }, 1_000_000_000).await;
    for (at, granted) in [
        (0, true),
        (20_000, true),
        (40_000, true),
        (59_999, false),
        (60_000, true),
        (61_000, false),
        (79_999, false),
        (80_000, true),
        (100_000, true),
    ] {
        let answer = to(&store, "+46701234567", at).await;
        assert!(is_granted(&answer) == granted && (granted || answer == Answer::Refused(Refused::CallRate)), "{at}: {answer:?}");
    }
    let told: Vec<_> = alarms(&store, "shop").await;
    assert_eq!(told, [(119_999, "call rate".into(), String::new(), 3)], "one in a minute");
    assert_eq!(to(&store, "+46701234567", 119_999).await, Answer::Refused(Refused::CallRate));
    assert_eq!(alarms(&store, "shop").await.len(), 2, "and another in the next");
}

#[tokio::test]
async fn a_range_is_the_prefix_of_its_rate_or_a_country() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000_000).await;
    let rates = store.rates(None).await.expect("read");
    let dear = |prefix: &str| offhook_gateway::store::Rate { prefix: prefix.into(), ..rates[0].clone() };
    store.set_rates(vec![dear("4670"), dear("")]).await.expect("set");
    store.set_limits("shop".into(), Limits { range_calls_per_hour: Some(1), ..Limits::default() }).await.expect("set");
    for (number, granted) in [
        ("+46701234567", true),
        ("+46701111111", false),
        ("+4681234567", true),
        ("+46311234567", false),
        ("+14155550101", true),
        ("+12125550101", false),
    ] {
        assert_eq!(is_granted(&to(&store, number, 0).await), granted, "{number}");
    }
    let ranges: Vec<_> = alarms(&store, "shop").await.into_iter().map(|(_, _, range, _)| range).collect();
    assert_eq!(ranges, ["4670", "46", "1"]);
}

#[tokio::test]
async fn what_was_spent_today_is_known_after_a_restart() {
    let folder = Folder::new();
    let small = || Rules { spend_per_day: 60_000, ..rules() };
    let store = shop(&folder, small(), 1_000_000_000).await;
    assert!(is_granted(&ask(&store, Query::Open(call("a", 0))).await));
    connect(&store, "a", 0).await;
    close(&store, "a", 60_000, "completed", 200).await;
    store.settled().await.expect("written");
    for at in [70_000, 80_000] {
        assert_eq!(to(&store, "+46701234567", at).await, Answer::Refused(Refused::SpendCap));
    }
    drop(store);
    let store = Store::open(&folder.0, small()).expect("it opens again");
    assert_eq!(to(&store, "+46701234567", 90_000).await, Answer::Refused(Refused::SpendCap));
    let midnight = 86_400_000 - instant(0).millis() % 86_400_000;
    assert_eq!(alarms(&store, "shop").await, [(midnight, "spend cap".into(), String::new(), 60_000)]);
    assert!(is_granted(&to(&store, "+46701234567", midnight).await), "the next day");
}
