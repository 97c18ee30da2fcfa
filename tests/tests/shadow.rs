//! A careful operator's way, under load: a candidate shadows what serves, is looked at, is promoted; and
//! one that turns bad in its watch period is rolled back by the node itself.
//!
//! Writers run the whole time, and nobody who writes may notice: no request fails, and afterwards every
//! acknowledged write is there. The load is the clock: between two looks at the node it makes progress.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, History, Load, Mortise, guests, page, sample, seed};
use rand::rngs::StdRng;
use serde_json::Value;
use tempfile::TempDir;

const WRITERS: u32 = 8;
const END: Duration = Duration::from_secs(60);
/// Progress of the load between two looks at the node, and how often to look.
const STRETCH: u64 = 100;
const LOOKS: usize = 500;

/// A node under load.
struct Bench {
    folder: TempDir,
    mortise: Mortise,
    load: Load,
    rng: StdRng,
}

impl Bench {
    /// Small memtables make the strategies work within the test.
    async fn new(test: &str) -> Result<Self> {
        let mut rng = seed::rng(test);
        let folder = TempDir::new()?;
        let mortise = Mortise::start_with(&folder.path().join("data"), &["--memtable-size", "256KiB"])?;
        let load = Load::beside_plugins(&mortise.endpoint(), WRITERS, &mut rng).await?;
        Ok(Self { folder, mortise, load, rng })
    }

    fn plugin(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.mortise.cli(&[&["plugin"], arguments].concat())?;
        ensure!(finished.success(), "plugin {arguments:?}: {}", finished.stderr);
        Ok(finished.stdout)
    }

    fn refused(&self, arguments: &[&str], part: &str) -> Result<()> {
        let finished = self.mortise.cli(&[&["plugin"], arguments].concat())?;
        ensure!(!finished.success() && finished.stderr.contains(part), "{arguments:?}: {}", finished.stderr);
        Ok(())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        self.mortise.cli_json(arguments)
    }

    /// Looks until `picked` finds something in what a command prints, while the load goes on.
    async fn look(&mut self, arguments: &[&str], picked: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..LOOKS {
            last = self.json(arguments)?;
            if picked(&last) {
                return Ok(last);
            }
            self.load.reach(self.load.acknowledged() + STRETCH).await?;
        }
        anyhow::bail!("{arguments:?} still prints {last}")
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(sample(&page(&self.mortise.http, "/metrics")?, name, labels).unwrap_or(0.0))
    }

    fn serving(&self) -> Result<String> {
        let status = self.json(&["volume", "status", "default"])?;
        Ok(status["strategy"]["serving"]["plugin"].as_str().context("a strategy")?.to_owned())
    }

    /// No request has failed, and everything acknowledged is there.
    async fn judge(mut self) -> Result<()> {
        let attempts = self.load.finish().await?;
        let failed: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome.as_ref().err()).collect();
        ensure!(failed.is_empty(), "{} of {} requests failed: {failed:?}", failed.len(), attempts.len());
        let mut client = Client::connect(&self.mortise.endpoint()).await?;
        History::default().verify(&mut client, attempts, &mut self.rng).await.map(drop)
    }
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_shadows_under_load_and_is_promoted() -> Result<()> {
    let mut bench = Bench::new("a_candidate_shadows_under_load_and_is_promoted").await?;
    let begun = bench.plugin(&["shadow", "compaction-tiered", "--volume", "default"])?;
    ensure!(begun.contains("nothing that it says is acted upon"), "{begun}");
    let report = bench.look(&["plugin", "shadow"], |report| number(report, "differences") >= 3).await?;
    ensure!(report["candidate"]["plugin"] == "compaction-tiered", "{report}");
    ensure!(report["against"]["plugin"] == "compaction-leveled" && report["faults"] == serde_json::json!({}));
    let parts: u64 =
        ["agreements", "differences", "unmatched"].map(|part| number(&report, part)).iter().sum();
    ensure!(number(&report, "calls") == parts, "{report}");
    ensure!(number(&report["candidate_times"], "longest_us") > 0, "{report}");
    let example = &report["examples"][0];
    ensure!(example["shape"].as_str().is_some_and(|shape| shape.contains("level 0")), "{report}");
    ensure!(example["active"] != example["candidate"], "{report}");
    let text = bench.plugin(&["shadow", "--volume", "default"])?;
    ensure!(text.contains("the latest differences") && text.contains("P99"), "{text}");

    // Nothing of it was acted upon, and its figures are its own.
    ensure!(bench.serving()? == "compaction-leveled");
    for step in ["merge", "move", "major"] {
        let labels = [("volume", "default"), ("by", "strategy"), ("step", step)];
        ensure!(bench.metric("mortise_compactions_total", &labels)? < 0.5, "a {step} of the shadow ran");
    }
    let tiered = [("volume", "default"), ("plugin", "compaction-tiered")];
    ensure!(bench.metric("mortise_plugin_calls_total", &tiered)? < 0.5, "the shadow counts as serving");
    let differed = [&tiered[..], &[("outcome", "differed")]].concat();
    ensure!(bench.metric("mortise_plugin_shadow_views_total", &differed)? > 2.5, "its views are not counted");

    bench.refused(&["promote", "compaction-quiet"], "shadows volume \"default\", not compaction-quiet")?;
    let promoted = bench.plugin(&["promote", "compaction-tiered", "--volume", "default"])?;
    ensure!(
        promoted.starts_with("compaction-tiered") && promoted.contains("serves volume default now"),
        "{promoted}"
    );
    ensure!(bench.serving()? == "compaction-tiered");
    bench.refused(&["promote", "compaction-tiered"], "no plugin shadows volume \"default\"")?;
    let status = bench.plugin(&["shadow"])?;
    ensure!(status.starts_with("nothing shadows volume default"), "{status}");
    let rows = bench.json(&["plugin", "history", "compaction-tiered"])?;
    let (refused, last, first) = (rows[0].clone(), rows[1].clone(), rows[2].clone());
    ensure!(refused["action"] == "plugin-promote" && refused["refused"] == true, "{rows}");
    ensure!(
        last["action"] == "plugin-promote" && last["from"] == "shadowing" && last["to"] == "active",
        "{rows}"
    );
    ensure!(last["reason"].as_str().is_some_and(|reason| reason.contains("differed")), "{rows}");
    ensure!(first["action"] == "plugin-shadow" && first["actor"] == "admin", "{rows}");
    bench.load.reach(bench.load.acknowledged() + 500).await?;
    bench.judge().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_turns_in_its_watch_period_is_rolled_back_by_the_node() -> Result<()> {
    let mut bench = Bench::new("a_version_that_turns_in_its_watch_period_is_rolled_back_by_the_node").await?;
    let path = bench.folder.path().join("turncoat.wasm");
    fs::write(&path, guests::TURNCOAT)?;
    bench.plugin(&["add", &path.to_string_lossy(), "--name", "turncoat"])?;
    bench.plugin(&["use", "turncoat", "--volume", "default"])?;
    let line = bench.mortise.process().wait_line("the rollback", END, |line| {
        line.contains("the plugin is rolled back in its watch period").then(|| line.to_owned())
    })?;
    ensure!(line.contains("turncoat"), "{line}");

    // The catalog is written after the strategy was exchanged.
    let history = ["plugin", "history", "turncoat"];
    let rows = bench.look(&history, |rows| rows[0]["action"] == "plugin-rollback").await?;
    ensure!(rows[0]["actor"] == "node" && rows[0]["to"] == "rolled-back", "{rows}");
    let reason = rows[0]["reason"].as_str().unwrap_or_default();
    ensure!(reason.starts_with("in its watch period: "), "{rows}");
    ensure!(rows[0]["outcome"].as_str().is_some_and(|outcome| outcome.contains("serves again")), "{rows}");
    let text = bench.plugin(&["history", "turncoat"])?;
    ensure!(text.contains("node") && text.contains("active →") && text.contains("rolled-back"), "{text}");
    ensure!(bench.serving()? == "compaction-leveled");
    let shown = bench.json(&["plugin", "show", "turncoat"])?;
    ensure!(
        shown["faults"].as_array().is_some_and(|faults| faults.len() == 1),
        "the first is enough: {shown}"
    );
    ensure!(shown["quarantines"] == serde_json::json!([]), "{shown}");
    let turncoat = [("volume", "default"), ("plugin", "turncoat")];
    let rollbacks = bench.metric("mortise_plugin_watch_rollbacks_total", &turncoat)?;
    ensure!((rollbacks - 1.0).abs() < 0.5, "{rollbacks} rollbacks are counted");
    bench.load.reach(bench.load.acknowledged() + 500).await?;
    bench.judge().await
}
