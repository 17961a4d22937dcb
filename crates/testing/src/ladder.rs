//! Ladders that a person can check, kept as files; `BLESS=1` writes them anew.

/// Compares a ladder with that of the file `name`.txt in `folder`. As wasm, where there are no files, it does nothing.
///
/// # Panics
/// Where they differ, or there is no such file.
#[cfg(not(target_arch = "wasm32"))]
pub fn keep(folder: &str, name: &str, ladder: &[String]) {
    let path = std::path::Path::new(folder).join(name).with_extension("txt");
    let text = ladder.join("\n") + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        std::fs::write(&path, &text).expect("the file can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "the ladder {name} is another now; BLESS=1 keeps the new one");
}

/// Compares a ladder with that of the file `name`.txt in `folder`. As wasm, where there are no files, it does nothing.
#[cfg(target_arch = "wasm32")]
pub fn keep(_: &str, _: &str, _: &[String]) {}
