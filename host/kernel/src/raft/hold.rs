//! Keeps the log from being purged.
//!
//! The log is purged up to what the store has flushed. Whoever needs entries longer, to apply them to
//! another store, takes a [`LogHold`]: nothing behind its position is purged while it lives. A position may
//! be moved on, never back. Dropping the hold releases it; the next purge goes as far as it may.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::Applied;

#[derive(Default)]
struct Positions {
    next: u64,
    held: HashMap<u64, Applied>,
    /// Index up to which a purge was allowed; it may be under way.
    allowed: u64,
}

impl Positions {
    fn bound(&self, flushed: Applied) -> Applied {
        let lower = |lowest: Applied, held: &Applied| {
            if held.index < lowest.index { held.clone() } else { lowest }
        };
        self.held.values().fold(flushed, lower)
    }
}

/// All holds on one volume's log.
#[derive(Clone, Default)]
pub(super) struct Holds(Arc<Mutex<Positions>>);

impl Holds {
    /// Takes a hold at the position that `at` answers. No purge is decided upon meanwhile.
    pub(super) fn take(&self, at: impl FnOnce() -> Applied) -> LogHold {
        let mut positions = self.0.lock();
        let id = positions.next;
        positions.next += 1;
        positions.held.insert(id, at());
        LogHold { id, holds: self.clone() }
    }

    /// How far the log may be purged: up to what `flushed` answers, and to every hold.
    pub(super) fn bound(&self, flushed: impl FnOnce() -> Applied) -> Applied {
        let positions = self.0.lock();
        positions.bound(flushed())
    }

    /// As [`Self::bound`], for somebody who will purge up to there: whoever takes a hold afterwards can tell
    /// by [`Self::allowed`] that it comes too late.
    pub(super) fn allow(&self, flushed: impl FnOnce() -> Applied) -> Applied {
        let mut positions = self.0.lock();
        let bound = positions.bound(flushed());
        positions.allowed = positions.allowed.max(bound.index);
        bound
    }

    /// Index up to which a purge was allowed.
    pub(super) fn allowed(&self) -> u64 {
        self.0.lock().allowed
    }
}

/// Keeps entries behind its position in the log.
pub struct LogHold {
    id: u64,
    holds: Holds,
}

impl fmt::Debug for LogHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHold").field("position", &self.position().index).finish()
    }
}

impl LogHold {
    /// Where it holds: everything behind this stays.
    #[must_use]
    pub fn position(&self) -> Applied {
        self.holds.0.lock().held.get(&self.id).cloned().unwrap_or_default()
    }

    /// Moves on to a later position; an earlier one changes nothing.
    pub fn advance(&self, to: Applied) {
        if let Some(held) = self.holds.0.lock().held.get_mut(&self.id)
            && held.index < to.index
        {
            *held = to;
        }
    }
}

impl Drop for LogHold {
    fn drop(&mut self) {
        self.holds.0.lock().held.remove(&self.id);
    }
}
