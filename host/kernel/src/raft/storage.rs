//! openraft's log storage over the shared log.
//!
//! Entries are encoded here, kept in a [`Tail`] until they are durable and a while longer, and handed to the
//! writer thread. Reads come from the tail and, below it, from disk.
//!
//! The storage also sees every membership before any other node can, because openraft waits for an append
//! before it replicates; see [`Sole`].

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, EntryPayload, LogState, RaftLogReader, StorageIOError};
use parking_lot::Mutex;

use super::codec;
use super::types::{Entry, LogId, StorageError, TypeConfig, Vote};
use crate::log::{Log, Tail};
use crate::node::VolumeId;
use crate::{Error, Result};

/// Durable entries kept in memory per volume, in bytes. They are read back within moments, to be applied.
const TAIL_BYTES: usize = 1024 * 1024;
/// Bytes of entries that one replication message carries at most.
const REPLICATION_BYTES: usize = 4 * 1024 * 1024;

/// Whether this node is certainly the only one that can acknowledge writes of the volume.
///
/// It becomes true once, when the group has been opened with this node as its only voter, and false
/// for good as soon as the log sees a membership with another voter or a vote for another node. A
/// membership is seen here before it is replicated, and another node can only lead after it has received
/// such a membership; so whoever reads `true` knows that no other node has acknowledged anything.
#[derive(Debug, Default)]
pub(super) struct Sole(AtomicBool);

impl Sole {
    pub(super) fn is_certain(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn set(&self, certain: bool) {
        self.0.store(certain, Ordering::SeqCst);
    }
}

struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    tail: Tail<Entry>,
}

struct Shared {
    log: Arc<Log>,
    /// For messages only.
    path: PathBuf,
    volume: VolumeId,
    node_id: u64,
    sole: Arc<Sole>,
    state: Mutex<State>,
}

/// One volume's share of the log.
#[derive(Clone)]
pub(super) struct LogStorage(Arc<Shared>);

impl LogStorage {
    /// Reads what the log holds for the volume.
    pub(super) fn open(
        log: Arc<Log>,
        path: PathBuf,
        volume: VolumeId,
        node_id: u64,
        sole: Arc<Sole>,
    ) -> Result<Self> {
        let damaged = |detail: String| Error::Corrupt {
            path: path.clone(),
            detail: format!("raft state of volume {volume}: {detail}"),
        };
        let stored = log.attach(volume, |mark| Ok(codec::decode::<LogId>(mark).map_err(damaged)?.index))?;
        let purged: Option<LogId> =
            stored.purged.map(|mark| codec::decode(&mark)).transpose().map_err(damaged)?;
        let last = stored.last.map(|(index, bytes)| codec::decode_log_id(index, &bytes));
        let state = State {
            vote: stored.vote.map(|vote| codec::decode(&vote)).transpose().map_err(damaged)?,
            committed: stored.committed.map(|mark| codec::decode(&mark)).transpose().map_err(damaged)?,
            purged,
            last: last.transpose().map_err(damaged)?.max(purged),
            tail: Tail::new(TAIL_BYTES),
        };
        Ok(Self(Arc::new(Shared { log, path, volume, node_id, sole, state: Mutex::new(state) })))
    }

    /// Checks that the log goes on from where the store stands: it holds every entry that was applied last,
    /// or has purged it, and has purged none that comes later. Openraft would close such a gap by forgetting
    /// the entries in it.
    pub(super) fn check_continues(&self, applied: Option<LogId>) -> Result<()> {
        let state = self.0.state.lock();
        let told = |id: Option<LogId>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let (last, purged, applied_told) = (told(state.last), told(state.purged), told(applied));
        let gap = if applied > state.last {
            format!("expected entries up to {applied_told}, which the store holds, found up to {last}")
        } else if state.purged > applied {
            format!(
                "expected the entries behind {applied_told}, where the store stands, found them purged up to \
                 {purged}"
            )
        } else {
            return Ok(());
        };
        drop(state);
        Err(self.damaged(&format!(
            "{gap}; log and volumes are not of one time: keep them as evidence and restore both from one copy"
        )))
    }

    /// Index of the last entry, 0 when there is none.
    pub(super) fn last_index(&self) -> u64 {
        self.0.state.lock().last.map_or(0, |id| id.index)
    }

    /// Index up to which entries are gone or on their way out.
    pub(super) fn purged_index(&self) -> u64 {
        self.0.state.lock().purged.map_or(0, |id| id.index)
    }

    fn damaged(&self, detail: &str) -> Error {
        Error::Corrupt {
            path: self.0.path.clone(),
            detail: format!("raft log of volume {}: {detail}", self.0.volume),
        }
    }

    /// Entries of `range`, which is clamped to what exists; cut after `max_bytes` read from disk.
    pub(super) fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Entry>> {
        let (from_disk, recent) = {
            let state = self.0.state.lock();
            let first = state.purged.map_or(0, |id| id.index + 1);
            let end = state.last.map_or(0, |id| id.index + 1);
            let range = range.start.max(first)..range.end.min(end);
            if range.is_empty() {
                return Ok(Vec::new());
            }
            state.tail.read(range)
        };
        if from_disk.is_empty() {
            return Ok(recent);
        }
        let stored = self.0.log.read(self.0.volume, from_disk.start, from_disk.end - 1, max_bytes)?;
        let mut entries = Vec::with_capacity(stored.len() + recent.len());
        for (expected, (index, bytes)) in (from_disk.start..).zip(stored) {
            if index != expected {
                return Err(self.damaged(&format!("entry {expected} is missing; the next one is {index}")));
            }
            let entry = codec::decode_entry(index, &bytes);
            entries.push(entry.map_err(|detail| self.damaged(&format!("entry {index}: {detail}")))?);
        }
        let missing = from_disk.end - from_disk.start - entries.len() as u64;
        if missing == 0 {
            entries.extend(recent);
        } else if max_bytes == usize::MAX {
            return Err(self.damaged(&format!("{missing} entries before {} are missing", from_disk.end)));
        }
        Ok(entries)
    }

    /// Encodes and remembers entries; what goes to the writer.
    fn admit(&self, entries: impl IntoIterator<Item = Entry>) -> Result<Vec<(u64, bytes::Bytes)>> {
        let mut stored = Vec::new();
        for entry in entries {
            if let EntryPayload::Membership(membership) = &entry.payload
                && membership.voter_ids().any(|voter| voter != self.0.node_id)
            {
                self.0.sole.set(false);
            }
            let bytes = codec::encode_entry(&entry)?;
            let log_id = entry.log_id;
            let mut state = self.0.state.lock();
            state.tail.push(log_id.index, entry, bytes.len());
            state.last = Some(log_id);
            stored.push((log_id.index, bytes));
        }
        Ok(stored)
    }
}

fn any(error: &(impl std::error::Error + 'static)) -> AnyError {
    AnyError::new(error)
}

fn span(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for LogStorage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        self.read(span(&range), usize::MAX).map_err(|error| StorageIOError::read_logs(any(&error)).into())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        self.read(start..end, REPLICATION_BYTES)
            .map_err(|error| StorageIOError::read_logs(any(&error)).into())
    }
}

impl RaftLogStorage<TypeConfig> for LogStorage {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let state = self.0.state.lock();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        if vote.leader_id.node_id != self.0.node_id {
            self.0.sole.set(false);
        }
        let bytes = codec::encode(vote).map_err(|error| StorageIOError::write_vote(any(&error)))?;
        let saved = self.0.log.save_vote(self.0.volume, bytes).await;
        saved.map_err(|error| StorageIOError::write_vote(any(&error)))?;
        self.0.state.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.0.state.lock().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        if let Some(committed) = committed {
            let mark = codec::encode(&committed).map_err(|error| StorageIOError::write_logs(any(&error)))?;
            self.0.log.hint_committed(self.0.volume, mark);
            self.0.state.lock().committed = Some(committed);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.0.state.lock().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let stored = self.admit(entries).map_err(|error| StorageIOError::write_logs(any(&error)))?;
        let Some((last, _)) = stored.last() else {
            callback.log_io_completed(Ok(()));
            return Ok(());
        };
        let (end, shared) = (last + 1, Arc::clone(&self.0));
        let done = Box::new(move |result: Result<(), crate::log::LogFailure>| {
            if result.is_ok() {
                shared.state.lock().tail.durable(end);
            }
            callback.log_io_completed(result.map_err(io::Error::other));
        });
        self.0.log.append(self.0.volume, stored, done);
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        let before = since.index.checked_sub(1).map(|index| self.read(index..since.index, usize::MAX));
        let before = before.transpose().map_err(|error| StorageIOError::read_logs(any(&error)))?;
        let last = {
            let mut state = self.0.state.lock();
            let last = state.last.map_or(0, |id| id.index);
            state.tail.truncate(since.index);
            state.last = before.and_then(|found| found.first().map(|entry| entry.log_id)).max(state.purged);
            last
        };
        if last < since.index {
            return Ok(());
        }
        let truncated = self.0.log.truncate(self.0.volume, since.index, last).await;
        truncated.map_err(|error| StorageIOError::write_logs(any(&error)).into())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let mark = codec::encode(&upto).map_err(|error| StorageIOError::write_logs(any(&error)))?;
        let from = {
            let mut state = self.0.state.lock();
            let from = state.purged.map_or(0, |id| id.index + 1);
            state.tail.purge(upto.index);
            state.purged = state.purged.max(Some(upto));
            state.last = state.last.max(Some(upto));
            from
        };
        self.0.log.purge(self.0.volume, mark, from, upto.index);
        Ok(())
    }
}
