//! Free disk space, and the refusal of writes when it runs out.
//!
//! Writes are refused while less than the reserve is free, well before the log or a flush would fail. Space
//! is sampled at most four times a second and after every flush, so asking costs next to nothing, and writes
//! resume by themselves within that time once space is there again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::directory::io_error;
use crate::seams::SharedDisk;
use crate::{Error, Result};

/// The least reserve, whatever is configured: below it the log would hold what it was given.
const LEAST_RESERVE: u64 = 4 * 1024 * 1024;
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

pub(super) struct DiskGauge {
    disk: SharedDisk,
    path: PathBuf,
    reserve: u64,
    free: AtomicU64,
    /// When the next sample is due; `None` at once.
    due: Mutex<Option<Instant>>,
}

impl DiskGauge {
    pub(super) fn new(disk: SharedDisk, path: PathBuf, reserve: u64) -> Self {
        let reserve = reserve.max(LEAST_RESERVE);
        Self { disk, path, reserve, free: AtomicU64::new(u64::MAX), due: Mutex::new(None) }
    }

    /// Free bytes, as sampled a moment ago at most.
    pub(super) fn free_bytes(&self) -> Result<u64> {
        let now = Instant::now();
        // Whoever finds the lock taken uses the value that is there; the holder samples at this moment.
        if let Some(mut due) = self.due.try_lock()
            && due.is_none_or(|due| due <= now)
        {
            let free =
                self.disk.free_bytes(&self.path).map_err(io_error("asking for free space at", &self.path))?;
            self.free.store(free, Ordering::Relaxed);
            *due = Some(now + SAMPLE_EVERY);
        }
        Ok(self.free.load(Ordering::Relaxed))
    }

    /// Makes the next question take a sample.
    pub(super) fn expire(&self) {
        *self.due.lock() = None;
    }

    /// Passes while `bytes` more can be written without touching the reserve.
    pub(super) fn check_room(&self, work: &str, bytes: u64) -> Result<()> {
        let free = self.free_bytes()?;
        if bytes == 0 || free.saturating_sub(self.reserve) >= bytes {
            return Ok(());
        }
        let (path, reserve) = (self.path.display(), self.reserve);
        Err(Error::NoSpace(format!(
            "{work} may need {bytes} bytes, {free} bytes are free at {path}, {reserve} are kept in reserve"
        )))
    }

    /// Passes while there is room for writes.
    pub(super) fn check(&self) -> Result<()> {
        let free = self.free_bytes()?;
        if free >= self.reserve {
            return Ok(());
        }
        let path = self.path.display();
        Err(Error::NoSpace(format!(
            "{free} bytes are free at {path}, {} are kept in reserve; free disk space and writes resume by themselves",
            self.reserve
        )))
    }

    /// Whether space is known to be short. A file system that does not answer says nothing about that.
    pub(super) fn is_short(&self) -> bool {
        matches!(self.check(), Err(Error::NoSpace(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::seams::DiskSpace;

    /// Answers with what there is, if anything.
    struct Disk(Option<u64>);

    impl DiskSpace for Disk {
        fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
            self.0.ok_or_else(|| io::Error::other("the file system does not answer"))
        }
    }

    #[test]
    fn a_file_system_that_does_not_answer_is_not_short_of_space() {
        let gauge = |free| DiskGauge::new(Arc::new(Disk(free)), PathBuf::from("/data"), LEAST_RESERVE);
        assert!(gauge(Some(LEAST_RESERVE - 1)).is_short());
        assert!(!gauge(Some(LEAST_RESERVE)).is_short());
        let silent = gauge(None);
        assert!(silent.check().is_err());
        assert!(!silent.is_short());
    }
}
