//! Ladders that a person can check, kept in `tests/calls/ladders`; `BLESS=1` writes them anew.

/// Compares with the kept ladder.
#[cfg(not(target_arch = "wasm32"))]
pub fn keep(lines: &[String], name: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calls/ladders").join(name).with_extension("txt");
    let text = lines.join("\n") + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "the ladder {name} is another now; BLESS=1 keeps the new one");
}

#[cfg(target_arch = "wasm32")]
pub fn keep(_: &[String], _: &str) {}
