//! `mortise bench` measures any server that speaks etcd's protocol, and says so in JSON.
//!
//! The figures are not judged, only that they are there, whole and in order: benchmarks compare what this
//! command writes for Mortise with what it writes for etcd.

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Etcd, Mortise, mortise_cli};
use serde_json::Value;
use tempfile::TempDir;

const TOTAL: u64 = 300;
const WARM_UP: u64 = 20;

/// Runs `bench put` with few requests and judges the file that it leaves.
async fn measure(endpoint: &str) -> Result<()> {
    let mut client = Client::connect(endpoint).await?;
    let before = client.revision().await.ok().context("a revision")?;
    let folder = TempDir::new()?;
    let path = folder.path().join("report.json");
    let (total, warm_up) = (TOTAL.to_string(), WARM_UP.to_string());
    let load = ["--total", &total, "--warm-up", &warm_up, "--clients", "8", "--connections", "3"];
    let file = ["--json", &*path.to_string_lossy()];
    let finished = mortise_cli(endpoint, &[&["bench", "put"], &load[..], &file[..]].concat())?;
    ensure!(finished.success(), "{finished:?}");
    for quantile in ["p50", "p90", "p99", "p99.9", "max"] {
        ensure!(finished.stdout.contains(quantile), "the table lacks {quantile}: {}", finished.stdout);
    }

    let report: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    for (field, expected) in [
        ("call", "put".into()),
        ("total", TOTAL.into()),
        ("clients", 8.into()),
        ("connections", 3.into()),
        ("errors", 0.into()),
        ("first_error", Value::Null),
    ] {
        ensure!(report[field] == expected, "{field} should be {expected}: {report}");
    }
    let number = |value: &Value| value.as_f64().with_context(|| format!("{value} is no number: {report}"));
    let latencies = ["p50", "p90", "p99", "p999", "max"]
        .map(|quantile| number(&report["latency_us"][quantile]))
        .into_iter()
        .collect::<Result<Vec<f64>>>()?;
    ensure!(latencies[0] > 0.0 && latencies.is_sorted(), "{latencies:?}");
    ensure!(number(&report["throughput"])? > 0.0 && number(&report["seconds"])? > 0.0, "{report}");

    // Every request was a write that happened, the unmeasured ones too.
    let after = client.revision().await.ok().context("a revision")?;
    let written = u64::try_from(after - before)?;
    ensure!(written == TOTAL + WARM_UP, "{written} writes happened, of {TOTAL} and {WARM_UP} sent first");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mortise_is_measured() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    measure(&mortise.endpoint()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_measured_by_the_same_command() -> Result<()> {
    let Some(etcd) = Etcd::start()? else { return Ok(()) };
    measure(&etcd.endpoint()).await
}
