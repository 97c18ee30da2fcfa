//! The writer thread: turns groups of changes into batches, syncs once per group, completes the waiters.
//!
//! A *sink* is where batches go: fjall in life, a recorder or a failing disk in tests. Within one batch no
//! key may occur twice, since all writes of a fjall batch share one sequence number; therefore a batch ends
//! before and after every removal that could meet a write of the same group.
//!
//! Purged entries are removed in the disk's spare time: at once only the mark is written, the removals wait
//! in a *backlog* that is worked off in small portions, so that no append waits for ten thousand removals.
//! What a crash leaves of the backlog is found again when the volume is attached.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::keys::{self, Item, Key};
use super::metrics::LogMetrics;
use super::queue::{Change, Completion, DISK_FULL, Group, LogFailure, Queue, Request};
use super::room::Room;
use crate::node::VolumeId;
use crate::seams::fault::{self, Point};

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Write a value.
    Put(Key, Bytes),
    /// Remove a value.
    Remove(Key),
}

/// Where batches go.
pub trait Sink: Send + 'static {
    /// Writes a batch atomically, without waiting for the disk.
    ///
    /// # Errors
    /// The text of what went wrong; the log takes no more writes afterwards.
    fn write(&mut self, batch: Vec<Write>) -> Result<(), String>;

    /// Waits until everything written is durable.
    ///
    /// # Errors
    /// As above.
    fn sync(&mut self) -> Result<(), String>;

    /// Leaves of the newest batch what a power failure in the middle of its write would leave. Fault points
    /// ask for it, right before the process ends.
    ///
    /// # Errors
    /// As above.
    fn tear(&mut self) -> Result<(), String> {
        Err("this sink cannot be torn".to_owned())
    }
}

impl Sink for Box<dyn Sink> {
    fn write(&mut self, batch: Vec<Write>) -> Result<(), String> {
        (**self).write(batch)
    }

    fn sync(&mut self) -> Result<(), String> {
        (**self).sync()
    }

    fn tear(&mut self) -> Result<(), String> {
        (**self).tear()
    }
}

/// Removals that ride along with a group that somebody waits for: about 0.1 ms of work.
const REMOVALS_WHEN_BUSY: u64 = 128;
/// Removals in one portion while nobody waits.
const REMOVALS_WHEN_IDLE: u64 = 1024;

/// Entries of a purged range that are still to be removed.
struct Leftover {
    volume: VolumeId,
    next: u64,
    upto: u64,
}

pub(super) struct Writer<S> {
    queue: Arc<Queue>,
    sink: S,
    room: Room,
    backlog: VecDeque<Leftover>,
    metrics: LogMetrics,
}

impl<S: Sink> Writer<S> {
    pub(super) fn new(queue: Arc<Queue>, sink: S, room: Room) -> Self {
        Self { queue, sink, room, backlog: VecDeque::new(), metrics: LogMetrics::new() }
    }

    /// Runs until the queue is closed or the sink fails.
    pub(super) fn run(mut self) {
        let mut waiting = Waiting { queue: Arc::clone(&self.queue), waiters: Vec::new() };
        while let Some(mut group) = self.queue.take(!self.backlog.is_empty()) {
            self.metrics.queue_depth(group.left);
            waiting.waiters = group.requests.iter_mut().filter_map(|request| request.done.take()).collect();
            match self.commit(group, !waiting.waiters.is_empty()) {
                Ok(()) => waiting.waiters.drain(..).for_each(|done| done(Ok(()))),
                Err(detail) => return waiting.fail(&LogFailure::new(detail)),
            }
        }
    }

    fn commit(&mut self, group: Group, sync: bool) -> Result<(), String> {
        let started = Instant::now();
        let busy = !group.requests.is_empty();
        let entries = group.requests.iter().map(entries_in).sum::<usize>();
        let bytes = group.requests.iter().map(Request::bytes).sum::<usize>();
        let votes = group.requests.iter().any(|request| matches!(request.change, Change::Vote(_)));
        let mut plan = Plan::default();
        for (volume, mark) in group.hints {
            plan.put_state(volume, Item::Committed, mark);
        }
        for request in group.requests {
            self.plan(&mut plan, request);
        }
        let purges = !self.backlog.is_empty();
        reach_if(purges, Point::LogPurgeBefore)?;
        self.work_off(&mut plan, if busy { REMOVALS_WHEN_BUSY } else { REMOVALS_WHEN_IDLE });
        self.room.wait(bytes as u64, &self.queue)?;
        reach_if(entries > 0, Point::LogAppendBefore)?;
        reach_if(votes, Point::VoteBefore)?;
        for batch in plan.finish() {
            let brings = |key: fn(&Key) -> bool| {
                batch.iter().any(|write| matches!(write, Write::Put(written, _) if key(written)))
            };
            let appends = entries > 0 && brings(keys::is_entry);
            let votes = votes && brings(keys::is_vote);
            let removes = purges && batch.iter().all(|write| matches!(write, Write::Remove(_)));
            self.sink.write(batch)?;
            reach_if(removes, Point::LogPurgeMiddle)?;
            self.middle_if(appends, Point::LogAppendMiddle)?;
            self.middle_if(votes, Point::VoteMiddle)?;
        }
        if sync {
            reach_if(true, Point::LogSyncBefore)?;
            self.sink.sync()?;
            reach_if(true, Point::LogSyncAfter)?;
            self.metrics.flushed(started.elapsed(), entries, bytes);
        }
        Ok(())
    }

    /// Passes a fault point in the middle of the write of the newest batch.
    fn middle_if(&mut self, applies: bool, point: Point) -> Result<(), String> {
        if !applies {
            return Ok(());
        }
        fault::reach_within(point, || self.sink.tear()).map_err(|error| failure(&error))
    }

    fn plan(&mut self, plan: &mut Plan, request: Request) {
        let Request { volume, change, .. } = request;
        match change {
            Change::Append(entries) => {
                for (index, value) in entries {
                    plan.put(keys::entry(volume, index), value);
                }
            }
            Change::Vote(vote) => plan.put_state(volume, Item::Vote, vote),
            Change::Truncate { from, last } => {
                plan.remove_apart((from..=last).map(|index| keys::entry(volume, index)));
            }
            Change::Purge { mark, from, upto } => {
                plan.put_state(volume, Item::Purged, mark);
                self.backlog.push_back(Leftover { volume, next: from, upto });
            }
            Change::Erase(keys) => {
                self.backlog.retain(|leftover| leftover.volume != volume);
                plan.remove_apart(keys.into_iter());
            }
        }
    }

    /// Adds up to `most` removals of the backlog to the plan.
    fn work_off(&mut self, plan: &mut Plan, mut most: u64) {
        if self.backlog.is_empty() {
            return;
        }
        plan.cut();
        while most > 0
            && let Some(first) = self.backlog.front_mut()
        {
            let end = first.upto.min(first.next.saturating_add(most - 1));
            if first.next <= end {
                most -= end - first.next + 1;
                for index in first.next..=end {
                    plan.remove(keys::entry(first.volume, index));
                }
            }
            first.next = end.max(first.next.saturating_sub(1)).saturating_add(1);
            if first.next > first.upto {
                self.backlog.pop_front();
            }
        }
    }
}

/// Those who wait for the group that is being written. A panic of the writer, too, is told to them and to all
/// who come later: nobody else would ever answer them.
struct Waiting {
    queue: Arc<Queue>,
    waiters: Vec<Completion>,
}

impl Waiting {
    fn fail(&mut self, failure: &LogFailure) {
        tracing::error!(%failure, "raft log failed");
        let behind = self.queue.fail(failure).into_iter().filter_map(|request| request.done);
        self.waiters.drain(..).chain(behind).for_each(|done| done(Err(failure.clone())));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fail(&LogFailure::new("its writer panicked"));
        }
    }
}

/// Passes a fault point; its fault, if one is injected, becomes the text of a failure of the sink.
fn reach_if(applies: bool, point: Point) -> Result<(), String> {
    if !applies {
        return Ok(());
    }
    fault::reach(point).map_err(|error| failure(&error))
}

fn failure(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::StorageFull => format!("{DISK_FULL} ({error})"),
        _ => error.to_string(),
    }
}

fn entries_in(request: &Request) -> usize {
    if let Change::Append(entries) = &request.change { entries.len() } else { 0 }
}

/// Batches in the making.
#[derive(Default)]
struct Plan {
    done: Vec<Vec<Write>>,
    current: Vec<Write>,
    /// State items of the current batch; the last value wins.
    states: BTreeMap<(VolumeId, Item), Bytes>,
}

impl Plan {
    fn put(&mut self, key: Key, value: Bytes) {
        self.current.push(Write::Put(key, value));
    }

    fn put_state(&mut self, volume: VolumeId, item: Item, value: Bytes) {
        self.states.insert((volume, item), value);
    }

    fn remove(&mut self, key: Key) {
        self.current.push(Write::Remove(key));
    }

    /// Removals in a batch of their own.
    fn remove_apart(&mut self, keys: impl Iterator<Item = Key>) {
        self.cut();
        self.current.extend(keys.map(Write::Remove));
        self.cut();
    }

    /// Ends the current batch.
    fn cut(&mut self) {
        for ((volume, item), value) in std::mem::take(&mut self.states) {
            self.current.push(Write::Put(keys::state(volume, item), value));
        }
        if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    fn finish(mut self) -> Vec<Vec<Write>> {
        self.cut();
        self.done
    }
}
