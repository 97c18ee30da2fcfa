//! How jobs are written down that begin, and rows of jobs on which nobody works.
//!
//! The row comes before the work. Where the answer to it is lost, the row tells whether it was written; one
//! that is written after all, later, is of a job that was never begun. It is found and ended before the next
//! job on the volume begins, and before the formats are looked at that the volume's row names.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mortise_kernel::node::Volume;

use super::act::{Jobs, ended};
use super::decide::{self, Begun, Facts, JobRequest};
use super::launch::kept;
use super::live::Live;
use super::observe::{JobInfo, JobState};
use crate::catalog::JobRow;
use crate::cause::Cause;
use crate::{Error, Result};

impl Jobs {
    /// Writes down that a job begins, and keeps others from the volume from then on.
    pub(super) async fn begin(
        &self,
        volume: &Volume,
        request: &JobRequest,
        cause: &Cause,
    ) -> Result<(JobRow, Arc<Live>)> {
        let name = volume.name();
        let _order = self.beginning.lock().await;
        if self.stopping.load(Ordering::Acquire) {
            return Err(Error::ShuttingDown);
        }
        if let Some(running) = self.running_on(name) {
            let kind = running.kind.as_str();
            return Err(Error::JobUnderWay { volume: name.into(), id: running.id, kind });
        }
        self.write_left(volume.id()).await?;
        self.end_abandoned(volume).await?;
        let (facts, unix_ms) = (facts(volume), self.clock.unix_millis());
        let mut entered: Option<(Begun, Arc<Live>)> = None;
        let written = self.catalog.commit_for(cause, |model| {
            let (change, begun) = decide::begin(model, name, &facts, &request.work, unix_ms)?;
            let live = Arc::new(Live::new(JobInfo::new(begun.id, &begun.row)));
            let mut all = self.live.lock();
            if let Some((earlier, _)) = &entered {
                all.remove(&earlier.id);
            }
            all.insert(begun.id, Arc::clone(&live));
            entered = Some((begun, live));
            Ok((change, ()))
        });
        let written = written.await;
        let Some((Begun { id, row }, live)) = entered else {
            written?;
            return Err(Error::Internal(format!("a job on volume {name:?} was begun without a row")));
        };
        // An answer that was lost on the way may still have been a good one: the row tells.
        if let Err(error) = written
            && self.catalog.model().jobs.get(&id) != Some(&row)
        {
            self.live.lock().remove(&id);
            return Err(error);
        }
        Ok((row, live))
    }

    /// Writes down the end of the jobs of a volume whose rows say `running` and that nobody works on. Whoever
    /// calls this keeps others from beginning.
    async fn end_abandoned(&self, volume: &Volume) -> Result<()> {
        let model = self.catalog.model();
        let abandoned = model.jobs.iter().filter(|(id, row)| {
            row.volume_id == volume.id().0 && row.state == JobState::Running && !self.is_known(**id)
        });
        for (id, row) in abandoned {
            let (state, detail) = decide::abandoned(row, volume.status().generation, &volume.format());
            tracing::info!(
                job = id,
                volume = row.volume,
                state = state.as_str(),
                detail,
                "nobody works on a job"
            );
            let (ended, unix_ms) = (ended(volume, state, detail), self.clock.unix_millis());
            self.catalog.commit(|model| decide::end(model, *id, &ended, unix_ms)).await?;
        }
        Ok(())
    }

    /// Whether it runs, or its end is still to be written down.
    fn is_known(&self, id: u64) -> bool {
        self.live.lock().contains_key(&id) || self.left.lock().contains_key(&id)
    }

    /// Brings the row of an open volume in line with what its data is in, unless a job works on it.
    pub(crate) async fn note_format(&self, volume: &Volume) -> Result<()> {
        let _order = self.beginning.lock().await;
        self.end_abandoned(volume).await?;
        let (name, id, format, kept) = (volume.name(), volume.id().0, volume.format(), kept(volume));
        self.catalog.commit(|model| decide::note_format(model, name, id, &format, kept.clone())).await
    }
}

/// What is so of an open volume.
pub(super) fn facts(volume: &Volume) -> Facts {
    Facts {
        id: volume.id().0,
        format: volume.format(),
        generation: volume.status().generation,
        kept: kept(volume),
    }
}
