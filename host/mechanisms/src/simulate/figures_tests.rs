//! The figures of a simulation beside values that are known without it: from the number of writes and their
//! size, and from the tables that a strategy was shown.
//!
//! Values are large, so that what the store adds to each row and table is little: at most [`OVERHEAD`]. The
//! disk takes next to no time, so that a flush has ended when the next write comes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::rc::Rc;

use mortise_plugin_runtime::compaction::{Answer, View};

use super::*;

const VALUE_BYTES: u64 = 16 << 10;
/// A key and a value.
const WRITE_BYTES: u64 = 20 + VALUE_BYTES;
/// Writes that fill a memtable of 256 KiB.
const WRITES_OF_A_RUN: u64 = 16;
const RUNS: u64 = 20;
/// The last eight writes stay in the memtable.
const WRITES: u64 = RUNS * WRITES_OF_A_RUN + 8;
const SCALE: u64 = 256;
/// Share that keys' suffixes, revisions, filters and indexes add.
const OVERHEAD: f64 = 0.02;

fn setup(workload: Workload) -> Setup {
    Setup {
        value_bytes: VALUE_BYTES as usize,
        scale: SCALE,
        disk_rate: 1 << 40,
        guard_l0_runs: 1000,
        ..Setup::new(workload, WRITES)
    }
}

fn run(setup: &Setup, contender: &SimulatedStrategy) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let on = &mut |_| ControlFlow::Continue(());
    match simulate(setup, contender, &directory.path().join("tree"), on).unwrap() {
        Ended::Finished(report) => *report,
        Ended::Cancelled => panic!("nobody cancelled"),
    }
}

/// Up to [`OVERHEAD`] more than this.
fn about(value: f64) -> RangeInclusive<f64> {
    value..=value * (1.0 + OVERHEAD)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn over(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The average of a figure over the writes of the second half, the n-th of which meets `figure(n)`.
fn over_the_second_half(figure: impl Fn(u64) -> f64) -> f64 {
    let half: Vec<f64> = (1..=WRITES).filter(|write| write * 2 > WRITES).map(figure).collect();
    half.iter().sum::<f64>() / half.len() as f64
}

/// Runs that have been flushed when the n-th write has been made.
fn flushed_runs(write: u64) -> u64 {
    write / WRITES_OF_A_RUN
}

/// Bytes of the tables that a strategy was shown, by their ids: those in level 0, and those below.
#[derive(Default)]
struct Shown {
    flushed: BTreeMap<u64, u64>,
    rewritten: BTreeMap<u64, u64>,
}

impl Shown {
    fn note(&mut self, view: &View) {
        for (number, level) in view.levels.iter().enumerate() {
            let tables = level.runs.iter().flat_map(|run| &run.tables);
            let seen = if number == 0 { &mut self.flushed } else { &mut self.rewritten };
            seen.extend(tables.map(|table| (table.id, table.bytes)));
        }
    }
}

/// Rewrites everything once, when level 0 has so many runs, and notes what it is shown.
fn once(at: u64, shown: &Rc<RefCell<Shown>>) -> SimulatedStrategy {
    let shown = Rc::clone(shown);
    SimulatedStrategy::scripted("once", move |view| {
        let mut shown = shown.borrow_mut();
        shown.note(view);
        let due = view.levels[0].runs.len() as u64 == at && shown.rewritten.is_empty();
        let major = Answer::Major { table_bytes: 256 << 20 };
        Ok(if due { major } else { Answer::Wait { ask_again_ms: None } }.into())
    })
}

#[test]
fn without_a_step_what_was_flushed_is_all_that_was_written() {
    let shown = Rc::default();
    let report = run(&setup(Workload::Append), &once(u64::MAX, &shown));
    assert_eq!(report.client_bytes, WRITES * WRITE_BYTES * SCALE);
    assert_eq!(report.flushed_bytes, shown.borrow().flushed.values().sum::<u64>());
    assert_eq!((report.compacted_bytes, shown.borrow().flushed.len() as u64), (0, RUNS));
    let expected = about(over(RUNS * WRITES_OF_A_RUN, WRITES));
    assert!(expected.contains(&report.write_amplification), "{expected:?}: {report:?}");
    // Nothing was ever removed, so what is on the disk is what was written to it.
    assert_eq!(report.peak_disk_bytes, report.flushed_bytes);
    let runs = over_the_second_half(|write| flushed_runs(write) as f64);
    let found = report.read_amplification;
    assert!((found.mean - runs).abs() < 1e-9 && (found.most - RUNS as f64).abs() < 1e-9, "{runs}: {found:?}");
    let space = over_the_second_half(|write| over(flushed_runs(write) * WRITES_OF_A_RUN, write));
    assert!(about(space).contains(&report.space_amplification.mean), "{space}: {report:?}");
}

#[test]
fn one_major_compaction_writes_what_was_there_once_more() {
    let half = RUNS / 2;
    let shown = Rc::default();
    let report = run(&setup(Workload::Append), &once(half, &shown));
    let shown = shown.borrow();
    // To the byte, by the tables that the strategy was shown.
    let (flushed, rewritten): (u64, u64) = (shown.flushed.values().sum(), shown.rewritten.values().sum());
    assert_eq!((report.flushed_bytes, report.compacted_bytes), (flushed, rewritten));
    assert!((report.write_amplification - over(flushed + rewritten, report.client_bytes)).abs() < 1e-12);
    assert_eq!((report.steps.major, shown.flushed.len() as u64), (1, RUNS));
    // By the writes: half of the runs were written twice, and while that was done they were there twice.
    let expected = about(over((RUNS + half) * WRITES_OF_A_RUN, WRITES));
    assert!(expected.contains(&report.write_amplification), "{expected:?}: {report:?}");
    let twice = about(over(2 * half * WRITES_OF_A_RUN * WRITE_BYTES * SCALE, 1));
    assert!(twice.contains(&(report.peak_disk_bytes as f64)), "{twice:?}: {report:?}");
    // One run of what was rewritten, and those that came since.
    let runs = over_the_second_half(|write| (1 + flushed_runs(write) - half) as f64);
    assert!((report.read_amplification.mean - runs).abs() < 1e-9, "{runs}: {report:?}");
}

/// Whoever always rewrites everything keeps nothing but what is live: the tree lacks what is still in the
/// memtable, and has what was superseded by it.
#[test]
fn a_tree_that_is_rewritten_after_each_flush_holds_what_is_live() {
    const KEYS: u64 = 128;
    let busy = SimulatedStrategy::scripted("busy", |view| {
        let runs: usize = view.levels.iter().map(|level| level.runs.len()).sum();
        let major = Answer::Major { table_bytes: 256 << 20 };
        Ok(if runs > 1 { major } else { Answer::Wait { ask_again_ms: None } }.into())
    });
    let setup = Setup { keys: KEYS, writes: 10 * KEYS, ..setup(Workload::Uniform) };
    let report = run(&setup, &busy);
    let memtable = over(WRITES_OF_A_RUN, KEYS);
    let space = report.space_amplification;
    assert!((space.mean - 1.0).abs() < memtable && space.most < 1.0 + 2.0 * memtable, "{report:?}");
    assert!((report.read_amplification.mean - 1.0).abs() < 1e-9, "{report:?}");
}
