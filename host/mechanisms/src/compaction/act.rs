//! Carrying out a plan: one step at a time per volume, a few at once per node.

use std::time::Duration;

use mortise_kernel::store::{Step, StepOutcome};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::observe::Tree;
use super::pace::By;
use crate::telemetry::{StepMetrics, step_name};

/// How many steps may run at once on a node. The guard rail's are counted for themselves, so that long steps
/// that plugins asked for on some volumes never keep it from helping another.
#[derive(Debug)]
pub(crate) struct Permits([Semaphore; 2]);

impl Permits {
    /// So many steps of strategies, and as many of the guard rail; at least one of each.
    pub(crate) fn new(each: usize) -> Self {
        Self([By::Strategy, By::Guard].map(|_| Semaphore::new(each.max(1))))
    }

    fn of(&self, by: By) -> &Semaphore {
        &self.0[by as usize]
    }
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acted {
    /// The tree changed; the step took so long.
    Progressed(Duration),
    /// Nothing changed, or the tree had changed meanwhile.
    Futile,
    /// Storage failed.
    Failed,
}

/// Runs a step when one of the node's `permits` is free.
pub(crate) async fn run(
    tree: &dyn Tree,
    volume: &str,
    step: &Step,
    by: By,
    permits: &Permits,
    metrics: &StepMetrics,
) -> Acted {
    let Ok(_permit) = permits.of(by).acquire().await else { return Acted::Futile };
    let started = Instant::now();
    let result = tree.compact_step(step.clone()).await;
    let took = started.elapsed();
    let (kind, by) = (step_name(step), by.as_str());
    match result {
        Ok(StepOutcome { tables_in: 0, tables_out: 0, .. }) => {
            tracing::debug!(volume, step = kind, by, "the compaction step had nothing to do");
            metrics.step(kind, by, "nothing", took);
            Acted::Futile
        }
        Ok(outcome) => {
            let StepOutcome { bytes_in, bytes_out, tables_in, tables_out } = outcome;
            tracing::debug!(
                volume,
                step = kind,
                by,
                ?took,
                bytes_in,
                bytes_out,
                tables_in,
                tables_out,
                "compacted"
            );
            metrics.step(kind, by, "done", took);
            metrics.bytes(bytes_in, bytes_out);
            Acted::Progressed(took)
        }
        // The step was legal for the tree that the strategy saw, so this is nobody's fault.
        Err(mortise_kernel::Error::IllegalStep(rule)) => {
            tracing::debug!(volume, step = kind, by, %rule, "the tree changed before the step could begin");
            metrics.step(kind, by, "stale", took);
            Acted::Futile
        }
        Err(error) => {
            let step = kind;
            tracing::warn!(volume, step, by, %error, "a compaction step failed and will be tried again");
            metrics.step(kind, by, "failed", took);
            Acted::Failed
        }
    }
}
