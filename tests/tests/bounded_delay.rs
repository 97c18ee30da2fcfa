//! While a plugin takes all the time that it may have, requests go on: `docs/plugins/security.md` says which.
//!
//! Nothing is timed here. A guest says in the daemon's log that it has begun, and does not end before its
//! deadline, which is a minute away. Requests have to be answered in between, each with the deadline that the
//! page states, and afterwards the guest must still be at it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{BESIDE_PLUGINS, Client, Mortise, guests, page, sample};
use serde_json::Value;
use tempfile::TempDir;

const END: Duration = Duration::from_secs(60);

/// Puts and gets that are made while the guest is at it.
const REQUESTS: usize = 25;

struct Bench {
    folder: TempDir,
    mortise: Mortise,
}

impl Bench {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let mortise = Mortise::start(&folder.path().join("data"))?;
        Ok(Self { folder, mortise })
    }

    fn works(&self, arguments: &[&str]) -> Result<()> {
        let finished = self.mortise.cli(arguments)?;
        ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
        Ok(())
    }

    /// Adds a guest that gets as much time as there is.
    fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        self.works(&["plugin", "add", &path.to_string_lossy(), "--name", name])?;
        self.works(&["plugin", "limits", name, "--deadline", "60s"])
    }

    /// Waits until a guest says that it has begun.
    fn wait_begun(&mut self) -> Result<()> {
        self.mortise.process().wait_line("that the guest has begun", END, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["target"] == "mortise::plugin" && line["message"] == "begun").then_some(())
        })
    }

    /// Writes and reads on a volume, each request with the deadline that is stated.
    async fn goes_on(&self, volume: &str) -> Result<()> {
        let mut client = Client::connect_within(&self.mortise.endpoint(), volume, BESIDE_PLUGINS).await?;
        for number in 0..REQUESTS {
            let key = format!("/beside/{number}");
            let put = client.put(key.clone(), "value").await;
            ensure!(put.is_ok(), "put {number} on {volume}: {put:?}");
            let got = client.get(key).await;
            ensure!(got.is_ok_and(|found| found.is_some()), "get {number} on {volume}");
        }
        Ok(())
    }

    fn ended(&self, plugin: &str, outcome: &str) -> Result<f64> {
        let labels = [("plugin", plugin), ("outcome", outcome)];
        Ok(sample(&page(&self.mortise.http, "/metrics")?, "mortise_plugin_calls_total", &labels)
            .unwrap_or(0.0))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_for_a_strategy_that_never_answers() -> Result<()> {
    let mut bench = Bench::new()?;
    bench.works(&["volume", "create", "other"])?;
    bench.add("stuck", guests::TURNCOAT_OF_CHOICE)?;
    let config = r#"{"does":"loop"}"#;
    bench.works(&["plugin", "use", "stuck", "--volume", "default", "--config", config])?;
    bench.wait_begun()?;
    bench.goes_on("default").await?;
    bench.goes_on("other").await?;
    // Nor does whoever puts it aside.
    ensure!(bench.ended("stuck", "deadline")? < 0.5, "its call ended before the requests did");
    bench.works(&["plugin", "use", "compaction-leveled", "--volume", "default"])?;
    bench.goes_on("default").await?;
    bench.mortise.kill()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_own_request_waits_for_a_format_that_dawdles() -> Result<()> {
    let mut bench = Bench::new()?;
    bench.add("dawdles", guests::FORMAT_DAWDLES)?;
    bench.works(&["volume", "create", "slow", "--format", "dawdles"])?;
    bench.works(&["volume", "create", "coded", "--format", "format-hierarchical"])?;
    let mut client = Client::connect_volume(&bench.mortise.endpoint(), "slow").await?;
    // As large as a request may be: fuel comes by the byte.
    let large = tokio::spawn(async move { client.put("large", "x".repeat(1_400_000)).await });
    bench.wait_begun()?;
    for volume in ["default", "coded", "slow"] {
        bench.goes_on(volume).await.with_context(|| format!("on {volume}"))?;
    }
    ensure!(!large.is_finished(), "its call ended before the requests did");
    for outcome in ["deadline", "fuel"] {
        ensure!(bench.ended("dawdles", outcome)? < 0.5, "its call ended before the requests did");
    }
    bench.mortise.kill()
}
