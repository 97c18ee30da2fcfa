//! The rules that the host checks each step by.
//!
//! They are the kernel's rules, written down again for a view, so that a native test finds an illegal step
//! before a host does. The host trusts nothing that happens here: it judges every answer itself, by the tree
//! that it showed, and counts an illegal one as a fault of the plugin.
//!
//! A legal step need not be a wise one. Whether its output fits the free disk is for the policy to look at;
//! the host refuses a step that would not fit when it begins, and that is no fault.

use std::fmt;

use super::{Knobs, LEVELS, Step, TABLE_BYTES, View};

/// Why the host would refuse a step.
///
/// ```
/// use mortise_guest::compaction::{Illegal, Step};
/// use mortise_guest::testkit::view;
///
/// let illegal = view().build().check(&Step::Move { from: 3, to: 7 }).unwrap_err();
/// assert_eq!(illegal, Illegal::NoSuchLevel(7));
/// assert_eq!(illegal.to_string(), "level 7 does not exist; levels are 0 to 6");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Illegal {
    /// The level does not exist.
    NoSuchLevel(u8),
    /// Data only moves down.
    Upwards,
    /// The source level is empty.
    EmptySource(u8),
    /// Only a level with exactly one run can be moved.
    SeveralRuns(u8),
    /// The level must be empty and is not.
    NotEmpty(u8),
    /// The level has one run; merging it with itself would rewrite it for nothing.
    NothingToMerge(u8),
    /// The knob of this name is out of bounds.
    Knob(&'static str),
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchLevel(level) => write!(f, "level {level} does not exist; levels are 0 to 6"),
            Self::Upwards => write!(f, "data only moves down"),
            Self::EmptySource(level) => write!(f, "level {level} is empty"),
            Self::SeveralRuns(level) => write!(f, "level {level} has several runs; only one can be moved"),
            Self::NotEmpty(level) => write!(f, "level {level} is not empty"),
            Self::NothingToMerge(level) => write!(f, "level {level} has one run already"),
            Self::Knob(name) => write!(f, "{name} is out of bounds"),
        }
    }
}

impl std::error::Error for Illegal {}

impl View {
    /// Judges a step as the host will.
    ///
    /// ```
    /// use mortise_guest::compaction::{Illegal, Step};
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(0, 4, 1 << 20).run(6, 1 << 30).build();
    /// assert_eq!(tree.check(&Step::Merge { from: 0, to: 6 }), Ok(()));
    /// assert_eq!(tree.check(&Step::Move { from: 0, to: 5 }), Err(Illegal::SeveralRuns(0)));
    /// ```
    ///
    /// # Errors
    /// The rule that the step breaks.
    pub fn check(&self, step: &Step) -> Result<(), Illegal> {
        match *step {
            Step::Wait { .. } => Ok(()),
            Step::Partial(knobs) => knobs.check(),
            Step::Merge { from, to } => self.check_merge(from, to),
            Step::Move { from, to } => self.check_move(from, to),
            Step::Major { table_bytes } => check_table_bytes(table_bytes),
        }
    }

    fn check_span(&self, from: u8, to: u8) -> Result<usize, Illegal> {
        if let Some(level) = [from, to].into_iter().find(|level| *level >= LEVELS) {
            return Err(Illegal::NoSuchLevel(level));
        }
        if to < from {
            return Err(Illegal::Upwards);
        }
        match self.runs(from) {
            0 => Err(Illegal::EmptySource(from)),
            runs => Ok(runs),
        }
    }

    fn check_empty(&self, mut levels: impl Iterator<Item = u8>) -> Result<(), Illegal> {
        levels.find(|level| self.runs(*level) > 0).map_or(Ok(()), |level| Err(Illegal::NotEmpty(level)))
    }

    fn check_merge(&self, from: u8, to: u8) -> Result<(), Illegal> {
        let runs = self.check_span(from, to)?;
        if from == to && runs == 1 {
            return Err(Illegal::NothingToMerge(from));
        }
        self.check_empty(from + 1..to)
    }

    fn check_move(&self, from: u8, to: u8) -> Result<(), Illegal> {
        let runs = self.check_span(from, to)?;
        if runs != 1 {
            return Err(Illegal::SeveralRuns(from));
        }
        if from == to {
            return Err(Illegal::NotEmpty(to));
        }
        self.check_empty(from + 1..=to)
    }
}

impl Knobs {
    /// Judges the knobs as the host will.
    ///
    /// ```
    /// use mortise_guest::compaction::{Illegal, Knobs};
    ///
    /// let knobs = Knobs { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 << 20 };
    /// assert_eq!(knobs.check(), Ok(()));
    /// let flat = Knobs { level_ratio: 1.0, ..knobs };
    /// assert_eq!(flat.check(), Err(Illegal::Knob("level_ratio")));
    /// ```
    ///
    /// # Errors
    /// The knob that is out of bounds.
    pub fn check(&self) -> Result<(), Illegal> {
        if self.l0_threshold == 0 {
            return Err(Illegal::Knob("l0_threshold"));
        }
        if !(2.0..=100.0).contains(&self.level_ratio) {
            return Err(Illegal::Knob("level_ratio"));
        }
        check_table_bytes(self.table_bytes)
    }
}

fn check_table_bytes(table_bytes: u64) -> Result<(), Illegal> {
    if TABLE_BYTES.contains(&table_bytes) { Ok(()) } else { Err(Illegal::Knob("table_bytes")) }
}
