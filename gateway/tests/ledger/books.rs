//! Calls that are opened, extended and closed, one after another and all at once.

use std::time::Duration;

use offhook_gateway::store::{AssignedNumber, Limits, Rate, StoreError};
use offhook_ledger::{Answer, CallRef, Grant, Kind, NewCall, Query, Refused, Rules, ShownBy, Tariff};
use tokio::task::JoinSet;

use crate::support::{Folder, application, ask, call, close, connect, extend, instant, is_granted, rules, shop};

#[tokio::test]
async fn a_call_costs_its_time_and_gives_the_rest_back() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000).await;
    let granted = ask(&store, Query::Open(call("a", 0))).await;
    assert_eq!(granted, Answer::Granted(Grant { paid: Some(Duration::from_secs(60)), more: true, caller_id: None }));
    let account = store.account_view("shop".into()).await.expect("read");
    assert_eq!((account.credit, account.reserved, account.running), (940_000, 60_000, 1));
    connect(&store, "a", 5_000).await;
    assert_eq!(extend(&store, "a", 50_000).await, Answer::Extended { paid: Some(Duration::from_secs(120)), more: true });
    close(&store, "a", 5_000 + 62_001, "completed", 200).await;
    close(&store, "a", 999_000, "completed", 200).await;
    let account = store.account_view("shop".into()).await.expect("read");
    assert_eq!((account.credit, account.reserved, account.running), (934_000, 0, 0), "66 seconds at a thousandth each");
    let record = store.record("shop".into(), "a@page".into()).await.expect("read").expect("a record");
    assert_eq!((record.billed, record.charge, record.cause.as_str(), record.code), (66, 66_000, "completed", 200));
    assert_eq!(
        (record.duration(instant(0)), record.trunk.as_str(), record.to.as_str()),
        (Duration::from_millis(62_001), "provider", "+46701234567")
    );
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

#[tokio::test]
async fn a_call_that_is_not_answered_costs_nothing() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000).await;
    assert!(is_granted(&ask(&store, Query::Open(call("a", 0))).await));
    close(&store, "a", 45_000, "unanswered", 480).await;
    let account = store.account_view("shop".into()).await.expect("read");
    assert_eq!((account.credit, account.reserved, account.running), (1_000_000, 0, 0));
    let record = store.record("shop".into(), "a".into()).await.expect("read").expect("a record");
    assert_eq!((record.charge, record.code, record.answered), (0, 480, None));
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

#[tokio::test]
async fn a_refused_call_has_its_reason_and_is_recorded() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 29_999).await;
    for (name, to, refused) in [
        ("credit", "+46701234567", Refused::NoCredit),
        ("rate", "+14155550101", Refused::NoRate),
        ("country", "+442079460123", Refused::Destination),
        ("range", "+18765550101", Refused::Destination),
        ("premium", "+46900123456", Refused::Destination),
        ("number", "0046701234567", Refused::Number),
        ("context", "701234567;phone-context=+46", Refused::Number),
    ] {
        let answer = ask(&store, Query::Open(NewCall { to: to.into(), ..call(name, 0) })).await;
        assert_eq!(answer, Answer::Refused(refused), "{to}");
        let record = store.record("shop".into(), name.into()).await.expect("read").expect("a record");
        assert_eq!((record.code, record.charge, record.ended), (refused.status().as_u16(), 0, Some(instant(0))));
    }
    let unknown = NewCall { application: "nobody".into(), ..call("unknown", 0) };
    assert_eq!(ask(&store, Query::Open(unknown)).await, Answer::Refused(Refused::Store));
    assert_eq!(store.account_view("shop".into()).await.expect("read").running, 0);
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

#[tokio::test]
async fn calls_that_cost_nothing_need_no_credit() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 0).await;
    for (name, kind) in [("sip", Kind::Sip), ("test", Kind::Test), ("in", Kind::Incoming)] {
        let answer = ask(&store, Query::Open(NewCall { kind, to: "bob@example.com".into(), ..call(name, 0) })).await;
        assert_eq!(answer, Answer::Granted(Grant { paid: None, more: true, caller_id: None }), "{name}");
        connect(&store, name, 1_000).await;
    }
    assert_eq!(store.account_view("shop".into()).await.expect("read").running, 2, "a test is none");
    for name in ["sip", "test", "in"] {
        close(&store, name, 3_600_000, "completed", 200).await;
    }
    let audit = store.audit().await.expect("added up");
    assert_eq!((audit.wrong, audit.revenue, audit.open), (vec![], 0, 0));
}

/// The call ends at the paid second, and continues after a top-up.
#[tokio::test]
async fn credit_runs_out_in_a_call_and_comes_back() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 75_000).await;
    assert_eq!(
        ask(&store, Query::Open(call("a", 0))).await,
        Answer::Granted(Grant { paid: Some(Duration::from_secs(60)), more: true, caller_id: None })
    );
    connect(&store, "a", 0).await;
    assert_eq!(extend(&store, "a", 45_000).await, Answer::Extended { paid: Some(Duration::from_secs(72)), more: false });
    assert_eq!(extend(&store, "a", 57_000).await, Answer::Extended { paid: Some(Duration::from_secs(72)), more: false });
    store.top_up("shop".into(), 50_000, Some("card 1".into())).await.expect("topped up");
    assert_eq!(extend(&store, "a", 71_000).await, Answer::Extended { paid: Some(Duration::from_secs(120)), more: false });
    // The hang-up is late by some milliseconds, which are not charged.
    close(&store, "a", 120_025, "no credit", 402).await;
    let account = store.account_view("shop".into()).await.expect("read");
    assert_eq!((account.credit, account.reserved), (5_000, 0));
    assert_eq!(store.record("shop".into(), "a".into()).await.expect("read").expect("a record").billed, 120);
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

/// Reservations of concurrent calls never exceed the credit.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_calls_at_once_with_credit_for_twenty_are_exactly_twenty() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 20 * 60_000).await;
    let mut calls = JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        calls.spawn(async move { ask(&store, Query::Open(call(&n.to_string(), n))).await });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| is_granted(answer)).count(), 20);
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Refused(Refused::NoCredit)).count(), 180);
    let account = store.account_view("shop".into()).await.expect("read");
    assert_eq!((account.credit, account.reserved, account.running), (0, 20 * 60_000, 20));
    assert_eq!(store.records(None, 1_000).await.expect("read").len(), 200, "each has its record");
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

/// The limit of concurrent calls holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_at_once_with_a_cap_of_ten_are_never_eleven() {
    let folder = Folder::new();
    let store = shop(&folder, Rules { calls: 10, ..rules() }, 1_000_000_000).await;
    let mut calls = JoinSet::new();
    for n in 0..1_000 {
        let store = store.clone();
        calls.spawn(async move {
            let name = n.to_string();
            let answer = ask(&store, Query::Open(call(&name, n))).await;
            let running = store.account_view("shop".into()).await.expect("read").running;
            assert!(running <= 10, "{running} at once");
            if is_granted(&answer) {
                connect(&store, &name, n).await;
                close(&store, &name, n + 10_000, "completed", 200).await;
            }
            is_granted(&answer)
        });
    }
    let granted = calls.join_all().await.into_iter().filter(|granted| *granted).count();
    assert!(granted >= 10, "{granted}");
    let audit = store.audit().await.expect("added up");
    assert_eq!((audit.wrong, audit.open), (vec![], 0));
    assert_eq!(audit.revenue, 30_000 * i64::try_from(granted).expect("few"));
}

/// The limit is met exactly, and other accounts are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn the_daily_limit_is_never_exceeded() {
    let folder = Folder::new();
    let store = shop(&folder, Rules { spend_per_day: 100_000_000, ..rules() }, 1_000_000_000).await;
    store.set_limits("shop".into(), Limits { spend_per_day: Some(12 * 60_000), ..Limits::default() }).await.expect("set");
    let mut calls = JoinSet::new();
    for n in 0..1_000 {
        let store = store.clone();
        calls.spawn(async move {
            let (name, answer) = (n.to_string(), ask(&store, Query::Open(call(&n.to_string(), n))).await);
            if is_granted(&answer) {
                connect(&store, &name, n).await;
                close(&store, &name, n + 60_000, "completed", 200).await;
            }
            answer
        });
    }
    let answers = calls.join_all().await;
    assert_eq!(answers.iter().filter(|answer| is_granted(answer)).count(), 12);
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Refused(Refused::SpendCap)).count(), 988);
    store.add_application(application("other")).await.expect("added");
    store.top_up("other".into(), 60_000, None).await.expect("topped up");
    assert!(is_granted(&ask(&store, Query::Open(NewCall { application: "other".into(), ..call("other", 2_000) })).await));
    assert!(is_granted(&ask(&store, Query::Open(call("tomorrow", 86_400_000))).await), "the next day");
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

#[tokio::test]
async fn a_top_up_counts_once() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 0).await;
    for _ in 0..3 {
        let account = store.top_up("shop".into(), 5_000_000, Some("order 1".into())).await.expect("topped up");
        assert_eq!(account.credit, 5_000_000);
    }
    let other = store.top_up("shop".into(), 6_000_000, Some("order 1".into())).await;
    assert!(matches!(other, Err(StoreError::Reused)), "{other:?}");
    assert!(matches!(store.top_up("shop".into(), -5_000_001, None).await, Err(StoreError::TooLittle)));
    assert!(matches!(store.top_up("shop".into(), 0, None).await, Err(StoreError::Amount(_))));
    assert!(matches!(store.top_up("shop".into(), i64::MAX, None).await, Err(StoreError::Amount(_))));
    assert!(matches!(store.top_up("shop".into(), i64::MIN, None).await, Err(StoreError::TooLittle)));
    assert!(matches!(store.top_up("nobody".into(), 1, None).await, Err(StoreError::NoApplication)));
    assert_eq!(store.top_up("shop".into(), -1_000_000, None).await.expect("taken back").credit, 4_000_000);
    let history = store.history("shop".into(), None, 10).await.expect("read");
    let rows: Vec<_> = history.iter().map(|row| (row.source.as_str(), row.amount, row.credit)).collect();
    assert_eq!(rows, [("credit", 1_000_000, 4_000_000), ("top-up", 5_000_000, 5_000_000)]);
    assert_eq!(store.audit().await.expect("added up").topped_up, 4_000_000);
}

#[tokio::test]
async fn the_longest_prefix_gives_the_rate() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000_000).await;
    let rate = |application: &str, prefix: &str, per_minute| Rate {
        application: application.into(),
        prefix: prefix.into(),
        tariff: Tariff { per_minute, minimum: 60, increment: 60, fee: 0 },
    };
    let rates = vec![rate("", "467", 70_000), rate("", "4670", 71_000), rate("shop", "467", 5_000), rate("", "", 900_000)];
    store.set_rates(rates).await.expect("set");
    for (name, to, price) in
        [("a", "+46701234567", 71_000), ("b", "+46731234567", 5_000), ("c", "+4681234567", 60_000), ("d", "+14155550101", 900_000)]
    {
        assert!(is_granted(&ask(&store, Query::Open(NewCall { to: to.into(), ..call(name, 0) })).await));
        let record = store.record("shop".into(), name.into()).await.expect("read").expect("a record");
        assert_eq!(record.reservation.reserved, price, "{to}");
    }
    store.set_rates(vec![rate("", "4670", 1)]).await.expect("set");
    connect(&store, "a", 0).await;
    close(&store, "a", 60_000, "completed", 200).await;
    let record = store.record("shop".into(), "a".into()).await.expect("read").expect("a record");
    assert_eq!(record.charge, 71_000, "a call keeps the rate that it began with");
}

#[tokio::test]
async fn only_numbers_of_the_account_are_shown() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000_000).await;
    store.add_application(application("other")).await.expect("added");
    let number = |number: &str, application: &str, user: Option<&str>, shown_by| AssignedNumber {
        number: number.into(),
        application: application.into(),
        user: user.map(str::to_owned),
        shown_by,
    };
    let shown = async |name: &str, user: &str| match ask(&store, Query::Open(NewCall { user: user.into(), ..call(name, 0) })).await
    {
        Answer::Granted(grant) => grant.caller_id,
        other => panic!("{other:?}"),
    };
    store.assign_numbers(vec![number("+46811111111", "other", None, ShownBy::Application)]).await.expect("assigned");
    assert_eq!(shown("1", "alice").await, None);
    store.assign_numbers(vec![number("+46822222222", "shop", Some("desk"), ShownBy::Application)]).await.expect("assigned");
    store.assign_numbers(vec![number("+46833333333", "shop", Some("alice"), ShownBy::User)]).await.expect("assigned");
    store.assign_numbers(vec![number("+46800000000", "shop", Some("alice"), ShownBy::Nobody)]).await.expect("assigned");
    assert_eq!(shown("2", "alice").await.as_deref(), Some("+46833333333"));
    assert_eq!(shown("3", "bob").await.as_deref(), Some("+46822222222"));
    let taken = store.assign_numbers(vec![number("+46822222222", "other", None, ShownBy::Nobody)]).await;
    assert!(matches!(taken, Err(StoreError::Taken)), "{taken:?}");
    let foreign = store.ring("other".into(), vec!["+46811111111".into(), "+46822222222".into()], Some("eve".into())).await;
    assert!(matches!(foreign, Err(StoreError::NoNumber)), "{foreign:?}");
    for (called, rings) in [
        ("+46822222222", Some(("shop", "desk"))),
        ("46833333333", Some(("shop", "alice"))),
        ("+46811111111", None),
        ("+46899999999", None),
    ] {
        let (found, mapped) = tokio::sync::oneshot::channel();
        store.map_numbers(vec![called.into()], |mapping| drop(found.send(mapping.expect("read")))).await;
        let expected = rings.map(|(application, user)| (application.to_owned(), user.to_owned()));
        assert_eq!(mapped.await.expect("an answer"), expected, "{called}");
    }
    let both = vec!["+46833333333".into(), "+46811111111".into()];
    let foreign = store.remove_numbers("shop".into(), both).await;
    assert!(matches!(foreign, Err(StoreError::NoNumber)), "{foreign:?}");
    assert_eq!(store.numbers(Some("shop".into())).await.expect("read").len(), 3, "none is gone");
    store.remove_numbers("shop".into(), vec!["+46822222222".into()]).await.expect("removed");
}

#[tokio::test]
async fn calls_that_a_dead_process_left_open_are_settled_by_what_is_known() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000).await;
    for name in ["rings", "talks", "long"] {
        assert!(is_granted(&ask(&store, Query::Open(call(name, 0))).await));
    }
    connect(&store, "talks", 10_000).await;
    connect(&store, "long", 0).await;
    store.settled().await.expect("written");
    // The last known activity was in second 50; `long` had its minute paid, and the hour after that left no trace.
    extend(&store, "talks", 50_000).await;
    drop(store);
    let store = reopened(&folder);
    let recovered = store.serve().await.expect("recovered");
    assert_eq!((recovered.calls, recovered.charged), (3, 42_000 + 54_000));
    assert_eq!(store.serve().await.expect("nothing left").calls, 0);
    let audit = store.audit().await.expect("added up");
    assert_eq!((audit.wrong, audit.open, audit.reserved), (vec![], 0, 0));
    assert!(!is_granted(&ask(&store, Query::Open(call("rings", 99_000))).await), "a name is never used twice");
    assert_eq!(extend(&store, "talks", 99_000).await, Answer::Refused(Refused::Store));
}

#[tokio::test]
async fn calls_of_a_process_that_lives_are_left_to_it() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000).await;
    store.serve().await.expect("alone");
    assert!(is_granted(&ask(&store, Query::Open(call("a", 0))).await));
    let second = reopened(&folder);
    assert_eq!(second.serve().await.expect("not alone").calls, 0);
    assert_eq!(second.audit().await.expect("added up").open, 1);
}

#[tokio::test]
async fn caller_and_callee_are_removed_from_old_records_and_charges_are_kept() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000).await;
    for (name, at) in [("old", 0), ("new", 10_000_000)] {
        assert!(is_granted(&ask(&store, Query::Open(call(name, at))).await));
        connect(&store, name, at).await;
        close(&store, name, at + 1_000, "completed", 200).await;
    }
    assert!(is_granted(&ask(&store, Query::Open(call("running", 0))).await));
    assert_eq!(store.forget(instant(5_000_000)).await.expect("forgotten"), 1);
    assert_eq!(store.forget(instant(5_000_000)).await.expect("nothing left"), 0);
    let old = store.record("shop".into(), "old".into()).await.expect("read").expect("there");
    assert_eq!((old.to.as_str(), old.from.as_str(), old.user.as_str(), old.call_id.as_str(), old.charge), ("", "", "", "", 30_000));
    for name in ["new", "running"] {
        assert_eq!(store.record("shop".into(), name.into()).await.expect("read").expect("there").to, "+46701234567");
    }
    assert_eq!(store.audit().await.expect("added up").wrong, [""; 0]);
}

#[tokio::test]
async fn amounts_of_one_currency_are_not_read_as_another() {
    let folder = Folder::new();
    drop(shop(&folder, rules(), 1_000_000).await);
    let kroner = Rules { currency: "SEK".into(), ..rules() };
    let error = offhook_gateway::store::Store::open(&folder.0, kroner).err().expect("refused");
    assert!(matches!(error, StoreError::Currency(..)), "{error}");
}

fn reopened(folder: &Folder) -> offhook_gateway::store::Store {
    offhook_gateway::store::Store::open(&folder.0, rules()).expect("an existing store")
}

#[tokio::test]
async fn an_unknown_call_is_ignored() {
    let folder = Folder::new();
    let store = shop(&folder, rules(), 1_000_000).await;
    connect(&store, "nobody", 0).await;
    close(&store, "nobody", 0, "completed", 200).await;
    let extended = ask(&store, Query::Extend { call: CallRef("nobody".into()), at: instant(0) }).await;
    assert_eq!(extended, Answer::Refused(Refused::Store));
    assert!(store.record("shop".into(), "nobody".into()).await.expect("read").is_none());
}
