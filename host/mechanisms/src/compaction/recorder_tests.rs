//! What the loop tells the recorder: every answer, none that was not one, and what became of each.

use std::time::Duration;

use mortise_plugin_runtime::FaultKind;
use mortise_plugin_runtime::compaction::{Answer, View};

use super::bench::{Bench, GUARD};
use super::fake::{FakeTree, PARTIAL, WAIT, fault};
use crate::NATIVE_STRATEGY;
use crate::recording::{Became, Bounds};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn the_calls_before_a_quarantine_outlast_those_of_the_successor() {
    let bench = Bench::new(FakeTree::new(), |_, _| Err(fault(FaultKind::Trap)));
    tokio::time::sleep(HOUR).await;
    assert_eq!(bench.warden.quarantined.lock().len(), 1);
    let recorder = bench.slot.recorder();
    let (calls, info) = (recorder.calls(), recorder.info());
    assert_eq!((calls.len(), info.set_aside), (3 + 8, 3), "as many as every volume keeps");
    for call in &calls[..3] {
        assert_eq!(call.strategy.plugin, "scripted");
        assert_eq!(call.answer, Err(fault(FaultKind::Trap)));
    }
    assert!(calls[3..].iter().all(|call| call.strategy.plugin == NATIVE_STRATEGY));
    let seeds: Vec<u64> = calls.iter().map(|call| call.seed).collect();
    assert!((1..seeds.len()).all(|at| !seeds[..at].contains(&seeds[at])), "each call is its own: {seeds:?}");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_asked_is_no_answer() {
    let bench = Bench::new(FakeTree::new(), |_, _| Err(fault(FaultKind::Busy)));
    tokio::time::sleep(HOUR).await;
    assert!(bench.calls() > 10);
    assert_eq!(bench.slot.recorder().info().calls, 0);
    assert_eq!(bench.slot.recorder().latest().answer, None);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_told_with_what_became_of_it() {
    let tree = FakeTree::new();
    tree.flush(5);
    tree.set_full(true);
    let when_due = |_: &_, view: &View| Ok(if view.levels[0].runs.len() > 3 { PARTIAL } else { WAIT });
    let bench = Bench::new(tree, when_due);
    bench.slot.recorder().keep(Some(Bounds { calls: 1000, bytes: 1 << 20 }));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let latest = bench.slot.recorder().latest();
    let failed = latest.step.unwrap();
    assert_eq!((failed.plugin.as_str(), failed.step), ("scripted", Some(PARTIAL)));
    assert!(matches!(failed.became, Became::Failed(_) | Became::HeldBack), "{failed:?}");

    bench.tree.set_full(false);
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    tokio::time::sleep(HOUR).await;
    let latest = bench.slot.recorder().latest();
    assert_eq!(latest.answer.unwrap().became, Became::Waits);
    assert!(matches!(latest.step.unwrap().became, Became::Done { .. }));
    let shown = bench.slot.recorder().calls();
    let due = shown.iter().find(|call| call.answer.as_ref().is_ok_and(|it| it.step == PARTIAL)).unwrap();
    assert_eq!(due.view.levels[0].runs.len(), 5, "the view is the one that was answered");
}

#[tokio::test(start_paused = true)]
async fn the_guard_rail_is_told_as_itself() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
    bench.tree.flush(GUARD + 1);
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let step = bench.slot.recorder().latest().step.unwrap();
    assert_eq!((step.plugin.as_str(), step.reason.as_str()), (NATIVE_STRATEGY, "the guard rail"));
    assert!(matches!(step.became, Became::Done { .. }), "{step:?}");

    // Halfway to it, a deep step is put off in its favour.
    let tree = FakeTree::new();
    tree.flush(GUARD / 2);
    tree.steps_take(HOUR);
    let deep = Bench::new(tree, |_, _| Ok(Answer::Major { table_bytes: 1024 * 1024 }));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let latest = deep.slot.recorder().latest();
    assert_eq!(latest.answer.unwrap().became, Became::Overruled);
    assert_eq!(latest.step.unwrap().became, Became::Runs);
}
