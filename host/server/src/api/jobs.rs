//! Our own service for long work on volumes.
//!
//! Beginning a job is answered when it is under way, with its number; the job goes on whatever becomes of the
//! client. Whoever watches one gets its state as it is, then changes at a bounded rate, and its end at once,
//! after which the stream ends. A watcher that is slow gets the newest state and holds nothing up.
//!
//! [`rebuild`] is the same for etcd's defragmentation, whose answer comes when the work is done.

use std::num::NonZeroU64;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use mortise_kernel::format::FormatId;
use mortise_mechanisms::{
    Cause, JobInfo, JobProgress, JobRequest, JobResult, JobState, JobWork, WantedFormat,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::Context;
use super::errors::from_mechanisms;
use super::who::cause;
use crate::pb::mortise::v1 as pb;
use crate::pb::mortise::v1::jobs_server::Jobs;
use pb::start_job_request::Kind;

/// Whoever watches a job is told no more often than this, but for its end.
const TELL_EVERY: Duration = Duration::from_millis(100);

pub(super) struct JobsService {
    context: Context,
}

impl JobsService {
    pub(super) fn new(context: Context) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl Jobs for JobsService {
    async fn start_job(
        &self,
        request: Request<pb::StartJobRequest>,
    ) -> Result<Response<pb::StartJobResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let wanted = request.into_inner();
        let rate = NonZeroU64::new(wanted.bytes_per_second);
        let work = work(wanted.kind)?;
        let request = JobRequest { rate, work };
        let info =
            self.context.system.start_job(&wanted.volume, request, cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::StartJobResponse { job: Some(job(info)) }))
    }

    type WatchJobStream = BoxStream<'static, Result<pb::WatchJobResponse, Status>>;

    async fn watch_job(
        &self,
        request: Request<pb::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let watched = self.context.system.watch_job(request.get_ref().id).map_err(from_mechanisms)?;
        let told = |info| Ok(pb::WatchJobResponse { job: Some(job(info)) });
        Ok(Response::new(told_in_time(watched).map(told).boxed()))
    }

    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        let volume = request.into_inner().volume;
        let volume = (!volume.is_empty()).then_some(volume.as_str());
        let jobs = self.context.system.jobs(volume).map_err(from_mechanisms)?;
        Ok(Response::new(pb::ListJobsResponse { jobs: jobs.into_iter().map(job).collect() }))
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::CancelJobResponse>, Status> {
        let cause = cause(&request, &request.get_ref().reason);
        let info =
            self.context.system.cancel_job(request.get_ref().id, &cause).await.map_err(from_mechanisms)?;
        Ok(Response::new(pb::CancelJobResponse { job: Some(job(info)) }))
    }
}

/// The job as it is, then again at most every [`TELL_EVERY`] when it has changed, and its end at once. It
/// ends with the job, or when nobody is left who could tell of it.
fn told_in_time(watched: watch::Receiver<JobInfo>) -> impl futures::Stream<Item = JobInfo> {
    stream::unfold((Some(watched), None), |(watched, told)| async move {
        let mut watched: watch::Receiver<JobInfo> = watched?;
        let mut goes_on = watched.has_changed().is_ok();
        if let Some(told) = told {
            let next: Instant = told + TELL_EVERY;
            // A sender that is gone has left its last word behind.
            goes_on = watched.changed().await.is_ok();
            let ended = watched.wait_for(|info| !info.runs());
            let _ = tokio::time::timeout_at(next, ended).await;
        }
        let info = watched.borrow_and_update().clone();
        let rest = (goes_on && info.runs()).then_some(watched);
        Some((info, (rest, Some(Instant::now()))))
    })
}

fn work(kind: Option<Kind>) -> Result<JobWork, Status> {
    Ok(match kind {
        Some(Kind::Rebuild(pb::Rebuild {})) => JobWork::Rebuild,
        Some(Kind::Undo(pb::Undo {})) => JobWork::Undo,
        Some(Kind::Convert(convert)) => JobWork::Convert {
            to: convert
                .to
                .map(wanted)
                .ok_or_else(|| Status::invalid_argument("a conversion must name the format to convert to"))?,
            sample: convert.sample,
            dry_run: convert.dry_run,
            keep_previous: (convert.keep_previous_ms > 0)
                .then(|| Duration::from_millis(convert.keep_previous_ms)),
        },
        None => {
            return Err(Status::invalid_argument("the job has no kind; name rebuild, convert or undo"));
        }
    })
}

pub(super) fn wanted(format: pb::WantedFormat) -> WantedFormat {
    let given = |text: String| (!text.is_empty()).then_some(text);
    WantedFormat { name: format.name, version: given(format.version), config: given(format.config_json) }
}

pub(super) fn format(format: FormatId) -> pb::Format {
    pb::Format {
        name: format.name,
        version: format.version,
        digest: format.digest.unwrap_or_default(),
        config_json: format.config,
    }
}

pub(super) fn job(info: JobInfo) -> pb::Job {
    pb::Job {
        id: info.id,
        kind: info.kind.as_str().to_owned(),
        volume: info.volume,
        state: info.state.as_str().to_owned(),
        dry_run: info.dry_run,
        from: Some(format(info.from)),
        to: Some(format(info.to)),
        started_unix_ms: info.started_unix_ms,
        ended_unix_ms: info.ended_unix_ms.unwrap_or_default(),
        progress: Some(progress(&info.progress)),
        detail: info.detail,
        result: info.result.map(result),
    }
}

fn result(result: JobResult) -> pb::JobResult {
    pb::JobResult {
        generation: result.generation,
        previous: result.previous,
        kept: result.kept,
        records: result.records,
        bytes: result.bytes,
        disk_bytes_before: result.disk_bytes_before,
        disk_bytes_after: result.disk_bytes_after,
        entries: result.entries,
        switch_entries: result.switch_entries,
        switch_us: u64::try_from(result.switch_held.as_micros()).unwrap_or(u64::MAX),
        copy_ms: millis(result.copy_took),
        took_ms: millis(result.took),
        slowed_writers: result.slowed_writers,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn progress(progress: &JobProgress) -> pb::JobProgress {
    pb::JobProgress {
        phase: progress.phase.as_str().to_owned(),
        records: progress.records,
        records_estimate: progress.records_estimate,
        bytes: progress.bytes,
        bytes_estimate: progress.bytes_estimate,
        entries: progress.entries,
        lag_entries: progress.lag_entries,
        remaining_ms: progress.remaining.map_or(0, millis),
        slows_writers: progress.slows_writers,
    }
}

/// Rebuilds a volume and returns when that is done. The work goes on when nobody waits any more.
pub(super) async fn rebuild(context: &Context, volume: &str, cause: Cause) -> Result<(), Status> {
    let request = JobRequest { rate: None, work: JobWork::Rebuild };
    let info = context.system.start_job(volume, request, cause).await.map_err(from_mechanisms)?;
    let mut watched = context.system.watch_job(info.id).map_err(from_mechanisms)?;
    let ended = watched.wait_for(|info| !info.runs()).await.map(|info| info.clone());
    let ended = ended.unwrap_or_else(|_| watched.borrow().clone());
    match ended.state {
        JobState::Done => Ok(()),
        JobState::Cancelled => Err(Status::aborted(format!("rebuild {} was cancelled", ended.id))),
        JobState::Running | JobState::Interrupted | JobState::Unsettled => {
            Err(Status::unavailable(format!("rebuild {} was interrupted by a stop of the node", ended.id)))
        }
        JobState::Failed => Err(Status::internal(format!("rebuild {} failed: {}", ended.id, ended.detail))),
    }
}

#[cfg(test)]
mod tests {
    use mortise_mechanisms::JobKind;

    use super::*;

    fn running() -> JobInfo {
        JobInfo {
            id: 7,
            kind: JobKind::Rebuild,
            volume: "v".into(),
            state: JobState::Running,
            dry_run: false,
            from: FormatId::natural(),
            to: FormatId::natural(),
            started_unix_ms: 1,
            ended_unix_ms: None,
            progress: JobProgress::default(),
            detail: String::new(),
            result: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_ends_with_the_job_or_with_whoever_told_of_it() {
        let states = |infos: Vec<JobInfo>| infos.into_iter().map(|info| info.state).collect::<Vec<_>>();
        let (sender, watched) = watch::channel(running());
        drop(sender);
        assert_eq!(states(told_in_time(watched).collect().await), [JobState::Running]);

        let (sender, watched) = watch::channel(running());
        let told = tokio::spawn(told_in_time(watched).collect::<Vec<_>>());
        tokio::task::yield_now().await;
        sender.send_modify(|info| info.state = JobState::Done);
        drop(sender);
        assert_eq!(states(told.await.expect("told")), [JobState::Running, JobState::Done]);
    }
}
