//! How limits are shown: what a call may use, and beside it what calls did use.
//!
//! Functions of the daemon's answers. What was used counts from when the component was loaded, over all
//! volumes, and says nothing for a component that is not in memory or was never called. Sizes are bytes and
//! times microseconds or milliseconds, as the names of the JSON's fields say.

use serde_json::{Value, json};

use super::output::{size, table as laid_out};
use crate::pb::mortise::v1 as pb;

/// A row for each limit of each version.
pub(super) fn table(plugins: &[pb::Plugin]) -> String {
    let rows = plugins.iter().flat_map(|plugin| {
        let limits = plugin.limits.unwrap_or_default();
        let used = |show: fn(&pb::Usage) -> String| match &plugin.usage {
            Some(usage) if usage.calls > 0 => show(usage),
            _ => "-".to_owned(),
        };
        let fuel = limits.fuel.filter(|fuel| *fuel > 0).map_or("none".to_owned(), |fuel| fuel.to_string());
        [
            ("memory", size(limits.memory_bytes), used(|usage| size(usage.peak_memory_bytes))),
            (
                "deadline",
                format!("{} ms", limits.deadline_ms),
                used(|usage| {
                    format!("{} longest, {} p99", milliseconds(usage.longest_us), milliseconds(usage.p99_us))
                }),
            ),
            ("fuel", fuel, used(|usage| usage.peak_fuel.to_string())),
            ("answer", size(limits.answer_bytes), used(|usage| size(usage.peak_answer_bytes))),
            ("calls", "-".to_owned(), used(calls)),
        ]
        .map(|(limit, allowed, used)| vec![plugin.version.clone(), limit.to_owned(), allowed, used])
    });
    laid_out(&["VERSION", "LIMIT", "ALLOWED", "MOST USED"], &[2], rows.collect())
}

fn calls(usage: &pb::Usage) -> String {
    let mut faults: Vec<_> = usage.faults.iter().filter(|(_, count)| **count > 0).collect();
    faults.sort_unstable();
    let faults: Vec<_> = faults.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let faults = if faults.is_empty() { "no faults".to_owned() } else { faults.join(", ") };
    format!("{} since it was loaded, {faults}", usage.calls)
}

/// Microseconds, as milliseconds.
pub(super) fn milliseconds(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

pub(super) fn limits_json(limits: pb::Limits) -> Value {
    json!({
        "memory_bytes": limits.memory_bytes,
        "deadline_ms": limits.deadline_ms,
        "answer_bytes": limits.answer_bytes,
        "fuel": limits.fuel.filter(|fuel| *fuel > 0),
    })
}

pub(super) fn usage_json(usage: &pb::Usage) -> Value {
    json!({
        "calls": usage.calls,
        "instantiations": usage.instantiations,
        "peak_memory_bytes": usage.peak_memory_bytes,
        "peak_fuel": usage.peak_fuel,
        "total_fuel": usage.total_fuel,
        "p50_us": usage.p50_us,
        "p99_us": usage.p99_us,
        "longest_us": usage.longest_us,
        "bytes_in": usage.bytes_in,
        "bytes_out": usage.bytes_out,
        "peak_answer_bytes": usage.peak_answer_bytes,
        "faults": usage.faults,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_stands_beside_what_is_allowed() {
        let limits =
            pb::Limits { memory_bytes: 16 << 20, deadline_ms: 100, answer_bytes: 65_536, fuel: Some(5_000) };
        let usage = pb::Usage {
            calls: 7,
            peak_memory_bytes: 1 << 20,
            p99_us: 1_234,
            longest_us: 20_001,
            peak_fuel: 4_321,
            peak_answer_bytes: 12,
            faults: [("trap".to_owned(), 2), ("fuel".to_owned(), 1)].into(),
            ..Default::default()
        };
        let plugin = pb::Plugin {
            version: "1.0.0".into(),
            limits: Some(limits),
            usage: Some(usage.clone()),
            ..Default::default()
        };
        let expected = [
            "VERSION  LIMIT      ALLOWED  MOST USED",
            "1.0.0    memory    16.0 MiB  1.0 MiB",
            "1.0.0    deadline    100 ms  20.001 ms longest, 1.234 ms p99",
            "1.0.0    fuel          5000  4321",
            "1.0.0    answer    64.0 KiB  12 B",
            "1.0.0    calls            -  7 since it was loaded, 1 fuel, 2 trap",
        ];
        assert_eq!(table(&[plugin]).lines().collect::<Vec<_>>(), expected);
        let told = usage_json(&usage);
        assert_eq!(
            (&told["p99_us"], &told["longest_us"], &told["p50_us"]),
            (&1_234.into(), &20_001.into(), &0.into())
        );
        assert_eq!(limits_json(limits)["fuel"], 5_000);
    }

    #[test]
    fn what_is_not_in_memory_used_nothing_that_is_known() {
        let plugin = pb::Plugin { version: "1.0.0".into(), ..Default::default() };
        let text = table(&[plugin]);
        assert!(text.contains("none  -") && !text.contains("0.000 ms"), "{text}");
        assert!(limits_json(pb::Limits { fuel: Some(0), ..Default::default() })["fuel"].is_null());
    }
}
