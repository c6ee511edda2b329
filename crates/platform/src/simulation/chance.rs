//! All randomness, from the seed: what is drawn depends on what it is for and not on when.

/// Draws by name.
#[derive(Debug, Clone, Copy)]
pub struct Chance(pub u64);

impl Chance {
    pub fn roll(self, what: &str, numbers: &[u64]) -> u64 {
        let mut state = mix(self.0);
        for byte in what.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        for number in numbers {
            state = mix(state ^ number);
        }
        state
    }

    pub fn below(self, limit: u64, what: &str, numbers: &[u64]) -> u64 {
        self.roll(what, numbers) % limit
    }

    /// So often in a thousand.
    pub fn happens(self, per_mille: u64, what: &str, numbers: &[u64]) -> bool {
        self.below(1000, what, numbers) < per_mille
    }
}

/// SplitMix64.
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
