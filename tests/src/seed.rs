//! Seeds of random tests: printed always, replayed with `MORTISE_SEED`.
//!
//! A random test asks [`rng`] once and draws everything from it, so one number repeats the run. The number
//! is printed to standard error, where cargo shows it for every test that fails.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// A random number generator for the test named, from `MORTISE_SEED` or from the system's randomness.
///
/// # Panics
/// `MORTISE_SEED` is set and is no number.
#[must_use]
#[allow(clippy::print_stderr, reason = "the seed must be seen when the test fails")]
pub fn rng(test: &str) -> StdRng {
    let seed = match std::env::var("MORTISE_SEED") {
        Ok(text) => text.parse().expect("MORTISE_SEED is a number"),
        Err(_) => rand::random(),
    };
    eprintln!("{test}: MORTISE_SEED={seed} repeats this run");
    StdRng::seed_from_u64(seed)
}

/// A count that an environment variable may change.
///
/// # Panics
/// The variable is set and is no number.
#[must_use]
pub fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("the variable holds a number"))
}
