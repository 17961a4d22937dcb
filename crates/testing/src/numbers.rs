//! Random numbers that are the same in every run.

/// Xorshift: cheap, and the same numbers in every run.
pub struct Numbers(pub u64);

impl Numbers {
    /// Any number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.draw() % bound.max(1) as u64) as usize
    }
}
