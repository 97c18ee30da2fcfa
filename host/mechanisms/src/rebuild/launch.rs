//! A request as work of the kernel, and what the kernel keeps of the generation before.
//!
//! All kinds of work come out in one shape, [`Work`]: progress to watch, a way to ask for the end, and an
//! outcome. It goes on when that is dropped. A dry run is work, too, although it builds nothing: it decodes
//! and encodes every record, changes nothing, and ends with the refusals that a conversion would meet.
//!
//! Whether the work may begin, and what the catalog says about it, was decided before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use mortise_kernel::Error;
use mortise_kernel::format::FormatId;
use mortise_kernel::node::Volume;
use mortise_kernel::rebuild::{Phase, Rebuild, RebuildOptions, Verify};
use mortise_kernel::store::Conversion;
use tokio::sync::watch;
use tokio::time::Instant;

use super::decide::{JobRequest, JobWork};
use super::observe::{JobProgress, JobResult};
use crate::Result;
use crate::catalog::KeptRow;
use crate::system::KeptInfo;

/// Asks work to end.
pub(super) type End = Box<dyn Fn() + Send + Sync>;

/// Work of the kernel that is under way. It goes on when this is dropped.
pub(super) struct Work {
    pub(super) progress: watch::Receiver<JobProgress>,
    pub(super) end: End,
    pub(super) outcome: BoxFuture<'static, Result<JobResult, Error>>,
}

impl From<Rebuild> for Work {
    fn from(rebuild: Rebuild) -> Self {
        let cancel = rebuild.canceller();
        Self {
            progress: rebuild.progress(),
            end: Box::new(move || cancel.request()),
            outcome: rebuild.wait().boxed(),
        }
    }
}

/// Begins the work for a request on a volume, whose data is to be in format `to` in the end.
pub(super) async fn launch(volume: &Arc<Volume>, to: &FormatId, request: &JobRequest) -> Result<Work> {
    let options = RebuildOptions { rate: request.rate, ..RebuildOptions::default() };
    Ok(match &request.work {
        JobWork::Rebuild => volume.rebuild(options)?.into(),
        JobWork::Undo => volume.undo(None)?.into(),
        JobWork::Convert { sample, dry_run, keep_previous, .. } => {
            let conversion = volume.conversion(to).await?;
            let conversion = Arc::new(if *sample { conversion.sampled() } else { conversion });
            if *dry_run {
                return Ok(survey(Arc::clone(volume), to.clone(), conversion));
            }
            let verify = if *sample { Verify::Count } else { Verify::Full };
            let keep_previous = *keep_previous;
            volume
                .rebuild(RebuildOptions { transform: Some(conversion), verify, keep_previous, ..options })?
                .into()
        }
    })
}

/// Tries a conversion on every record, and changes nothing.
fn survey(volume: Arc<Volume>, to: FormatId, conversion: Arc<Conversion>) -> Work {
    let shape = volume.shape();
    let first = JobProgress {
        phase: Phase::Verifying,
        bytes_estimate: shape.disk_bytes() + shape.memtable_bytes,
        ..JobProgress::default()
    };
    let (told, progress) = watch::channel(first);
    let cancelled = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&cancelled);
    let outcome = async move {
        let begun = Instant::now();
        let survey = volume.survey(conversion, move |bytes| {
            told.send_modify(|progress| progress.bytes += bytes);
            if cancelled.load(Ordering::Relaxed) { Err(Error::Cancelled("the dry run")) } else { Ok(()) }
        });
        let survey = survey.await?;
        let records = survey.records;
        survey.check(&to)?;
        Ok(JobResult { records, took: begun.elapsed(), ..JobResult::default() })
    };
    let end = Box::new(move || ends.store(true, Ordering::Relaxed));
    Work { progress, end, outcome: outcome.boxed() }
}

/// The generation that a volume keeps beside the current one.
pub(crate) fn kept(volume: &Volume) -> Option<KeptRow> {
    volume.kept().map(|kept| KeptRow {
        generation: kept.generation,
        format: kept.format,
        until_unix_ms: kept.until_unix_millis,
    })
}

/// The same, for people.
pub(crate) fn kept_info(volume: &Volume) -> Option<KeptInfo> {
    volume.kept().map(|kept| KeptInfo {
        generation: kept.generation,
        format: kept.format,
        until_unix_ms: kept.until_unix_millis,
    })
}
