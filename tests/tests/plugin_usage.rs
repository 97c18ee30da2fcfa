//! What a call used is measured, told, and limited by fuel as well as by time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mortise_plugin_runtime::compaction::{Decision, canned_views};
use mortise_plugin_runtime::{Call, Component, Fault, FaultKind, Limits, Runtime, RuntimeConfig, Usage};
use mortise_tests::guests;

/// Patient, because the machine that runs the tests may be busy.
const LIMITS: Limits =
    Limits { memory_bytes: 16 << 20, deadline: Duration::from_secs(10), answer_bytes: 64 << 10, fuel: None };

/// For guests that never answer.
const SHORT: Limits = Limits { deadline: Duration::from_millis(50), ..LIMITS };

fn load(bytes: &[u8]) -> Component {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Runtime::new(RuntimeConfig::default()).expect("an engine"));
    runtime.load(bytes).expect("a component")
}

fn decide(limits: Limits, component: &Component, seed: u64) -> Result<Decision, Fault> {
    let view = canned_views().into_iter().find(|(name, _)| *name == "level 0 and level 1");
    let call = Call { config: "{}".to_owned(), now: 1_700_000_000_000, seed };
    component.compaction_strategy(limits).expect("the limits").decide(&call, &view.expect("a view").1)
}

#[test]
fn fuel_ends_a_call_at_the_same_place_and_is_told() {
    let limits = Limits { fuel: Some(1_000_000), ..LIMITS };
    let component = load(guests::LOOP_IN_DECIDE);
    for _ in 0..3 {
        let fault = decide(limits, &component, 0).expect_err("an endless loop");
        assert_eq!(fault.kind, FaultKind::Fuel, "{fault}");
        assert!(fault.detail.contains("within 1000000 units of fuel"), "{fault}");
    }
    let usage = component.usage();
    assert_eq!((usage.calls, usage.faults["fuel"], usage.faulted()), (3, 3, 3));
    assert!((990_000..=1_010_000).contains(&usage.peak_fuel), "{usage:?}");
    assert_eq!(usage.total_fuel, usage.peak_fuel * 3, "three times the same");
    // No limit, or 0, is none.
    for fuel in [None, Some(0)] {
        let fault = decide(Limits { fuel, ..SHORT }, &component, 0).expect_err("an endless loop");
        assert_eq!(fault.kind, FaultKind::Deadline, "{fault}");
    }
}

#[test]
fn usage_tells_what_calls_used() {
    let component = load(mortise_plugins::COMPACTION_LEVELED);
    assert_eq!(component.usage(), Usage::default());
    for seed in 0..100 {
        decide(LIMITS, &component, seed).expect("an answer");
    }
    let usage = component.usage();
    assert_eq!((usage.calls, usage.instantiations, usage.faulted()), (100, 100, 0));
    assert!(usage.peak_memory_bytes >= 1 << 20 && usage.peak_memory_bytes.is_multiple_of(8), "{usage:?}");
    assert!(
        usage.p50_us > 0 && usage.p50_us <= usage.p99_us && usage.p99_us <= usage.longest_us,
        "{usage:?}"
    );
    assert!(usage.peak_fuel > 1_000 && usage.total_fuel >= usage.peak_fuel * 50, "{usage:?}");
    assert!(usage.bytes_in > 100 * 300 && usage.bytes_out >= 100 * 24, "{usage:?}");
    let hog = load(guests::MEMORY_HOG);
    decide(LIMITS, &hog, 0).expect_err("it wants too much");
    decide(LIMITS, &load(guests::REFUSE), 0).expect_err("it refuses");
    hog.count_illegal();
    let usage = hog.usage();
    assert!(usage.peak_memory_bytes > (16 << 20) - (1 << 20) - 65_536, "{usage:?}");
    assert_eq!((usage.faults["memory"], usage.faults["illegal"]), (1, 1));
}
