//! Ladders, the messages of a call in a readable form, as golden files; `BLESS=1` writes them anew.

/// Compares a ladder with the file `name`.txt in `folder`; does nothing in wasm, where there are no files.
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
    assert_eq!(text, kept, "the ladder {name} differs from its file; BLESS=1 writes the file anew");
}

/// Compares a ladder with the file `name`.txt in `folder`; does nothing in wasm, where there are no files.
#[cfg(target_arch = "wasm32")]
pub fn keep(_: &str, _: &str, _: &[String]) {}
