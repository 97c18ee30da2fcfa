//! Simulations are deterministic, and their figures mean what the module says.

use std::ops::ControlFlow;

use mortise_plugin_runtime::compaction::Answer;
use mortise_plugin_runtime::{Limits, Runtime, RuntimeConfig};

use super::*;

fn setup(workload: Workload) -> Setup {
    Setup { value_bytes: 100, scale: 256, ..Setup::new(workload, 12_000) }
}

fn run(setup: &Setup, contender: &SimulatedStrategy) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let ended =
        simulate(setup, contender, &directory.path().join("tree"), &mut |_| ControlFlow::Continue(()));
    match ended.unwrap() {
        Ended::Finished(report) => *report,
        Ended::Cancelled => panic!("nobody cancelled"),
    }
}

fn shipped() -> Vec<SimulatedStrategy> {
    let runtime = Runtime::new(RuntimeConfig::default()).unwrap();
    let shipped = mortise_plugins::shipped().iter().filter(|plugin| plugin.name.starts_with("compaction-"));
    let contender = shipped.map(|plugin| {
        let strategy = runtime.load(plugin.bytes).unwrap().compaction_strategy(Limits::default()).unwrap();
        SimulatedStrategy::component(plugin.name.to_owned(), "{}".to_owned(), strategy)
    });
    contender.chain([SimulatedStrategy::native()]).collect()
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    for contender in shipped() {
        for workload in [Workload::Zipf, Workload::TtlLike] {
            let setup = setup(workload);
            let report = run(&setup, &contender);
            assert_eq!(report, run(&setup, &contender), "{} under {workload}", contender.label());
            assert_ne!(report, run(&Setup { seed: 2, ..setup }, &contender));
        }
    }
}

#[test]
fn every_strategy_leaves_the_same_content() {
    for workload in Workload::ALL {
        let reports: Vec<Report> = shipped().iter().map(|strategy| run(&setup(workload), strategy)).collect();
        for report in &reports {
            assert_eq!(report.content, reports[0].content, "{} under {workload}", report.strategy);
            assert!(report.write_amplification >= 1.0, "{report:?}");
            assert!(report.read_amplification.mean > 0.0, "{report:?}");
            // What is still in memtables is live, and not on disk.
            assert!(report.space_amplification.mean > 0.7, "{report:?}");
            assert_eq!(report.fault_count, 0, "{report:?}");
            assert_eq!(report.samples.last().unwrap().writes, 12_000);
        }
    }
}

#[test]
fn figures_tell_a_lazy_strategy_from_a_busy_one() {
    let lazy = SimulatedStrategy::scripted("lazy", |_| Ok(Answer::Wait { ask_again_ms: None }.into()));
    let busy = SimulatedStrategy::scripted("busy", |view| {
        let runs: usize = view.levels.iter().map(|level| level.runs.len()).sum();
        let wait = Answer::Wait { ask_again_ms: None };
        Ok(if runs > 1 { Answer::Major { table_bytes: 64 << 20 } } else { wait }.into())
    });
    let setup = setup(Workload::Uniform);
    let (lazy, busy) = (run(&setup, &lazy), run(&setup, &busy));
    assert!(lazy.write_amplification < busy.write_amplification, "{lazy:?} {busy:?}");
    assert!(lazy.read_amplification.mean > busy.read_amplification.mean);
    assert!(lazy.space_amplification.mean > busy.space_amplification.mean);
    assert!(busy.steps.major > 0 && lazy.steps.major == 0);
}
