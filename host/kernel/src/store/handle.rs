//! Skeleton of the store: signatures that the node builds against.
#![allow(clippy::unimplemented, missing_docs)]

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::{Step, StepOutcome, TreeShape};
use crate::Result;
use crate::kv::{Command, CommandResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use crate::node::ContentHash;

/// What a store is opened with.
pub struct StoreConfig {
    /// Directory of the tree; created when missing.
    pub path: PathBuf,
    /// Block cache, shared by all stores of a node.
    pub cache: Arc<lsm_tree::Cache>,
    /// File descriptors kept open, shared by all stores of a node; `None` keeps every table's file open.
    pub descriptors: Option<Arc<lsm_tree::DescriptorTable>>,
    /// Size in bytes from which [`Store::memtable_full`] says that the memtable should be sealed.
    pub memtable_bytes: u64,
}

impl StoreConfig {
    /// A configuration with a small cache of its own, for tests and tools.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache: Arc::new(lsm_tree::Cache::with_capacity_bytes(16 * 1024 * 1024)),
            descriptors: None,
            memtable_bytes: 16 * 1024 * 1024,
        }
    }
}

/// A position in the raft log up to which a state holds the effects of all entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Index of the last entry, 0 before the first.
    pub index: u64,
    /// Bytes of the raft layer, kept with the data and handed back unread.
    pub opaque: Bytes,
}

/// What a flush wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Bytes of the new tables on disk.
    pub bytes: u64,
}

/// What one step of logical compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// Whether nothing superseded is left below the compacted revision.
    pub done: bool,
    /// Superseded versions and tombstones removed by this step.
    pub removed: u64,
}

/// Counts since a store was opened. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Commands applied.
    pub commands: u64,
    /// Key and value bytes written into memtables.
    pub written_bytes: u64,
    /// Bytes written to tables by memtable flushes.
    pub flushed_bytes: u64,
    /// Bytes read by compaction steps.
    pub compaction_in_bytes: u64,
    /// Bytes written by compaction steps.
    pub compaction_out_bytes: u64,
}

/// One volume's multi-version store. All calls block; share it as `Arc<Store>`.
#[derive(Debug)]
pub struct Store;

impl Store {
    pub fn open(_config: StoreConfig) -> Result<Self> {
        unimplemented!()
    }
    pub fn applied(&self) -> Applied {
        unimplemented!()
    }
    pub fn flushed(&self) -> Applied {
        unimplemented!()
    }
    pub fn apply(&self, _position: Applied, _commands: &[Command]) -> Result<Vec<Result<CommandResponse>>> {
        unimplemented!()
    }
    pub fn set_position(&self, _position: Applied) -> Result<()> {
        unimplemented!()
    }
    pub fn range(&self, _request: &RangeRequest) -> Result<RangeResponse> {
        unimplemented!()
    }
    pub fn read_txn(&self, _request: &TxnRequest) -> Result<TxnResponse> {
        unimplemented!()
    }
    pub fn content_hash(&self, _revision: i64) -> Result<ContentHash> {
        unimplemented!()
    }
    pub fn revision(&self) -> i64 {
        unimplemented!()
    }
    /// 0 when nothing was compacted.
    pub fn compact_revision(&self) -> i64 {
        unimplemented!()
    }
    pub fn memtable_full(&self) -> bool {
        unimplemented!()
    }
    /// Seals the active memtable; `false` when it is empty. Call it between two entries only.
    pub fn seal(&self) -> Result<bool> {
        unimplemented!()
    }
    pub fn sealed_memtables(&self) -> usize {
        unimplemented!()
    }
    pub fn l0_runs(&self) -> usize {
        unimplemented!()
    }
    pub fn flush(&self) -> Result<Option<Flushed>> {
        unimplemented!()
    }
    pub fn scrub(&self, _max_revisions: usize) -> Result<ScrubProgress> {
        unimplemented!()
    }
    pub fn shape(&self) -> TreeShape {
        unimplemented!()
    }
    pub fn run_step(&self, _step: &Step) -> Result<StepOutcome> {
        unimplemented!()
    }
    pub fn counters(&self) -> StoreCounters {
        unimplemented!()
    }
    /// Seals and flushes everything, so that the next open has nothing to replay.
    pub fn close(&self) -> Result<()> {
        unimplemented!()
    }
}
