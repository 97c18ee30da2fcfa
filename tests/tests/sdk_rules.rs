//! The guest SDK judges steps as the kernel does. A policy that trusts `View::check` must never be refused.

use mortise_guest::compaction as sdk;
use mortise_kernel::store::{self as kernel, LevelShape, RunShape, TableShape, TreeShape};
use mortise_plugin_runtime::compaction::{View, canned_views};

fn shape(view: &View) -> TreeShape {
    let table = |id: u64| TableShape {
        id,
        bytes: 1,
        entries: 1,
        tombstones: 0,
        min_key: bytes::Bytes::new(),
        max_key: bytes::Bytes::new(),
        max_seqno: 0,
    };
    let run = |tables: usize| RunShape { tables: (0..tables as u64).map(table).collect() };
    let levels = view.levels.iter();
    let levels =
        levels.map(|level| LevelShape { runs: level.runs.iter().map(|r| run(r.tables.len())).collect() });
    TreeShape { levels: levels.collect(), ..TreeShape::default() }
}

fn sdk_view(view: &View) -> sdk::View {
    let level =
        |runs: usize| sdk::Level { runs: (0..runs).map(|_| sdk::Run { tables: Vec::new() }).collect() };
    sdk::View {
        levels: view.levels.iter().map(|l| level(l.runs.len())).collect(),
        memtable_bytes: 0,
        write_rate: 0,
        free_disk: 0,
        guard_l0_runs: 0,
        previous: None,
    }
}

/// Every step between levels, and knobs on both sides of each bound, in the words of both.
fn steps() -> Vec<(sdk::Step, kernel::Step)> {
    let mut steps = Vec::new();
    for from in (0..9).chain([255]) {
        for to in (0..9).chain([255]) {
            steps.push((sdk::Step::Merge { from, to }, kernel::Step::Merge { from, to }));
            steps.push((sdk::Step::Move { from, to }, kernel::Step::Move { from, to }));
        }
    }
    let sizes = [0, 64 * 1024 - 1, 64 * 1024, 1 << 20, 1 << 30, (1 << 30) + 1, u64::MAX];
    for table_bytes in sizes {
        steps.push((sdk::Step::Major { table_bytes }, kernel::Step::Major { table_bytes }));
        for l0_threshold in [0, 1, 255] {
            for level_ratio in [f32::NAN, -10.0, 0.0, 1.99, 2.0, 10.0, 100.0, 100.1, f32::INFINITY] {
                let knobs = sdk::Knobs { l0_threshold, level_ratio, table_bytes };
                let step = kernel::Step::Partial { l0_threshold, level_ratio, table_bytes };
                steps.push((sdk::Step::Partial(knobs), step));
            }
        }
    }
    steps
}

#[test]
fn every_step_is_judged_the_same() {
    let (mut legal, mut illegal) = (0, 0);
    for (name, view) in canned_views() {
        let (shape, view) = (shape(&view), sdk_view(&view));
        for (theirs, ours) in steps() {
            let (sdk, kernel) = (view.check(&theirs), kernel::check_step(&shape, &ours));
            assert_eq!(sdk.is_ok(), kernel.is_ok(), "{name}, {ours:?}: SDK {sdk:?}, kernel {kernel:?}");
            if kernel.is_ok() { legal += 1 } else { illegal += 1 }
        }
    }
    assert!(legal > 500 && illegal > 500, "{legal} legal, {illegal} illegal");
}

#[test]
fn both_know_as_many_levels() {
    assert_eq!(sdk::LEVELS, kernel::LEVELS);
    assert_eq!(usize::from(kernel::LEVELS), mortise_plugin_runtime::compaction::LEVELS);
    assert_eq!(sdk::TABLE_BYTES, kernel::TABLE_BYTES);
}
