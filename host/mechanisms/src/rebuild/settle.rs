//! What became of the jobs that the last stop cut off.
//!
//! Their rows say `running` when the node starts. Only the generation on the disk tells how they ended, and
//! it is known when the volume opens, which may be long after the start, when its codec is there. Until then
//! such a job is *unsettled*: nothing of it runs, its row stays, and the formats that its volume may be in
//! stay protected. Its fate is found before the volume is served, so that nothing else can have begun on it,
//! and written down then or, when the catalog takes no writes, before the next job on the volume begins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mortise_kernel::node::{Volume, VolumeId};
use tokio::sync::watch;

use super::act::{Jobs, WRITE_AGAIN};
use super::decide::{self, Ended};
use super::launch::kept;
use super::observe::{JobInfo, JobState};
use crate::Result;
use crate::catalog::{JobRow, Key, VolumeState};

/// What is told of a job meanwhile.
const UNSETTLED: &str = "the node stopped before it ended; what came of it is told when the volume opens, \
    and `mortise volume list` says why it does not";

/// A job that the last stop cut off.
pub(super) struct Left {
    pub(super) info: watch::Sender<JobInfo>,
    row: JobRow,
    /// How it ended, once that is known.
    ended: Option<Ended>,
}

impl Jobs {
    /// Finds the jobs that the last stop cut off, before any volume is opened.
    pub(crate) async fn recover(self: &Arc<Self>) {
        let model = self.catalog.model();
        let mut gone = Vec::new();
        for (id, row) in model.jobs.iter().filter(|(_, row)| row.state == JobState::Running) {
            let info =
                JobInfo { state: JobState::Unsettled, detail: UNSETTLED.into(), ..JobInfo::new(*id, row) };
            let left = Left { info: watch::Sender::new(info), row: row.clone(), ended: None };
            self.left.lock().insert(*id, left);
            // A row that cannot be read says neither that the volume is there nor that it is not.
            if model.unreadable.contains_key(&Key::Volume(row.volume.clone())) {
                continue;
            }
            let volume = model.volumes.get(&row.volume).filter(|volume| volume.id == row.volume_id);
            if volume.is_none_or(|volume| volume.state == VolumeState::Deleting) {
                gone.push(row.volume_id);
            }
        }
        for id in gone {
            self.settle_gone(id).await;
        }
    }

    /// Tells what became of the jobs that were cut off on a volume, which is open and not served yet.
    pub(crate) async fn settle(self: &Arc<Self>, volume: &Volume) {
        let found = (volume.status().generation, volume.format());
        let now = (found.1.clone(), kept(volume));
        self.tell(volume.id(), |row| {
            let (state, detail) = decide::interrupted(row, Some(found.clone()));
            Ended { state, detail, result: None, now: Some(now.clone()), by: None }
        })
        .await;
    }

    /// The same for a volume that is gone.
    pub(crate) async fn settle_gone(self: &Arc<Self>, volume: u64) {
        self.tell(VolumeId(volume), |row| {
            let (state, detail) = decide::interrupted(row, None);
            Ended { state, detail, result: None, now: None, by: None }
        })
        .await;
    }

    async fn tell(self: &Arc<Self>, volume: VolumeId, fate: impl Fn(&JobRow) -> Ended) {
        let unix_ms = self.clock.unix_millis();
        let mut some = false;
        for (id, left) in self.left.lock().iter_mut().filter(|(_, left)| left.row.volume_id == volume.0) {
            let ended = fate(&left.row);
            tracing::info!(
                job = id,
                volume = left.row.volume,
                state = ended.state.as_str(),
                detail = ended.detail,
                "a job was cut off by the last stop"
            );
            left.info.send_modify(|info| {
                let row = JobRow { state: ended.state, detail: ended.detail.clone(), ..left.row.clone() };
                *info = JobInfo { ended_unix_ms: Some(unix_ms), ..JobInfo::new(info.id, &row) };
            });
            left.ended = Some(ended);
            some = true;
        }
        if some && let Err(error) = self.write_left(volume).await {
            tracing::warn!(%volume, %error, "the end of a job could not be written down");
            tokio::spawn(Arc::clone(self).write_left_later(volume));
        }
    }

    /// Writes down how the jobs ended that were cut off on a volume, where that is known and not written yet.
    pub(super) async fn write_left(&self, volume: VolumeId) -> Result<()> {
        let of_it = |left: &Left| left.ended.clone().filter(|_| left.row.volume_id == volume.0);
        let known: Vec<(u64, Ended)> =
            self.left.lock().iter().filter_map(|(id, left)| Some((*id, of_it(left)?))).collect();
        for (id, ended) in known {
            let unix_ms = self.clock.unix_millis();
            self.catalog.commit(|model| decide::end(model, id, &ended, unix_ms)).await?;
            self.left.lock().remove(&id);
        }
        Ok(())
    }

    /// Writes it down as soon as the catalog takes it, unless a job that begins on the volume does.
    async fn write_left_later(self: Arc<Self>, volume: VolumeId) {
        while !self.stopping.load(Ordering::Acquire) {
            tokio::time::sleep(WRITE_AGAIN).await;
            let _order = self.beginning.lock().await;
            if self.write_left(volume).await.is_ok() {
                return;
            }
        }
    }
}
