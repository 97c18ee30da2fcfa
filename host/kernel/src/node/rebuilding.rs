//! Rebuilds of an open volume: one at a time, and ended with the volume.
//!
//! Two things are here: `VolumeSite`, which gives a rebuild what it needs of the volume's directory, log and
//! upkeep, and `Rebuilds`, which knows the one that is under way. A rebuild is a task of its own: whoever
//! began it may drop its handle without ending it. Whoever has its answer may begin the next one at once.
//!
//! Closing the volume cancels the rebuild and waits for its end within a deadline; a call that ran out of
//! time can be repeated. Dropping the volume cancels without waiting.
//!
//! What a rebuild does is in [`crate::rebuild`]; nothing of it is decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::disk::DiskGauge;
use super::home::Home;
use super::kept::Kept;
use super::upkeep::VolumeUpkeep;
use super::{KeptGeneration, Volume, VolumeId};
use crate::format::FormatId;
use crate::raft::Group;
use crate::rebuild::{self, Cancel, Generation, Progress, Rebuild, RebuildOptions, Site, Source, Task};
use crate::seams::Deadline;
use crate::store::{Applied, CurrentStore, Served, Store};
use crate::{Error, Result};

/// A volume as a rebuild sees it.
pub(super) struct VolumeSite {
    pub(super) name: String,
    pub(super) home: Arc<Home>,
    pub(super) store: Arc<CurrentStore>,
    pub(super) group: Arc<Group>,
    pub(super) upkeep: Arc<VolumeUpkeep>,
    pub(super) disk: Arc<DiskGauge>,
    pub(super) kept: Arc<Kept>,
}

impl Site for VolumeSite {
    fn label(&self) -> &str {
        &self.name
    }

    fn store(&self) -> &CurrentStore {
        &self.store
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn current(&self) -> u64 {
        self.home.current()
    }

    fn scrubbed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.upkeep.all_scrubbed())
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.group.seal()?;
            self.upkeep.flush().await
        })
    }

    fn check_room(&self, bytes: u64) -> Result<()> {
        self.disk.expire();
        self.disk.check_room("the rebuild", bytes)
    }

    fn begin(&self, format: Option<FormatId>, number: &dyn Fn(u64)) -> Result<Generation> {
        self.home.begin(format, number)
    }

    fn open_building(&self, building: &Generation) -> Result<Store> {
        self.home.open_building(building)
    }

    fn name(&self, building: &Generation) -> Result<Arc<Served>> {
        let named = self.home.name(building)?;
        Ok(Served::new(self.home.open(&named)?, self.home.reaper()))
    }

    fn prepare_flip(&self, to: u64, keep: Option<Duration>, same_order: bool) -> Result<()> {
        self.kept.intend(to, keep, same_order)?;
        self.home.prepare_flip(to)
    }

    fn flip(&self, to: u64) -> Result<()> {
        self.home.flip(to)
    }

    fn settle(&self) -> Result<()> {
        self.home.settle()
    }

    fn abandon(&self, building: Option<u64>) -> Result<()> {
        let removed = self.home.abandon(building);
        self.kept.relent();
        removed
    }

    fn retire(&self, number: u64) {
        self.home.retire(number);
    }

    fn keep(&self) -> bool {
        self.kept.take_effect(self.upkeep.logged())
    }

    fn advance_kept(&self, position: Applied) -> Result<()> {
        self.kept.advance(position)
    }

    fn lend_kept(&self) -> Result<u64> {
        let nothing = || Error::FailedPrecondition("no previous generation is kept".into());
        self.kept.lend().ok_or_else(nothing)
    }

    fn vacated(&self, number: u64) -> BoxFuture<'_, ()> {
        Box::pin(self.home.vacated(number))
    }

    fn open_kept(&self, number: u64) -> Result<Arc<Served>> {
        Ok(Served::new(self.home.reopen(number)?, self.home.reaper()))
    }

    fn exchanged(&self) {
        self.upkeep.exchanged();
    }

    fn slow_writers(&self, degree: u8) {
        self.upkeep.slow_writers(degree);
    }
}

struct Running {
    cancel: Cancel,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
    /// Set before the answer is given, so that whoever has it may begin the next one.
    ended: Arc<AtomicBool>,
}

impl Running {
    fn is_under_way(&self) -> bool {
        !self.ended.load(Ordering::Acquire) && !self.task.is_finished()
    }
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    closed: bool,
}

impl Drop for Rebuilds {
    fn drop(&mut self) {
        if let Some(running) = &self.0.get_mut().running {
            running.cancel.request();
        }
    }
}

/// The rebuild of a volume that is under way, if one is.
#[derive(Default)]
pub(super) struct Rebuilds(Mutex<State>);

impl Rebuilds {
    /// Begins one.
    fn begin(
        &self,
        id: VolumeId,
        site: VolumeSite,
        source: Source,
        options: RebuildOptions,
    ) -> Result<Rebuild> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(Error::ShuttingDown("the volume"));
        }
        if state.running.as_ref().is_some_and(Running::is_under_way) {
            return Err(Error::Busy(format!("a rebuild of volume {id} is under way already")));
        }
        let (answer, outcome) = oneshot::channel();
        let (progress, cancel) = (watch::Sender::new(Progress::default()), Cancel::new());
        let handle = Rebuild { progress: progress.subscribe(), cancel: cancel.clone(), outcome };
        let task = Task { site: Arc::new(site), source, options, cancel: cancel.clone(), progress };
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let task = tokio::spawn(async move {
            let result = rebuild::run(task).await;
            end.store(true, Ordering::Release);
            // Nobody may be waiting for the answer.
            drop(answer.send(result));
        });
        state.running = Some(Running { cancel, progress: handle.progress(), task, ended });
        Ok(handle)
    }

    /// Progress of the one that is under way.
    pub(super) fn progress(&self) -> Option<watch::Receiver<Progress>> {
        let state = self.0.lock();
        let running = state.running.as_ref().filter(|running| running.is_under_way())?;
        Some(running.progress.clone())
    }

    /// Begins no more, cancels the one under way, and waits for its end within the deadline.
    pub(super) async fn close(&self, id: VolumeId, deadline: Deadline) -> Result<()> {
        let running = {
            let mut state = self.0.lock();
            state.closed = true;
            state.running.take()
        };
        let Some(mut running) = running else { return Ok(()) };
        running.cancel.request();
        let ended = deadline.bound("the rebuild", &mut running.task).await;
        if ended.is_err() {
            // A repetition waits again.
            self.0.lock().running = Some(running);
            return Err(Error::Busy(format!("a rebuild of volume {id} is still running")));
        }
        Ok(())
    }
}

impl Volume {
    fn site(&self) -> VolumeSite {
        VolumeSite {
            name: self.name().to_owned(),
            home: Arc::clone(&self.home),
            store: Arc::clone(&self.store),
            group: Arc::clone(&self.group),
            upkeep: Arc::clone(&self.upkeep),
            disk: Arc::clone(&self.shared.disk),
            kept: Arc::clone(&self.kept),
        }
    }

    /// Begins to rebuild the store into a new generation while this one serves (see [`crate::rebuild`]).
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Busy`] while another rebuild of this volume is under way.
    pub fn rebuild(&self, options: RebuildOptions) -> Result<Rebuild> {
        self.rebuilds.begin(self.id(), self.site(), Source::Copy, options)
    }

    /// Progress of the rebuild that is under way, if one is.
    #[must_use]
    pub fn rebuild_progress(&self) -> Option<watch::Receiver<Progress>> {
        self.rebuilds.progress()
    }

    /// The previous generation, while it is kept (see [`RebuildOptions::keep_previous`]).
    #[must_use]
    pub fn kept(&self) -> Option<KeptGeneration> {
        self.kept.describe()
    }

    /// Begins to go back to the kept generation. It catches up with the log first, so that nothing that was
    /// acknowledged is lost; then it serves. The one that serves now is removed, or kept in its turn when
    /// `keep_previous` says so. Must be called within a tokio runtime.
    ///
    /// What was written since may be something that the format of the kept generation refuses; then this
    /// ends with that refusal, and the volume stays as it is.
    ///
    /// # Errors
    /// [`Error::FailedPrecondition`] when nothing is kept; [`Error::Busy`] while a rebuild is under way.
    pub fn undo(&self, keep_previous: Option<Duration>) -> Result<Rebuild> {
        if self.kept.number().is_none() {
            let text = format!("volume {} keeps no previous generation; convert it back instead", self.id());
            return Err(Error::FailedPrecondition(text));
        }
        let options = RebuildOptions { keep_previous, ..RebuildOptions::default() };
        self.rebuilds.begin(self.id(), self.site(), Source::Kept, options)
    }

    /// Lets the kept generation go.
    ///
    /// # Errors
    /// [`Error::Busy`] while a rebuild is under way; a file cannot be removed.
    pub async fn discard_kept(&self) -> Result<()> {
        if self.rebuilds.progress().is_some() {
            return Err(Error::Busy(format!("a rebuild of volume {} is under way", self.id())));
        }
        let kept = Arc::clone(&self.kept);
        let discarded = tokio::task::spawn_blocking(move || kept.discard("nobody wants it"));
        let done = discarded.await;
        done.unwrap_or_else(|error| Err(Error::Internal(format!("work on files ended early: {error}"))))
    }
}
