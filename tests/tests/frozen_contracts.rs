//! What was released goes on to work: the contract's frozen folders don't change, and components that were
//! built for an older version answer as they did when they were frozen.
//!
//! `fixtures/v0.1.0` has the three shipped strategies as they were built from the last sources that used
//! version 0.1.0, and their answers. To freeze further answers, run the suite with `MORTISE_RECORD=1` and
//! read the difference before committing it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mortise_plugin_runtime::compaction::{LEVELS, Level, Run, Table, View, canned_views};
use mortise_plugin_runtime::{Call, Component, Digest, FaultKind, Limits, Runtime, RuntimeConfig, World};

/// Patient, because the machine that runs the tests may be busy.
const LIMITS: Limits =
    Limits { memory_bytes: 16 << 20, deadline: Duration::from_secs(20), answer_bytes: 64 << 10, fuel: None };

/// Files that never change again, by their SHA-256.
const FROZEN: &[(&str, &str)] = &[
    ("wit/v0.1.0/compaction.wit", "6dc9f02d14a67574cec568ef48bed98e71b66404db87a6251ff1532e84cf8920"),
    ("wit/v0.1.0/package.wit", "da6da1a7adef5dace69389f155c1b7890bcdccf07d6262810728c4b317f5d977"),
    ("wit/v0.2.0/compaction.wit", "95ec0d8d0e2e2fef97d67b877831bd2aae941615909f0faf704f295a971ee9fc"),
    ("wit/v0.2.0/format.wit", "f9ce71e99f470138a0b97c57fc4524cdb9aacd518a4f08bdb2c3255485da33bb"),
    ("wit/v0.2.0/package.wit", "1362352406643fec4584a21de95b82963fd7a05473f4937351de8e5ea981c2d9"),
    (
        "tests/fixtures/v0.1.0/compaction-leveled.wasm",
        "a8b70a2e8b9877d6f03ca54e7e4d47cfa41e79cfe7ee94f54c9bf5b3be678fb3",
    ),
    (
        "tests/fixtures/v0.1.0/compaction-quiet.wasm",
        "196217ebc8cc1238ffa82d8c02c612629836e05269f7f0d8e2e29fa9d4a1b751",
    ),
    (
        "tests/fixtures/v0.1.0/compaction-tiered.wasm",
        "18c0b29ec470c5d6d42ffea41ea17d23330d42ade680c5e6aa54e2cfb086a5ee",
    ),
];

/// Configurations that each strategy is asked under; the last is refused.
const CONFIGS: &[(&str, &[&str])] = &[
    ("compaction-leveled", &["{}", r#"{"l0_threshold": 8, "level_ratio": 4.5}"#, r#"{"level_ratio": 1}"#]),
    ("compaction-quiet", &["{}", r#"{"busy_write_rate": 100}"#, r#"{"ask_again_ms": 0}"#]),
    ("compaction-tiered", &["{}", r#"{"l0_runs": 2, "max_space_percent": 30}"#, r#"{"l0_runs": 1}"#]),
];

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

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

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

fn fixture(runtime: &Arc<Runtime>, name: &str) -> Result<Component> {
    let path = root().join(format!("tests/fixtures/v0.1.0/{name}.wasm"));
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(runtime.load(&bytes)?)
}

#[test]
fn frozen_files_do_not_change() -> Result<()> {
    for (file, digest) in FROZEN {
        let found = Digest::of(&std::fs::read(root().join(file)).context(*file)?).to_string();
        assert_eq!(found, *digest, "{file} is frozen; a change of the contract goes into a new folder");
    }
    for (folder, expected) in [
        ("wit/v0.1.0", &["compaction.wit", "package.wit"][..]),
        ("wit/v0.2.0", &["compaction.wit", "format.wit", "package.wit"]),
    ] {
        let mut files: Vec<_> = std::fs::read_dir(root().join(folder))?.collect::<Result<_, _>>()?;
        files.sort_by_key(std::fs::DirEntry::file_name);
        let names: Vec<_> =
            files.iter().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(names, expected, "nothing is added to the frozen folder {folder}");
    }
    Ok(())
}

#[test]
fn components_of_version_0_1_0_answer_as_when_they_were_frozen() -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let mut answers = String::new();
    for (name, configs) in CONFIGS {
        let component = fixture(&runtime, name)?;
        let description = component.description();
        assert_eq!(
            (description.world, description.wit_version.as_str()),
            (World::CompactionStrategy, "0.1.0")
        );
        let identity = component.identity(&LIMITS)?;
        writeln!(answers, "{} {}: {}", identity.name, identity.version, identity.summary)?;
        let strategy = component.compaction_strategy(LIMITS)?;
        for config in *configs {
            for (number, shape) in SHAPES.iter().enumerate() {
                let call = Call { config: (*config).to_owned(), now: 1_700_000_000_000, seed: 7 };
                let answer = match strategy.decide(&call, &view(shape)) {
                    Ok(decision) => {
                        assert_eq!(decision.reason, "", "version 0.1.0 knows no reasons");
                        format!("{:?}", decision.step)
                    }
                    Err(fault) => format!("{}: {fault}", fault.kind),
                };
                writeln!(answers, "{config} tree {number}: {answer}")?;
            }
        }
    }
    let path = root().join("tests/fixtures/v0.1.0/answers.txt");
    if std::env::var_os("MORTISE_RECORD").is_some() {
        std::fs::write(&path, &answers)?;
    }
    let recorded = std::fs::read_to_string(&path).context("the recorded answers")?;
    for (found, expected) in answers.lines().zip(recorded.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(answers.lines().count(), recorded.lines().count());
    Ok(())
}

#[test]
fn components_of_version_0_1_0_cope_with_all_that_today_s_views_hold() -> Result<()> {
    let runtime = Runtime::new(RuntimeConfig::default())?;
    for (name, configs) in CONFIGS {
        let strategy = fixture(&runtime, name)?.compaction_strategy(LIMITS)?;
        for (view_name, view) in canned_views() {
            let call = |config: &str| Call { config: config.to_owned(), now: 0, seed: 1 };
            strategy.decide(&call(configs[0]), &view).with_context(|| format!("{name}: {view_name}"))?;
            let refused = configs.last().context("a configuration")?;
            let fault = strategy.decide(&call(refused), &view).expect_err("it is refused");
            assert_eq!(fault.kind, FaultKind::Refused, "{name}: {view_name}: {fault}");
        }
    }
    Ok(())
}
