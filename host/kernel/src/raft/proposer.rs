//! Gathers commands into log entries.
//!
//! One task per volume takes everything that waits, up to a count and a size, makes one entry of it and hands
//! it to raft. While an entry is in flight the next one gathers. An entry's place is given back by apply, not
//! by openraft's response, which comes later.
//!
//! One entry in flight is the default. More would overlap the sync of one entry with the apply of another,
//! but they divide the same writers among more and smaller entries, each with its own sync and hand-overs:
//! with 256 writers on two busy cores, 1, 2 and 4 in flight made entries of 127, 85 and 51 puts, and one in
//! flight was the fastest by far (`examples/put_rate.rs`).
//!
//! Whoever waits holds a oneshot receiver; dropping it is all there is to giving up. A command whose waiter
//! is gone before it was taken is never proposed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use openraft::Raft;
use openraft::error::ClientWriteError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::types::{Batch, Replies, Reply, TypeConfig};
use crate::format::{Answer, Meter, Prepared, beside_workers};
use crate::kv::Command;
use crate::log::DISK_FULL;
use crate::seams::Deadline;
use crate::store::{CurrentStore, Store};
use crate::{Error, Result};

/// Bounds of the queue and of an entry.
#[derive(Clone, Copy, Debug)]
pub struct ProposerConfig {
    /// Most commands in an entry.
    pub entry_commands: usize,
    /// An entry takes no further command once it has this many bytes.
    pub entry_bytes: usize,
    /// Most entries in flight.
    pub entries_in_flight: usize,
    /// Most commands that wait; more are refused as busy.
    pub queued_commands: usize,
    /// Most bytes that wait.
    pub queued_bytes: usize,
}

impl Default for ProposerConfig {
    fn default() -> Self {
        Self {
            entry_commands: 256,
            entry_bytes: 1024 * 1024,
            entries_in_flight: 1,
            queued_commands: 8192,
            queued_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Holds entries back when the store does not keep up.
pub trait Throttle: Send + Sync + 'static {
    /// Returns when the next entry may go; whether it had to wait.
    fn pause(&self) -> BoxFuture<'_, bool>;
    /// This many commands were held back.
    fn slowed(&self, commands: usize);
}

/// About the bytes that a command takes, in the queue and in the log.
fn size_of(command: &Command) -> usize {
    const FIELDS: usize = 16;
    FIELDS
        + match command {
            Command::Put(put) => put.key.len() + put.value.len(),
            Command::DeleteRange(delete) => delete.key.len() + delete.range_end.len(),
            Command::Txn(txn) => postcard::experimental::serialized_size(txn).unwrap_or(0),
            Command::Compact { .. } => 0,
        }
}

struct Pending {
    command: Command,
    prepared: Option<Prepared>,
    bytes: usize,
    /// Its caller's.
    deadline: Deadline,
    reply: Reply,
}

/// The queue of a volume's commands and the task that empties it.
pub(super) struct Proposer {
    queue: mpsc::Sender<Pending>,
    queued_bytes: Arc<AtomicUsize>,
    config: ProposerConfig,
    places: Arc<Semaphore>,
    closing: Arc<Notify>,
    task: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Proposer {
    pub(super) fn start(
        raft: Raft<TypeConfig>,
        store: Arc<CurrentStore>,
        throttle: Arc<dyn Throttle>,
        config: ProposerConfig,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(config.queued_commands);
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let closing = Arc::new(Notify::new());
        let places = Arc::new(Semaphore::new(config.entries_in_flight));
        let gatherer = Gatherer {
            raft,
            store,
            throttle,
            config,
            queue: waiting,
            queued_bytes: Arc::clone(&queued_bytes),
            waiting: VecDeque::new(),
            arrivals: Vec::new(),
            places: Arc::clone(&places),
            flights: JoinSet::new(),
        };
        let task = tokio::spawn(gatherer.run(Arc::clone(&closing)));
        let task = parking_lot::Mutex::new(Some(task));
        Self { queue, queued_bytes, config, places, closing, task }
    }

    /// Waits until no entry is in flight, and keeps new ones back for as long as the answer is held.
    pub(super) async fn quiet(&self) -> Result<OwnedSemaphorePermit> {
        let all = u32::try_from(self.config.entries_in_flight).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.places).acquire_many_owned(all).await;
        places.map_err(|_| Error::ShuttingDown("the volume"))
    }

    /// Queues a command and waits for its answer.
    pub(super) async fn propose(
        &self,
        command: Command,
        prepared: Option<Prepared>,
        deadline: Deadline,
    ) -> Result<Answer> {
        let bytes = size_of(&command) + prepared.as_ref().map_or(0, Prepared::bytes);
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let refusal = if queued > 0 && queued + bytes > self.config.queued_bytes {
            Some(Error::Busy(format!("{queued} bytes of writes wait already")))
        } else {
            match self.queue.try_send(Pending { command, prepared, bytes, deadline, reply }) {
                Ok(()) => None,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    Some(Error::Busy(format!("{} writes wait already", self.config.queued_commands)))
                }
                Err(mpsc::error::TrySendError::Closed(_)) => Some(Error::ShuttingDown("the volume")),
            }
        };
        if let Some(refusal) = refusal {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(refusal);
        }
        // A dropped sender means that the group stopped before the command was logged or answered.
        deadline.bound("the write", answer).await?.unwrap_or(Err(Error::ShuttingDown("the volume")))
    }

    /// Takes no more commands, proposes those that wait, and ends.
    pub(super) async fn close(&self, deadline: Deadline) {
        self.closing.notify_one();
        let Some(mut task) = self.task.lock().take() else { return };
        if deadline.bound("the waiting writes", &mut task).await.is_err() {
            task.abort();
        }
    }
}

impl Drop for Proposer {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().take() {
            task.abort();
        }
    }
}

/// A command with what this store's coder makes of it. The volume's format may have changed while it waited;
/// then the codec runs here, as it does for every request: bounded by its deadline, and by less fuel than
/// apply has for it, so that it passes again when the log is replayed. A refusal is answered.
fn ready(mut pending: Pending, store: &Store) -> Option<Pending> {
    if Prepared::suits(pending.prepared.as_ref(), store.coder()) {
        return Some(pending);
    }
    let meter = Meter::Request(pending.deadline);
    match beside_workers(|| store.prepare(&pending.command, meter)) {
        Ok(prepared) => {
            pending.prepared = prepared;
            Some(pending)
        }
        Err(refusal) => {
            // A caller that gave up is not there any more.
            drop(pending.reply.send(Err(refusal)));
            None
        }
    }
}

/// What goes into one entry of the log.
struct NextEntry {
    commands: Vec<Command>,
    /// Empty, or for each command what a codec made of it.
    prepared: Vec<Option<Prepared>>,
    replies: Vec<Reply>,
}

struct Gatherer {
    raft: Raft<TypeConfig>,
    store: Arc<CurrentStore>,
    throttle: Arc<dyn Throttle>,
    config: ProposerConfig,
    queue: mpsc::Receiver<Pending>,
    queued_bytes: Arc<AtomicUsize>,
    waiting: VecDeque<Pending>,
    arrivals: Vec<Pending>,
    places: Arc<Semaphore>,
    /// Watches entries in flight, to hand out the error of one that failed.
    flights: JoinSet<()>,
}

impl Gatherer {
    async fn run(mut self, closing: Arc<Notify>) {
        loop {
            if self.waiting.is_empty() {
                let most = self.config.entry_commands;
                tokio::select! {
                    biased;
                    () = closing.notified() => self.queue.close(),
                    arrived = self.queue.recv_many(&mut self.arrivals, most) => {
                        if arrived == 0 {
                            break;
                        }
                        self.take_arrivals();
                    }
                }
                continue;
            }
            let slowed = self.throttle.pause().await;
            // The semaphore is never closed; without a place nothing may be proposed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { break };
            self.top_up();
            let entry = self.next_entry();
            if entry.commands.is_empty() {
                continue;
            }
            if slowed {
                self.throttle.slowed(entry.commands.len());
            }
            self.submit(entry, place).await;
            while self.flights.try_join_next().is_some() {}
        }
        while self.flights.join_next().await.is_some() {}
    }

    fn take_arrivals(&mut self) {
        let bytes: usize = self.arrivals.iter().map(|pending| pending.bytes).sum();
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.waiting.extend(self.arrivals.drain(..));
    }

    /// Takes what arrived while a place was waited for.
    fn top_up(&mut self) {
        while self.waiting.len() + self.arrivals.len() < self.config.entry_commands
            && let Ok(pending) = self.queue.try_recv()
        {
            self.arrivals.push(pending);
        }
        self.take_arrivals();
    }

    /// The commands of the next entry; those that nobody waits for are left out. Each is ready for the format
    /// of the store that serves: with a place taken, the store is not exchanged for one of another format.
    fn next_entry(&mut self) -> NextEntry {
        let most = self.waiting.len().min(self.config.entry_commands);
        let mut entry = NextEntry {
            commands: Vec::with_capacity(most),
            replies: Vec::with_capacity(most),
            prepared: Vec::new(),
        };
        let store = self.store.load();
        let mut bytes = 0;
        while entry.commands.len() < self.config.entry_commands
            && let Some(next) = self.waiting.front()
            && (entry.commands.is_empty() || bytes + next.bytes <= self.config.entry_bytes)
            && let Some(pending) = self.waiting.pop_front()
        {
            if pending.reply.is_closed() {
                continue;
            }
            let Some(pending) = ready(pending, &store) else { continue };
            bytes += pending.bytes;
            if pending.prepared.is_some() {
                // On a natural volume this list stays empty.
                entry.prepared.resize(entry.commands.len(), None);
                entry.prepared.push(pending.prepared);
            }
            entry.commands.push(pending.command);
            entry.replies.push(pending.reply);
        }
        entry
    }

    async fn submit(&mut self, entry: NextEntry, place: OwnedSemaphorePermit) {
        let replies = Arc::new(Replies::new(entry.replies, place));
        let batch = match Batch::with_replies(entry.commands, entry.prepared, Arc::clone(&replies)) {
            Ok(batch) => batch,
            Err(error) => {
                let text = error.to_string();
                return replies.fail(|| Error::Internal(text.clone()));
            }
        };
        match self.raft.client_write_ff(batch).await {
            Ok(outcome) => {
                let raft = self.raft.clone();
                self.flights.spawn(async move {
                    match outcome.await {
                        Ok(Ok(_)) => {}
                        Ok(Err(ClientWriteError::ForwardToLeader(forward))) => {
                            replies.fail(|| Error::NotLeader { leader: forward.leader_id });
                        }
                        Ok(Err(other)) => replies.fail(|| Error::Internal(other.to_string())),
                        Err(_) => replies.fail(|| stopped(&raft)),
                    }
                });
            }
            Err(_) => replies.fail(|| stopped(&self.raft)),
        }
    }
}

/// Why a group does not answer any more.
pub(super) fn stopped(raft: &Raft<TypeConfig>) -> Error {
    match &raft.metrics().borrow().running_state {
        Err(openraft::error::Fatal::StorageError(error)) if error.to_string().contains(DISK_FULL) => {
            Error::NoSpace(error.to_string())
        }
        Err(openraft::error::Fatal::StorageError(error)) => {
            Error::Storage { context: "the raft group has stopped", detail: error.to_string() }
        }
        Err(openraft::error::Fatal::Panicked) => Error::Internal("the raft group panicked".into()),
        _ => Error::ShuttingDown("the volume"),
    }
}
