//! Strategies are swapped under load: no request fails, nothing changes but the shape of the tree.
//!
//! Writers run the whole time; swaps happen through the command line, each after a number of further
//! acknowledgements. Afterwards every write is judged by [`History`], and the hashes at older revisions are
//! what they were. The last binding must survive a restart.

use anyhow::{Context as _, Result, ensure};
use mortise_tests::{Attempt, Client, History, Load, Mortise, seed};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use tempfile::TempDir;

const STRATEGIES: [&str; 3] = ["compaction-leveled", "compaction-tiered", "compaction-quiet"];
const SWAPS: usize = 8;
const WRITERS: u32 = 8;

/// Small memtables make the strategies work within the test.
fn start(directory: &TempDir) -> Result<Mortise> {
    Mortise::start_with(directory.path(), &["--memtable-size", "256KiB"])
}

fn plugin(mortise: &Mortise, arguments: &[&str]) -> Result<()> {
    let finished = mortise.cli(&[&["plugin"], arguments].concat())?;
    ensure!(finished.success(), "plugin {arguments:?}: {}", finished.stderr);
    Ok(())
}

/// The name of the strategy that serves a volume.
fn serving(mortise: &Mortise, volume: &str) -> Result<String> {
    let status = mortise.cli_json(&["volume", "status", volume])?;
    let plugin = status["strategy"]["serving"]["plugin"].as_str();
    Ok(plugin.with_context(|| format!("no strategy in {status}"))?.to_owned())
}

fn none_failed(attempts: &[Attempt]) -> Result<()> {
    let failed: Vec<_> = attempts.iter().filter_map(|attempt| attempt.outcome.as_ref().err()).collect();
    ensure!(failed.is_empty(), "{} of {} requests failed: {failed:?}", failed.len(), attempts.len());
    Ok(())
}

async fn swap_under_load(mortise: &Mortise, load: &mut Load, rng: &mut StdRng) -> Result<&'static str> {
    let mut bound = STRATEGIES[0];
    for swap in 0..SWAPS {
        load.reach(load.acknowledged() + rng.random_range(50..300)).await?;
        let next = *STRATEGIES.choose(rng).expect("there are strategies");
        if swap == SWAPS / 2 && next != bound {
            plugin(mortise, &["use", next, "--volume", "default"])?;
            plugin(mortise, &["rollback", "--volume", "default"])?;
        } else {
            plugin(mortise, &["use", next, "--volume", "default"])?;
            bound = next;
        }
        ensure!(serving(mortise, "default")? == bound, "swap {swap}: {bound} should serve");
    }
    Ok(bound)
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_under_load_fail_no_request_and_change_no_content() -> Result<()> {
    let mut rng = seed::rng("swaps_under_load_fail_no_request_and_change_no_content");
    let directory = TempDir::new()?;
    let mortise = start(&directory)?;
    let mut client = Client::connect(&mortise.endpoint()).await?;
    let mut history = History::default();

    // A first stretch of content whose hashes the swaps must not change.
    let mut load = Load::start(&mortise.endpoint(), "before", WRITERS, &mut rng).await?;
    load.reach(300).await?;
    let attempts = load.finish().await?;
    none_failed(&attempts)?;
    history.verify(&mut client, attempts, &mut rng).await?;

    let mut load = Load::start(&mortise.endpoint(), "during", WRITERS, &mut rng).await?;
    let bound = swap_under_load(&mortise, &mut load, &mut rng).await?;
    let attempts = load.finish().await?;
    none_failed(&attempts)?;
    history.verify(&mut client, attempts, &mut rng).await?;

    mortise.kill()?;
    let mortise = start(&directory)?;
    ensure!(serving(&mortise, "default")? == bound, "the binding did not survive the restart");
    let mut client = Client::connect(&mortise.endpoint()).await?;
    history.verify(&mut client, Vec::new(), &mut rng).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_bound_one_by_one() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = start(&directory)?;
    let created = mortise.cli(&["volume", "create", "other"])?;
    ensure!(created.success(), "{}", created.stderr);
    plugin(&mortise, &["use", "compaction-tiered", "--volume", "other"])?;
    ensure!(serving(&mortise, "other")? == "compaction-tiered", "the volume named is bound");
    ensure!(serving(&mortise, "default")? == "compaction-leveled", "another volume is left alone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_without_a_past_is_refused() -> Result<()> {
    let directory = TempDir::new()?;
    let mortise = start(&directory)?;
    let finished = mortise.cli(&["plugin", "rollback", "--volume", "default"])?;
    ensure!(!finished.success(), "there is nothing to roll back to: {}", finished.stdout);
    ensure!(finished.stderr.contains("default"), "the message names the volume: {}", finished.stderr);
    Ok(())
}
