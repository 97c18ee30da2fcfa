//! `compaction-tiered`, natively and as a component.

mod both;

use both::Both;
use compaction_tiered::Tiered;
use mortise_guest::testkit::{ViewBuilder, view};
use mortise_plugin_runtime::compaction::Answer;

const MIB: u64 = 1 << 20;
const WAIT: Answer = Answer::Wait { ask_again_ms: None };

fn tiered() -> Both {
    Both::new::<Tiered>(mortise_plugins::COMPACTION_TIERED)
}

#[track_caller]
fn answers(view: ViewBuilder, expected: Answer) {
    assert_eq!(tiered().decide("{}", &view.build()), Ok(expected));
}

#[test]
fn level_0_becomes_one_run_when_it_is_full() {
    answers(view(), WAIT);
    answers(view().runs(0, 3, MIB), WAIT);
    answers(view().runs(0, 4, MIB), Answer::Merge { from: 0, to: 6 });
    // The last run is much larger: the new one goes above it.
    answers(view().runs(0, 4, MIB).run(6, 100 * MIB), Answer::Merge { from: 0, to: 5 });
    // It is of similar size: they become one.
    answers(view().runs(0, 4, MIB).run(6, 8 * MIB), Answer::Merge { from: 0, to: 6 });
}

#[test]
fn runs_are_packed_against_the_last_level() {
    answers(view().run(3, MIB), Answer::Move { from: 3, to: 6 });
    answers(view().run(2, MIB).run(4, 10 * MIB).run(6, 100 * MIB), Answer::Move { from: 4, to: 5 });
    answers(view().run(2, MIB).run(5, 10 * MIB).run(6, 100 * MIB), Answer::Move { from: 2, to: 4 });
}

#[test]
fn neighbours_of_similar_size_are_merged() {
    answers(view().run(5, 10 * MIB).run(6, 20 * MIB), Answer::Merge { from: 5, to: 6 });
    answers(view().run(5, 10 * MIB).run(6, 21 * MIB), WAIT);
    let three = view().run(4, 4 * MIB).run(5, 8 * MIB).run(6, 100 * MIB);
    answers(three, Answer::Merge { from: 4, to: 5 });
}

#[test]
fn everything_is_merged_when_too_much_lies_above_the_last_run() {
    let config = r#"{"max_space_percent": 50, "table_bytes": 1048576}"#;
    let tree = |above: u64| view().run(5, above * MIB).run(6, 100 * MIB).build();
    assert_eq!(tiered().decide(config, &tree(40)), Ok(WAIT));
    let with_level0 = view().runs(0, 2, 6 * MIB).run(5, 40 * MIB).run(6, 100 * MIB).build();
    assert_eq!(tiered().decide(config, &with_level0), Ok(Answer::Major { table_bytes: MIB }));
}

#[test]
fn a_full_tree_makes_room_where_neighbours_differ_the_least() {
    let full = view()
        .runs(0, 4, MIB)
        .run(1, 20 * MIB)
        .run(2, 100 * MIB)
        .run(3, 250 * MIB)
        .run(4, 1_000 * MIB)
        .run(5, 9_000 * MIB)
        .run(6, 90_000 * MIB);
    answers(full, Answer::Merge { from: 2, to: 3 });
}

#[test]
fn merges_wait_for_free_disk_and_moves_do_not() {
    let ask_again = Answer::Wait { ask_again_ms: Some(10_000) };
    answers(view().runs(0, 4, MIB).free_disk(4 * MIB - 1), ask_again);
    answers(view().runs(0, 4, MIB).free_disk(4 * MIB), Answer::Merge { from: 0, to: 6 });
    answers(view().run(3, MIB).free_disk(0), Answer::Move { from: 3, to: 6 });
    answers(view().free_disk(0), WAIT);
}

#[test]
fn a_smaller_merge_is_taken_when_the_wanted_one_does_not_fit() {
    let tree = view().runs(0, 4, 30 * MIB).run(6, 100 * MIB).free_disk(150 * MIB);
    answers(tree, Answer::Wait { ask_again_ms: Some(10_000) });
    let tree = view().runs(0, 4, 30 * MIB).run(5, 20 * MIB).run(6, 110 * MIB).free_disk(150 * MIB);
    answers(tree, Answer::Merge { from: 0, to: 5 });
}

#[test]
fn refuses_a_configuration_by_the_name_of_the_field() {
    for (config, expected) in [
        (r#"{"l0_runs": 1}"#, "l0_runs is 1; expected 2 to 64"),
        (r#"{"similar_percent": 5}"#, "similar_percent is 5; expected 100 to 1000"),
        (r#"{"max_space_percent": -1}"#, "field `max_space_percent`"),
        (r#"{"space": 1}"#, "unknown field `space`"),
    ] {
        let error = tiered().decide(config, &view().build()).unwrap_err();
        assert!(error.contains(expected), "{config}: {error}");
    }
}

#[test]
fn copes_with_canned_views() {
    tiered().copes_with_canned_views();
}

#[test]
fn a_simulated_tree_comes_to_rest_and_stays_in_bounds() {
    let report = tiered().simulate("{}", 3_000);
    assert!(report.steps > 500, "it works: {report:?}");
    assert!(report.level0_runs < 4, "{report:?}");
    assert!(report.runs <= 3 + 6, "{report:?}");
    // What lies above the last run is at most as much again.
    assert!(report.space_amplification <= 2.0, "{report:?}");
    assert!(report.write_amplification < 20.0, "{report:?}");
}

#[test]
fn a_tighter_bound_on_space_is_kept_and_costs_writes() {
    let loose = tiered().simulate("{}", 2_000);
    let tight = tiered().simulate(r#"{"max_space_percent": 20}"#, 2_000);
    assert!(tight.space_amplification <= 1.2, "{tight:?}");
    assert!(tight.write_amplification > loose.write_amplification, "{tight:?} {loose:?}");
}
