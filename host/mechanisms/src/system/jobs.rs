//! Jobs of volumes: beginning, watching, cancelling.
//!
//! A job belongs to the node and not to whoever began it: it ends by itself, by [`System::cancel_job`] or
//! with the node. Watching never holds it up, and a watcher that is slow sees the newest state rather than
//! all of them.

use std::sync::Arc;

use tokio::sync::watch;

use super::{System, detached};
use crate::Result;
use crate::cause::Cause;
use crate::rebuild::{JobInfo, JobRequest};

impl System {
    /// Begins to rebuild or convert a volume; returns when the work is under way. It goes on when the caller
    /// goes away.
    ///
    /// # Errors
    /// [`Error::JobUnderWay`](crate::Error::JobUnderWay) while another job works on the volume;
    /// [`Error::NoSuchVolume`](crate::Error::NoSuchVolume) and whatever else forbids the work.
    pub async fn start_job(&self, volume: &str, request: JobRequest, cause: Cause) -> Result<JobInfo> {
        let (name, volume) = (volume.to_owned(), self.resolve(Some(volume)));
        let jobs = Arc::clone(&self.jobs);
        detached(async move { jobs.start(&name, volume, request, &cause).await }).await
    }

    /// The jobs that run and the latest ones that ended, of one volume or of all, newest first.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`](crate::Error::NoSuchVolume).
    pub fn jobs(&self, volume: Option<&str>) -> Result<Vec<JobInfo>> {
        if let Some(name) = volume {
            self.volumes.known(name)?;
        }
        Ok(self.jobs.list(volume))
    }

    /// A job as it is and whenever it has changed; the sender goes when it has ended.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`](crate::Error::NoSuchJob).
    pub fn watch_job(&self, id: u64) -> Result<watch::Receiver<JobInfo>> {
        self.jobs.watch(id)
    }

    /// Ends a job; returns what came of it when nothing is left of it. A job that has ended stays as it is.
    ///
    /// # Errors
    /// [`Error::NoSuchJob`](crate::Error::NoSuchJob), and [`Error::Cause`](crate::Error::Cause).
    pub async fn cancel_job(&self, id: u64, cause: &Cause) -> Result<JobInfo> {
        self.jobs.cancel(id, cause).await
    }

    /// Begins no more jobs and asks those that run to end, so that whoever watches them is told. Called first
    /// when the node stops.
    pub fn stop_jobs(&self) {
        self.jobs.stop();
    }
}
