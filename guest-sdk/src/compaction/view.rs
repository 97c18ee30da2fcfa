//! Questions that policies ask of a view.
//!
//! All of them are functions of the view that only read it. Sums stay at the largest number rather than wrap,
//! and a level that doesn't exist has no runs and no bytes, so that no tree that a host may show ends a
//! policy in a panic. Sizes are bytes on disk; what is in memtables is not in them.

use super::{LEVELS, Level, Outcome, PreviousStep, Run, Step, View};

impl Run {
    /// Bytes on disk.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run_of(1, &[3 << 20, 5 << 20]).build();
    /// assert_eq!(tree.levels[1].runs[0].bytes(), 8 << 20);
    /// ```
    #[must_use]
    pub fn bytes(&self) -> u64 {
        sum(self.tables.iter().map(|table| table.bytes))
    }

    /// Entries, tombstones included.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let mut run = view().run_of(1, &[3 << 20, 5 << 20]).build().levels[1].runs.remove(0);
    /// run.tables[0].entries = 1_000;
    /// run.tables[1].entries = 2_000;
    /// assert_eq!(run.entries(), 3_000);
    /// ```
    #[must_use]
    pub fn entries(&self) -> u64 {
        sum(self.tables.iter().map(|table| table.entries))
    }

    /// Tombstones.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let mut run = view().run_of(1, &[3 << 20, 5 << 20]).build().levels[1].runs.remove(0);
    /// assert_eq!(run.tombstones(), 0);
    /// run.tables[1].tombstones = 10;
    /// assert_eq!(run.tombstones(), 10);
    /// ```
    #[must_use]
    pub fn tombstones(&self) -> u64 {
        sum(self.tables.iter().map(|table| table.tombstones))
    }
}

impl Level {
    /// Bytes on disk.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(0, 3, 1 << 20).build();
    /// assert_eq!(tree.levels[0].bytes(), 3 << 20);
    /// ```
    #[must_use]
    pub fn bytes(&self) -> u64 {
        sum(self.runs.iter().map(Run::bytes))
    }

    /// Number of tables.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run_of(1, &[3 << 20, 5 << 20]).run(1, 1 << 20).build();
    /// assert_eq!(tree.levels[1].runs.len(), 2);
    /// assert_eq!(tree.levels[1].tables(), 3);
    /// ```
    #[must_use]
    pub fn tables(&self) -> usize {
        self.runs.iter().map(|run| run.tables.len()).sum()
    }

    /// Whether the level holds nothing.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(1, 1 << 20).build();
    /// assert!(tree.levels[0].is_empty());
    /// assert!(!tree.levels[1].is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

impl View {
    /// Bytes on disk.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(0, 1 << 20).run(6, 8 << 20).build();
    /// assert_eq!(tree.bytes(), 9 << 20);
    /// ```
    #[must_use]
    pub fn bytes(&self) -> u64 {
        sum(self.levels.iter().map(Level::bytes))
    }

    /// Runs of level 0; each may have to be searched by every read.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(0, 4, 1 << 20).run(6, 1 << 30).build();
    /// assert_eq!(tree.level0_runs(), 4);
    /// ```
    #[must_use]
    pub fn level0_runs(&self) -> usize {
        self.runs(0)
    }

    /// Runs that level 0 may have before the host compacts on its own: whoever puts work off should do it
    /// while this many are left.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().guard_l0_runs(20).runs(0, 18, 1 << 20);
    /// assert_eq!(tree.clone().build().runs_to_guard(), 2);
    /// assert_eq!(tree.runs(0, 18, 1 << 20).build().runs_to_guard(), 0);
    /// ```
    #[must_use]
    pub fn runs_to_guard(&self) -> usize {
        (self.guard_l0_runs as usize).saturating_sub(self.level0_runs())
    }

    /// Runs of a level; none when it doesn't exist.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(2, 3, 1 << 20).build();
    /// assert_eq!(tree.runs(2), 3);
    /// assert_eq!(tree.runs(100), 0);
    /// ```
    #[must_use]
    pub fn runs(&self, level: u8) -> usize {
        self.levels.get(usize::from(level)).map_or(0, |level| level.runs.len())
    }

    /// Runs of all levels: the read amplification, as far as filters don't help.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(0, 4, 1 << 20).run(6, 1 << 30).build();
    /// assert_eq!(tree.all_runs(), 5);
    /// ```
    #[must_use]
    pub fn all_runs(&self) -> usize {
        self.levels.iter().map(|level| level.runs.len()).sum()
    }

    /// Bytes of a level; 0 when it doesn't exist.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(2, 3, 1 << 20).build();
    /// assert_eq!(tree.level_bytes(2), 3 << 20);
    /// assert_eq!(tree.level_bytes(100), 0);
    /// ```
    #[must_use]
    pub fn level_bytes(&self, level: u8) -> u64 {
        self.levels.get(usize::from(level)).map_or(0, Level::bytes)
    }

    /// Levels that hold something, from the top.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(0, 1 << 20).run(5, 1 << 30).build();
    /// assert_eq!(tree.filled().collect::<Vec<_>>(), [0, 5]);
    /// assert_eq!(tree.filled().next_back(), Some(5));
    /// ```
    pub fn filled(&self) -> impl DoubleEndedIterator<Item = u8> + '_ {
        (0..LEVELS).filter(|level| self.runs(*level) > 0)
    }

    /// The first level below 0 that has several runs. The host's own steps leave one run in each; another
    /// strategy or a restored tree may not.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(0, 4, 1 << 20).runs(2, 3, 1 << 20).build();
    /// assert_eq!(tree.crowded_level(), Some(2));
    /// assert_eq!(view().runs(0, 4, 1 << 20).build().crowded_level(), None);
    /// ```
    #[must_use]
    pub fn crowded_level(&self) -> Option<u8> {
        (1..LEVELS).find(|level| self.runs(*level) > 1)
    }

    /// The deepest level that `level` could move down to past empty levels; `level` itself when the one below
    /// is filled.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(0, 1 << 20).run(4, 1 << 30).build();
    /// assert_eq!(tree.sinks_to(0), 3);
    /// assert_eq!(tree.sinks_to(3), 3);
    /// assert_eq!(tree.sinks_to(4), 6);
    /// assert_eq!(tree.sinks_to(u8::MAX), u8::MAX);
    /// ```
    #[must_use]
    pub fn sinks_to(&self, level: u8) -> u8 {
        (level.saturating_add(1)..LEVELS).take_while(|below| self.runs(*below) == 0).last().unwrap_or(level)
    }

    /// Bytes above the deepest filled level, in hundredths of that level's bytes, rounded up: what a full
    /// merge could at most save. 0 for a tree with one filled level or none.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(0, 10 << 20).run(6, 100 << 20).build();
    /// assert_eq!(tree.space_percent(), 10);
    /// assert_eq!(view().run(6, 100 << 20).build().space_percent(), 0);
    /// ```
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
    ///
    /// ```
    /// use mortise_guest::compaction::{Origin, Outcome, PreviousStep, Step};
    ///
    /// let step = Step::Merge { from: 0, to: 6 };
    /// let (wanted_by, outcome) = (Origin::Plugin, Outcome::Nothing);
    /// let previous = PreviousStep { step: step.into(), wanted_by, outcome, took_ms: 1 };
    /// assert_eq!(previous.what(), step);
    /// ```
    #[must_use]
    pub fn what(&self) -> Step {
        Step::from(&self.step)
    }

    /// Why storage failed, when it did.
    ///
    /// ```
    /// use mortise_guest::compaction::{Origin, Outcome, PreviousStep, Step};
    ///
    /// let step = Step::Major { table_bytes: 64 << 20 }.into();
    /// let outcome = Outcome::Failed("no space left on device".to_owned());
    /// let previous = PreviousStep { step, wanted_by: Origin::Host, outcome, took_ms: 900 };
    /// assert_eq!(previous.failure(), Some("no space left on device"));
    /// ```
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
