//! openraft's state machine over the volume's store.
//!
//! Each entry is applied with its position, which the store keeps in the same memtable as the data, so that
//! whatever is flushed is the state at exactly one entry; the store itself seals between entries only.
//!
//! A *snapshot* is only a statement here: «everything up to the flushed position is in tables». openraft asks
//! for one before it purges the log, so this is what bounds the purge to what is flushed. Its data cannot be
//! transferred; a replica that is sent one stops with a clear error and changes nothing.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageIOError};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::codec;
use super::types::{Batch, Entry, LogId, StorageError, StoredMembership, TypeConfig};
use crate::kv::{Command, CommandResponse};
use crate::store::{Applied, Store};
use crate::{Error, Result};

/// Pause between two tries to apply an entry.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Tries to apply an entry, a minute's worth, before the group stops with the log intact.
const MOST_TRIES: u32 = 600;

/// What has to happen around apply: sealing, flushing, removing superseded revisions. All calls are short.
pub trait Upkeep: Send + Sync + 'static {
    /// Whether the memtable is to be sealed now, after an entry with this many stored bytes was applied.
    fn entry_applied(&self, stored_bytes: usize) -> bool;
    /// The memtable was sealed.
    fn sealed(&self);
    /// A command made old revisions unreadable.
    fn compacted(&self);
    /// Waits until one more memtable may fill up. Replay has no other brake.
    fn room(&self) -> BoxFuture<'_, ()>;
}

/// The store with what raft has to know about it.
pub(super) struct Machine {
    store: Arc<Store>,
    upkeep: Arc<dyn Upkeep>,
    membership: Mutex<StoredMembership>,
    applied: watch::Sender<u64>,
}

type Position = (LogId, StoredMembership);

impl Machine {
    /// Takes up where the store stands.
    pub(super) fn new(store: Arc<Store>, upkeep: Arc<dyn Upkeep>) -> Result<Arc<Self>> {
        let applied = store.applied();
        let membership = position(&applied)?.map(|(_, membership)| membership).unwrap_or_default();
        let machine = Self {
            store,
            upkeep,
            membership: Mutex::new(membership),
            applied: watch::Sender::new(applied.index),
        };
        Ok(Arc::new(machine))
    }

    /// Seals the memtable between two entries.
    pub(super) fn seal(&self) -> Result<()> {
        if self.store.seal()? {
            self.upkeep.sealed();
        }
        Ok(())
    }

    /// The index applied last; changes after every entry.
    pub(super) fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Applies an entry; tries again for a while when files cannot be read, since nothing of it was applied.
    async fn apply_patiently(&self, entry: &Entry) -> Result<()> {
        let mut tries = 1;
        let stored_bytes = loop {
            match self.apply_entry(entry) {
                Err(error @ (Error::Io { .. } | Error::NoSpace(_))) if tries < MOST_TRIES => {
                    tracing::warn!(%error, index = entry.log_id.index, "applying failed; it is tried again");
                    tokio::time::sleep(RETRY_AFTER).await;
                    tries += 1;
                }
                done => break done?,
            }
        };
        self.applied.send_replace(entry.log_id.index);
        if self.upkeep.entry_applied(stored_bytes) {
            self.seal()?;
        }
        Ok(())
    }

    /// Applies an entry and returns its size; an error leaves nothing of it behind.
    fn apply_entry(&self, entry: &Entry) -> Result<usize> {
        let Entry { log_id, payload } = entry;
        let log_id = *log_id;
        if let EntryPayload::Membership(membership) = payload {
            *self.membership.lock() = StoredMembership::new(Some(log_id), membership.clone());
        }
        let opaque = codec::encode(&(log_id, &*self.membership.lock()))?;
        let position = Applied { index: log_id.index, opaque };
        match payload {
            EntryPayload::Normal(batch) => {
                self.apply_batch(position, batch)?;
                Ok(batch.encoded().len())
            }
            EntryPayload::Blank | EntryPayload::Membership(_) => {
                self.store.set_position(position)?;
                Ok(0)
            }
        }
    }

    fn apply_batch(&self, position: Applied, batch: &Batch) -> Result<()> {
        let answers = self.store.apply(position, batch.commands())?;
        if compacts(batch.commands(), &answers) {
            self.upkeep.compacted();
        }
        if let Some(replies) = batch.replies() {
            replies.answer(answers);
        }
        Ok(())
    }
}

fn compacts(commands: &[Command], answers: &[Result<CommandResponse>]) -> bool {
    commands
        .iter()
        .zip(answers)
        .any(|(command, answer)| matches!((command, answer), (Command::Compact { .. }, Ok(_))))
}

/// Reads raft's part of a position; `None` before the first entry.
fn position(applied: &Applied) -> Result<Option<Position>> {
    if applied.opaque.is_empty() {
        return Ok(None);
    }
    let decoded = codec::decode::<Position>(&applied.opaque)
        .map_err(|detail| Error::Storage { context: "reading the raft position out of a store", detail })?;
    Ok(Some(decoded))
}

fn any(error: &(impl std::error::Error + 'static)) -> AnyError {
    AnyError::new(error)
}

fn cannot_install() -> StorageError {
    let error = io::Error::new(
        io::ErrorKind::Unsupported,
        "a snapshot arrived, but this version cannot install snapshots; nothing was changed",
    );
    StorageIOError::write_snapshot(None, any(&error)).into()
}

/// What openraft drives.
pub(super) struct StateMachine(pub(super) Arc<Machine>);

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = FlushedMark;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let position = position(&self.0.store.applied())
            .map_err(|error| StorageIOError::read_state_machine(any(&error)))?;
        Ok(position.map_or_else(Default::default, |(log_id, membership)| (Some(log_id), membership)))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let mut answers = Vec::new();
        for entry in entries {
            let log_id = entry.log_id;
            self.0.upkeep.room().await;
            self.0.apply_patiently(&entry).await.map_err(|error| {
                tracing::error!(%error, index = log_id.index, "applying a log entry failed");
                StorageIOError::apply(log_id, any(&error))
            })?;
            answers.push(());
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> FlushedMark {
        FlushedMark(Arc::clone(&self.0))
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Err(cannot_install())
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMeta<u64, openraft::BasicNode>,
        _snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        Err(cannot_install())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError> {
        let snapshot = FlushedMark(Arc::clone(&self.0)).build_snapshot().await?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

/// States how far the store is flushed.
pub(super) struct FlushedMark(Arc<Machine>);

impl RaftSnapshotBuilder<TypeConfig> for FlushedMark {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        let flushed = self.0.store.flushed();
        let position =
            position(&flushed).map_err(|error| StorageIOError::read_snapshot(None, any(&error)))?;
        let (last_log_id, last_membership) =
            position.map_or_else(Default::default, |(log_id, membership)| (Some(log_id), membership));
        let meta =
            SnapshotMeta { last_log_id, last_membership, snapshot_id: format!("flushed-{}", flushed.index) };
        Ok(Snapshot { meta, snapshot: Box::default() })
    }
}
