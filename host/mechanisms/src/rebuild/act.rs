//! The jobs that run: beginning, watching, cancelling, ending.
//!
//! A job is a task of its own; whoever began it may go away. Its row is written before the work begins and
//! again when it has ended, so that a job is never forgotten. A row that says `running` and is of no live job
//! is of one that nobody works on: a stop cut it off, or it was never begun because the answer to its row was
//! lost. One job works on a volume at a time; a second one is refused by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use metrics::counter;
use mortise_kernel::format::FormatId;
use mortise_kernel::node::Volume;
use mortise_kernel::rebuild::Phase;
use mortise_kernel::seams::SharedClock;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::begin::facts;
use super::decide::{self, Ended, JobRequest};
use super::launch::{Work, kept, launch};
use super::live::Live;
use super::observe::{JobInfo, JobMetrics, JobProgress, JobResult, JobState};
use super::settle::Left;
use crate::catalog::{Catalog, JobRow};
use crate::cause::Cause;
use crate::plugins::Lifecycle;
use crate::{Error, Result};

/// Pause between two tries to write down how a job ended.
pub(super) const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// All jobs of a node.
pub(crate) struct Jobs {
    pub(super) catalog: Arc<Catalog>,
    lifecycle: Arc<Lifecycle>,
    pub(super) clock: SharedClock,
    /// Those that run or whose end is not written down yet, by id.
    pub(super) live: Mutex<BTreeMap<u64, Arc<Live>>>,
    /// Those that the last stop cut off and whose end is not written down yet, by id.
    pub(super) left: Mutex<BTreeMap<u64, Left>>,
    /// Held while a job is written down that begins, so that two on one volume cannot both find it free, and
    /// never while its work is prepared: one volume's codec must not keep others waiting.
    pub(super) beginning: tokio::sync::Mutex<()>,
    pub(super) stopping: AtomicBool,
}

impl Jobs {
    pub(crate) fn new(catalog: Arc<Catalog>, lifecycle: Arc<Lifecycle>, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            catalog,
            lifecycle,
            clock,
            live: Mutex::default(),
            left: Mutex::default(),
            beginning: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Begins a job on the volume of this name; returns when its work is under way, or when it was ended
    /// before that.
    pub(crate) async fn start(
        self: &Arc<Self>,
        name: &str,
        volume: Result<Arc<Volume>>,
        request: JobRequest,
        cause: &Cause,
    ) -> Result<JobInfo> {
        let (seen, natural) = (volume.as_ref().ok().map(|volume| facts(volume)), FormatId::natural());
        let (attempt, format) = decide::attempt(&request.work, name, seen.as_ref(), &natural, cause);
        let begin = async {
            let volume = volume?;
            let (row, live) = self.begin(&volume, &request, cause).await?;
            Ok((volume, row, live))
        };
        let (volume, row, live) = self.lifecycle.told_of_format(attempt, format, begin).await?;
        // A stop that came before the job was here has not asked it to end.
        if self.stopping.load(Ordering::Acquire) {
            live.end();
        }
        let launched = live.unless_ended(launch(&volume, &row.to, &request)).await;
        let info = live.info.borrow().clone();
        match launched {
            Ok(Work { progress, end, outcome }) => {
                let (id, kind, to) = (info.id, row.kind.as_str(), &row.to);
                tracing::info!(job = id, volume = row.volume, kind, %to, "the job begins");
                live.works(end);
                tokio::spawn(Arc::clone(self).follow(live, volume, progress, outcome));
                Ok(info)
            }
            Err(error) => {
                let ended = self.failed(&live, &volume, &error);
                self.finish(&live, &volume, ended, info.progress).await;
                let info = live.info.borrow().clone();
                if info.state == JobState::Failed { Err(error) } else { Ok(info) }
            }
        }
    }

    /// Passes progress on until the work has ended, then writes down what came of it.
    async fn follow(
        self: Arc<Self>,
        live: Arc<Live>,
        volume: Arc<Volume>,
        mut progress: watch::Receiver<JobProgress>,
        mut work: BoxFuture<'static, Result<JobResult, mortise_kernel::Error>>,
    ) {
        let kind = live.info.borrow().kind;
        let metrics = JobMetrics::new(volume.name(), kind);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut work => break outcome,
                Ok(()) = progress.changed() => {
                    let now = progress.borrow_and_update().clone();
                    metrics.show(&now);
                    live.info.send_modify(|info| info.progress = now);
                }
            }
        };
        let ended = match outcome {
            Ok(result) => Ended { result: Some(result), ..ended(&volume, JobState::Done, String::new()) },
            Err(error) => self.failed(&live, &volume, &error.into()),
        };
        drop(metrics);
        let last = progress.borrow().clone();
        self.finish(&live, &volume, ended, last).await;
    }

    /// Writes down what came of a job and tells whoever watches it.
    async fn finish(self: &Arc<Self>, live: &Live, volume: &Arc<Volume>, ended: Ended, last: JobProgress) {
        let (id, kind) = {
            let info = live.info.borrow();
            (info.id, info.kind)
        };
        tracing::info!(
            job = id,
            volume = volume.name(),
            state = ended.state.as_str(),
            detail = ended.detail,
            "the job has ended"
        );
        let labels = [
            ("volume", volume.name().to_owned()),
            ("kind", kind.as_str().to_owned()),
            ("outcome", ended.state.as_str().to_owned()),
        ];
        counter!("mortise_rebuild_jobs_total", &labels).increment(1);
        self.lifecycle.format_serves(volume.name(), &volume.format());
        let written = self.write_end(id, &ended).await;
        let unix_ms = self.clock.unix_millis();
        let phase = if ended.state == JobState::Done { Phase::Done } else { Phase::Failed };
        live.info.send_modify(|info| {
            info.progress = JobProgress { phase, ..last };
            info.state = ended.state;
            info.detail.clone_from(&ended.detail);
            info.result.clone_from(&ended.result);
            info.ended_unix_ms = Some(unix_ms);
        });
        if written {
            self.live.lock().remove(&id);
        } else {
            tokio::spawn(Arc::clone(self).write_end_later(id, Arc::clone(volume), ended));
        }
    }

    /// How a job ends that comes to nothing.
    fn failed(&self, live: &Live, volume: &Volume, error: &Error) -> Ended {
        let state = self.failure(error);
        let cancelled = state == JobState::Cancelled;
        let detail = if cancelled { String::new() } else { error.to_string() };
        Ended { by: live.ended_by().filter(|_| cancelled), ..ended(volume, state, detail) }
    }

    fn failure(&self, error: &Error) -> JobState {
        match error {
            _ if self.stopping.load(Ordering::Acquire) => JobState::Interrupted,
            Error::Kernel(mortise_kernel::Error::Cancelled(_)) => JobState::Cancelled,
            Error::Kernel(mortise_kernel::Error::ShuttingDown(_)) => JobState::Interrupted,
            _ => JobState::Failed,
        }
    }

    /// Writes down how a job ended; whether that could be done.
    async fn write_end(&self, id: u64, ended: &Ended) -> bool {
        let unix_ms = self.clock.unix_millis();
        match self.catalog.commit(|model| decide::end(model, id, ended, unix_ms)).await {
            Ok(_) => true,
            // Only the answer was lost.
            Err(_) if self.catalog.model().jobs.get(&id).is_some_and(|row| row.state == ended.state) => true,
            Err(error) => {
                tracing::warn!(job = id, %error, "the end of the job could not be written down");
                false
            }
        }
    }

    /// Writes it down as soon as the catalog takes it: the full disk that ended a job may keep it from that.
    /// Until then the row says `running`; should the node stop first, the next start finds out from the
    /// volume what came of it.
    async fn write_end_later(self: Arc<Self>, id: u64, volume: Arc<Volume>, mut ended: Ended) {
        while !self.stopping.load(Ordering::Acquire) {
            tokio::time::sleep(WRITE_AGAIN).await;
            // What the next job names for the volume stays named.
            let _order = self.beginning.lock().await;
            let free = self.running_on(volume.name()).is_none();
            ended.now = free.then(|| (volume.format(), kept(&volume)));
            if self.write_end(id, &ended).await {
                break;
            }
        }
        self.live.lock().remove(&id);
    }

    pub(super) fn running_on(&self, volume: &str) -> Option<JobInfo> {
        let live = self.live.lock();
        let infos = live.values().map(|live| live.info.borrow().clone());
        infos.into_iter().find(|info| info.volume == volume && info.runs())
    }

    /// The job that runs on a volume.
    pub(crate) fn on(&self, volume: &str) -> Option<JobInfo> {
        self.running_on(volume)
    }

    /// The jobs that run and the latest ones that have ended, newest first.
    pub(crate) fn list(&self, volume: Option<&str>) -> Vec<JobInfo> {
        let model = self.catalog.model();
        let (live, left) = (self.live.lock(), self.left.lock());
        let wanted = |row: &JobRow| volume.is_none_or(|volume| row.volume == volume);
        let rows = model.jobs.iter().rev().filter(|(_, row)| wanted(row));
        rows.map(|(id, row)| match (live.get(id), left.get(id)) {
            (Some(live), _) => live.info.borrow().clone(),
            (None, Some(left)) => left.info.borrow().clone(),
            (None, None) => told(*id, row),
        })
        .collect()
    }

    /// A job as it is and will be. One that has ended does not change any more.
    pub(crate) fn watch(&self, id: u64) -> Result<watch::Receiver<JobInfo>> {
        if let Some(live) = self.live.lock().get(&id) {
            return Ok(live.info.subscribe());
        }
        if let Some(left) = self.left.lock().get(&id) {
            return Ok(left.info.subscribe());
        }
        let model = self.catalog.model();
        let row = model.jobs.get(&id).ok_or(Error::NoSuchJob(id))?;
        Ok(watch::channel(told(id, row)).1)
    }

    /// Ends a job and returns what came of it, when nothing is left of it.
    pub(crate) async fn cancel(&self, id: u64, cause: &Cause) -> Result<JobInfo> {
        cause.check()?;
        let mut info = self.watch(id)?;
        let live = self.live.lock().get(&id).cloned();
        if let Some(live) = live {
            live.end_for(cause);
        }
        // An error means that the job ended without a last word, which `info` still has.
        drop(info.wait_for(|info| !info.runs()).await);
        let info = info.borrow().clone();
        Ok(info)
    }

    /// Ends the job of a volume that is to go.
    pub(crate) async fn cancel_on(&self, volume: &str, cause: &Cause) {
        if let Some(running) = self.running_on(volume) {
            drop(self.cancel(running.id, cause).await);
        }
    }

    /// Begins no more jobs and asks those that run to end; they are listed as interrupted.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.live.lock().values().for_each(|live| live.end());
    }

    /// Waits until no job runs.
    pub(crate) async fn stopped(&self) {
        loop {
            let some = self.live.lock().values().find(|live| live.runs()).cloned();
            let Some(live) = some else { return };
            let mut info = live.info.subscribe();
            drop(live);
            drop(info.wait_for(|info| !info.runs()).await);
            tokio::task::yield_now().await;
        }
    }
}

/// A job of which only the row is left.
fn told(id: u64, row: &JobRow) -> JobInfo {
    let info = JobInfo::new(id, row);
    match info.state {
        JobState::Running => {
            let (state, detail) = (JobState::Interrupted, decide::NOBODY_WORKS.into());
            JobInfo { state, detail, ..info }
        }
        _ => info,
    }
}

pub(super) fn ended(volume: &Volume, state: JobState, detail: String) -> Ended {
    Ended { state, detail, result: None, now: Some((volume.format(), kept(volume))), by: None }
}
