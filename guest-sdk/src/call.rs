//! What a call carries besides the data that the decision is about.

/// Time and randomness of a call, the only ones that a plugin has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The current time in milliseconds since the Unix epoch.
    pub now: u64,
    /// Seed for randomness; differs from call to call.
    pub seed: u64,
}

impl Call {
    /// Random numbers that follow from the call's seed alone.
    #[must_use]
    pub fn random(&self) -> Random {
        Random(self.seed)
    }
}

/// A small deterministic generator (SplitMix64), good enough for policies and not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that begins at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 when the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}
