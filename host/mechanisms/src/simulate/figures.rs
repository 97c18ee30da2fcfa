//! What a simulation tells: figures for a table, and samples for a plot.
//!
//! All sizes are those of the tree that is stood for, and all times are simulated ones. The amplifications
//! are defined in the parent module; averages weigh each state of the tree by the writes that met it. The
//! number of samples does not grow with the length of a simulation; each has what happened since the one
//! before. Programs read all of it as it is serialised here.

use std::time::Duration;

use mortise_kernel::node::ContentHash;
use serde::Serialize;

use super::Setup;

/// Samples over the course of a simulation.
const SAMPLES: u64 = 60;

/// The outcome of one strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Who decided.
    pub strategy: String,
    /// Its configuration.
    pub config: String,
    /// Bytes of keys and values that clients wrote.
    pub client_bytes: u64,
    /// Bytes that flushes wrote to tables.
    pub flushed_bytes: u64,
    /// Bytes that steps wrote to tables.
    pub compacted_bytes: u64,
    /// See the module.
    pub write_amplification: f64,
    /// See the module.
    pub read_amplification: Spread,
    /// See the module.
    pub space_amplification: Spread,
    /// Most bytes on disk at any time, input and output of a step together.
    pub peak_disk_bytes: u64,
    /// Writes that had to wait.
    pub stalls: Stalls,
    /// What was done to the tree.
    pub steps: StepCounts,
    /// How often the strategy was asked.
    pub calls: u64,
    /// Its faults, at most the first ten.
    pub faults: Vec<FaultSeen>,
    /// All its faults.
    pub fault_count: u64,
    /// The write after which the native strategy took over, because of faults in a row.
    pub quarantined_at: Option<u64>,
    /// Time that the writes took, in simulated seconds.
    pub seconds: f64,
    /// Hash of the content at the end; every strategy must leave the same.
    pub content: ContentHash,
    /// The tree over time.
    pub samples: Vec<Sample>,
}

/// An average and a maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The average.
    pub mean: f64,
    /// The most.
    pub most: f64,
}

/// What back-pressure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stalls {
    /// Writes that were delayed.
    pub slowed_writes: u64,
    /// Writes that had to wait until the tree recovered.
    pub stopped_writes: u64,
    /// Time lost, in simulated seconds.
    pub seconds: f64,
    /// The longest wait of one write, in simulated milliseconds.
    pub longest_ms: f64,
}

/// Steps by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepCounts {
    /// Levelled steps of the strategy.
    pub partial: u64,
    /// Merges.
    pub merge: u64,
    /// Moves.
    pub r#move: u64,
    /// Rewrites of the whole tree.
    pub major: u64,
    /// Steps of the strategy that changed nothing.
    pub futile: u64,
    /// Steps that the guard rail took in its place.
    pub guard: u64,
}

/// A call that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultSeen {
    /// After how many writes.
    pub write: u64,
    /// `trap`, `deadline`, `illegal`, …
    pub kind: String,
    /// What was expected and found.
    pub detail: String,
}

/// The tree at one moment, and what happened since the last one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Writes so far.
    pub writes: u64,
    /// The levels.
    pub levels: Vec<LevelSample>,
    /// Most runs that level 0 had since the last sample.
    pub most_l0_runs: u64,
    /// Bytes of the keys and values that are live.
    pub live_bytes: u64,
    /// Time lost to stalls since the last sample, in simulated seconds.
    pub stalled_seconds: f64,
}

/// One level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LevelSample {
    /// Its runs.
    pub runs: u64,
    /// Its tables.
    pub tables: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Collects the figures while the writes go on.
pub(super) struct Collector {
    writes: u64,
    scale: u64,
    seen: u64,
    /// Weighted by writes, over the second half.
    runs: Mean,
    space: Mean,
    pub(super) peak_disk_bytes: u64,
    pub(super) stalls: Stalls,
    pub(super) samples: Vec<Sample>,
    current: Sample,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    weight: f64,
    most: f64,
}

impl Mean {
    fn add(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
        self.most = self.most.max(value);
    }

    fn spread(&self) -> Spread {
        let mean = if self.weight > 0.0 { self.sum / self.weight } else { 0.0 };
        Spread { mean, most: self.most }
    }
}

impl Collector {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            writes: setup.writes,
            scale: setup.scale,
            seen: 0,
            runs: Mean::default(),
            space: Mean::default(),
            peak_disk_bytes: 0,
            stalls: Stalls::default(),
            samples: Vec::new(),
            current: Sample::default(),
        }
    }

    /// Writes so far.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes note of `count` writes that met this tree. Sizes are those of the simulated store.
    #[expect(clippy::cast_precision_loss, reason = "averages are estimates")]
    pub(super) fn wrote(&mut self, count: u64, levels: &[LevelSample], live_bytes: u64) {
        self.seen += count;
        let disk: u64 = levels.iter().map(|level| level.bytes).sum();
        self.disk(disk);
        if self.seen * 2 > self.writes {
            let runs: u64 = levels.iter().map(|level| level.runs).sum();
            self.runs.add(runs as f64, count as f64);
            if live_bytes > 0 {
                self.space.add(disk as f64 / live_bytes as f64, count as f64);
            }
        }
        self.current.most_l0_runs = self.current.most_l0_runs.max(levels.first().map_or(0, |l0| l0.runs));
        if self.seen * SAMPLES / self.writes > self.samples.len() as u64 {
            let scaled = |level: &LevelSample| LevelSample { bytes: level.bytes * self.scale, ..*level };
            self.current.writes = self.seen;
            self.current.levels = levels.iter().map(scaled).collect();
            self.current.live_bytes = live_bytes * self.scale;
            self.samples.push(std::mem::take(&mut self.current));
        }
    }

    /// So many bytes of the simulated store were on disk.
    pub(super) fn disk(&mut self, bytes: u64) {
        self.peak_disk_bytes = self.peak_disk_bytes.max(bytes * self.scale);
    }

    /// Takes note of a wait of `count` writes.
    pub(super) fn waited(&mut self, count: u64, time: Duration, stopped: bool) {
        if time.is_zero() {
            return;
        }
        let tally = if stopped { &mut self.stalls.stopped_writes } else { &mut self.stalls.slowed_writes };
        *tally += count;
        self.stalls.seconds += time.as_secs_f64();
        self.stalls.longest_ms = self.stalls.longest_ms.max(time.as_secs_f64() * 1000.0);
        self.current.stalled_seconds += time.as_secs_f64();
    }

    pub(super) fn read_amplification(&self) -> Spread {
        self.runs.spread()
    }

    pub(super) fn space_amplification(&self) -> Spread {
        self.space.spread()
    }
}
