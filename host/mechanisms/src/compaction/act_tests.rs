//! What becomes of a step, and that the next question tells it.

use std::time::Duration;

use mortise_kernel::store::Step;
use mortise_plugin_runtime::compaction::{self as wire, Origin, Outcome, PreviousStep, Work};

use super::act::{self, Acted, Permits, Wanted};
use super::fake::FakeTree;
use super::observe::Tree;
use super::pace::By;
use super::strategy::NATIVE_STEP;
use crate::telemetry::StepMetrics;

async fn run(tree: &dyn Tree, step: &Step, by: By) -> (Acted, PreviousStep) {
    let wanted = Wanted { step, by, reason: "for the test" };
    act::run(tree, "v", &wanted, &Permits::new(1), &StepMetrics::new("v")).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_outcome_is_told() {
    let tree = FakeTree::new();
    let merge = Step::Merge { from: 0, to: 6 };
    let (acted, previous) = run(tree.as_ref(), &merge, By::Strategy).await;
    assert_eq!((acted, previous.outcome), (Acted::Futile, Outcome::Stale), "there is nothing in level 0");
    tree.flush(2);
    let (acted, previous) = run(tree.as_ref(), &NATIVE_STEP, By::Guard).await;
    assert_eq!((acted, previous.outcome), (Acted::Futile, Outcome::Nothing), "too few runs");
    assert_eq!(previous.wanted_by, Origin::Host);
    tree.steps_take(Duration::from_millis(1_500));
    let (acted, previous) = run(tree.as_ref(), &merge, By::Strategy).await;
    assert!(matches!(acted, Acted::Progressed(_)), "{acted:?}");
    let expected = PreviousStep {
        step: wire::Step::Merge(wire::Span { from: 0, to: 6 }),
        wanted_by: Origin::Plugin,
        outcome: Outcome::Done(Work { bytes_in: 2048, bytes_out: 2048 }),
        took_ms: 1_500,
    };
    assert_eq!(previous, expected);
    tree.set_full(true);
    let (acted, previous) = run(tree.as_ref(), &Step::Major { table_bytes: 1 << 20 }, By::Strategy).await;
    assert_eq!(acted, Acted::Failed);
    assert!(matches!(previous.outcome, Outcome::Failed(why) if why.contains("space")));
}

#[tokio::test(start_paused = true)]
async fn the_next_view_has_the_last_outcome_and_the_guard_rail() {
    let tree = FakeTree::new();
    let observer = tree.observer();
    let first = observer.observe().view();
    assert_eq!((first.previous, first.guard_l0_runs), (None, 20));
    tree.flush(5);
    let (_, previous) = run(tree.as_ref(), &NATIVE_STEP, By::Guard).await;
    observer.acted(previous.clone());
    assert_eq!(observer.observe().view().previous, Some(previous));
}
