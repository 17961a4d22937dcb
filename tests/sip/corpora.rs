//! Where the corpora are, and random numbers that are the same in every run.

use std::fs;
use std::path::PathBuf;

/// The file of that path below the corpora. `None`, and a word about it, where there are no corpora; on wasm there never are.
pub fn read(path: &str) -> Option<Vec<u8>> {
    let corpora = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpora");
    if cfg!(target_arch = "wasm32") || !corpora.is_dir() {
        println!("skipped: ../shared/corpora is not there");
        return None;
    }
    Some(fs::read(corpora.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// The rows of a table below the corpora, without its head.
pub fn table(path: &str) -> Option<Vec<Vec<String>>> {
    let text = String::from_utf8(read(path)?).expect("tables are UTF-8");
    Some(text.lines().skip(1).map(|row| row.split('\t').map(String::from).collect()).collect())
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
