//! Builds the gateway again when a file of the demo page or of the package comes, goes or changes: both are inside the binary.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../www");
    // A path that is missing would count as changed at every build.
    let package = if Path::new("../pkg/dist").exists() { "../pkg/dist" } else { "../pkg" };
    println!("cargo::rerun-if-changed={package}");
}
