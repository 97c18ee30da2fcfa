//! How many refusals are written down.
//!
//! Anybody who reaches the port can be refused any number of times. Each row of that is a write to the system
//! volume, so there are a few hundred of them at once and one in a second from then on. What is not written
//! is counted: the next row that is says how many were not, and so does a metric.

use metrics::{Counter, counter};
use parking_lot::Mutex;

use crate::telemetry::UNWRITTEN_REFUSALS;

/// Refusals that are written at once.
pub(super) const AT_ONCE: u64 = 256;

/// From then on one is written in so much time, in milliseconds.
pub(super) const EVERY_MS: u64 = 1000;

/// Room for rows about refusals.
pub(super) struct Refusals {
    room: Mutex<Room>,
    unwritten: Counter,
}

struct Room {
    left: u64,
    /// When it last grew, Unix milliseconds.
    grew_unix_ms: u64,
    /// Refusals since the last row.
    unwritten: u64,
}

impl Refusals {
    pub(super) fn new(unix_ms: u64) -> Self {
        let room = Mutex::new(Room { left: AT_ONCE, grew_unix_ms: unix_ms, unwritten: 0 });
        let unwritten = counter!(UNWRITTEN_REFUSALS);
        unwritten.increment(0);
        Self { room, unwritten }
    }

    /// Whether there is room for a row, and then how many were not written before it.
    pub(super) fn admit(&self, unix_ms: u64) -> Option<u64> {
        let mut room = self.room.lock();
        let grown = unix_ms.saturating_sub(room.grew_unix_ms) / EVERY_MS;
        // A clock that was set back counts from where it is now.
        if grown > 0 || unix_ms < room.grew_unix_ms {
            room.left = AT_ONCE.min(room.left.saturating_add(grown));
            room.grew_unix_ms = unix_ms;
        }
        if room.left == 0 {
            room.unwritten += 1;
            self.unwritten.increment(1);
            return None;
        }
        room.left -= 1;
        Some(std::mem::take(&mut room.unwritten))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_time_makes_room() {
        let refusals = Refusals::new(5000);
        for _ in 0..AT_ONCE {
            assert_eq!(refusals.admit(5000), Some(0));
        }
        for _ in 0..10 {
            assert_eq!(refusals.admit(5000 + EVERY_MS - 1), None);
        }
        assert_eq!(refusals.admit(5000 + EVERY_MS), Some(10));
        assert_eq!(refusals.admit(5000 + EVERY_MS), None);
        // A clock that is set back makes no room, and none is lost for good.
        assert_eq!(refusals.admit(0), None);
        assert_eq!(refusals.admit(EVERY_MS), Some(2));
        // Room does not grow beyond the first.
        let admitted = (0..2 * AT_ONCE).filter(|_| refusals.admit(u64::MAX).is_some()).count();
        assert_eq!(admitted as u64, AT_ONCE);
    }
}
