//! The corpora, and random numbers that are the same in every run.

include!(concat!(env!("OUT_DIR"), "/corpora.rs"));

/// The file of that path below the corpora; `None` where it is not there.
pub fn find(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, content)| *content)
}

/// The same in a test that is ignored where there are no corpora.
pub fn read(path: &str) -> &'static [u8] {
    find(path).unwrap_or_else(|| panic!("{path} is not among the corpora"))
}

/// The rows of a table below the corpora, without its head.
pub fn table(path: &str) -> Vec<Vec<String>> {
    let text = std::str::from_utf8(read(path)).expect("tables are UTF-8");
    text.lines().skip(1).map(|row| row.split('\t').map(String::from).collect()).collect()
}

/// Xorshift: cheap, and the same numbers in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
