//! Changes of the tree's shape: sealing, flushing, compaction steps. None of them changes an answer.
//!
//! # What may run beside what
//! Reads and writes go on through all of it; the gate (see [`super::view`]) is taken only to begin. One
//! flush and one step may run at a time, with two exceptions that the library leaves to its user:
//!
//! * A merge *into level 0* puts its result in front of level 0. Were a flush to add a newer run meanwhile,
//!   the older result would hide it.
//! * A move *out of level 0* takes whatever level 0 holds when it runs. Were a flush to add a run after the
//!   step was judged, two runs that overlap would be moved as one.
//!
//! Such steps keep flushes away from being judged to being done. The other steps only add runs to lower
//! levels, and the library picks their inputs and takes them out of level 0 under a lock that registering a
//! flush takes too.
//!
//! After each piece of maintenance the view is published anew, above the sequence number that the library
//! gave the new super-version, and the ones before are released: with them go flushed memtables and merged
//! tables.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lsm_tree::compaction::{CompactionStrategy, Leveled, MoveDown, PullDown};
use lsm_tree::{AbstractTree, Memtable};

use super::handle::Store;
use super::tree::Tree;
use super::{
    Applied, Flushed, LEVELS, LevelShape, RunShape, Step, StepOutcome, TableShape, TreeShape, check_step,
};
use crate::seams::fault::{self, Point, pass};
use crate::{Error, Result, manifest};

/// Runs in level 0 beyond which nothing is flushed: the library writes their number into one byte.
const MOST_L0_RUNS: usize = 240;

/// Tables that a tree has, about, at most: beyond it, steps write larger ones than they are asked to.
const MOST_TABLES: u64 = 20_000;

/// A sealed memtable that waits for its flush.
pub(super) struct Sealed {
    /// Position of the last entry in it.
    position: Applied,
    /// Its size.
    bytes: u64,
    /// Holding it here decides who frees it: see [`settle`].
    _memtable: Arc<Memtable>,
}

/// How many memtables are sealed, and their bytes. Changed by the holder of the write lock.
#[derive(Default)]
pub(super) struct SealedTally {
    count: AtomicUsize,
    bytes: AtomicU64,
}

impl SealedTally {
    fn put(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Whether the tree has no table.
pub(super) fn is_empty(tree: &Tree) -> bool {
    tree.library().table_count() == 0
}

/// Runs in level 0.
pub(super) fn l0_runs(tree: &Tree) -> usize {
    tree.library().l0_run_count()
}

/// Seals the active memtable, between two entries.
pub(super) fn seal(store: &Store) -> bool {
    let mut writer = store.writer.lock();
    let Some(memtable) = store.tree.library().rotate_memtable() else { return false };
    let position = writer.state.applied.clone();
    let bytes = memtable.size();
    writer.sealed.push_back(Sealed { position, bytes, _memtable: memtable });
    store.sealed.put(bytes);
    store.memtable_bytes.store(0, Ordering::Relaxed);
    true
}

/// Flushes the sealed memtables.
pub(super) fn flush(store: &Store) -> Result<Option<Flushed>> {
    let _turn = store.flush_turn.lock();
    let tree = store.tree.library();
    if tree.sealed_memtable_count() == 0 {
        // A flush that failed after its tables were registered has left this to be done.
        if !store.writer.lock().sealed.is_empty() {
            settle(store)?;
        }
        return Ok(None);
    }
    let runs = tree.l0_run_count();
    if runs >= MOST_L0_RUNS {
        return Err(Error::Busy(format!("level 0 has {runs} runs and must be compacted before a flush")));
    }
    pass(Point::FlushBefore)?;
    let highest_before = tree.get_highest_persisted_seqno();
    let watermark = store.gate.begin();
    let first_table = manifest::table_path(&store.tree.path(), tree.next_table_id());
    let begun = || first_table.exists();
    let (flushed, passed) =
        fault::during(Point::FlushMiddle, begun, || tree.flush(&tree.get_flush_lock(), watermark));
    flushed.map_err(|error| store.tree.explain("flushing a memtable", &error))?;
    passed.map_err(fault::injected)?;
    // A memtable holds nothing but entries that are newer than all tables before it.
    let bytes = tree
        .current_version()
        .iter_tables()
        .filter(|table| Some(table.get_highest_seqno()) > highest_before)
        .map(|table| table.metadata.file_size)
        .sum();
    store.tallies.flushed_bytes.fetch_add(bytes, Ordering::Relaxed);
    settle(store)?;
    pass(Point::FlushAfter)?;
    Ok(Some(Flushed { bytes }))
}

/// Takes note of what was flushed, publishes a view that is served by the newest super-version, and releases
/// those before it.
///
/// Freeing a memtable entry by entry, or deleting the files of merged tables, takes tens of milliseconds, and
/// the library would do it under the lock that every read and write needs. The memtables are therefore still
/// held here when the library lets go of them (as [`run_step`] holds the tables), and freed afterwards.
fn settle(store: &Store) -> Result<()> {
    let tree = store.tree.library();
    let mut flushed = Vec::new();
    {
        let mut writer = store.writer.lock();
        // Sealing needs the write lock, so that what the tree still has sealed are the last ones of the
        // queue.
        let left = tree.sealed_memtable_count();
        while writer.sealed.len() > left {
            if let Some(sealed) = writer.sealed.pop_front() {
                store.positions.write().flushed = sealed.position.clone();
                store.sealed.take(sealed.bytes);
                flushed.push(sealed);
            }
        }
        store.publish(&writer);
    }
    let watermark = store.gate.begin();
    let released = tree.get_version_history_lock().maintenance(&store.tree.path(), watermark);
    drop(flushed);
    released.map_err(|error| store.tree.explain("releasing old tables", &error))
}

/// Judges a step and runs it.
pub(super) fn run_step(store: &Store, step: &Step) -> Result<StepOutcome> {
    let _turn = store.step_turn.lock();
    let concerns_flushes = matches!(step, Step::Merge { to: 0, .. } | Step::Move { from: 0, .. });
    let _no_flush = concerns_flushes.then(|| store.flush_turn.lock());
    let before = shape(store);
    check_step(&before, step)?;
    if before.tables() == 0 {
        return Ok(StepOutcome::default());
    }
    // A tree of very many tables cannot be looked at in reasonable time, by plugins or by anybody.
    let least_table_bytes = before.disk_bytes() / MOST_TABLES;
    let tree = store.tree.library();
    let replaced = tree.current_version();
    let watermark = store.gate.begin();
    let done = match *step {
        Step::Partial { l0_threshold, level_ratio, table_bytes } => {
            let strategy = Leveled::default()
                .with_l0_threshold(l0_threshold)
                .with_level_ratio_policy(vec![level_ratio])
                .with_table_target_size(table_bytes.max(least_table_bytes));
            match gap(&before) {
                Some((from, to)) => compact(tree, MoveDown(from, to), watermark),
                None => compact(tree, strategy, watermark),
            }
        }
        Step::Merge { from, to } => compact(tree, PullDown(from, to), watermark),
        Step::Move { from, to } => compact(tree, MoveDown(from, to), watermark),
        Step::Major { table_bytes } => tree.major_compact(table_bytes.max(least_table_bytes), watermark),
    };
    done.map_err(|error| store.tree.explain("compacting", &error))?;
    let outcome = compare(&before, &shape(store));
    store.tallies.compaction_out_bytes.fetch_add(outcome.bytes_out, Ordering::Relaxed);
    if outcome.bytes_out > 0 {
        store.tallies.compaction_in_bytes.fetch_add(outcome.bytes_in, Ordering::Relaxed);
    }
    settle(store)?;
    // With the last hold on them, the files of merged tables go; no lock is held here but the turns.
    drop(replaced);
    Ok(outcome)
}

/// The lowest level above an empty one, and how far down it can be moved.
///
/// The library's levelled strategy keeps its levels together at the bottom and takes for granted (by
/// assertion in debug builds) that nothing lies above an empty level. Other steps leave such gaps. Closing
/// one is a move that writes nothing, and counts as the step.
fn gap(shape: &TreeShape) -> Option<(u8, u8)> {
    let empty = |level: u8| shape.levels.get(usize::from(level)).is_none_or(|level| level.runs.is_empty());
    let from = (1..LEVELS - 1).rev().find(|&level| !empty(level) && empty(level + 1))?;
    let to = (from + 1..LEVELS).take_while(|&level| empty(level)).last()?;
    Some((from, to))
}

fn compact(
    tree: &lsm_tree::Tree,
    strategy: impl CompactionStrategy + 'static,
    watermark: u64,
) -> lsm_tree::Result<()> {
    tree.compact(Arc::new(strategy), watermark)
}

/// What happened between two shapes, not counting what a flush brought meanwhile.
fn compare(before: &TreeShape, after: &TreeShape) -> StepOutcome {
    let old = tables(before);
    let new = tables(after);
    let newest = old.values().map(|(_, table)| table.max_seqno).max().unwrap_or_default();
    let mut outcome = StepOutcome::default();
    for (id, (level, table)) in &old {
        if new.get(id).is_none_or(|(now, _)| now != level) {
            outcome.tables_in += 1;
            outcome.bytes_in += table.bytes;
        }
    }
    for (id, (level, table)) in &new {
        match old.get(id) {
            Some((then, _)) => outcome.tables_out += usize::from(then != level),
            None if table.max_seqno <= newest => {
                outcome.tables_out += 1;
                outcome.bytes_out += table.bytes;
            }
            None => {}
        }
    }
    outcome
}

fn tables(shape: &TreeShape) -> HashMap<u64, (usize, &TableShape)> {
    let levels = shape.levels.iter().enumerate();
    levels
        .flat_map(|(level, it)| it.runs.iter().map(move |run| (level, run)))
        .flat_map(|(level, run)| run.tables.iter().map(move |table| (table.id, (level, table))))
        .collect()
}

/// The tree's present shape.
pub(super) fn shape(store: &Store) -> TreeShape {
    let version = store.tree.library().current_version();
    let table = |table: &lsm_tree::Table| TableShape {
        id: table.id(),
        bytes: table.metadata.file_size,
        entries: table.metadata.item_count,
        tombstones: table.tombstone_count(),
        min_key: table.metadata.key_range.min().clone().into(),
        max_key: table.metadata.key_range.max().clone().into(),
        max_seqno: table.get_highest_seqno(),
    };
    let levels = version.iter_levels().map(|level| LevelShape {
        runs: level.iter().map(|run| RunShape { tables: run.iter().map(table).collect() }).collect(),
    });
    let levels = levels.collect();
    TreeShape {
        levels,
        memtable_bytes: store.memtable_bytes.load(Ordering::Relaxed) + store.sealed.bytes(),
        sealed_memtables: store.sealed.count(),
    }
}
