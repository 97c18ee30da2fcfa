//! Native tests: no Wasm, no daemon. `cargo test` runs them.

use {{crate_name}}::{Config, Prefixed};
use mortise_guest::Random;
use mortise_guest::format::Format;
use mortise_guest::testkit::format::{
    check_keys, check_stored_keys, check_values, random_records, records,
};

fn format() -> Prefixed {
    Prefixed::new(Config::default()).unwrap()
}

#[test]
fn the_laws_of_a_format_hold() {
    let mut all = records();
    all.extend(random_records(&mut Random::new(1), 500));
    check_keys(&format(), &all).unwrap();
    check_values(&format(), &all).unwrap();
    check_stored_keys(&format(), &all).unwrap();
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_by_its_field() {
    let error = Prefixed::new(Config { prefix: String::new() }).unwrap_err();
    assert!(error.contains("prefix"), "{error}");
}
