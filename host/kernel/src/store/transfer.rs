//! All rows of a store going out, and into an empty store.
//!
//! *Out* goes what tables hold at one moment (see [`super::tables`]): the state at exactly one position. It
//! stays right for as long as it lives, whatever is flushed, compacted or written meanwhile, and neither the
//! block cache nor a memtable holds anything because of it.
//!
//! *In* they go past the memtables, straight into tables, which is several times cheaper. In key order they
//! make one run, whatever their number. Out of order, they are sorted in portions of a few mebibytes, each
//! portion makes a run of level 0, and levelled compaction merges those while they come in.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use lsm_tree::{AbstractTree, AnyTree};
use xxhash_rust::xxh3::Xxh3;

use super::columns::{self, Column};
use super::convert::Row;
use super::handle::Store;
use super::read::Readable;
use super::scan;
use super::tables::{TableRows, Tables};
use super::tree::Tree;
use super::{Applied, Step, hash};
use crate::format::Coder;
use crate::kv::KeyValue;
use crate::node::ContentHash;
use crate::{Error, Result};

/// Bytes of rows that are sorted at a time.
const PORTION_BYTES: usize = 16 * 1024 * 1024;
/// Runs in level 0 from which those loaded out of order are merged.
const MERGE_RUNS: usize = 8;
/// Size of the tables that they are merged into.
const TABLE_BYTES: u64 = 64 * 1024 * 1024;
/// Growth from level to level of a tree that was loaded out of order.
const LEVEL_RATIO: f32 = 8.0;

/// Rows in any order, counted and summed, so that two sets of rows can be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSum {
    /// Number of rows.
    pub rows: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
    /// Sum of each row's hash.
    sum: u64,
}

impl RowSum {
    /// Takes a row into account.
    pub fn add(&mut self, (key, value): &Row) {
        let mut hasher = Xxh3::new();
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        self.rows += 1;
        self.bytes += (key.len() + value.len()) as u64;
        self.sum = self.sum.wrapping_add(hasher.digest());
    }
}

/// All rows that a store has in tables, as of one position, in key order.
pub struct PinnedRows {
    rows: TableRows,
    content: Option<PinnedContent>,
    /// The position.
    pub position: Applied,
    /// Rows to come, about.
    pub rows_estimate: u64,
    /// Bytes of rows to come, about.
    pub bytes_estimate: u64,
}

impl std::fmt::Debug for PinnedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinnedRows").field("position", &self.position.index).finish_non_exhaustive()
    }
}

/// What users see at the position of [`PinnedRows`], to be hashed.
pub struct PinnedContent {
    opened: hash::Opened,
    coder: Coder,
}

impl std::fmt::Debug for PinnedContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinnedContent").field("coder", &self.coder).finish_non_exhaustive()
    }
}

impl PinnedContent {
    /// Its fingerprint. `each` is told the bytes of every few keys, and may end this.
    ///
    /// # Errors
    /// The storage or the codec failed, or what `each` answers.
    pub fn hash(self, each: &mut dyn FnMut(u64) -> Result<()>) -> Result<ContentHash> {
        self.opened.hash(&self.coder, each)
    }
}

impl PinnedRows {
    /// What users see at this position; once.
    pub fn take_content(&mut self) -> Option<PinnedContent> {
        self.content.take()
    }
}

impl Store {
    /// Size of the active memtable, in bytes.
    #[must_use]
    pub fn memtable_bytes(&self) -> u64 {
        self.memtable_bytes.load(Ordering::Relaxed)
    }

    /// Rows in tables, superseded ones of the tree and its tombstones included.
    #[must_use]
    pub fn rows_in_tables(&self) -> u64 {
        let version = self.tree.library().current_version();
        version.iter_tables().map(|table| table.metadata.item_count).sum()
    }

    /// An iterator over all rows that are in tables at this moment, for another store to take. What is in
    /// memtables is behind its position, in the log: whoever wants it, too, flushes before.
    ///
    /// # Errors
    /// The storage failed.
    pub fn pin(&self) -> Result<PinnedRows> {
        pin(self)
    }

    /// Puts rows, the state row among them, into this store, which is empty and not in use. They become
    /// visible when it is opened again. Rows that come `in_order` of their keys make one run of tables.
    ///
    /// # Errors
    /// What the iterator answers; or the storage failed, or the rows are not in order, or two have one key.
    pub fn load(&self, in_order: bool, rows: &mut dyn Iterator<Item = Result<Row>>) -> Result<RowSum> {
        load(self, in_order, rows)
    }
}

/// Pins the tables. That these are one moment's needs no gate: a version of the tree never changes.
fn pin(store: &Store) -> Result<PinnedRows> {
    let tables = Tables::of(&store.tree);
    let state = tables.state()?;
    let readable = Readable { current: state.revision, compacted: state.compacted };
    let opened = hash::Opened::latest(latest(tables.rows()), readable);
    Ok(PinnedRows {
        rows: tables.rows(),
        content: Some(PinnedContent { opened, coder: store.coder.clone() }),
        position: state.applied,
        rows_estimate: tables.count(),
        bytes_estimate: tables.bytes(),
    })
}

/// The latest versions among rows; their column comes before all others.
fn latest(rows: TableRows) -> impl Iterator<Item = Result<KeyValue>> + Send {
    let tree = rows.tree().clone();
    let is_latest = |row: &Result<Row>| {
        row.as_ref().map_or(true, |(key, _)| columns::column(key) == Some(Column::Latest))
    };
    rows.take_while(is_latest).map(move |row| scan::latest_kv(&tree, row?))
}

impl Iterator for PinnedRows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

/// Puts rows into an empty store.
fn load(store: &Store, in_order: bool, rows: &mut dyn Iterator<Item = Result<Row>>) -> Result<RowSum> {
    if in_order {
        return ingest(&store.tree, rows);
    }
    let mut loaded = RowSum::default();
    while let Some(portion) = next_portion(rows)? {
        let sum = ingest(&store.tree, &mut portion.into_iter().map(Ok))?;
        loaded = RowSum {
            rows: loaded.rows + sum.rows,
            bytes: loaded.bytes + sum.bytes,
            sum: loaded.sum.wrapping_add(sum.sum),
        };
        if store.l0_runs() >= MERGE_RUNS {
            let l0_threshold = MERGE_RUNS as u8 / 2;
            let level_ratio = LEVEL_RATIO;
            store.run_step(&Step::Partial { l0_threshold, level_ratio, table_bytes: TABLE_BYTES })?;
        }
    }
    Ok(loaded)
}

fn next_portion(rows: &mut dyn Iterator<Item = Result<Row>>) -> Result<Option<Vec<Row>>> {
    let (mut portion, mut bytes) = (Vec::new(), 0);
    while bytes < PORTION_BYTES
        && let Some(row) = rows.next().transpose()?
    {
        bytes += row.0.len() + row.1.len();
        portion.push(row);
    }
    portion.sort_by(|one, other| one.0.cmp(&other.0));
    Ok((!portion.is_empty()).then_some(portion))
}

/// Makes one run of rows that come in key order.
fn ingest(tree: &Tree, rows: &mut dyn Iterator<Item = Result<Row>>) -> Result<RowSum> {
    let failed = |error: lsm_tree::Error| tree.explain("writing rows to tables", &error);
    let library = AnyTree::Standard(tree.library().clone());
    let mut ingestion = library.ingestion().map_err(failed)?;
    let mut sum = RowSum::default();
    let mut last: Option<Bytes> = None;
    for row in rows {
        let row = row?;
        if last.as_ref().is_some_and(|last| *last >= row.0) {
            let key = row.0.escape_ascii().to_string();
            return Err(Error::Internal(format!(
                "rows to be loaded must ascend, the one with key {key} does not"
            )));
        }
        sum.add(&row);
        last = Some(row.0.clone());
        ingestion.write(row.0, row.1).map_err(failed)?;
    }
    ingestion.finish().map_err(failed)?;
    Ok(sum)
}
