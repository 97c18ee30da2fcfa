//! A tree in memory and strategies from closures, for tests of the loop and of the plugin lifecycle.
//!
//! Steps pass the kernel's own legality check and change the shape as the kernel's would, on sizes alone;
//! there is no data. A step takes as long as the test says, by tokio's clock, and fails as long as the tree
//! is set to be full. Every step that was run is remembered, those that failed or did nothing included.
//! Changes are announced to the loop as a volume announces them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mortise_kernel::node::VolumeCounters;
use mortise_kernel::store::{
    LEVELS, LevelShape, RunShape, Step, StepOutcome, TableShape, TreeShape, check_step,
};
use mortise_plugin_runtime::compaction::{Answer, Decision, View};
use mortise_plugin_runtime::{Call, Fault, FaultKind};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::observe::{Observer, Tree};
use super::strategy::Strategy;

/// A tree whose steps do what the kernel's do, roughly.
pub(crate) struct FakeTree {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

struct State {
    shape: TreeShape,
    next_id: u64,
    steps: Vec<Step>,
    /// Steps fail as long as this is set.
    full: bool,
    step_takes: Duration,
}

impl FakeTree {
    pub(crate) fn new() -> Arc<Self> {
        let levels = vec![LevelShape::default(); usize::from(LEVELS)];
        let shape = TreeShape { levels, ..TreeShape::default() };
        let step_takes = Duration::from_millis(1);
        let state = State { shape, next_id: 0, steps: Vec::new(), full: false, step_takes };
        Arc::new(Self { state: Mutex::new(state), changes: watch::Sender::new(0) })
    }

    pub(crate) fn observer(self: &Arc<Self>) -> Arc<Observer> {
        let tree: Arc<Self> = Arc::clone(self);
        Arc::new(Observer::new(tree, Arc::new(|| 1 << 40), 20))
    }

    /// Adds runs to level 0, as a flush does.
    pub(crate) fn flush(&self, runs: usize) {
        let mut state = self.state.lock();
        for _ in 0..runs {
            let run = state.new_run(1024);
            state.shape.levels[0].runs.insert(0, run);
        }
        drop(state);
        self.announce();
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    pub(crate) fn steps_take(&self, time: Duration) {
        self.state.lock().step_takes = time;
    }

    /// Steps that were run so far, those that did nothing or failed included.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.state.lock().steps.clone()
    }

    pub(crate) fn l0_runs(&self) -> usize {
        self.state.lock().shape.levels[0].runs.len()
    }

    /// Announces a change even when there is none, as the kernel may.
    pub(crate) fn announce(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(crate) async fn until(&self, what: impl Fn(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        while !what(self) {
            changes.changed().await.unwrap();
        }
    }
}

impl State {
    fn new_run(&mut self, bytes: u64) -> RunShape {
        self.next_id += 1;
        let table = TableShape {
            id: self.next_id,
            bytes,
            entries: 1,
            tombstones: 0,
            min_key: "a".into(),
            max_key: "z".into(),
            max_seqno: self.next_id,
        };
        RunShape { tables: vec![table] }
    }

    fn merge(&mut self, from: std::ops::RangeInclusive<usize>, to: usize) -> StepOutcome {
        let runs: Vec<_> =
            self.shape.levels[from].iter_mut().flat_map(|level| level.runs.drain(..)).collect();
        let bytes = runs.iter().map(RunShape::bytes).sum();
        let merged = self.new_run(bytes);
        self.shape.levels[to].runs = vec![merged];
        StepOutcome { bytes_in: bytes, bytes_out: bytes, tables_in: runs.len(), tables_out: 1 }
    }

    fn run(&mut self, step: &Step) -> StepOutcome {
        match *step {
            Step::Partial { l0_threshold, .. } => {
                if self.shape.levels[0].runs.len() < usize::from(l0_threshold) {
                    return StepOutcome::default();
                }
                self.merge(0..=6, 6)
            }
            Step::Merge { from, to } => self.merge(usize::from(from)..=usize::from(to), usize::from(to)),
            Step::Move { from, to } => {
                self.shape.levels[usize::from(to)].runs =
                    self.shape.levels[usize::from(from)].runs.split_off(0);
                StepOutcome { tables_out: 1, ..StepOutcome::default() }
            }
            Step::Major { .. } => self.merge(0..=6, 6),
        }
    }
}

impl Tree for FakeTree {
    fn shape(&self) -> TreeShape {
        self.state.lock().shape.clone()
    }

    fn counters(&self) -> VolumeCounters {
        VolumeCounters::default()
    }

    fn shape_changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn compact_step(&self, step: Step) -> BoxFuture<'_, mortise_kernel::Result<StepOutcome>> {
        async move {
            let takes = self.state.lock().step_takes;
            tokio::time::sleep(takes).await;
            let outcome = {
                let mut state = self.state.lock();
                state.steps.push(step.clone());
                if state.full {
                    Err(mortise_kernel::Error::NoSpace("test".into()))
                } else {
                    check_step(&state.shape, &step).map_err(Into::into).map(|()| state.run(&step))
                }
            };
            self.announce();
            outcome
        }
        .boxed()
    }
}

/// A strategy from a closure.
pub(crate) struct Script<F>(pub F);

impl<F> Strategy for Script<F>
where
    F: Fn(&Call, &View) -> Result<Answer, Fault> + Send + Sync + 'static,
{
    fn decide(&self, call: Call, view: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>> {
        std::future::ready((self.0)(&call, &view).map(Decision::from)).boxed()
    }
}

pub(crate) const WAIT: Answer = Answer::Wait { ask_again_ms: None };

pub(crate) const PARTIAL: Answer =
    Answer::Partial { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 * 1024 * 1024 };

pub(crate) fn fault(kind: FaultKind) -> Fault {
    Fault { kind, detail: "for the test".into() }
}
