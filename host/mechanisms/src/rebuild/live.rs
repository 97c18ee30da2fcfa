//! A job that is under way, and how it is asked to end.
//!
//! A job is here from before its row can be seen until its end is written down. So whoever finds a row that
//! says `running` finds the job; a row without one is of a job that nobody works on. A wish to end it is
//! remembered while its work is only being prepared, which may take as long as compiling a codec.

use parking_lot::Mutex;
use tokio::sync::watch;

use super::launch::End;
use super::observe::JobInfo;
use crate::Result;
use crate::cause::Cause;

/// A job that runs, or whose end is not written down yet.
pub(super) struct Live {
    pub(super) info: watch::Sender<JobInfo>,
    /// Whether somebody has asked for its end.
    asked: watch::Sender<bool>,
    /// Ends its work, once that is under way.
    work: Mutex<Option<End>>,
    /// On whose behalf it is ended before its time: of the first who asked for that.
    ended_by: Mutex<Option<Cause>>,
}

impl Live {
    pub(super) fn new(info: JobInfo) -> Self {
        let (info, asked) = (watch::Sender::new(info), watch::Sender::new(false));
        Self { info, asked, work: Mutex::default(), ended_by: Mutex::default() }
    }

    pub(super) fn runs(&self) -> bool {
        self.info.borrow().runs()
    }

    /// On whose behalf it is ended, if on somebody's.
    pub(super) fn ended_by(&self) -> Option<Cause> {
        self.ended_by.lock().clone()
    }

    /// Asks it to end, on somebody's behalf.
    pub(super) fn end_for(&self, cause: &Cause) {
        self.ended_by.lock().get_or_insert_with(|| cause.clone());
        self.end();
    }

    /// Asks it to end.
    pub(super) fn end(&self) {
        let work = self.work.lock();
        self.asked.send_replace(true);
        if let Some(end) = &*work {
            end();
        }
    }

    /// Says how its work is ended, which is under way now.
    pub(super) fn works(&self, end: End) {
        let mut work = self.work.lock();
        if *self.asked.borrow() {
            end();
        }
        *work = Some(end);
    }

    /// What comes of its preparation, or that it was asked to end first. What was begun by then goes on
    /// beside and is dropped when it ends.
    pub(super) async fn unless_ended<T>(&self, preparation: impl Future<Output = Result<T>>) -> Result<T> {
        let mut asked = self.asked.subscribe();
        let ended = || Err(mortise_kernel::Error::Cancelled("the job").into());
        tokio::select! {
            // Work that is under way is never dropped: it is under way as soon as this has polled its end.
            biased;
            _ = asked.wait_for(|asked| *asked) => ended(),
            prepared = preparation => prepared,
        }
    }
}
