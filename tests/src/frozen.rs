//! What suites of frozen components share: the trees that they are asked about, the components themselves,
//! and the answers that were recorded when they were frozen.
//!
//! Nothing here changes once a version is released: what was recorded must mean the same for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use mortise_plugin_runtime::compaction::{LEVELS, Level, Run, Table, View};
use mortise_plugin_runtime::{Component, Runtime};

/// Trees as `(level, runs, tables per run, bytes per table)`, with write rate and free disk.
type Shape = (&'static [(usize, u64, u64, u64)], u64, u64);

const MIB: u64 = 1 << 20;
const SHAPES: &[Shape] = &[
    (&[], 0, 1 << 40),
    (&[(0, 3, 1, 4 * MIB)], MIB, 1 << 40),
    (&[(0, 4, 1, 4 * MIB)], MIB, 1 << 40),
    (&[(0, 5, 1, 4 * MIB), (6, 1, 10, 64 * MIB)], 20 * MIB, 1 << 40),
    (&[(0, 40, 1, 4 * MIB)], 20 * MIB, 1 << 40),
    (&[(0, 9, 1, 4 * MIB), (5, 1, 3, 64 * MIB), (6, 1, 10, 64 * MIB)], MIB, 1 << 40),
    (&[(3, 2, 2, 8 * MIB)], MIB, 1 << 40),
    (&[(2, 1, 1, 8 * MIB)], MIB, 1 << 40),
    (&[(5, 1, 9, 64 * MIB), (6, 1, 40, 64 * MIB)], 0, 1 << 40),
    (&[(0, 8, 1, 64 * MIB), (6, 1, 5, 64 * MIB)], MIB, 100 * MIB),
    (&[(1, 1, 1, MIB), (2, 1, 3, MIB), (3, 1, 9, MIB), (4, 1, 27, MIB), (5, 1, 81, MIB)], 0, 1 << 40),
    (&[(0, 6, 1, (1 << 53) + 1), (6, 1, 1, (1 << 60) + 1)], u64::MAX, u64::MAX),
];

fn view((filled, write_rate, free_disk): &Shape) -> View {
    let mut levels: Vec<Level> = (0..LEVELS).map(|_| Level { runs: Vec::new() }).collect();
    let mut id = 0;
    for &(level, runs, tables, bytes) in *filled {
        for _ in 0..runs {
            let tables = (0..tables).map(|place| {
                id += 1;
                Table {
                    id,
                    bytes,
                    entries: bytes / 100 + 1,
                    tombstones: id,
                    max_seqno: u64::MAX - id,
                    min_key: format!("key{place:04}").into_bytes(),
                    max_key: format!("key{place:04}~").into_bytes(),
                }
            });
            levels[level].runs.push(Run { tables: tables.collect() });
        }
    }
    let (write_rate, free_disk) = (*write_rate, *free_disk);
    View { levels, memtable_bytes: MIB, write_rate, free_disk, guard_l0_runs: 20, previous: None }
}

/// The trees, in the order in which answers are recorded.
#[must_use]
pub fn trees() -> Vec<View> {
    SHAPES.iter().map(view).collect()
}

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A component as it was frozen for a version of the contract; or, to compare, as somebody has built it from
/// the same sources: `MORTISE_FIXTURES` names the folder of those.
///
/// # Errors
/// There is none, or it is refused.
pub fn fixture(runtime: &Arc<Runtime>, version: &str, name: &str) -> Result<Component> {
    Ok(runtime.load(&bytes(version, name)?)?)
}

/// The bytes of such a component.
///
/// # Errors
/// There is none.
pub fn bytes(version: &str, name: &str) -> Result<Vec<u8>> {
    let folder = match std::env::var_os("MORTISE_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("tests/fixtures").join(version),
    };
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// Compares answers, line by line, with those that were recorded; records them with `MORTISE_RECORD=1`.
///
/// # Errors
/// The first line that differs.
pub fn compare(version: &str, answers: &str) -> Result<()> {
    let path = root().join(format!("tests/fixtures/{version}/answers.txt"));
    if std::env::var_os("MORTISE_RECORD").is_some() {
        std::fs::write(&path, answers)?;
    }
    let recorded = std::fs::read_to_string(&path).context("the recorded answers")?;
    for (number, (found, expected)) in answers.lines().zip(recorded.lines()).enumerate() {
        ensure!(found == expected, "line {}: {found:?}, recorded is {expected:?}", number + 1);
    }
    ensure!(answers.lines().count() == recorded.lines().count(), "as many answers as were recorded");
    Ok(())
}
