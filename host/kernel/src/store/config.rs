//! What a store is opened with and what it tells about itself.
//!
//! Plain data. Sizes are bytes. Positions of the raft log are kept with the data and handed back without
//! being read: the store compares their indices and knows nothing else of them. Counters begin at 0 when the
//! store is opened; the difference of two readings is what was done in between.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::{Cache, DescriptorTable};

use crate::format::Coder;

/// What a store is opened with.
pub struct StoreConfig {
    /// Directory of the tree; created when missing.
    pub path: PathBuf,
    /// Block cache, shared by all stores of a node.
    pub cache: Arc<Cache>,
    /// File descriptors kept open, shared by all stores of a node; `None` keeps every table's file open.
    pub descriptors: Option<Arc<DescriptorTable>>,
    /// Dropped when nothing reads the tree's files any more: neither the store nor an iterator of it.
    pub tenure: Option<Arc<dyn Any + Send + Sync>>,
    /// The format of keys and values.
    pub coder: Coder,
    /// Size in bytes from which [`super::Store::memtable_full`] says that the memtable should be sealed.
    pub memtable_bytes: u64,
}

impl StoreConfig {
    /// A configuration with a small cache of its own, for tests and tools.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            cache: Arc::new(Cache::with_capacity_bytes(16 * 1024 * 1024)),
            descriptors: None,
            tenure: None,
            coder: Coder::natural(),
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

impl StoreCounters {
    fn combined(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            commands: combine(self.commands, other.commands),
            written_bytes: combine(self.written_bytes, other.written_bytes),
            flushed_bytes: combine(self.flushed_bytes, other.flushed_bytes),
            compaction_in_bytes: combine(self.compaction_in_bytes, other.compaction_in_bytes),
            compaction_out_bytes: combine(self.compaction_out_bytes, other.compaction_out_bytes),
        }
    }

    /// Sums; they wrap, as what [`Self::minus`] leaves may stand for a negative number.
    pub(super) fn plus(self, other: Self) -> Self {
        self.combined(other, u64::wrapping_add)
    }

    /// Differences.
    pub(super) fn minus(self, other: Self) -> Self {
        self.combined(other, u64::wrapping_sub)
    }
}
