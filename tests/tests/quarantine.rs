//! A plugin that turns bad in service is put aside under load, and nobody who reads or writes notices.
//!
//! Two guests pass their rehearsal and misbehave with the seeds of a live loop: `turncoat` faults every time,
//! so it must be quarantined after three faults in a row; `random` mixes legal steps, which run, with illegal
//! ones, which are counted. Writers run the whole time. Afterwards no request has failed, hashes at older
//! revisions are what they were, and every write is judged by [`History`].

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Attempt, Client, History, Load, Mortise, guests, page, sample, seed};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tempfile::TempDir;

const WRITERS: u32 = 8;
const END: Duration = Duration::from_secs(60);
/// Progress of the load between two looks at the node, and how often to look.
const STRETCH: u64 = 100;
const LOOKS: usize = 500;

/// A node that was written to, and its content as it was then.
struct Bench {
    _directory: TempDir,
    folder: TempDir,
    mortise: Mortise,
    client: Client,
    history: History,
    hashes: BTreeMap<i64, u32>,
    rng: StdRng,
}

impl Bench {
    /// Small memtables make the strategies work within the test. Nothing is watched, or the first fault would
    /// take a plugin back.
    async fn new(test: &str) -> Result<Self> {
        let mut rng = seed::rng(test);
        let (directory, folder) = (TempDir::new()?, TempDir::new()?);
        let mortise =
            Mortise::start_with(directory.path(), &["--memtable-size", "256KiB", "--plugin-watch", "0s"])?;
        let mut client = Client::connect(&mortise.endpoint()).await?;
        let mut history = History::default();
        let mut load = Load::start(&mortise.endpoint(), "before", WRITERS, &mut rng).await?;
        load.reach(600).await?;
        let attempts = load.finish().await?;
        none_failed(&attempts)?;
        history.verify(&mut client, attempts, &mut rng).await?;
        let mut hashes = BTreeMap::new();
        for revision in (1..=8).map(|part| history.revision() * part / 8) {
            let answer = client.hash(revision).await.ok().context("a hash")?;
            hashes.insert(revision, answer.hash);
        }
        Ok(Self { _directory: directory, folder, mortise, client, history, hashes, rng })
    }

    fn plugin(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.mortise.cli(&[&["plugin"], arguments].concat())?;
        ensure!(finished.success(), "plugin {arguments:?}: {}", finished.stderr);
        Ok(finished.stdout)
    }

    /// Adds a guest without using it.
    fn add(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes)?;
        self.plugin(&["add", &path.to_string_lossy(), "--name", name]).map(drop)
    }

    fn bind(&self, name: &str) -> Result<()> {
        self.plugin(&["use", name, "--volume", "default"]).map(drop)
    }

    /// How the volume's strategy is shown.
    fn strategy(&self) -> Result<Value> {
        Ok(self.mortise.cli_json(&["volume", "status", "default"])?["strategy"].clone())
    }

    fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(sample(&page(&self.mortise.http, "/metrics")?, name, labels).unwrap_or(0.0))
    }

    /// Judges the load of the time that the guest served, and the content of before.
    async fn judge(&mut self, load: Load) -> Result<()> {
        let attempts = load.finish().await?;
        none_failed(&attempts)?;
        self.history.verify(&mut self.client, attempts, &mut self.rng).await?;
        for (revision, before) in &self.hashes {
            let now = self.client.hash(*revision).await.ok().context("a hash")?.hash;
            ensure!(now == *before, "the hash at revision {revision} was {before:08x} and is {now:08x}");
        }
        Ok(())
    }
}

fn none_failed(attempts: &[Attempt]) -> Result<()> {
    let failed: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome.as_ref().err()).collect();
    ensure!(failed.is_empty(), "{} of {} requests failed: {failed:?}", failed.len(), attempts.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turncoat_is_quarantined_under_load() -> Result<()> {
    let mut bench = Bench::new("a_turncoat_is_quarantined_under_load").await?;
    bench.add("turncoat", guests::TURNCOAT)?;
    let mut load = Load::beside_plugins(&bench.mortise.endpoint(), WRITERS, &mut bench.rng).await?;
    load.reach(bench.rng.random_range(50..300)).await?;
    bench.bind("turncoat")?;
    let line = bench.mortise.process().wait_line("the quarantine", END, |line| {
        line.contains("the plugin is quarantined for this volume").then(|| line.to_owned())
    })?;
    ensure!(line.contains("turncoat") && line.contains("3 faults in a row"), "{line}");

    // The catalog is written after the strategy was exchanged; the load is the clock.
    let mut row = Value::Null;
    for _ in 0..LOOKS {
        row = bench.mortise.cli_json(&["plugin", "show", "turncoat"])?["quarantines"][0].clone();
        if !row.is_null() {
            break;
        }
        load.reach(load.acknowledged() + STRETCH).await?;
    }
    ensure!(row["volume"] == "default", "`plugin show` does not tell the quarantine: {row}");
    ensure!(row["reason"].as_str().is_some_and(|reason| reason.contains("3 faults in a row")), "{row}");
    let list = bench.mortise.cli_json(&["plugin", "list"])?.to_string();
    ensure!(list.contains("\"quarantined\":[\"default\"]"), "`plugin list` does not tell it: {list}");
    let (list, shown) = (bench.plugin(&["list"])?, bench.plugin(&["show", "turncoat"])?);
    ensure!(list.contains("QUARANTINED FOR") && shown.contains("3 faults in a row"), "{list}\n{shown}");

    let strategy = bench.strategy()?;
    ensure!(strategy["serving"]["plugin"] == "compaction-leveled", "the one before serves: {strategy}");
    let turncoat = [("volume", "default"), ("plugin", "turncoat")];
    let quarantines = bench.metric("mortise_plugin_quarantines_total", &turncoat)?;
    ensure!((quarantines - 1.0).abs() < 0.5, "{quarantines} quarantines are counted");
    let faults = bench.metric("mortise_plugin_faults_total", &turncoat)?;
    ensure!((faults - 3.0).abs() < 0.5, "{faults} faults are counted");
    ensure!(bench.metric("mortise_plugin_version_in_use", &turncoat)? < 0.5, "the turncoat is in use");

    // The strategy of before works on.
    load.reach(load.acknowledged() + 500).await?;
    bench.judge(load).await
}

/// Steps that ran and that no leveled strategy asks for, neither ours nor the native one.
fn steps(bench: &Bench) -> Result<f64> {
    ["merge", "move", "major"].iter().try_fold(0.0, |sum, step| {
        let labels = [("volume", "default"), ("by", "strategy"), ("outcome", "done"), ("step", *step)];
        Ok(sum + bench.metric("mortise_compactions_total", &labels)?)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn random_steps_under_load_change_no_content() -> Result<()> {
    let mut bench = Bench::new("random_steps_under_load_change_no_content").await?;
    bench.add("random", guests::RANDOM)?;
    let mut load = Load::beside_plugins(&bench.mortise.endpoint(), WRITERS, &mut bench.rng).await?;
    ensure!(steps(&bench)? < 0.5, "a leveled strategy took a step of another kind");
    let random = [("volume", "default"), ("plugin", "random")];
    let (mut ran, mut answered, mut faults, mut bound) = (0.0, 0.0, 0.0, 0);
    for _ in 0..LOOKS {
        // Three illegal answers in a row put it into quarantine; naming it gives it another chance.
        if bench.strategy()?["serving"]["plugin"] != "random" {
            bench.bind("random")?;
            bound += 1;
        }
        load.reach(load.acknowledged() + STRETCH).await?;
        ran = steps(&bench)?;
        answered =
            bench.metric("mortise_plugin_calls_total", &[&random[..], &[("outcome", "ok")]].concat())?;
        faults =
            bench.metric("mortise_plugin_faults_total", &[&random[..], &[("kind", "illegal")]].concat())?;
        if ran >= 3.0 && answered >= 3.0 && faults >= 3.0 {
            break;
        }
    }
    ensure!(
        ran >= 3.0 && answered >= 3.0 && faults >= 3.0,
        "bound {bound} times, the guest gave {answered} legal answers and {faults} illegal ones, {ran} steps ran"
    );
    bench.judge(load).await
}
