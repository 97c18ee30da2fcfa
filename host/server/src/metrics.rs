//! The Prometheus recorder, its buckets, and the gauges that are taken when someone looks.
//!
//! Counters and histograms are moved where things happen, all over the layers below. Gauges about volumes
//! (sizes, shape, rates) would be stale most of the time; [`refresh`] takes them from the reports of the
//! mechanisms at every scrape instead.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use mortise_kernel::node::Node;
use mortise_mechanisms::{System, VolumeReport};
use parking_lot::Mutex;

/// Buckets of durations, in seconds: from a cached read to a stalled disk.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    30.0,
];
/// Buckets of counts, such as entries in a batch.
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// Buckets of sizes in bytes.
const BYTES: [f64; 8] = [256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 16_777_216.0];

/// Samples of histograms are folded into buckets this often.
const UPKEEP: Duration = Duration::from_secs(5);

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The process-wide recorder, installed at the first call.
///
/// # Errors
/// When another recorder was installed before.
pub fn recorder() -> anyhow::Result<PrometheusHandle> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
        .set_buckets(&COUNTS)?
        .install_recorder()?;
    describe();
    mortise_mechanisms::describe_metrics();
    Ok(RECORDER.get_or_init(|| handle).clone())
}

/// Folds samples into buckets until dropped, so that an unscraped daemon does not collect them for ever.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

/// Volumes that the last scrape saw, with the number of their levels.
pub type Seen = Mutex<BTreeMap<String, usize>>;

/// Takes the gauges about volumes. Those of volumes that are no longer open fall to zero; what is no longer
/// in the catalog is cut out of the page, see [`crate::series`].
pub fn refresh(node: &Node, system: &System, seen: &Seen) {
    if let Ok(free) = node.free_disk_bytes() {
        gauge!("mortise_disk_free_bytes").set(float(free));
    }
    let volumes = system.list_volumes();
    gauge!("mortise_volumes").set(float(volumes.len() as u64));
    let mut present = BTreeMap::new();
    for volume in volumes {
        if let Ok(report) = system.volume_report(&volume.name) {
            set(&volume.name, &values(&report));
            let levels: Vec<_> =
                report.shape.levels.iter().map(|level| (level.bytes(), level.runs.len())).collect();
            set_levels(&volume.name, &levels);
            present.insert(volume.name, levels.len());
        }
    }
    let mut seen = seen.lock();
    for (gone, levels) in seen.iter().filter(|(name, _)| !present.contains_key(*name)) {
        set(gone, &[0.0; GAUGES.len()]);
        set_levels(gone, &vec![(0, 0); *levels]);
    }
    *seen = present;
}

/// Shows the number of calls under way.
pub fn set_in_flight(calls: u64) {
    gauge!("mortise_grpc_in_flight").set(float(calls));
}

/// Gauges of every volume, with what they tell, in the order of [`values`].
const GAUGES: [(&str, Unit, &str); 10] = [
    ("mortise_volume_revision", Unit::Count, "Current revision"),
    ("mortise_volume_compact_revision", Unit::Count, "Oldest readable revision, 0 when never compacted"),
    ("mortise_volume_raft_index", Unit::Count, "Last index in the raft log"),
    ("mortise_volume_raft_applied_index", Unit::Count, "Last index applied to the store"),
    ("mortise_volume_flushed_index", Unit::Count, "Last index whose effects are in tables"),
    ("mortise_volume_disk_bytes", Unit::Bytes, "Bytes in tables"),
    ("mortise_volume_memtable_bytes", Unit::Bytes, "Bytes in memtables"),
    ("mortise_volume_sealed_memtables", Unit::Count, "Sealed memtables that wait for their flush"),
    ("mortise_volume_tables", Unit::Count, "Tables on disk"),
    ("mortise_volume_write_rate_bytes_per_second", Unit::Bytes, "Bytes written into memtables"),
];

fn values(report: &VolumeReport) -> [f64; GAUGES.len()] {
    let status = &report.status;
    [
        signed(status.revision),
        signed(status.compact_revision),
        float(status.raft_index),
        float(status.raft_applied_index),
        float(status.flushed_index),
        float(status.disk_bytes),
        float(status.memtable_bytes),
        float(report.shape.sealed_memtables as u64),
        float(report.shape.tables() as u64),
        report.write_rate,
    ]
}

fn set(volume: &str, values: &[f64; GAUGES.len()]) {
    for ((name, _, _), value) in GAUGES.iter().zip(values) {
        gauge!(*name, "volume" => volume.to_owned()).set(*value);
    }
}

/// Shows bytes and runs, level by level.
fn set_levels(volume: &str, levels: &[(u64, usize)]) {
    for (number, (bytes, runs)) in levels.iter().enumerate() {
        let labels = [("volume", volume.to_owned()), ("level", number.to_string())];
        gauge!("mortise_volume_level_bytes", &labels).set(float(*bytes));
        gauge!("mortise_volume_level_runs", &labels).set(float(*runs as u64));
    }
}

/// Gauges are floating-point; above 2^53 they round, which no one reads off a graph.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(value: u64) -> f64 {
    value as f64
}

fn signed(value: i64) -> f64 {
    float(u64::try_from(value).unwrap_or(0))
}

fn describe() {
    describe_counter!("mortise_grpc_requests_total", Unit::Count, "Calls answered, by method and gRPC code");
    describe_histogram!(
        "mortise_grpc_request_seconds",
        Unit::Seconds,
        "Time from a call's acceptance to the head of its answer, by method"
    );
    describe_gauge!("mortise_grpc_in_flight", Unit::Count, "Calls accepted and not yet answered");
    describe_gauge!("mortise_disk_free_bytes", Unit::Bytes, "Free bytes on the disk of the data directory");
    describe_gauge!("mortise_volumes", Unit::Count, "Volumes in the catalog");
    describe_counter!(
        crate::api::UPLOADS_REFUSED,
        Unit::Count,
        "Components that were not received: no place was free, they were too slow, or they broke off"
    );
    describe_gauge!("mortise_plugin_versions", Unit::Count, "Versions of a plugin, by their stage");
    describe_gauge!("mortise_build_info", Unit::Count, "Always 1; the version is in the label");
    describe_gauge!("mortise_volume_level_bytes", Unit::Bytes, "Bytes in tables, by level of the tree");
    describe_gauge!("mortise_volume_level_runs", Unit::Count, "Runs, by level of the tree");
    for (name, unit, text) in GAUGES {
        describe_gauge!(name, unit, text);
    }
    describe_lower_layers();
    gauge!("mortise_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Layers that report without describing; the mechanisms describe their own.
fn describe_lower_layers() {
    describe_histogram!(
        "mortise_log_flush_seconds",
        Unit::Seconds,
        "Time to make a batch of the log durable"
    );
    describe_histogram!("mortise_log_batch_entries", Unit::Count, "Entries that one flush of the log served");
    describe_histogram!("mortise_log_batch_bytes", Unit::Bytes, "Bytes that one flush of the log wrote");
    describe_gauge!("mortise_log_queue_depth", Unit::Count, "Appends that wait for the log");
    describe_counter!(
        "mortise_volume_slowed_writes_total",
        Unit::Count,
        "Writes that back-pressure held back"
    );
    describe_histogram!(
        "mortise_write_delay_seconds",
        Unit::Seconds,
        "Time that back-pressure held a batch of writes"
    );
    describe_counter!("mortise_rebuilds_total", Unit::Count, "Rebuilds that ended, by outcome");
    describe_counter!("mortise_rebuild_slowdowns_total", Unit::Count, "Times that a rebuild slowed writers");
    describe_histogram!("mortise_rebuild_switch_seconds", Unit::Seconds, "Time that a switch held writes");
}
