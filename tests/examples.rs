//! The examples run, and print what the files beside them say; `BLESS=1` writes these anew.
#![cfg(not(target_arch = "wasm32"))]

#[path = "../examples/parse.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod parse;
#[path = "../examples/two_clients.rs"]
#[expect(dead_code, reason = "the test calls what `main` calls")]
mod two_clients;

use offhook_testing::ladder::keep;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

#[test]
fn a_message_is_described() {
    let text = parse::describe(parse::MESSAGE.as_bytes()).expect("it is a SIP message");
    keep(FOLDER, "parse", &text.lines().map(str::to_owned).collect::<Vec<_>>());
    assert!(parse::describe(b"GET / HTTP/1.1\r\n\r\n").is_err());
}

#[test]
fn two_clients_have_a_call() {
    let mut lines = Vec::new();
    two_clients::run(|line| lines.push(line.to_owned()));
    keep(FOLDER, "two_clients", &lines);
}
