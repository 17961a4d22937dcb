//! Provides the messages and vectors of the RFCs to tests. They are not part of this repository, but in `../shared/corpora`, or in the folder
//! that `OFFHOOK_CORPORA` names. Where they exist, `cfg(corpora)` is set, also in the other crates with this build script, and in this crate
//! `corpora.rs` in `OUT_DIR` contains all files, so that tests in wasm have them, too. Where they do not exist, the tests that need them are
//! ignored, and counted as such. Nothing of this is shipped.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(corpora)");
    println!("cargo::rerun-if-env-changed=OFFHOOK_CORPORA");
    let folder = folder();
    // A missing path would count as changed at every build.
    if folder.exists() {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let mut files = Vec::new();
    collect(&folder, &mut files);
    files.sort();
    if !files.is_empty() {
        println!("cargo::rustc-cfg=corpora");
    }
    if env::var("CARGO_PKG_NAME").is_ok_and(|name| name == "offhook-testing") {
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets it"));
        fs::write(out.join("corpora.rs"), table(&folder, &files)).expect("OUT_DIR can be written");
    }
}

/// Returns the files as Rust source.
fn table(folder: &Path, files: &[PathBuf]) -> String {
    let mut table = String::from("/// Path below the corpora, and content.\npub const FILES: &[(&str, &[u8])] = &[\n");
    for file in files {
        let name = file.strip_prefix(folder).expect("it was found below");
        writeln!(table, "    ({name:?}, include_bytes!({file:?})),").expect("a string grows");
    }
    table.push_str("];\n");
    table
}

/// Returns the folder of the corpora: beside the repository, also for a package inside of it.
fn folder() -> PathBuf {
    if let Some(named) = env::var_os("OFFHOOK_CORPORA") {
        return named.into();
    }
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("Cargo sets it"));
    let root = package.ancestors().find(|path| path.join("Cargo.lock").exists()).unwrap_or(&package);
    root.join("../shared/corpora")
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
