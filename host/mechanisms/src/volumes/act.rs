//! Creating, opening and deleting volumes, so that a crash between any two steps leaves what the next start
//! can finish.
//!
//! Creation: row in `creating` → files → row in `ready` → served.
//! Deletion: row in `deleting` → no longer served → files gone → row gone.
//!
//! Files are opened or removed only on behalf of a row that was written before they were made. A directory
//! that was there first is somebody's data, whatever its name.
//!
//! A name under work is claimed, so that two callers never work on it at
//! once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use mortise_kernel::format::FormatId;
use mortise_kernel::node::{Node, Volume, VolumeConfig, VolumeId};
use mortise_kernel::seams::SharedClock;
use parking_lot::Mutex;

use super::decide;
use super::observe::on_disk;
use crate::catalog::{Catalog, Change, HistoryRow, Key, Model, VolumeState};
use crate::cause::Cause;
use crate::compaction::{self, FreeDisk, Handle, Observer, Permits, Supervisor, Task};
use crate::plugins::{Attempt, Lifecycle};
use crate::rebuild::{Jobs, WantedFormat};
use crate::system::VolumeInfo;
use crate::{Error, Result};

/// A volume that is served.
pub(crate) struct Open {
    pub volume: Arc<Volume>,
    pub observer: Arc<Observer>,
    task: Mutex<Option<Handle>>,
}

/// How loops are run.
#[derive(Clone, Debug)]
pub(crate) struct LoopConfig {
    pub guard_l0_runs: usize,
    pub tick: Duration,
    pub stop_grace: Duration,
    pub codec_patience: Duration,
}

/// The volumes of this node.
pub(crate) struct Volumes {
    pub(super) node: Arc<Node>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) lifecycle: Arc<Lifecycle>,
    jobs: Arc<Jobs>,
    pub(super) open: ArcSwap<HashMap<String, Arc<Open>>>,
    /// Why volumes of the catalog are not served.
    pub(super) failed: Mutex<BTreeMap<String, String>>,
    claimed: Mutex<BTreeSet<String>>,
    stopping: AtomicBool,
    opening: Mutex<()>,
    permits: Arc<Permits>,
    clock: SharedClock,
    pub(super) config: LoopConfig,
}

/// A name that somebody works on; released when dropped.
pub(super) struct Claim<'a> {
    volumes: &'a Volumes,
    name: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.volumes.claimed.lock().remove(&self.name);
    }
}

impl Volumes {
    pub(crate) fn new(
        node: Arc<Node>,
        catalog: Arc<Catalog>,
        lifecycle: Arc<Lifecycle>,
        jobs: Arc<Jobs>,
        clock: SharedClock,
        permits: usize,
        config: LoopConfig,
    ) -> Self {
        Self {
            node,
            catalog,
            lifecycle,
            jobs,
            open: ArcSwap::default(),
            failed: Mutex::default(),
            claimed: Mutex::default(),
            stopping: AtomicBool::new(false),
            opening: Mutex::default(),
            permits: Arc::new(Permits::new(permits)),
            clock,
            config,
        }
    }

    /// The volume that is served under `name`. One that is being deleted is not, from the moment on when its
    /// row says so.
    pub(crate) fn opened(&self, name: &str) -> Result<Arc<Open>> {
        let model = self.catalog.model();
        let row = model.volumes.get(name);
        if let Some(open) = self.open.load().get(name)
            && row.is_none_or(|row| row.state != VolumeState::Deleting)
        {
            return Ok(Arc::clone(open));
        }
        if let Some(reason) = self.failed.lock().get(name) {
            return Err(Error::VolumeFailed { name: name.into(), reason: reason.clone() });
        }
        if let Some(detail) = model.unreadable.get(&Key::Volume(name.into())) {
            return Err(Error::CatalogRow {
                key: Key::Volume(name.into()).to_string(),
                detail: detail.clone(),
            });
        }
        let (doing, cure) = match row.map(|row| row.state) {
            None => return Err(Error::NoSuchVolume(name.into())),
            Some(VolumeState::Deleting) => ("deleted", "if that was interrupted, delete it again"),
            Some(VolumeState::Creating) => {
                ("created", "if that was interrupted, delete it or restart the node")
            }
            Some(VolumeState::Ready) => ("opened", "retry when it is open"),
        };
        Err(Error::VolumeInTransition { name: name.into(), doing, cure })
    }

    /// Whether there is a volume of this name, in whatever state: whoever means it must not get another one.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.open.load().contains_key(name)
            || self.catalog.model().mod_revision(&Key::Volume(name.into())) > 0
            || self.failed.lock().contains_key(name)
    }

    pub(super) async fn open_one(&self, name: &str, id: u64) -> Result<()> {
        let volume = self.node.open_volume(config(name, id)).await?;
        self.note_format(name, &volume).await;
        self.serve(name, volume).await;
        Ok(())
    }

    /// Brings a volume's row in line with what its data is in, where no job works on it.
    async fn note_format(&self, name: &str, volume: &Volume) {
        if let Err(error) = self.jobs.note_format(volume).await {
            tracing::warn!(volume = name, %error, "the format of the volume could not be written down");
        }
    }

    /// Brings the rows of all open volumes in line.
    pub(crate) async fn note_formats(&self) {
        for (name, open) in self.open.load_full().iter() {
            self.note_format(name, &open.volume).await;
        }
    }

    /// Completes a creation that was interrupted: makes the files, or opens them when they were complete.
    pub(super) async fn complete(&self, name: &str, id: u64, format: FormatId) -> Result<()> {
        let volume = match self.node.create_volume_with(config(name, id), format).await {
            Err(mortise_kernel::Error::VolumeExists(_)) => self.node.open_volume(config(name, id)).await?,
            other => other?,
        };
        self.declare_ready(name, id, volume).await
    }

    /// Makes the files of a volume whose id was just reserved. Whatever lies there already was not made for
    /// it: then nothing is touched, and the answer is [`VolumeExists`](mortise_kernel::Error::VolumeExists).
    async fn make(&self, name: &str, id: u64, format: FormatId) -> Result<()> {
        // The kernel would clear away what looks like a creation that was interrupted.
        if on_disk(&self.node)?.contains(&id) {
            return Err(mortise_kernel::Error::VolumeExists(VolumeId(id)).into());
        }
        let volume = self.node.create_volume_with(config(name, id), format).await?;
        self.declare_ready(name, id, volume).await
    }

    async fn declare_ready(&self, name: &str, id: u64, volume: Arc<Volume>) -> Result<()> {
        self.catalog.commit(|model| decide::ready(model, name, id)).await?;
        self.serve(name, volume).await;
        Ok(())
    }

    /// Starts the loop of an open volume and hands it out from now on. What the last stop cut off on it is
    /// told first, before anything else can begin on it.
    pub(crate) async fn serve(&self, name: &str, volume: Arc<Volume>) {
        self.jobs.settle(&volume).await;
        let node = Arc::clone(&self.node);
        let tree: Arc<Volume> = Arc::clone(&volume);
        let observer = Arc::new(Observer::new(tree, free_disk(node), self.config.guard_l0_runs));
        let slot = self.lifecycle.attach(name, volume.id().0, Arc::clone(&observer)).await;
        self.lifecycle.format_serves(name, &volume.format());
        let supervisor: Arc<dyn Supervisor> = Arc::<Lifecycle>::clone(&self.lifecycle);
        let task = compaction::spawn(Task {
            volume_id: volume.id().0,
            observer: Arc::clone(&observer),
            slot,
            supervisor,
            permits: Arc::clone(&self.permits),
            clock: Arc::clone(&self.clock),
            guard_l0_runs: self.config.guard_l0_runs,
            tick: self.config.tick,
        });
        let open = Arc::new(Open { volume, observer, task: Mutex::new(Some(task)) });
        self.change_open(|all| drop(all.insert(name.into(), open)));
    }

    fn change_open(&self, change: impl FnOnce(&mut HashMap<String, Arc<Open>>)) {
        let _order = self.opening.lock();
        let mut all = HashMap::clone(&self.open.load());
        change(&mut all);
        self.open.store(Arc::new(all));
    }

    /// Creates a volume and serves it.
    pub(crate) async fn create(
        &self,
        name: &str,
        format: &WantedFormat,
        cause: &Cause,
    ) -> Result<VolumeInfo> {
        let (version, config) = (format.version.as_deref(), format.config.as_deref());
        let attempt = Attempt { version, ..Attempt::new(decide::CREATION, cause).volume(name) };
        let reserve = async {
            let claim = self.claim(name)?;
            let unix_ms = self.clock.unix_millis();
            let taken = on_disk(&self.node)?;
            let decide = |model: &_| decide::reserve(model, name, format, &taken, unix_ms);
            Ok((claim, self.catalog.commit_for(cause, decide).await?))
        };
        let (_claim, row) =
            self.lifecycle.told_of_format(attempt.config(config), &format.name, reserve).await?;
        if let Err(error) = self.make(name, row.id, row.format_id()).await {
            let id = row.id;
            tracing::warn!(volume = name, id, %error, "the volume could not be created; cleaning up");
            let audit = HistoryRow::node(decide::CREATION, error.to_string()).outcome("failed");
            let cleaned = match error {
                // These files are not this volume's.
                Error::Kernel(mortise_kernel::Error::VolumeExists(_)) => {
                    self.remove_rows(name, id, &audit).await
                }
                _ => self.remove_files_and_rows(name, id, &audit).await,
            };
            if let Err(error) = cleaned {
                tracing::error!(volume = name, id, %error, "what was made of it is left for the next start");
            }
            return Err(error);
        }
        self.failed.lock().remove(name);
        tracing::info!(volume = name, id = row.id, "created the volume");
        self.info_of(&self.catalog.model(), name)
    }

    /// Whether there is a volume of this name that may be deleted.
    pub(crate) fn deletable(&self, name: &str) -> Result<()> {
        self.doom(&self.catalog.model(), name).map(drop)
    }

    pub(super) fn doom(&self, model: &Model, name: &str) -> Result<(Change, u64)> {
        decide::doom(model, name, self.lifecycle.default_strategy())
    }

    /// Deletes a volume with everything in it.
    pub(crate) async fn delete(&self, name: &str, cause: &Cause) -> Result<()> {
        let _claim = self.claim(name)?;
        let id = self.condemn(name, cause).await?;
        self.withdraw(name).await;
        let audit = HistoryRow::admin(decide::DELETION, "asked for").caused_by(cause);
        self.remove_files_and_rows(name, id, &audit).await?;
        self.failed.lock().remove(name);
        tracing::info!(volume = name, id, "deleted the volume");
        Ok(())
    }

    /// Stops serving a volume: it is not found any more, and its loop ends.
    pub(super) async fn withdraw(&self, name: &str) {
        let open = self.open.load().get(name).cloned();
        self.change_open(|all| drop(all.remove(name)));
        if let Some(open) = open {
            let task = open.task.lock().take();
            if let Some(task) = task {
                task.stop(self.config.stop_grace).await;
            }
            self.lifecycle.detach(name);
        }
    }

    pub(super) async fn remove_files_and_rows(&self, name: &str, id: u64, audit: &HistoryRow) -> Result<()> {
        match self.node.remove_volume(VolumeId(id)).await {
            Ok(()) | Err(mortise_kernel::Error::VolumeNotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.remove_rows(name, id, audit).await
    }

    async fn remove_rows(&self, name: &str, id: u64, audit: &HistoryRow) -> Result<()> {
        let default = self.lifecycle.default_strategy();
        while self.catalog.commit(|model| decide::bury(model, name, id, default, audit)).await? {}
        self.jobs.settle_gone(id).await;
        Ok(())
    }

    pub(super) fn claim(&self, name: &str) -> Result<Claim<'_>> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        if self.claimed.lock().insert(name.into()) {
            return Ok(Claim { volumes: self, name: name.into() });
        }
        Err(Error::VolumeInTransition {
            name: name.into(),
            doing: "created or deleted",
            cure: "retry when that has ended",
        })
    }

    /// Takes no more changes and ends every loop, waiting for the steps under way as long as the
    /// configuration says.
    pub(crate) async fn stop_loops(&self) {
        self.stopping.store(true, Ordering::Release);
        let all = self.open.load_full();
        let tasks = all.values().filter_map(|open| open.task.lock().take());
        let grace = self.config.stop_grace;
        futures::future::join_all(tasks.map(|task| task.stop(grace))).await;
    }
}

fn config(name: &str, id: u64) -> VolumeConfig {
    VolumeConfig { id: VolumeId(id), name: name.into() }
}

/// Asks the node. When it cannot tell, the last known figure is repeated, because a plugin would take any
/// invented one for an emergency or for plenty.
fn free_disk(node: Arc<Node>) -> FreeDisk {
    let last = AtomicU64::new(0);
    Arc::new(move || match node.free_disk_bytes() {
        Ok(bytes) => {
            last.store(bytes, Ordering::Relaxed);
            bytes
        }
        Err(error) => {
            tracing::debug!(%error, "the free disk space cannot be told");
            last.load(Ordering::Relaxed)
        }
    })
}
