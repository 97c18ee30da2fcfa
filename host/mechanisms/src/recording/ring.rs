//! The latest calls of a volume's strategy.
//!
//! A ring holds so many calls and so many bytes; the oldest go first. When a strategy is replaced whose
//! latest answer was a fault, its calls are *set aside*, so that its successor doesn't push them out: they
//! stay until later faults need the room. What is set aside is bounded like the ring, so that all of it
//! together takes at most twice the bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use mortise_plugin_runtime::compaction::{Decision, Level, Run, Table, View};
use mortise_plugin_runtime::{Call, Fault};

use super::Bounds;
use crate::conformance::trace::Record;
use crate::system::StrategyInfo;

/// Strategies whose calls are set aside at once.
const SET_ASIDE: usize = 4;

/// One call that was recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub(crate) strategy: StrategyInfo,
    pub(crate) now: u64,
    pub(crate) seed: u64,
    /// The very view that the call carried.
    pub(crate) view: Arc<View>,
    pub(crate) answer: Result<Decision, Fault>,
}

impl Recorded {
    /// The call as a line of a trace.
    #[must_use]
    pub fn to_record(&self) -> Record {
        let StrategyInfo { plugin, version, config, .. } = &self.strategy;
        let call = Call { config: config.clone(), now: self.now, seed: self.seed };
        let name = format!("{plugin} {version}").trim_end().to_owned();
        Record::strategy(name, &call, &self.view, &self.answer)
    }

    /// Bytes of memory that it keeps, within a few.
    pub(super) fn weight(&self) -> u64 {
        let table = |table: &Table| size_of::<Table>() + table.min_key.len() + table.max_key.len();
        let run = |run: &Run| size_of::<Run>() + run.tables.iter().map(table).sum::<usize>();
        let level = |level: &Level| size_of::<Level>() + level.runs.iter().map(run).sum::<usize>();
        let StrategyInfo { plugin, version, digest, config } = &self.strategy;
        let texts = plugin.len() + version.len() + digest.len() + config.len();
        let answer = match &self.answer {
            Ok(decision) => decision.reason.len(),
            Err(fault) => fault.detail.len(),
        };
        let view = size_of::<View>() + self.view.levels.iter().map(level).sum::<usize>();
        (size_of::<Self>() + texts + answer + view) as u64
    }
}

/// How much of what a volume's strategy was asked is kept, and how much is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingInfo {
    /// Calls that are kept at most; 0 means that none are.
    pub max_calls: u64,
    /// Bytes that they may take.
    pub max_bytes: u64,
    /// Whether somebody asked for that; otherwise it is what every volume has.
    pub explicit: bool,
    /// Calls that are there, those set aside included.
    pub calls: u64,
    /// Bytes of memory that they take.
    pub bytes: u64,
    /// Of the calls, those of strategies that faulted and were replaced.
    pub set_aside: u64,
    /// Calls since the volume was opened that were too large to be kept.
    pub too_large: u64,
}

#[derive(Debug)]
struct Entry {
    /// The replacement that put its strategy into service.
    activation: u64,
    weight: u64,
    faulted: bool,
    recorded: Arc<Recorded>,
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    bounds: Bounds,
    entries: VecDeque<Entry>,
    /// Sum of the weights of `entries`.
    bytes: u64,
    /// The calls of one strategy each, the oldest first.
    set_aside: VecDeque<VecDeque<Entry>>,
    too_large: u64,
}

impl Ring {
    /// Keeps so much from now on; what is too much goes at once.
    pub(super) fn keep(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        self.make_room(0, 0);
        self.entries.shrink_to_fit();
        self.bound_set_aside();
    }

    /// Records a call of the strategy with this `activation`.
    pub(super) fn push(&mut self, activation: u64, recorded: Recorded, faulted: bool) {
        if self.entries.back().is_some_and(|last| last.faulted && last.activation != activation) {
            self.put_aside();
        }
        if self.bounds.calls == 0 {
            return;
        }
        let weight = recorded.weight();
        if weight > self.bounds.bytes {
            self.too_large += 1;
            return;
        }
        self.make_room(1, weight);
        self.bytes += weight;
        self.entries.push_back(Entry { activation, weight, faulted, recorded: Arc::new(recorded) });
    }

    /// Everything that is there, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Recorded>> {
        let mut entries: Vec<_> = self.set_aside.iter().flatten().chain(&self.entries).collect();
        // What was set aside may be newer than the oldest in the ring.
        entries.sort_by_key(|entry| entry.activation);
        entries.into_iter().map(|entry| Arc::clone(&entry.recorded)).collect()
    }

    pub(super) fn info(&self, explicit: bool) -> RecordingInfo {
        let set_aside: usize = self.set_aside.iter().map(VecDeque::len).sum();
        RecordingInfo {
            max_calls: self.bounds.calls,
            max_bytes: self.bounds.bytes,
            explicit,
            calls: (set_aside + self.entries.len()) as u64,
            bytes: self.bytes + self.set_aside_bytes(),
            set_aside: set_aside as u64,
            too_large: self.too_large,
        }
    }

    fn make_room(&mut self, calls: u64, bytes: u64) {
        while self.entries.len() as u64 + calls > self.bounds.calls || self.bytes + bytes > self.bounds.bytes
        {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.weight;
        }
    }

    /// Takes the calls of the strategy that was asked last out of the ring.
    fn put_aside(&mut self) {
        let Some(activation) = self.entries.back().map(|last| last.activation) else { return };
        // Strategies follow each other, so its calls are together.
        let first = self.entries.partition_point(|entry| entry.activation < activation);
        let of_it = self.entries.split_off(first);
        self.bytes -= of_it.iter().map(|entry| entry.weight).sum::<u64>();
        self.set_aside.push_back(of_it);
        self.bound_set_aside();
    }

    fn bound_set_aside(&mut self) {
        // Each was within the bounds of its time, and those may have become narrower.
        for of_one in &mut self.set_aside {
            let excess = (of_one.len() as u64).saturating_sub(self.bounds.calls);
            of_one.drain(..usize::try_from(excess).unwrap_or(usize::MAX).min(of_one.len()));
        }
        self.set_aside.retain(|of_one| !of_one.is_empty());
        while self.set_aside.len() > SET_ASIDE || self.set_aside_bytes() > self.bounds.bytes {
            self.set_aside.pop_front();
        }
    }

    fn set_aside_bytes(&self) -> u64 {
        self.set_aside.iter().flatten().map(|entry| entry.weight).sum()
    }
}
