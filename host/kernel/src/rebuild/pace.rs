//! Keeping a copy to a rate, and letting it be cancelled while it waits.
//!
//! The rate counts bytes of keys and values, not of tables. A copy that fell behind may make up for half a
//! second of it, so that a pause is not followed by a burst. Waiting blocks the thread, which must not be a
//! worker of the async runtime, and ends at once when the end of the rebuild is asked for.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Cancel;
use crate::Result;

/// A copy that fell behind its rate may make up for this much of it.
const CREDIT: Duration = Duration::from_millis(500);

/// When work may go on, at a rate.
#[derive(Debug)]
struct Rate {
    per_second: NonZeroU64,
    /// When what was spent so far is paid for.
    paid_at: Instant,
}

impl Rate {
    /// Spends so many bytes, and returns the instant at which they are paid for.
    fn spend(&mut self, bytes: u64, now: Instant) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "a pause, rounded")]
        let cost = Duration::from_secs_f64(bytes as f64 / self.per_second.get() as f64);
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        self.paid_at = self.paid_at.max(earliest) + cost;
        self.paid_at
    }
}

/// Keeps blocking work to a rate.
pub(super) struct Pace {
    rate: Option<Rate>,
    cancel: Cancel,
    runtime: Handle,
}

impl Pace {
    /// Must be made where the runtime is at hand.
    pub(super) fn new(rate: Option<NonZeroU64>, cancel: Cancel) -> Self {
        let rate = rate.map(|per_second| Rate { per_second, paid_at: Instant::now() });
        Self { rate, cancel, runtime: Handle::current() }
    }

    /// Waits until so many bytes may be spent, on a thread that may block.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`].
    pub(super) fn spend(&mut self, bytes: u64) -> Result<()> {
        self.cancel.check()?;
        let Some(rate) = &mut self.rate else { return Ok(()) };
        let now = Instant::now();
        let due = rate.spend(bytes, now);
        if due > now {
            self.runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.cancel.requested() => {}
                }
            });
        }
        self.cancel.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u64, now: Instant) -> Rate {
        Rate { per_second: NonZeroU64::new(per_second).expect("a rate"), paid_at: now }
    }

    #[test]
    fn what_is_spent_is_paid_for_at_the_rate() {
        let now = Instant::now();
        let mut rate = rate(1000, now);
        assert_eq!(rate.spend(500, now), now + Duration::from_millis(500));
        assert_eq!(rate.spend(250, now), now + Duration::from_millis(750));
    }

    #[test]
    fn a_copy_that_fell_far_behind_makes_up_for_little_of_it() {
        let start = Instant::now();
        let mut rate = rate(1000, start);
        let later = start + Duration::from_secs(60);
        assert_eq!(rate.spend(100, later), later - CREDIT + Duration::from_millis(100));
    }
}
