//! How much of what strategies are asked is kept, and what is there: `plugin record`.
//!
//! The setting is a row of the catalog and holds after a restart; the calls are in memory and don't. It is
//! written first and takes effect from the row, so that a write whose answer was lost cannot leave the two
//! apart. What was kept before and still has room stays.

use std::sync::Arc;

use super::act::{Lifecycle, WORLD};
use super::decide::{self, Attempt};
use crate::Result;
use crate::cause::Cause;
use crate::recording::{Bounds, Recorded, RecordingInfo};

impl Lifecycle {
    /// How much was asked to be kept of a volume's calls.
    pub(super) fn recording(&self, volume: &str) -> Option<Bounds> {
        let model = self.catalog.model();
        let row = model.recordings.get(&(volume.to_owned(), WORLD.as_str().to_owned()))?;
        Some(Bounds { calls: row.calls, bytes: row.bytes })
    }

    /// Keeps so much of a volume's calls from now on; what is there and still has room stays.
    pub(crate) async fn record(
        &self,
        volume: &str,
        calls: u64,
        bytes: u64,
        cause: &Cause,
    ) -> Result<RecordingInfo> {
        let attempt = Attempt::new("plugin-record", cause).volume(volume);
        self.told(attempt, self.try_record(volume, calls, bytes, cause)).await
    }

    async fn try_record(&self, volume: &str, calls: u64, bytes: u64, cause: &Cause) -> Result<RecordingInfo> {
        let bounds = Bounds::wanted(calls, bytes)?;
        let attached = self.attached(volume)?;
        let _order = attached.changing.lock().await;
        let serves = attached.slot.load().info.clone();
        let place = self.place_of(&attached);
        let decide = |model: &_| decide::record(model, place, bounds, &serves);
        let written = self.catalog.commit_for(cause, decide).await;
        // An answer that was lost on the way may still have been a good one: the rows tell.
        attached.slot.recorder().keep(self.recording(volume));
        written.map(|()| attached.slot.recorder().info())
    }

    /// The calls that are kept of a volume, the oldest first.
    pub(crate) fn recorded(&self, volume: &str) -> Result<Vec<Arc<Recorded>>> {
        Ok(self.attached(volume)?.slot.recorder().calls())
    }
}
