//! Whether a codec may be called where a request happens to run.
//!
//! A codec takes microseconds, and handing a call to another thread costs more than the call; so small
//! requests call it in place, on a thread that serves other volumes as well. That is a favour. A codec that
//! once took long loses it for a while: its calls are made where blocking is allowed, and keep nobody waiting
//! but those who asked for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A call that takes longer was no small one.
const LONG: Duration = Duration::from_millis(5);

/// How long the favour is lost.
const PROBATION: Duration = Duration::from_secs(60);

/// How quick a codec is.
#[derive(Debug)]
pub(super) struct Tempo {
    since: Instant,
    /// Until when it is slow, in milliseconds after `since`; 0 for a codec that never was.
    slow_until: AtomicU64,
}

impl Default for Tempo {
    fn default() -> Self {
        Self { since: Instant::now(), slow_until: AtomicU64::new(0) }
    }
}

impl Tempo {
    /// A call that began then has ended now, however it ended.
    pub(super) fn ended(&self, begun: Instant) {
        let now = Instant::now();
        if now.saturating_duration_since(begun) > LONG {
            self.slow_until.store(self.millis(now + PROBATION), Ordering::Relaxed);
        }
    }

    /// Whether it may be called in place.
    pub(super) fn is_quick(&self) -> bool {
        match self.slow_until.load(Ordering::Relaxed) {
            0 => true,
            until => self.millis(Instant::now()) >= until,
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_codec_that_took_long_is_slow_for_a_while() {
        let tempo = Tempo::default();
        let begun = Instant::now();
        tokio::time::advance(LONG).await;
        tempo.ended(begun);
        assert!(tempo.is_quick(), "that was not too long");
        tokio::time::advance(Duration::from_millis(1)).await;
        tempo.ended(begun);
        assert!(!tempo.is_quick());
        tokio::time::advance(PROBATION / 2).await;
        tempo.ended(Instant::now());
        assert!(!tempo.is_quick(), "one quick call excuses nothing");
        tokio::time::advance(PROBATION / 2).await;
        assert!(tempo.is_quick());
    }
}
