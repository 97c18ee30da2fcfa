//! When the host's levelled step finds something to do.
//!
//! A strategy that answers `partial` when there is nothing to do is asked again for nothing. [`Knobs::work`]
//! follows the host's own arithmetic: the first filled level below level 0 plays the part of level 1, its
//! target is `table_bytes * l0_threshold`, and each level below may be `level_ratio` times larger.

use super::{LEVELS, View};

/// Settings of one step of levelled compaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knobs {
    /// Runs in level 0 that start a compaction; at least 1.
    pub l0_threshold: u8,
    /// Size ratio between neighbouring levels; 2 to 100.
    pub level_ratio: f32,
    /// Size that tables should have, in bytes; 64 KiB to 1 GiB.
    pub table_bytes: u64,
}

/// What a levelled step would work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Level 0 has too many runs.
    Level0 {
        /// Runs found.
        runs: usize,
    },
    /// A level is larger than its target.
    TooLarge {
        /// The level.
        level: u8,
        /// Its size in bytes.
        bytes: u64,
        /// Its target in bytes.
        target: u64,
    },
}

impl Knobs {
    /// What a levelled step with these knobs would work on, level 0 first; `None` when it would do nothing.
    #[must_use]
    pub fn work(&self, view: &View) -> Option<Work> {
        let runs = view.level0_runs();
        if runs >= usize::from(self.l0_threshold.max(1)) {
            return Some(Work::Level0 { runs });
        }
        let top = self.top_level(view)?;
        // The last level has nowhere to go, so its size is never a reason.
        (top..LEVELS - 1).find_map(|level| {
            let bytes = view.level_bytes(level);
            let target = self.target_bytes(level - top);
            (bytes > target).then_some(Work::TooLarge { level, bytes, target })
        })
    }

    /// The level that a compaction of level 0 goes to; `None` when everything is in level 0.
    #[must_use]
    pub fn top_level(&self, view: &View) -> Option<u8> {
        let first = view.filled().find(|level| *level > 0)?;
        // When every level is full, the host begins a new one above them.
        let full =
            |level: u8| view.runs(level) == 0 || view.level_bytes(level) > self.target_bytes(level - first);
        if first > 1 && (first..LEVELS).all(full) { Some(first - 1) } else { Some(first) }
    }

    /// Bytes that the level `below` steps under the top one should have at most.
    #[must_use]
    pub fn target_bytes(&self, below: u8) -> u64 {
        let base = self.table_bytes.saturating_mul(u64::from(self.l0_threshold.max(1))) as f32;
        // A conversion from float saturates, which is what an enormous target should do.
        (0..below).fold(base, |target, _| target * self.level_ratio) as u64
    }
}
