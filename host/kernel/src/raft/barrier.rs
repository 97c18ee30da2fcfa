//! Shares one confirmation of leadership among concurrent readers.
//!
//! A linearizable read needs to know, at some moment after it began, that this replica still leads and which
//! log index it then has to have applied. One such *round* serves every reader that was waiting when it
//! began; readers that arrive while it runs wait for the next one, since the running one may have begun
//! before a write that they have to see was acknowledged.
//!
//! Nothing is stored per reader: a reader holds a receiver of its round, and giving up is dropping it. A
//! round that nobody waits for any more is skipped. A round itself is bounded in time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Error;

/// Why a round did not confirm.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Another node leads, or nobody.
    NotLeader(Option<u64>),
    /// No quorum, or the group has stopped.
    Failed(Arc<str>),
    /// The round took too long.
    Stalled(Duration),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotLeader(leader) => Self::NotLeader { leader },
            Refusal::Failed(detail) => {
                Self::Storage { context: "confirming leadership", detail: detail.to_string() }
            }
            Refusal::Stalled(after) => Self::DeadlineExceeded { what: "confirming leadership", after },
        }
    }
}

/// One confirmation of leadership.
pub trait ReadIndex: Send + Sync + 'static {
    /// Confirms leadership and returns the index that has to be applied before a read.
    fn read_index(&self) -> BoxFuture<'_, Result<u64, Refusal>>;
}

type Outcome = Option<Result<u64, Refusal>>;

#[derive(Default)]
struct State {
    running: bool,
    next: Option<watch::Sender<Outcome>>,
}

struct Shared {
    state: Mutex<State>,
    source: Box<dyn ReadIndex>,
    round_limit: Duration,
}

/// Coalesces rounds. Cloning shares.
#[derive(Clone)]
pub struct Barrier(Arc<Shared>);

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("round_limit", &self.0.round_limit).finish_non_exhaustive()
    }
}

impl Barrier {
    /// A barrier whose rounds ask `source` and take at most `round_limit`.
    #[must_use]
    pub fn new(source: impl ReadIndex, round_limit: Duration) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), source: Box::new(source), round_limit }))
    }

    /// The index to wait for, from a round that begins after this call. Dropping the future gives up.
    ///
    /// # Errors
    /// The round's refusal.
    pub async fn confirm(&self) -> Result<u64, Refusal> {
        let mut outcome = self.join();
        let stopped = || Refusal::Failed("the confirmation was cut short".into());
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| stopped())?.clone();
        outcome.unwrap_or_else(|| Err(stopped()))
    }

    fn join(&self) -> watch::Receiver<Outcome> {
        let mut state = self.0.state.lock();
        let receiver = match &state.next {
            Some(next) => next.subscribe(),
            None => {
                let (next, receiver) = watch::channel(None);
                state.next = Some(next);
                receiver
            }
        };
        if !state.running {
            state.running = true;
            tokio::spawn(Self::rounds(Arc::clone(&self.0)));
        }
        receiver
    }

    /// Runs rounds until nobody waits.
    async fn rounds(shared: Arc<Shared>) {
        loop {
            let round = {
                let mut state = shared.state.lock();
                let Some(round) = state.next.take() else {
                    state.running = false;
                    return;
                };
                round
            };
            if round.is_closed() {
                continue;
            }
            let confirmation = tokio::time::timeout(shared.round_limit, shared.source.read_index());
            let outcome = confirmation.await.unwrap_or(Err(Refusal::Stalled(shared.round_limit)));
            round.send_replace(Some(outcome));
        }
    }
}
