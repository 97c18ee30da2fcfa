//! Rows about jobs: long work on a volume that an administrator began.
//!
//! A row is written when a job begins and again when it has ended. A row that says `running` while nothing
//! runs is one whose end was not written: the node was stopped or killed.

use mortise_kernel::format::FormatId;
use serde::{Deserialize, Serialize};

use crate::rebuild::{JobKind, JobResult, JobState};

fn first_version() -> u32 {
    1
}

/// Hands out the ids of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NextJobId {
    #[serde(default = "first_version")]
    pub version: u32,
    /// The next job gets this id.
    pub next: u64,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRow {
    #[serde(default = "first_version")]
    pub version: u32,
    pub kind: JobKind,
    pub volume: String,
    pub volume_id: u64,
    pub state: JobState,
    #[serde(default)]
    pub dry_run: bool,
    pub from: FormatId,
    pub to: FormatId,
    /// The generation that served when the job began.
    pub generation: u64,
    pub started_unix_ms: u64,
    #[serde(default)]
    pub ended_unix_ms: Option<u64>,
    /// Why it did not end well.
    #[serde(default)]
    pub detail: String,
    #[serde(default)]
    pub result: Option<JobResult>,
}
