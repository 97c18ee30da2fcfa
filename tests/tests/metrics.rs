//! The metrics of a node are those that `docs/metrics.md` states: names, types and labels, in both
//! directions. Those of plugins are in `plugin_metrics.rs`. What was deleted is shown no longer.

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Client, Load, Mortise, page, sample, seed, series, stated_metrics};
use tempfile::TempDir;

fn works(mortise: &Mortise, arguments: &[&str]) -> Result<()> {
    let finished = mortise.cli(arguments)?;
    ensure!(finished.success(), "{arguments:?}: {}", finished.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_every_metric_that_the_document_states_and_no_other() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start_with(directory.path(), &["--memtable-size", "256KiB"])?;
    let mut rng = seed::rng("the_page_has_every_metric_that_the_document_states_and_no_other");
    let mut load = Load::start(&mortise.endpoint(), "metrics", 8, &mut rng).await?;
    // As many writes as it takes until something was compacted, at most a hundred times what it should take.
    for _ in 0..300 {
        load.reach(load.acknowledged() + 500).await?;
        let volume = [("volume", "default")];
        let written =
            sample(&page(&mortise.http, "/metrics")?, "mortise_compaction_written_bytes_total", &volume);
        if written > Some(0.0) {
            break;
        }
    }
    load.finish().await?;
    works(&mortise, &["volume", "rebuild", "default"])?;
    stated_metrics::is_as_stated(&page(&mortise.http, "/metrics")?, |name| {
        !name.starts_with("mortise_plugin_")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_was_deleted_is_shown_no_longer() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = Mortise::start(directory.path())?;
    works(&mortise, &["volume", "create", "short-lived"])?;
    let mut client = Client::connect_volume(&mortise.endpoint(), "short-lived").await?;
    client.put("key", "value").await.ok().context("a put is accepted")?;
    works(&mortise, &["volume", "rebuild", "short-lived"])?;
    let shown = || {
        let of_it = |labels: &[(String, String)]| labels.iter().any(|(_, value)| value == "short-lived");
        let page = page(&mortise.http, "/metrics")?;
        anyhow::Ok(series(&page).into_iter().filter(|found| of_it(&found.labels)).collect::<Vec<_>>())
    };
    let before = shown()?;
    for name in ["mortise_volume_revision", "mortise_volume_level_runs", "mortise_rebuilds_total"] {
        ensure!(before.iter().any(|found| found.name == name), "{name} is missing: {before:?}");
    }
    works(&mortise, &["volume", "delete", "short-lived"])?;
    let after = shown()?;
    ensure!(after.is_empty(), "{after:?}");
    Ok(())
}
