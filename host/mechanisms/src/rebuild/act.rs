//! The jobs that run: beginning, watching, cancelling, ending.
//!
//! A job is a task of its own; whoever began it may go away. Its row is written before the work begins and
//! again when it has ended, so that a job is never forgotten: a row that says `running` when the node starts
//! is of a job that a stop interrupted. One job runs on a volume at a time; a second one is refused by name.

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

use super::decide::{self, Begun, Ended, Facts, JobRequest};
use super::launch::{End, Work, kept, launch};
use super::observe::{JobInfo, JobMetrics, JobProgress, JobResult, JobState};
use super::settle::Left;
use crate::catalog::{Catalog, JobRow};
use crate::cause::Cause;
use crate::plugins::Lifecycle;
use crate::{Error, Result};

/// Pause between two tries to write down how a job ended.
pub(super) const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// A job that runs, or whose end is not written down yet.
struct Live {
    info: watch::Sender<JobInfo>,
    end: End,
    /// On whose behalf it is ended before its time: of the first who asked for that.
    ended_by: Mutex<Option<Cause>>,
}

/// All jobs of a node.
pub(crate) struct Jobs {
    pub(super) catalog: Arc<Catalog>,
    lifecycle: Arc<Lifecycle>,
    pub(super) clock: SharedClock,
    /// Those that run or whose end is not written down yet, by id.
    live: Mutex<BTreeMap<u64, Arc<Live>>>,
    /// Those that the last stop cut off and whose end is not written down yet, by id.
    pub(super) left: Mutex<BTreeMap<u64, Left>>,
    /// Held while a job is begun, so that two on one volume cannot both find it free.
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

    /// Begins a job on the volume of this name; returns when its work is under way.
    pub(crate) async fn start(
        self: &Arc<Self>,
        name: &str,
        volume: Result<Arc<Volume>>,
        request: JobRequest,
        cause: &Cause,
    ) -> Result<JobInfo> {
        let order = self.beginning.lock().await;
        let (facts, natural) = (volume.as_ref().ok().map(|volume| facts(volume)), FormatId::natural());
        let (attempt, format) = decide::attempt(&request.work, name, facts.as_ref(), &natural, cause);
        let begin = self.begin(volume, facts.as_ref(), &request, cause);
        let (volume, begun) = self.lifecycle.told_of_format(attempt, format, begin).await?;
        let work = match launch(&volume, &begun.row.to, &request).await {
            Ok(work) => work,
            Err(error) => {
                let ended = ended(&volume, JobState::Failed, error.to_string());
                self.write_end(begun.id, &ended).await;
                return Err(error);
            }
        };
        let Begun { id, row } = begun;
        let info = JobInfo::new(id, &row);
        tracing::info!(job = id, volume = name, kind = row.kind.as_str(), to = %row.to, "the job begins");
        let Work { progress, end, outcome } = work;
        let live = Live { info: watch::Sender::new(info.clone()), end, ended_by: Mutex::default() };
        let live = Arc::new(live);
        self.live.lock().insert(id, Arc::clone(&live));
        drop(order);
        tokio::spawn(Arc::clone(self).follow(live, volume, progress, outcome));
        Ok(info)
    }

    /// Writes down that a job begins.
    async fn begin(
        &self,
        volume: Result<Arc<Volume>>,
        facts: Option<&Facts>,
        request: &JobRequest,
        cause: &Cause,
    ) -> Result<(Arc<Volume>, Begun)> {
        let volume = volume?;
        let Some(facts) = facts else { return Err(Error::NoSuchVolume(volume.name().into())) };
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        let name = volume.name();
        if let Some(running) = self.running_on(name) {
            let kind = running.kind.as_str();
            return Err(Error::JobUnderWay { volume: name.into(), id: running.id, kind });
        }
        self.write_left(volume.id()).await?;
        let unix_ms = self.clock.unix_millis();
        let decide = |model: &_| decide::begin(model, name, facts, &request.work, unix_ms);
        let begun = self.catalog.commit_for(cause, decide).await?;
        Ok((volume, begun))
    }

    /// Passes progress on until the work has ended, then writes down what came of it.
    async fn follow(
        self: Arc<Self>,
        live: Arc<Live>,
        volume: Arc<Volume>,
        mut progress: watch::Receiver<JobProgress>,
        mut work: BoxFuture<'static, Result<JobResult, mortise_kernel::Error>>,
    ) {
        let (id, kind) = {
            let info = live.info.borrow();
            (info.id, info.kind)
        };
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
            Err(error) => {
                let state = self.failure(&error);
                let cancelled = state == JobState::Cancelled;
                let detail = if cancelled { String::new() } else { error.to_string() };
                let by = live.ended_by.lock().take().filter(|_| cancelled);
                Ended { by, ..ended(&volume, state, detail) }
            }
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
        drop(metrics);
        self.lifecycle.format_serves(volume.name(), &volume.format());
        let written = self.write_end(id, &ended).await;
        let unix_ms = self.clock.unix_millis();
        let mut last = progress.borrow().clone();
        last.phase = if ended.state == JobState::Done { Phase::Done } else { Phase::Failed };
        live.info.send_modify(|info| {
            info.progress = last;
            info.state = ended.state;
            info.detail.clone_from(&ended.detail);
            info.result.clone_from(&ended.result);
            info.ended_unix_ms = Some(unix_ms);
        });
        if !written {
            self.write_end_later(id, &volume, ended).await;
        }
        self.live.lock().remove(&id);
    }

    fn failure(&self, error: &mortise_kernel::Error) -> JobState {
        match error {
            _ if self.stopping.load(Ordering::Acquire) => JobState::Interrupted,
            mortise_kernel::Error::Cancelled(_) => JobState::Cancelled,
            mortise_kernel::Error::ShuttingDown(_) => JobState::Interrupted,
            _ => JobState::Failed,
        }
    }

    /// Writes down how a job ended; whether that could be done.
    async fn write_end(&self, id: u64, ended: &Ended) -> bool {
        let unix_ms = self.clock.unix_millis();
        let written = self.catalog.commit(|model| decide::end(model, id, ended, unix_ms)).await;
        if let Err(error) = &written {
            tracing::warn!(job = id, %error, "the end of the job could not be written down");
        }
        written.is_ok()
    }

    /// Writes it down as soon as the catalog takes it: the full disk that ended a job may keep it from that.
    /// Until then the row says `running`; should the node stop first, the next start finds out from the
    /// volume what came of it.
    async fn write_end_later(&self, id: u64, volume: &Volume, mut ended: Ended) {
        while !self.stopping.load(Ordering::Acquire) {
            tokio::time::sleep(WRITE_AGAIN).await;
            // What the next job names for the volume stays named.
            let _order = self.beginning.lock().await;
            let free = self.running_on(volume.name()).is_none();
            ended.now = free.then(|| (volume.format(), kept(volume)));
            if self.write_end(id, &ended).await {
                return;
            }
        }
    }

    fn running_on(&self, volume: &str) -> Option<JobInfo> {
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
            (None, None) => JobInfo::new(*id, row),
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
        Ok(watch::channel(JobInfo::new(id, row)).1)
    }

    /// Ends a job and returns what came of it, when nothing is left of it.
    pub(crate) async fn cancel(&self, id: u64, cause: &Cause) -> Result<JobInfo> {
        cause.check()?;
        let mut info = self.watch(id)?;
        let live = self.live.lock().get(&id).cloned();
        if let Some(live) = live {
            live.ended_by.lock().get_or_insert_with(|| cause.clone());
            (live.end)();
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
        self.live.lock().values().for_each(|live| (live.end)());
    }

    /// Waits until no job runs.
    pub(crate) async fn stopped(&self) {
        loop {
            let some = self.live.lock().values().find(|live| live.info.borrow().runs()).cloned();
            let Some(live) = some else { return };
            let mut info = live.info.subscribe();
            drop(live);
            drop(info.wait_for(|info| !info.runs()).await);
            tokio::task::yield_now().await;
        }
    }
}

fn facts(volume: &Volume) -> Facts {
    Facts {
        format: volume.format(),
        generation: volume.status().generation,
        kept: kept(volume).map(|kept| kept.format),
    }
}

fn ended(volume: &Volume, state: JobState, detail: String) -> Ended {
    Ended { state, detail, result: None, now: Some((volume.format(), kept(volume))), by: None }
}
