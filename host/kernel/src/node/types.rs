//! What a node and its volumes are configured with, and what they tell about themselves.
//!
//! Plain data. Sizes are bytes, counts begin at 0 when a volume is opened and only grow, and points in time
//! are milliseconds since the Unix epoch. Volumes are told apart by their ids; the kernel uses a name for
//! messages and metric labels only, and which volume has which name is for the catalog to say.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::format::FormatId;

/// Identifies a volume on every node of a cluster. Ids are never reused; names, which the catalog maps to
/// ids, may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VolumeId(pub u64);

impl VolumeId {
    /// The volume that holds the catalog.
    pub const SYSTEM: Self = Self(1);
    /// The volume served when a client names none.
    pub const DEFAULT: Self = Self(2);
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a node is run.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The data directory; created when missing.
    pub data_dir: PathBuf,
    /// Block cache shared by all volumes, in bytes.
    pub cache_bytes: u64,
    /// A memtable is sealed at this size, in bytes.
    pub memtable_bytes: u64,
    /// The same for the raft log, which has one memtable for all volumes.
    pub log_memtable_bytes: u64,
    /// Writers are slowed from this number of sealed memtables on.
    pub slow_sealed_memtables: usize,
    /// Most bytes of rows that one write may move at once, with what they take in memory beside their bytes:
    /// a delete of a range moves every row that it deletes.
    pub max_write_bytes: u64,
    /// Writers are slowed from this number of level-0 runs on, and stopped at twice as many.
    pub slow_l0_runs: usize,
    /// Writes are refused below this much free disk space, in bytes.
    pub reserve_disk_bytes: u64,
    /// Largest request accepted, in bytes.
    pub max_request_bytes: usize,
    /// Most operations in one list of a transaction.
    pub max_txn_ops: usize,
    /// Wait for requests that bring no deadline of their own.
    pub default_deadline: Duration,
}

impl NodeConfig {
    /// The defaults, over `data_dir`. Request limits are etcd's own.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            cache_bytes: 256 * 1024 * 1024,
            memtable_bytes: 64 * 1024 * 1024,
            log_memtable_bytes: 32 * 1024 * 1024,
            slow_sealed_memtables: 4,
            // As much as waits in memtables before writers are slowed, by the defaults above. Other sizes of
            // memtables leave it as it is: what it bounds is the memory of one write, not theirs.
            max_write_bytes: 256 * 1024 * 1024,
            slow_l0_runs: 24,
            reserve_disk_bytes: 256 * 1024 * 1024,
            max_request_bytes: 1536 * 1024,
            max_txn_ops: 128,
            default_deadline: Duration::from_secs(5),
        }
    }
}

/// What a volume is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeConfig {
    /// Its identity.
    pub id: VolumeId,
    /// Its name, for messages and metric labels only.
    pub name: String,
}

/// Whether a read must see every write acknowledged before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// It must; leadership is confirmed first.
    Linearizable,
    /// This replica's present state will do.
    Serializable,
}

/// Fingerprint of all that can be read at one revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentHash {
    /// Sum of the XXH3-64 of every readable key with all its fields; equal for equal content in any format.
    pub hash: u64,
    /// Revision hashed.
    pub revision: i64,
    /// Oldest readable revision at that moment, 0 when nothing was compacted.
    pub compact_revision: i64,
    /// Number of keys hashed.
    pub keys: u64,
}

/// A volume's state in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStatus {
    /// Current revision.
    pub revision: i64,
    /// Oldest readable revision, 0 when nothing was compacted.
    pub compact_revision: i64,
    /// Raft term.
    pub raft_term: u64,
    /// Last index in the raft log.
    pub raft_index: u64,
    /// Last index applied to the store.
    pub raft_applied_index: u64,
    /// Last index whose effects are in tables; the log is purged up to here.
    pub flushed_index: u64,
    /// Node that leads, if known.
    pub leader: Option<u64>,
    /// This node's id.
    pub node_id: u64,
    /// Number of the current generation.
    pub generation: u64,
    /// Bytes on disk: tables of the current generation.
    pub disk_bytes: u64,
    /// Bytes in memtables.
    pub memtable_bytes: u64,
}

/// A previous generation that a volume keeps, to go back to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGeneration {
    /// Its number.
    pub generation: u64,
    /// Its format.
    pub format: FormatId,
    /// It goes then, in milliseconds since the Unix epoch, or before, when it holds too much of the log or
    /// disk space runs short.
    pub until_unix_millis: u64,
}

/// Counts since a volume was opened. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeCounters {
    /// Commands applied.
    pub commands: u64,
    /// Key and value bytes that commands wrote into memtables.
    pub written_bytes: u64,
    /// Bytes written to tables by memtable flushes.
    pub flushed_bytes: u64,
    /// Bytes read by compaction steps.
    pub compaction_in_bytes: u64,
    /// Bytes written by compaction steps.
    pub compaction_out_bytes: u64,
    /// Writes that were slowed by back-pressure.
    pub slowed_writes: u64,
}
