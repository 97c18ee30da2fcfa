//! What to do with a tree: the strategy is asked, its answer is judged, and a plan is made.
//!
//! Everything here but [`ask`] and its limit is a function of its arguments. [`judge`] turns an answer into
//! a [`Verdict`] by the kernel's rules for the tree that the strategy saw; [`plan`] weighs the verdict
//! against the guard rail and the [`Pace`].

use std::sync::Arc;
use std::time::Duration;

use mortise_kernel::store::{Step, TreeShape, check_step};
use mortise_plugin_runtime::compaction::{Answer, Decision, View};
use mortise_plugin_runtime::{Call, Fault, FaultKind, ILLEGAL};
use tokio::time::Instant;

use super::observe::Observation;
use super::pace::{By, FAULTS_IN_A_ROW, Pace};
use super::strategy::{Active, NATIVE_STEP};

/// A strategy that says nothing for this long is taken as busy. The plugin runtime's own deadlines are much
/// shorter; this one makes sure that the loop never depends on them.
const ASK_LIMIT: Duration = Duration::from_secs(90);

/// The shortest time that a strategy can ask to be asked again after.
const MIN_ASK_AGAIN: Duration = Duration::from_millis(100);

/// What an answer amounts to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing to do until the tree changes, or until so much time has passed.
    Wait(Option<Duration>),
    /// A legal step.
    Step(Step),
    /// The strategy did not answer, or its answer breaks a rule.
    Fault {
        /// The sort of fault, as metrics name it.
        kind: &'static str,
        /// A sentence for the operator.
        detail: String,
    },
    /// The strategy could not be asked, for no fault of its own.
    NotAsked(String),
}

/// Asks the strategy about a tree.
pub(crate) async fn ask(active: Arc<Active>, call: Call, view: Arc<View>) -> Result<Decision, Fault> {
    within_limit(active.strategy.decide(call, view)).await
}

/// Waits for an answer, no longer than [`ASK_LIMIT`].
pub(crate) async fn within_limit(
    answer: impl Future<Output = Result<Decision, Fault>>,
) -> Result<Decision, Fault> {
    tokio::time::timeout(ASK_LIMIT, answer).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {ASK_LIMIT:?}");
        Err(Fault { kind: FaultKind::Busy, detail })
    })
}

/// Judges an answer about a tree of this `shape`.
pub fn judge(shape: &TreeShape, answer: Result<Answer, Fault>) -> Verdict {
    let step = match answer {
        Err(Fault { kind: FaultKind::Busy, detail }) => return Verdict::NotAsked(detail),
        Err(fault) => return Verdict::Fault { kind: fault.kind.as_str(), detail: fault.detail },
        Ok(Answer::Wait { ask_again_ms }) => {
            return Verdict::Wait(ask_again_ms.map(|ms| Duration::from_millis(ms).max(MIN_ASK_AGAIN)));
        }
        Ok(Answer::Partial { l0_threshold, level_ratio, table_bytes }) => {
            Step::Partial { l0_threshold, level_ratio, table_bytes }
        }
        Ok(Answer::Merge { from, to }) => Step::Merge { from, to },
        Ok(Answer::Move { from, to }) => Step::Move { from, to },
        Ok(Answer::Major { table_bytes }) => Step::Major { table_bytes },
    };
    match check_step(shape, &step) {
        Ok(()) => Verdict::Step(step),
        Err(rule) => Verdict::Fault { kind: ILLEGAL, detail: format!("{step:?}: {rule}") },
    }
}

/// What faults call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// It is asked again after a while.
    AskAgain,
    /// It began to serve only lately, so what served before does again.
    TakeBack,
    /// It is put aside.
    Quarantine,
}

/// What follows the n-th fault in a row of a strategy. While it is `watched` the first one is enough.
pub(crate) fn consequence(faults_in_a_row: u32, watched: bool, is_native: bool) -> Consequence {
    if is_native {
        // Nothing is left behind it.
        Consequence::AskAgain
    } else if watched {
        Consequence::TakeBack
    } else if faults_in_a_row >= FAULTS_IN_A_ROW {
        Consequence::Quarantine
    } else {
        Consequence::AskAgain
    }
}

/// What the loop does next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plan {
    /// Run a step.
    Run { step: Step, by: By },
    /// Do nothing until the tree or the binding changes, at most so long.
    Rest(Duration),
}

/// Weighs a verdict.
///
/// With more than `guard_l0_runs` runs in level 0, a strategy that does nothing about it, for whatever
/// reason, is passed over and one native step is taken, unless a native step achieved nothing on this very
/// tree. A step that leaves level 0 as it is for long begins only while level 0 has room to grow.
pub(crate) fn plan(
    verdict: &Verdict,
    observed: &Observation,
    guard_l0_runs: usize,
    pace: &Pace,
    now: Instant,
) -> Plan {
    let rest = match verdict {
        Verdict::Step(step) => match pace.holds_back(By::Strategy, step, observed.fingerprint, now) {
            None => {
                let first = if is_deep(step) { make_room(observed, guard_l0_runs, pace, now) } else { None };
                let own = Plan::Run { step: step.clone(), by: By::Strategy };
                return first.unwrap_or(own);
            }
            Some(rest) => rest,
        },
        Verdict::Wait(after) => after.unwrap_or(pace.tick()).min(pace.tick()),
        Verdict::Fault { .. } | Verdict::NotAsked(_) => pace.backoff(),
    };
    guard(rest, observed, guard_l0_runs, pace, now)
}

/// What to do when the strategy proposes nothing for so long: rest, or help level 0.
pub(crate) fn guard(
    rest: Duration,
    observed: &Observation,
    guard_l0_runs: usize,
    pace: &Pace,
    now: Instant,
) -> Plan {
    if observed.l0_runs() <= guard_l0_runs {
        return Plan::Rest(rest);
    }
    match pace.holds_back(By::Guard, &NATIVE_STEP, observed.fingerprint, now) {
        None => Plan::Run { step: NATIVE_STEP, by: By::Guard },
        Some(guard_rest) => Plan::Rest(rest.min(guard_rest)),
    }
}

/// Whether a step may take long without being what brings level 0 down.
fn is_deep(step: &Step) -> bool {
    matches!(step, Step::Major { .. }) || matches!(step, Step::Merge { from, .. } if *from > 0)
}

/// A native step first, when level 0 is halfway to the guard rail or further: one volume runs one step at a
/// time, so what piles up in level 0 during a deep step has to wait for its end. When the native step
/// achieves nothing on this tree, the deep one goes ahead.
fn make_room(observed: &Observation, guard_l0_runs: usize, pace: &Pace, now: Instant) -> Option<Plan> {
    let halfway = observed.l0_runs() * 2 >= guard_l0_runs.max(1);
    let held_back = pace.holds_back(By::Guard, &NATIVE_STEP, observed.fingerprint, now);
    (halfway && held_back.is_none()).then_some(Plan::Run { step: NATIVE_STEP, by: By::Guard })
}
