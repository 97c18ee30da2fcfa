//! The capability `wasi-minimal`: what a plugin that is granted it can find out and do, which is nothing that
//! does not follow from the call; and that it is refused to whom it is not granted.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mortise_plugin_runtime::compaction::{Answer, canned_views};
use mortise_plugin_runtime::{
    Call, Capability, Component, Error, Fault, FaultKind, Grants, Limits, Runtime, RuntimeConfig,
};
use mortise_tests::guests;

const GRANTED: Grants = Grants { wasi_minimal: true };

/// Patient, because the machine that runs the tests may be busy.
const LIMITS: Limits =
    Limits { memory_bytes: 16 << 20, deadline: Duration::from_secs(20), answer_bytes: 64 << 10, fuel: None };

const NOW: u64 = 1_700_000_000_000;

fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new(RuntimeConfig::default()).expect("an engine")).clone()
}

fn load(guest: &[u8]) -> Component {
    runtime().load_granted(guest, GRANTED).expect("a component")
}

fn decide(component: &Component, now: u64, seed: u64) -> Result<Answer, Fault> {
    let view = canned_views().remove(0).1;
    let strategy = component.compaction_strategy(LIMITS).expect("the limits");
    strategy.decide(&Call { config: "{}".to_owned(), now, seed }, &view).map(|decision| decision.step)
}

/// The number that a guest answers.
fn number(component: &Component, now: u64, seed: u64) -> u64 {
    match decide(component, now, seed) {
        Ok(Answer::Wait { ask_again_ms: Some(number) }) => number,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn every_guest_has_a_test() {
    let names: Vec<_> = guests::WASI.iter().map(|(name, _)| *name).collect();
    let tested = [
        "wasi_clock",
        "wasi_dice",
        "wasi_environment",
        "wasi_exit",
        "wasi_glutton",
        "wasi_hoarder",
        "wasi_last_words",
        "wasi_printer",
        "wasi_prints_for_ever",
        "wasi_rolls_for_ever",
        "wasi_sleeper",
        "wasi_waits_for_nothing",
    ];
    assert_eq!(names, tested);
}

#[test]
fn whom_it_is_not_granted_is_told_what_to_do() {
    for (name, guest) in guests::WASI {
        let description = runtime().inspect(guest).expect("it may be described");
        assert!(description.capabilities.contains(&Capability::WasiMinimal), "{name}");
        let error = runtime().load(guest).expect_err(name);
        assert!(matches!(error, Error::NotGranted { .. }) && error.is_component_fault(), "{name}: {error:?}");
        for expected in
            ["imports `wasi:", "capability `wasi-minimal`", "--grant wasi-minimal", "without WASI"]
        {
            assert!(error.to_string().contains(expected), "{name}: {error}");
        }
    }
}

#[test]
fn the_grant_changes_nothing_for_others() {
    let component = runtime().load_granted(guests::CHATTERBOX, GRANTED).expect("a component");
    decide(&component, NOW, 0).expect("an answer");
    for guest in [guests::IMPORTS_SOCKETS, guests::IMPORTS_WHATEVER] {
        let error = runtime().load_granted(guest, GRANTED).expect_err("granted to nobody");
        assert!(matches!(error, Error::RefusedImports { .. }), "{error:?}");
        assert!(!error.to_string().contains("wall-clock"), "{error}");
    }
}

#[test]
fn dice_follow_from_the_seed() {
    let dice = load(guests::WASI_DICE);
    let thrown: Vec<_> = (0..50).map(|seed| number(&dice, NOW, seed)).collect();
    for (seed, number_then) in (0..).zip(&thrown) {
        assert_eq!(number(&dice, NOW + seed, seed), *number_then, "seed {seed}");
    }
    let mut distinct = thrown.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), thrown.len());
    // The numbers are part of what a recorded call can be repeated with, in all versions.
    assert_eq!(thrown[0], FIRST_THROW);
}

/// What the seed 0 gives: the first eight bytes of SHA-256 over a name and two numbers, see `wasi/world.rs`.
const FIRST_THROW: u64 = 0x6fcd_b0e2_ebaf_c3db;

#[test]
fn the_clock_is_the_call_s() {
    let clock = load(guests::WASI_CLOCK);
    for now in [0, NOW, NOW + 999, NOW + 1_000, u64::MAX] {
        assert_eq!(number(&clock, now, 0), now / 1_000);
    }
}

#[test]
fn sleeping_takes_no_time() {
    let sleeper = load(guests::WASI_SLEEPER);
    let begun = Instant::now();
    assert_eq!(number(&sleeper, NOW, 0), 365 * 24 * 3_600 * 1_000_000_000 + 1_000);
    assert!(begun.elapsed() < LIMITS.deadline, "{:?}", begun.elapsed());
}

#[test]
fn there_is_no_environment_argument_or_directory() {
    assert_eq!(decide(&load(guests::WASI_ENVIRONMENT), NOW, 0), Ok(Answer::Wait { ask_again_ms: None }));
}

#[test]
fn printing_is_limited_like_the_log() {
    assert_eq!(decide(&load(guests::WASI_PRINTER), NOW, 0), Ok(Answer::Wait { ask_again_ms: None }));
}

#[test]
fn what_goes_wrong_is_a_fault_with_a_reason() {
    for (guest, expected) in [
        (guests::WASI_EXIT, "it ended itself with a failure instead of answering"),
        (guests::WASI_WAITS_FOR_NOTHING, "it waited for nothing at all"),
        (guests::WASI_GLUTTON, "it asked for 18446744073709551615 random bytes at once"),
        (guests::WASI_HOARDER, "it waits for more than 1000 things at once"),
        (guests::WASI_LAST_WORDS, "its last message: panic: the tree makes no sense"),
    ] {
        let component = load(guest);
        let fault = decide(&component, NOW, 0).expect_err(expected);
        assert_eq!(fault.kind, FaultKind::Trap, "{fault}");
        assert!(fault.detail.contains(expected), "expected {expected:?} in {fault}");
        assert_eq!(component.usage().faults["trap"], 1);
    }
}

/// What the host does for a plugin costs the plugin fuel: a loop around it ends at the same place everywhere.
#[test]
fn what_the_host_does_costs_fuel() {
    for guest in [guests::WASI_PRINTS_FOR_EVER, guests::WASI_ROLLS_FOR_EVER] {
        let component = load(guest);
        let limits = Limits { fuel: Some(100_000_000), ..LIMITS };
        let strategy = component.compaction_strategy(limits).expect("the limits");
        let call = Call { config: "{}".to_owned(), now: NOW, seed: 0 };
        let fault = strategy.decide(&call, &canned_views().remove(0).1).expect_err("an endless loop");
        assert_eq!(fault.kind, FaultKind::Fuel, "{fault}");
    }
}

#[tokio::test]
async fn it_may_be_used_from_an_async_runtime() {
    let sleeper = load(guests::WASI_SLEEPER).compaction_strategy(LIMITS).expect("the limits");
    let call = Call { config: "{}".to_owned(), now: NOW, seed: 0 };
    sleeper.decide_on_pool(call, canned_views().remove(0).1.into()).await.expect("an answer");
}
