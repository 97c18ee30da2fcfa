//! Time, randomness, free disk space and faults pass through here, so that a test can decide them.
//!
//! [`fault`] names the places where a test build can be made to fail.
//!
//! Durations and deadlines use tokio's clock, which tests may pause. Wall-clock time, which only ever
//! labels things and never orders them, comes from a [`Clock`].

pub mod fault;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::format::{Codecs, NaturalOnly};

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

/// Tells how much space a disk has left.
pub trait DiskSpace: Send + Sync + 'static {
    /// Bytes that an unprivileged writer may still use on the file system that holds `path`.
    ///
    /// # Errors
    /// The file system does not answer.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The machine's file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl DiskSpace for SystemDisk {
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// A shared source of free disk space.
pub type SharedDisk = Arc<dyn DiskSpace>;

/// Everything that a node takes from outside and that a test may want to decide.
#[derive(Clone)]
pub struct Seams {
    /// Wall-clock time.
    pub clock: SharedClock,
    /// Free disk space.
    pub disk: SharedDisk,
    /// Codecs of the formats that are not natural.
    pub codecs: Arc<dyn Codecs>,
}

impl Seams {
    /// The machine's own, with this clock and without codecs.
    #[must_use]
    pub fn with_clock(clock: SharedClock) -> Self {
        Self { clock, disk: Arc::new(SystemDisk), codecs: Arc::new(NaturalOnly) }
    }
}

/// A random id from the operating system; never 0.
///
/// # Errors
/// The operating system gives no randomness.
pub fn random_id() -> crate::Result<u64> {
    let mut bytes = [0; 8];
    let filled =
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(|error| {
            crate::Error::Io { context: "asking for randomness".into(), source: error.into() }
        })?;
    if filled != bytes.len() {
        return Err(crate::Error::Internal(format!("asked for 8 random bytes, got {filled}")));
    }
    Ok(u64::from_be_bytes(bytes).max(1))
}

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

    /// What is left of it now.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
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
