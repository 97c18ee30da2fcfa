//! Watching, cancelling and awaiting a rebuild.
//!
//! A rebuild does not depend on its handle: dropping it ends nothing. Asking for the end takes effect as long
//! as `CURRENT` has not been renamed; afterwards it is ignored, because the new generation serves. Everything
//! here may be called from any thread, and asking twice does no harm.
//!
//! The answer of a rebuild that failed comes after the cleaning up, so whoever has it may begin another one
//! at once.

use std::fmt;

use tokio::sync::{oneshot, watch};

use super::{Progress, RebuildOutcome};
use crate::{Error, Result};

/// Asks for the end of a rebuild. Clones ask the same one.
#[derive(Clone)]
pub struct Cancel(watch::Sender<bool>);

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_requested()).finish()
    }
}

impl Cancel {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Ends the rebuild as soon as it can, unless the new generation serves already.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the end is asked for.
    pub(crate) async fn requested(&self) {
        // The sender is `self`, so it outlives the wait.
        drop(self.0.subscribe().wait_for(|requested| *requested).await);
    }

    /// # Errors
    /// [`Error::Cancelled`] once the end was asked for.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_requested() { Err(Error::Cancelled("the rebuild")) } else { Ok(()) }
    }
}

/// A rebuild under way. Dropping it neither cancels nor forgets the rebuild.
#[derive(Debug)]
pub struct Rebuild {
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) cancel: Cancel,
    pub(crate) outcome: oneshot::Receiver<Result<RebuildOutcome>>,
}

impl Rebuild {
    /// Progress; the last value says [`super::Phase::Done`] or [`super::Phase::Failed`].
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// The way to end it.
    #[must_use]
    pub fn canceller(&self) -> Cancel {
        self.cancel.clone()
    }

    /// Ends it as soon as it can, unless the new generation serves already.
    pub fn cancel(&self) {
        self.cancel.request();
    }

    /// Waits for its end. When this returns, nothing of a rebuild that failed is left, neither on disk nor
    /// in memory, as far as the disk allowed it.
    ///
    /// # Errors
    /// Why it failed; [`Error::Cancelled`] when that was asked for. The volume is as it was.
    pub async fn wait(self) -> Result<RebuildOutcome> {
        self.outcome.await.unwrap_or(Err(Error::ShuttingDown("the volume")))
    }
}
