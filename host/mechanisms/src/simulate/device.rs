//! A disk with a fixed throughput that a flush and a step share.
//!
//! One flush and one step may be under way, as in the kernel. Alone, each has the whole throughput; together,
//! half each. Times are exact to the nanosecond and rounded up, so that a job never ends early.

use std::time::Duration;

/// What the disk is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Memtables become tables.
    Flush,
    /// Tables become other tables.
    Step,
}

/// The disk; jobs are counted in nano-bytes, so that no fraction of a byte is lost between two looks.
#[derive(Debug)]
pub(super) struct Disk {
    bytes_per_second: u64,
    left: [Option<u128>; 2],
}

const NANOS: u128 = 1_000_000_000;

impl Disk {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, left: [None; 2] }
    }

    /// Begins a job of so many bytes, read and written.
    pub(super) fn begin(&mut self, lane: Lane, bytes: u64) {
        debug_assert!(self.left[lane as usize].is_none(), "{lane:?} is under way");
        self.left[lane as usize] = Some(u128::from(bytes) * NANOS);
    }

    /// Time until the next job ends; `None` when none is under way.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let least = self.left.iter().flatten().min()?;
        let nanos = least.div_ceil(self.share());
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Lets time pass, at most [`Self::until_next`] of it, and returns the jobs that ended.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Lane> {
        let done = time.as_nanos() * self.share();
        let mut ended = Vec::new();
        for lane in [Lane::Flush, Lane::Step] {
            let left = &mut self.left[lane as usize];
            if let Some(bytes) = *left {
                *left = bytes.checked_sub(done).filter(|bytes| *bytes > 0);
                if left.is_none() {
                    ended.push(lane);
                }
            }
        }
        ended
    }

    /// Throughput of each job under way, in bytes a second, which is nano-bytes a nanosecond.
    fn share(&self) -> u128 {
        let jobs = self.left.iter().flatten().count().max(1) as u128;
        (u128::from(self.bytes_per_second) / jobs).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_share_the_throughput() {
        let mut disk = Disk::new(100);
        assert_eq!(disk.until_next(), None);
        disk.begin(Lane::Step, 200);
        assert_eq!(disk.until_next(), Some(Duration::from_secs(2)));
        assert_eq!(disk.pass(Duration::from_secs(1)), []);
        disk.begin(Lane::Flush, 25);
        assert_eq!(disk.until_next(), Some(Duration::from_millis(500)));
        assert_eq!(disk.pass(Duration::from_millis(500)), [Lane::Flush]);
        assert_eq!(disk.until_next(), Some(Duration::from_millis(750)));
        assert_eq!(disk.pass(Duration::from_millis(750)), [Lane::Step]);
        assert_eq!(disk.until_next(), None);
    }

    #[test]
    fn a_job_of_no_bytes_ends_at_once() {
        let mut disk = Disk::new(3);
        disk.begin(Lane::Flush, 0);
        assert_eq!(disk.until_next(), Some(Duration::ZERO));
        assert_eq!(disk.pass(Duration::ZERO), [Lane::Flush]);
    }
}
