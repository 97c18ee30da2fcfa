//! While a plugin takes all the time that it may have, requests go on: `docs/plugins/security.md` says which.
//!
//! Nothing is timed here. A guest says in the daemon's log that it has begun, and does not end before its
//! deadline, which is a minute away. Requests have to be answered in between, each with the deadline that the
//! page states, and afterwards the guest must still be at it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{BESIDE_PLUGINS, Bench, Client, guests};
use serde_json::Value;

const END: Duration = Duration::from_secs(60);

/// Puts and gets that are made while the guest is at it.
const REQUESTS: usize = 25;

/// Adds a guest that gets as much time as there is.
fn add(bench: &Bench, name: &str, bytes: &[u8]) -> Result<()> {
    bench.add(name, bytes)?;
    bench.plugin(&["limits", name, "--deadline", "60s"]).map(drop)
}

/// Waits until a guest says that it has begun.
fn wait_begun(bench: &mut Bench) -> Result<()> {
    bench.mortise.process().wait_line("that the guest has begun", END, |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["target"] == "mortise::plugin" && line["message"] == "begun").then_some(())
    })
}

/// Writes and reads on a volume, each request with the deadline that is stated.
async fn goes_on(bench: &Bench, volume: &str) -> Result<()> {
    let mut client = Client::connect_within(&bench.mortise.endpoint(), volume, BESIDE_PLUGINS).await?;
    for number in 0..REQUESTS {
        let key = format!("/beside/{number}");
        let put = client.put(key.clone(), "value").await;
        ensure!(put.is_ok(), "put {number} on {volume}: {put:?}");
        let got = client.get(key).await;
        ensure!(got.is_ok_and(|found| found.is_some()), "get {number} on {volume}");
    }
    Ok(())
}

/// Calls of a plugin that ended so.
fn ended(bench: &Bench, plugin: &str, outcome: &str) -> Result<f64> {
    bench.metric("mortise_plugin_calls_total", &[("plugin", plugin), ("outcome", outcome)])
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_for_a_strategy_that_never_answers() -> Result<()> {
    let mut bench = Bench::start(&[])?;
    bench.works(&["volume", "create", "other"])?;
    add(&bench, "stuck", guests::TURNCOAT_OF_CHOICE)?;
    let config = r#"{"does":"loop"}"#;
    bench.works(&["plugin", "use", "stuck", "--volume", "default", "--config", config])?;
    wait_begun(&mut bench)?;
    goes_on(&bench, "default").await?;
    goes_on(&bench, "other").await?;
    // Nor does whoever puts it aside.
    ensure!(ended(&bench, "stuck", "deadline")? < 0.5, "its call ended before the requests did");
    bench.works(&["plugin", "use", "compaction-leveled", "--volume", "default"])?;
    goes_on(&bench, "default").await?;
    bench.mortise.kill()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_request_waits_for_a_format_that_dawdles() -> Result<()> {
    let mut bench = Bench::start(&[])?;
    add(&bench, "dawdles", guests::FORMAT_DAWDLES)?;
    bench.works(&["volume", "create", "slow", "--format", "dawdles"])?;
    bench.works(&["volume", "create", "coded", "--format", "format-hierarchical"])?;
    let mut client = Client::connect_volume(&bench.mortise.endpoint(), "slow").await?;
    // As large as a request may be: fuel comes by the byte.
    let large = tokio::spawn(async move { client.put("large", "x".repeat(1_400_000)).await });
    wait_begun(&mut bench)?;
    for volume in ["default", "coded", "slow"] {
        goes_on(&bench, volume).await.with_context(|| format!("on {volume}"))?;
    }
    ensure!(!large.is_finished(), "its call ended before the requests did");
    for outcome in ["deadline", "fuel"] {
        ensure!(ended(&bench, "dawdles", outcome)? < 0.5, "its call ended before the requests did");
    }
    bench.mortise.kill()
}
