//! Metrics of the mechanisms. Handles are made once per volume or activation, not looked up per event.
//!
//! Base units are seconds and bytes; `volume` is the name of a volume. Calls of what serves are in `service`.
//! A plugin's name and version become labels for the first thousand versions in the life of a process and are
//! one label together afterwards: a recorder never forgets a series, and anybody who may add plugins could
//! make any number of them.
//!
//! Metrics only report. Nothing is decided by them.

mod service;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use mortise_kernel::store::Step;
use parking_lot::Mutex;

pub(crate) use service::{ServiceMetrics, TenureMetrics};

use crate::NATIVE_STRATEGY;

const CALLS: &str = "mortise_plugin_calls_total";
const CALL_SECONDS: &str = "mortise_plugin_call_duration_seconds";
const FAULTS: &str = "mortise_plugin_faults_total";
const IN_USE: &str = "mortise_plugin_version_in_use";
const SWAPS: &str = "mortise_plugin_swaps_total";
const LAST_SWAP: &str = "mortise_plugin_last_swap_timestamp_seconds";
const QUARANTINES: &str = "mortise_plugin_quarantines_total";
const WATCH_ROLLBACKS: &str = "mortise_plugin_watch_rollbacks_total";
const SHADOW_VIEWS: &str = "mortise_plugin_shadow_views_total";
const SHADOW_SECONDS: &str = "mortise_plugin_shadow_duration_seconds";
const STEPS: &str = "mortise_compactions_total";
const STEP_SECONDS: &str = "mortise_compaction_duration_seconds";
const READ_BYTES: &str = "mortise_compaction_read_bytes_total";
const WRITTEN_BYTES: &str = "mortise_compaction_written_bytes_total";
const AMPLIFICATION: &str = "mortise_write_amplification_ratio";
const GUARD_RAIL: &str = "mortise_compaction_guard_rail_total";

/// Refusals that the history does not list, because there were too many.
pub(crate) const UNWRITTEN_REFUSALS: &str = "mortise_history_unwritten_refusals_total";

/// Describes the metrics of this crate and of the plugin runtime to the recorder that is installed.
pub fn describe_metrics() {
    mortise_plugin_runtime::describe_metrics();
    describe_jobs();
    describe_counter!(
        CALLS,
        Unit::Count,
        "Calls of plugins in service by outcome (ok, busy, or the kind of the fault)"
    );
    describe_histogram!(
        CALL_SECONDS,
        Unit::Seconds,
        "Duration of calls of plugins in service, waiting for a thread or an instance included"
    );
    describe_counter!(FAULTS, Unit::Count, "Faults of plugins in service by kind");
    describe_gauge!(
        IN_USE,
        Unit::Count,
        "1 for the plugin version that serves a volume, 0 for those that did"
    );
    describe_counter!(SWAPS, Unit::Count, "Times that a plugin version took over a volume from another");
    describe_gauge!(
        LAST_SWAP,
        Unit::Seconds,
        "When a plugin version was last put into service of a volume by this process, Unix time"
    );
    describe_counter!(QUARANTINES, Unit::Count, "Plugin versions put into quarantine");
    describe_counter!(
        WATCH_ROLLBACKS,
        Unit::Count,
        "Plugin versions that were rolled back because they faulted in their watch period"
    );
    describe_counter!(
        SHADOW_VIEWS,
        Unit::Count,
        "Views of shadows by outcome (agreed, differed, unmatched, skipped, or the kind of the fault)"
    );
    describe_histogram!(
        SHADOW_SECONDS,
        Unit::Seconds,
        "Duration of the calls of shadows, waiting for their thread included"
    );
    describe_counter!(STEPS, Unit::Count, "Compaction steps by kind, by who wanted them, and by outcome");
    describe_histogram!(STEP_SECONDS, Unit::Seconds, "Duration of compaction steps");
    describe_counter!(READ_BYTES, Unit::Bytes, "Bytes of the tables that compaction steps consumed");
    describe_counter!(WRITTEN_BYTES, Unit::Bytes, "Bytes of the tables that compaction steps wrote");
    describe_gauge!(
        AMPLIFICATION,
        Unit::Count,
        "Bytes written to tables per byte that came into the store, what a start applies again included"
    );
    describe_counter!(
        GUARD_RAIL,
        Unit::Count,
        "Times that level 0 grew over the guard rail under an idle strategy"
    );
}

/// Describes the metrics of jobs on volumes, and of what the history leaves out.
fn describe_jobs() {
    describe_counter!(
        "mortise_rebuild_jobs_total",
        Unit::Count,
        "Jobs that rebuilt or converted a volume, by kind and outcome"
    );
    describe_gauge!("mortise_rebuild_running", Unit::Count, "1 while a job works on a volume");
    describe_gauge!("mortise_rebuild_rows", Unit::Count, "Rows that the running job has copied");
    describe_gauge!("mortise_rebuild_bytes", Unit::Bytes, "Bytes that the running job has copied");
    describe_gauge!("mortise_rebuild_estimated_bytes", Unit::Bytes, "Bytes that it has to copy, about");
    describe_gauge!(
        "mortise_rebuild_lag_entries",
        Unit::Count,
        "Log entries that the new generation of the running job lacks"
    );
    describe_gauge!(
        "mortise_rebuild_remaining_seconds",
        Unit::Seconds,
        "Time left in the phase of the running job, about; 0 while nothing can be said"
    );
    describe_gauge!(
        "mortise_rebuild_phase",
        Unit::Count,
        "1 for the phase in which the running job stands, 0 for the others"
    );
    describe_counter!(
        UNWRITTEN_REFUSALS,
        Unit::Count,
        "Refused attempts that the history does not list, because there were too many"
    );
}

/// How plugins beyond the first [`SHOWN_VERSIONS`] are labelled.
pub const OTHER_PLUGINS: &str = "others";

/// Versions that get labels of their own in the life of a process; each costs some kilobytes for good.
const SHOWN_VERSIONS: usize = 1000;

/// The labels of a version: its name and version, unless so many have had labels that it is one of the
/// [`OTHER_PLUGINS`].
pub(crate) fn labelled<'a>(plugin: &'a str, version: &'a str) -> (&'a str, &'a str) {
    static SHOWN: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());
    admitted(&mut SHOWN.lock(), SHOWN_VERSIONS, plugin, version)
}

fn admitted<'a>(
    shown: &mut BTreeSet<(String, String)>,
    most: usize,
    plugin: &'a str,
    version: &'a str,
) -> (&'a str, &'a str) {
    let own = (plugin.to_owned(), version.to_owned());
    if plugin == NATIVE_STRATEGY || shown.contains(&own) {
        return (plugin, version);
    }
    if shown.len() >= most {
        return (OTHER_PLUGINS, "");
    }
    shown.insert(own);
    (plugin, version)
}

/// Counts a version put into quarantine.
pub(crate) fn quarantined(volume: &str, plugin: &str, version: &str) {
    counter!(QUARANTINES, &volume_labels(volume, plugin, version)).increment(1);
}

/// Counts a version that was taken back while it was watched.
pub(crate) fn taken_back(volume: &str, plugin: &str, version: &str) {
    counter!(WATCH_ROLLBACKS, &volume_labels(volume, plugin, version)).increment(1);
}

fn volume_labels(volume: &str, plugin: &str, version: &str) -> [(&'static str, String); 3] {
    let (plugin, version) = labelled(plugin, version);
    [("volume", volume.to_owned()), ("plugin", plugin.to_owned()), ("version", version.to_owned())]
}

/// Name of a step's kind for logs and labels.
pub(crate) fn step_name(step: &Step) -> &'static str {
    match step {
        Step::Partial { .. } => "partial",
        Step::Merge { .. } => "merge",
        Step::Move { .. } => "move",
        Step::Major { .. } => "major",
    }
}

fn outcome_counter(
    name: &'static str,
    labels: &[(&'static str, String)],
    key: &'static str,
    value: &'static str,
) -> Counter {
    let mut labels = labels.to_vec();
    labels.push((key, value.to_owned()));
    counter!(name, &labels)
}

/// Metrics of one shadow of one volume: its figures are no part of those of what serves.
pub(crate) struct ShadowMetrics {
    labels: [(&'static str, String); 3],
    duration: Histogram,
}

impl ShadowMetrics {
    pub(crate) fn new(volume: &str, plugin: &str, version: &str) -> Self {
        let labels = volume_labels(volume, plugin, version);
        Self { duration: histogram!(SHADOW_SECONDS, &labels), labels }
    }

    /// A view ended so, or was skipped. Views are few, so the counter is looked up.
    pub(crate) fn compared(&self, outcome: &'static str) {
        outcome_counter(SHADOW_VIEWS, &self.labels, "outcome", outcome).increment(1);
    }

    /// A call took so long.
    pub(crate) fn took(&self, took: Duration) {
        self.duration.record(took);
    }
}

/// Kind of a step, who wanted it, and what came of it.
type StepKey = (&'static str, &'static str, &'static str);

/// Metrics of the compaction steps of one volume.
pub(crate) struct StepMetrics {
    volume: String,
    /// Made when first needed.
    steps: Mutex<HashMap<StepKey, (Counter, Histogram)>>,
    read: Counter,
    written: Counter,
    amplification: Gauge,
    guard_rail: Counter,
}

impl StepMetrics {
    pub(crate) fn new(volume: &str) -> Self {
        Self {
            steps: Mutex::default(),
            read: counter!(READ_BYTES, "volume" => volume.to_owned()),
            written: counter!(WRITTEN_BYTES, "volume" => volume.to_owned()),
            amplification: gauge!(AMPLIFICATION, "volume" => volume.to_owned()),
            guard_rail: counter!(GUARD_RAIL, "volume" => volume.to_owned()),
            volume: volume.to_owned(),
        }
    }

    pub(crate) fn step(&self, kind: &'static str, by: &'static str, outcome: &'static str, took: Duration) {
        let mut steps = self.steps.lock();
        let (count, duration) = steps.entry((kind, by, outcome)).or_insert_with(|| {
            let labels = [("volume", self.volume.clone()), ("step", kind.to_owned())];
            let duration = histogram!(STEP_SECONDS, &labels);
            let mut labels = labels.to_vec();
            labels.extend([("by", by.to_owned()), ("outcome", outcome.to_owned())]);
            (counter!(STEPS, &labels), duration)
        });
        count.increment(1);
        duration.record(took);
    }

    pub(crate) fn bytes(&self, read: u64, written: u64) {
        self.read.increment(read);
        self.written.increment(written);
    }

    pub(crate) fn write_amplification(&self, ratio: f64) {
        self.amplification.set(ratio);
    }

    pub(crate) fn guard_rail(&self) {
        self.guard_rail.increment(1);
    }
}

/// A volume that is closed is no longer in the figures.
impl Drop for StepMetrics {
    fn drop(&mut self) {
        self.amplification.set(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{OTHER_PLUGINS, admitted};
    use crate::NATIVE_STRATEGY;

    #[test]
    fn no_more_versions_than_stated_get_labels_of_their_own() {
        let mut shown = BTreeSet::new();
        assert_eq!(admitted(&mut shown, 2, "a", "1.0.0"), ("a", "1.0.0"));
        assert_eq!(admitted(&mut shown, 2, "a", "2.0.0"), ("a", "2.0.0"));
        assert_eq!(admitted(&mut shown, 2, "b", "1.0.0"), (OTHER_PLUGINS, ""));
        assert_eq!(admitted(&mut shown, 2, "a", "1.0.0"), ("a", "1.0.0"), "who has them keeps them");
        assert_eq!(admitted(&mut shown, 2, NATIVE_STRATEGY, ""), (NATIVE_STRATEGY, ""));
        assert_eq!(shown.len(), 2);
    }
}
