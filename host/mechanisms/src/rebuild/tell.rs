//! What the history says of jobs: who began one and why, and what came of it.
//!
//! It stands in the history of every plugin in whose format the data was, or was to be; of a job that has to
//! do with no plugin there is one row, of the volume. The end is the node's doing, unless somebody cancelled
//! the job.

use mortise_kernel::format::FormatId;

use super::decide::Ended;
use super::observe::{JobKind, JobState};
use crate::catalog::{HistoryRow, JobRow, Model};
use crate::plugins::about_format;

/// What the history calls it that a volume needs a format no longer, without a job of that end.
const UNUSED: &str = "format-unused";

/// The rows of a job that begins.
pub(super) fn begun(model: &Model, id: u64, job: &JobRow) -> Vec<HistoryRow> {
    let trial = if job.dry_run { ", a dry run" } else { "" };
    let row = HistoryRow::admin(job.kind.action(), way(job).unwrap_or_else(|| "asked for".into()));
    let row = row.volume(&job.volume).outcome(format!("job {id} began{trial}"));
    of_each(model, job, |_| row.clone())
}

/// The rows of a job that has ended.
pub(super) fn ended(model: &Model, id: u64, job: &JobRow, ended: &Ended) -> Vec<HistoryRow> {
    let reason = match way(job) {
        Some(way) => format!("job {id}: {way}"),
        None => format!("job {id}"),
    };
    let row = match &ended.by {
        Some(cause) => HistoryRow::admin(job.kind.action(), reason).caused_by(cause),
        None => HistoryRow::node(job.kind.action(), reason),
    };
    let row = row.volume(&job.volume);
    of_each(model, job, |format| row.clone().outcome(outcome(job, ended, format)))
}

/// The row about a format that nothing of a volume is in any more; `None` for a native one.
pub(super) fn unused(model: &Model, volume: &str, format: &FormatId) -> Option<HistoryRow> {
    let row = HistoryRow::node(UNUSED, "what was kept for going back is gone");
    about_format(model, row.volume(volume).outcome("no longer in use"), format)
}

/// Between which formats a job leads.
fn way(job: &JobRow) -> Option<String> {
    let short = |format: &FormatId| format!("{} {}", format.name, format.version);
    (job.kind != JobKind::Rebuild).then(|| format!("from {} to {}", short(&job.from), short(&job.to)))
}

/// The row of each plugin in whose format the data was or was to be; else that of the volume.
fn of_each(model: &Model, job: &JobRow, row: impl Fn(&FormatId) -> HistoryRow) -> Vec<HistoryRow> {
    let from = (job.from.digest != job.to.digest).then_some(&job.from);
    let formats = from.into_iter().chain([&job.to]).filter(|_| job.kind != JobKind::Rebuild);
    let rows: Vec<_> = formats.filter_map(|format| about_format(model, row(format), format)).collect();
    if rows.is_empty() { vec![row(&job.to)] } else { rows }
}

/// What came of a job for the plugin of one of its formats.
fn outcome(job: &JobRow, ended: &Ended, format: &FormatId) -> String {
    let kept = ended.now.as_ref().and_then(|(_, kept)| kept.as_ref());
    let what = match (ended.state, job.kind) {
        (JobState::Done, _) if job.dry_run => "it could be done, and nothing was changed",
        (JobState::Done, JobKind::Convert | JobKind::Undo) if *format == job.to => "in use",
        (JobState::Done, JobKind::Convert | JobKind::Undo) => match kept {
            Some(kept) if kept.format == *format => "no longer in use, but kept for going back",
            _ => "no longer in use",
        },
        _ => "",
    };
    let parts = [ended.state.as_str(), what, &ended.detail];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}
