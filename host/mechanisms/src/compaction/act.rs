//! Carrying out a plan: one step at a time per volume, a few at once per node.
//!
//! The kernel checks a step again when it begins. One that has become illegal since is *stale*: the tree
//! changed, and nobody is to blame. What became of a step is told to the strategy with the next question. A
//! step that has begun runs to its end; nothing here interrupts it.
//!
//! The guard rail has permits of its own, so that long steps of plugins do not hold it up. Which step to run,
//! and how soon the next one, is decided elsewhere (`decide`, `pace`).

use std::time::Duration;

use mortise_kernel::store::{Step, StepOutcome};
use mortise_plugin_runtime::compaction::{Answer, Origin, Outcome, PreviousStep, Work};
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

/// A step that is to be run, who wants it, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub step: &'a Step,
    pub by: By,
    /// For the log; empty when the strategy gave none.
    pub reason: &'a str,
}

impl Wanted<'_> {
    /// The step as the next question to a plugin tells about it.
    pub(crate) fn became(&self, outcome: Outcome, took: Duration) -> PreviousStep {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        PreviousStep { step: self.answer().into(), wanted_by: self.origin(), outcome, took_ms }
    }

    /// The step as a strategy answers it.
    pub(crate) fn answer(&self) -> Answer {
        match *self.step {
            Step::Partial { l0_threshold, level_ratio, table_bytes } => {
                Answer::Partial { l0_threshold, level_ratio, table_bytes }
            }
            Step::Merge { from, to } => Answer::Merge { from, to },
            Step::Move { from, to } => Answer::Move { from, to },
            Step::Major { table_bytes } => Answer::Major { table_bytes },
        }
    }

    /// Who wants it, in the words of the contract.
    pub(crate) fn origin(&self) -> Origin {
        match self.by {
            By::Strategy => Origin::Plugin,
            By::Guard => Origin::Host,
        }
    }
}

/// Runs a step when one of the node's `permits` is free. `None` when the node is going down.
pub(crate) async fn run(
    tree: &dyn Tree,
    volume: &str,
    wanted: &Wanted<'_>,
    permits: &Permits,
    metrics: &StepMetrics,
) -> Option<(Acted, PreviousStep)> {
    let _permit = permits.of(wanted.by).acquire().await.ok()?;
    let started = Instant::now();
    let result = tree.compact_step(wanted.step.clone()).await;
    let took = started.elapsed();
    let (kind, by, reason) = (step_name(wanted.step), wanted.by.as_str(), wanted.reason);
    let (acted, outcome) = match result {
        Ok(StepOutcome { tables_in: 0, tables_out: 0, .. }) => {
            tracing::debug!(volume, step = kind, by, "the compaction step had nothing to do");
            metrics.step(kind, by, "nothing", took);
            (Acted::Futile, Outcome::Nothing)
        }
        Ok(outcome) => {
            let StepOutcome { bytes_in, bytes_out, tables_in, tables_out } = outcome;
            tracing::debug!(
                volume,
                step = kind,
                by,
                reason,
                ?took,
                bytes_in,
                bytes_out,
                tables_in,
                tables_out,
                "compacted"
            );
            metrics.step(kind, by, "done", took);
            metrics.bytes(bytes_in, bytes_out);
            (Acted::Progressed(took), Outcome::Done(Work { bytes_in, bytes_out }))
        }
        // The step was legal for the tree that the strategy saw, so this is nobody's fault.
        Err(mortise_kernel::Error::IllegalStep(rule)) => {
            tracing::debug!(volume, step = kind, by, %rule, "the tree changed before the step could begin");
            metrics.step(kind, by, "stale", took);
            (Acted::Futile, Outcome::Stale)
        }
        Err(error) => {
            tracing::warn!(volume, step = kind, by, %error, "a compaction step failed and will be tried again");
            metrics.step(kind, by, "failed", took);
            (Acted::Failed, Outcome::Failed(error.to_string()))
        }
    };
    Some((acted, wanted.became(outcome, took)))
}
