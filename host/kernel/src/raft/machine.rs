//! openraft's state machine over the volume's store.
//!
//! Entries are applied by an [`Applier`]. Whatever is flushed is the state at exactly one entry; the store
//! itself seals between entries only. Whoever takes the *turn* holds apply between two entries, to exchange
//! the store.
//!
//! A *snapshot* is only a statement here: «everything up to the flushed position is in tables». openraft
//! asks for one before it purges the log, so this is what bounds the purge to what is flushed, and to what
//! [`LogHold`]s keep. Its data cannot be transferred; a replica that is sent one stops with a clear error
//! and changes nothing.

use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageIOError};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::Instant;

use super::applier::{Applier, position, stored_bytes};
use super::hold::{Holds, LogHold};
use super::types::{Entry, LogId, StorageError, StoredMembership, TypeConfig};
use crate::format::{Answer, Coder};
use crate::kv::Command;
use crate::store::{Applied, CurrentStore, Served};
use crate::{Error, Result};

/// Pause between two tries to apply an entry.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// For how long an entry is tried before the group stops with the log intact.
const TRY_FOR: Duration = Duration::from_secs(60);

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
    store: Arc<CurrentStore>,
    upkeep: Arc<dyn Upkeep>,
    /// Taken for every entry.
    turn: Arc<Mutex<Applier>>,
    holds: Holds,
    applied: watch::Sender<u64>,
}

impl Machine {
    /// Takes up where the store stands.
    pub(super) fn new(store: Arc<CurrentStore>, upkeep: Arc<dyn Upkeep>) -> Result<Arc<Self>> {
        let applier = Applier::new(&store.load())?;
        let applied = watch::Sender::new(store.load().applied().index);
        let turn = Arc::new(Mutex::new(applier));
        Ok(Arc::new(Self { store, upkeep, turn, holds: Holds::default(), applied }))
    }

    /// Holds apply between two entries.
    pub(super) async fn take_turn(&self) -> OwnedMutexGuard<Applier> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Lets another store serve, and returns the one before. The caller has the turn, and the store has
    /// exactly the entries of the one before.
    pub(super) fn exchange(&self, next: Arc<Served>) -> Arc<Served> {
        self.store.exchange(next)
    }

    /// Keeps the log behind what is flushed at this moment.
    pub(super) fn hold(&self) -> LogHold {
        self.holds.take(|| self.flushed())
    }

    /// Keeps the log behind a position.
    pub(super) fn hold_at(&self, position: Applied) -> LogHold {
        self.holds.take(|| position)
    }

    /// Index up to which the log may be purged now, and will be.
    pub(super) fn allow_purge(&self) -> u64 {
        self.holds.allow(|| self.flushed()).index
    }

    /// Index up to which a purge was allowed; it may be under way.
    pub(super) fn purge_allowed(&self) -> u64 {
        self.holds.allowed()
    }

    /// Position whose state is in tables of the store that serves.
    pub(super) fn flushed(&self) -> Applied {
        self.store.load().flushed()
    }

    /// Whether a range of keys is the same one in the store that serves and under another coder.
    pub(super) fn orders_like(&self, other: &Coder) -> bool {
        let store = self.store.load();
        let coder = store.coder();
        coder.agrees_with(other) || (coder.keeps_order() && other.keeps_order())
    }

    /// Index of the last entry applied.
    pub(super) fn applied_index(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Seals the memtable between two entries.
    pub(super) fn seal(&self) -> Result<()> {
        if self.store.load().seal()? {
            self.upkeep.sealed();
        }
        Ok(())
    }

    /// The index applied last; changes after every entry.
    pub(super) fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Applies an entry; tries again for a while when files cannot be read or the format's codec does not
    /// answer, since nothing of it was applied. An entry is never skipped.
    async fn apply_patiently(&self, entry: &Entry) -> Result<()> {
        let last_try = Instant::now() + TRY_FOR;
        let mut search = None;
        loop {
            let Err(error) = self.apply_entry(entry).await else { break };
            let search = search.get_or_insert_with(|| {
                let store = self.store.keep();
                tokio::task::spawn_blocking(move || store.find_damage())
            });
            if !may_heal(&error) {
                return Err(search.await.ok().flatten().unwrap_or(error));
            }
            // What fails may succeed while tables are searched: nobody waits for that here.
            if Instant::now() >= last_try {
                return Err(error);
            }
            tracing::warn!(%error, index = entry.log_id.index, "applying failed; it is tried again");
            tokio::time::sleep(RETRY_AFTER).await;
        }
        if self.upkeep.entry_applied(stored_bytes(entry)) {
            self.seal()?;
        }
        Ok(())
    }

    /// Applies an entry, in its turn, and answers those who wait; an error leaves nothing of it behind.
    async fn apply_entry(&self, entry: &Entry) -> Result<()> {
        let mut applier = self.turn.lock().await;
        let answers = applier.apply(&self.store.load(), entry)?;
        self.applied.send_replace(entry.log_id.index);
        drop(applier);
        let EntryPayload::Normal(batch) = &entry.payload else { return Ok(()) };
        if compacts(batch.commands(), &answers) {
            self.upkeep.compacted();
        }
        if let Some(replies) = batch.replies() {
            replies.answer(answers);
        }
        Ok(())
    }
}

/// Whether an entry may be applied later. A codec may be repaired; what it refuses here was accepted before.
fn may_heal(error: &Error) -> bool {
    matches!(error, Error::Io { .. } | Error::NoSpace(_) | Error::CodecFault { .. } | Error::Refused { .. })
}

fn compacts(commands: &[Command], answers: &[Result<Answer>]) -> bool {
    commands
        .iter()
        .zip(answers)
        .any(|(command, answer)| matches!((command, answer), (Command::Compact { .. }, Ok(_))))
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
        let position = position(&self.0.store.load().applied())
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
        // Nothing is purged because of this one.
        let snapshot = mark(&self.0.holds.bound(|| self.0.flushed()))
            .map_err(|error| StorageIOError::read_snapshot(None, any(&error)))?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

/// States how far the store is flushed, and nobody holds the log.
pub(super) struct FlushedMark(Arc<Machine>);

impl RaftSnapshotBuilder<TypeConfig> for FlushedMark {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError> {
        mark(&self.0.holds.allow(|| self.0.flushed()))
            .map_err(|error| StorageIOError::read_snapshot(None, any(&error)).into())
    }
}

fn mark(flushed: &Applied) -> Result<Snapshot<TypeConfig>> {
    let position = position(flushed)?;
    let (last_log_id, last_membership) =
        position.map_or_else(Default::default, |(log_id, membership)| (Some(log_id), membership));
    let meta =
        SnapshotMeta { last_log_id, last_membership, snapshot_id: format!("flushed-{}", flushed.index) };
    Ok(Snapshot { meta, snapshot: Box::default() })
}
