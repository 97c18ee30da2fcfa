//! The loop with a shadow beside its strategy, and with a strategy that is watched. Time is tokio's and
//! paused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mortise_plugin_runtime::compaction::{Answer, Decision, View};
use mortise_plugin_runtime::{Call, Fault, FaultKind};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bench::{Bench, Slow, named};
use super::fake::{FakeTree, PARTIAL, Script, WAIT, fault};
use super::shadow::Shadow;
use super::strategy::{Candidate, NATIVE_STEP, Strategy};
use crate::catalog::memory_rows::fixed_clock;
use crate::system::ShadowReport;

const MAJOR: Answer = Answer::Major { table_bytes: 1024 * 1024 };
const MERGE: Answer = Answer::Merge { from: 0, to: 6 };
const HOUR: Duration = Duration::from_secs(3600);

fn l0_runs(view: &View) -> usize {
    view.levels[0].runs.len()
}

fn thrifty(_: &Call, view: &View) -> Result<Answer, Fault> {
    Ok(if l0_runs(view) > 3 { PARTIAL } else { WAIT })
}

impl Bench {
    fn cast(&self, strategy: Arc<dyn Strategy>) {
        self.slot.cast(Shadow::new("v", named("shadow", strategy), 1));
    }

    fn report(&self) -> ShadowReport {
        self.slot.shadow().unwrap().standing().report
    }
}

/// Lets everything run that can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// What a strategy was asked.
type Asked = Arc<Mutex<Vec<(u64, u64, String)>>>;

fn noting(asked: &Asked, call: &Call, view: &View) {
    asked.lock().push((call.now, call.seed, format!("{view:?}")));
}

#[tokio::test(start_paused = true)]
async fn a_shadow_is_asked_the_same_and_acts_on_nothing() {
    let (active, shadow) = (Asked::default(), Asked::default());
    let noted = Arc::clone(&active);
    let bench = Bench::new(FakeTree::new(), move |call, view| {
        noting(&noted, call, view);
        thrifty(call, view)
    });
    let noted = Arc::clone(&shadow);
    let greedy = named(
        "shadow",
        Arc::new(Script(move |call: &Call, view: &View| {
            assert_eq!(call.config, r#"{"its":"own"}"#);
            noting(&noted, call, view);
            Ok(MAJOR)
        })),
    );
    let info = crate::system::StrategyInfo { config: r#"{"its":"own"}"#.into(), ..greedy.info.clone() };
    bench.slot.cast(Shadow::new("v", Candidate { info, ..greedy }, 1));
    for _ in 0..5 {
        for _ in 0..4 {
            bench.tree.flush(1);
            settle().await;
        }
    }
    assert_eq!(bench.tree.steps(), vec![NATIVE_STEP; 5], "what serves asked for these, and for no other");
    assert!(active.lock().len() > 20);
    assert_eq!(*shadow.lock(), *active.lock());
    let report = bench.report();
    assert_eq!((report.calls, report.differences), (active.lock().len() as u64, report.calls));
    assert_eq!(report.skipped, 0);
}

#[tokio::test(start_paused = true)]
async fn agreements_differences_and_faults_are_counted() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
    bench.cast(Arc::new(Script(|_: &Call, view: &View| match l0_runs(view) % 3 {
        0 => Err(fault(FaultKind::Trap)),
        1 => Ok(Answer::Wait { ask_again_ms: Some(7) }),
        _ => Ok(MERGE),
    })));
    settle().await;
    for _ in 1..=9 {
        bench.tree.flush(1);
        settle().await;
    }
    let report = bench.report();
    assert_eq!((report.calls, report.agreements, report.differences), (10, 3, 3));
    assert_eq!(report.faults, [("trap".to_owned(), 4)].into());
    assert_eq!(report.last_fault, "trap: for the test");
    let shapes: Vec<_> = report.examples.iter().map(|example| &*example.shape).collect();
    let runs = |runs| format!("level 0: {runs} runs, {runs} tables, {} bytes", runs * 1024);
    assert_eq!(shapes, [runs(8), runs(5), runs(2)]);
    assert_eq!(report.examples[0].active, "wait");
    assert_eq!(report.examples[0].candidate, "merge level 0 into level 6");
    assert!(bench.tree.steps().is_empty() && bench.warden.faults.lock().is_empty());
    assert!(bench.warden.ended.lock().is_empty(), "no three of them were in a row");
}

#[tokio::test(start_paused = true)]
async fn what_serves_counts_by_itself_where_it_faults() {
    let bench = Bench::new(FakeTree::new(), |_, view| match l0_runs(view) {
        1 => Err(fault(FaultKind::Trap)),
        _ => Ok(WAIT),
    });
    bench.cast(Arc::new(Script(|_: &Call, _: &View| Ok(WAIT))));
    settle().await;
    bench.tree.flush(1);
    settle().await;
    let report = bench.report();
    assert_eq!((report.calls, report.agreements, report.unmatched), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_shadow_delays_nothing_and_what_it_misses_is_counted() {
    let bench = Bench::new(FakeTree::new(), thrifty);
    let slow = Arc::new(Slow { asked: Notify::new(), answer: Notify::new() });
    bench.cast(Arc::new(Arc::clone(&slow)));
    slow.asked.notified().await;
    let started = Instant::now();
    for _ in 0..3 {
        bench.tree.flush(5);
        bench.tree.until(|tree| tree.l0_runs() == 0).await;
    }
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    assert_eq!(bench.tree.steps(), vec![NATIVE_STEP; 3]);
    settle().await;
    let missed = bench.report();
    assert!(missed.calls == 0 && missed.skipped >= 3, "{missed:?}");
    slow.answer.notify_one();
    settle().await;
    assert_eq!(bench.report(), ShadowReport { skipped: missed.skipped, ..bench.report() });
    assert_eq!(bench.report().calls, 1, "the answer came late and counts");
    bench.tree.flush(1);
    slow.asked.notified().await;
}

/// Answers after a fixed time.
struct Ponderous(Duration, AtomicUsize);

impl Strategy for Ponderous {
    fn decide(&self, _: Call, _: Arc<View>) -> BoxFuture<'_, Result<Decision, Fault>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        async {
            tokio::time::sleep(self.0).await;
            Ok(WAIT.into())
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_shadow_is_busy_for_a_hundredth_of_the_time_however_long_it_takes() {
    let bench = Bench::new(FakeTree::new(), |_, view| Ok(if l0_runs(view) > 3 { PARTIAL } else { WAIT }));
    for (millis, most) in [(50, 2), (1, 100), (0, usize::MAX)] {
        let ponderous = Arc::new(Ponderous(Duration::from_millis(millis), AtomicUsize::new(0)));
        bench.slot.cast(Shadow::new("v", named("shadow", Arc::clone(&ponderous) as _), 1));
        let until = Instant::now() + Duration::from_secs(10);
        let mut views = 0;
        while Instant::now() < until {
            bench.tree.flush(1);
            views += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asked = ponderous.1.load(Ordering::Relaxed);
        assert!(asked <= most && asked * 2 >= most.min(views), "{millis} ms: asked {asked} of {most} times");
        let report = bench.report();
        assert!(report.calls + report.skipped >= views as u64 - 1, "what is missed is counted: {report:?}");
        assert!(report.faults.is_empty() && bench.warden.ended.lock().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn three_faults_in_a_row_end_a_shadow_and_touch_nothing_else() {
    for (answer, kind) in [
        (Err(fault(FaultKind::Trap)), "trap"),
        (Err(fault(FaultKind::Deadline)), "deadline"),
        (Err(fault(FaultKind::Refused)), "refused"),
        (Ok(Answer::Move { from: 0, to: 99 }), "illegal"),
    ] {
        let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        bench.cast(Arc::new(Script(move |_: &Call, _: &View| {
            count.fetch_add(1, Ordering::Relaxed);
            answer.clone()
        })));
        for _ in 0..6 {
            bench.tree.flush(1);
            settle().await;
        }
        let ended = bench.warden.ended.lock().clone();
        assert_eq!(ended.len(), 1, "{ended:?}");
        assert!(ended[0].0 == "shadow" && ended[0].1.starts_with("3 faults in a row"), "{ended:?}");
        assert!(ended[0].1.contains(kind), "{ended:?}");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert!(bench.warden.faults.lock().is_empty() && bench.warden.quarantined.lock().is_empty());
        assert_eq!(bench.slot.load().info.plugin, "scripted");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_busy_is_no_fault_of_the_shadow() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(Answer::Wait { ask_again_ms: Some(100) }));
    bench.cast(Arc::new(Script(|_: &Call, _: &View| Err(fault(FaultKind::Busy)))));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let report = bench.report();
    assert!(report.skipped > 50 && report.calls == 0, "{report:?}");
    assert!(bench.warden.ended.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn counts_are_about_what_serves_now() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
    bench.cast(Arc::new(Script(|_: &Call, _: &View| Ok(WAIT))));
    for _ in 0..3 {
        bench.tree.flush(1);
        settle().await;
    }
    assert_eq!(bench.report().agreements, 3);
    let merges = |_: &Call, view: &View| Ok(if l0_runs(view) > 0 { MERGE } else { WAIT });
    bench.slot.replace(named("next", Arc::new(Script(merges))), 0);
    settle().await;
    let standing = bench.slot.shadow().unwrap().standing();
    assert_eq!(standing.against.unwrap().plugin, "next");
    let report = standing.report;
    assert_eq!(
        (report.calls, report.differences, report.agreements),
        (2, 1, 1),
        "before and after the merge"
    );
    assert_eq!(standing.counting_since_unix_ms, fixed_clock().unix_millis());
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_ends_gives_its_shadow_up() {
    let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
    let slow = Arc::new(Slow { asked: Notify::new(), answer: Notify::new() });
    bench.cast(Arc::new(Arc::clone(&slow)));
    slow.asked.notified().await;
    bench.slot.end_shadow();
    assert_eq!(Arc::strong_count(&slow), 2, "its call is under way");
    bench.handle.stop(Duration::from_secs(1)).await;
    settle().await;
    assert_eq!(Arc::strong_count(&slow), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_fault_takes_back_what_is_watched_and_no_other() {
    let now = fixed_clock().unix_millis();
    for (watched_until_unix_ms, taken_back, quarantined) in
        [(now + 1, 1, 0), (now, 0, 1), (now - 1, 0, 1), (0, 0, 1), (u64::MAX, 1, 0)]
    {
        let bench = Bench::new(FakeTree::new(), |_, _| Ok(WAIT));
        let next = named("next", Arc::new(Script(|_: &Call, _: &View| Err(fault(FaultKind::Memory)))));
        bench.slot.replace(Candidate { watched_until_unix_ms, ..next }, now);
        tokio::time::sleep(HOUR).await;
        assert_eq!(bench.warden.taken_back.lock().len(), taken_back, "{watched_until_unix_ms}");
        assert_eq!(bench.warden.quarantined.lock().len(), quarantined, "{watched_until_unix_ms}");
        let faults = bench.warden.faults.lock().len();
        assert_eq!(faults, if taken_back == 1 { 1 } else { 3 });
    }
}
