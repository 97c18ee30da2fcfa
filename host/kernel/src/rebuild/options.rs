//! What a rebuild is asked to do, what it tells on its way, and what it answers.
//!
//! Plain data. The serialised names of phases are labels of metrics and words of the interface, so they stay.
//! Sizes of what is copied are bytes of keys and values as they are stored; sizes on disk are those of
//! tables. Estimates are for people only: nothing is decided by them.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::Transform;

/// How a volume's store is rebuilt. The default copies as fast as it can, keeps the format, reads everything
/// back before the switch, and removes the previous generation as soon as its last reader lets go.
#[derive(Clone, Default)]
pub struct RebuildOptions {
    /// Most bytes of keys and values copied in a second; `None` for no limit.
    pub rate: Option<NonZeroU64>,
    /// Turns stored bytes of the present format into those of another; `None` keeps the format.
    pub transform: Option<Arc<dyn Transform>>,
    /// How thoroughly the copy is checked before the switch.
    pub verify: Verify,
    /// Keeps the previous generation for this long, so that [`crate::node::Volume::undo`] can go back to it.
    pub keep_previous: Option<Duration>,
}

impl fmt::Debug for RebuildOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RebuildOptions")
            .field("rate", &self.rate)
            .field("converts", &self.transform.is_some())
            .field("verify", &self.verify)
            .field("keep_previous", &self.keep_previous)
            .finish()
    }
}

/// How thoroughly a copy is checked before the switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// Every row is read back and compared by checksum.
    #[default]
    Full,
    /// The number of rows is compared: two keys that became one are found, a changed value is not.
    Count,
}

/// Where a rebuild stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Space is checked, superseded revisions are removed, the new directory is made.
    #[default]
    Preparing,
    /// Rows are copied.
    Copying,
    /// The copy is read back.
    Verifying,
    /// Entries of the log that came since are applied to the copy.
    CatchingUp,
    /// Apply is held for the last few entries; or the new generation serves, and what is left is tidied up.
    Switching,
    /// The new generation serves.
    Done,
    /// The rebuild ended without a switch. The volume is as it was, but for its time.
    Failed,
}

impl Phase {
    /// Its name in messages and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Copying => "copying",
            Self::Verifying => "verifying",
            Self::CatchingUp => "catching-up",
            Self::Switching => "switching",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// A rebuild's progress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    pub phase: Phase,
    /// Rows copied.
    pub records: u64,
    /// Rows to copy, about.
    pub records_estimate: u64,
    /// Bytes of keys and values copied.
    pub bytes: u64,
    /// Bytes of keys and values to copy, about: at first what the present generation has on disk, then by the
    /// rows that are left.
    pub bytes_estimate: u64,
    /// Entries of the log applied to the new generation.
    pub entries: u64,
    /// Entries of the log that are applied to the present generation and not to the new one.
    pub lag_entries: u64,
    /// Rounds of catching up so far.
    pub rounds: u32,
    /// Whether writers are slowed at the moment because they outran the rebuild.
    pub slows_writers: bool,
    /// Time left in this phase, about; `None` while nothing can be said.
    pub remaining: Option<Duration>,
}

/// What a rebuild did. What is missing where it was written down is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RebuildOutcome {
    /// Number of the generation that serves now; 0 when nothing was switched.
    pub generation: u64,
    /// Number of the generation that served before; 0 when nothing was switched.
    pub previous: u64,
    /// Whether the previous generation is kept.
    pub kept: bool,
    /// Rows copied.
    pub records: u64,
    /// Bytes of keys and values copied.
    pub bytes: u64,
    /// Bytes of tables before.
    pub disk_bytes_before: u64,
    /// Bytes of tables after.
    pub disk_bytes_after: u64,
    /// Entries of the log applied before apply was held.
    pub entries: u64,
    /// Rounds of catching up.
    pub rounds: u32,
    /// Entries applied while apply was held.
    pub switch_entries: u64,
    /// Bytes of those entries.
    pub switch_bytes: u64,
    /// For how long writes waited for the switch: apply was held, and where the format changed also what was
    /// to be proposed, until the switch was durable.
    pub switch_held: Duration,
    /// Time that the copy took.
    pub copy_took: Duration,
    /// Time that everything took.
    pub took: Duration,
    /// Whether writers had to be slowed for the new generation to catch up.
    pub slowed_writers: bool,
}
