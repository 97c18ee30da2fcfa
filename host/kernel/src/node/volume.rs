//! Skeleton of the node and its volumes: signatures that other crates build against.
#![allow(clippy::unimplemented, clippy::unused_async, missing_docs)]

use std::sync::Arc;

use tokio::sync::watch;

use super::{Consistency, ContentHash, NodeConfig, VolumeConfig, VolumeCounters, VolumeId, VolumeStatus};
use crate::Result;
use crate::kv::{Command, CommandResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use crate::seams::{Deadline, SharedClock};
use crate::store::{Step, StepOutcome, TreeShape};

/// A data directory, locked, with its log and its open volumes.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Locks and opens (or creates) the data directory and its log. Opens no volume.
    pub async fn open(_config: NodeConfig, _clock: SharedClock) -> Result<Arc<Self>> {
        unimplemented!()
    }
    /// Random, made when the directory was created.
    pub fn cluster_id(&self) -> u64 {
        unimplemented!()
    }
    /// Random, made when the directory was created.
    pub fn node_id(&self) -> u64 {
        unimplemented!()
    }
    pub fn config(&self) -> &NodeConfig {
        unimplemented!()
    }
    /// Folder for a part of the node outside the kernel (`plugins`), created below the data directory.
    pub fn subdirectory(&self, _name: &str) -> Result<std::path::PathBuf> {
        unimplemented!()
    }
    /// Creates the directory, first generation and one-voter raft group of a volume, then opens it.
    pub async fn create_volume(&self, _volume: VolumeConfig) -> Result<Arc<Volume>> {
        unimplemented!()
    }
    /// Opens a volume that exists on disk; removes leftovers of interrupted work; returns when it leads and
    /// everything acknowledged before the last stop is applied.
    pub async fn open_volume(&self, _volume: VolumeConfig) -> Result<Arc<Volume>> {
        unimplemented!()
    }
    /// Volumes that have a directory, open or not, complete or not.
    pub fn volumes_on_disk(&self) -> Result<Vec<VolumeId>> {
        unimplemented!()
    }
    /// The volume, when open.
    pub fn volume(&self, _id: VolumeId) -> Option<Arc<Volume>> {
        unimplemented!()
    }
    /// Stops a volume (open or not) and removes its files and its log. Safe to repeat after a crash.
    pub async fn remove_volume(&self, _id: VolumeId) -> Result<()> {
        unimplemented!()
    }
    /// Stops every volume and closes the log; nothing acknowledged is lost (nor would be by `kill -9`).
    pub async fn shutdown(&self) -> Result<()> {
        unimplemented!()
    }
    /// Free bytes on the disk that holds the data directory.
    pub fn free_disk_bytes(&self) -> Result<u64> {
        unimplemented!()
    }
}

/// One volume that is open on this node.
#[derive(Debug)]
pub struct Volume;

impl Volume {
    pub fn id(&self) -> VolumeId {
        unimplemented!()
    }
    pub fn name(&self) -> &str {
        unimplemented!()
    }
    /// Validates, logs, applies. Acknowledged (returned `Ok`) only when durable and applied.
    pub async fn propose(&self, _command: Command, _deadline: Deadline) -> Result<CommandResponse> {
        unimplemented!()
    }
    pub async fn range(
        &self,
        _request: RangeRequest,
        _consistency: Consistency,
        _deadline: Deadline,
    ) -> Result<RangeResponse> {
        unimplemented!()
    }
    /// Runs a transaction without writes (see `kv::is_read_only`), without a log entry.
    pub async fn read_txn(
        &self,
        _request: TxnRequest,
        _consistency: Consistency,
        _deadline: Deadline,
    ) -> Result<TxnResponse> {
        unimplemented!()
    }
    /// `Command::Compact`; with `physical`, also waits until superseded revisions are removed from the tree.
    pub async fn compact(&self, _revision: i64, _physical: bool, _deadline: Deadline) -> Result<i64> {
        unimplemented!()
    }
    /// Hash of what is readable at `revision` (0: the newest).
    pub async fn content_hash(&self, _revision: i64) -> Result<ContentHash> {
        unimplemented!()
    }
    /// Confirms leadership, within the deadline.
    pub async fn confirm_leadership(&self, _deadline: Deadline) -> Result<()> {
        unimplemented!()
    }
    pub fn status(&self) -> VolumeStatus {
        unimplemented!()
    }
    pub fn counters(&self) -> VolumeCounters {
        unimplemented!()
    }
    pub fn shape(&self) -> TreeShape {
        unimplemented!()
    }
    /// Changes whenever the shape did (flush, step), so that a compaction loop can wait instead of polling.
    pub fn shape_changes(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }
    /// Checks the step against the present shape and runs it on a blocking thread. One step at a time per
    /// volume: a second call waits.
    pub async fn compact_step(&self, _step: Step) -> Result<StepOutcome> {
        unimplemented!()
    }
    /// Seals and flushes the memtable now.
    pub async fn flush(&self) -> Result<()> {
        unimplemented!()
    }
}
