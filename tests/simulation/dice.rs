//! Dice that fall the same way for the same seed (SplitMix64): the whole world draws from them, and from nothing else.

#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound - 1`.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// Whether something happens that happens so often in a thousand.
    pub const fn of_1000(&mut self, often: u64) -> bool {
        self.below(1_000) < often
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).expect("a short list")]
    }

    /// 32 bytes for whoever wants a seed of its own.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        seed.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.draw().to_le_bytes()));
        seed
    }
}
