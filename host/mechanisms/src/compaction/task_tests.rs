//! The loop against strategies of every kind. Time is tokio's and paused: an hour passes in an instant, and
//! whatever would spin shows as a count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mortise_kernel::store::Step;
use mortise_plugin_runtime::compaction::{Answer, View};
use mortise_plugin_runtime::{Call, FaultKind};
use tokio::sync::Notify;

use super::act::Permits;
use super::bench::{Bench, GUARD, Slow, named};
use super::fake::{FakeTree, PARTIAL, Script, WAIT, fault};
use super::strategy::NATIVE_STEP;

const HOUR: Duration = Duration::from_secs(3600);
const MAJOR: Answer = Answer::Major { table_bytes: 1024 * 1024 };

#[tokio::test(start_paused = true)]
async fn a_step_that_never_does_anything_is_throttled() {
    let tree = FakeTree::new();
    tree.flush(1);
    let bench = Bench::new(tree, |_, _| Ok(PARTIAL));
    tokio::time::sleep(HOUR).await;
    let steps = bench.tree.steps().len();
    assert!((2..200).contains(&steps), "{steps} steps in an hour");
    assert!(bench.calls() < 300, "{} calls in an hour", bench.calls());
    // Changes that are announced and are none do not hurry it.
    let before = bench.calls();
    for _ in 0..1000 {
        bench.tree.announce();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(bench.calls() - before <= 2, "{} calls in a second", bench.calls() - before);
}

#[tokio::test(start_paused = true)]
async fn a_strategy_that_wants_to_be_asked_again_at_once_waits_a_little() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(Answer::Wait { ask_again_ms: Some(0) }));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!((2..=601).contains(&bench.calls()), "{} calls in a minute", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn the_same_tree_is_rewritten_once_however_often_a_major_is_wanted() {
    let tree = FakeTree::new();
    tree.flush(3);
    let calls = AtomicUsize::new(0);
    let bench = Bench::new(tree, move |_, _| {
        // Another table size each time does not make it another step.
        let size = 1024 * 1024 + calls.fetch_add(1, Ordering::Relaxed) as u64;
        Ok(Answer::Major { table_bytes: size })
    });
    tokio::time::sleep(HOUR).await;
    assert_eq!(bench.tree.steps().len(), 1, "{:?}", bench.tree.steps());
    assert!(bench.calls() < 200, "{} calls in an hour", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn majors_take_half_of_the_time_at_most() {
    let tree = FakeTree::new();
    tree.steps_take(Duration::from_secs(2));
    let bench = Bench::new(tree, |_, view: &View| {
        let runs: usize = view.levels.iter().map(|level| level.runs.len()).sum();
        Ok(if runs > 1 { Answer::Major { table_bytes: 1024 * 1024 } } else { WAIT })
    });
    for _ in 0..200 {
        bench.tree.flush(1);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let majors = bench.tree.steps().len();
    assert!((15..=26).contains(&majors), "{majors} majors of 2 s in 100 s");
}

#[tokio::test(start_paused = true)]
async fn the_guard_rail_compacts_for_a_strategy_that_waits() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
    bench.tree.flush(GUARD);
    tokio::time::sleep(HOUR).await;
    assert_eq!(bench.tree.steps(), [], "at the limit it is the strategy's business");
    bench.tree.flush(1);
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    assert_eq!(bench.tree.steps(), [NATIVE_STEP]);
    tokio::time::sleep(HOUR).await;
    assert_eq!(bench.tree.steps().len(), 1);
    assert!(bench.warden.faults.lock().is_empty(), "waiting is no fault");
}

#[tokio::test(start_paused = true)]
async fn the_guard_rail_helps_when_the_strategys_steps_do_nothing() {
    let tree = FakeTree::new();
    tree.flush(GUARD + 5);
    let useless = Answer::Partial { l0_threshold: 255, level_ratio: 10.0, table_bytes: 64 * 1024 * 1024 };
    let bench = Bench::new(tree, move |_, _| Ok(useless));
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    assert_eq!(bench.tree.steps().len(), 2, "one try of the strategy, one of the guard rail");
}

#[tokio::test(start_paused = true)]
async fn the_guard_rail_helps_when_the_strategy_cannot_be_asked() {
    let tree = FakeTree::new();
    tree.flush(GUARD + 1);
    let bench = Bench::new(tree, |_, _| Err(fault(FaultKind::Busy)));
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    tokio::time::sleep(HOUR).await;
    assert!(bench.warden.faults.lock().is_empty(), "a busy runtime is not the plugin's fault");
    assert!(bench.warden.quarantined.lock().is_empty());
    assert!(bench.calls() < 200, "{} calls in an hour", bench.calls());
}

#[tokio::test(start_paused = true)]
async fn three_faults_in_a_row_lead_to_quarantine() {
    for (answer, kind) in [
        (Err(fault(FaultKind::Trap)), "trap"),
        (Err(fault(FaultKind::Deadline)), "deadline"),
        (Err(fault(FaultKind::Memory)), "memory"),
        (Err(fault(FaultKind::Refused)), "refused"),
        (Ok(Answer::Move { from: 0, to: 3 }), "illegal"),
        (Ok(Answer::Merge { from: 9, to: 9 }), "illegal"),
        (Ok(Answer::Major { table_bytes: 1 }), "illegal"),
    ] {
        let tree = FakeTree::new();
        tree.flush(5);
        let bench = Bench::new(tree, move |_, _| answer.clone());
        bench.tree.until(|tree| tree.l0_runs() == 0).await;
        assert_eq!(*bench.warden.faults.lock(), [kind; 3]);
        assert_eq!(bench.warden.quarantined.lock().len(), 1);
        assert_eq!(bench.calls(), 3);
        assert_eq!(bench.tree.steps(), [NATIVE_STEP], "the native strategy took over");
    }
}

#[tokio::test(start_paused = true)]
async fn two_faults_and_a_good_answer_are_forgiven() {
    let count = AtomicUsize::new(0);
    let bench = Bench::new(FakeTree::new(), move |_, _| match count.fetch_add(1, Ordering::Relaxed) % 3 {
        2 => Ok(Answer::Wait { ask_again_ms: Some(100) }),
        _ => Err(fault(FaultKind::Trap)),
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(bench.warden.faults.lock().len() > 10);
    assert!(bench.warden.quarantined.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failing_disk_stops_neither_the_loop_nor_the_strategy() {
    let tree = FakeTree::new();
    tree.flush(5);
    tree.set_full(true);
    let bench =
        Bench::new(tree, |_, view: &View| Ok(if view.levels[0].runs.len() > 3 { PARTIAL } else { WAIT }));
    tokio::time::sleep(HOUR).await;
    let tries = bench.tree.steps().len();
    assert!((3..200).contains(&tries), "{tries} tries in an hour");
    bench.tree.set_full(false);
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    assert!(bench.warden.faults.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failing_disk_is_not_tried_more_often_because_flushes_go_on() {
    let tree = FakeTree::new();
    tree.set_full(true);
    let bench = Bench::new(tree, |_, _| Ok(PARTIAL));
    for _ in 0..3600 {
        bench.tree.flush(1);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let tries = bench.tree.steps().len();
    assert!((3..300).contains(&tries), "{tries} tries of strategy and guard rail in an hour");
}

#[tokio::test(start_paused = true)]
async fn the_guard_rail_does_not_wait_for_the_long_steps_of_other_volumes() {
    let permits = Arc::new(Permits::new(1));
    let long = FakeTree::new();
    long.steps_take(HOUR);
    long.flush(2);
    let busy = Bench::with(long, Arc::clone(&permits), GUARD, |_, _| Ok(Answer::Merge { from: 0, to: 6 }));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let started = tokio::time::Instant::now();
    let idle = Bench::with(FakeTree::new(), permits, GUARD, |_, _| Ok(WAIT));
    idle.tree.flush(GUARD + 1);
    idle.tree.until(|tree| tree.l0_runs() == 0).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(busy.tree.steps(), [], "the long step is still under way");
}

#[tokio::test(start_paused = true)]
async fn the_guard_rail_does_not_wait_for_an_answer() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
    bench.tree.flush(2);
    let slow = Arc::new(Slow { asked: Notify::new(), answer: Notify::new() });
    bench.slot.replace(named("slow", Arc::new(Arc::clone(&slow))), 0);
    slow.asked.notified().await;
    let started = tokio::time::Instant::now();
    for _ in 0..3 {
        bench.tree.flush(GUARD + 1);
        bench.tree.until(|tree| tree.l0_runs() == 0).await;
    }
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert_eq!(bench.tree.steps(), [NATIVE_STEP, NATIVE_STEP, NATIVE_STEP]);

    bench.tree.flush(2);
    slow.answer.notify_one();
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    assert_eq!(bench.tree.steps()[3], Step::Merge { from: 0, to: 6 }, "the answer still counts");
    slow.asked.notified().await;
    assert!(bench.warden.faults.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn level_0_is_brought_down_before_a_deep_step() {
    let whenever = |_: &Call, view: &View| {
        let runs: usize = view.levels.iter().map(|level| level.runs.len()).sum();
        Ok(if runs > 1 { MAJOR } else { WAIT })
    };
    let major = Step::Major { table_bytes: 1024 * 1024 };
    for (guard, flushed, expected) in [
        (GUARD, GUARD / 2 - 1, vec![major.clone()]),
        (GUARD, GUARD / 2, vec![NATIVE_STEP]),
        // Where the native step has nothing to do, the deep one goes ahead.
        (4, 3, vec![NATIVE_STEP, major.clone()]),
        (2, 3, vec![NATIVE_STEP, major]),
    ] {
        let tree = FakeTree::new();
        tree.flush(flushed);
        let bench = Bench::with(tree, Arc::new(Permits::new(1)), guard, whenever);
        bench.tree.until(|tree| tree.l0_runs() == 0).await;
        assert_eq!(bench.tree.steps(), expected, "{flushed} of {guard}");
        assert!(bench.warden.faults.lock().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_under_way_finishes_on_the_old_strategy() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
    let slow = Arc::new(Slow { asked: Notify::new(), answer: Notify::new() });
    bench.slot.replace(named("slow", Arc::new(Arc::clone(&slow))), 0);
    bench.tree.flush(2);
    slow.asked.notified().await;

    let asked_next = Arc::new(Notify::new());
    let notify = Arc::clone(&asked_next);
    let next = Script(move |_: &Call, _: &View| {
        notify.notify_one();
        Ok(WAIT)
    });
    let replaced = bench.slot.replace(named("next", Arc::new(next)), 0);
    assert_eq!(replaced.info.plugin, "slow");
    assert_eq!(bench.slot.load().info.plugin, "next", "the new one is in service at once");
    assert_eq!(bench.tree.steps(), []);

    slow.answer.notify_one();
    asked_next.notified().await;
    assert_eq!(bench.tree.steps(), [Step::Merge { from: 0, to: 6 }], "the old one's answer still counts");
    let grace = Duration::from_secs(1);
    bench.handle.stop(grace).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_tree_that_changed_meanwhile_is_no_fault() {
    let tree = FakeTree::new();
    tree.flush(1);
    let late = Arc::clone(&tree);
    let bench = Bench::new(tree, move |_, view: &View| match view.levels[0].runs.len() {
        // Legal for the view, and not for the tree any more when it is run.
        1 if late.l0_runs() == 1 => {
            late.flush(1);
            Ok(Answer::Move { from: 0, to: 6 })
        }
        2 => Ok(Answer::Merge { from: 0, to: 6 }),
        _ => Ok(WAIT),
    });
    bench.tree.until(|tree| tree.l0_runs() == 0).await;
    assert_eq!(bench.tree.steps(), [Step::Move { from: 0, to: 6 }, Step::Merge { from: 0, to: 6 }]);
    assert!(bench.warden.faults.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_loop_ends_when_told_to_even_in_the_middle_of_a_step() {
    let tree = FakeTree::new();
    tree.steps_take(HOUR);
    tree.flush(5);
    let bench = Bench::new(tree, |_, _| Ok(PARTIAL));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    bench.handle.stop(Duration::from_secs(5)).await;
    assert!(before.elapsed() <= Duration::from_secs(6), "{:?}", before.elapsed());
}
