//! The messages and vectors of the RFCs, which are not part of this repository (build.rs).

include!(concat!(env!("OUT_DIR"), "/corpora.rs"));

/// Returns the file of this path in the corpora; `None` where it is missing.
#[must_use]
pub fn find(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
}

/// Like [`find`], for a test that is ignored where there are no corpora.
///
/// # Panics
/// Where the file is missing.
#[must_use]
pub fn read(path: &str) -> &'static [u8] {
    find(path).unwrap_or_else(|| panic!("{path} is not among the corpora"))
}

/// Returns the rows of a table in the corpora, without its header.
///
/// # Panics
/// Where the file is missing, or not UTF-8.
#[must_use]
pub fn table(path: &str) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(read(path)).expect("tables are UTF-8");
    text.lines().skip(1).map(|row| row.split('\t').map(String::from).collect()).collect()
}
