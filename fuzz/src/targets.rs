//! What the fuzz targets call, apart from the fuzzer, so that a test on the stable compiler can drive it too
//! (`tests/tests/fuzz_targets.rs`). Each takes any bytes and panics when a promise is broken.

use mortise_kernel::store::{
    LEVELS, LevelShape, RunShape, Step, TABLE_BYTES, TableShape, TreeShape, check_step,
};
use mortise_plugin_runtime::inspect;

/// Feeds bytes to what `plugin add` does before anything is compiled.
///
/// # Panics
/// When they are refused without a reason that an operator can be shown, or described wrongly.
pub(crate) fn plugin_add(bytes: &[u8]) {
    match inspect(bytes) {
        Ok(description) => {
            assert_eq!(description.bytes, bytes.len() as u64);
            assert!(description.imports.is_empty() || !description.capabilities.is_empty());
        }
        Err(error) => {
            let text = error.to_string();
            assert!(error.is_component_fault(), "the host is blamed for what it was given: {text}");
            assert!(!text.is_empty() && text.len() < 4_000, "{} bytes of reason", text.len());
            assert!(!text.contains(|c: char| c.is_control()), "a reason of several lines: {text:?}");
        }
    }
}

/// Reads a tree and an answer from bytes and has the answer judged.
///
/// # Panics
/// When a step is called legal that the rules of the tree forbid.
pub(crate) fn judge_step(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next().unwrap_or_default();
    let shape = tree(&mut next);
    let step = step(&mut next);
    if check_step(&shape, &step).is_err() {
        return;
    }
    let runs = |level: u8| shape.levels[usize::from(level)].runs.len();
    let empty = |levels: std::ops::RangeInclusive<u8>| levels.into_iter().all(|level| runs(level) == 0);
    match step {
        Step::Partial { l0_threshold, level_ratio, table_bytes } => {
            assert!(l0_threshold > 0 && (2.0..=100.0).contains(&level_ratio));
            assert!(TABLE_BYTES.contains(&table_bytes));
        }
        Step::Major { table_bytes } => {
            assert!(TABLE_BYTES.contains(&table_bytes));
        }
        Step::Merge { from, to } => {
            assert!(from <= to && to < LEVELS && runs(from) > 0, "{step:?} of {shape:?}");
            assert!(from != to || runs(from) > 1, "nothing to merge");
            assert!(from + 1 >= to || empty(from + 1..=to - 1), "{step:?} passes data by");
        }
        Step::Move { from, to } => {
            // More than one run, or anything in the way, would break the order of versions.
            assert!(from < to && to < LEVELS && runs(from) == 1, "{step:?} of {shape:?}");
            assert!(empty(from + 1..=to), "{step:?} of {shape:?}");
        }
    }
}

fn tree(next: &mut impl FnMut() -> u8) -> TreeShape {
    let mut id = 0;
    let levels = (0..LEVELS).map(|_| {
        let runs = (0..next() % 4).map(|_| {
            let tables = (0..=next() % 2).map(|_| {
                id += 1;
                TableShape {
                    id,
                    bytes: u64::from(next()) << (next() % 40),
                    entries: u64::from(next()),
                    tombstones: 0,
                    min_key: vec![next()].into(),
                    max_key: vec![next()].into(),
                    max_seqno: id,
                }
            });
            RunShape { tables: tables.collect() }
        });
        LevelShape { runs: runs.collect() }
    });
    TreeShape { levels: levels.collect(), memtable_bytes: u64::from(next()), sealed_memtables: 0 }
}

fn step(next: &mut impl FnMut() -> u8) -> Step {
    let sort = next() % 4;
    // Small numbers are levels that exist, mostly; the others come too.
    let mut level = || if next().is_multiple_of(8) { next() } else { next() % 8 };
    let (from, to) = (level(), level());
    let mut wide = || u64::from_le_bytes(std::array::from_fn(|_| next()));
    let table_bytes = wide() >> (wide() % 64);
    match sort {
        0 => Step::Partial { l0_threshold: from, level_ratio: f32::from_bits(wide() as u32), table_bytes },
        1 => Step::Merge { from, to },
        2 => Step::Move { from, to },
        _ => Step::Major { table_bytes },
    }
}
