//! `compaction-leveled`, natively and as a component.

mod both;

use both::Both;
use compaction_leveled::Leveled;
use mortise_guest::testkit::view;
use mortise_plugin_runtime::compaction::Answer;

const MIB: u64 = 1 << 20;
const STEP: Answer = Answer::Partial { l0_threshold: 4, level_ratio: 10.0, table_bytes: 64 * MIB };
const WAIT: Answer = Answer::Wait { ask_again_ms: None };

fn leveled() -> Both {
    Both::new::<Leveled>(mortise_plugins::COMPACTION_LEVELED)
}

#[test]
fn waits_until_level_0_is_full() {
    let policy = leveled();
    assert_eq!(policy.decide("", &view().build()), Ok(WAIT));
    assert_eq!(policy.decide("{}", &view().runs(0, 3, MIB).build()), Ok(WAIT));
    assert_eq!(policy.decide("{}", &view().runs(0, 4, MIB).build()), Ok(STEP));
    let config = r#"{"l0_threshold": 5}"#;
    assert_eq!(policy.decide(config, &view().runs(0, 4, MIB).build()), Ok(WAIT));
}

#[test]
fn steps_when_a_level_has_outgrown_its_target() {
    let policy = leveled();
    let tree = |level5: u64| view().run(5, level5).run(6, 2_000 * MIB).build();
    assert_eq!(policy.decide("{}", &tree(256 * MIB)), Ok(WAIT), "the target is 4 tables of 64 MiB");
    assert_eq!(policy.decide("{}", &tree(257 * MIB)), Ok(STEP));
    assert_eq!(
        policy.decide("{}", &view().run(6, 1 << 50).build()),
        Ok(WAIT),
        "the last level has no target"
    );
}

#[test]
fn merges_a_level_that_another_strategy_left_with_several_runs() {
    let tree = view().runs(0, 9, MIB).runs(3, 2, MIB).build();
    assert_eq!(leveled().decide("{}", &tree), Ok(Answer::Merge { from: 3, to: 3 }));
}

#[test]
fn refuses_a_configuration_by_the_name_of_the_field() {
    let policy = leveled();
    for (config, expected) in [
        (r#"{"l0_threshold": 0}"#, "l0_threshold"),
        (r#"{"level_ratio": 1.5}"#, "level_ratio"),
        (r#"{"table_bytes": 10}"#, "table_bytes"),
        (r#"{"l0_threshold": 256}"#, "field `l0_threshold`: invalid value"),
        (r#"{"l0_treshold": 4}"#, "unknown field `l0_treshold`"),
        ("[]", "expected a JSON object"),
    ] {
        let error = policy.decide(config, &view().build()).unwrap_err();
        assert!(error.contains(expected), "{config}: {error}");
    }
}

#[test]
fn copes_with_canned_views() {
    leveled().copes_with_canned_views();
}

#[test]
fn a_simulated_tree_comes_to_rest_and_stays_in_bounds() {
    let report = leveled().simulate(r#"{"table_bytes": 4194304}"#, 3_000);
    assert!(report.steps > 500, "it works: {report:?}");
    assert!(report.level0_runs < 4, "{report:?}");
    assert!(report.runs <= 3 + 6, "{report:?}");
    // Levels are still filling up: what lies above the last level is less than it.
    assert!(report.space_amplification < 2.0, "{report:?}");
    assert!(report.write_amplification < 40.0, "{report:?}");
}
