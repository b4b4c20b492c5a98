//! Chance that can be repeated: the same seed, the same choices, on every host.

/// A stream of numbers (SplitMix64, Steele and others 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of program `index` under `seed`.
    pub fn of(seed: u64, index: u64) -> Random {
        let mut random = Random(seed ^ index.wrapping_mul(0xd129_0d3c_7f4a_7c15));
        random.next();
        random
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True in so many of a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// A number with edges: zero, ones, powers of two and their neighbours, as often as any.
    pub fn value(&mut self) -> u64 {
        match self.below(8) {
            0 => {
                self.pick(&[0, 1, 2, u64::MAX, 1 << 63, (1 << 63) - 1, 0x8000_0000, 0x7fff_ffff, 0xffff_ffff])
            }
            // Not the engine's arena, which a program might read or write by it: as an address, as a scaled index, or as the
            // number of a bit.
            1 => match 1u64 << self.below(64) {
                power if is_arenas(power) => 0x8000,
                power => power.wrapping_sub(self.below(2)),
            },
            2 => self.below(256),
            3 => self.next() >> 32,
            4 => (self.next() as i32) as u64,
            _ => self.next(),
        }
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let value = self.value().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
    }
}

/// Would it lead to the engine's arena, where a register takes part in an address?
fn is_arenas(power: u64) -> bool {
    use invar_engine::host::layout::ARENA;
    let scaled = (0..4).any(|scale| power << scale == ARENA);
    scaled || power >> 3 == ARENA
}
