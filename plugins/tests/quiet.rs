//! `compaction-quiet`, natively and as a component.

mod both;

use both::Both;
use compaction_quiet::Quiet;
use mortise_guest::Random;
use mortise_guest::compaction::Step;
use mortise_guest::testkit::{Model, simulate, view};
use mortise_plugin_runtime::compaction::Answer;

const MIB: u64 = 1 << 20;
const STEP: Answer = Answer::Partial { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 * MIB };
const WAIT: Answer = Answer::Wait { ask_again_ms: None };
const LATER: Answer = Answer::Wait { ask_again_ms: Some(1_000) };

fn quiet() -> Both {
    Both::new::<Quiet>(mortise_plugins::COMPACTION_QUIET)
}

#[test]
fn steps_are_put_off_while_writes_are_busy() {
    let policy = quiet();
    let tree = |rate: u64| view().runs(0, 4, MIB).write_rate(rate).build();
    assert_eq!(policy.decide("{}", &tree(8 * MIB)), Ok(STEP));
    assert_eq!(policy.decide("{}", &tree(8 * MIB + 1)), Ok(LATER));
    assert_eq!(
        policy.decide(r#"{"ask_again_ms": 50}"#, &tree(9 * MIB)),
        Ok(Answer::Wait { ask_again_ms: Some(50) })
    );
    let nothing_due = view().runs(0, 3, MIB).write_rate(9 * MIB).build();
    assert_eq!(policy.decide("{}", &nothing_due), Ok(WAIT));
}

#[test]
fn patience_ends_at_each_bound() {
    let policy = quiet();
    let busy = || view().write_rate(u64::MAX);
    assert_eq!(policy.decide("{}", &busy().runs(0, 15, MIB).build()), Ok(LATER));
    assert_eq!(policy.decide("{}", &busy().runs(0, 16, MIB).build()), Ok(STEP), "read amplification");
    let tree = |last: u64| busy().runs(0, 5, MIB).run(6, last).build();
    assert_eq!(policy.decide("{}", &tree(5 * MIB)), Ok(LATER));
    assert_eq!(policy.decide("{}", &tree(5 * MIB - MIB / 4)), Ok(STEP), "space amplification");
    let tree = |level5: u64| busy().run(5, level5).run(6, 2_000 * MIB).build();
    assert_eq!(policy.decide("{}", &tree(512 * MIB)), Ok(LATER));
    assert_eq!(policy.decide("{}", &tree(520 * MIB)), Ok(STEP), "an overgrown level");
    let tree = |free: u64| busy().runs(0, 5, MIB).free_disk(free).build();
    assert_eq!(policy.decide("{}", &tree(2 << 30)), Ok(LATER));
    assert_eq!(policy.decide("{}", &tree((2 << 30) - 1)), Ok(STEP), "the disk fills up");
}

#[test]
fn refuses_a_configuration_by_the_name_of_the_field() {
    for (config, expected) in [
        (r#"{"max_l0_runs": 3}"#, "max_l0_runs is 3, below l0_threshold, which is 4"),
        (r#"{"ask_again_ms": 0}"#, "ask_again_ms is 0"),
        (r#"{"level_ratio": 1}"#, "level_ratio"),
        (r#"{"busy_write_rate": "fast"}"#, "field `busy_write_rate`: invalid type"),
    ] {
        let error = quiet().decide(config, &view().build()).unwrap_err();
        assert!(error.contains(expected), "{config}: {error}");
    }
}

#[test]
fn copes_with_canned_views() {
    quiet().copes_with_canned_views();
}

#[test]
fn a_simulated_tree_under_bursts_stays_in_bounds_and_is_tidied_afterwards() {
    let policy = quiet();
    let config = r#"{"table_bytes": 4194304, "busy_write_rate": 100}"#;
    let mut model = Model::new(2 << 30);
    let mut random = Random::new(42);
    for burst in 0..30 {
        for rate in [1_000, 0] {
            let decide = |view: &mortise_guest::compaction::View| {
                let view = mortise_guest::compaction::View { write_rate: rate, ..view.clone() };
                policy.step(config, &view)
            };
            let report = simulate(&mut model, &mut random, 50, 16 << 20, decide).expect("the policy behaves");
            let most = if rate > 0 { 15 } else { 3 };
            assert!(report.level0_runs <= most, "burst {burst}, rate {rate}: {report:?}");
            assert!(report.space_amplification < 2.1, "burst {burst}, rate {rate}: {report:?}");
        }
        assert_eq!(policy.step(config, &model.view(4 << 20)), Ok(Step::WAIT), "burst {burst}");
    }
    assert!(model.write_amplification() < 30.0, "{}", model.write_amplification());
}

#[test]
fn waiting_saves_writes() {
    let policy = quiet();
    let eager = policy.simulate(r#"{"table_bytes": 4194304}"#, 1_000);
    let busy = r#"{"table_bytes": 4194304, "busy_write_rate": 0}"#;
    let mut model = Model::new(2 << 30);
    let patient = simulate(&mut model, &mut Random::new(42), 1_000, 16 << 20, |view| {
        policy.step(busy, &mortise_guest::compaction::View { write_rate: 1, ..view.clone() })
    })
    .expect("the policy behaves");
    assert!(patient.write_amplification < eager.write_amplification, "{patient:?} {eager:?}");
}
