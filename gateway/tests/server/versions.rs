//! Databases of all earlier versions (`versions/N.sql`), which the gateway has to take over. That of the current version is made here by commands
//! and calls, as operators and users make them: `BLESS=1` writes it after the tables have changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use offhook_access::secret::Secret;
use offhook_gateway::store::{Application, LOOPBACK, Store};
use offhook_ledger::{Openings, Rules};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::calls::Phone;
use crate::money::{call, now};
use crate::secrets::feed;
use crate::support::{Folder, Gateway, run};

const SECRET: &[u8] = b"what the back end of shop has had";
const CONFIG: &str = "[phone]\nallow = [\"46\"]\n";

#[tokio::test]
async fn a_database_of_every_version_is_taken_over() {
    let versions: Vec<PathBuf> =
        std::fs::read_dir(kept()).expect("they are there").map(|entry| entry.expect("readable").path()).collect();
    assert!(!versions.is_empty());
    for version in versions {
        let sql = std::fs::read_to_string(&version).expect("text");
        goes_on(restored(&sql)).await;
    }
}

#[tokio::test]
async fn a_database_of_this_version_is_kept() {
    let made = made().await;
    let database = Connection::open(made.0.join("offhook.sqlite")).expect("a database");
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    let file = kept().join(format!("{version}.sql"));
    if std::env::var_os("BLESS").is_some() && !file.exists() {
        std::fs::write(&file, dump(&database, &made.0)).expect("written");
    }
    let kept = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{error}: no database of version {version} is kept, BLESS=1 does it: {}", file.display()));
    let kept = restored(&kept);
    let kept = Connection::open(kept.0.join("offhook.sqlite")).expect("a database");
    assert_eq!(tables(&kept), tables(&database), "version {version} has other tables: what users have needs a version of its own");
    drop(database);
    goes_on(made).await;
}

/// Asserts that `shop` has its users, secrets, credit, rates, numbers and calls; the accounts are right, and the call that ran when the gateway
/// was stopped has ended.
async fn goes_on(data: Folder) {
    let gateway = Gateway::over(data, CONFIG);
    for (user, password, status) in [("alice", "wonderland", 200), ("bob", "looking glass", 200), ("bob", "before", 407)] {
        let answer = Phone::of(&gateway, "shop", user).await.register_with_password(password).await;
        assert!(answer == status || status != 200 && answer != 200, "{user}: {answer}");
    }
    let ticket = offhook_access::ticket::ticket("shop", SECRET, "alice", now(), 600);
    assert_eq!(Phone::of(&gateway, "shop", "alice").await.register(Some(&format!("Bearer {ticket}"))).await.0, 200);
    let data = gateway.kill();
    let says = |arguments: &[&str]| {
        let output = run(&data.0, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(says(&["credit", "check"]).contains("open calls 0"));
    assert!(says(&["credit", "show", "shop"]).contains("calls 0 of 7"), "{}", says(&["credit", "show", "shop"]));
    assert!(says(&["rate", "list"]).contains("46"));
    assert!(says(&["number", "list", "shop"]).contains("+46811111111"));
    assert_eq!(says(&["credit", "alarms", "shop"]).lines().count(), 1);
    let calls = says(&["cdr", "list", "shop"]);
    assert_eq!(calls.lines().count(), 3, "{calls}");
    assert!(calls.contains("callee hung up") && calls.contains("0.036"), "{calls}");
}

/// Returns a data folder that has been in use.
async fn made() -> Folder {
    let data = Folder::new();
    let rules = Rules { openings: Openings::new(&["46"]).expect("Sweden"), ..Rules::default() };
    let store = Store::open(&data.0, rules).expect("a fresh store");
    let shop = Application {
        key: "shop".into(),
        secret: Secret::shared(SECRET.to_vec()),
        origins: vec![LOOPBACK.to_owned()],
        allow_new_users: false,
        loopback_only: true,
    };
    store.add_application(shop).await.expect("added");
    for (user, password) in [("alice", "wonderland"), ("bob", "before"), ("bob", "looking glass")] {
        assert!(feed(&data.0, &["user", "add", "shop", user], password).status.success(), "{user}");
    }
    for arguments in [
        &["credit", "add", "shop", "10", "--reference", "invoice 1"][..],
        &["credit", "limit", "shop", "--calls", "7", "--per-minute", "2"],
        &["rate", "set", "46", "0.06", "--minimum", "30", "--increment", "6"],
        &["number", "add", "shop", "+46811111111", "--user", "alice"],
    ] {
        let output = run(&data.0, arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    for (name, granted) in [("done", true), ("runs", true), ("too many", false)] {
        assert_eq!(call(&store, "shop", name, name == "done").await, granted, "{name}");
    }
    store.settled().await.expect("written");
    data
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/versions")
}

/// Returns all of a database as SQL, after a line with the key that its secrets are sealed under.
fn dump(database: &Connection, folder: &Path) -> String {
    let key = std::fs::read_to_string(folder.join("seal-key")).expect("made with the database");
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    let mut sql = format!("-- seal-key: {}\n", key.trim());
    let of = |kinds: &str| list(database, &format!("SELECT sql FROM sqlite_schema WHERE sql NOT NULL AND {kinds} ORDER BY rowid"));
    for table in of("type = 'table' AND name NOT LIKE 'sqlite_%'") {
        writeln!(sql, "{table};").expect("a string grows");
    }
    for table in list(
        database,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name = 'application' DESC, rowid",
    ) {
        rows(database, &table, &mut sql);
    }
    for rest in of("type IN ('index', 'trigger')") {
        writeln!(sql, "{rest};").expect("a string grows");
    }
    writeln!(sql, "PRAGMA user_version = {version};").expect("a string grows");
    sql
}

fn rows(database: &Connection, table: &str, sql: &mut String) {
    let mut statement = database.prepare(&format!("SELECT * FROM {table}")).expect("a table");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("a query");
    while let Some(row) = rows.next().expect("a row") {
        let values: Vec<String> = (0..columns).map(|column| literal(row.get_ref(column).expect("a value"))).collect();
        writeln!(sql, "INSERT INTO {table} VALUES ({});", values.join(", ")).expect("a string grows");
    }
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''")),
        ValueRef::Blob(octets) => format!("x'{}'", octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>()),
    }
}

/// Returns the folder that [`dump`] was made of.
fn restored(sql: &str) -> Folder {
    let data = Folder::new();
    let key = sql.lines().next().and_then(|line| line.strip_prefix("-- seal-key: ")).expect("its first line has the key");
    data.write("seal-key", key);
    let database = Connection::open(data.0.join("offhook.sqlite")).expect("a database");
    database.execute_batch(sql).expect("SQL");
    data
}

/// Returns the definition of each table, index and trigger, in order.
fn tables(database: &Connection) -> Vec<String> {
    list(database, "SELECT name || ': ' || sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name")
}

fn list(database: &Connection, query: &str) -> Vec<String> {
    let mut statement = database.prepare(query).expect("a query");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("text")).collect()
}
