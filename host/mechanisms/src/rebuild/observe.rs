//! What is told of jobs. Plain data, ready to be shown, sent or kept.
//!
//! Kinds, states and results are parts of catalog rows as well, so their serialised names stay, and a field
//! that is added has a default. Sizes are bytes, points in time milliseconds since the Unix epoch. Progress
//! is kept in memory only: of a job whose row alone is left, the phase that follows from its state is told.
//!
//! The metrics of a job fall to zero when it ends, however it ends.

use metrics::{Gauge, gauge};
use mortise_kernel::format::FormatId;
use mortise_kernel::rebuild::{Phase, Progress, RebuildOutcome};
use serde::{Deserialize, Serialize};

use crate::catalog::JobRow;

/// What a job does to its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// The same data in the same format, in a new generation.
    Rebuild,
    /// The same data in another format.
    Convert,
    /// Back to the format before the last conversion.
    Undo,
}

impl JobKind {
    /// Its name in messages, rows and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Convert => "convert",
            Self::Undo => "undo",
        }
    }

    /// What the history calls it.
    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Rebuild => "volume-rebuild",
            Self::Convert => "volume-convert",
            Self::Undo => "volume-undo",
        }
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It is under way.
    Running,
    /// It did what it was asked to do.
    Done,
    /// It did not, and the volume is as it was.
    Failed,
    /// It was ended on request, and the volume is as it was.
    Cancelled,
    /// The node stopped before it ended, and the volume is as it was.
    Interrupted,
    /// The node stopped before it ended, and what came of it is told when the volume opens. A row says
    /// `running` until then.
    Unsettled,
}

impl JobState {
    /// Its name in messages, rows and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
            Self::Unsettled => "unsettled",
        }
    }
}

/// How far the work has come.
pub type JobProgress = Progress;

/// What a job did. Of a dry run there are only the records and the time.
pub type JobResult = RebuildOutcome;

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobInfo {
    /// Its number, never used again.
    pub id: u64,
    /// What it does.
    pub kind: JobKind,
    /// Name of its volume.
    pub volume: String,
    /// How far it has come.
    pub state: JobState,
    /// Whether it only tries.
    pub dry_run: bool,
    /// Format of the data when it began.
    pub from: FormatId,
    /// Format of the data when it ends well.
    pub to: FormatId,
    /// When it began, Unix milliseconds.
    pub started_unix_ms: u64,
    /// When it ended, Unix milliseconds.
    pub ended_unix_ms: Option<u64>,
    /// How far the work has come.
    pub progress: JobProgress,
    /// Why it did not end well; empty otherwise.
    pub detail: String,
    /// What it did, when it ended well.
    pub result: Option<JobResult>,
}

impl JobInfo {
    pub(crate) fn new(id: u64, row: &JobRow) -> Self {
        Self {
            id,
            kind: row.kind,
            volume: row.volume.clone(),
            state: row.state,
            dry_run: row.dry_run,
            from: row.from.clone(),
            to: row.to.clone(),
            started_unix_ms: row.started_unix_ms,
            ended_unix_ms: row.ended_unix_ms,
            progress: last_word(row),
            detail: row.detail.clone(),
            result: row.result.clone(),
        }
    }

    /// Whether it is under way.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state == JobState::Running
    }
}

/// The progress of a job of which only the row is left.
fn last_word(row: &JobRow) -> JobProgress {
    let phase = match row.state {
        JobState::Running | JobState::Unsettled => Phase::Preparing,
        JobState::Done => Phase::Done,
        JobState::Failed | JobState::Cancelled | JobState::Interrupted => Phase::Failed,
    };
    let done = row.result.as_ref().map(|result| (result.records, result.bytes));
    let (records, bytes) = done.unwrap_or_default();
    JobProgress { phase, records, bytes, ..JobProgress::default() }
}

/// Every phase in which a job can stand while it runs.
const PHASES: [Phase; 5] =
    [Phase::Preparing, Phase::Copying, Phase::Verifying, Phase::CatchingUp, Phase::Switching];

/// Gauges of the job that runs on a volume; they fall to zero with it.
pub(super) struct JobMetrics {
    running: Gauge,
    rows: Gauge,
    bytes: Gauge,
    estimate: Gauge,
    lag: Gauge,
    remaining: Gauge,
    /// One for each phase: 1 for the one in which the job stands.
    phases: [Gauge; PHASES.len()],
}

impl JobMetrics {
    pub(super) fn new(volume: &str, kind: JobKind) -> Self {
        let labels = [("volume", volume.to_owned()), ("kind", kind.as_str().to_owned())];
        let of = |name: &'static str| gauge!(name, &labels);
        let metrics = Self {
            running: of("mortise_rebuild_running"),
            rows: of("mortise_rebuild_rows"),
            bytes: of("mortise_rebuild_bytes"),
            estimate: of("mortise_rebuild_estimated_bytes"),
            lag: of("mortise_rebuild_lag_entries"),
            remaining: of("mortise_rebuild_remaining_seconds"),
            phases: PHASES.map(|phase| {
                let labels = [&labels[..], &[("phase", phase.as_str().to_owned())]].concat();
                gauge!("mortise_rebuild_phase", &labels)
            }),
        };
        metrics.running.set(1.0);
        metrics.show(&JobProgress::default());
        metrics
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges round above 2^53")]
    pub(super) fn show(&self, progress: &JobProgress) {
        self.rows.set(progress.records as f64);
        self.bytes.set(progress.bytes as f64);
        self.estimate.set(progress.bytes_estimate as f64);
        self.lag.set(progress.lag_entries as f64);
        self.remaining.set(progress.remaining.unwrap_or_default().as_secs_f64());
        for (phase, gauge) in PHASES.iter().zip(&self.phases) {
            gauge.set(f64::from(u8::from(*phase == progress.phase)));
        }
    }
}

impl Drop for JobMetrics {
    fn drop(&mut self) {
        let single = [&self.running, &self.rows, &self.bytes, &self.estimate, &self.lag, &self.remaining];
        for gauge in single.into_iter().chain(&self.phases) {
            gauge.set(0.0);
        }
    }
}
