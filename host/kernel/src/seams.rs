//! Time and randomness pass through here, so that a test can decide them.
//!
//! Durations and deadlines use tokio's clock, which tests may pause. Wall-clock time, which only ever
//! labels things and never orders them, comes from a [`Clock`].

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn unix_millis(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_millis(&self) -> u64 {
        #[expect(clippy::disallowed_methods, reason = "this is the seam that everyone else is sent to")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The instant at which a caller gives up, with the wait it stands for (for messages).
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    after: Duration,
}

impl Deadline {
    /// A deadline that passes `after` from now.
    #[must_use]
    pub fn after(after: Duration) -> Self {
        Self { at: Instant::now() + after, after }
    }

    /// The instant itself.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.at
    }

    /// The wait it stands for.
    #[must_use]
    pub fn wait(&self) -> Duration {
        self.after
    }

    /// Waits for `work`, or gives up at the deadline.
    ///
    /// # Errors
    /// [`crate::Error::DeadlineExceeded`] naming `what` when the deadline passes first.
    pub async fn bound<T>(&self, what: &'static str, work: impl Future<Output = T>) -> crate::Result<T> {
        tokio::time::timeout_at(self.at, work)
            .await
            .map_err(|_| crate::Error::DeadlineExceeded { what, after: self.after })
    }
}
