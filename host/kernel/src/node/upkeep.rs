//! What goes on behind an open volume: flushing sealed memtables, purging the log behind them, and removing
//! superseded revisions in small steps.
//!
//! A memtable is sealed when it is full, or when the entries applied since the last seal take four times its
//! size in the log: commands may be large in the log and leave little behind, and the log may only be purged
//! up to what is flushed. (An idle volume holds nothing but its own few entries; the log's database copies
//! those along when it flushes, so they keep no other volume's log alive.)
//!
//! Flushes of all volumes share a few slots. A flush or a scrub that fails is reported and tried again after
//! a pause, since a full disk may get room again; meanwhile the pressure stays up and writers wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Mutex, Notify, RwLock, Semaphore, watch};

use super::disk::DiskGauge;
use super::pressure::Pressure;
use super::{NodeConfig, VolumeId};
use crate::raft::{Group, Upkeep};
use crate::store::{CurrentStore, LevelShape, Served, Step, StepOutcome, Store, TreeShape};
use crate::{Error, Result};

/// Log bytes since the last seal, in memtables, from which one is sealed however little it holds.
const LOG_PER_MEMTABLE: u64 = 4;
/// Superseded revisions looked at in one step of a scrub; a few milliseconds of work.
const SCRUB_REVISIONS: usize = 512;
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct VolumeUpkeep {
    id: VolumeId,
    store: Arc<CurrentStore>,
    config: NodeConfig,
    disk: Arc<DiskGauge>,
    flush_slots: Arc<Semaphore>,
    group: OnceLock<Weak<Group>>,
    /// Held shared by every piece of blocking work on the store, and alone by whoever waits for its end.
    busy: Arc<RwLock<()>>,
    log_bytes: AtomicU64,
    /// Bytes of all entries applied since the volume was opened.
    logged: AtomicU64,
    flush_wanted: Notify,
    scrub_wanted: Notify,
    flushing: Mutex<()>,
    stepping: Mutex<()>,
    pressure: watch::Sender<Pressure>,
    shape: watch::Sender<u64>,
    /// Everything superseded below this revision is removed.
    scrubbed: watch::Sender<i64>,
}

impl VolumeUpkeep {
    pub(super) fn new(
        id: VolumeId,
        store: Arc<CurrentStore>,
        config: NodeConfig,
        disk: Arc<DiskGauge>,
        flush_slots: Arc<Semaphore>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            pressure: watch::Sender::new(Pressure::default().measured(&store.load())),
            store,
            config,
            disk,
            flush_slots,
            group: OnceLock::new(),
            busy: Arc::default(),
            log_bytes: AtomicU64::new(0),
            logged: AtomicU64::new(0),
            flush_wanted: Notify::new(),
            scrub_wanted: Notify::new(),
            flushing: Mutex::default(),
            stepping: Mutex::default(),
            shape: watch::Sender::new(0),
            scrubbed: watch::Sender::new(0),
        })
    }

    /// The group whose log is purged behind flushes.
    pub(super) fn serve(&self, group: &Arc<Group>) {
        // A second call would name the same group; there is one per volume.
        drop(self.group.set(Arc::downgrade(group)));
    }

    fn group(&self) -> Option<Arc<Group>> {
        self.group.get().and_then(Weak::upgrade)
    }

    pub(super) fn pressure(&self) -> watch::Receiver<Pressure> {
        self.pressure.subscribe()
    }

    pub(super) fn shape_changes(&self) -> watch::Receiver<u64> {
        self.shape.subscribe()
    }

    pub(super) fn scrubbed(&self) -> watch::Receiver<i64> {
        self.scrubbed.subscribe()
    }

    /// Runs blocking work on the store; [`VolumeUpkeep::idle`] waits for it even when its caller gave up.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let busy = Arc::clone(&self.busy).read_owned().await;
        let store = self.store.keep();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&store);
            drop(busy);
            done
        });
        done.await
            .unwrap_or_else(|error| Err(Error::Internal(format!("work on a store ended early: {error}"))))
    }

    /// Another store serves now.
    pub(super) fn exchanged(&self) {
        self.scrubbed.send_replace(0);
        self.scrub_wanted.notify_one();
        self.reshaped();
        self.flush_wanted.notify_one();
    }

    /// Slows writers by so many degrees for a rebuild; 0 lets them go.
    pub(super) fn slow_writers(&self, degree: u8) {
        self.pressure
            .send_if_modified(|known| std::mem::replace(&mut known.rebuild_degree, degree) != degree);
    }

    /// Waits until nothing is left that is unreadable at this moment.
    pub(super) async fn all_scrubbed(&self) {
        let target = self.store.load().compact_revision();
        // The sender is `self`, so it outlives the wait.
        drop(self.scrubbed.subscribe().wait_for(|scrubbed| *scrubbed >= target).await);
    }

    /// Bytes of all entries applied since the volume was opened.
    pub(super) fn logged(&self) -> u64 {
        self.logged.load(Ordering::Relaxed)
    }

    /// Whether free disk space is short.
    pub(super) fn is_short_of_disk(&self) -> bool {
        self.disk.is_short()
    }

    /// What is held by every piece of blocking work.
    pub(super) fn busy(&self) -> Arc<RwLock<()>> {
        Arc::clone(&self.busy)
    }

    /// Waits until no blocking work is left.
    pub(super) async fn idle(&self) {
        drop(self.busy.write().await);
    }

    /// Flushes what is sealed, then lets the log be purged.
    pub(super) async fn flush(&self) -> Result<()> {
        let one_at_a_time = self.flushing.lock().await;
        let slot = self.flush_slots.acquire().await.map_err(|_| Error::ShuttingDown("the node"))?;
        let flushed = self.blocking(|store| store.flush()).await?;
        drop(slot);
        drop(one_at_a_time);
        self.disk.expire();
        if flushed.is_some() {
            self.reshaped();
        } else {
            self.weigh();
        }
        if let Some(group) = self.group() {
            group.purge_flushed().await;
        }
        Ok(())
    }

    /// Runs one compaction step, alone. A step whose output may not fit beside its input is refused before
    /// it begins: it would take the space that writes of every volume need, and then fail.
    pub(super) async fn step(&self, step: Step) -> Result<StepOutcome> {
        let one_at_a_time = self.stepping.lock().await;
        self.disk.expire();
        self.disk.check_room("compaction", rewritten_bytes(&self.store.load().shape(), &step))?;
        let outcome = self.blocking(move |store| store.run_step(&step)).await?;
        drop(one_at_a_time);
        self.reshaped();
        Ok(outcome)
    }

    fn reshaped(&self) {
        self.weigh();
        self.shape.send_modify(|changes| *changes += 1);
    }

    fn weigh(&self) {
        // Measured under the channel's lock: otherwise a stale value might be published last, and stay.
        self.pressure.send_if_modified(|known| {
            let pressure = known.measured(&self.store.load());
            std::mem::replace(known, pressure) != pressure
        });
    }

    /// Flushes whenever something is sealed; runs until it is aborted.
    pub(super) async fn keep_flushed(self: Arc<Self>) {
        loop {
            self.flush_wanted.notified().await;
            while self.store.load().sealed_memtables() > 0 {
                let flushed = self.flush().await;
                self.pressure.send_if_modified(|known| {
                    std::mem::replace(&mut known.flushes_fail, flushed.is_err()) != flushed.is_err()
                });
                if let Err(error) = flushed {
                    tracing::warn!(volume = %self.id, %error, "a flush failed; it is tried again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Removes superseded revisions whenever some became unreadable; runs until it is aborted.
    pub(super) async fn keep_scrubbed(self: Arc<Self>) {
        // A scrub that a stop interrupted goes on.
        self.scrub_wanted.notify_one();
        loop {
            self.scrub_wanted.notified().await;
            let target = self.store.load().compact_revision();
            while *self.scrubbed.borrow() < target {
                match self.scrub_step().await {
                    // The store may have been exchanged for one in which nothing is scrubbed.
                    Ok((true, store)) => {
                        self.scrubbed.send_if_modified(|scrubbed| {
                            let counts = self.store.serves(&store);
                            if counts {
                                *scrubbed = target;
                            }
                            counts
                        });
                    }
                    Ok((false, _)) => tokio::task::yield_now().await,
                    Err(error) => {
                        tracing::warn!(volume = %self.id, %error, "a scrub failed; it is tried again");
                        tokio::time::sleep(RETRY_AFTER).await;
                    }
                }
            }
        }
    }

    /// One step of a scrub; whether it was the last, and of which store. What it writes counts towards the
    /// memtable.
    async fn scrub_step(&self) -> Result<(bool, Arc<Served>)> {
        let store = self.store.keep();
        let scrubbed = Arc::clone(&store);
        let progress = self.blocking(move |_| scrubbed.scrub(SCRUB_REVISIONS)).await?;
        if self.store.load().memtable_full()
            && let Some(group) = self.group()
        {
            group.seal()?;
        }
        self.room().await;
        Ok((progress.done, store))
    }
}

impl Upkeep for VolumeUpkeep {
    fn entry_applied(&self, stored_bytes: usize) -> bool {
        self.logged.fetch_add(stored_bytes as u64, Ordering::Relaxed);
        let logged = self.log_bytes.fetch_add(stored_bytes as u64, Ordering::Relaxed) + stored_bytes as u64;
        let wanted = self.store.load().memtable_full()
            || logged >= self.config.memtable_bytes.saturating_mul(LOG_PER_MEMTABLE);
        if wanted {
            self.log_bytes.store(0, Ordering::Relaxed);
        }
        wanted
    }

    fn sealed(&self) {
        self.weigh();
        self.flush_wanted.notify_one();
    }

    fn compacted(&self) {
        self.scrub_wanted.notify_one();
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        let most = self.config.slow_sealed_memtables.max(1) * 2;
        // While flushes fail, new writes are held back before the log; what the log holds already was in
        // memory before, and a volume that cannot flush must still open for reading.
        let has_room = move |known: &Pressure| known.sealed_memtables < most || known.flushes_fail;
        if has_room(&self.pressure.borrow()) {
            return Box::pin(std::future::ready(()));
        }
        let mut pressure = self.pressure.subscribe();
        Box::pin(async move {
            // The sender is `self`, so it outlives the wait.
            drop(pressure.wait_for(has_room).await);
        })
    }
}

/// Bytes that a step may write before it can remove what it read. For one levelled step, whose choice is the
/// library's, level 0 counts twice: it is merged with about as much of the level below.
fn rewritten_bytes(shape: &TreeShape, step: &Step) -> u64 {
    let level = |level: u8| shape.levels.get(usize::from(level)).map_or(0, LevelShape::bytes);
    match *step {
        Step::Partial { .. } => 2 * level(0),
        Step::Merge { from, to } if from == to => level(from),
        Step::Merge { from, to } => level(from) + level(to),
        Step::Move { .. } => 0,
        Step::Major { .. } => shape.disk_bytes(),
    }
}
