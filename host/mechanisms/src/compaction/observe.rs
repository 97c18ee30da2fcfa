//! What the compaction loop knows of a volume before it asks what to do.
//!
//! The kernel speaks of a [`TreeShape`], plugins of a [`View`]; the two conversions here are all that
//! connects them. Keys in a view are cut to [`SHOWN_KEY_BYTES`], so that a client's huge keys cannot fill a
//! plugin's memory: a cut lower bound stays a lower bound, and a cut upper bound is raised so that it stays
//! one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mortise_kernel::node::{Volume, VolumeCounters};
use mortise_kernel::store::{LevelShape, RunShape, Step, StepOutcome, TableShape, TreeShape};
use mortise_plugin_runtime::compaction::{Level, PreviousStep, Run, Table, View};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest key that a view shows, in bytes.
pub(crate) const SHOWN_KEY_BYTES: usize = 1024;

/// What the loop needs of a volume.
pub(crate) trait Tree: Send + Sync + 'static {
    /// The shape now.
    fn shape(&self) -> TreeShape;
    /// Counts since the volume was opened.
    fn counters(&self) -> VolumeCounters;
    /// Changes whenever the shape did.
    fn shape_changes(&self) -> watch::Receiver<u64>;
    /// Checks the step and runs it.
    fn compact_step(&self, step: Step) -> BoxFuture<'_, mortise_kernel::Result<StepOutcome>>;
}

impl Tree for Volume {
    fn shape(&self) -> TreeShape {
        Self::shape(self)
    }

    fn counters(&self) -> VolumeCounters {
        Self::counters(self)
    }

    fn shape_changes(&self) -> watch::Receiver<u64> {
        Self::shape_changes(self)
    }

    fn compact_step(&self, step: Step) -> BoxFuture<'_, mortise_kernel::Result<StepOutcome>> {
        Box::pin(Self::compact_step(self, step))
    }
}

/// Free bytes on the disk that holds a tree.
pub(crate) type FreeDisk = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Looks at one volume. Whoever looks feeds the same smoothed write rate, and sees what became of the last
/// step.
pub(crate) struct Observer {
    tree: Arc<dyn Tree>,
    free_disk: FreeDisk,
    write_rate: WriteRate,
    guard_l0_runs: u32,
    previous: Mutex<Option<PreviousStep>>,
}

impl Observer {
    /// An observer of `tree`, whose write rate starts at nothing. It tells plugins where the guard rail is.
    pub(crate) fn new(tree: Arc<dyn Tree>, free_disk: FreeDisk, guard_l0_runs: usize) -> Self {
        let write_rate = WriteRate::new(Instant::now(), tree.counters().written_bytes);
        let guard_l0_runs = u32::try_from(guard_l0_runs).unwrap_or(u32::MAX);
        Self { tree, free_disk, write_rate, guard_l0_runs, previous: Mutex::default() }
    }

    /// Takes note of what became of a step.
    pub(crate) fn acted(&self, step: PreviousStep) {
        *self.previous.lock() = Some(step);
    }

    /// The volume's tree.
    pub(crate) fn tree(&self) -> &dyn Tree {
        self.tree.as_ref()
    }

    /// The volume as it is now.
    pub(crate) fn observe(&self) -> Observation {
        let shape = self.tree.shape();
        let counters = self.tree.counters();
        Observation {
            fingerprint: fingerprint(&shape),
            shape,
            counters,
            write_rate: self.write_rate.update(Instant::now(), counters.written_bytes),
            free_disk: (self.free_disk)(),
            guard_l0_runs: self.guard_l0_runs,
            previous: self.previous.lock().clone(),
        }
    }
}

/// One look at a volume.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    /// The tree.
    pub shape: TreeShape,
    /// Equal for equal sets of tables in equal places.
    pub fingerprint: u64,
    /// Counts since the volume was opened.
    pub counters: VolumeCounters,
    /// Bytes written by clients per second.
    pub write_rate: f64,
    /// Free bytes on the disk.
    pub free_disk: u64,
    /// Runs of level 0 above which the guard rail acts.
    pub guard_l0_runs: u32,
    /// What became of the last step.
    pub previous: Option<PreviousStep>,
}

impl Observation {
    /// Runs in level 0.
    pub(crate) fn l0_runs(&self) -> usize {
        self.shape.levels.first().map_or(0, |level| level.runs.len())
    }

    /// What a plugin is shown.
    pub(crate) fn view(&self) -> View {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative")]
        let write_rate = self.write_rate as u64;
        let view = view_of(&self.shape, write_rate, self.free_disk);
        View { guard_l0_runs: self.guard_l0_runs, previous: self.previous.clone(), ..view }
    }
}

/// A number that differs when tables were added, removed or moved. Memtables do not count: nothing can be
/// compacted in them.
pub(crate) fn fingerprint(shape: &TreeShape) -> u64 {
    let mut hasher = DefaultHasher::new();
    for level in &shape.levels {
        level.runs.len().hash(&mut hasher);
        for run in &level.runs {
            run.tables.len().hash(&mut hasher);
            run.tables.iter().for_each(|table| table.id.hash(&mut hasher));
        }
    }
    hasher.finish()
}

/// Shows `shape` to a plugin, as a tree without a guard rail to which nothing has been done yet.
pub(crate) fn view_of(shape: &TreeShape, write_rate: u64, free_disk: u64) -> View {
    let table = |table: &TableShape| Table {
        id: table.id,
        bytes: table.bytes,
        entries: table.entries,
        tombstones: table.tombstones,
        max_seqno: table.max_seqno,
        min_key: lower_bound(&table.min_key),
        max_key: upper_bound(&table.max_key),
    };
    let run = |run: &RunShape| Run { tables: run.tables.iter().map(table).collect() };
    let level = |level: &LevelShape| Level { runs: level.runs.iter().map(run).collect() };
    View {
        levels: shape.levels.iter().map(level).collect(),
        memtable_bytes: shape.memtable_bytes,
        write_rate,
        free_disk,
        guard_l0_runs: u32::MAX,
        previous: None,
    }
}

/// The tree that a view describes, to judge answers to it by the kernel's rules.
pub(crate) fn shape_of(view: &View) -> TreeShape {
    let table = |table: &Table| TableShape {
        id: table.id,
        bytes: table.bytes,
        entries: table.entries,
        tombstones: table.tombstones,
        min_key: table.min_key.clone().into(),
        max_key: table.max_key.clone().into(),
        max_seqno: table.max_seqno,
    };
    let run = |run: &Run| RunShape { tables: run.tables.iter().map(table).collect() };
    let level = |level: &Level| LevelShape { runs: level.runs.iter().map(run).collect() };
    TreeShape {
        levels: view.levels.iter().map(level).collect(),
        memtable_bytes: view.memtable_bytes,
        sealed_memtables: 0,
    }
}

fn lower_bound(key: &[u8]) -> Vec<u8> {
    key[..key.len().min(SHOWN_KEY_BYTES)].to_vec()
}

fn upper_bound(key: &[u8]) -> Vec<u8> {
    let mut shown = lower_bound(key);
    if shown.len() < key.len()
        && let Some(last) = shown.iter().rposition(|byte| *byte < u8::MAX)
    {
        shown.truncate(last + 1);
        shown[last] += 1;
    }
    shown
}

/// Over which time the write rate is smoothed.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// Two looks closer than this say nothing about a rate.
const RATE_RESOLUTION: Duration = Duration::from_millis(50);

/// An exponentially weighted moving average of a growing count.
#[derive(Debug)]
pub(crate) struct WriteRate(Mutex<RateState>);

#[derive(Debug)]
struct RateState {
    at: Instant,
    count: u64,
    per_second: f64,
}

impl WriteRate {
    /// Starts at `count` with a rate of nothing.
    pub(crate) fn new(at: Instant, count: u64) -> Self {
        Self(Mutex::new(RateState { at, count, per_second: 0.0 }))
    }

    /// Takes the count at `now` into account and returns the rate per second.
    pub(crate) fn update(&self, now: Instant, count: u64) -> f64 {
        let mut state = self.0.lock();
        let elapsed = now.saturating_duration_since(state.at);
        if elapsed >= RATE_RESOLUTION {
            #[expect(clippy::cast_precision_loss, reason = "a rate is an estimate")]
            let recent = count.saturating_sub(state.count) as f64 / elapsed.as_secs_f64();
            let keep = (-elapsed.as_secs_f64() / RATE_WINDOW.as_secs_f64()).exp();
            *state = RateState { at: now, count, per_second: recent + (state.per_second - recent) * keep };
        }
        state.per_second
    }
}

/// Bytes written to tables for each byte applied, what a start applied again included; 0 before the first.
#[expect(clippy::cast_precision_loss, reason = "a ratio is an estimate")]
pub(crate) fn write_amplification(counters: &VolumeCounters) -> f64 {
    if counters.written_bytes == 0 {
        return 0.0;
    }
    (counters.flushed_bytes + counters.compaction_out_bytes) as f64 / counters.written_bytes as f64
}
