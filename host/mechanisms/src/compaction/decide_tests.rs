//! Judging, planning, converting: functions of their arguments.

use std::time::Duration;

use mortise_kernel::node::VolumeCounters;
use mortise_kernel::store::{LEVELS, LevelShape, RunShape, TableShape, TreeShape};
use mortise_plugin_runtime::Call;
use mortise_plugin_runtime::compaction::{Answer, View, canned_views};
use tokio::time::Instant;

use super::decide::{Consequence, Plan, Verdict, consequence, judge, plan};
use super::observe::{Observation, SHOWN_KEY_BYTES, WriteRate, fingerprint, shape_of, view_of};
use super::pace::{By, Pace};
use super::strategy::{NATIVE_STEP, NativeLeveled, Strategy};

fn table(id: u64, bytes: u64) -> TableShape {
    TableShape {
        id,
        bytes,
        entries: 10,
        tombstones: 1,
        min_key: "a".into(),
        max_key: "m".into(),
        max_seqno: id,
    }
}

/// A tree with one table of so many bytes in each run of each level.
fn tree(levels: [&[u64]; LEVELS as usize]) -> TreeShape {
    let mut id = 0;
    let mut run = |bytes: &u64| {
        id += 1;
        RunShape { tables: vec![table(id, *bytes)] }
    };
    let levels = levels.map(|runs| LevelShape { runs: runs.iter().map(&mut run).collect() });
    TreeShape { levels: levels.to_vec(), ..TreeShape::default() }
}

fn observation(shape: TreeShape) -> Observation {
    Observation {
        fingerprint: fingerprint(&shape),
        shape,
        counters: VolumeCounters::default(),
        write_rate: 1.0,
        free_disk: 1,
        guard_l0_runs: 20,
        previous: None,
    }
}

#[test]
fn the_guard_rail_begins_above_its_limit_and_only_for_the_idle() {
    let pace = Pace::new(Duration::from_secs(30));
    let now = Instant::now();
    let at = observation(tree([&[1; 20], &[], &[], &[], &[], &[], &[]]));
    let above = observation(tree([&[1; 21], &[], &[], &[], &[], &[], &[]]));
    let wait = Verdict::Wait(None);
    assert_eq!(plan(&wait, &at, 20, &pace, now), Plan::Rest(Duration::from_secs(30)));
    assert_eq!(plan(&wait, &above, 20, &pace, now), Plan::Run { step: NATIVE_STEP, by: By::Guard });
    let own = judge(&above.shape, Ok(Answer::Merge { from: 0, to: 6 }));
    assert!(matches!(plan(&own, &above, 20, &pace, now), Plan::Run { by: By::Strategy, .. }));
}

#[test]
fn a_wait_is_cut_to_the_tick_and_never_zero() {
    let shape = tree([&[], &[], &[], &[], &[], &[], &[]]);
    let (pace, now) = (Pace::new(Duration::from_secs(30)), Instant::now());
    let rest = |ask_again_ms| {
        let verdict = judge(&shape, Ok(Answer::Wait { ask_again_ms }));
        plan(&verdict, &observation(shape.clone()), 20, &pace, now)
    };
    assert_eq!(rest(None), Plan::Rest(Duration::from_secs(30)));
    assert_eq!(rest(Some(u64::MAX)), Plan::Rest(Duration::from_secs(30)));
    assert_eq!(rest(Some(1000)), Plan::Rest(Duration::from_secs(1)));
    assert_eq!(rest(Some(0)), Plan::Rest(Duration::from_millis(100)));
}

#[test]
fn backoffs_double_up_to_the_tick() {
    let tick = Duration::from_secs(1);
    let mut pace = Pace::new(tick);
    let now = Instant::now();
    let mut rests = Vec::new();
    for _ in 0..6 {
        pace.futile(By::Strategy, 1, now);
        rests.push(pace.holds_back(By::Strategy, &NATIVE_STEP, 1, now).unwrap().as_millis());
    }
    assert_eq!(rests, [100, 200, 400, 800, 1000, 1000]);
    assert_eq!(
        pace.holds_back(By::Strategy, &NATIVE_STEP, 2, now),
        None,
        "another tree may be tried at once"
    );
    assert_eq!(pace.holds_back(By::Guard, &NATIVE_STEP, 1, now), None, "the guard rail counts for itself");
    pace.failed(By::Guard, now);
    let guard = |fingerprint| pace.holds_back(By::Guard, &NATIVE_STEP, fingerprint, now);
    assert_eq!(guard(1), Some(Duration::from_millis(100)));
    assert_eq!(guard(2), guard(1), "after a failure no tree is tried");
    pace.serving(9);
    assert_eq!(pace.holds_back(By::Strategy, &NATIVE_STEP, 1, now), None, "so does a new strategy");
}

#[test]
fn views_and_shapes_say_the_same() {
    let shape = tree([&[1, 2], &[3], &[], &[], &[4], &[], &[5, 6]]);
    assert_eq!(shape_of(&view_of(&shape, 1, 2)), shape);
    let short = |view: &View| {
        let mut tables = view.levels.iter().flat_map(|level| &level.runs).flat_map(|run| &run.tables);
        tables.all(|table| table.min_key.len().max(table.max_key.len()) <= SHOWN_KEY_BYTES)
    };
    for (name, view) in canned_views().into_iter().filter(|(_, view)| short(view)) {
        let (guard_l0_runs, previous) = (view.guard_l0_runs, view.previous.clone());
        let shown = view_of(&shape_of(&view), view.write_rate, view.free_disk);
        assert!(View { guard_l0_runs, previous, ..shown } == view, "{name}");
    }
}

#[test]
fn huge_keys_are_cut_to_bounds_that_still_hold() {
    let mut shape = tree([&[1], &[], &[], &[], &[], &[], &[]]);
    let huge = vec![7_u8; SHOWN_KEY_BYTES * 10];
    let edge = [vec![7_u8; SHOWN_KEY_BYTES - 1], vec![255; 10]].concat();
    shape.levels[0].runs[0].tables[0].min_key = huge.clone().into();
    shape.levels[0].runs[0].tables[0].max_key = huge.clone().into();
    for key in [huge, edge] {
        shape.levels[0].runs[0].tables[0].min_key = key.clone().into();
        shape.levels[0].runs[0].tables[0].max_key = key.clone().into();
        let shown = &view_of(&shape, 0, 0).levels[0].runs[0].tables[0];
        assert!(shown.min_key.len() <= SHOWN_KEY_BYTES && shown.max_key.len() <= SHOWN_KEY_BYTES);
        assert!(shown.min_key <= key && key <= shown.max_key);
    }
}

#[test]
fn fingerprints_see_tables_and_places_but_not_memtables() {
    let shape = tree([&[1, 2], &[3], &[], &[], &[], &[], &[]]);
    let mut other = shape.clone();
    other.memtable_bytes = 99;
    assert_eq!(fingerprint(&shape), fingerprint(&other));
    other.levels.swap(1, 2);
    assert_ne!(fingerprint(&shape), fingerprint(&other));
}

#[tokio::test]
async fn the_native_strategy_acts_on_full_levels_only() {
    const MIB: u64 = 1024 * 1024;
    let answer = async |shape: TreeShape| {
        let call = Call { config: "{}".into(), now: 0, seed: 0 };
        let answer = NativeLeveled.decide(call, view_of(&shape, 0, 0).into()).await;
        judge(&shape, answer.map(|decision| decision.step))
    };
    let due = Verdict::Step(NATIVE_STEP);
    let wait = Verdict::Wait(None);
    assert_eq!(answer(tree([&[1; 3], &[], &[], &[], &[], &[], &[9000 * MIB]])).await, wait);
    assert_eq!(answer(tree([&[1; 4], &[], &[], &[], &[], &[], &[]])).await, due);
    assert_eq!(answer(tree([&[], &[], &[], &[], &[], &[256 * MIB], &[1]])).await, wait);
    assert_eq!(answer(tree([&[], &[], &[], &[], &[], &[257 * MIB], &[1]])).await, due);
    assert_eq!(answer(tree([&[], &[], &[], &[], &[1], &[2560 * MIB], &[1]])).await, wait);
    assert_eq!(answer(tree([&[], &[], &[], &[], &[1], &[2561 * MIB], &[1]])).await, due);
}

#[test]
fn the_write_rate_follows_with_a_lag() {
    let start = Instant::now();
    let rate = WriteRate::new(start, 1_000_000);
    let mut written = 1_000_000;
    let mut seen = 0.0;
    for second in 1..=30_u32 {
        written += 1000;
        seen = rate.update(start + Duration::from_secs(u64::from(second)), written);
    }
    assert!((990.0..=1000.0).contains(&seen), "{seen}");
    let short = rate.update(start + Duration::from_secs(30) + Duration::from_millis(1), written + 1_000_000);
    assert!((short - seen).abs() < f64::EPSILON, "a millisecond says nothing");
    let idle = rate.update(start + Duration::from_secs(90), written);
    assert!(idle < 1.0, "{idle}");
}

#[test]
fn faults_lead_to_quarantine_in_the_end_and_to_a_way_back_while_watched() {
    use Consequence::{AskAgain, Quarantine, TakeBack};
    for (faults, watched, native, expected) in [
        (1, false, false, AskAgain),
        (2, false, false, AskAgain),
        (3, false, false, Quarantine),
        (4, false, false, Quarantine),
        (1, true, false, TakeBack),
        (3, true, false, TakeBack),
        (3, false, true, AskAgain),
        (3, true, true, AskAgain),
    ] {
        assert_eq!(consequence(faults, watched, native), expected, "{faults} {watched} {native}");
    }
}
