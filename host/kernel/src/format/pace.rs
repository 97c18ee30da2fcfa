//! Keeps codecs from holding the workers of the async runtime.
//!
//! A codec's call blocks. Most take a few microseconds, less than it takes to move anywhere else; but a codec
//! that misbehaves holds its thread up to the deadline, and as many of its calls as there are workers would
//! stop every volume of the node. So a small request only calls a codec where it is, on a worker, while the
//! codec is known to be quick. Its first calls, and all calls for [`CAUTION`] after one that took longer than
//! [`QUICK`], are made where blocking is allowed, a few at a time. A codec that turns slow may hold each
//! worker for one call, then, and no longer than the deadline of that.
//!
//! This module must not know what is called.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Instant;

/// A call within this time holds nobody up for long.
const QUICK: Duration = Duration::from_millis(10);

/// Quick calls that a codec has to its credit before it is called on a worker.
const TRIAL: u32 = 64;

/// How long a codec isn't called on a worker after a call that was not quick.
const CAUTION: Duration = Duration::from_secs(600);

/// What is known of one codec's pace.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    /// Quick calls so far, up to the end of the trial.
    quick: AtomicU32,
    /// Milliseconds after `since` until which the codec isn't trusted to be quick.
    cautious_until: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), quick: AtomicU32::new(0), cautious_until: AtomicU64::new(0) }
    }

    /// Runs a small request's work that calls the codec, and takes its time.
    pub(super) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.took(begun, begun.elapsed());
        done
    }

    /// Whether a small request may call the codec on a worker.
    pub(super) fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed) >= TRIAL
            && self.millis(Instant::now()) >= self.cautious_until.load(Ordering::Relaxed)
    }

    fn took(&self, begun: Instant, time: Duration) {
        if time > QUICK {
            let until = self.millis(begun + time + CAUTION);
            self.cautious_until.fetch_max(until, Ordering::Relaxed);
        } else if self.quick.load(Ordering::Relaxed) < TRIAL {
            self.quick.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Runs what may take long. If this is a worker of the runtime, its other tasks go on elsewhere meanwhile.
pub(crate) fn beside_workers<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // Somebody's own thread; or a runtime that has no other worker.
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_once_is_kept_from_the_workers_for_a_while() {
        let pace = Pace::new();
        for _ in 0..TRIAL {
            assert!(!pace.is_quick(), "it is on trial");
            pace.took(Instant::now(), QUICK);
        }
        assert!(pace.is_quick());
        pace.took(Instant::now(), QUICK + Duration::from_millis(1));
        assert!(!pace.is_quick());
        tokio::time::advance(CAUTION).await;
        pace.took(Instant::now(), QUICK);
        assert!(!pace.is_quick(), "what is quick between shortens nothing");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pace.is_quick());
    }

    /// More calls than there are workers wait to be told by a task: it runs, or nothing would. Nobody waits
    /// longer than [`STUCK`], so that workers that stand still are found out and do not keep the test.
    #[test]
    fn the_tasks_of_a_worker_go_on_while_a_codec_works() {
        const STUCK: Duration = Duration::from_secs(30);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let (tell, told) = std::sync::mpsc::channel();
        let told = std::sync::Arc::new(parking_lot::Mutex::new(told));
        let (begun, begin) = std::sync::mpsc::channel();
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let (told, begun) = (std::sync::Arc::clone(&told), begun.clone());
                runtime.spawn(async move {
                    beside_workers(|| {
                        begun.send(()).expect("the test waits");
                        told.lock().recv_timeout(STUCK).is_ok()
                    })
                })
            })
            .collect();
        begin.recv_timeout(STUCK).expect("a call stands on a worker");
        runtime.spawn(async move { (0..4).for_each(|_| tell.send(()).unwrap_or_default()) });
        for call in calls {
            let was_told = runtime.block_on(call).expect("no panic");
            assert!(was_told, "no task went on within {STUCK:?} while calls of a codec stood on the workers");
        }
    }
}
