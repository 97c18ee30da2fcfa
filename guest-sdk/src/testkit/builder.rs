//! Views made by hand.
//!
//! A test states only what its policy depends on. The rest has plain values: about a hundred bytes for an
//! entry, no tombstones, tables of one run in the order of their keys without overlap, while runs cover the
//! same keys. A run that is added later is older than those that its level has already, as in the views of a
//! host.
//!
//! Nothing is checked: a view may be built that no tree would have, so that a policy can be tested on it.

use crate::compaction::{LEVELS, Level, PreviousStep, Run, Table, View};

/// Begins a view of an empty tree, with 100 GiB of free disk, no writes, and a guard rail at 20 runs.
///
/// ```
/// use mortise_guest::testkit::view;
///
/// let empty = view().build();
/// assert_eq!((empty.bytes(), empty.write_rate, empty.free_disk), (0, 0, 100 << 30));
/// assert_eq!(empty.runs_to_guard(), 20);
/// ```
#[must_use]
pub fn view() -> ViewBuilder {
    ViewBuilder {
        view: View {
            levels: (0..LEVELS).map(|_| Level { runs: Vec::new() }).collect(),
            memtable_bytes: 0,
            write_rate: 0,
            free_disk: 100 << 30,
            guard_l0_runs: 20,
            previous: None,
        },
        tables: 0,
    }
}

/// A view under construction.
///
/// ```
/// use mortise_guest::testkit::{ViewBuilder, view};
///
/// /// What all tests of a policy begin with.
/// fn tree(level0: usize) -> ViewBuilder {
///     view().runs(0, level0, 1 << 20).run(6, 1 << 30)
/// }
///
/// assert_eq!(tree(4).build().level0_runs(), 4);
/// assert_eq!(tree(4).free_disk(0).build().free_disk, 0);
/// ```
#[derive(Clone, Debug)]
pub struct ViewBuilder {
    view: View,
    tables: u64,
}

impl ViewBuilder {
    /// Adds a run of one table below the runs that `level` has already.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(0, 2 << 20).run(0, 1 << 20).build();
    /// let sizes: Vec<u64> = tree.levels[0].runs.iter().map(|run| run.bytes()).collect();
    /// assert_eq!(sizes, [2 << 20, 1 << 20]);
    /// ```
    ///
    /// # Panics
    /// When the level does not exist.
    #[must_use]
    pub fn run(self, level: u8, bytes: u64) -> Self {
        self.run_of(level, &[bytes])
    }

    /// Adds a run with a table for each size.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run_of(1, &[3 << 20, 5 << 20]).build();
    /// let tables = &tree.levels[1].runs[0].tables;
    /// assert_eq!(tables[1].bytes, 5 << 20);
    /// assert!(tables[0].max_key < tables[1].min_key);
    /// ```
    ///
    /// # Panics
    /// When the level does not exist or there is no table.
    #[must_use]
    pub fn run_of(mut self, level: u8, tables: &[u64]) -> Self {
        assert!(!tables.is_empty(), "a run has at least one table");
        let mut run = Run { tables: Vec::with_capacity(tables.len()) };
        for (place, bytes) in tables.iter().enumerate() {
            self.tables += 1;
            run.tables.push(Table {
                id: self.tables,
                bytes: *bytes,
                entries: bytes / 100 + 1,
                tombstones: 0,
                max_seqno: u64::MAX - self.tables,
                min_key: format!("key{place:06}").into_bytes(),
                max_key: format!("key{place:06}~").into_bytes(),
            });
        }
        self.view.levels[usize::from(level)].runs.push(run);
        self
    }

    /// Adds `count` runs of one table each.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().runs(0, 4, 1 << 20).build();
    /// assert_eq!((tree.level0_runs(), tree.level_bytes(0)), (4, 4 << 20));
    /// ```
    #[must_use]
    pub fn runs(self, level: u8, count: usize, bytes: u64) -> Self {
        (0..count).fold(self, |builder, _| builder.run(level, bytes))
    }

    /// Sets the bytes in memtables.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().memtable_bytes(16 << 20).build();
    /// assert_eq!(tree.memtable_bytes, 16 << 20);
    /// ```
    #[must_use]
    pub fn memtable_bytes(mut self, bytes: u64) -> Self {
        self.view.memtable_bytes = bytes;
        self
    }

    /// Sets the bytes written per second.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().write_rate(5 << 20).build();
    /// assert_eq!(tree.write_rate, 5 << 20);
    /// ```
    #[must_use]
    pub fn write_rate(mut self, bytes: u64) -> Self {
        self.view.write_rate = bytes;
        self
    }

    /// Sets the free bytes on disk.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(6, 8 << 30).free_disk(4 << 30).build();
    /// assert!(tree.free_disk < tree.bytes(), "a rewrite does not fit");
    /// ```
    #[must_use]
    pub fn free_disk(mut self, bytes: u64) -> Self {
        self.view.free_disk = bytes;
        self
    }

    /// Sets the runs of level 0 above which the host acts on its own.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().guard_l0_runs(8).runs(0, 6, 1 << 20).build();
    /// assert_eq!(tree.runs_to_guard(), 2);
    /// ```
    #[must_use]
    pub fn guard_l0_runs(mut self, runs: u32) -> Self {
        self.view.guard_l0_runs = runs;
        self
    }

    /// Sets what became of the last step.
    ///
    /// ```
    /// use mortise_guest::compaction::{Origin, Outcome, PreviousStep, Step};
    /// use mortise_guest::testkit::view;
    ///
    /// let step = Step::Move { from: 1, to: 6 }.into();
    /// let previous = PreviousStep { step, wanted_by: Origin::Plugin, outcome: Outcome::Stale, took_ms: 0 };
    /// let tree = view().run(6, 1 << 20).previous(previous.clone()).build();
    /// assert_eq!(tree.previous, Some(previous));
    /// ```
    #[must_use]
    pub fn previous(mut self, previous: PreviousStep) -> Self {
        self.view.previous = Some(previous);
        self
    }

    /// The view.
    ///
    /// ```
    /// use mortise_guest::testkit::view;
    ///
    /// let tree = view().run(3, 1 << 20).build();
    /// assert_eq!(tree.filled().collect::<Vec<_>>(), [3]);
    /// ```
    #[must_use]
    pub fn build(self) -> View {
        self.view
    }
}
