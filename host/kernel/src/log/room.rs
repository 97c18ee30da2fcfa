//! Room on the disk for the next batch, and the wait until there is some.
//!
//! A batch that meets the end of the disk leaves the journal in an unknown state, after which the log takes
//! nothing more until it is opened again. So the writer asks first, about a microsecond for each group, and
//! *holds* a group while it would not fit: its callers wait up to their own deadlines, new writes are
//! refused by the node's disk gauge, and everything goes on by itself once there is space. For the same
//! reason a memtable is sealed only when its flush will fit; until then it grows, by what the gauge still
//! lets in.
//!
//! What this cannot exclude: somebody else takes the space between the question and the write. Then the log
//! fails as it does for any other I/O error, with everything acknowledged intact.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::queue::{DISK_FULL, Queue};
use crate::seams::SharedDisk;

/// Space that stays free beside a batch: framing, and the database's own manifests.
const MARGIN: u64 = 1024 * 1024;
/// Pause between two questions while a group is held.
const ASK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Room {
    disk: SharedDisk,
    path: PathBuf,
}

impl Room {
    pub(super) fn new(disk: SharedDisk, path: PathBuf) -> Self {
        Self { disk, path }
    }

    /// Whether `bytes` more will fit. Where the file system does not tell, the write itself has to.
    pub(super) fn has(&self, bytes: u64) -> bool {
        self.disk.free_bytes(&self.path).map_or(true, |free| free >= bytes.saturating_add(MARGIN))
    }

    /// Returns when `bytes` more fit.
    ///
    /// # Errors
    /// The queue was closed first; nothing was written.
    pub(super) fn wait(&self, bytes: u64, queue: &Arc<Queue>) -> Result<(), String> {
        if self.has(bytes) {
            return Ok(());
        }
        tracing::warn!(
            path = %self.path.display(),
            bytes,
            "no space for the next writes of the log; they wait, and go on by themselves when there is some"
        );
        while !queue.closes_within(ASK_AGAIN) {
            if self.has(bytes) {
                tracing::info!(path = %self.path.display(), "there is space again; the log goes on");
                return Ok(());
            }
        }
        Err(format!("{DISK_FULL} and was closed before there was space"))
    }
}
