//! The stalls that a simulation reports are those that the kernel's back-pressure would cause, to the
//! nanosecond: the disk and the clock are computed.

use std::ops::ControlFlow;
use std::time::Duration;

use mortise_kernel::node::{NodeConfig, Pressure, Verdict};
use mortise_plugin_runtime::compaction::Answer;

use super::*;
use crate::Result;

/// No guard rail takes the strategy's place before the kernel stops the writes.
fn setup(writes: u64) -> Setup {
    Setup { value_bytes: 1000, scale: 256, guard_l0_runs: 1000, ..Setup::new(Workload::Append, writes) }
}

fn run(setup: &Setup, contender: &SimulatedStrategy) -> Result<Report> {
    let directory = tempfile::tempdir().unwrap();
    let on = &mut |_| ControlFlow::Continue(());
    match simulate(setup, contender, &directory.path().join("tree"), on)? {
        Ended::Finished(report) => Ok(*report),
        Ended::Cancelled => panic!("nobody cancelled"),
    }
}

/// Compacts everything as soon as level 0 has so many runs.
fn at(runs: usize) -> SimulatedStrategy {
    SimulatedStrategy::scripted("at", move |view| {
        let due = view.levels[0].runs.len() >= runs;
        let major = Answer::Major { table_bytes: 64 << 20 };
        Ok(if due { major } else { Answer::Wait { ask_again_ms: None } }.into())
    })
}

fn never() -> SimulatedStrategy {
    at(usize::MAX)
}

/// What the kernel does to an entry while level 0 has so many runs.
fn verdict(l0_runs: usize) -> Verdict {
    Pressure { l0_runs, ..Pressure::default() }.verdict(&NodeConfig::new("/nowhere"))
}

fn delay(l0_runs: usize) -> Duration {
    match verdict(l0_runs) {
        Verdict::Delay(delay) => delay,
        other => panic!("{l0_runs} runs: {other:?}"),
    }
}

/// Time that the writes would take if none had to wait, in seconds.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn unhindered(setup: &Setup, report: &Report) -> f64 {
    report.client_bytes as f64 / setup.write_rate as f64
}

/// Equal but for rounding: each of some ten thousand times is rounded down to a nanosecond.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-4
}

#[test]
fn a_strategy_that_never_compacts_stalls_for_as_long_as_the_kernel_would() {
    let setup = setup(8_000);
    let report = run(&setup, &never()).unwrap();
    let stalls = report.stalls;
    let most = report.samples.iter().map(|sample| sample.most_l0_runs).max().unwrap();
    // The last writes met the fullest level 0.
    let longest = delay(usize::try_from(most).unwrap());
    assert!(same(stalls.longest_ms / 1000.0, longest.as_secs_f64()), "{most} runs: {stalls:?}");
    // All the time that was lost was lost to stalls.
    assert!(same(report.seconds, unhindered(&setup, &report) + stalls.seconds));
    let sampled: f64 = report.samples.iter().map(|sample| sample.stalled_seconds).sum();
    assert!(same(sampled, stalls.seconds), "{sampled} of {stalls:?}");
    // Every write from the first run that slows on, and none before.
    let first = (1..).find(|runs| verdict(*runs) != Verdict::Go).unwrap();
    let before = report.samples.iter().filter(|sample| sample.most_l0_runs < first as u64).count() as u64;
    assert!(before > 0 && report.samples.iter().take(before as usize).all(|s| s.stalled_seconds == 0.0));
    assert_eq!((stalls.slowed_writes, stalls.stopped_writes), (3465, 0), "{first} runs slow: {stalls:?}");
}

#[test]
fn a_strategy_that_keeps_level_0_small_never_stalls() {
    let setup = setup(8_000);
    let report = run(&setup, &at(4)).unwrap();
    assert_eq!(report.stalls, Stalls::default());
    assert!(report.steps.major > 3);
    assert!(same(report.seconds, unhindered(&setup, &report)));
    assert!(report.samples.iter().all(|sample| sample.stalled_seconds == 0.0));
}

#[test]
fn writes_that_stop_go_on_when_the_tree_recovers_and_never_when_it_does_not() {
    let stop = (1..).find(|runs| verdict(*runs) == Verdict::Stop).unwrap();
    let setup = setup(12_000);
    let report = run(&setup, &at(stop)).unwrap();
    let stalls = report.stalls;
    assert_eq!((stalls.stopped_writes, report.steps.major), (1, 1), "{stalls:?}");
    assert!(stalls.longest_ms / 1000.0 > delay(stop - 1).as_secs_f64(), "it waited for the step: {stalls:?}");
    assert!(same(report.seconds, unhindered(&setup, &report) + stalls.seconds));
    let error = run(&setup, &never()).unwrap_err().to_string();
    assert!(error.contains("stopped for good") && error.contains(&format!("{stop} runs")), "{error}");
}
