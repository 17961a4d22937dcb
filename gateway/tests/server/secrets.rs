//! Secrets of applications and users: each has one use, and the files of the database reveal none.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use offhook_access::signature::Signed;
use offhook_access::ticket::{iso, ticket};
use offhook_sip::text::hex;
use rusqlite::Connection;
use serde_json::json;
use sha2::Sha256;

use super::calls::Phone;
use super::money::now;
use super::support::{Folder, Gateway, program, run};

/// The secret of `shop` in version3.sql.
const OLD_SECRET: &[u8] = b"a secret of the third version, in clear";

/// The output of `application add` or `application keys`.
struct Keys(String);

impl Keys {
    /// Adds `shop`, whose pages are on this machine.
    fn add(data: &Path, more: &[&str]) -> Self {
        Self::read(&run(data, &[&["application", "add", "shop", "--loopback"], more].concat()))
    }

    fn of_shop(data: &Path) -> Self {
        Self::read(&run(data, &["application", "keys", "shop"]))
    }

    fn read(output: &Output) -> Self {
        assert!(output.status.success(), "{output:?}");
        Self(String::from_utf8(output.stdout.clone()).expect("text"))
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let text = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(STANDARD.decode(text).expect("base64"))
    }

    fn all(&self) -> Vec<Vec<u8>> {
        let values = self.0.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| *name != "key");
        values.map(|(_, text)| STANDARD.decode(text).expect("base64")).collect()
    }
}

/// Returns whether bob may sign in, and the results of the REST API, when everything is signed with `key`: ticket, JWT, signature,
/// password.
async fn what_it_opens(gateway: &Gateway, key: &[u8]) -> [bool; 4] {
    let (ticket, jwt) = (ticket("shop", key, "bob", now(), 60), jwt(key, "bob"));
    let mut opens = [false; 4];
    for (i, proof) in [ticket, jwt].iter().enumerate() {
        opens[i] = Phone::of(gateway, "shop", "bob").await.register(Some(&format!("Bearer {proof}"))).await.0 == 200;
    }
    let timestamp = iso(now());
    let signed = Signed { method: "GET", path: "/v1/account", content_type: "", timestamp: &timestamp, body: b"" }.sign(key);
    let password = STANDARD.encode(format!("shop:{}", STANDARD.encode(key)));
    let signature = format!("x-timestamp: {timestamp}\r\nAuthorization: application shop:{signed}\r\n");
    for (i, head) in [signature, format!("Authorization: Basic {password}\r\n")].iter().enumerate() {
        let request = format!("GET /v1/account HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n");
        opens[2 + i] = gateway.send(&request).await.status == 200;
    }
    opens
}

fn jwt(key: &[u8], user: &str) -> String {
    let seconds = now().millis() / 1000;
    let day = iso(now())[..10].replace('-', "");
    let base = "//rtc.sinch.com/applications/shop";
    let claims = json!({ "iss": base, "sub": format!("{base}/users/{user}"), "iat": seconds, "exp": seconds + 600, "nonce": "1" });
    let header = json!({ "alg": "HS256", "kid": format!("hkdfv1-{day}") });
    let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = URL_SAFE_NO_PAD.encode(mac(&mac(key, day.as_bytes()), signed.as_bytes()));
    [signed, signature].join(".")
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut hash = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    hash.update(data);
    hash.finalize().into_bytes().to_vec()
}

const TICKET: [bool; 4] = [true, false, false, false];
const JWT: [bool; 4] = [false, true, false, false];
const REST: [bool; 4] = [false, false, true, true];
const ALL: [bool; 4] = [true; 4];
const NOTHING: [bool; 4] = [false; 4];

#[tokio::test]
async fn each_secret_has_one_use() {
    let data = Folder::new();
    let keys = Keys::add(&data.0, &[]);
    assert_eq!(Keys::of_shop(&data.0).0, keys.0, "they are printed again");
    let gateway = Gateway::over(data, "");
    for (name, good_for) in [("ticket-secret", TICKET), ("jwt-secret", JWT), ("rest-secret", REST)] {
        let key = keys.get(name).unwrap_or_else(|| panic!("no {name}: {}", keys.0));
        assert_eq!(what_it_opens(&gateway, &key).await, good_for, "{name}");
    }
    assert_eq!(keys.all().len(), 3, "nothing else is printed: {}", keys.0);
}

#[tokio::test]
async fn a_configured_secret_signs_everything_until_it_is_separated() {
    let data = Folder::new();
    let given = STANDARD.encode(OLD_SECRET);
    let added = feed(&data.0, &["application", "add", "shop", "--loopback", "--secret-stdin"], &given);
    assert_eq!(Keys::read(&added).get("secret").as_deref(), Some(OLD_SECRET));
    moves_on(data).await;
}

#[tokio::test]
async fn secrets_can_be_renewed() {
    let data = Folder::new();
    let before = Keys::add(&data.0, &[]);
    let after = Keys::read(&run(&data.0, &["application", "renew", "shop"]));
    assert_eq!(Keys::of_shop(&data.0).0, after.0);
    assert!(!run(&data.0, &["application", "renew", "none"]).status.success());
    let gateway = Gateway::over(data, "");
    for (name, good_for) in [("ticket-secret", TICKET), ("jwt-secret", JWT), ("rest-secret", REST)] {
        assert_eq!(what_it_opens(&gateway, &before.get(name).expect("printed")).await, [false; 4], "{name} of before");
        assert_eq!(what_it_opens(&gateway, &after.get(name).expect("printed")).await, good_for, "{name}");
    }
}

#[tokio::test]
async fn an_application_of_an_earlier_version_goes_on() {
    let gateway = Gateway::over(old(), "");
    for (user, password) in [("alice", "wonderland"), ("bob", "wonderland")] {
        assert_eq!(Phone::of(&gateway, "shop", user).await.register_with_password(password).await, 200, "{user}");
    }
    assert_ne!(Phone::of(&gateway, "shop", "bob").await.register_with_password("looking glass").await, 200);
    assert!(gateway.log().contains("application separate"), "new users and tickets together are said: {}", gateway.log());
    let data = gateway.kill();
    let account = run(&data.0, &["credit", "show", "shop"]);
    assert!(String::from_utf8_lossy(&account.stdout).starts_with("credit 10.00 USD"), "{account:?}");
    assert_eq!(Keys::of_shop(&data.0).get("ticket-secret"), None, "its pages make users, so no back end gets to know that secret");
    let gateway = Gateway::over(data, "");
    assert_eq!(what_it_opens(&gateway, OLD_SECRET).await, ALL);
    let data = gateway.kill();
    assert!(run(&data.0, &["application", "separate", "shop"]).status.success());
    assert_eq!(what_it_opens(&Gateway::over(data, ""), OLD_SECRET).await, NOTHING);
}

/// At first both kinds of secrets are valid, so that back ends can be changed one after the other; then only the new ones.
async fn moves_on(data: Folder) {
    let keys = Keys::of_shop(&data.0);
    let new = [("ticket-secret", TICKET), ("jwt-secret", JWT), ("rest-secret", REST)];
    let gateway = Gateway::over(data, "");
    assert_eq!(what_it_opens(&gateway, OLD_SECRET).await, ALL);
    for (name, good_for) in new {
        assert_eq!(what_it_opens(&gateway, &keys.get(name).expect("printed")).await, good_for, "{name}");
    }
    let data = gateway.kill();
    assert!(run(&data.0, &["application", "separate", "shop"]).status.success());
    assert_eq!(Keys::of_shop(&data.0).get("secret"), None);
    assert!(!run(&data.0, &["application", "separate", "other"]).status.success());
    let gateway = Gateway::over(data, "");
    assert_eq!(what_it_opens(&gateway, OLD_SECRET).await, NOTHING);
    for (name, good_for) in new {
        assert_eq!(what_it_opens(&gateway, &keys.get(name).expect("printed")).await, good_for, "{name}");
    }
}

/// A user who takes a name by newUser would share it with the owner of the first ticket for it, so tickets are not accepted there.
#[tokio::test]
async fn tickets_of_a_back_end_are_rejected_where_pages_create_users() {
    let data = Folder::new();
    let given = feed(&data.0, &["application", "add", "shop", "--allow-new-users", "--secret-stdin"], &STANDARD.encode(OLD_SECRET));
    assert!(!given.status.success() && String::from_utf8_lossy(&given.stderr).contains("--allow-new-users"), "{given:?}");
    let keys = Keys::add(&data.0, &["--allow-new-users"]);
    let gateway = Gateway::over(data, "");
    for key in keys.all() {
        assert_eq!(what_it_opens(&gateway, &key).await, REST, "{}", keys.0);
    }
    let made = gateway.post_json("/users?key=shop", r#"{"username":"alice","password":"wonderland"}"#).await;
    let ticket = made.json()["authorization"].as_str().expect("a ticket").to_owned();
    assert_eq!(Phone::of(&gateway, "shop", "alice").await.register(Some(&format!("Bearer {ticket}"))).await.0, 200);
}

#[tokio::test]
async fn the_files_of_the_database_reveal_no_secret() {
    let data = Folder::new();
    let mut canaries = Keys::add(&data.0, &[]).all();
    canaries
        .extend(Keys::read(&feed(&data.0, &["application", "add", "own", "--secret-stdin"], &STANDARD.encode(OLD_SECRET))).all());
    assert!(feed(&data.0, &["user", "add", "shop", "alice"], "wonderland").status.success());
    canaries.extend(hashes("alice", "wonderland"));
    let gateway = Gateway::over(data, "");
    assert_eq!(Phone::of(&gateway, "shop", "alice").await.register_with_password("wonderland").await, 200);
    nothing_of(&canaries, &gateway.data.0);
    nothing_of(&canaries, &gateway.kill().0);
}

#[tokio::test]
async fn plain_text_secrets_of_an_earlier_version_are_removed() {
    let data = old();
    let canaries: Vec<Vec<u8>> =
        [vec![OLD_SECRET.to_vec()], hashes("alice", "wonderland"), hashes("bob", "wonderland"), hashes("bob", "looking glass")]
            .concat();
    for canary in &canaries {
        assert!(files(&data.0).iter().any(|(_, octets)| contains(octets, canary)), "the test would see it: {canary:?}");
    }
    let gateway = Gateway::over(data, "");
    nothing_of(&canaries, &gateway.data.0);
    nothing_of(&canaries, &gateway.kill().0);
}

#[tokio::test]
async fn a_lost_or_wrong_key_is_reported_and_changes_nothing() {
    let data = Folder::new();
    let keys = Keys::add(&data.0, &[]);
    let place = data.0.join("seal-key");
    let key = std::fs::read_to_string(&place).expect("made with the database");
    std::fs::remove_file(&place).expect("there");
    for (variable, said) in [(None, "missing"), (Some("c2hvcnQ="), "no key"), (Some(OTHER_KEY), "not the key")] {
        for arguments in [&["application", "list"][..], &["application", "add", "other"], &[]] {
            let mut command = program(&data.0);
            variable.map(|value| command.env("OFFHOOK_SEAL_KEY", value));
            let refused = command.args(arguments).output().expect("the program can be started");
            let error = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && error.contains(said), "{said}: {refused:?}");
        }
        assert!(!place.exists(), "no other key is made: {said}");
    }
    std::fs::write(&place, OTHER_KEY).expect("written");
    assert!(!run(&data.0, &["application", "list"]).status.success());
    std::fs::remove_file(&place).expect("there");
    let right =
        program(&data.0).env("OFFHOOK_SEAL_KEY", key.trim()).args(["application", "keys", "shop"]).output().expect("started");
    assert_eq!(Keys::read(&right).0, keys.0, "the environment will do");
    assert!(!place.exists(), "and no file is made then");
    std::fs::write(&place, key).expect("written");
    assert_eq!(Keys::of_shop(&data.0).0, keys.0);
    let empty = program(&data.0).env("OFFHOOK_SEAL_KEY", "").args(["application", "keys", "shop"]).output().expect("started");
    assert_eq!(Keys::read(&empty).0, keys.0, "a variable that is set to nothing is none");
}

#[tokio::test]
async fn a_sealed_secret_opens_only_where_it_belongs() {
    let data = Folder::new();
    drop(Keys::add(&data.0, &[]));
    assert!(run(&data.0, &["application", "add", "mine"]).status.success());
    let database = Connection::open(data.0.join("offhook.sqlite")).expect("a database");
    let moved = "UPDATE application SET secret = (SELECT secret FROM application WHERE key = 'mine') WHERE key = 'shop'";
    database.execute(moved, []).expect("changed");
    drop(database);
    let refused = run(&data.0, &["application", "list"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("another row"), "{refused:?}");
}

const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A data folder of version 3 whose process was killed: the last changes are only in the log of the database.
fn old() -> Folder {
    let (made, left) = (Folder::new(), Folder::new());
    let database = Connection::open(made.0.join("offhook.sqlite")).expect("a database");
    database.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).expect("a log");
    let sql = include_str!("version3.sql");
    database.execute_batch(sql).expect("what it wrote");
    // A former password of bob, which may still be in a free page.
    let [sha256, md5] = [0, 1].map(|i| String::from_utf8(hashes("bob", "looking glass").swap_remove(i)).expect("text"));
    database.execute("UPDATE user SET ha1_sha256 = ?1, ha1_md5 = ?2 WHERE name = 'bob'", [sha256, md5]).expect("set");
    database.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").expect("written");
    let [sha256, md5] = [0, 1].map(|i| String::from_utf8(hashes("bob", "wonderland").swap_remove(i)).expect("text"));
    database.execute("UPDATE user SET ha1_sha256 = ?1, ha1_md5 = ?2 WHERE name = 'bob'", [sha256, md5]).expect("set");
    for (name, octets) in files(&made.0) {
        std::fs::write(left.0.join(name), octets).expect("copied");
    }
    left
}

/// Returns the digest hashes of a password, as the database stored them in plain text.
fn hashes(user: &str, password: &str) -> Vec<Vec<u8>> {
    let hashes = offhook_gateway::store::Hashes::new(user, "localhost", password);
    vec![hashes.sha256.into_bytes(), hashes.md5.into_bytes()]
}

/// Asserts that no file except that of the key contains one of these, as octets, in hexadecimal or in base64.
fn nothing_of(canaries: &[Vec<u8>], folder: &Path) {
    let files = files(folder);
    assert!(files.iter().any(|(name, octets)| name == "offhook.sqlite" && !octets.is_empty()), "{folder:?}");
    for canary in canaries {
        for shape in [
            canary.clone(),
            hex(canary).into_bytes(),
            hex(canary).to_uppercase().into_bytes(),
            STANDARD.encode(canary).into_bytes(),
        ] {
            for (name, octets) in &files {
                assert!(!contains(octets, &shape), "{name} has {:?}", String::from_utf8_lossy(&shape));
            }
        }
    }
}

fn contains(octets: &[u8], wanted: &[u8]) -> bool {
    octets.windows(wanted.len()).any(|window| window == wanted)
}

/// Returns name and content of the files in a folder, except those that SQLite shares between processes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), std::fs::read(&path).expect("read")))
        .filter(|(name, _)| !name.ends_with("-shm"))
        .collect();
    files.sort();
    files
}

pub fn feed(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = program(data)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    // A program that rejects its arguments may end before it has read anything.
    drop(child.stdin.take().expect("piped").write_all(format!("{input}\n").as_bytes()));
    child.wait_with_output().expect("our child")
}
