//! What `bench` tells: a table for people, JSON for programs.
//!
//! Both are made of the same figures. Throughput counts requests that went well; latencies are in
//! milliseconds for people and in microseconds for programs. The JSON has the settings of the load as well,
//! the seed included, so that a run can be repeated from its result.

use serde_json::{Value, json};

use super::Load;
use super::load::Measured;
use crate::cli::output;

/// Quantiles shown, with their names.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

pub(super) fn table(name: &str, load: &Load, connections: usize, measured: &Measured) -> String {
    let mut rows = vec![
        ("requests", format!("{} {name}, {} clients, {connections} connections", load.total, load.clients)),
        (
            "key, value",
            format!("{} B, {} B, {} different keys", load.key_size, load.value_size, load.key_space),
        ),
        ("time", format!("{:.2} s", measured.elapsed.as_secs_f64())),
        ("throughput", format!("{:.0} requests/s", throughput(measured))),
        ("errors", measured.errors.to_string()),
    ];
    rows.extend(QUANTILES.map(|(name, at)| (name, millis(measured.latency.value_at_quantile(at)))));
    rows.push(("max", millis(measured.latency.max())));
    output::pairs(rows)
}

pub(super) fn json(name: &str, load: &Load, connections: usize, measured: &Measured) -> Value {
    let micros = |nanos: u64| nanos as f64 / 1_000.0;
    json!({
        "call": name,
        "endpoints": load.endpoint,
        "clients": load.clients,
        "connections": connections,
        "total": load.total,
        "warm_up": load.warm_up,
        "key_size": load.key_size,
        "value_size": load.value_size,
        "key_space": load.key_space,
        "seed": load.seed,
        "seconds": measured.elapsed.as_secs_f64(),
        "throughput": throughput(measured),
        "errors": measured.errors,
        "first_error": measured.first_error,
        "latency_us": {
            "mean": measured.latency.mean() / 1_000.0,
            "p50": micros(measured.latency.value_at_quantile(0.5)),
            "p90": micros(measured.latency.value_at_quantile(0.9)),
            "p99": micros(measured.latency.value_at_quantile(0.99)),
            "p999": micros(measured.latency.value_at_quantile(0.999)),
            "max": micros(measured.latency.max()),
        },
    })
}

/// Requests that went well, per second.
fn throughput(measured: &Measured) -> f64 {
    measured.latency.len() as f64 / measured.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn millis(nanos: u64) -> String {
    format!("{:.3} ms", nanos as f64 / 1_000_000.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;

    #[test]
    fn throughput_counts_what_went_well() {
        let mut latency = Histogram::new_with_bounds(1, 1_000_000_000, 3).expect("bounds");
        latency.record_n(2_000_000, 1_000).expect("in bounds");
        let measured =
            Measured { latency, errors: 5, first_error: None, elapsed: Duration::from_millis(500) };
        assert!((throughput(&measured) - 2_000.0).abs() < 1e-6);
        assert_eq!(millis(2_000_000), "2.000 ms");
    }
}
