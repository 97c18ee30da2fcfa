//! The steps that a strategy can answer, and the reason that goes with one.
//!
//! They stand for the types of the contract and are converted without loss in both directions. A strategy
//! answers one step; the host carries it out and then asks again with a new view, which says what became of
//! it. Nothing is judged here: [`View::check`](super::View::check) tells whether a step is legal for a tree.

use super::Knobs;
use crate::bindings::exports::mortise::plugin::compaction as wire;

/// One change of a tree's shape.
///
/// ```
/// use mortise_guest::compaction::{Illegal, Step};
/// use mortise_guest::testkit::view;
///
/// let tree = view().run(2, 1 << 20).build();
/// assert_eq!(tree.check(&Step::Move { from: 2, to: 6 }), Ok(()));
/// assert_eq!(tree.check(&Step::Merge { from: 2, to: 2 }), Err(Illegal::NothingToMerge(2)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Nothing to do until the shape changes.
    Wait {
        /// Ask again after so many milliseconds even if it hasn't.
        ask_again_ms: Option<u64>,
    },
    /// One step of the host's own levelled compaction; see [`Knobs::work`] for when it finds something to do.
    Partial(Knobs),
    /// Merge all of level `from` with all of level `to` into one run of `to`. Levels strictly between must be
    /// empty. Equal levels merge the level's runs, of which there must be several.
    Merge {
        /// Source level.
        from: u8,
        /// Destination level.
        to: u8,
    },
    /// Move the only run of level `from` to level `to` without rewriting. Levels below `from`, down to and
    /// including `to`, must be empty.
    Move {
        /// Source level.
        from: u8,
        /// Destination level.
        to: u8,
    },
    /// Rewrite the whole tree into one run of the last level.
    Major {
        /// Size that tables should have, in bytes.
        table_bytes: u64,
    },
}

impl Step {
    /// Nothing to do until the shape changes.
    ///
    /// ```
    /// use mortise_guest::compaction::Step;
    ///
    /// assert_eq!(Step::WAIT, Step::Wait { ask_again_ms: None });
    /// assert_ne!(Step::WAIT, Step::Wait { ask_again_ms: Some(60_000) });
    /// ```
    pub const WAIT: Self = Self::Wait { ask_again_ms: None };

    /// The step with a reason for the operator.
    ///
    /// ```
    /// use mortise_guest::compaction::Step;
    ///
    /// let decision = Step::Major { table_bytes: 64 << 20 }.because(format!("{} of 4 runs", 5));
    /// assert_eq!(decision.step, Step::Major { table_bytes: 64 << 20 });
    /// assert_eq!(decision.reason, "5 of 4 runs");
    /// ```
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Decision {
        Decision { step: self, reason: reason.into() }
    }
}

impl From<Step> for wire::Step {
    fn from(step: Step) -> Self {
        match step {
            Step::Wait { ask_again_ms } => Self::Wait(ask_again_ms),
            Step::Partial(Knobs { l0_threshold, level_ratio, table_bytes }) => {
                Self::Partial(wire::Knobs { l0_threshold, level_ratio, table_bytes })
            }
            Step::Merge { from, to } => Self::Merge(wire::Span { from, to }),
            Step::Move { from, to } => Self::Move(wire::Span { from, to }),
            Step::Major { table_bytes } => Self::Major(table_bytes),
        }
    }
}

impl From<&wire::Step> for Step {
    fn from(step: &wire::Step) -> Self {
        match *step {
            wire::Step::Wait(ask_again_ms) => Self::Wait { ask_again_ms },
            wire::Step::Partial(wire::Knobs { l0_threshold, level_ratio, table_bytes }) => {
                Self::Partial(Knobs { l0_threshold, level_ratio, table_bytes })
            }
            wire::Step::Merge(wire::Span { from, to }) => Self::Merge { from, to },
            wire::Step::Move(wire::Span { from, to }) => Self::Move { from, to },
            wire::Step::Major(table_bytes) => Self::Major { table_bytes },
        }
    }
}

/// What a strategy answers: a step, and why.
///
/// ```
/// use mortise_guest::compaction::{Decision, Step};
///
/// let merge = Step::Merge { from: 0, to: 6 }.because("level 0 has 8 runs");
/// assert_eq!(merge.reason, "level 0 has 8 runs");
/// assert_eq!(Decision::from(Step::WAIT), Step::WAIT.because(""));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do.
    pub step: Step,
    /// One short sentence for the operator, who sees it beside the step; the host keeps the first 200 bytes.
    /// May be empty.
    pub reason: String,
}

impl From<Step> for Decision {
    fn from(step: Step) -> Self {
        Self { step, reason: String::new() }
    }
}

impl From<Decision> for wire::Decision {
    fn from(Decision { step, reason }: Decision) -> Self {
        Self { step: step.into(), reason }
    }
}
