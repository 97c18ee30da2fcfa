//! What the calls of a component used: the figures that an operator holds against the limits.
//!
//! A [`Usage`] covers the time since the component was loaded, and all volumes that it serves. It also feeds
//! the metrics, which carry a plugin's name and version and so begin when the component was
//! [named](crate::Component::name_for_metrics).

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use hdrhistogram::Histogram as Durations;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::FaultKind;

const INSTANTIATIONS: &str = "mortise_plugin_instantiations_total";
const RUN_SECONDS: &str = "mortise_plugin_run_duration_seconds";
const FUEL: &str = "mortise_plugin_fuel_total";
const BYTES_IN: &str = "mortise_plugin_in_bytes_total";
const BYTES_OUT: &str = "mortise_plugin_out_bytes_total";
const PEAK_MEMORY: &str = "mortise_plugin_peak_memory_bytes";
const RUN_FAULTS: &str = "mortise_plugin_run_faults_total";

/// Name under which answers that are well-typed and illegal are counted, beside the names of [`FaultKind`].
pub const ILLEGAL: &str = "illegal";

/// Durations are kept with two significant digits, in microseconds, up to an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// What the calls of one component used since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Calls that ended, faults included.
    pub calls: u64,
    /// Instances made: one for each call, except for a format, whose instances serve many.
    pub instantiations: u64,
    /// Bytes of memories and tables of the call that had most.
    pub peak_memory_bytes: u64,
    /// Fuel of the call that burned most; about one unit for each instruction.
    pub peak_fuel: u64,
    /// Fuel of all calls together.
    pub total_fuel: u64,
    /// Microseconds that half of the calls did not exceed, instantiation included, waiting not.
    pub p50_us: u64,
    /// Microseconds that 99 of 100 calls did not exceed.
    pub p99_us: u64,
    /// Microseconds of the longest call.
    pub longest_us: u64,
    /// Bytes handed to the plugin by all calls together.
    pub bytes_in: u64,
    /// Bytes of all answers together, refusals included.
    pub bytes_out: u64,
    /// Bytes of the largest answer.
    pub peak_answer_bytes: u64,
    /// Faults by kind, the names being those of [`FaultKind::as_str`] and [`ILLEGAL`]; no row means none.
    pub faults: BTreeMap<String, u64>,
}

impl Usage {
    /// Faults of all kinds together.
    #[must_use]
    pub fn faulted(&self) -> u64 {
        self.faults.values().sum()
    }
}

/// What one call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallUsage {
    /// Bytes of memories and tables at the end; they never shrink.
    pub memory_bytes: u64,
    /// Fuel burned.
    pub fuel: u64,
    /// Time from before instantiation until after the call.
    pub took: Duration,
    /// Bytes handed to the plugin.
    pub bytes_in: u64,
    /// Bytes of its answer.
    pub bytes_out: u64,
}

/// Gathers what calls used.
pub(crate) struct Meter {
    sums: Mutex<Sums>,
    shown: OnceLock<Shown>,
}

struct Sums {
    usage: Usage,
    durations: Durations<u32>,
    faults: BTreeMap<&'static str, u64>,
}

/// Handles of the metrics, made once.
struct Shown {
    labels: [(&'static str, String); 2],
    instantiations: Counter,
    duration: Histogram,
    fuel: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    peak_memory: Gauge,
}

impl Meter {
    pub(crate) fn new() -> Self {
        let durations =
            Durations::new_with_max(LONGEST_MICROS, 2).expect("the bounds of the histogram are right");
        let sums = Sums { usage: Usage::default(), durations, faults: BTreeMap::new() };
        Self { sums: Mutex::new(sums), shown: OnceLock::new() }
    }

    /// From now on the metrics carry this name and version; the first caller decides.
    pub(crate) fn name(&self, plugin: &str, version: &str) {
        self.shown.get_or_init(|| Shown::new(plugin, version));
    }

    /// An instance is made.
    pub(crate) fn instantiated(&self) {
        self.sums.lock().usage.instantiations += 1;
        if let Some(shown) = self.shown.get() {
            shown.instantiations.increment(1);
        }
    }

    /// A call ended.
    pub(crate) fn record(&self, call: &CallUsage, fault: Option<FaultKind>) {
        let micros = u64::try_from(call.took.as_micros()).unwrap_or(u64::MAX);
        let mut sums = self.sums.lock();
        let usage = &mut sums.usage;
        usage.calls += 1;
        usage.peak_memory_bytes = usage.peak_memory_bytes.max(call.memory_bytes);
        usage.peak_fuel = usage.peak_fuel.max(call.fuel);
        usage.total_fuel = usage.total_fuel.saturating_add(call.fuel);
        usage.longest_us = usage.longest_us.max(micros);
        usage.bytes_in = usage.bytes_in.saturating_add(call.bytes_in);
        usage.bytes_out = usage.bytes_out.saturating_add(call.bytes_out);
        usage.peak_answer_bytes = usage.peak_answer_bytes.max(call.bytes_out);
        let peak = usage.peak_memory_bytes;
        sums.durations.saturating_record(micros);
        drop(sums);
        if let Some(shown) = self.shown.get() {
            shown.record(call, peak);
        }
        if let Some(kind) = fault {
            self.fault(kind.as_str());
        }
    }

    /// Counts a fault of a call that was recorded already, or of its answer.
    pub(crate) fn fault(&self, kind: &'static str) {
        *self.sums.lock().faults.entry(kind).or_default() += 1;
        if let Some(shown) = self.shown.get() {
            shown.fault(kind);
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        let sums = self.sums.lock();
        Usage {
            p50_us: sums.durations.value_at_quantile(0.5).min(sums.usage.longest_us),
            p99_us: sums.durations.value_at_quantile(0.99).min(sums.usage.longest_us),
            faults: sums.faults.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            ..sums.usage.clone()
        }
    }
}

impl Shown {
    fn new(plugin: &str, version: &str) -> Self {
        let labels = [("plugin", plugin.to_owned()), ("version", version.to_owned())];
        Self {
            instantiations: counter!(INSTANTIATIONS, &labels),
            duration: histogram!(RUN_SECONDS, &labels),
            fuel: counter!(FUEL, &labels),
            bytes_in: counter!(BYTES_IN, &labels),
            bytes_out: counter!(BYTES_OUT, &labels),
            peak_memory: gauge!(PEAK_MEMORY, &labels),
            labels,
        }
    }

    fn record(&self, call: &CallUsage, peak_memory: u64) {
        self.duration.record(call.took);
        self.fuel.increment(call.fuel);
        self.bytes_in.increment(call.bytes_in);
        self.bytes_out.increment(call.bytes_out);
        #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
        self.peak_memory.set(peak_memory as f64);
    }

    /// Rare, so the counter is looked up.
    fn fault(&self, kind: &'static str) {
        let [plugin, version] = self.labels.clone();
        counter!(RUN_FAULTS, &[plugin, version, ("kind", kind.to_owned())]).increment(1);
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Meter").field(&self.sums.lock().usage).finish()
    }
}

/// Describes this crate's metrics to the recorder that is installed.
pub fn describe_metrics() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!(INSTANTIATIONS, Unit::Count, "Instances of components made");
    describe_histogram!(
        RUN_SECONDS,
        Unit::Seconds,
        "Time that plugins ran, from instantiation to the answer, waiting not included"
    );
    describe_counter!(FUEL, Unit::Count, "Fuel that plugins burned, about one unit for each instruction");
    describe_counter!(BYTES_IN, Unit::Bytes, "Bytes handed to plugins");
    describe_counter!(BYTES_OUT, Unit::Bytes, "Bytes that plugins answered");
    describe_gauge!(PEAK_MEMORY, Unit::Bytes, "Memory of the call of a plugin that had most");
    describe_counter!(
        RUN_FAULTS,
        Unit::Count,
        "Faults of plugins by kind, whatever they ran for: in service, in rehearsal or beside another"
    );
    describe_counter!("mortise_plugin_compilations_total", Unit::Count, "Components compiled");
    describe_counter!(
        "mortise_plugin_compile_cache_hits_total",
        Unit::Count,
        "Components taken from the cache of compiled ones"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(micros: u64, memory_bytes: u64, fuel: u64) -> CallUsage {
        let took = Duration::from_micros(micros);
        CallUsage { memory_bytes, fuel, took, bytes_in: 10, bytes_out: 3 }
    }

    #[test]
    fn peaks_sums_and_quantiles_are_those_of_the_calls() {
        let meter = Meter::new();
        for micros in 1..=1_000 {
            meter.instantiated();
            meter.record(&call(micros, micros * 7, 100), None);
        }
        meter.record(&call(50_000, 1, 9_000), Some(FaultKind::Trap));
        meter.fault(ILLEGAL);
        let usage = meter.usage();
        assert_eq!((usage.calls, usage.instantiations), (1_001, 1_000));
        assert_eq!((usage.peak_memory_bytes, usage.peak_fuel, usage.total_fuel), (7_000, 9_000, 109_000));
        assert_eq!((usage.bytes_in, usage.bytes_out, usage.peak_answer_bytes), (10_010, 3_003, 3));
        assert_eq!(usage.longest_us, 50_000);
        assert!((495..=510).contains(&usage.p50_us), "{}", usage.p50_us);
        assert!((985..=1_010).contains(&usage.p99_us), "{}", usage.p99_us);
        assert_eq!(usage.faults, BTreeMap::from([("trap".to_owned(), 1), ("illegal".to_owned(), 1)]));
        assert_eq!(usage.faulted(), 2);
    }

    #[test]
    fn one_slow_call_in_a_hundred_is_the_longest_and_two_are_the_99th_percentile() {
        let figures = |slow: usize| {
            let meter = Meter::new();
            for number in 0..100 {
                let micros = if number < slow { 40_000 } else { 30 };
                meter.record(&call(micros, 1, 1), None);
            }
            let Usage { p50_us, p99_us, longest_us, .. } = meter.usage();
            (p50_us, p99_us, longest_us)
        };
        assert_eq!(figures(0), (30, 30, 30));
        assert_eq!(figures(1), (30, 30, 40_000));
        assert_eq!(figures(2), (30, 40_000, 40_000), "no more than the longest, whatever the bucket");
    }

    #[test]
    fn figures_survive_a_trip_through_json() {
        let meter = Meter::new();
        meter.record(&call(17, 65_536, 1_234), Some(FaultKind::Fuel));
        let usage = meter.usage();
        let text = serde_json::to_string(&usage).unwrap();
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), usage);
        assert!(text.contains("\"fuel\":1"), "{text}");
    }
}
