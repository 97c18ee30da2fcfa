//! One open volume: writes through its raft group, reads from its store.
//!
//! Every wait is bounded by the caller's deadline. Giving up releases what was waited for; a write that was
//! logged already stands. Reads of one key run where they are called; ranges run on the blocking pool, a
//! bounded number at a time over the whole node.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::disk::DiskGauge;
use super::home::{Home, Opened, keep_tidy};
use super::kept::Kept;
use super::pressure::Brake;
use super::rebuilding::Rebuilds;
use super::stores::Stores;
use super::tasks::Tasks;
use super::upkeep::VolumeUpkeep;
use super::{Consistency, ContentHash, NodeConfig, VolumeConfig, VolumeCounters, VolumeId, VolumeStatus};
use crate::format::Meter;
use crate::kv::{self, Command, CommandResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse};
use crate::log::Log;
use crate::raft::{Group, GroupConfig, ProposerConfig, Throttle, Upkeep};
use crate::seams::{Deadline, SharedClock};
use crate::store::{CurrentStore, Reading, Served, Step, StepOutcome, Store, TreeShape, Waiting};
use crate::{Error, Result};

/// What a node gives to each of its volumes.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) config: NodeConfig,
    pub(super) node_id: u64,
    pub(super) stores: Stores,
    pub(super) log: Arc<Log>,
    pub(super) log_path: std::path::PathBuf,
    pub(super) disk: Arc<DiskGauge>,
    pub(super) clock: SharedClock,
    pub(super) flush_slots: Arc<Semaphore>,
    pub(super) read_slots: Arc<Semaphore>,
}

/// One volume that is open on this node.
pub struct Volume {
    volume: VolumeConfig,
    pub(super) home: Arc<Home>,
    pub(super) shared: Shared,
    pub(super) store: Arc<CurrentStore>,
    pub(super) group: Arc<Group>,
    pub(super) upkeep: Arc<VolumeUpkeep>,
    write_throttle: Arc<Brake>,
    pub(super) kept: Arc<Kept>,
    pub(super) rebuilds: Rebuilds,
    /// Taken by a write that changes much at once.
    pub(super) heavy: Arc<tokio::sync::Mutex<()>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    closed: AtomicBool,
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.home.current();
        f.debug_struct("Volume").field("volume", &self.volume).field("generation", &generation).finish()
    }
}

impl Volume {
    /// Starts the raft group over an open store; returns when it leads and has applied its log.
    pub(super) async fn start(volume: VolumeConfig, opened: Opened, shared: Shared) -> Result<Arc<Self>> {
        let Opened { home, departures, store, kept } = opened;
        let store = CurrentStore::new(Served::new(store, home.reaper()));
        let upkeep = VolumeUpkeep::new(
            volume.id,
            Arc::clone(&store),
            shared.config.clone(),
            Arc::clone(&shared.disk),
            Arc::clone(&shared.flush_slots),
        );
        let write_throttle = Arc::new(Brake::new(shared.config.clone(), upkeep.pressure(), &volume.name));
        // Replay needs flushes already; scrubs come after it.
        let tidy = keep_tidy(Arc::clone(&home), departures, upkeep.busy());
        let mut tasks = Tasks(vec![tokio::spawn(Arc::clone(&upkeep).keep_flushed()), tokio::spawn(tidy)]);
        let group = Group::open(GroupConfig {
            volume: volume.id,
            node_id: shared.node_id,
            log: Arc::clone(&shared.log),
            log_path: shared.log_path.clone(),
            store: Arc::clone(&store),
            upkeep: Arc::clone(&upkeep) as Arc<dyn Upkeep>,
            throttle: Arc::clone(&write_throttle) as Arc<dyn Throttle>,
            proposer: ProposerConfig::default(),
            round_limit: shared.config.default_deadline,
        });
        let group = match group.await {
            Ok(group) => Arc::new(group),
            Err(error) => {
                // Nothing may work on these files any more when the volume is opened once more.
                tasks.end().await;
                upkeep.idle().await;
                return Err(error);
            }
        };
        let kept = Kept::recover(Arc::clone(&home), Arc::clone(&group), Arc::clone(&shared.clock), kept);
        upkeep.serve(&group);
        // What a crash, or replay itself, flushed without purging the log behind it.
        group.purge_flushed().await;
        tasks.0.push(tokio::spawn(Arc::clone(&upkeep).keep_scrubbed()));
        let (state, changes) = (Arc::clone(&upkeep), upkeep.shape_changes());
        let state = move || (state.logged(), state.is_short_of_disk());
        tasks.0.push(tokio::spawn(Arc::clone(&kept).keep_in_bounds(state, changes)));
        let tasks = Mutex::new(std::mem::take(&mut tasks.0));
        let closed = AtomicBool::new(false);
        let rebuilds = Rebuilds::default();
        Ok(Arc::new(Self {
            volume,
            home,
            shared,
            store,
            group,
            upkeep,
            write_throttle,
            kept,
            rebuilds,
            heavy: Arc::default(),
            tasks,
            closed,
        }))
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> VolumeId {
        self.volume.id
    }

    /// Its name when it was opened.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.volume.name
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::ShuttingDown("the volume")) } else { Ok(()) }
    }

    /// Validates, logs, applies. Acknowledged (returned `Ok`) only when durable and applied.
    ///
    /// # Errors
    /// The request is refused, the disk is full, too much waits, or the deadline passed, in which case the
    /// write may still happen.
    pub async fn propose(&self, command: Command, deadline: Deadline) -> Result<CommandResponse> {
        self.check_open()?;
        let config = &self.shared.config;
        if self.store.load().coder().is_natural() {
            kv::validate(&command, config.max_txn_ops, config.max_request_bytes)?;
            self.shared.disk.check()?;
            let _turn = self.admit(&command, None, deadline).await?;
            return self.group.propose(command, None, deadline).await?.decode(Meter::Request(deadline));
        }
        kv::validate_to_encode(&command, config.max_txn_ops, config.max_request_bytes)?;
        self.shared.disk.check()?;
        self.propose_coded(command, deadline).await
    }

    /// Reads a key or a range.
    ///
    /// # Errors
    /// The request is refused, or the deadline passed.
    pub async fn range(
        &self,
        request: RangeRequest,
        consistency: Consistency,
        deadline: Deadline,
    ) -> Result<RangeResponse> {
        let config = &self.shared.config;
        kv::validate(&request, config.max_txn_ops, config.max_request_bytes)?;
        self.ready(consistency, deadline).await?;
        let meter = Meter::Request(deadline);
        let of_one_key = request.range_end.is_empty();
        if of_one_key && self.store.load().coder().is_quick() {
            let store = self.store.load();
            let found = store.coder().run(|| store.range(&request, meter));
            drop(store);
            return match found {
                Err(error @ (Error::Io { .. } | Error::Corrupt { .. })) => {
                    Err(self.named(error, deadline).await)
                }
                found => found,
            };
        }
        let read = move |reading: &Reading<'_>| {
            let find = || reading.range(&request, meter);
            if of_one_key { reading.store().coder().run(find) } else { find() }
        };
        deadline.bound("the range read", self.read(read)).await?
    }

    /// Runs a transaction without writes (see [`kv::is_read_only`]), without a log entry.
    ///
    /// # Errors
    /// The request is refused, or the deadline passed.
    pub async fn read_txn(
        &self,
        request: TxnRequest,
        consistency: Consistency,
        deadline: Deadline,
    ) -> Result<TxnResponse> {
        let config = &self.shared.config;
        kv::validate(&request, config.max_txn_ops, config.max_request_bytes)?;
        self.ready(consistency, deadline).await?;
        let meter = Meter::Request(deadline);
        let read = self.read(move |reading| reading.read_txn(&request, meter));
        deadline.bound("the read transaction", read).await?
    }

    /// An error of a read that must not search for damage, with the damage in its place if there is some.
    async fn named(&self, error: Error, deadline: Deadline) -> Error {
        let search = self.read(|reading| Ok(reading.store().find_damage()));
        match deadline.bound("the search for damage", search).await {
            Ok(Ok(Some(damage))) => damage,
            _ => error,
        }
    }

    async fn ready(&self, consistency: Consistency, deadline: Deadline) -> Result<()> {
        self.check_open()?;
        match consistency {
            Consistency::Serializable => Ok(()),
            Consistency::Linearizable => self.group.read_barrier(deadline).await,
        }
    }

    /// Runs a read on the blocking pool. When the answer is dropped, at a deadline or because a client has
    /// gone, the read ends within a few hundred rows and gives its slot back.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reading<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slots = Arc::clone(&self.shared.read_slots);
        let slot = slots.acquire_owned().await.map_err(|_| Error::ShuttingDown("the node"))?;
        let waiting = Waiting::default();
        let wanted = waiting.wanted();
        let read = move |store: &Store| {
            let found = work(&store.reading(wanted));
            drop(slot);
            found
        };
        let found = self.upkeep.blocking(read).await;
        drop(waiting);
        found
    }

    /// Proposes [`Command::Compact`]; with `physical`, also waits until superseded revisions are removed from
    /// the tree. Returns the current revision.
    ///
    /// # Errors
    /// The revision is compacted already or in the future, or the deadline passed.
    pub async fn compact(&self, revision: i64, physical: bool, deadline: Deadline) -> Result<i64> {
        let answer = self.propose(Command::Compact { revision }, deadline).await?;
        if physical {
            let mut scrubbed = self.upkeep.scrubbed();
            let removed = scrubbed.wait_for(|scrubbed| *scrubbed >= revision);
            let removed = deadline.bound("removing superseded revisions", removed).await?;
            removed.map_err(|_| Error::ShuttingDown("the volume"))?;
        }
        match answer {
            CommandResponse::Compact { revision } => Ok(revision),
            other => Err(Error::Internal(format!("a compaction was answered with {other:?}"))),
        }
    }

    /// Hash of what is readable at `revision` (0: the newest). As long as the volume is large; dropping the
    /// answer ends it.
    ///
    /// # Errors
    /// The revision is compacted or in the future.
    pub async fn content_hash(&self, revision: i64) -> Result<ContentHash> {
        self.check_open()?;
        self.read(move |reading| reading.content_hash(revision)).await
    }

    /// Confirms leadership, within the deadline.
    ///
    /// # Errors
    /// This node does not lead, or the deadline passed.
    pub async fn confirm_leadership(&self, deadline: Deadline) -> Result<()> {
        self.ready(Consistency::Linearizable, deadline).await
    }

    /// The volume's state in numbers.
    #[must_use]
    pub fn status(&self) -> VolumeStatus {
        let store = self.store.load();
        let shape = store.shape();
        let (raft_term, raft_index) = self.group.position();
        VolumeStatus {
            revision: store.revision(),
            compact_revision: store.compact_revision(),
            raft_term,
            raft_index,
            raft_applied_index: store.applied().index,
            flushed_index: store.flushed().index,
            leader: self.group.leader(),
            node_id: self.shared.node_id,
            generation: self.home.current(),
            disk_bytes: shape.disk_bytes(),
            memtable_bytes: shape.memtable_bytes,
        }
    }

    /// Raft term. Unlike [`Volume::status`] cheap enough for every request.
    #[must_use]
    pub fn raft_term(&self) -> u64 {
        self.group.position().0
    }

    /// Counts since the volume was opened.
    #[must_use]
    pub fn counters(&self) -> VolumeCounters {
        let store = self.store.counters();
        VolumeCounters {
            commands: store.commands,
            written_bytes: store.written_bytes,
            flushed_bytes: store.flushed_bytes,
            compaction_in_bytes: store.compaction_in_bytes,
            compaction_out_bytes: store.compaction_out_bytes,
            slowed_writes: self.write_throttle.slowed_writes(),
        }
    }

    /// The present shape of the tree.
    #[must_use]
    pub fn shape(&self) -> TreeShape {
        self.store.load().shape()
    }

    /// Changes whenever the shape did (flush, step), so that a compaction loop can wait instead of polling.
    #[must_use]
    pub fn shape_changes(&self) -> watch::Receiver<u64> {
        self.upkeep.shape_changes()
    }

    /// Checks the step against the present shape and runs it on a blocking thread. One step at a time per
    /// volume: a second call waits.
    ///
    /// # Errors
    /// [`Error::IllegalStep`], or the storage failed; the tree is as it was then.
    pub async fn compact_step(&self, step: Step) -> Result<StepOutcome> {
        self.check_open()?;
        self.upkeep.step(step).await
    }

    /// Seals and flushes the memtable now.
    ///
    /// # Errors
    /// The storage failed; nothing is lost, and the flush is tried again.
    pub async fn flush(&self) -> Result<()> {
        self.check_open()?;
        self.group.seal()?;
        self.upkeep.flush().await
    }

    /// Index up to which the raft log is purged; it follows the flushed index shortly after each flush.
    #[must_use]
    pub fn purged_index(&self) -> u64 {
        self.group.purged_index()
    }

    /// Takes no more requests, finishes those that wait, within the deadline, and stops. Safe to repeat.
    ///
    /// # Errors
    /// [`Error::Busy`] when a flush, a compaction step or the end of a rebuild still runs at the deadline; it
    /// cannot be interrupted.
    pub(super) async fn stop(&self, deadline: Deadline) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        // It needs the group, which ends after it.
        let rebuilt = self.rebuilds.close(self.id(), deadline).await;
        self.group.stop(deadline).await;
        let tasks = std::mem::take(&mut *self.tasks.lock());
        Tasks(tasks).end().await;
        rebuilt?;
        deadline.bound("maintenance of the volume", self.upkeep.idle()).await.map_err(|_| {
            Error::Busy(format!("a flush or compaction step of volume {} is still running", self.id()))
        })
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.tasks.get_mut().iter().for_each(JoinHandle::abort);
    }
}
