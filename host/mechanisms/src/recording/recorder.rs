//! What the compaction loop of one volume tells about its strategy, and what is told of it.
//!
//! The loop reports every answer that it heard and every step that it ran; others read. One lock guards both
//! halves for a moment at a time, so that neither a slow reader nor a large trace holds the loop up: readers
//! get shared calls, and serialise them after the lock is released. Nothing is judged, and nothing is written
//! to the disk.

use std::sync::Arc;

use mortise_plugin_runtime::compaction::{Answer, Origin, PreviousStep};
use parking_lot::Mutex;

use super::ring::Ring;
use super::{Bounds, Latest, Recorded, RecordingInfo};

/// Remembers the latest calls of one volume's strategy. A call takes the lock twice or thrice for a moment,
/// and nobody holds it for longer.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ring: Ring,
    latest: Latest,
    /// Whether somebody asked for these bounds.
    explicit: bool,
}

impl Recorder {
    /// Keeps as much as was asked for from now on, or as every volume does.
    pub(crate) fn keep(&self, asked_for: Option<Bounds>) {
        let mut state = self.0.lock();
        state.explicit = asked_for.is_some();
        state.ring.keep(asked_for.unwrap_or_default());
    }

    /// The strategy with this `activation` was asked and answered; `illegal` says which rule the answer
    /// breaks.
    pub(crate) fn heard(&self, activation: u64, recorded: Recorded, illegal: Option<&str>) {
        let mut state = self.0.lock();
        state.latest.heard(&recorded, illegal);
        let faulted = recorded.answer.is_err() || illegal.is_some();
        state.ring.push(activation, recorded, faulted);
    }

    /// A step begins; until then, what the strategy wants counts as held back.
    pub(crate) fn begun(&self, step: Answer, by: Origin, unix_ms: u64) {
        self.0.lock().latest.begun(step, by, unix_ms);
    }

    /// The step has ended.
    pub(crate) fn ended(&self, step: &PreviousStep) {
        self.0.lock().latest.ended(step);
    }

    /// The calls that are there, the oldest first.
    pub(crate) fn calls(&self) -> Vec<Arc<Recorded>> {
        self.0.lock().ring.all()
    }

    /// How much is kept, and how much is there.
    pub(crate) fn info(&self) -> RecordingInfo {
        let state = self.0.lock();
        state.ring.info(state.explicit)
    }

    /// The latest answer and the latest step.
    pub(crate) fn latest(&self) -> Latest {
        self.0.lock().latest.clone()
    }
}
