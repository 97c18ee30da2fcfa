//! Metrics of plugins in service: the calls that volumes make of them, and since when they serve.
//!
//! Handles are made when a plugin begins to serve a volume and kept for as long as it does, so that a call
//! costs two atomic additions and no look-up. Faults are rare and are looked up.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use mortise_plugin_runtime::{FaultKind, ILLEGAL, World};

use super::{CALL_SECONDS, CALLS, FAULTS, IN_USE, LAST_SWAP, SWAPS, labelled, outcome_counter};
use super::{QUARANTINES, WATCH_ROLLBACKS, volume_labels};
use crate::NATIVE_STRATEGY;

/// Kinds of faults: the runtime's, but for `busy`, which is nobody's fault, and the host's own verdict.
const FAULT_KINDS: [&str; 8] = [
    FaultKind::Trap.as_str(),
    FaultKind::Deadline.as_str(),
    FaultKind::Fuel.as_str(),
    FaultKind::Memory.as_str(),
    FaultKind::AnswerTooLarge.as_str(),
    FaultKind::InvalidAnswer.as_str(),
    FaultKind::Refused.as_str(),
    ILLEGAL,
];

type Labels = [(&'static str, String); 4];

fn labels(volume: &str, world: World, plugin: &str, version: &str) -> Labels {
    let (plugin, version) = labelled(plugin, version);
    [
        ("volume", volume.to_owned()),
        ("world", world.to_string()),
        ("plugin", plugin.to_owned()),
        ("version", version.to_owned()),
    ]
}

/// Metrics of the calls of one plugin in service of one volume.
pub(crate) struct ServiceMetrics {
    labels: Labels,
    ok: Counter,
    duration: Histogram,
}

impl ServiceMetrics {
    pub(crate) fn new(volume: &str, world: World, plugin: &str, version: &str) -> Self {
        let labels = labels(volume, world, plugin, version);
        if plugin != NATIVE_STRATEGY {
            // An increase needs a sample before it, so rare events are shown as 0 until they happen.
            for kind in FAULT_KINDS {
                drop(outcome_counter(FAULTS, &labels, "kind", kind));
            }
            if world == World::CompactionStrategy {
                let labels = volume_labels(volume, plugin, version);
                drop(counter!(QUARANTINES, &labels));
                drop(counter!(WATCH_ROLLBACKS, &labels));
            }
        }
        Self {
            ok: outcome_counter(CALLS, &labels, "outcome", "ok"),
            duration: histogram!(CALL_SECONDS, &labels),
            labels,
        }
    }

    /// A call ended.
    pub(crate) fn call(&self, outcome: &'static str, took: Duration) {
        self.duration.record(took);
        if outcome == "ok" {
            self.ok.increment(1);
        } else {
            outcome_counter(CALLS, &self.labels, "outcome", outcome).increment(1);
        }
    }

    /// The plugin faulted; rare, so the counter is looked up.
    pub(crate) fn fault(&self, kind: &'static str) {
        outcome_counter(FAULTS, &self.labels, "kind", kind).increment(1);
    }
}

/// Metrics about since when one plugin serves one volume.
pub(crate) struct TenureMetrics {
    in_use: Gauge,
    swaps: Counter,
    last_swap: Gauge,
}

impl TenureMetrics {
    pub(crate) fn new(volume: &str, world: World, plugin: &str, version: &str) -> Self {
        let labels = labels(volume, world, plugin, version);
        Self {
            in_use: gauge!(IN_USE, &labels),
            swaps: counter!(SWAPS, &labels),
            last_swap: gauge!(LAST_SWAP, &labels),
        }
    }

    /// It serves from now on, because the volume was opened.
    pub(crate) fn begins(&self, unix_ms: u64) {
        self.in_use.set(1.0);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        self.last_swap.set((unix_ms / 1000) as f64);
    }

    /// It serves from now on, in the place of another one.
    pub(crate) fn takes_over(&self, unix_ms: u64) {
        self.begins(unix_ms);
        self.swaps.increment(1);
    }

    /// It does not serve any more.
    pub(crate) fn ends(&self) {
        self.in_use.set(0.0);
    }
}
