//! A node: its data directory, its log, and its open volumes.
//!
//! Opening, creating and removing one volume exclude each other; different volumes do not wait for each
//! other. Such a change runs to its end even when its caller gives up, so that it never meets the next one
//! halfway. Every change of the directory is ordered so that a crash leaves a state from which the same call
//! can be repeated: a volume begins to exist with its `CURRENT`, and ceases to with the renaming of its
//! directory.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::directory::{Directory, Identity, Lock};
use super::disk::DiskGauge;
use super::generation::{self, REMOVING};
use super::home::{Home, Opened};
use super::kept;
use super::stores::Stores;
use super::volume::Shared;
use super::{NodeConfig, Volume, VolumeConfig, VolumeId};
use crate::format::FormatId;
use crate::log::{Log, LogConfig};
use crate::seams::{Deadline, Seams, SharedClock};
use crate::{Error, Result};

const LOG: &str = "log";
const VOLUMES: &str = "volumes";
/// Flushes that run at once over all volumes.
const FLUSH_SLOTS: usize = 2;
/// Range reads that run at once over all volumes.
const READ_SLOTS: usize = 16;

type Lane = Arc<tokio::sync::Mutex<()>>;

/// A data directory, locked, with its log and its open volumes.
pub struct Node {
    this: Weak<Self>,
    identity: Identity,
    root: Arc<Directory>,
    volumes: Arc<Directory>,
    shared: Shared,
    open: RwLock<HashMap<VolumeId, Arc<Volume>>>,
    lanes: Mutex<HashMap<VolumeId, Lane>>,
    /// Held shared by every change of the directory, and alone before the directory is given up.
    changes: Arc<tokio::sync::RwLock<()>>,
    closing: AtomicBool,
    lock: Mutex<Option<Lock>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("identity", &self.identity)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Runs work on files where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Internal(format!("work on files ended early: {error}"))))
}

impl Node {
    /// Locks and opens (or creates) the data directory and its log. Opens no volume.
    ///
    /// # Errors
    /// The directory is in use, of an unknown format (then nothing is changed), or damaged.
    pub async fn open(config: NodeConfig, clock: SharedClock) -> Result<Arc<Self>> {
        Self::open_with(config, Seams::with_clock(clock)).await
    }

    /// Like [`Node::open`], with what a test wants to decide.
    ///
    /// # Errors
    /// As for [`Node::open`].
    pub async fn open_with(config: NodeConfig, seams: Seams) -> Result<Arc<Self>> {
        let node = blocking(move || Self::open_files(config, seams)).await?;
        for name in node.volumes.names()? {
            let removing = name.to_str().and_then(|name| name.strip_suffix(REMOVING));
            if let Some(id) = removing.and_then(generation::volume_of) {
                node.finish_removal(id).await?;
                tracing::info!(volume = %id, "finished an interrupted removal");
            }
        }
        Ok(node)
    }

    fn open_files(config: NodeConfig, seams: Seams) -> Result<Arc<Self>> {
        let root = Directory::open_root(&config.data_dir)?;
        let lock = root.lock()?;
        let identity = root.identity()?;
        let volumes = root.create_child(VOLUMES)?;
        let must_exist = !volumes.names()?.is_empty();
        if must_exist && !root.has(LOG) {
            let detail =
                "expected the raft log of the volumes that exist, found no such directory".to_owned();
            return Err(Error::Corrupt { path: root.path_of(LOG), detail });
        }
        let log_path = root.create_child(LOG)?.path().to_path_buf();
        let disk = Arc::clone(&seams.disk);
        let memtable_bytes = config.log_memtable_bytes;
        let log = Log::open(LogConfig { must_exist, disk, memtable_bytes, ..LogConfig::new(&log_path) })?;
        let disk = DiskGauge::new(seams.disk, root.path().to_path_buf(), config.reserve_disk_bytes);
        Ok(Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            shared: Shared {
                node_id: identity.node_id,
                stores: Stores::new(&config, seams.codecs),
                config,
                log,
                log_path,
                disk: Arc::new(disk),
                clock: seams.clock,
                flush_slots: Arc::new(Semaphore::new(FLUSH_SLOTS)),
                read_slots: Arc::new(Semaphore::new(READ_SLOTS)),
            },
            identity,
            root: Arc::new(root),
            volumes: Arc::new(volumes),
            open: RwLock::default(),
            lanes: Mutex::default(),
            changes: Arc::default(),
            closing: AtomicBool::new(false),
            lock: Mutex::new(Some(lock)),
        }))
    }

    /// Runs a change of the directory to its end, whether or not its caller waits for it.
    async fn undisturbed<T, F>(&self, change: impl FnOnce(Arc<Self>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let node = self.this.upgrade().ok_or(Error::ShuttingDown("the node"))?;
        let under_way = Arc::clone(&self.changes).read_owned().await;
        let change = change(node);
        let done = tokio::spawn(async move {
            let done = change.await;
            drop(under_way);
            done
        });
        let done = done.await;
        done.unwrap_or_else(|error| Err(Error::Internal(format!("work on a volume ended early: {error}"))))
    }

    /// Random, made when the directory was created.
    #[must_use]
    pub fn cluster_id(&self) -> u64 {
        self.identity.cluster_id
    }

    /// Random, made when the directory was created.
    #[must_use]
    pub fn node_id(&self) -> u64 {
        self.identity.node_id
    }

    /// What the node was opened with.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.shared.config
    }

    /// Bytes in the block cache that all volumes share: what requests have read.
    #[must_use]
    pub fn cached_bytes(&self) -> u64 {
        self.shared.stores.cached_bytes()
    }

    /// Folder for a part of the node outside the kernel (`plugins`), created below the data directory.
    ///
    /// # Errors
    /// The name leads elsewhere, or the folder cannot be created.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        Ok(self.root.create_child(name)?.path().to_path_buf())
    }

    /// Creates the directory, first generation and one-voter raft group of a volume of the natural format,
    /// then opens it.
    ///
    /// # Errors
    /// [`Error::VolumeExists`], or a file cannot be written; then the call can be repeated.
    pub async fn create_volume(&self, volume: VolumeConfig) -> Result<Arc<Volume>> {
        self.create_volume_with(volume, FormatId::natural()).await
    }

    /// Like [`Node::create_volume`], with a format.
    ///
    /// # Errors
    /// As for [`Node::create_volume`]; [`Error::CodecMissing`], and then nothing was created.
    pub async fn create_volume_with(&self, volume: VolumeConfig, format: FormatId) -> Result<Arc<Volume>> {
        self.undisturbed(|node| async move { node.create(volume, format).await }).await
    }

    async fn create(&self, volume: VolumeConfig, format: FormatId) -> Result<Arc<Volume>> {
        let lane = self.lane(volume.id);
        let alone = lane.lock().await;
        self.check_open()?;
        let name = generation::directory_name(volume.id);
        let complete = self.volumes.has(&name) && generation::is_complete(&self.volumes.child(&name)?);
        if complete || self.volume(volume.id).is_some() {
            return Err(Error::VolumeExists(volume.id));
        }
        // Whatever an interrupted creation or removal left of this id must not become part of the new volume.
        self.finish_removal(volume.id).await?;
        self.shared.log.forget(volume.id).await?;
        let (volumes, stores) = (Arc::clone(&self.volumes), self.shared.stores.of(&volume.name));
        let made = blocking(move || {
            // Nothing is made before the codec is there.
            stores.coder(&format, &volumes.path_of(&name))?;
            volumes.remove_tree(&name)?;
            let directory = volumes.create_child(&name)?;
            let generation = generation::prepare(&directory, &format)?;
            let (home, departures) = Home::new(directory, generation.number, stores);
            let store = home.open(&generation)?;
            generation::complete(home.directory(), &generation)?;
            Ok(Opened { home, departures, store, kept: None })
        });
        let volume = self.start(volume, made.await?).await;
        drop(alone);
        volume
    }

    /// Opens a volume that exists on disk; removes leftovers of interrupted work; returns when it leads and
    /// everything acknowledged before the last stop is applied. An open volume is returned as it is.
    ///
    /// # Errors
    /// [`Error::VolumeNotFound`]; its files are damaged, or of an unknown format and then left untouched;
    /// [`Error::CodecMissing`], which a repetition gets over once the codec is there.
    pub async fn open_volume(&self, volume: VolumeConfig) -> Result<Arc<Volume>> {
        self.undisturbed(|node| async move { node.open_existing(volume).await }).await
    }

    async fn open_existing(&self, volume: VolumeConfig) -> Result<Arc<Volume>> {
        let lane = self.lane(volume.id);
        let alone = lane.lock().await;
        self.check_open()?;
        if let Some(open) = self.volume(volume.id) {
            return Ok(open);
        }
        let (volumes, stores) = (Arc::clone(&self.volumes), self.shared.stores.of(&volume.name));
        let found = blocking(move || {
            let name = generation::directory_name(volume.id);
            if !volumes.has(&name) {
                return Err(Error::VolumeNotFound(volume.id));
            }
            let directory = volumes.child(&name)?;
            if !generation::is_complete(&directory) {
                return Err(Error::VolumeNotFound(volume.id));
            }
            let generation = generation::find(&directory)?;
            // Nothing is touched before the codec is there.
            stores.coder(&generation.format, &generation.path)?;
            let kept = kept::find(&directory, generation.number)?;
            generation::clear(&directory, &generation, kept.as_ref().map(|kept| kept.generation))?;
            let (home, departures) = Home::new(directory, generation.number, stores);
            let store = home.open(&generation)?;
            Ok((volume, Opened { home, departures, store, kept }))
        });
        let (volume, opened) = found.await?;
        let volume = self.start(volume, opened).await;
        drop(alone);
        volume
    }

    async fn start(&self, volume: VolumeConfig, opened: Opened) -> Result<Arc<Volume>> {
        let id = volume.id;
        let volume = Volume::start(volume, opened, self.shared.clone()).await?;
        self.open.write().insert(id, Arc::clone(&volume));
        // A shutdown that began meanwhile has not seen this volume.
        if let Err(error) = self.check_open() {
            self.open.write().remove(&id);
            volume.stop(Deadline::after(self.shared.config.default_deadline)).await?;
            return Err(error);
        }
        Ok(volume)
    }

    /// Volumes that have a directory, open or not, complete or not.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn volumes_on_disk(&self) -> Result<Vec<VolumeId>> {
        let names = self.volumes.names()?;
        let mut found: Vec<_> =
            names.iter().filter_map(|name| name.to_str().and_then(generation::volume_of)).collect();
        found.sort();
        Ok(found)
    }

    /// The volume, when open.
    #[must_use]
    pub fn volume(&self, id: VolumeId) -> Option<Arc<Volume>> {
        self.open.read().get(&id).cloned()
    }

    /// Stops a volume (open or not) and removes its files and its log. Safe to repeat after a crash, and when
    /// nothing is left to remove.
    ///
    /// # Errors
    /// A file cannot be removed, or the log has failed; the call can be repeated.
    pub async fn remove_volume(&self, id: VolumeId) -> Result<()> {
        self.undisturbed(|node| async move { node.remove(id).await }).await
    }

    async fn remove(&self, id: VolumeId) -> Result<()> {
        let lane = self.lane(id);
        let alone = lane.lock().await;
        self.check_open()?;
        let open = self.open.write().remove(&id);
        if let Some(open) = open
            && let Err(busy) = open.stop(Deadline::after(self.shared.config.default_deadline)).await
        {
            // It stays known, stopped, so that a repetition waits again before it touches the files.
            self.open.write().insert(id, open);
            return Err(busy);
        }
        let name = generation::directory_name(id);
        if self.volumes.has(&name) {
            // A removal that failed halfway comes first: its name is needed.
            self.finish_removal(id).await?;
            self.volumes.rename(&name, &format!("{name}{REMOVING}"))?;
        }
        let removed = self.finish_removal(id).await;
        drop(alone);
        removed
    }

    /// Removes the log, then the files of a volume whose directory was renamed.
    async fn finish_removal(&self, id: VolumeId) -> Result<()> {
        let name = format!("{}{REMOVING}", generation::directory_name(id));
        if !self.volumes.has(&name) {
            return Ok(());
        }
        self.shared.log.forget(id).await?;
        let volumes = Arc::clone(&self.volumes);
        blocking(move || volumes.remove_tree(&name)).await
    }

    /// Stops every volume and closes the log; nothing acknowledged is lost (nor would be by `kill -9`).
    /// Safe to repeat.
    ///
    /// # Errors
    /// The log failed before; everything is stopped nevertheless.
    pub async fn shutdown(&self) -> Result<()> {
        self.closing.store(true, Ordering::Release);
        let deadline = Deadline::after(self.shared.config.default_deadline);
        let quiet = deadline.bound("creations and removals of volumes", self.changes.write()).await.map(drop);
        let volumes: Vec<_> = self.open.write().drain().map(|(_, volume)| volume).collect();
        let stopped = futures::future::join_all(volumes.iter().map(|volume| volume.stop(deadline))).await;
        let busy = quiet.err().or_else(|| stopped.into_iter().find_map(Result::err));
        let log = Arc::clone(&self.shared.log);
        blocking(move || {
            log.close();
            Ok(())
        })
        .await?;
        match busy {
            // Whoever opens the directory next would take the files of that work for leftovers.
            Some(error) => tracing::warn!(%error, "the directory stays locked until this process ends"),
            None => drop(self.lock.lock().take()),
        }
        match self.shared.log.failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Free bytes on the disk that holds the data directory.
    ///
    /// # Errors
    /// The file system does not answer.
    pub fn free_disk_bytes(&self) -> Result<u64> {
        self.shared.disk.free_bytes()
    }

    fn check_open(&self) -> Result<()> {
        if self.closing.load(Ordering::Acquire) { Err(Error::ShuttingDown("the node")) } else { Ok(()) }
    }

    fn lane(&self, id: VolumeId) -> Lane {
        Arc::clone(self.lanes.lock().entry(id).or_default())
    }
}
