//! When the host's levelled step finds something to do.
//!
//! A strategy that answers `partial` when there is nothing to do is asked again for nothing. [`Knobs::work`]
//! follows the host's own arithmetic: the first filled level below level 0 plays the part of level 1, its
//! target is `table_bytes * l0_threshold`, and each level below may be `level_ratio` times larger.

use super::{LEVELS, Level, View};

/// Settings of one step of levelled compaction.
///
/// ```
/// use mortise_guest::compaction::{Knobs, Step};
/// use mortise_guest::testkit::view;
///
/// let knobs = Knobs { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 << 20 };
/// let tree = view().runs(0, 4, 1 << 20).build();
/// assert!(knobs.work(&tree).is_some());
/// assert_eq!(tree.check(&Step::Partial(knobs)), Ok(()));
/// ```
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
///
/// ```
/// use mortise_guest::compaction::{Knobs, Work};
/// use mortise_guest::testkit::view;
///
/// let knobs = Knobs { l0_threshold: 4, level_ratio: 10.0, table_bytes: 1 << 20 };
/// let tree = view().run(5, 5 << 20).run(6, 1 << 20).build();
/// let reason = match knobs.work(&tree) {
///     Some(Work::Level0 { runs }) => format!("level 0 has {runs} runs"),
///     Some(Work::TooLarge { level, bytes, target }) => {
///         format!("level {level} has {} of {} MiB", bytes >> 20, target >> 20)
///     }
///     None => "nothing to do".to_owned(),
/// };
/// assert_eq!(reason, "level 5 has 5 of 4 MiB");
/// ```
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
    /// What a levelled step with these knobs would work on, which is what is furthest beyond its bound;
    /// `None` when it would do nothing.
    ///
    /// ```
    /// use mortise_guest::compaction::{Knobs, Work};
    /// use mortise_guest::testkit::view;
    ///
    /// let knobs = Knobs { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 << 20 };
    /// assert_eq!(knobs.work(&view().runs(0, 4, 1 << 20).build()), Some(Work::Level0 { runs: 4 }));
    /// assert_eq!(knobs.work(&view().runs(0, 3, 1 << 20).build()), None);
    /// ```
    #[must_use]
    pub fn work(&self, view: &View) -> Option<Work> {
        let threshold = usize::from(self.l0_threshold.max(1));
        let tables = view.levels.first().map_or(0, Level::tables);
        let level0 = (tables >= threshold)
            .then(|| (tables as f64 / threshold as f64, Work::Level0 { runs: view.level0_runs() }));
        let levels = self.beyond_target(view).map(|(level, bytes, target)| {
            // A level that can be moved down without rewriting goes before everything else.
            let moves = view.runs(level + 1) == 0;
            let score = if moves { 99.99 } else { bytes as f64 / target.max(1) as f64 };
            (score, Work::TooLarge { level, bytes, target })
        });
        level0
            .into_iter()
            .chain(levels)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, work)| work)
    }

    /// Size of the level that is furthest beyond its target, in hundredths of the target; 0 when none is.
    ///
    /// ```
    /// use mortise_guest::compaction::Knobs;
    /// use mortise_guest::testkit::view;
    ///
    /// let knobs = Knobs { l0_threshold: 4, level_ratio: 10.0, table_bytes: 1 << 20 };
    /// let tree = view().run(5, 5 << 20).run(6, 1 << 20).build();
    /// assert_eq!(knobs.overfull_percent(&tree), 125);
    /// assert_eq!(knobs.overfull_percent(&view().build()), 0);
    /// ```
    #[must_use]
    pub fn overfull_percent(&self, view: &View) -> u64 {
        let percent = |bytes: u64, target: u64| u128::from(bytes) * 100 / u128::from(target.max(1));
        let worst = self.beyond_target(view).map(|(_, bytes, target)| percent(bytes, target)).max();
        worst.map_or(0, |percent| u64::try_from(percent).unwrap_or(u64::MAX))
    }

    /// Levels that are larger than their targets, with their sizes and targets.
    fn beyond_target<'a>(&'a self, view: &'a View) -> impl Iterator<Item = (u8, u64, u64)> + 'a {
        let top = self.top_level(view).unwrap_or(LEVELS);
        // The last level has nowhere to go, so its size is never a reason.
        (top..LEVELS - 1)
            .map(move |level| (level, view.level_bytes(level), self.target_bytes(level - top)))
            .filter(|(_, bytes, target)| bytes > target)
    }

    /// The level that a compaction of level 0 goes to; `None` when everything is in level 0.
    ///
    /// ```
    /// use mortise_guest::compaction::Knobs;
    /// use mortise_guest::testkit::view;
    ///
    /// let knobs = Knobs { l0_threshold: 4, level_ratio: 10.0, table_bytes: 1 << 20 };
    /// assert_eq!(knobs.top_level(&view().run(0, 1 << 20).build()), None);
    /// assert_eq!(knobs.top_level(&view().run(6, 1 << 20).build()), Some(6));
    /// // Level 6 is larger than the 4 MiB that a top level should have.
    /// assert_eq!(knobs.top_level(&view().run(6, 5 << 20).build()), Some(5));
    /// ```
    #[must_use]
    pub fn top_level(&self, view: &View) -> Option<u8> {
        let first = view.filled().find(|level| *level > 0)?;
        // When every level is full, the host begins a new one above them.
        let full =
            |level: u8| view.runs(level) == 0 || view.level_bytes(level) > self.target_bytes(level - first);
        if first > 1 && (first..LEVELS).all(full) { Some(first - 1) } else { Some(first) }
    }

    /// Bytes that the level `below` steps under the top one should have at most.
    ///
    /// ```
    /// use mortise_guest::compaction::Knobs;
    ///
    /// let knobs = Knobs { l0_threshold: 4, level_ratio: 10.0, table_bytes: 1 << 20 };
    /// assert_eq!(knobs.target_bytes(0), 4 << 20);
    /// assert_eq!(knobs.target_bytes(1), 40 << 20);
    /// ```
    #[must_use]
    pub fn target_bytes(&self, below: u8) -> u64 {
        let base = self.table_bytes.saturating_mul(u64::from(self.l0_threshold.max(1))) as f32;
        // A conversion from float saturates, which is what an enormous target should do.
        (0..below).fold(base, |target, _| target * self.level_ratio) as u64
    }
}
