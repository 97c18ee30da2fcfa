//! Views made by hand.

use crate::compaction::{LEVELS, Level, PreviousStep, Run, Table, View};

/// Begins a view of an empty tree, with 100 GiB of free disk, no writes, and a guard rail at 20 runs.
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
#[derive(Clone, Debug)]
pub struct ViewBuilder {
    view: View,
    tables: u64,
}

impl ViewBuilder {
    /// Adds a run of one table below the runs that `level` has already.
    ///
    /// # Panics
    /// When the level does not exist.
    #[must_use]
    pub fn run(self, level: u8, bytes: u64) -> Self {
        self.run_of(level, &[bytes])
    }

    /// Adds a run with a table for each size.
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
    #[must_use]
    pub fn runs(self, level: u8, count: usize, bytes: u64) -> Self {
        (0..count).fold(self, |builder, _| builder.run(level, bytes))
    }

    /// Sets the bytes in memtables.
    #[must_use]
    pub fn memtable_bytes(mut self, bytes: u64) -> Self {
        self.view.memtable_bytes = bytes;
        self
    }

    /// Sets the bytes written per second.
    #[must_use]
    pub fn write_rate(mut self, bytes: u64) -> Self {
        self.view.write_rate = bytes;
        self
    }

    /// Sets the free bytes on disk.
    #[must_use]
    pub fn free_disk(mut self, bytes: u64) -> Self {
        self.view.free_disk = bytes;
        self
    }

    /// Sets the runs of level 0 above which the host acts on its own.
    #[must_use]
    pub fn guard_l0_runs(mut self, runs: u32) -> Self {
        self.view.guard_l0_runs = runs;
        self
    }

    /// Sets what became of the last step.
    #[must_use]
    pub fn previous(mut self, previous: PreviousStep) -> Self {
        self.view.previous = Some(previous);
        self
    }

    /// The view.
    #[must_use]
    pub fn build(self) -> View {
        self.view
    }
}
