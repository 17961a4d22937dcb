//! The rules of the house that no compiler checks: which module may use which, how long functions and files are, what a tracked file may say.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each module of the SDK may name by `crate::…`. The row of a module that is missing here fails the test.
const MODULES: &[(&str, &[&str])] = &[("client", &[]), ("web", &["client"]), ("js", &["client", "web"])];

/// What no state machine may name: clock, sockets, files, threads, randomness, and log subscribers. It may write to the log (`tracing`).
const WORLD: &[&str] = &[
    "axum::",
    "getrandom::",
    "hickory_resolver::",
    "hyper::",
    "mio::",
    "rusqlite::",
    "rustls::",
    "std::env",
    "std::fs",
    "std::process",
    "std::thread",
    "tokio::",
    "tracing_subscriber::",
];

/// The browser's crates: only `web` and `js` may name them.
const BROWSER: &[&str] = &["wasm_bindgen", "web_sys", "js_sys", "wasm_bindgen_futures", "gloo_net", "serde_wasm_bindgen"];

const LONGEST_FUNCTION: usize = 100;
const USUAL_FUNCTION: usize = 35;
const LONGEST_FILE: usize = 600;

#[test]
fn modules_use_only_those_below_them() {
    let mut wrong = Vec::new();
    for file in sources("src").iter().filter(|file| file.module() != "lib") {
        let module = file.module();
        let Some((_, allowed)) = MODULES.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: module {module} has no row in the table of tests/tidy.rs", file.path));
            continue;
        };
        let foreign = file.named("crate").into_iter().filter(|(_, used)| *used != module && !allowed.contains(&used.as_str()));
        wrong.extend(foreign.map(|(line, used)| format!("{}:{line}: {module} may not use {used}", file.path)));
    }
    none(wrong);
}

#[test]
fn state_machines_do_no_io() {
    let mut wrong = Vec::new();
    let is_state_machine = |file: &&Source| file.path.contains("/src/") && !file.path.starts_with("crates/testing/");
    for file in sources("crates").iter().filter(is_state_machine) {
        for (number, line) in file.code() {
            let named = WORLD.iter().filter(|name| line.contains(**name));
            wrong.extend(named.map(|name| format!("{}:{number}: a state machine names {name}", file.path)));
        }
    }
    none(wrong);
}

#[test]
fn the_browser_is_named_only_in_web_and_js() {
    let mut wrong = Vec::new();
    for file in ["src", "crates", "gateway/src"].into_iter().flat_map(sources) {
        if file.path.starts_with("src/web/") || file.path.starts_with("src/js/") {
            continue;
        }
        for (number, line) in file.code() {
            let named = BROWSER.iter().filter(|name| line.contains(&format!("{name}::")));
            wrong.extend(named.map(|name| format!("{}:{number}: names {name}", file.path)));
        }
    }
    none(wrong);
}

#[test]
fn functions_are_short() {
    let (mut wrong, mut all, mut long) = (Vec::new(), 0, 0);
    for file in rust() {
        for (line, name, length) in file.functions() {
            all += 1;
            long += usize::from(length > USUAL_FUNCTION);
            if length > LONGEST_FUNCTION {
                wrong.push(format!("{}:{line}: {name} has {length} lines; {LONGEST_FUNCTION} is the most", file.path));
            }
        }
    }
    none(wrong);
    println!("{all} functions, {long} of them over {USUAL_FUNCTION} lines");
    assert!(long * 10 <= all, "{long} of {all} functions have more than {USUAL_FUNCTION} lines: one in ten is the most");
}

#[test]
fn files_are_of_a_readable_length_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for file in rust() {
        let lines = file.text.lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{}: {lines} lines; {LONGEST_FILE} is the most", file.path));
        }
        if !file.text.starts_with("//!") {
            wrong.push(format!("{}: does not open with //! and what it is", file.path));
        }
        let allowed = file.code().filter(|(_, line)| line.trim_start().starts_with("#[allow(")).map(|(number, _)| number);
        wrong.extend(allowed.map(|number| format!("{}:{number}: #[allow]: write #[expect(lint, reason = \"…\")]", file.path)));
    }
    none(wrong);
}

#[test]
fn tracked_files_name_no_machine_and_no_registry() {
    let files = tracked();
    let wrong =
        files.iter().filter_map(|path| Some((path, fs::read_to_string(root().join(path)).ok()?))).flat_map(|(path, text)| {
            let strange = [
                "/wo|rk/",
                "/ro|ot/",
                "/ho|me/",
                "/tm|p/",
                "npm|js.org",
                "npm|js.com",
                "index.crates|.io",
                "static.crates|.io",
                "py|pi.org",
            ];
            strange
                .map(|word| word.replace('|', ""))
                .into_iter()
                .filter(move |word| text.contains(word))
                .map(move |word| format!("{path}: names {word}"))
        });
    none(wrong.collect());
}

#[test]
fn versions_agree() {
    let cargo = read("Cargo.toml");
    let pinned = value(&read("scripts/versions"), "WASM_BINDGEN=", "\n");
    assert_eq!(value(&cargo, "wasm-bindgen = \"=", "\""), pinned, "Cargo.toml and scripts/versions: wasm-bindgen");
    let version = value(&cargo, "\nversion = \"", "\"");
    assert_eq!(value(&read("pkg/package.json"), "\"version\": \"", "\""), version, "Cargo.toml and pkg/package.json: the version");
    assert_eq!(value(&cargo, "[workspace.package]\nversion = \"", "\""), version, "Cargo.toml: package and workspace");
}

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The top module a file belongs to: `src/sip/uri.rs` and `src/sip.rs` are both `sip`.
    fn module(&self) -> String {
        let inside = self.path.split_once("src/").map_or(self.path.as_str(), |(_, inside)| inside);
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
    }

    /// Numbered lines without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Each module named by `base::module` or `base::{module, …}`, with its line.
    fn named(&self, base: &str) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line) in self.code() {
            for (at, _) in line.match_indices(&format!("{base}::")) {
                if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let rest = &line[at + base.len() + 2..];
                let group = rest.strip_prefix('{').map_or(rest, |inside| inside.trim_end_matches(['}', ';']));
                let names = if rest.starts_with('{') { group.split(',').collect() } else { vec![group] };
                found.extend(names.into_iter().map(|name| (number, first_word(name))).filter(|(_, name)| !name.is_empty()));
            }
        }
        found
    }

    /// Line, name and length of each function, read by rustfmt's indentation.
    fn functions(&self) -> Vec<(usize, String, usize)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut found = Vec::new();
        for (start, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let Some(name) = function_name(code) else { continue };
            let indent = &line[..line.len() - code.len()];
            let ends =
                |line: &&str| line.strip_prefix(indent).is_some_and(|rest| rest == "}" || rest == "};" || rest.starts_with("} "));
            let one_line = code.ends_with('}') || code.ends_with(';');
            let length = if one_line { 1 } else { lines[start..].iter().position(ends).map_or(1, |end| end + 1) };
            found.push((start + 1, name, length));
        }
        found
    }
}

fn function_name(code: &str) -> Option<String> {
    let mut words = code.split_whitespace();
    let word = words.find(|word| !matches!(*word, "pub" | "pub(crate)" | "pub(super)" | "const" | "async"))?;
    (word == "fn").then(|| first_word(words.next().unwrap_or_default()))
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn value(text: &str, before: &str, after: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?}"));
    rest.split_once(after).map_or(rest, |(value, _)| value).to_owned()
}

/// All Rust files of the repository.
fn rust() -> impl Iterator<Item = Source> {
    ["src", "crates", "examples", "gateway/src", "gateway/tests", "tests", "fuzz/src", "bench"].into_iter().flat_map(sources)
}

/// All Rust files in a folder, without the npm tools in tests/.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<PathBuf>>());
        for path in entries.unwrap_or_default() {
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                found.push(Source { text: read(&name), path: name });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Tracked files but for the lock files, whose form is not ours.
fn tracked() -> Vec<String> {
    let out = Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git is installed");
    assert!(out.status.success(), "this is no clone of the repository, so nobody knows what is tracked: {out:?}");
    let files = String::from_utf8(out.stdout).expect("paths are text");
    files.lines().filter(|path| !path.ends_with("Cargo.lock")).map(str::to_owned).collect()
}

/// No complaint is left; else all of them are shown.
fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}
