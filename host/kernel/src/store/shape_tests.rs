//! Every rule for steps, broken once and just kept once.

use bytes::Bytes;

use super::{IllegalStep, LevelShape, RunShape, Step, TABLE_BYTES, TableShape, TreeShape, check_step};

/// A tree with this many runs in each level.
fn tree(runs: [usize; 7]) -> TreeShape {
    let table = TableShape {
        id: 0,
        bytes: 10,
        entries: 1,
        tombstones: 0,
        min_key: Bytes::new(),
        max_key: Bytes::new(),
        max_seqno: 0,
    };
    let level = |runs| LevelShape { runs: vec![RunShape { tables: vec![table.clone()] }; runs] };
    TreeShape { levels: runs.map(level).to_vec(), memtable_bytes: 0, sealed_memtables: 0 }
}

fn merge(runs: [usize; 7], from: u8, to: u8) -> Result<(), IllegalStep> {
    check_step(&tree(runs), &Step::Merge { from, to })
}

fn shift(runs: [usize; 7], from: u8, to: u8) -> Result<(), IllegalStep> {
    check_step(&tree(runs), &Step::Move { from, to })
}

#[test]
fn merges() {
    assert_eq!(merge([2, 0, 0, 0, 0, 0, 0], 0, 0), Ok(()));
    assert_eq!(merge([1, 0, 0, 0, 0, 0, 0], 0, 0), Err(IllegalStep::NothingToMerge { level: 0 }));
    assert_eq!(merge([1, 1, 0, 0, 0, 0, 0], 0, 1), Ok(()));
    assert_eq!(merge([3, 0, 0, 0, 0, 0, 0], 0, 6), Ok(()));
    assert_eq!(merge([3, 0, 0, 0, 0, 0, 2], 0, 6), Ok(()));
    assert_eq!(merge([3, 0, 0, 1, 0, 0, 0], 0, 6), Err(IllegalStep::NotEmpty { level: 3 }));
    assert_eq!(merge([0, 1, 0, 0, 0, 0, 0], 0, 1), Err(IllegalStep::EmptySource { level: 0 }));
    assert_eq!(merge([0, 1, 1, 0, 0, 0, 0], 2, 1), Err(IllegalStep::Upwards { from: 2, to: 1 }));
    assert_eq!(merge([1; 7], 0, 7), Err(IllegalStep::NoSuchLevel { found: 7 }));
    assert_eq!(merge([1; 7], 7, 0), Err(IllegalStep::NoSuchLevel { found: 7 }));
    assert_eq!(merge([1; 7], 255, 255), Err(IllegalStep::NoSuchLevel { found: 255 }));
}

#[test]
fn moves() {
    assert_eq!(shift([1, 0, 0, 0, 0, 0, 0], 0, 6), Ok(()));
    assert_eq!(shift([2, 1, 0, 0, 0, 0, 0], 1, 2), Ok(()));
    assert_eq!(
        shift([2, 0, 0, 0, 0, 0, 0], 0, 1),
        Err(IllegalStep::SeveralRuns { level: 0, runs: 2 }),
        "several runs moved as one lose their order",
    );
    assert_eq!(shift([1, 1, 0, 0, 0, 0, 0], 0, 1), Err(IllegalStep::NotEmpty { level: 1 }));
    assert_eq!(shift([1, 0, 1, 0, 0, 0, 0], 0, 3), Err(IllegalStep::NotEmpty { level: 2 }));
    assert_eq!(shift([1, 0, 0, 0, 0, 0, 0], 0, 0), Err(IllegalStep::NotEmpty { level: 0 }));
    assert_eq!(shift([1, 0, 0, 0, 0, 0, 0], 1, 2), Err(IllegalStep::EmptySource { level: 1 }));
    assert_eq!(shift([1, 1, 0, 0, 0, 0, 0], 1, 0), Err(IllegalStep::Upwards { from: 1, to: 0 }));
    assert_eq!(shift([1; 7], 6, 7), Err(IllegalStep::NoSuchLevel { found: 7 }));
}

#[test]
fn knobs() {
    let partial = |l0_threshold, level_ratio, table_bytes| {
        check_step(&tree([0; 7]), &Step::Partial { l0_threshold, level_ratio, table_bytes })
    };
    let knob = |found: Result<(), IllegalStep>| match found {
        Err(IllegalStep::Knob { knob, .. }) => knob,
        other => panic!("{other:?}"),
    };
    let (least, most) = TABLE_BYTES.into_inner();
    assert_eq!(partial(1, 2.0, least), Ok(()));
    assert_eq!(partial(255, 100.0, most), Ok(()));
    assert_eq!(knob(partial(0, 2.0, least)), "l0-threshold");
    for ratio in [1.9, 100.1, f32::NAN, f32::INFINITY, -2.0] {
        assert_eq!(knob(partial(1, ratio, least)), "level-ratio");
    }
    assert_eq!(knob(partial(1, 2.0, least - 1)), "table-bytes");
    assert_eq!(knob(partial(1, 2.0, most + 1)), "table-bytes");
    let major = |table_bytes| check_step(&tree([0; 7]), &Step::Major { table_bytes });
    assert_eq!(major(least), Ok(()));
    assert_eq!(knob(major(0)), "table-bytes");
}
