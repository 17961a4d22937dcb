//! Builds the gateway anew where the demo page or the package has changed, which are inside the binary.

use std::path::Path;

fn main() {
    let package = if Path::new("../pkg/dist").exists() { "../pkg/dist" } else { "../pkg" };
    println!("cargo::rerun-if-changed=../www");
    println!("cargo::rerun-if-changed={package}");
}
