//! The shape of a volume's tree as numbers, and the steps that may change it.
//!
//! A *shape* is what an observer may know: levels, the runs of each level, the tables of each run. Level 0
//! holds the newest data; within a level the first run is the newest; the tables of a run are disjoint and
//! ordered by key. A *step* changes the shape and never the content. [`check_step`] is the kernel's own
//! judgement whether a step keeps reads right: whoever proposes a step, native or plugin, passes through it.
//!
//! The rules for moves and merges come from experiments with lsm-tree 3.1.10, whose own primitives assume
//! them without checking.

use bytes::Bytes;

/// Number of levels in every tree.
pub const LEVELS: u8 = 7;

/// One table on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Identifier, unique within the tree, never reused.
    pub id: u64,
    /// Size on disk in bytes.
    pub bytes: u64,
    /// Entries, tombstones included.
    pub entries: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Smallest stored key.
    pub min_key: Bytes,
    /// Largest stored key.
    pub max_key: Bytes,
    /// Largest sequence number, a measure of age.
    pub max_seqno: u64,
}

/// Disjoint tables ordered by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunShape {
    /// The tables.
    pub tables: Vec<TableShape>,
}

impl RunShape {
    /// Size on disk in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }
}

/// One level; the first run is the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelShape {
    /// The runs.
    pub runs: Vec<RunShape>,
}

impl LevelShape {
    /// Size on disk in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(RunShape::bytes).sum()
    }
}

/// The whole tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeShape {
    /// All [`LEVELS`] levels, level 0 first.
    pub levels: Vec<LevelShape>,
    /// Bytes in the active and the sealed memtables.
    pub memtable_bytes: u64,
    /// Sealed memtables waiting for their flush.
    pub sealed_memtables: usize,
}

impl TreeShape {
    /// Size of all tables in bytes.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.levels.iter().map(LevelShape::bytes).sum()
    }

    /// Number of tables.
    #[must_use]
    pub fn tables(&self) -> usize {
        self.levels.iter().flat_map(|level| &level.runs).map(|run| run.tables.len()).sum()
    }
}

/// A change of a tree's shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// One step of levelled compaction with these knobs; does nothing when the tree needs none.
    Partial {
        /// Number of runs in level 0 that starts a compaction; at least 1.
        l0_threshold: u8,
        /// Size ratio between neighbouring levels; at least 2.
        level_ratio: f32,
        /// Target size of a table in bytes.
        table_bytes: u64,
    },
    /// Merge all of level `from` with level `to` into one run of `to`; equal levels merge a level's runs.
    Merge {
        /// Source level.
        from: u8,
        /// Destination level.
        to: u8,
    },
    /// Move the only run of level `from` to level `to` without rewriting.
    Move {
        /// Source level.
        from: u8,
        /// Destination level.
        to: u8,
    },
    /// Rewrite the whole tree into one run of the last level.
    Major {
        /// Target size of a table in bytes.
        table_bytes: u64,
    },
}

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepOutcome {
    /// Bytes of the tables that the step consumed.
    pub bytes_in: u64,
    /// Bytes of the tables that it wrote; 0 for a move.
    pub bytes_out: u64,
    /// Tables consumed.
    pub tables_in: usize,
    /// Tables written or moved.
    pub tables_out: usize,
}

/// Why a step is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IllegalStep {
    /// A level does not exist.
    #[error("level {found} does not exist; levels are 0 to {last}", last = LEVELS - 1)]
    NoSuchLevel {
        /// Level named.
        found: u8,
    },
    /// The destination lies above the source.
    #[error("cannot go from level {from} up to level {to}; data only moves down")]
    Upwards {
        /// Source level.
        from: u8,
        /// Destination level.
        to: u8,
    },
    /// The source holds nothing.
    #[error("level {level} is empty; there is nothing to merge or move")]
    EmptySource {
        /// Source level.
        level: u8,
    },
    /// Several runs would be moved together, which would corrupt their order.
    #[error("level {level} has {runs} runs; only a level with exactly one run can be moved")]
    SeveralRuns {
        /// Source level.
        level: u8,
        /// Runs found.
        runs: usize,
    },
    /// A level that has to be empty is not.
    #[error("level {level} is not empty; the step would pass newer data below it")]
    NotEmpty {
        /// The level concerned.
        level: u8,
    },
    /// A merge of a level into itself that has one run already.
    #[error("level {level} has one run already; merging it into itself would rewrite it for nothing")]
    NothingToMerge {
        /// The level concerned.
        level: u8,
    },
    /// A knob is out of its bounds.
    #[error("{knob} is {found}; allowed is {allowed}")]
    Knob {
        /// Name of the knob.
        knob: &'static str,
        /// Value found.
        found: String,
        /// Values allowed.
        allowed: &'static str,
    },
}

/// Bounds of a table's target size in bytes.
pub const TABLE_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=1024 * 1024 * 1024;

/// Judges whether `step` keeps reads of a tree of this `shape` right.
///
/// # Errors
/// The rule that the step breaks.
pub fn check_step(shape: &TreeShape, step: &Step) -> Result<(), IllegalStep> {
    match *step {
        Step::Partial { l0_threshold, level_ratio, table_bytes } => {
            if l0_threshold == 0 {
                return Err(knob("l0-threshold", l0_threshold, "1 to 255"));
            }
            if !(2.0..=100.0).contains(&level_ratio) {
                return Err(knob("level-ratio", level_ratio, "2 to 100"));
            }
            check_table_bytes(table_bytes)
        }
        Step::Merge { from, to } => check_merge(shape, from, to),
        Step::Move { from, to } => check_move(shape, from, to),
        Step::Major { table_bytes } => check_table_bytes(table_bytes),
    }
}

fn knob(knob: &'static str, found: impl ToString, allowed: &'static str) -> IllegalStep {
    IllegalStep::Knob { knob, found: found.to_string(), allowed }
}

fn check_table_bytes(table_bytes: u64) -> Result<(), IllegalStep> {
    if TABLE_BYTES.contains(&table_bytes) {
        Ok(())
    } else {
        Err(knob("table-bytes", table_bytes, "64 KiB to 1 GiB"))
    }
}

/// Runs in `level`, which must exist.
fn runs(shape: &TreeShape, level: u8) -> Result<usize, IllegalStep> {
    if level >= LEVELS {
        return Err(IllegalStep::NoSuchLevel { found: level });
    }
    Ok(shape.levels.get(usize::from(level)).map_or(0, |level| level.runs.len()))
}

fn check_span(shape: &TreeShape, from: u8, to: u8) -> Result<usize, IllegalStep> {
    let source_runs = runs(shape, from)?;
    runs(shape, to)?;
    if to < from {
        return Err(IllegalStep::Upwards { from, to });
    }
    if source_runs == 0 {
        return Err(IllegalStep::EmptySource { level: from });
    }
    Ok(source_runs)
}

fn check_merge(shape: &TreeShape, from: u8, to: u8) -> Result<(), IllegalStep> {
    let source_runs = check_span(shape, from, to)?;
    if from == to {
        return if source_runs == 1 { Err(IllegalStep::NothingToMerge { level: from }) } else { Ok(()) };
    }
    for level in from + 1..to {
        if runs(shape, level)? > 0 {
            return Err(IllegalStep::NotEmpty { level });
        }
    }
    Ok(())
}

fn check_move(shape: &TreeShape, from: u8, to: u8) -> Result<(), IllegalStep> {
    let source_runs = check_span(shape, from, to)?;
    if source_runs != 1 {
        return Err(IllegalStep::SeveralRuns { level: from, runs: source_runs });
    }
    if from == to {
        return Err(IllegalStep::NotEmpty { level: to });
    }
    for level in from + 1..=to {
        if runs(shape, level)? > 0 {
            return Err(IllegalStep::NotEmpty { level });
        }
    }
    Ok(())
}
