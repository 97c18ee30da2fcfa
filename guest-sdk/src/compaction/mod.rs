//! World `compaction-strategy`: keeps the tree of a volume in shape.
//!
//! The view types come from the contract. A view is a list of levels, a level a list of runs (the newest
//! first), a run a list of tables ordered by key. Sizes are bytes on disk. Sums saturate, so that no view can
//! make a policy panic.

mod leveled;
mod rules;
mod step;
mod view;

pub use crate::bindings::exports::mortise::plugin::compaction::{
    Level, Origin, Outcome, PreviousStep, Run, Table, View, Work as StepWork,
};
pub use leveled::{Knobs, Work};
pub use rules::Illegal;
pub use step::{Decision, Step};

use crate::Call;

/// Levels of every tree.
pub const LEVELS: u8 = 7;

/// Bounds of the size of tables that the host accepts, in bytes.
pub const TABLE_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024;

/// Decides how the tree of a volume is kept in shape.
///
/// The host asks whenever the shape has changed, and a little later again while there is something to do. It
/// checks every step; one that breaks a rule (see [`View::check`]) is a fault, and three in a row end the
/// plugin's service.
pub trait CompactionStrategy {
    /// What an operator can set. Read from JSON; `{}` must be valid, so derive with `#[serde(default)]`, and
    /// `deny_unknown_fields` catches what is misspelt.
    type Config: serde::de::DeserializeOwned;

    /// The next step for the tree, and why: `Ok(Step::WAIT.into())`, or
    /// `Ok(step.because("level 0 has 8 runs"))`, which the operator sees in the log.
    ///
    /// # Errors
    /// A sentence for the operator when the strategy can't decide, as with a value in the configuration that
    /// is out of bounds: what was expected, what was found, what to do.
    fn decide(config: &Self::Config, call: &Call, view: &View) -> Result<Decision, String>;
}
