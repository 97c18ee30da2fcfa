//! What a call carries besides the data that the decision is about: a time and a seed.
//!
//! A plugin has no other clock and no other randomness. The same call with the same configuration and the
//! same data must get the same answer, because the host records calls and repeats them. A policy that needs
//! chance takes it from [`Call::random`]; its numbers follow from the seed alone and are the same on every
//! machine.
//!
//! Formats get none of this: a codec is a function of its configuration and of bytes.

/// Time and randomness of a call, the only ones that a plugin has.
///
/// ```
/// use mortise_guest::Call;
///
/// let call = Call { now: 1_700_000_000_000, seed: 7 };
/// let midnight = call.now / 86_400_000 * 86_400_000;
/// assert_eq!(call.now - midnight, 80_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The current time in milliseconds since the Unix epoch.
    pub now: u64,
    /// Seed for randomness; differs from call to call.
    pub seed: u64,
}

impl Call {
    /// Random numbers that follow from the call's seed alone.
    ///
    /// ```
    /// use mortise_guest::Call;
    ///
    /// let call = Call { now: 0, seed: 7 };
    /// assert_eq!(call.random().next_u64(), call.random().next_u64());
    /// ```
    #[must_use]
    pub fn random(&self) -> Random {
        Random(self.seed)
    }
}

/// A small deterministic generator (SplitMix64), good enough for policies and not for secrets.
///
/// ```
/// use mortise_guest::Random;
///
/// let mut dice = Random::new(1);
/// assert!((0..100).all(|_| dice.below(6) < 6));
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that begins at `seed`.
    ///
    /// ```
    /// use mortise_guest::Random;
    ///
    /// let (mut one, mut other) = (Random::new(1), Random::new(2));
    /// assert_ne!(one.next_u64(), other.next_u64());
    /// ```
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    ///
    /// ```
    /// use mortise_guest::Random;
    ///
    /// let mut random = Random::new(1_234_567);
    /// assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
    /// assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    /// ```
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 when the bound is 0.
    ///
    /// ```
    /// use mortise_guest::Random;
    ///
    /// let mut random = Random::new(1);
    /// assert!(random.below(10) < 10);
    /// assert_eq!(random.below(0), 0);
    /// ```
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }
}
