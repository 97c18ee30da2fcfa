//! Native tests: no Wasm, no daemon. `cargo test` runs them.

use {{crate_name}}::{Config, Policy};
use mortise_guest::compaction::{CompactionStrategy, Step, View};
use mortise_guest::testkit::{Model, simulate, view};
use mortise_guest::{Call, Random};

const MIB: u64 = 1 << 20;

fn decide(view: &View) -> Result<Step, String> {
    let step = Policy::decide(&Config::default(), &Call::default(), view)?.step;
    // The host would check the same rules.
    view.check(&step).map_err(|rule| format!("{step:?}: {rule}"))?;
    Ok(step)
}

#[test]
fn waits_until_level_0_is_full() {
    let few = view().runs(0, 3, MIB).build();
    assert_eq!(decide(&few), Ok(Step::WAIT));
    let full = view().runs(0, 4, MIB).build();
    assert_eq!(decide(&full), Ok(Step::Merge { from: 0, to: 6 }));
    let above_another = view().runs(0, 4, MIB).run(5, 100 * MIB).build();
    assert_eq!(decide(&above_another), Ok(Step::Merge { from: 0, to: 5 }));
}

#[test]
fn a_value_out_of_bounds_is_refused_by_its_name() {
    let error = Policy::decide(&Config { l0_runs: 0 }, &Call::default(), &view().build()).unwrap_err();
    assert!(error.contains("l0_runs"), "{error}");
}

#[test]
fn a_growing_tree_stays_in_shape() {
    let mut model = Model::new(1 << 30);
    let report = simulate(&mut model, &mut Random::new(1), 500, 16 * MIB, decide).unwrap();
    assert!(report.runs <= 8, "{report:?}");
}
