//! The ordered queue between those who change the log and the writer thread.
//!
//! Its size is bounded by its users: a raft group waits for its append or vote before it asks for the next
//! one, and purges come once per flush, so that the queue holds a few changes per volume at most.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::keys::{Key, StoredEntry};
use crate::Error;
use crate::node::VolumeId;

/// How the text of a [`LogFailure`] begins when the disk was full. The text is all that openraft keeps of an
/// error, so the raft layer recognises the reason by it.
pub(crate) const DISK_FULL: &str = "the log met a full disk";

/// Why the log does not take changes (any more).
#[derive(Clone, Debug, thiserror::Error)]
#[error("the log takes no more writes: {0}; reads go on, restart the node to recover")]
pub struct LogFailure(pub(super) Arc<str>);

impl LogFailure {
    pub(super) fn new(detail: impl Into<String>) -> Self {
        Self(Arc::from(detail.into()))
    }
}

impl From<LogFailure> for Error {
    fn from(failure: LogFailure) -> Self {
        if failure.0.starts_with(DISK_FULL) {
            return Self::NoSpace(failure.to_string());
        }
        Self::Storage { context: "writing the raft log", detail: failure.to_string() }
    }
}

/// Called exactly once, on the writer thread or on the caller's own, when a change is durable or has failed.
pub type Completion = Box<dyn FnOnce(Result<(), LogFailure>) + Send>;

/// A change of one volume's log.
pub(super) enum Change {
    /// New entries, in order.
    Append(Vec<StoredEntry>),
    /// A new vote.
    Vote(Bytes),
    /// Remove `from..=last`.
    Truncate { from: u64, last: u64 },
    /// Remember the mark; remove `from..=upto` in the background.
    Purge { mark: Bytes, from: u64, upto: u64 },
    /// Remove these keys.
    Erase(Vec<Key>),
}

pub(super) struct Request {
    pub(super) volume: VolumeId,
    pub(super) change: Change,
    pub(super) done: Option<Completion>,
}

impl Request {
    /// Bytes that the change brings.
    pub(super) fn bytes(&self) -> usize {
        match &self.change {
            Change::Append(entries) => entries.iter().map(|(_, value)| value.len()).sum(),
            Change::Vote(bytes) | Change::Purge { mark: bytes, .. } => bytes.len(),
            Change::Truncate { .. } | Change::Erase(_) => 0,
        }
    }
}

/// What the writer takes at once.
#[derive(Default)]
pub(super) struct Group {
    pub(super) requests: Vec<Request>,
    /// Newest commit hints; they ride along and nobody waits for them.
    pub(super) hints: HashMap<VolumeId, Bytes>,
    /// Requests left behind.
    pub(super) left: usize,
}

/// Largest amount of entry bytes in one group; a limit on memory, far above what a disk needs to be busy.
const GROUP_BYTES: usize = 32 * 1024 * 1024;

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    hints: HashMap<VolumeId, Bytes>,
    closing: bool,
    failure: Option<LogFailure>,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

impl Queue {
    /// Queues a change, or completes it at once with the failure that keeps the log from taking it.
    pub(super) fn push(&self, request: Request) {
        let refused = {
            let mut state = self.state.lock();
            if let Some(failure) = &state.failure {
                Some((request, failure.clone()))
            } else if state.closing {
                Some((request, LogFailure::new("it is closed")))
            } else {
                state.requests.push_back(request);
                None
            }
        };
        match refused {
            None => {
                self.filled.notify_one();
            }
            Some((request, failure)) => {
                if let Some(done) = request.done {
                    done(Err(failure));
                }
            }
        }
    }

    /// Leaves a commit hint for the next group without waking anybody.
    pub(super) fn hint(&self, volume: VolumeId, mark: Bytes) {
        let mut state = self.state.lock();
        if state.failure.is_none() && !state.closing {
            state.hints.insert(volume, mark);
        }
    }

    /// Drops the hint of a volume that is being removed.
    pub(super) fn drop_hint(&self, volume: VolumeId) {
        self.state.lock().hints.remove(&volume);
    }

    /// The next group; waits for one unless `idle_work` waits for the disk's spare time. `None` once the
    /// queue is closed and empty.
    pub(super) fn take(&self, idle_work: bool) -> Option<Group> {
        let mut state = self.state.lock();
        while state.requests.is_empty() && !state.closing && !idle_work {
            self.filled.wait(&mut state);
        }
        if state.requests.is_empty() && state.closing && state.hints.is_empty() {
            return None;
        }
        let mut group = Group { hints: std::mem::take(&mut state.hints), ..Group::default() };
        let mut bytes = 0;
        while let Some(request) = state.requests.front() {
            bytes += request.bytes();
            if bytes > GROUP_BYTES && !group.requests.is_empty() {
                break;
            }
            group.requests.extend(state.requests.pop_front());
        }
        group.left = state.requests.len();
        Some(group)
    }

    /// Waits up to `pause` for the queue to be closed; whether it is.
    pub(super) fn closes_within(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut state = self.state.lock();
        // Arrivals wake the writer, too, and change nothing.
        while !state.closing && !self.filled.wait_until(&mut state, end).timed_out() {}
        state.closing
    }

    /// Lets the writer finish what waits and stop.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.filled.notify_all();
    }

    /// Refuses every later change; returns what waited.
    pub(super) fn fail(&self, failure: &LogFailure) -> Vec<Request> {
        let mut state = self.state.lock();
        state.failure.get_or_insert_with(|| failure.clone());
        state.hints.clear();
        state.requests.drain(..).collect()
    }

    pub(super) fn failure(&self) -> Option<LogFailure> {
        self.state.lock().failure.clone()
    }
}
