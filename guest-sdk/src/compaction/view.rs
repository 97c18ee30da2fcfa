//! Questions that policies ask of a view.

use super::{LEVELS, Level, Outcome, PreviousStep, Run, Step, View};

impl Run {
    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        sum(self.tables.iter().map(|table| table.bytes))
    }

    /// Entries, tombstones included.
    #[must_use]
    pub fn entries(&self) -> u64 {
        sum(self.tables.iter().map(|table| table.entries))
    }

    /// Tombstones.
    #[must_use]
    pub fn tombstones(&self) -> u64 {
        sum(self.tables.iter().map(|table| table.tombstones))
    }
}

impl Level {
    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        sum(self.runs.iter().map(Run::bytes))
    }

    /// Number of tables.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.runs.iter().map(|run| run.tables.len()).sum()
    }

    /// Whether the level holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

impl View {
    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        sum(self.levels.iter().map(Level::bytes))
    }

    /// Runs of level 0; each may have to be searched by every read.
    #[must_use]
    pub fn level0_runs(&self) -> usize {
        self.runs(0)
    }

    /// Runs that level 0 may have before the host compacts on its own: whoever puts work off should do it
    /// while this many are left.
    #[must_use]
    pub fn runs_to_guard(&self) -> usize {
        (self.guard_l0_runs as usize).saturating_sub(self.level0_runs())
    }

    /// Runs of a level; none when it doesn't exist.
    #[must_use]
    pub fn runs(&self, level: u8) -> usize {
        self.levels.get(usize::from(level)).map_or(0, |level| level.runs.len())
    }

    /// Runs of all levels: the read amplification, as far as filters don't help.
    #[must_use]
    pub fn all_runs(&self) -> usize {
        self.levels.iter().map(|level| level.runs.len()).sum()
    }

    /// Bytes of a level; 0 when it doesn't exist.
    #[must_use]
    pub fn level_bytes(&self, level: u8) -> u64 {
        self.levels.get(usize::from(level)).map_or(0, Level::bytes)
    }

    /// Levels that hold something, from the top.
    pub fn filled(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        (0..LEVELS).filter(|level| self.runs(*level) > 0)
    }

    /// The first level below 0 that has several runs. The host's own steps leave one run in each; another
    /// strategy or a restored tree may not.
    #[must_use]
    pub fn crowded_level(&self) -> Option<u8> {
        (1..LEVELS).find(|level| self.runs(*level) > 1)
    }

    /// The deepest level that `level` could move down to past empty levels; `level` itself when the one below
    /// is filled.
    #[must_use]
    pub fn sinks_to(&self, level: u8) -> u8 {
        (level + 1..LEVELS).take_while(|below| self.runs(*below) == 0).last().unwrap_or(level)
    }

    /// Bytes above the deepest filled level, in hundredths of that level's bytes, rounded up: what a full
    /// merge could at most save. 0 for a tree with one filled level or none.
    #[must_use]
    pub fn space_percent(&self) -> u64 {
        let Some(last) = self.filled().next_back() else { return 0 };
        let bottom = self.level_bytes(last).max(1);
        let above = sum((0..last).map(|level| self.level_bytes(level)));
        u64::try_from((u128::from(above) * 100).div_ceil(u128::from(bottom))).unwrap_or(u64::MAX)
    }
}

impl PreviousStep {
    /// The step that was run.
    #[must_use]
    pub fn what(&self) -> Step {
        Step::from(&self.step)
    }

    /// Why storage failed, when it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Failed(why) => Some(why),
            Outcome::Done(_) | Outcome::Nothing | Outcome::Stale => None,
        }
    }
}

/// A sum that stays at the largest number rather than wrap.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
