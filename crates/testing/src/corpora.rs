//! The messages and vectors of the RFCs, which are not part of this repository (build.rs).

include!(concat!(env!("OUT_DIR"), "/corpora.rs"));

/// The file of that path below the corpora; `None` where it is not there.
#[must_use]
pub fn find(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
}

/// The same in a test that is ignored where there are no corpora.
///
/// # Panics
/// Where it is not there.
#[must_use]
pub fn read(path: &str) -> &'static [u8] {
    find(path).unwrap_or_else(|| panic!("{path} is not among the corpora"))
}

/// The rows of a table below the corpora, without its head.
///
/// # Panics
/// Where it is not there, or no UTF-8.
#[must_use]
pub fn table(path: &str) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(read(path)).expect("tables are UTF-8");
    text.lines().skip(1).map(|row| row.split('\t').map(String::from).collect()).collect()
}
